"""What a run is evaluated on: `HeldOut` is the request, `Questions` the passages or quizzes with their candidates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ..data.embedded import clinical, sample
from ..data.inventory import NO_SENSES, Inventory
from ..data.inventory_spelling import as_listed
from ..data.items import make_items
from ..data.passages import Passage
from ..data.quizzes import Quiz, Text
from ..data.rows import Quarantine
from ..data.shards import marked_passages
from ..data.sources.choices import is_choices, read_choices
from ..evaluation.results import DataAbout
from ..evaluation.short_forms import Knowledge
from ..tools.progress import say
from .adaptation import PARENT_TEST, ParentTest
from .parents import all_training_passages, parent_of, senses_as_listed
from .prepared import open_prepared
from .run import Run


def check_limit(limit: int | None) -> None:
    """Check that a limit is a positive whole number, or None.

    Raises:
        ValueError: it is something else.
    """
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise ValueError(f"limit is {limit!r}; it must be a whole number and at least 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOut:
    """A request: which data to evaluate a run on."""

    data: Path | ParentTest | None = None
    """Marked passages (MeDAL CSV, JSONL, Parquet); choice questions, recognised by their content (see
    `data.sources.choices`); or the embedded notes by name (`clinical.NOTES`), with the sample's inventory if none is
    given. None: the test split of the run's own data."""
    inventory: Path | None = None
    """The candidates of mentions; None: the run's inventory."""
    limit: int | None = None
    """The maximum number of passages; None: all."""

    def __post_init__(self) -> None:
        """Accept paths given as text, and check the limit."""
        for name in ("data", "inventory"):
            if type(value := getattr(self, name)) is str:
                object.__setattr__(self, name, PARENT_TEST if value == PARENT_TEST else Path(value))
        check_limit(self.limit)

    @classmethod
    def named(cls, data: Path | None, inventory: Path | None = None, limit: int | None = None) -> HeldOut:
        """The request as given on the command line, where `parent-test` means the parent's test split, not a file."""
        return cls(data=PARENT_TEST if data == Path(PARENT_TEST) else data, inventory=inventory, limit=limit)


OWN_TEST = HeldOut()
"""The request for the test split of the run's own data."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Questions:
    """The texts that a run is evaluated on, with their candidates."""

    passages: list[Passage]
    """Empty if the questions are quizzes."""
    quizzes: list[Quiz]
    """Empty if the questions are about passages."""
    inventory: Inventory
    knowledge: Knowledge
    folder: Path
    """Where the results are written: `evaluation/<data>/` in the run's folder."""
    quarantine: Quarantine
    about: DataAbout
    """What the metrics record about the data."""

    @property
    def texts(self) -> Sequence[Text]:
        """The quizzes or the passages, whichever there are."""
        return self.quizzes or self.passages

    def check_answerable(self) -> None:
        """Raise an error before scoring, which may take hours, if no question offers a choice.

        Raises:
            ValueError: no question has a listed gold answer and a second candidate.
        """
        if not self.quizzes and not any(item.kind == "choice" for item in make_items(self.passages, self.inventory)):
            raise ValueError(
                f"{self.about['data']}: no mention has a listed gold answer and a second candidate, so there is "
                f"nothing to measure. Is {self.inventory.origin} the right inventory (--inventory)?"
            )


def held_out(run: Run, on: HeldOut = OWN_TEST) -> Questions:
    """The passages or quizzes to evaluate a run on, with their candidates."""
    if isinstance(on.data, ParentTest):
        return _held_out_of_parent(run, on)
    name, data, inventory = ("test", None, on.inventory) if on.data is None else named_data(on.data, on.inventory)
    candidates = run.inventory if inventory is None else Inventory.read(inventory)
    known = run.prepared()
    passages: list[Passage] = []
    quizzes: list[Quiz] = []
    quarantine = Quarantine()
    if data is not None and is_choices(data):
        quizzes = read_choices(data, quarantine)[: on.limit]
    elif data is not None:
        passages, quarantine = read_marked(data, candidates, on.limit)
    else:
        known = known or open_prepared(run.data_folder)  # raises if the data is gone
        passages, quizzes = known.passages("test")[: on.limit], known.quizzes("test")[: on.limit]
        if not passages and not quizzes:
            raise ValueError(f"{run.folder} has no test split; name a file with --data")
    return Questions(
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


def _held_out_of_parent(run: Run, on: HeldOut) -> Questions:
    """The test split of the parent's data with the parent's candidates: the questions of its own evaluation."""
    parent = parent_of(run)
    if parent is None:
        raise ValueError(
            f"{run.folder} has no parent run, or its parent no longer exists, so there is no {PARENT_TEST}"
        )
    prepared = open_prepared(parent.data_folder)
    passages = prepared.passages("test")[: on.limit]
    if not passages:
        raise ValueError(f"{parent.folder} has no test split; name a file with --data")
    listed = on.inventory or parent.folder / "inventory.csv"
    candidates = Inventory.read(listed)
    return Questions(
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


def named_data(data: Path | str, inventory: Path | str | None) -> tuple[str, Path, Path | None]:
    """The name of the results, the data file and the inventory; embedded notes come with their own inventory."""
    data, inventory = Path(data), None if inventory is None else Path(inventory)
    if str(data) not in clinical.NOTES:
        return data.name.split(".")[0], data, inventory
    if str(data) in clinical.LOCKED:
        say(f"{data} is locked: select models on clinical-development, score this once, and log the result")
    return str(data), clinical.NOTES[str(data)], inventory or sample.FILES[1]


def read_marked(data: Path, inventory: Inventory, limit: int | None = None) -> tuple[list[Passage], Quarantine]:
    """Passages to evaluate on, from a file or a corpus folder's test split; golds take the inventory's spelling."""
    quarantine = Quarantine()
    found = marked_passages(data, "test", inventory, quarantine)
    return [as_listed(passage, inventory) for passage in islice(found, limit)], quarantine
