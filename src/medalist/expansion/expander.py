"""The Expander, which finds the short forms in a text and says what each stands for in context.

Its input is never logged, stored or sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

import torch
from torch import Tensor

from ..data.embedded import reader
from ..data.inventory import NO_SENSES, Inventory
from ..data.passages import Passage
from ..models.base import EMBEDDED
from ..models.forked import compute_in_forks
from ..models.llama_cpp import LIBRARY, LlamaCpp, check_installed
from ..models.load import LoadedModel
from ..models.precision import check_dtype
from ..models.scorer import load_scorer
from ..recipe import EvaluationSettings
from ..runs.run import Run, load_run_scorer
from ..tools.number_formats import DType, FloatType
from ..tools.progress import tracking
from ..trees.decisions import CALIBRATION_FILE, Calibration
from ..trees.prompt import Encoder, Layout, PromptSettings
from ..trees.written_out import Written, layouts_of, rewritten
from .answers import MIN_PROBABILITY, Answerer
from .arguments import check_batch_size, check_named, check_probability, check_switches, each_text, read_senses
from .do_not_use import find_do_not_use, warned
from .evidence import Found, Glossary, Lexicon, read_glossary
from .no_model import NoModel, open_glance
from .options import Engine
from .results import ExpandedText, Expansion, defines
from .where import engine_for, find_gguf, find_run, gguf_tokenizer

Context = TypeVar("Context")
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_MANY = 200
"""Progress is shown if a model is asked about more short forms than this."""
_LONGEST_QUESTION = 256
"""Tokens that llama.cpp reserves after a window, whatever the size of the trees."""


class Expander:
    """Expands the short forms of texts with a tuned or base model.

    Args:
        loaded: the model, in transformers or llama.cpp, or `NoModel`.
        inventory: the short forms to look for, with their senses.
        prompt: the wording that the model was tuned with.
        glossary: your own short forms, which take precedence over the inventory's: a file, an `Inventory` or a mapping.
        any_case: also read "copd" as "COPD".
        calibration: how scores become answers, with a prior and a separate decision on whether a mention is a short
            form at all; None: the most likely candidate, "none of these" included.
        min_probability: least probability of a sure answer, 0 to 1; None: the calibration's, and 0.95 without one.
        one_sense_per_text: let all mentions of a short form that the model answers have the sense that is likeliest on
            average. Then every mention of a text counts, so text appended to it can change earlier answers.
        max_nodes: tokens per forward pass on a GPU; a run brings its recipe's `evaluation.max_nodes`.

    Raises:
        ValueError: the glossary is malformed, or `min_probability` is not a probability.
    """

    def __init__(
        self,
        loaded: LoadedModel | LlamaCpp | NoModel,
        inventory: Inventory,
        prompt: PromptSettings | None = None,
        *,
        glossary: Glossary | None = None,
        any_case: bool = False,
        calibration: Calibration | None = None,
        min_probability: float | None = None,
        one_sense_per_text: bool = False,
        max_nodes: int = EvaluationSettings().max_nodes,
    ) -> None:
        check_probability(min_probability)
        check_switches(any_case=any_case, one_sense_per_text=one_sense_per_text)
        compute_in_forks()
        if min_probability is None:  # the threshold is unreachable if nothing is sure
            min_probability = calibration.offered_from if calibration else MIN_PROBABILITY
        self._loaded, self._one_sense, self._max_nodes = loaded, one_sense_per_text, max_nodes
        self._glances = calibration is not None and calibration.glance is not None
        own = NO_SENSES if glossary is None else read_glossary(glossary)
        lexicon = Lexicon(inventory, own, any_case=any_case, skip_words=calibration is not None)
        self._answers = Answerer(
            lexicon=lexicon,
            calibration=calibration,
            min_probability=min_probability,
            asks=not isinstance(loaded, NoModel),
        )
        prompt = prompt or PromptSettings()
        if isinstance(loaded, LoadedModel):  # llama.cpp reserves memory for the prompt's tree size
            prompt = prompt.for_scoring()
        self._encoder = Encoder(loaded.tokenizer, prompt, max_depth=loaded.max_depth)

    @classmethod
    def load(
        cls,
        run: str | Path | None = None,
        *,
        engine: Engine | None = None,
        dtype: FloatType | None = None,
        inventory: Inventory | str | Path | None = None,
        glossary: Glossary | None = None,
        any_case: bool | None = None,
        min_probability: float | None = None,
        one_sense_per_text: bool = False,
        revision: str | None = None,
    ) -> Expander:
        """Load the tuned model of a run with its inventory and wording, or the reader that ships with the package.

        Args:
            run: folder of a run, or the Hub id of a published one, such as "me/shorthand", which is downloaded once; or
                a GGUF file, which belongs to the run in whose folder or `export/` it is; None: the reader.
            engine: "llama.cpp" uses a GGUF file, for a run's folder the one in its `export/`; "glance" uses no model:
                hundreds of times as fast, but less accurate (docs/reader.md); None: determined by `run`.
            dtype: number format of the computation: "bfloat16" is faster on CPUs that support it (docs/speed.md); None:
                the run's, and for the reader float32 on a CPU.
            inventory: the senses to offer instead of the run's, or if there is no run; may be a file. For these a model
                is always asked.
            glossary: as for `Expander`.
            any_case: also read "copd" as "COPD"; None: yes for the reader and runs tuned from it.
            min_probability: as for `Expander`.
            one_sense_per_text: as for `Expander`.
            revision: branch, tag or commit of a Hub id.

        Raises:
            FileNotFoundError: there is no such run, or its training has not finished.
            TypeError: an argument is of another type.
            ValueError: it was trained on choice questions, the glossary or the inventory is malformed, the CPU or a
                GGUF file does not take `dtype`; or, for engine "glance", an inventory or `dtype` is given, or the run
                has no glance.
            OSError: the Hub cannot be reached.
            ModelError: the embedded base model, which the reader needs, is not installed; or llama.cpp cannot open a
                GGUF file, or it is not an export of the run.
            GGUFError: llama.cpp is not installed.
        """
        check_named(run, revision)
        check_probability(min_probability)  # fail before a model is loaded
        check_switches(any_case=any_case, one_sense_per_text=one_sense_per_text)
        listed = read_senses(inventory)
        options: dict[str, Any] = {
            "glossary": None if glossary is None else read_glossary(glossary),
            "min_probability": min_probability,
            "one_sense_per_text": one_sense_per_text,
        }
        if engine_for(run, engine) == "llama.cpp":
            if dtype is not None:
                raise ValueError(f"dtype is {dtype}, but a GGUF file holds numbers of its own format: leave it out")
            gguf, exported = find_gguf(run)
            return cls._gguf(gguf, exported, listed, any_case=any_case, **options)
        if engine == "glance":
            at = open_glance(run, listed, dtype, revision=revision)
            options["any_case"] = at.any_case if any_case is None else any_case
            return cls(at.model, at.inventory, at.prompt, calibration=at.calibration, **options)
        check_dtype(dtype)
        if run is None:
            return cls._reader(listed, dtype or "auto", any_case=any_case is not False, **options)
        opened = find_run(run, revision=revision)
        calibration = _fitted_to(listed, opened.calibration)
        listed = _inventory(opened) if listed is None else listed
        options |= {"calibration": calibration, "max_nodes": opened.recipe.evaluation.max_nodes}
        options["any_case"] = opened.any_case if any_case is None else any_case
        return cls(load_run_scorer(opened, dtype), listed, opened.recipe.prompt, **options)

    @classmethod
    def _gguf(
        cls, gguf: Path, run: Run | None, listed: Inventory | None, any_case: bool | None, **options: Any
    ) -> Expander:
        check_installed(LIBRARY)
        options["any_case"] = run is not None and run.any_case if any_case is None else any_case
        calibration = _fitted_to(listed, run.calibration) if run else None
        listed = _inventory(run) if listed is None and run is not None else listed
        if listed is None:
            raise ValueError(
                f"{gguf} is in no run's folder, so nothing says which short forms to look for: put it into the folder "
                "of the run that it was exported from, or give an inventory"
            )
        prompt = run.recipe.prompt if run else PromptSettings()
        room = max(prompt.max_nodes, prompt.window + _LONGEST_QUESTION)
        loaded = LlamaCpp(gguf, gguf_tokenizer(gguf, run), max_nodes=room)
        return cls(loaded, listed, prompt, calibration=calibration, **options)

    @classmethod
    def _reader(cls, listed: Inventory | None, dtype: DType, **options: Any) -> Expander:
        return cls(
            load_scorer(EMBEDDED, reader.ADAPTER, dtype=dtype),
            reader.inventory() if listed is None else listed,
            PromptSettings(window=reader.WINDOW, max_nodes=reader.MAX_NODES),
            calibration=_fitted_to(listed, Calibration.read(reader.HERE / CALIBRATION_FILE)),
            **options,
        )

    @property
    def inventory(self) -> Inventory:
        """The short forms that it knows, including the glossary's, with the senses offered for each."""
        return self._answers.lexicon.senses

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return self._loaded.device

    @overload  # mypy: a string is also an iterable of strings; the first matching signature counts
    def __call__(self, text: str, *, progress: bool = False) -> ExpandedText: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, text: Iterable[str], *, progress: bool = False) -> list[ExpandedText]: ...
    def __call__(self, text: str | Iterable[str], *, progress: bool = False) -> ExpandedText | list[ExpandedText]:
        """Expand one text, or each of several; the result for a text does not depend on the others.

        Args:
            text: a text, or an iterable of texts.
            progress: show progress on standard error if there is much to read.

        Raises:
            TypeError: `text` is neither.
        """
        if isinstance(text, str):
            return self._expanded([text], progress)[0]
        return self._expanded(list(each_text(text)), progress)

    @overload
    def pipe(
        self, texts: Iterable[str], *, batch_size: int = ..., as_tuples: Literal[False] = False
    ) -> Iterator[ExpandedText]: ...
    @overload
    def pipe(
        self, texts: Iterable[tuple[str, Context]], *, batch_size: int = ..., as_tuples: Literal[True]
    ) -> Iterator[tuple[ExpandedText, Context]]: ...
    def pipe(self, texts: Iterable[Any], *, batch_size: int = 32, as_tuples: bool = False) -> Iterator[Any]:
        """Expand a stream of texts in order, with one result each; only one batch is in memory at a time.

        Args:
            texts: an iterable of texts.
            batch_size: texts per batch, at least 1; larger batches are faster on a GPU and change no answer.
            as_tuples: `texts` are pairs of a text and any value, such as its id; so are the results.

        Raises:
            TypeError: `texts` is a single text or no iterable of texts, or `batch_size` is not a whole number.
            ValueError: `batch_size` is below 1.
        """
        check_batch_size(batch_size)
        if isinstance(texts, str):
            raise TypeError("pipe takes an iterable of texts, not one text: call the expander itself with it")
        return self._piped(each_text(texts, pairs=as_tuples), batch_size, as_tuples)

    def _piped(self, texts: Iterator[Any], batch_size: int, as_tuples: bool) -> Iterator[Any]:
        while batch := list(islice(texts, batch_size)):
            expanded = self._expanded([text for text, _ in batch] if as_tuples else batch)
            yield from zip(expanded, (context for _, context in batch), strict=True) if as_tuples else expanded

    def _expanded(self, texts: Sequence[str], progress: bool = False) -> list[ExpandedText]:
        readable = [_HALF_PAIR.sub("\ufffd", text) for text in texts]  # same length; tokenizers reject lone surrogates
        found = [self._answers.lexicon.find(text, self._encoder.windows) for text in readable]
        fits = [
            self._answers.fits(text, self._encoder.windows, all_) for text, all_ in zip(readable, found, strict=True)
        ]
        known = [self._known(*one) for one in zip(readable, found, fits, strict=True)]
        passages = [
            Passage(
                id=str(number),
                text=text,
                mentions=tuple(one.mention for one, answer in zip(all_, settled, strict=True) if answer is None),
            )
            for number, (text, all_, settled) in enumerate(zip(readable, found, known, strict=True))
        ]
        scores = self._scores(passages, known, progress)
        answers = [self._answered(*one) for one in zip(readable, found, fits, known, scores, strict=True)]
        if self._one_sense:
            answers = [self._answers.one_sense(expansions) for expansions in answers]
        return [
            ExpandedText(text=text, expansions=warned(expansions, cautions), warnings=cautions)
            for text, expansions, cautions in zip(texts, answers, map(find_do_not_use, readable), strict=True)
        ]

    def _known(
        self, text: str, found: Sequence[Found], fits: Sequence[tuple[float, ...] | None]
    ) -> list[Expansion | None]:
        """The answers that need no model; None where one must be asked."""
        return [
            self._answers.known(text, one) if one.evidence is not None else self._answers.at_a_glance(text, one, fit)
            for one, fit in zip(found, fits, strict=True)
        ]

    def _scores(
        self, passages: Sequence[Passage], known: Sequence[Sequence[Expansion | None]], progress: bool
    ) -> list[dict[int, Tensor]]:
        """For each passage, the scores of its mentions by start position; shows progress if requested."""
        scores: list[dict[int, Tensor]] = [{} for _ in passages]
        if isinstance(self._loaded, NoModel):
            assert not any(passage.mentions for passage in passages), "a glance answers everything"
            return scores
        layouts = (layout for one in zip(passages, known, strict=True) for layout in self._layouts(*one))
        count = sum(passage.num_questions for passage in passages) if progress else 0
        with tracking("Expand", count) if count > _MANY else nullcontext(lambda _: None) as advance:
            scored = self._loaded.score(layouts, max_nodes=self._max_nodes, progress=advance)
            for layout, values in scored:
                number = int(layout.text_id)
                mentions = passages[number].mentions
                scores[number] |= {mentions[n].start: value for n, value in zip(layout.mentions, values, strict=True)}
        return scores

    def _layouts(self, passage: Passage, known: Sequence[Expansion | None]) -> Iterator[Layout]:
        """The trees for a passage's open mentions; if the calibration has a glance, known answers are written out."""
        if not self._glances:
            return iter(self._encoder.encode(passage, self.inventory))
        written = [
            Written(one.start, one.end, one.long_form)
            for one in known
            if one is not None and one.long_form is not None and not defines(passage.text, one)
        ]
        windows, asked = self._encoder.windows(passage.text), range(len(passage.mentions))
        return layouts_of(rewritten(passage, windows, written=written, asked=asked), self._encoder, self.inventory)

    def _answered(
        self,
        text: str,
        found: Sequence[Found],
        fits: Sequence[tuple[float, ...] | None],
        known: Sequence[Expansion | None],
        scores: Mapping[int, Tensor],
    ) -> list[Expansion]:
        return [
            self._answers.asked(text, one, scores.get(one.start), fit) if answer is None else answer
            for one, fit, answer in zip(found, fits, known, strict=True)
        ]


def _fitted_to(listed: Inventory | None, calibration: Calibration | None) -> Calibration | None:
    """The calibration; without its glance if it was not fitted on the senses that are offered."""
    return calibration if listed is None or calibration is None else calibration.without_glance()


def _inventory(run: Run) -> Inventory:
    if not run.inventory.senses:
        raise ValueError(f"{run.folder} was trained on choice questions, so it lists no short forms to expand")
    return run.inventory
