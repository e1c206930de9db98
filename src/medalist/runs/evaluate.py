"""Evaluating a run, or a bare base model, on held-out passages: which passages, which candidates, which weights."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from ..corpora.corpus import marked_passages
from ..data.embedded import clinical, sample
from ..data.inventory import NO_SENSES, Inventory
from ..data.kinds import as_listed
from ..data.passage_files import read_passages
from ..data.passages import Passage
from ..data.quizzes import Quiz
from ..data.rows import Quarantine
from ..data.sources.choices import is_choices, read_choices
from ..evaluation.short_forms import Knowledge, evaluate
from ..models.base import LoadedModel, load_base
from ..models.precision import Quantization
from ..recipe import Recipe
from ..tools.progress import say
from ..trees.prompt import PromptSettings
from .adaptation import PARENT_TEST, adaptation
from .card import write_card
from .parents import all_training_passages, parent_of, senses_as_listed
from .prepare import load_inventory, open_prepared
from .run import Run, load_run_base, load_tuned, use_threads


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOut:
    """What a run is evaluated on."""

    passages: list[Passage]
    """None where it is quizzes."""
    quizzes: list[Quiz]
    """None where it is passages."""
    inventory: Inventory
    knowledge: Knowledge
    folder: Path
    """Gets the results: `evaluation/<data>/` of the run."""
    quarantine: Quarantine
    about: dict[str, Any]
    """What the metrics should say of the data."""

    @property
    def texts(self) -> Sequence[Passage | Quiz]:
        """Whichever there are."""
        return self.quizzes or self.passages


def held_out(run: Run, *, data: Path | None = None, inventory: Path | None = None, limit: int | None = None) -> HeldOut:
    """The passages and candidates to evaluate a run on; arguments as for `evaluate_run`."""
    if data is not None and str(data) == PARENT_TEST:
        return _held_out_of_parent(run, inventory, limit)
    name, data, inventory = _named(data, inventory)
    candidates = run.inventory if inventory is None else Inventory.read(inventory)
    prepared = Path(run.record["data"]["folder"])
    known = open_prepared(prepared) if (prepared / "data.json").exists() else None
    passages: list[Passage] = []
    quizzes: list[Quiz] = []
    quarantine = Quarantine()
    if data is not None and is_choices(data):
        quizzes = read_choices(data, quarantine)[:limit]
    elif data is not None:
        passages, quarantine = read_marked(data, candidates, limit)
    else:
        known = known or open_prepared(prepared)  # which says that it is gone
        passages, quizzes = known.passages("test")[:limit], known.quizzes("test")[:limit]
        if not passages and not quizzes:
            raise ValueError(f"{run.folder} has no test split; name a file with --data")
    return HeldOut(
        passages=passages,
        quizzes=quizzes,
        inventory=NO_SENSES if quizzes else candidates,
        knowledge=Knowledge(
            trained=run.trained if run.trained.senses else None,
            train=all_training_passages(run),
            quizzes=known.quizzes("train") if known else None,
        ),
        folder=run.folder / "evaluation" / name,
        quarantine=quarantine,
        about={
            "data": f"test split of {prepared}" if data is None else str(data),
            "file": None if data is None else str(data.resolve()),
            "inventory_file": None if inventory is None else str(inventory.resolve()),
            "run": run.folder.name,
            "base": run.base.id,
        },
    )


def _held_out_of_parent(run: Run, inventory: Path | None, limit: int | None) -> HeldOut:
    """The test split of the parent's data with the parent's candidates: the questions of its own evaluation."""
    parent = parent_of(run)
    if parent is None:
        raise ValueError(
            f"{run.folder} was not tuned further from a run that is still there, so there is no {PARENT_TEST}"
        )
    prepared = open_prepared(Path(parent.record["data"]["folder"]))
    passages = prepared.passages("test")[:limit]
    if not passages:
        raise ValueError(f"{parent.folder} has no test split; name a file with --data")
    listed = inventory or parent.folder / "inventory.csv"
    candidates = Inventory.read(listed)
    return HeldOut(
        passages=passages,
        quizzes=[],
        inventory=candidates,
        knowledge=Knowledge(trained=senses_as_listed([run.trained], candidates), train=all_training_passages(run)),
        folder=run.folder / "evaluation" / PARENT_TEST,
        quarantine=Quarantine(),
        about={
            "data": f"test split of {prepared.folder}",
            "file": str((prepared.folder / "test.parquet").resolve()),
            "inventory_file": str(listed.resolve()),
            "run": run.folder.name,
            "base": run.base.id,
        },
    )


class RunModels:
    """Models of a run: loaded when first asked for. The base comes first; the others are put on it and so change it."""

    def __init__(self, run: Run) -> None:
        self._run, self._parent = run, parent_of(run)
        self._base: LoadedModel | None = None
        self.weights = {"base": run.base.sha256}
        """What identifies the weights of each model that there is."""
        if self._parent is not None and self._parent.tuned is not None:
            self.weights["parent"] = _folder_sha256(self._parent.tuned)
        if run.tuned is not None:
            self.weights["tuned"] = _folder_sha256(run.tuned)

    def load(self, name: str) -> LoadedModel:
        """The model of that name; after "parent" or "tuned", "base" is loaded from disk again."""
        run = {"tuned": self._run, "parent": self._parent}.get(name)
        if run is not None:
            base, self._base = self._base, None
            return load_tuned(run, base)
        self._base = self._base or load_run_base(self._run)
        return self._base


def evaluate_run(
    run: Run, *, data: Path | None = None, inventory: Path | None = None, limit: int | None = None
) -> tuple[dict[str, Any], Path]:
    """Evaluate base and tuned model of a run on the same questions; of a run that was tuned further its parent too.

    Args:
        run: trained to its end; before that, only what it begins with is evaluated.
        data: marked passages (MeDAL CSV, JSONL, Parquet); choice questions, told by their content (see
            `sources.choices`); the embedded notes by name, with the sample's inventory if none is given:
            clinical-development, clinical-locked; parent-test: the test split of the parent's data. None: the test
            split of the run's own data, and after it, of a run that was tuned further, parent-test.
        inventory: the candidates of mentions; None: the run's.
        limit: take only so many passages.

    Returns:
        The metrics, and the folder that holds them: `evaluation/<data>/` of the run. After an evaluation of both splits
        the metrics have `adaptation`, what was gained and lost.
    """
    use_threads(run.recipe)
    parent = parent_of(run)
    if run.recipe.model.parent is not None and parent is None:
        say(f"{run.recipe.model.parent}, which this run began with, is gone or trained anew: it is left out")
    held = held_out(run, data=data, inventory=inventory, limit=limit)
    models = RunModels(run)
    before = None if parent is None else parent.folder / "evaluation" / held.folder.name.removeprefix("parent-")
    metrics = evaluate(
        {name: (weights, partial(models.load, name)) for name, weights in models.weights.items()},
        held.texts,
        held.inventory,
        run.recipe.prompt,
        held.folder,
        knowledge=held.knowledge,
        max_nodes=run.recipe.evaluation.max_nodes,
        resamples=run.recipe.evaluation.bootstrap,
        quarantine=held.quarantine,
        about=held.about,
        earlier=None if before is None else {"base": (before, "base"), "parent": (before, "tuned")},
    )
    if data is None and parent is not None and run.tuned is not None and _has_test(parent):
        evaluate_run(run, data=Path(PARENT_TEST), limit=limit)
        metrics |= {"adaptation": adaptation(run)}
    write_card(run)
    return metrics, held.folder


def _has_test(run: Run) -> bool:
    """Whether the test split of a run's data is still there and holds something."""
    folder = Path(run.record["data"]["folder"])
    if not (folder / "data.json").exists():
        say(f"The data of {run.folder} is gone: what was lost there cannot be measured")
        return False
    return bool(open_prepared(folder).account["passages"]["test"])


def evaluate_base(
    source: str,
    *,
    revision: str | None = None,
    quantization: Quantization = "none",
    data: Path,
    inventory: Path | None = None,
    train: Path | None = None,
    limit: int | None = None,
    output: Path = Path("evaluation"),
) -> tuple[dict[str, Any], Path]:
    """Evaluate a bare base model.

    Args:
        source: as for `load_base`.
        revision: as for `load_base`.
        quantization: as for `load_base`.
        data: marked passages, choice questions, or the embedded notes by name.
        inventory: the candidates of mentions; None: the sample's.
        train: marked passages, or choice questions, that the baselines may learn from.
        limit: take only so many passages.
        output: gets `<model>/<data>/`.

    Returns:
        The metrics, and the folder that holds them.
    """
    settings = Recipe()
    name, file, inventory = _named(data, inventory)
    assert file is not None
    texts: Sequence[Passage | Quiz]
    quarantine = Quarantine()
    if is_choices(file):
        candidates = NO_SENSES
        texts = read_choices(file, quarantine)[:limit]
        knowledge = Knowledge(quizzes=read_choices(train) if train is not None else None)
    else:
        candidates = load_inventory(settings.data) if inventory is None else Inventory.read(inventory)
        texts, quarantine = read_marked(file, candidates, limit)
        known = read_passages(train, candidates) if train is not None else None
        knowledge = Knowledge(trained=Inventory.mined(known) if known else None, train=known)
    base = load_base(source, revision=revision, quantization=quantization)
    folder = output / base.identity.id.split("/")[-1] / name
    metrics = evaluate(
        {"base": (base.identity.sha256, lambda: base)},
        texts,
        candidates,
        PromptSettings(),
        folder,
        knowledge=knowledge,
        max_nodes=settings.evaluation.max_nodes,
        resamples=settings.evaluation.bootstrap,
        quarantine=quarantine,
        about={"data": str(file), "base": base.identity.id},
    )
    return metrics, folder


def _named(data: Path | None, inventory: Path | None) -> tuple[str, Path | None, Path | None]:
    """The name of the data's results, its file, and its inventory; embedded notes bring their own."""
    if data is None:
        return "test", None, inventory
    if str(data) not in clinical.NOTES:
        return data.name.split(".")[0], data, inventory
    if str(data) == "clinical-locked":
        say("clinical-locked is locked: choose on clinical-development, score this once, and log it")
    return str(data), clinical.NOTES[str(data)], inventory or sample.FILES[1]


def read_marked(data: Path, inventory: Inventory, limit: int | None = None) -> tuple[list[Passage], Quarantine]:
    """Passages to evaluate on, golds spelt as listed: of a file, or of the test split in a corpus's folder."""
    quarantine = Quarantine()
    found = marked_passages(data, "test", inventory, quarantine)
    return [as_listed(passage, inventory) for passage in islice(found, limit)], quarantine


def _folder_sha256(folder: Path) -> str:
    return hashlib.sha256(b"".join(sorted(p.read_bytes() for p in folder.glob("*.safetensors")))).hexdigest()
