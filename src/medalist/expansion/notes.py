"""Reads files of notes, one note at a time, for `bulk`: CSV, JSON Lines, Parquet, a folder of text files, or a pipe.

A record that cannot be read as a note is set aside by place, id and reason, never with its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..data.rows import (
    FHIR,
    ID_COLUMNS,
    TEXT_COLUMNS,
    Quarantine,
    column_name,
    is_fhir,
    json_records,
    parquet_columns,
    parquet_records,
    record_id,
    shown_names,
)
from ..data.tables import HEADER_AGAIN, open_table, repeats
from ..tools.counts import counted
from ..tools.decoding import check_encoding
from ..tools.files import must_exist
from .note_formats import format_of, holds_many, piped, read_text
from .options import TableFormat


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """A text with its id."""

    id: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SetAside:
    """A record that cannot be read as a note."""

    place: str
    """"row 3", "line 7" or a file's name."""
    id: str | None
    reason: str


@dataclass(kw_only=True)
class NoteFile:
    """A source of notes that can be read repeatedly, in the same order."""

    path: Path
    text_column: str | None = None
    """None: the first of `TEXT_COLUMNS`."""
    id_column: str | None = None
    """None: the first of `ID_COLUMNS`; without any, rows are numbered from 1."""
    encoding: str | None = None
    """None: from the byte order mark, or else UTF-8, or else Windows-1252."""
    table_format: TableFormat | None = None
    """None: from the path's name."""
    content: bytes | None = None
    """The file's content if it was read already, as by `piped`; `path` then only names it in errors."""
    set_aside: list[SetAside] = field(default_factory=list)
    """The records that the last complete reading set aside."""
    whole_ids: bool = False
    """Whether all ids of the last complete reading are integers that fit into int64; in CSV, ids are text."""

    def __iter__(self) -> Iterator[Note]:
        """The notes, in order.

        Raises:
            ValueError: the format or a column is unknown, or the file is damaged.
            FileNotFoundError: the file does not exist.
        """
        self.set_aside = []
        seen: set[str] = set()
        whole = True
        for place, identifier, text in self._records():
            name = record_id(identifier)
            reason = _fault(identifier, name, text, seen)
            if reason is None and name is not None:
                seen.add(name)
                whole = whole and _is_whole(identifier, name)
                yield Note(id=name, text=text)
            else:
                self._put_aside(place, reason or "no id", name)
        self.whole_ids = whole and bool(seen)

    def _put_aside(self, place: str, reason: str, identifier: str | None = None) -> None:
        id_ = None if identifier is None else _encodable(identifier)
        self.set_aside.append(SetAside(place=_encodable(place), id=id_, reason=_encodable(reason)))

    def _records(self) -> Iterator[tuple[str, Any, Any]]:
        """Place, id and text of each record, unchecked."""
        if self.content is None:
            must_exist(self.path)
        if self.encoding:
            check_encoding(self.encoding)
        if self.text_column is not None and self.text_column == self.id_column:
            raise ValueError(f"--text-column and --id-column name the same column, {self.text_column}")
        if self.content is None and self.path.is_dir():
            if self.table_format:
                raise ValueError(f"{self.path} is a folder, whose .txt files are read: it is not {self.table_format}")
            yield from self._texts()
            return
        kind = self.table_format or format_of(self.path)
        if self.content is None and not self.path.is_file():  # a named pipe, which can be read only once
            with self.path.open("rb") as file:
                self.content = piped(file, kind)
        if kind in ("csv", "tsv"):
            yield from self._table("\t" if kind == "tsv" else ",")
        elif kind == "parquet":
            yield from self._rows()
        else:
            yield from self._objects()

    def _texts(self) -> Iterator[tuple[str, Any, Any]]:
        """The .txt files of a folder and its subfolders; hidden files belong to a system or an editor: skipped."""
        files = []
        for path in sorted(self.path.rglob("*")):
            name = path.relative_to(self.path).as_posix()
            if any(part.startswith(".") for part in name.split("/")):
                continue
            if path.is_symlink() and path.is_dir():
                self._put_aside(name, "links to folders are not followed")
            elif path.suffix.lower() == ".txt" and not path.is_dir():
                files.append((path, name))
        if not files:
            tables = sorted(path.name for path in self.path.iterdir() if holds_many(path) and path.is_file())
            also = f"; it holds {counted(len(tables), 'table')}: name them one by one, as {tables[0]}" if tables else ""
            raise ValueError(f"{self.path} is not a run (it has no recipe.yaml) and holds no .txt files{also}")
        for path, name in files:
            if not path.is_file():
                self._put_aside(name, "it is a pipe, a device or a link to nothing, not a file")
                continue
            try:
                text, _ = read_text(path, self.encoding)
            except ValueError as error:
                self._put_aside(name, str(error))
            else:
                yield name, name[: -len(path.suffix)], text

    def _table(self, separator: str) -> Iterator[tuple[str, Any, Any]]:
        opened = open_table(
            self.path,
            self.content,
            encoding=self.encoding,
            separator=separator,
            wanted=lambda names: self._named("text", names) is not None,
        )
        with opened as table:
            columns, number = table.names, 0
            text_at, id_at = self._columns(columns)
            for begins, row in table.rows:
                if id_at is not None and not any(map(str.strip, row)):
                    continue
                place = f"line {begins:,}"
                if repeats(columns, row):
                    self._put_aside(place, HEADER_AGAIN)
                    continue
                number += 1
                if len(row) != len(columns):  # what is in the id's column may be text
                    self._put_aside(place, f"{len(row)} columns instead of {len(columns)}")
                else:
                    yield place, str(number) if id_at is None else row[id_at], row[text_at]

    def _rows(self) -> Iterator[tuple[str, Any, Any]]:
        names = parquet_columns(self.path)
        text_at, id_at = self._columns(names)
        text, identifier = names[text_at], None if id_at is None else names[id_at]
        rows, reported = Quarantine(), 0
        columns = [text] if identifier is None else [text, identifier]
        for line, record in parquet_records(self.path, rows, columns):
            reported = self._not_read(rows, reported, "row")
            name = str(line) if identifier is None else _as_text(record[identifier])
            yield f"row {line:,}", name, _as_text(record[text])
        self._not_read(rows, reported, "row")

    def _objects(self) -> Iterator[tuple[str, Any, Any]]:
        """The objects of JSON Lines, each of which has its own fields."""
        rows, reported = Quarantine(), 0
        first: list[str] = []
        have: set[str | None] = set()
        numbered = 0
        for number, (line, record) in enumerate(json_records(self.path, rows, self.content, self.encoding), 1):
            reported = self._not_read(rows, reported, "line")
            names = list(record)
            first = first or names
            self._check_one_text(names)
            text, identifier = self._named("text", names), self._named("id", names)
            have |= {"text" if text else None, "id" if identifier else None}
            if identifier and numbered:
                raise ValueError(
                    f"{self.path}, line {line:,}: it has a field {identifier}, which the lines before it lack: give "
                    "one to every line, or name another with --id-column"
                )
            if is_fhir(record) and not (text and isinstance(record[text], str)):
                if number == 1:
                    raise ValueError(f"{self.path}, line {line:,}: {FHIR}")
                self._put_aside(f"line {line:,}", FHIR)
                continue
            number_it = identifier is None and "id" not in have and not self.id_column
            numbered += number_it
            value = record[identifier] if identifier else str(number) if number_it else None
            yield f"line {line:,}", value, record[text] if text else None
        self._not_read(rows, reported, "line")
        if first and ("text" not in have or (self.id_column and "id" not in have)):
            self._columns(first)  # raises the error

    def _not_read(self, rows: Quarantine, reported: int, kind: str) -> int:
        """Set aside what `rows` has collected after the first `reported`; returns the new number of its rows."""
        for row in rows.rows[reported:]:
            self._put_aside(f"{kind} {row['line']:,}", row["reason"])
        return len(rows.rows)

    def _named(self, what: Literal["text", "id"], names: Sequence[str]) -> str | None:
        """The column or field of the text or the id, as spelt in the file; None if there is none."""
        given, usual = (self.text_column, TEXT_COLUMNS) if what == "text" else (self.id_column, ID_COLUMNS)
        wanted = usual if given is None else (given,)
        exact = next((name for name in wanted if name in names), None)
        if exact is not None or given is not None:
            return exact
        alike = [name for want in wanted for name in names if column_name(name) == want]
        return alike[0] if alike else None

    def _check_one_text(self, names: Sequence[str]) -> None:
        """Refuse to choose between a column text and a column note_text."""
        found = [name for name in names if column_name(name) in TEXT_COLUMNS]
        if self.text_column is None and len({column_name(name) for name in found}) > 1:
            raise ValueError(f"{self.path} has the columns {' and '.join(found)}: name one with --text-column")

    def _columns(self, names: list[str]) -> tuple[int, int | None]:
        """The positions of text and id among the columns."""
        self._check_one_text(names)
        text, identifier = self._named("text", names), self._named("id", names)
        if text is None:
            wanted = " or ".join(TEXT_COLUMNS) if self.text_column is None else self.text_column
            advice = ". Name it with --text-column" if self.text_column is None else ""
            raise ValueError(f"{self.path} has no column {wanted}; it has {shown_names(names)}{advice}")
        if identifier is None and self.id_column is not None:
            raise ValueError(f"{self.path} has no column {self.id_column}; it has {shown_names(names)}")
        if twice := next((name for name in (text, identifier) if name is not None and names.count(name) > 1), None):
            raise ValueError(f"{self.path} has two columns {twice}: rename or remove one")
        return names.index(text), None if identifier is None else names.index(identifier)


def _as_text(value: Any) -> Any:
    """A value from Parquet; text that Impala and older versions of Spark mark as bytes is decoded."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def _encodable(text: str) -> str:
    """A text that can be encoded: bytes of a file name that are not UTF-8 become escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _is_whole(identifier: Any, name: str) -> bool:
    """Whether an id, `name` as text, is an integer that fits into int64."""
    return not isinstance(identifier, str) and bool(re.fullmatch("-?[0-9]+", name)) and -(2**63) <= int(name) < 2**63


def _fault(identifier: Any, name: str | None, text: Any, seen: set[str]) -> str | None:
    """Why a record cannot be read as a note; None if it can. `name` is the id as text."""
    if (
        identifier is None
        or (name is None and isinstance(identifier, float))
        or (name is not None and not name.strip())
    ):
        return "no id"
    if name is None:
        return f"its id is of type {type(identifier).__name__}"
    if _encodable(name) != name:
        return "its id is not UTF-8"
    if name in seen:
        return "its id stands twice"
    if text is None:
        return "no text"
    if not isinstance(text, str):
        return f"its text is of type {type(text).__name__}"
    return None if _encodable(text) == text else "its text is not UTF-8, or holds half a character"
