"""Reads notes that were marked in a spreadsheet: one row per marked short form, with the note's text in each."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...tools.decoding import decoded, marked_encoding
from ...tools.files import open_bytes, read_bytes, undamaged
from ..rows import Quarantine, csv_fault

TEXT, ID = ("text", "note_text"), ("id", "note_id")
"""Names of the columns of text and id, in this order."""


def is_marked_notes(path: Path) -> bool:
    """Whether a CSV file has the columns `text` (or `note_text`), `short_form` and `long_form`.

    Raises:
        ValueError: the file is damaged.
    """
    with undamaged(path), open_bytes(path) as file:
        head = file.read(1 << 16)  # the file may be MeDAL's, of gigabytes
    first = head.decode(marked_encoding(head) or "utf-8", errors="replace").partition("\n")[0]
    names = {name.strip(' "\r\ufeff') for name in first.split(_separator(first))}
    return {"short_form", "long_form"} <= names and any(name in names for name in TEXT)


def marked_notes(path: Path, quarantine: Quarantine) -> Iterator[tuple[str, str, list[tuple[int, dict[str, Any]]]]]:
    """Yield (id, text, [(line, mention)]) of each note; rows with the same id are one note.

    A mention has `short_form` and `long_form`, and `start` and `end` if the table has these columns. A row without a
    long form is a note without this mark. Without a column of ids, rows with the same text are one note.

    Raises:
        ValueError: the file is damaged or not CSV.
    """
    names, rows = _table(path)
    at = {name: number for number, name in enumerate(names)}
    text_at = next(at[name] for name in TEXT if name in at)
    id_at = next((at[name] for name in ID if name in at), None)
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
                mark[key] = int(cell) if cell.isdecimal() else cell
        marks.append((line, mark))
    for name, (text, marks) in found.items():
        yield name, text, marks


def _separator(header: str) -> str:
    return max(",;\t|", key=header.count)


def _table(path: Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """The names of the columns, and the rows with the line on which each ends."""
    text, _ = decoded(read_bytes(path), str(path))
    separator = _separator(text.partition("\n")[0])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)

    def rows() -> Iterator[tuple[int, list[str]]]:
        while True:
            try:
                row = next(reader, None)
            except csv.Error as error:
                raise ValueError(f"{path}, line {reader.line_num:,}: {csv_fault(error)}") from None
            if row is None:
                return
            if any(row):
                yield reader.line_num, row

    content = rows()
    _, names = next(content, (0, []))
    return [name.strip() for name in names], content
