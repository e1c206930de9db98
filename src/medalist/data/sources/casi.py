"""Reads the annotated notes of CASI, the University of Minnesota's Clinical Abbreviation Sense Inventory.

The data set (Moon et al. 2014) has 37,500 excerpts from clinical notes, each with one annotated short form; one row is
one passage.
"""

from __future__ import annotations

import re
from pathlib import Path

from ...tools.files import must_exist, read_bytes
from ..inventory_files import CASI_COLUMNS, CASI_ORDINARY, CASI_UNUSABLE, casi_cells, casi_sense, casi_text
from ..passages import NONE_OF_THESE, Mention, Passage
from ..rows import Quarantine
from ..spelling import tidy


def read_casi(path: Path, quarantine: Quarantine) -> list[Passage]:
    """Read CASI's rows: short form|long form|short form as written|start|end|section|text, windows-1252, also `.gz`.

    Ordinary words and people's names that only look like short forms (GENERAL ENGLISH, NAME) have the gold answer
    `NONE_OF_THESE`. Rows about which the annotators were unsure, or that they called a mistake, are quarantined with
    that reason; they do not count towards the quarantine's limit.

    Returns:
        One passage per row, with the id "<short form>-<line number>" and the source "casi".

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is damaged, or too many rows are malformed (`TooManyBadRows`).
    """
    must_exist(path)
    passages = []
    for line, cells in casi_cells(casi_text(read_bytes(path))):
        quarantine.total += 1
        try:
            sense = _sense(cells)
            if sense in CASI_UNUSABLE:
                quarantine.add(path, line, f"the annotators wrote: {sense}", bad=False)
            else:
                passages.append(_passage(line, cells, sense))
        except ValueError as error:
            quarantine.add(path, line, str(error))
    quarantine.check()
    return passages


def _sense(cells: list[str]) -> str:
    if len(cells) != len(CASI_COLUMNS):
        raise ValueError(f"{len(cells)} columns instead of {len(CASI_COLUMNS)}")
    sense = tidy(casi_sense(cells[1]))
    for name, cell in zip(CASI_COLUMNS, (cells[0], sense, cells[2]), strict=False):
        if not cell.strip():
            raise ValueError(f"empty {name}")
    return sense


def _passage(line: int, cells: list[str], sense: str) -> Passage:
    short_form, _, written, start, end, _, text = cells
    if not all(offset.strip().isdecimal() and len(offset) < 20 for offset in (start, end)):
        raise ValueError("start and end are not both whole numbers")
    at = _standing(text, written.strip(), int(start))
    mention = Mention(
        start=at,
        end=at + len(written.strip()),
        short_form=tidy(short_form),
        long_form=NONE_OF_THESE if sense in CASI_ORDINARY else sense,
    )
    return Passage(id=f"{tidy(short_form)}-{line}", text=text, mentions=(mention,), source="casi")


def _standing(text: str, written: str, start: int) -> int:
    """The position of the short form. Copies of the file count offsets differently, so the text is authoritative."""
    if text.startswith(written, start):
        return start
    places = [match.start() for match in re.finditer(rf"(?<!\w){re.escape(written)}(?!\w)", text)]
    if not places:
        raise ValueError(f"the short form stands neither at {start:,} nor as a word elsewhere in the text")
    return min(places, key=lambda place: abs(place - start))
