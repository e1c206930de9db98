"""Reads tables written by spreadsheets and databases, row by row.

Separators are commas, semicolons, tabs or bars; encodings are UTF-8, UTF-16 and Windows-1252; gzip is supported.
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
"""Bytes in which to look for a header without reading the whole table, which may have gigabytes."""


def column_names(path: Path) -> list[str]:
    """The names of a table's columns as written in its header; [] if the table is empty.

    Raises:
        ValueError: the file is damaged, or in a known format that is not a table.
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
    """Open a table: yield the names of its columns, as written in its header, and its rows, read one by one.

    Rows may have more or fewer cells than there are columns. Empty lines are dropped, as are empty cells after the last
    column. A byte that cannot be decoded becomes a lone surrogate (Python's `surrogateescape`).

    Args:
        path: the file.
        content: the file's content, if it was read already, as for `open_bytes`; `path` then only names it in errors.
        encoding: None: from the byte order mark, or else UTF-8, or else Windows-1252.
        separator: the preferred separator among those equally frequent in the header.
        wanted: whether a header has the required columns; the first separator for which it does is used.

    Raises:
        ValueError: the table is empty or damaged, or in another encoding.
    """
    in_words = f"{path} is not {encoding or 'what its byte order mark says'}: name its encoding with --encoding"
    opened = open_text(
        path, content, encoding=encoding or encoding_of(path, content), errors="surrogateescape", newline=""
    )
    with undamaged(path), opened as file:
        try:
            header, num_lines, said = table_header(file)
        except UnicodeError:
            raise ValueError(in_words) from None
        if not header:
            raise ValueError(f"{path} is empty")
        marks = [said] if said else sorted((separator, *_SEPARATORS), key=lambda mark: -header.count(mark))
        mark = next((mark for mark in marks if wanted(_split(header, mark))), marks[0])
        columns = _split(header, mark)
        while len(columns) > 1 and not columns[-1].strip():
            columns.pop()
        reader = csv.reader(file, delimiter=mark, strict=True)
        yield columns, _rows(path, reader, num_lines, len(columns), in_words)


def table_records(
    path: Path, quarantine: Quarantine, wanted: Callable[[Sequence[str]], bool]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a table as column -> cell, with the line on which each begins; unreadable rows are quarantined.

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
    """Whether a row repeats the header, as where another table was appended to the first one."""
    return len(row) == len(names) and [row[0].removeprefix("\ufeff"), *row[1:]] == [*names]


def _rows(path: Path, reader: Reader, before: int, columns: int, in_words: str) -> Iterator[NumberedRow]:
    while True:
        begins = reader.line_num + before + 1
        limit = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a cell holds a whole note
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise ValueError(f"{path}, line {begins:,}: {csv_fault(error)}") from None
        except UnicodeError:
            raise ValueError(in_words) from None
        finally:
            csv.field_size_limit(limit)  # the limit is global to the process
        if row is None:
            return
        while len(row) > columns and not row[-1].strip():
            row.pop()
        if row:
            yield begins, row


def _split(header: str, mark: str) -> list[str]:
    return next(csv.reader(io.StringIO(header, newline=""), delimiter=mark), [])
