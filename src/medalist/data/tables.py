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
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ..tools.decoding import encoding_of, marked_encoding
from ..tools.files import open_bytes, open_text, undamaged
from .rows import Quarantine

if TYPE_CHECKING:
    from _csv import Reader

NumberedRow = tuple[int, list[str]]
"""(the line on which it begins, its cells)."""
_SEPARATORS = (",", ";", "\t", "|")
HEADER_AGAIN = "the header again, as where tables were joined"
_HEAD = 1 << 16
"""Bytes in which to look for a header without reading the whole table, which may have gigabytes."""
_LONGEST_HEADER = 1_000_000
"""Maximum length of a header in characters; a longer one has an unclosed quotation mark."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose header has been read."""

    names: list[str]
    """The names of its columns, as written in its header; none if the table is empty."""
    separator: str
    line: int
    """The line on which its header ends."""
    rows: Iterator[NumberedRow]
    """The rows, read one by one; they may have more or fewer cells than there are columns.

    Empty lines are dropped, as are empty cells after the last column. A row that is not CSV, or that never ends, is a
    `ValueError` that names the line on which it begins.
    """


def _several(names: Sequence[str]) -> bool:
    return len(names) > 1


def read_table(
    file: TextIO,
    *,
    separator: str = ",",
    wanted: Callable[[Sequence[str]], bool] = _several,
    place: str = "",
) -> Table:
    """Read the header of a table: its first row that is not blank, after a line such as "sep=;" if there is one.

    Args:
        file: the table, opened with `newline=""`.
        separator: the preferred separator among those equally frequent in the header.
        wanted: whether a header has the required columns; the first separator for which it does is used.
        place: what errors put before the line: the file's name and a comma.
    """
    header, line, said = _header(file)
    marks = [said] if said else sorted((separator, *_SEPARATORS), key=lambda mark: -header.count(mark))
    mark = next((mark for mark in marks if wanted(_split(header, mark))), marks[0])
    names = _split(header, mark)
    while len(names) > 1 and not names[-1].strip():
        names.pop()
    return Table(names, mark, line, _rows(csv.reader(file, delimiter=mark, strict=True), line, len(names), place))


@contextmanager
def open_table(
    path: Path,
    content: bytes | None = None,
    *,
    encoding: str | None = None,
    separator: str = ",",
    wanted: Callable[[Sequence[str]], bool] = _several,
) -> Iterator[Table]:
    """Open a table. A byte that cannot be decoded becomes a lone surrogate (Python's `surrogateescape`).

    Args:
        path: the file.
        content: the file's content, if it was read already, as for `open_bytes`; `path` then only names it in errors.
        encoding: None: from the byte order mark, or else UTF-8, or else Windows-1252.
        separator: as for `read_table`.
        wanted: as for `read_table`.

    Raises:
        ValueError: the table is empty or damaged, or in another encoding.
    """
    opened = open_text(
        path, content, encoding=encoding or encoding_of(path, content), errors="surrogateescape", newline=""
    )
    with undamaged(path), opened as file:
        try:
            table = read_table(file, separator=separator, wanted=wanted, place=f"{path}, ")
            if not table.names:
                raise ValueError(f"{path} is empty")
            yield table
        except UnicodeError:
            named = encoding or "what its byte order mark says"
            raise ValueError(f"{path} is not {named}: name its encoding with --encoding") from None


def column_names(path: Path) -> list[str]:
    """The names of a table's columns as written in its header; [] if the table is empty.

    Raises:
        ValueError: the file is damaged, or in a known format that is not a table.
    """
    with undamaged(path), open_bytes(path) as file:
        head = file.read(_HEAD)
    text = head.decode(marked_encoding(head) or "utf-8", errors="replace")
    return read_table(io.StringIO(text, newline="")).names


def table_records(
    path: Path, quarantine: Quarantine, wanted: Callable[[Sequence[str]], bool]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a table as column -> cell, with the line on which each begins; unreadable rows are quarantined.

    Rows of empty cells, which spreadsheets leave behind, are dropped.

    Args:
        path: the file.
        quarantine: collects bad rows.
        wanted: as for `read_table`.
    """
    with open_table(path, wanted=wanted) as table:
        for line, row in table.rows:
            if not any(map(str.strip, row)):
                continue
            quarantine.total += 1
            if repeats(table.names, row):
                quarantine.add(path, line, HEADER_AGAIN)
            elif len(row) != len(table.names):
                quarantine.add(path, line, f"{len(row)} columns instead of {len(table.names)}")
            elif any(re.search("[\udc80-\udcff]", cell) for cell in row if not cell.isascii()):
                quarantine.add(path, line, "not UTF-8")
            else:
                yield line, dict(zip(table.names, row, strict=True))


def repeats(names: Sequence[str], row: Sequence[str]) -> bool:
    """Whether a row repeats the header, as where another table was appended to the first one."""
    return len(row) == len(names) and [row[0].removeprefix("\ufeff"), *row[1:]] == [*names]


def csv_fault(error: csv.Error) -> str:
    """Describe a csv.Error in the user's terms, not the csv module's."""
    said = str(error)
    if "field limit" in said:
        return f"a cell is longer than {csv.field_size_limit():,} characters; is a quotation mark not closed?"
    if "new-line" in said:
        return "a carriage return stands inside a cell"
    return "a quotation mark is not closed, or a cell goes on behind it: inside a quoted cell, write it twice"


def _header(file: TextIO) -> tuple[str, int, str | None]:
    """The first non-blank row, the number of lines up to its end, and the separator if a "sep=" line gives it.

    Excel reads and writes a line such as "sep=;" before the header.
    """
    header, num_lines, separator = "", 0, None
    while line := file.readline(_LONGEST_HEADER):
        num_lines += 1
        header += line.removeprefix("\ufeff") if num_lines == 1 else line
        if not header.strip():
            header = ""
        elif separator is None and (said := re.fullmatch(r"(?i)\"?sep=(.)\"?\s*", header)):
            header, separator = "", said[1]
        elif header.count('"') % 2 == 0 or len(header) > _LONGEST_HEADER:
            break
    return header, num_lines, separator


def _split(header: str, mark: str) -> list[str]:
    return _next(csv.reader(io.StringIO(header, newline=""), delimiter=mark)) or []


def _rows(reader: Reader, before: int, columns: int, place: str) -> Iterator[NumberedRow]:
    while True:
        begins = reader.line_num + before + 1
        try:
            row = _next(reader)
        except csv.Error as error:
            raise ValueError(f"{place}line {begins:,}: {csv_fault(error)}") from None
        if row is None:
            return
        while len(row) > columns and not row[-1].strip():
            row.pop()
        if row:
            yield begins, row


def _next(reader: Reader) -> list[str] | None:
    limit = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a cell holds a whole note
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(limit)  # the limit is global to the process
