"""MeDAL's files: how to open them, their columns, and reading single CSV records.

The files are train, valid and test (one row per short form), full_data (one row per abstract, with lists joined by
"|"), and the Hub's Parquet.
"""

from __future__ import annotations

import csv
import hashlib
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO

from ...tools.files import must_exist, open_bytes, undamaged
from ..rows import shown_names
from ..tables import csv_fault

COLUMNS = ("ABSTRACT_ID", "TEXT", "LOCATION", "LABEL")


@dataclass(frozen=True, slots=True)
class Table:
    """One of MeDAL's tables: a file, or a file in an archive."""

    path: Path
    member: str | None = None
    """The table's name in the archive."""
    split: str | None = None
    """The table's split, if the file name does not say it, as for the Hub's files."""

    @property
    def name(self) -> str:
        """The name of the split, or the file name without folder and extensions: "train"."""
        return self.split or self.file.split(".")[0].lower()

    @property
    def file(self) -> str:
        """The file name, in an archive or not, without the folder."""
        return Path(self.member or self.path).name

    def __str__(self) -> str:
        return f"{self.path}, {self.member}" if self.member else str(self.path)


def tables(path: Path) -> list[Table]:
    """The tables in a file: one, or all of those in an archive (pretrain_subset.zip has three).

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the archive is damaged or contains no CSV file.
    """
    must_exist(path)
    if path.suffix != ".zip":
        return [Table(path)]
    with undamaged(path), zipfile.ZipFile(path) as archive:
        members = [name for name in archive.namelist() if name.endswith(".csv") and not name.startswith("__MACOSX")]
    if not members:
        raise ValueError(f"{path} contains no CSV file, so it is not one of MeDAL's archives")
    return [Table(path, member) for member in sorted(members)]


@dataclass(frozen=True, slots=True)
class Layout:
    """The positions of MeDAL's columns in a CSV table."""

    lines: int
    """Number of lines of the header."""
    width: int
    """Number of columns."""
    columns: tuple[int, int, int, int]
    """The positions of `COLUMNS`; -1 for the id in full_data, which has none."""

    def row(self, cells: list[str]) -> tuple[str, str, str, str]:
        """Id, text, locations and labels of a record."""
        a, b, c, d = self.columns
        return text_id(cells[b]) if a < 0 else cells[a], cells[b], cells[c], cells[d]

    def fault(self, found: int | csv.Error) -> str:
        """Why a record is malformed, given its number of columns or the error."""
        return f"{found} columns instead of {self.width}" if isinstance(found, int) else f"not CSV: {csv_fault(found)}"


def read_layout(table: Table, lines: Iterator[bytes]) -> Layout:
    """Read the header.

    Raises:
        ValueError: the table has other columns than MeDAL's.
    """
    count, header = next(_records(lines, 0), (0, None))
    names = [name.strip("\ufeff ") for name in header] if isinstance(header, list) else header
    if isinstance(names, list) and (
        names == list(COLUMNS) or set(COLUMNS[1:]) <= set(names) <= {*COLUMNS, ""}  # full_data has no ids
    ):
        a, b, c, d = (names.index(name) if name in names else -1 for name in COLUMNS)
        return Layout(count, len(names), (a, b, c, d))
    if header is None:
        raise ValueError(f"{table} is empty; a MeDAL table begins with {','.join(COLUMNS)}")
    raise ValueError(
        f"{table} begins with {_header(header)}, not with MeDAL's columns {','.join(COLUMNS)}; marked notes of your "
        "own need the columns id, text, short_form and long_form"
    )


def _header(found: list[str] | csv.Error) -> str:
    return f"the columns {shown_names(found)}" if isinstance(found, list) else "a line that is not CSV"


def text_id(text: str) -> str:
    """An id for an abstract in a table without ids, derived from the text."""
    return f"t{hashlib.sha256(text.encode()).hexdigest()[:15]}"


def _records(lines: Iterator[bytes], number: int) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Yield CSV records with the line on which each ends, counted from `number`; blank lines are skipped."""
    for raw in lines:
        taken, cells = record(raw, lines)
        number += taken
        if cells:
            yield number, cells


def record(raw: bytes, following: Iterable[bytes]) -> tuple[int, list[str] | csv.Error]:
    """Read the record that begins with a line: how many lines it takes, and its cells (none if blank) or the error.

    Args:
        raw: the line, with its line break. One without quotation marks is split at its commas.
        following: the lines after it; a record with an open quotation mark takes lines from it.
    """
    if b'"' not in raw and (b"\r" not in raw or raw.count(b"\r") == raw.endswith(b"\r\n")):
        text = _text(raw).rstrip("\r\n")
        return 1, text.split(",") if text else []
    reader = csv.reader(map(_text, chain([raw], following)))
    try:
        cells = next(reader)
    except csv.Error as error:  # an open quotation mark or a stray carriage return; reading continues after it
        return reader.line_num, error
    return reader.line_num, cells


def _text(raw: bytes) -> str:
    # Invalid bytes become U+FFFD, by which the row can be recognised and quarantined later.
    return raw.decode("utf-8", errors="replace").replace("\0", "\ufffd")


@contextmanager
def opened(table: Table) -> Iterator[IO[bytes]]:
    """Open a CSV table for reading, decompressed."""
    with undamaged(table.path):
        if table.member is not None:
            with zipfile.ZipFile(table.path) as archive, archive.open(table.member) as file:
                yield file
        else:
            with open_bytes(table.path) as file:
                yield file
