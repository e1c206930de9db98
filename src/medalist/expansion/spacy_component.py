"""The spaCy component: `nlp.add_pipe("medalist")` expands the short forms of every document. Needs `medalist[spacy]`.

spaCy finds it through this package's entry point `spacy_factories`. `doc._.abbreviations` and `span._.long_form` have
the same meaning as in scispaCy's `AbbreviationDetector`; docs/spacy.md lists all attributes.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

try:
    from spacy.language import Language
    from spacy.tokens import Doc, Span
    from spacy.util import escape_html
except ImportError:
    raise ImportError("medalist's spaCy component needs spaCy: pip install medalist[spacy]") from None

import torch

from .. import __version__
from ..data.inventory import Inventory
from ..tools.files import must_exist
from ..tools.number_formats import FloatType
from ..tools.shapes import write_object
from .evidence import read_glossary
from .expander import Expander
from .options import Engine
from .results import ExpandedText, Expansion
from .spacy_attributes import GROUP, add_attributes, name_of, store
from .where import weights_of

LABEL = "ABBR"
"""The label of the spans in `doc.spans["medalist"]`; their `kb_id_` is the long form, so that displaCy shows both,
escaped for HTML, since displaCy does not do that."""
AT_A_TIME = 32
"""Maximum number of texts read at a time: with spaCy's 1,000, the first document would take minutes on a CPU."""
_STORED = "medalist.json"

Only = Literal["answered", "sure", "defined"]
"""Which short forms a document lists: those with an answer, with a sure answer, or defined in the text itself."""
_KEPT: dict[Only | None, Callable[[Expansion], bool]] = {
    None: lambda _: True,
    "answered": lambda one: one.long_form is not None,
    "sure": lambda one: one.sure,
    "defined": lambda one: one.definition is not None,
}


class MedalistComponent:
    """Expands short forms like `Expander`; the model is loaded for the first text, once per process.

    Args:
        model: a run's folder or the Hub id of a published one; None: the reader that ships with the package.
        options: the other arguments of `Expander.load`.
        only: as for `make_component`.
        make_serializable: as for `make_component`.

    Raises:
        ValueError: another component uses the name of an attribute for something else.
    """

    def __init__(
        self, model: str | None, options: dict[str, Any], *, only: Only | None = None, make_serializable: bool = False
    ) -> None:
        add_attributes()
        self._model, self._options = model, options
        self._only, self._make_serializable = only, make_serializable
        self._read_glossary: Inventory | None = None
        self._expected: str | None = None
        self._expander: Expander | None = None
        self._loaded_in = 0

    def __call__(self, doc: Doc) -> Doc:
        """Expand the short forms of one document."""
        return self._filled(doc, self.expander(doc.text))

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = AT_A_TIME) -> Iterator[Doc]:
        """Expand a stream of documents, several at a time."""
        pairs = ((doc.text, doc) for doc in stream)
        for expanded, doc in self.expander.pipe(pairs, batch_size=min(batch_size, AT_A_TIME), as_tuples=True):
            yield self._filled(doc, expanded)

    @property
    def expander(self) -> Expander:
        """The expander, loaded on first use.

        Raises:
            FileNotFoundError: there is no such run or glossary.
            ValueError: the run, the glossary or the settings are invalid, or the run's weights are not those of the
                saved pipeline.
            RuntimeError: `nlp.pipe(n_process=...)` is used with a model that is already on a GPU.
        """
        if multiprocessing.parent_process() is not None:
            torch.set_num_threads(1)  # a forked process would wait forever for its parent's threads
        if self._expander is None:
            self._check_weights()
            self._expander = Expander.load(self._model, **self._options | {"glossary": self._glossary()})
            self._loaded_in = os.getpid()
        elif self._loaded_in != os.getpid() and self._expander.device.type != "cpu":
            raise RuntimeError(
                "The model is on a GPU, which processes cannot share: call nlp.pipe with n_process=1, which sends the "
                "model several texts at a time"
            )
        return self._expander

    def _check_weights(self) -> None:
        if self._expected is not None and (found := self._weights()) != self._expected:
            raise ValueError(
                f"{self._model or 'The reader'} holds weights with SHA-256 {found[:12]}…, but the pipeline was saved "
                f"with {self._expected[:12]}…: load it with the model that it was saved with, or save it again"
            )

    def _weights(self) -> str:
        return weights_of(self._model, revision=self._options["revision"], engine=self._options["engine"])

    def _filled(self, doc: Doc, expanded: ExpandedText) -> Doc:
        """Store the expansions and warnings."""
        found = [one.to_dict() for one in filter(_KEPT[self._only], expanded)]
        placed = store(doc, found, [warning.to_dict() for warning in expanded.warnings])
        spans = []
        for (start, end), all_ in placed.items():
            for values in all_:
                name = name_of(values) if len(all_) > 1 else ""
                spans.append(Span(doc, start, end, LABEL, kb_id=escape_html(values["long_form"] or ""), span_id=name))
        doc.spans[GROUP] = spans
        if self._make_serializable:
            doc._.medalist_serializable = True
        return doc

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """Serialise what `to_disk` stores."""
        return json.dumps(self._stored()).encode()

    def from_bytes(self, data: bytes, *, exclude: Iterable[str] = ()) -> MedalistComponent:
        """Load what `to_bytes` returned; see `from_disk`."""
        return self._take(_read(data, f"The pipeline's {_STORED}"))

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Store which model is used, with the SHA-256 of its tuned weights, and the entries of the glossary.

        No weights are stored. The settings are in the pipeline's own `config.cfg`.
        """
        Path(path).mkdir(parents=True, exist_ok=True)
        write_object(Path(path) / _STORED, self._stored())

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> MedalistComponent:
        """Load what `to_disk` stored, as far as it matches the settings, which may have changed since.

        Stored entries replace a glossary of the same name, whose file need not exist. The SHA-256 is checked for the
        same model, revision and engine.
        """
        file = Path(path) / _STORED
        must_exist(file)
        return self._take(_read(file.read_bytes(), str(file)))

    def _stored(self) -> dict[str, Any]:
        glossary = self._glossary()
        return {
            "medalist": __version__,
            "model": self._model,
            "revision": self._options["revision"],
            "engine": self._options["engine"],
            "weights": self._weights(),
            "glossary": self._options["glossary"],
            "entries": None if glossary is None else glossary.rows(),
        }

    def _glossary(self) -> Inventory | None:
        if self._read_glossary is None and self._options["glossary"] is not None:
            self._read_glossary = read_glossary(self._options["glossary"])
        return self._read_glossary

    def _take(self, stored: _Stored) -> MedalistComponent:
        theirs = (stored.model, stored.revision, stored.engine)
        same_model = theirs == (self._model, self._options["revision"], self._options["engine"])
        self._expected = stored.weights if same_model else None
        kept = stored.entries is not None and stored.glossary == self._options["glossary"]
        self._read_glossary = stored.entries if kept else None
        self._expander = None
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Everything except the model, which a new process loads itself."""
        return self.__dict__ | {"_expander": None}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stored:
    """What `MedalistComponent.to_disk` stored."""

    model: str | None
    revision: str | None
    engine: str | None
    weights: str
    glossary: Any
    entries: Inventory | None


def _read(data: bytes, name: str) -> _Stored:
    """What `to_disk` stored, checked.

    Raises:
        ValueError: it is damaged; the message names it and quotes nothing of it.
    """
    fault = f"{name} is damaged: save the pipeline again with nlp.to_disk"
    try:
        stored = json.loads(data)
    except (ValueError, RecursionError):  # UnicodeDecodeError is one
        raise ValueError(fault) from None
    match stored:
        case {
            "model": str() | None as model,
            "revision": str() | None as revision,
            "weights": str(weights),
            "glossary": str() | dict() | None as glossary,
            "entries": list() | None as rows,
        }:
            pass
        case _:
            raise ValueError(fault)
    entries = None
    if rows is not None:
        if not all(
            isinstance(row, list) and len(row) == 4 and all(isinstance(cell, str) for cell in row[:2]) for row in rows
        ):
            raise ValueError(fault)
        try:
            entries = Inventory.of(map(tuple, rows), "glossary")
            entries.check(name)
        except (ValueError, TypeError):  # a count that is no number
            raise ValueError(fault) from None
    engine = stored.get("engine")
    return _Stored(model=model, revision=revision, engine=engine, weights=weights, glossary=glossary, entries=entries)


@Language.factory(
    "medalist",
    assigns=["doc._.abbreviations", "doc._.medalist_warnings", "span._.long_form", "span._.expansion"],
    default_config={
        "model": None,
        "revision": None,
        "engine": None,
        "dtype": None,
        "glossary": None,
        "any_case": None,
        "min_probability": None,
        "one_sense_per_text": False,
        "only": None,
        "make_serializable": False,
    },
)
def make_component(
    nlp: Language,
    name: str,
    model: str | None,
    revision: str | None,
    engine: Engine | None,
    dtype: FloatType | None,
    glossary: str | dict[str, str | list[str]] | None,
    any_case: bool | None,
    min_probability: float | None,
    one_sense_per_text: bool,
    only: Only | None,
    make_serializable: bool,
) -> MedalistComponent:
    """Make the component for a pipeline: ``nlp.add_pipe("medalist", config={"model": "runs/demo"})``.

    Args:
        nlp: the pipeline.
        name: the component's name in it.
        model: as for `MedalistComponent`.
        revision: as for `Expander.load`.
        engine: as for `Expander.load`.
        dtype: as for `Expander.load`.
        glossary: the path of a file, or short form -> long form or forms.
        any_case: as for `Expander.load`.
        min_probability: as for `Expander.load`.
        one_sense_per_text: as for `Expander.load`.
        only: which short forms `doc._.abbreviations` contains; None: all. With "defined", each one has a `long_form`,
            as with scispaCy's detector.
        make_serializable: make `doc._.abbreviations` plain dictionaries and `span._.long_form` a string, as scispaCy's
            detector does. Documents can be stored and sent to other processes in any case.
    """
    options = {
        "revision": revision,
        "engine": engine,
        "dtype": dtype,
        "glossary": glossary,
        "any_case": any_case,
        "min_probability": min_probability,
        "one_sense_per_text": one_sense_per_text,
    }
    return MedalistComponent(model, options, only=only, make_serializable=make_serializable)
