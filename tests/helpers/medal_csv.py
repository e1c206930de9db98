"""Writes passages in MeDAL's own format."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from medalist.data.passages import WORD, Passage
from medalist.data.sources.medal_tables import COLUMNS


def write_medal_csv(passages: Iterable[Passage], path: Path) -> None:
    """One row per mention that has a gold answer; every mention stands within one word."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for passage in passages:
            words = [match.span() for match in WORD.finditer(passage.text)]
            for mention in passage.mentions:
                index = next(i for i, (a, b) in enumerate(words) if a <= mention.start and mention.end <= b)
                if mention.long_form is not None:
                    writer.writerow([passage.id, passage.text, index, mention.long_form])
