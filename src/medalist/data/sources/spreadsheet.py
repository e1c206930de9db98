"""Reads notes that were marked in a spreadsheet: one row per marked short form, with the note's text in each."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...tools.decoding import decoded
from ...tools.files import read_bytes
from ..rows import ID_COLUMNS, TEXT_COLUMNS, Quarantine, column_name, csv_fault, table_header
from ..tables import column_names


def is_marked_notes(path: Path) -> bool:
    """Whether a table has the columns `text` (or `note_text`), `short_form` and `long_form`.

    Raises:
        ValueError: the file is damaged.
    """
    names = list(map(column_name, column_names(path)))
    return {"short_form", "long_form"} <= set(names) and any(name in names for name in TEXT_COLUMNS)


def marked_notes(path: Path, quarantine: Quarantine) -> Iterator[tuple[str, str, list[tuple[int, dict[str, Any]]]]]:
    """Yield (id, text, [(line, mention)]) of each note; rows with the same id are one note.

    A mention has `short_form` and `long_form`, and `start` and `end` if the table has these columns. A row without a
    long form adds the note but no mention. Without an id column, rows with the same text are one note.

    Raises:
        ValueError: the file is damaged or not CSV, or a column occurs twice.
    """
    names, rows = _table(path)
    at = {name: number for number, name in enumerate(names)}
    text, identifier = (next((name for name in usual if name in at), "") for usual in (TEXT_COLUMNS, ID_COLUMNS))
    used = (text, identifier, "short_form", "long_form", "start", "end")
    if twice := next((name for name in used if names.count(name) > 1), None):
        raise ValueError(f"{path} has two columns {twice}: rename or remove one")
    text_at, id_at = at[text], at.get(identifier)
    found: dict[str, tuple[str, list[tuple[int, dict[str, Any]]]]] = {}
    numbers: dict[str, str] = {}
    for line, row in rows:
        quarantine.total += 1
        if len(row) != len(names):
            quarantine.add(path, line, f"{len(row)} columns instead of {len(names)}")
            continue
        text = row[text_at]
        name = numbers.setdefault(text, str(len(numbers) + 1)) if id_at is None else row[id_at].strip()
        if not text.strip() or not name:
            quarantine.add(path, line, "empty text" if name else "empty id")
            continue
        known, marks = found.setdefault(name, (text, []))
        if known != text:
            quarantine.add(path, line, "an earlier row with this id has another text")
            continue
        mark: dict[str, Any] = {key: row[at[key]].strip() for key in ("short_form", "long_form")}
        if not mark["long_form"]:
            continue
        for key in ("start", "end"):
            if key in at and row[at[key]].strip():
                cell = row[at[key]].strip()
                whole = re.sub(r"\.0+$", "", cell)
                mark[key] = int(whole) if whole.isdecimal() and len(whole) <= _MOST_DIGITS else cell
        marks.append((line, mark))
    for name, (text, marks) in found.items():
        yield name, text, marks


_MOST_DIGITS = 18
"""Digits of an offset; one with more is not read as a number."""


def _header(file: io.StringIO) -> tuple[list[str], int, str]:
    """The names of a table's columns, the number of lines up to them, and the separator."""
    header, num_lines, said = table_header(file)
    separator = said or max(",;\t|", key=header.count)
    columns: list[str] = next(csv.reader(io.StringIO(header, newline=""), delimiter=separator), [])
    return [column_name(name) for name in columns], num_lines, separator


def _table(path: Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The names of the columns, and the rows, each with the line on which it ends."""
    text, _ = decoded(read_bytes(path), str(path))
    file = io.StringIO(text, newline="")
    names, before, separator = _header(file)
    reader = csv.reader(file, delimiter=separator, strict=True)

    def rows() -> Iterator[tuple[int, list[str]]]:
        while True:
            try:
                row = next(reader, None)
            except csv.Error as error:
                raise ValueError(f"{path}, line {before + reader.line_num:,}: {csv_fault(error)}") from None
            if row is None:
                return
            while len(row) > len(names) and not row[-1].strip():  # empty columns after the last one
                row.pop()
            if any(row):
                yield before + reader.line_num, row

    return names, rows()
