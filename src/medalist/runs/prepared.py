"""A prepared folder, read back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.inventory import NO_SENSES, Inventory
from ..data.passage_files import read_passages
from ..data.passages import Passage
from ..data.quizzes import Quiz, read_quizzes
from ..data.splits import Split


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A prepared folder, read back."""

    folder: Path
    inventory: Inventory
    account: dict[str, Any]
    """What `data.json` says: settings, counts, fingerprints."""

    def passages(self, split: Split) -> list[Passage]:
        """The passages of a split; none where it holds quizzes."""
        if self._of_choices or not self.account["passages"][split]:
            return []
        return read_passages(self.folder / f"{split}.parquet", self.inventory)

    def quizzes(self, split: Split) -> list[Quiz]:
        """The quizzes of a split; none where it holds passages."""
        return read_quizzes(self.folder / f"{split}.parquet") if self._of_choices else []

    def texts(self, split: Split) -> Sequence[Passage | Quiz]:
        """Whichever it holds."""
        return self.quizzes(split) or self.passages(split)

    @property
    def _of_choices(self) -> bool:
        return bool(self.account["settings"]["source"] == "choices")

    def replayed(self) -> list[Passage]:
        """Passages of the parent that are trained on beside those of the training split; see `parents`."""
        if not self.account.get("replay", {}).get("passages"):
            return []
        return read_passages(self.folder / "replay.parquet", self.inventory)


def is_prepared(folder: Path) -> bool:
    """Whether a folder holds prepared data, complete."""
    return (folder / "data.json").exists()  # written last of all


def open_prepared(folder: Path) -> Prepared:
    """Open a prepared folder.

    Raises:
        FileNotFoundError: it is none.
    """
    if not is_prepared(folder):
        raise FileNotFoundError(f"{folder} holds no prepared data; run `medalist prepare`")
    account = json.loads((folder / "data.json").read_text(encoding="utf-8"))
    listed = account["settings"]["source"] != "choices"
    return Prepared(
        folder=folder, inventory=Inventory.read(folder / "inventory.csv") if listed else NO_SENSES, account=account
    )
