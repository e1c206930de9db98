"""What a run is evaluated on: which passages or quizzes, with which candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ..data.embedded import clinical, sample
from ..data.inventory import NO_SENSES, Inventory
from ..data.kinds import as_listed
from ..data.passages import Passage
from ..data.quizzes import Quiz
from ..data.rows import Quarantine
from ..data.shards import marked_passages
from ..data.sources.choices import is_choices, read_choices
from ..evaluation.short_forms import Knowledge
from ..tools.progress import say
from .adaptation import PARENT_TEST
from .parents import all_training_passages, parent_of, senses_as_listed
from .prepared import open_prepared
from .run import Run


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
    name, data, inventory = named_data(data, inventory)
    candidates = run.inventory if inventory is None else Inventory.read(inventory)
    known = run.prepared()
    passages: list[Passage] = []
    quizzes: list[Quiz] = []
    quarantine = Quarantine()
    if data is not None and is_choices(data):
        quizzes = read_choices(data, quarantine)[:limit]
    elif data is not None:
        passages, quarantine = read_marked(data, candidates, limit)
    else:
        known = known or open_prepared(run.data_folder)  # which says that it is gone
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
            "data": f"test split of {run.data_folder}" if data is None else str(data),
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
    prepared = open_prepared(parent.data_folder)
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


def named_data(data: Path | None, inventory: Path | None) -> tuple[str, Path | None, Path | None]:
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
