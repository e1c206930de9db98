"""Texts for evaluation only: notes in which a wrong long form would be harmful, and general English.

Written for this project, CC0; see `DATASHEET.md` in this folder for what they are and are not.
"""

from __future__ import annotations

from pathlib import Path

from ...inventory import Inventory
from ...passage_files import read_passages
from ...passages import Passage

HERE = Path(__file__).parent


def dangerous_pairs() -> tuple[list[Passage], Inventory]:
    """Notes with one marked short form each, and the two or three senses that must not be confused."""
    inventory = Inventory.read(HERE / "dangerous_pairs.csv")
    return read_passages(HERE / "dangerous_pairs.jsonl", inventory), inventory


def general_english() -> list[str]:
    """Paragraphs about topics other than medicine."""
    return (HERE / "general_english.txt").read_text(encoding="utf-8").strip().split("\n\n")
