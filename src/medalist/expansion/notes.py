"""Reads files of notes one by one, for `bulk`: CSV, JSON Lines, Parquet, a folder of text files, or standard input.

What cannot be read as a note is set aside by its place, id and reason, never with its text.
"""

from __future__ import annotations

import codecs
import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from numbers import Number
from pathlib import Path
from typing import IO, Any, Literal, get_args

from ..data.rows import Quarantine, json_records, parquet_records, shown_names
from ..tools.decoding import check_encoding, decoded, marked_encoding
from ..tools.failures import megabytes
from ..tools.files import MOST_BYTES, must_exist, open_bytes, open_text, undamaged

TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".jsonl", ".jsonl.gz", ".parquet")
_DOCUMENTS = (".doc", ".docx", ".odt", ".pdf", ".ppt", ".pptx", ".rtf", ".xls", ".xlsx", ".zip")
TableFormat = Literal["csv", "tsv", "jsonl", "parquet"]
"""How notes stand in a table, for one whose name does not say it."""
TEXT_COLUMNS, ID_COLUMNS = ("text", "note_text"), ("id", "note_id")
"""Names of the columns unless others are given, in this order."""


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
    """A source of notes that can be read again and again, in the same order."""

    path: Path
    text_column: str | None = None
    """None: the first of `TEXT_COLUMNS`."""
    id_column: str | None = None
    """None: the first of `ID_COLUMNS`; without any, rows are numbered from 1."""
    encoding: str | None = None
    """None: by the byte order mark, or else UTF-8, or else Windows-1252."""
    table_format: TableFormat | None = None
    """None: by the path's name."""
    content: bytes | None = None
    """What was read already, as by `piped`; `path` then only names it, in errors."""
    set_aside: list[SetAside] = field(default_factory=list)
    """What the last complete reading set aside."""

    def __iter__(self) -> Iterator[Note]:
        """The notes, in order.

        Raises:
            ValueError: the format or a column is unknown, or the file is damaged.
            FileNotFoundError: the file does not exist.
        """
        self.set_aside = []
        seen: set[str] = set()
        for place, identifier, text in self._records():
            reason = _fault(identifier, text, seen)
            if reason is None:
                seen.add(str(identifier))
                yield Note(id=str(identifier), text=str(text))
            else:
                known = None if identifier is None else str(identifier)
                self.set_aside.append(SetAside(place=place, id=known, reason=reason))

    def _records(self) -> Iterator[tuple[str, Any, Any]]:
        """Place, id and text of each record, unchecked."""
        if self.content is None:
            must_exist(self.path)
        if self.encoding:
            check_encoding(self.encoding)
        if self.content is None and self.path.is_dir():
            if self.table_format:
                raise ValueError(f"{self.path} is a folder, whose .txt files are read: it is not {self.table_format}")
            yield from self._texts()
            return
        kind = self.table_format or _format_of(self.path)
        if kind in ("csv", "tsv"):
            yield from self._table("\t" if kind == "tsv" else ",")
        else:
            yield from self._objects("row" if kind == "parquet" else "line")

    def _texts(self) -> Iterator[tuple[str, Any, Any]]:
        files = sorted(path for path in self.path.rglob("*") if path.suffix.lower() == ".txt" and path.is_file())
        if not files:
            raise ValueError(f"{self.path} is not a run (it has no recipe.yaml) and holds no .txt files")
        for file in files:
            name = file.relative_to(self.path).as_posix()
            try:
                text, _ = decoded(file.read_bytes(), name, self.encoding)
            except ValueError as error:
                self.set_aside.append(SetAside(place=name, id=None, reason=str(error)))
            else:
                yield name, name[: -len(file.suffix)], text

    def _table(self, separator: str) -> Iterator[tuple[str, Any, Any]]:
        encoding = self.encoding or _encoding(self.path, self.content)
        with undamaged(self.path), open_text(self.path, self.content, encoding=encoding, newline="") as file:
            header = file.readline().removeprefix("\ufeff")
            marks = sorted((separator, ";", "\t", "|", ","), key=lambda mark: -header.count(mark))
            columns = next(csv.reader([header], delimiter=marks[0]), [])
            text_at, id_at = self._columns(columns)
            reader = csv.reader(file, delimiter=marks[0], strict=True)
            number = 0
            while True:
                begins = reader.line_num + 2
                limit = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a cell holds a whole note
                try:
                    row = next(reader, None)
                except csv.Error:
                    raise ValueError(f"{self.path}, line {begins:,}: a quotation mark is not closed") from None
                finally:
                    csv.field_size_limit(limit)  # the limit is the process's
                if row is None:
                    return
                if not row:
                    continue
                number += 1
                place = f"line {begins:,}"
                identifier = str(number) if id_at is None else row[id_at] if id_at < len(row) else None
                if len(row) != len(columns):
                    reason = f"{len(row)} columns instead of {len(columns)}"
                    self.set_aside.append(SetAside(place=place, id=identifier, reason=reason))
                else:
                    yield place, identifier, row[text_at]

    def _objects(self, kind: Literal["row", "line"]) -> Iterator[tuple[str, Any, Any]]:
        rows = Quarantine()
        records = parquet_records(self.path, rows) if kind == "row" else json_records(self.path, rows, self.content)
        reported = 0
        keys: tuple[str, str | None] | None = None
        for number, (line, record) in enumerate(records, 1):
            while reported < len(rows.rows):  # set aside since the last record
                self._not_read(rows, reported, kind)
                reported += 1
            if keys is None:
                text_at, id_at = self._columns(list(record))
                keys = list(record)[text_at], None if id_at is None else list(record)[id_at]
            yield f"{kind} {line:,}", str(number) if keys[1] is None else record.get(keys[1]), record.get(keys[0])
        for at in range(reported, len(rows.rows)):
            self._not_read(rows, at, kind)

    def _not_read(self, rows: Quarantine, at: int, kind: str) -> None:
        row = rows.rows[at]
        self.set_aside.append(SetAside(place=f"{kind} {row['line']:,}", id=None, reason=row["reason"]))

    def _columns(self, names: list[str]) -> tuple[int, int | None]:
        """Where text and id stand among the columns."""
        text = next(
            (name for name in ((self.text_column,) if self.text_column else TEXT_COLUMNS) if name in names), None
        )
        if text is None:
            wanted = self.text_column or " or ".join(TEXT_COLUMNS)
            raise ValueError(
                f"{self.path} has no column {wanted}; it has {shown_names(names)}. Name it with --text-column"
            )
        identifier = next(
            (name for name in ((self.id_column,) if self.id_column else ID_COLUMNS) if name in names), None
        )
        if identifier is None and self.id_column:
            raise ValueError(f"{self.path} has no column {self.id_column}; it has {shown_names(names)}")
        if twice := next((name for name in (text, identifier) if name is not None and names.count(name) > 1), None):
            raise ValueError(f"{self.path} has two columns {twice}: rename or remove one")
        return names.index(text), None if identifier is None else names.index(identifier)


def piped(file: IO[bytes], table_format: TableFormat) -> bytes:
    """The content of a table of notes that comes through a pipe, read to its end and kept in memory only.

    Raises:
        ValueError: it is Parquet, which is not read in order, or larger than `tools.files.MOST_BYTES`.
    """
    if table_format == "parquet":
        raise ValueError("Parquet cannot be read from standard input: name the file instead")
    content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"Standard input holds more than {megabytes(MOST_BYTES)}: name a file instead")
    return content


def _format_of(path: Path) -> TableFormat:
    """The format of a table by its name.

    Raises:
        ValueError: the name says none.
    """
    formats: tuple[TableFormat, ...] = get_args(TableFormat)
    name = path.name.lower()
    for known in formats:
        if name.endswith(tuple(ending for ending in TABLES if known in ending)):
            return known
    raise ValueError(f"{path} has an unknown format. Known: {', '.join(TABLES)}, and a folder of .txt")


def names_file(argument: str) -> bool:
    """Whether an argument is meant as a file's name, going by its ending; a text may end so too, but has spaces."""
    endings = (".txt", ".gguf", *TABLES, *_DOCUMENTS)
    return argument.lower().endswith(endings) and not any(map(str.isspace, argument))


def holds_many(path: Path) -> bool:
    """Whether a path is a table or folder of notes, not a single text."""
    return path.is_dir() or path.name.lower().endswith(TABLES)


def read_text(path: Path, encoding: str | None = None) -> tuple[str, str]:
    """The text of a file and the encoding used, as `tools.decoding.decoded` finds it.

    Raises:
        ValueError: it is not plain text.
    """
    raw = path.read_bytes()
    document = path.suffix.lower() in _DOCUMENTS or raw.startswith((b"%PDF-", b"{\\rtf"))
    if document or (b"\0" in raw and not (encoding or marked_encoding(raw))):
        raise ValueError(
            f"{path} is not plain text: convert it first, for example to .txt with pandoc or pdftotext; or, if it is "
            "UTF-16, say so with --encoding utf-16-le"
        )
    return decoded(raw, str(path), encoding)


def _fault(identifier: Any, text: Any, seen: set[str]) -> str | None:
    """Why a record cannot be read as a note; None if it can."""
    if identifier is None or not str(identifier).strip():
        return "no id"
    if not isinstance(identifier, str | Number) or isinstance(identifier, bool):
        return f"its id is of type {type(identifier).__name__}"
    if str(identifier) in seen:
        return "its id stands twice"
    if text is None:
        return "no text"
    return None if isinstance(text, str) else f"its text is of type {type(text).__name__}"


def _encoding(path: Path, content: bytes | None) -> str:
    """The encoding of a file, found by decoding it piece by piece.

    Raises:
        ValueError: it is neither marked nor UTF-8 nor Windows-1252.
    """
    with undamaged(path), open_bytes(path, content) as file:
        marked = marked_encoding(file.read(4))
    for name in [marked] if marked else ["utf-8", "cp1252"]:
        decoder = codecs.getincrementaldecoder(name)()
        try:
            with undamaged(path), open_bytes(path, content) as file:
                while piece := file.read(1 << 20):
                    decoder.decode(piece)
                decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            continue
        return name
    raise ValueError(f"{path} is not {marked or 'utf-8 or cp1252'}. Name its encoding with --encoding.")
