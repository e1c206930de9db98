"""A prepared folder, read back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, with_config
from typing_extensions import TypedDict

from ..corpora.accounts import InventoryCounts
from ..data.inventory import NO_SENSES, Inventory
from ..data.passage_files import read_passages
from ..data.passages import Passage
from ..data.quizzes import Quiz, Text, read_quizzes
from ..data.splits import Split
from ..tools.shapes import checked, json_object

ACCOUNT_FILE = "data.json"


@with_config({"extra": "allow"})
class PreparedSettings(TypedDict):
    """What the data was prepared by: the recipe's section `data`, of which only what is read again is named here."""

    seed: int
    source: str


class ReplayCounts(TypedDict):
    """The parent's training passages that are trained on again."""

    passages: int
    mentions: int


class ShortFormAccount(TypedDict, total=False):
    """What the account of passages tells that the account of quizzes does not."""

    inventory: InventoryCounts
    distractors: dict[Split, int]
    """Mentions that are no short form."""
    passages_without_mentions: int
    replay: ReplayCounts
    """Of a run that is tuned further."""
    fingerprint: dict[str, str]
    """By split, and "replay"."""


class DataAccount(ShortFormAccount):
    """`data.json`: what was read, kept and set aside."""

    settings: PreparedSettings
    passages: dict[Split, int]
    mentions: dict[Split, int]
    rows_read: int
    rows_quarantined: dict[str, int]
    """Reason -> rows that could not be read."""


_ACCOUNT: TypeAdapter[DataAccount] = TypeAdapter(DataAccount)


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A prepared folder, read back."""

    folder: Path
    inventory: Inventory
    account: DataAccount
    """What `data.json` says: settings, counts, fingerprints."""

    def passages(self, split: Split) -> list[Passage]:
        """The passages of a split; none where it holds quizzes."""
        if self._of_choices or not self.account["passages"][split]:
            return []
        return read_passages(self.folder / f"{split}.parquet", self.inventory)

    def quizzes(self, split: Split) -> list[Quiz]:
        """The quizzes of a split; none where it holds passages."""
        return read_quizzes(self.folder / f"{split}.parquet") if self._of_choices else []

    def texts(self, split: Split) -> Sequence[Text]:
        """Whichever it holds."""
        return self.quizzes(split) or self.passages(split)

    @property
    def _of_choices(self) -> bool:
        return self.account["settings"]["source"] == "choices"

    def replayed(self) -> list[Passage]:
        """Passages of the parent that are trained on beside those of the training split; see `parents`."""
        if not self.account.get("replay", {"passages": 0})["passages"]:
            return []
        return read_passages(self.folder / "replay.parquet", self.inventory)


def open_prepared(folder: Path) -> Prepared:
    """Open a prepared folder.

    Raises:
        FileNotFoundError: it is none.
        ValueError: its account is no JSON, or of another shape.
    """
    if not (folder / "data.json").exists():
        raise FileNotFoundError(f"{folder} holds no prepared data; run `medalist prepare`")
    path, remedy = folder / ACCOUNT_FILE, "Remove the folder and run `medalist prepare` again."
    account = checked(path, _ACCOUNT, json_object(path, remedy=remedy), remedy=remedy)
    listed = account["settings"]["source"] != "choices"
    return Prepared(
        folder=folder, inventory=Inventory.read(folder / "inventory.csv") if listed else NO_SENSES, account=account
    )
