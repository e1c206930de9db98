"""Evaluates the note reader that ships with the package; nothing is written into the package."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..data.embedded import clinical, reader
from ..data.inventory import Inventory
from ..data.inventory_spelling import as_listed
from ..data.passages import Passage
from ..data.sources.choices import is_choices
from ..evaluation.results import Metrics
from ..evaluation.short_forms import Knowledge
from ..models.base import EMBEDDED, find_base, weights_sha256
from ..models.load import LoadedModel, load_base
from ..models.scorer import load_scorer, load_tokenizer
from ..recipe import EvaluationSettings
from ..tools.progress import say
from ..trees.decisions import CALIBRATION_FILE, Calibration
from ..trees.prompt import PromptSettings
from .evaluate import EvaluatedModel, evaluate
from .held_out import Questions, check_limit, named_data, read_marked
from .reader_run import READER
from .run import is_run


def load_reader() -> LoadedModel:
    """The embedded base model with the reader's adapter.

    Raises:
        ModelError: the embedded base model is not installed.
    """
    return load_scorer(EMBEDDED, reader.ADAPTER)


def was_fitted_on(name: str) -> bool:
    """Whether the packaged calibration was fitted on the embedded notes of that name (`benchmarks/reader_fit.py`)."""
    return name in clinical.NOTES and name not in clinical.LOCKED


def evaluate_reader(
    data: Path | str = "clinical-development",
    *,
    inventory: Path | str | None = None,
    limit: int | None = None,
    output: Path | str = "runs/reader",
    with_base: bool = False,
) -> tuple[Metrics, Path]:
    """Evaluate the reader with its calibration; in the results it is the model "tuned".

    Only the part of its training data that ships with the package can be compared with the evaluated passages; its
    datasheet lists the rest.

    Args:
        data: marked passages, or the embedded notes by name.
        inventory: the candidates; None: the reader's own, which also knows alternative wordings of its long forms.
        limit: the maximum number of passages; None: all.
        output: the folder in which `evaluation/<data>/` is written.
        with_base: also evaluate its base model on the same questions.

    Returns:
        The metrics, and the folder that holds them.

    Raises:
        ValueError: the data consists of choice questions, or `output` is a run's folder, or `limit` is below 1.
    """
    check_limit(limit)
    output = Path(output)
    if is_run(output):
        raise ValueError(f"{output} is the folder of a run: name another one for the reader's results with --out")
    name, file, _ = named_data(data, inventory)
    if is_choices(file):
        raise ValueError(f"{file} holds choice questions; the reader answers short forms")
    if was_fitted_on(name):
        say(f"The reader's weights were fitted on {name} too: figures on it are optimistic")
    candidates = reader.inventory() if inventory is None else Inventory.read(inventory)
    passages, quarantine = read_marked(file, candidates, limit)
    on = Questions(
        passages=[in_listed_words(passage, candidates) for passage in passages],
        quizzes=[],
        inventory=candidates,
        knowledge=Knowledge(train=[*reader.passages(), *reader.notes()]),
        folder=output / "evaluation" / name,
        quarantine=quarantine,
        about={"data": str(data), "run": READER, "base": EMBEDDED},
    )
    weights = weights_sha256(reader.ADAPTER)
    models = {"tuned": EvaluatedModel(weights=weights, load=load_reader, tokenizer=_tokenizer)}
    if with_base:
        base = EvaluatedModel(
            weights=find_base(EMBEDDED)[1].sha256, load=partial(load_base, EMBEDDED), tokenizer=_tokenizer
        )
        models = {"base": base, **models}
    metrics = evaluate(
        models,
        on,
        PromptSettings(window=reader.WINDOW, max_nodes=reader.MAX_NODES),
        EvaluationSettings(),
        calibration=partial(Calibration.read, reader.HERE / CALIBRATION_FILE),
    )
    return metrics, on.folder


def _tokenizer() -> Any:
    return load_tokenizer(find_base(EMBEDDED)[0])


def in_listed_words(passage: Passage, inventory: Inventory) -> Passage:
    """The passage, with each unlisted gold replaced by the listed wording of the same sense, if there is one."""

    def listed(short_form: str, long_form: str | None) -> str | None:
        if long_form is None or long_form in inventory.long_forms(short_form):
            return long_form
        return reader.as_listed(short_form, long_form) or long_form

    mentions = tuple(replace(m, long_form=listed(m.short_form, m.long_form)) for m in passage.mentions)
    return as_listed(replace(passage, mentions=mentions), inventory)
