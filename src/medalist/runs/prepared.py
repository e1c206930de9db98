"""Reads a prepared folder: its passages or quizzes, its inventory and its account, `data.json`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, with_config
from typing_extensions import TypedDict

from ..corpora.accounts import InventoryCounts, PassageCounts
from ..data.inventory import NO_SENSES, Inventory
from ..data.passage_files import read_passages
from ..data.passages import Passage
from ..data.quizzes import Quiz, Text, read_quizzes
from ..data.splits import Split
from ..tools.shapes import checked, json_object

ACCOUNT_FILE = "data.json"


@with_config({"extra": "allow"})
class PreparedSettings(TypedDict):
    """The recipe's `data` section with which the data was prepared; only the keys that are read again are typed."""

    seed: int
    source: str


class Unusable(TypedDict):
    """Marks in a table that cannot be trained on, because their long form is not among the candidates."""

    short_form: str
    long_form: str
    mentions: int
    nearest: str | None
    """The inventory's nearest entry: "RA: room air"."""


class ShortFormAccount(TypedDict, total=False):
    """The part of the account that only passages have, not quizzes."""

    inventory: InventoryCounts
    distractors: dict[Split, int]
    """Mentions that are ordinary words, not short forms."""
    passages_without_mentions: int
    unusable_mentions: int
    """For a table: marks in the training split whose long form is not a candidate."""
    unusable: list[Unusable]
    """The most frequent of them."""
    replay: PassageCounts
    """The parent's training passages that are replayed; only for a run that is tuned further."""
    beside: list[PassageCounts]
    """For each folder of `data.beside`."""
    fingerprint: dict[str, str]
    """By split; replayed passages are under "replay", those of `data.beside` under "beside-1" and so on."""


class DataAccount(ShortFormAccount):
    """`data.json`: what was read, kept and quarantined."""

    settings: PreparedSettings
    passages: dict[Split, int]
    mentions: dict[Split, int]
    rows_read: int
    rows_quarantined: dict[str, int]
    """Reason -> number of rows that could not be read."""


_ACCOUNT: TypeAdapter[DataAccount] = TypeAdapter(DataAccount)


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A prepared folder, opened."""

    folder: Path
    inventory: Inventory
    account: DataAccount
    """The content of `data.json`: settings, counts, fingerprints."""

    def passages(self, split: Split) -> list[Passage]:
        """The passages of a split; empty if it holds quizzes."""
        if self._of_choices or not self.account["passages"][split]:
            return []
        return read_passages(self.folder / f"{split}.parquet", self.inventory)

    def quizzes(self, split: Split) -> list[Quiz]:
        """The quizzes of a split; empty if it holds passages."""
        return read_quizzes(self.folder / f"{split}.parquet") if self._of_choices else []

    def left_out(self) -> str | None:
        """A sentence on how many rows and marks are not trained on, and where they are listed, or None."""
        rows, marks = sum(self.account["rows_quarantined"].values()), self.account.get("unusable_mentions", 0)
        parts = [
            f"rows that cannot be read, {rows:,} of {self.account['rows_read']:,} (quarantine.jsonl)" if rows else "",
            f"marks whose long form is not listed, {marks:,} (data.json)" if marks else "",
        ]
        found = "; ".join(filter(None, parts))
        return f"Not trained on: {found}. The files are in {self.folder}" if found else None

    def texts(self, split: Split) -> Sequence[Text]:
        """The quizzes or passages of a split, whichever it holds."""
        return self.quizzes(split) or self.passages(split)

    @property
    def _of_choices(self) -> bool:
        return self.account["settings"]["source"] == "choices"

    def replayed(self) -> list[Passage]:
        """Passages of the parent that are trained on in addition to the training split; see `parents`."""
        if not self.account.get("replay", {"passages": 0})["passages"]:
            return []
        return read_passages(self.folder / "replay.parquet", self.inventory)

    def beside(self) -> list[tuple[list[Passage], Inventory]]:
        """The passages and the inventory of each folder of `data.beside`."""
        found = []
        for number in range(1, len(self.account.get("beside", [])) + 1):
            inventory = Inventory.read(self.folder / f"beside-{number}.inventory.csv")
            found.append((read_passages(self.folder / f"beside-{number}.parquet", inventory), inventory))
        return found


def is_prepared(folder: Path) -> bool:
    """Whether a folder holds complete prepared data."""
    return (folder / ACCOUNT_FILE).exists()  # it is written last


def open_prepared(folder: Path) -> Prepared:
    """Open a prepared folder.

    Raises:
        FileNotFoundError: the folder holds no prepared data.
        ValueError: its account is not valid JSON, or does not match the schema.
    """
    if not is_prepared(folder):
        raise FileNotFoundError(f"{folder} holds no prepared data; run `medalist prepare`")
    path, remedy = folder / ACCOUNT_FILE, "Remove the folder and run `medalist prepare` again."
    account = checked(path, _ACCOUNT, json_object(path, remedy=remedy), remedy=remedy)
    listed = account["settings"]["source"] != "choices"
    return Prepared(
        folder=folder, inventory=Inventory.read(folder / "inventory.csv") if listed else NO_SENSES, account=account
    )
