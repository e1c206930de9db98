"""Reads tables as spreadsheets and databases write them, row by row.

Cells are separated by commas, semicolons, tabs or bars, in UTF-8, UTF-16 or Windows-1252, plain or gzipped.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..tools.decoding import encoding_of, marked_encoding
from ..tools.files import open_bytes, open_text, undamaged
from .rows import Quarantine, csv_fault, table_header

if TYPE_CHECKING:
    from _csv import Reader

NumberedRow = tuple[int, list[str]]
"""(the line on which it begins, its cells)."""
_SEPARATORS = (",", ";", "\t", "|")
HEADER_AGAIN = "the header again, as where tables were joined"
_HEAD = 1 << 16
"""Bytes in which a header is looked for without reading the table, which may have gigabytes."""


def column_names(path: Path) -> list[str]:
    """The names of a table's columns as its header writes them; [] if the table is empty.

    Raises:
        ValueError: the file is damaged or of a known format of another kind.
    """
    with undamaged(path), open_bytes(path) as file:
        head = file.read(_HEAD)
    text = head.decode(marked_encoding(head) or "utf-8", errors="replace")
    header, _, said = table_header(io.StringIO(text, newline=""))
    return _split(header, said or max(_SEPARATORS, key=header.count))


@contextmanager
def open_table(
    path: Path,
    content: bytes | None = None,
    *,
    encoding: str | None = None,
    separator: str = ",",
    wanted: Callable[[Sequence[str]], bool] = lambda names: len(names) > 1,
) -> Iterator[tuple[list[str], Iterator[NumberedRow]]]:
    """Open a table: the names of its columns, as its header writes them, and its rows, which are read one by one.

    Rows may have more or fewer cells than there are columns; empty lines are left out, and so are empty cells
    behind the last column. A byte that cannot be decoded is a lone surrogate, as Python's `surrogateescape` makes it.

    Args:
        path: the file.
        content: what was read already, as for `open_bytes`; `path` then only names it in errors.
        encoding: None: by the byte order mark, or else UTF-8, or else Windows-1252.
        separator: of those that are equally frequent in the header, the one to take.
        wanted: whether a header has the columns that are looked for; the separator with which it has them is taken.

    Raises:
        ValueError: the table is empty or damaged, or in another encoding.
    """
    opened = open_text(
        path, content, encoding=encoding or encoding_of(path, content), errors="surrogateescape", newline=""
    )
    with undamaged(path), opened as file:
        header, num_lines, said = table_header(file)
        if not header:
            raise ValueError(f"{path} is empty")
        marks = [said] if said else sorted((separator, *_SEPARATORS), key=lambda mark: -header.count(mark))
        mark = next((mark for mark in marks if wanted(_split(header, mark))), marks[0])
        columns = _split(header, mark)
        while len(columns) > 1 and not columns[-1].strip():
            columns.pop()
        reader = csv.reader(file, delimiter=mark, strict=True)
        yield columns, _rows(path, reader, num_lines, len(columns))


def table_records(
    path: Path, quarantine: Quarantine, wanted: Callable[[Sequence[str]], bool]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a table as column -> cell, with the line on which each begins; those that cannot be read are quarantined.

    Args:
        path: the file.
        quarantine: collects bad rows.
        wanted: as for `open_table`.
    """
    with open_table(path, wanted=wanted) as (names, rows):
        for line, row in rows:
            quarantine.total += 1
            if repeats(names, row):
                quarantine.add(path, line, HEADER_AGAIN)
            elif len(row) != len(names):
                quarantine.add(path, line, f"{len(row)} columns instead of {len(names)}")
            elif any(re.search("[\udc80-\udcff]", cell) for cell in row if not cell.isascii()):
                quarantine.add(path, line, "not UTF-8")
            else:
                yield line, dict(zip(names, row, strict=True))


def repeats(names: Sequence[str], row: Sequence[str]) -> bool:
    """Whether a row is the header of another table that was put behind the first one."""
    return len(row) == len(names) and [row[0].removeprefix("\ufeff"), *row[1:]] == [*names]


def _rows(path: Path, reader: Reader, before: int, columns: int) -> Iterator[NumberedRow]:
    while True:
        begins = reader.line_num + before + 1
        limit = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a cell holds a whole note
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise ValueError(f"{path}, line {begins:,}: {csv_fault(error)}") from None
        finally:
            csv.field_size_limit(limit)  # the limit is the process's
        if row is None:
            return
        while len(row) > columns and not row[-1].strip():
            row.pop()
        if row:
            yield begins, row


def _split(header: str, mark: str) -> list[str]:
    return next(csv.reader(io.StringIO(header, newline=""), delimiter=mark), [])
