"""Reads notes that were marked in a spreadsheet: one row per marked short form, with the note's text in each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..rows import ID_COLUMNS, TEXT_COLUMNS, Quarantine, column_name
from ..tables import column_names, table_records


def is_marked_notes(path: Path) -> bool:
    """Whether a table has the columns `text` (or `note_text`), `short_form` and `long_form`.

    Raises:
        ValueError: the file is damaged.
    """
    return _are_marks(column_names(path))


def _are_marks(names: Sequence[str]) -> bool:
    found = set(map(column_name, names))
    return {"short_form", "long_form"} <= found and not found.isdisjoint(TEXT_COLUMNS)


def marked_notes(path: Path, quarantine: Quarantine) -> Iterator[tuple[str, str, list[tuple[int, dict[str, Any]]]]]:
    """Yield (id, text, [(line, mention)]) of each note; rows with the same id are one note.

    A mention has `short_form` and `long_form`, and `start` and `end` if the table has these columns. A row without a
    long form adds the note but no mention. Without an id column, rows with the same text are one note.

    Raises:
        ValueError: the file is damaged or not CSV, or a column occurs twice.
    """
    names = list(map(column_name, column_names(path)))
    text_column, id_column = (next((one for one in usual if one in names), "") for usual in (TEXT_COLUMNS, ID_COLUMNS))
    used = (text_column, id_column, "short_form", "long_form", "start", "end")
    if twice := next((name for name in used if names.count(name) > 1), None):
        raise ValueError(f"{path} has two columns {twice}: rename or remove one")
    found: dict[str, tuple[str, list[tuple[int, dict[str, Any]]]]] = {}
    numbers: dict[str, str] = {}
    for line, record in table_records(path, quarantine, _are_marks):
        row = {column_name(name): cell for name, cell in record.items()}
        text = row[text_column]
        name = row[id_column].strip() if id_column else numbers.setdefault(text, str(len(numbers) + 1))
        if not text.strip() or not name:
            quarantine.add(path, line, "empty text" if name else "empty id")
            continue
        known, marks = found.setdefault(name, (text, []))
        if known != text:
            quarantine.add(path, line, "an earlier row with this id has another text")
            continue
        mark: dict[str, Any] = {key: row[key].strip() for key in ("short_form", "long_form")}
        if not mark["long_form"]:
            continue
        for key in ("start", "end"):
            if cell := row.get(key, "").strip():
                whole = re.sub(r"\.0+$", "", cell)
                mark[key] = int(whole) if whole.isdecimal() and len(whole) <= _MOST_DIGITS else cell
        marks.append((line, mark))
    for name, (text, marks) in found.items():
        yield name, text, marks


_MOST_DIGITS = 18
"""Digits of an offset; one with more is not read as a number."""
