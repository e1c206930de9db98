"""Reads MeDAL's files and converts their word positions to the character offsets of a `Mention`.

The files are train, valid and test (one row per short form), full_data (one row per abstract, with lists joined by
"|"), and the Hub's Parquet.
"""

from __future__ import annotations

import csv
import hashlib
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ...tools.files import long_lines, must_exist, open_bytes, replacing, undamaged
from ..inventory import Inventory
from ..passages import WORD, Mention, Passage
from ..rows import Quarantine, csv_fault, shown_names
from ..spelling import tidy

COLUMNS = ("ABSTRACT_ID", "TEXT", "LOCATION", "LABEL")
HUB_COLUMNS = ["abstract_id", "text", "location", "label"]
_PUNCTUATION = ".,;:()[]'\""


class MedalRow(NamedTuple):
    """One row: an abstract with one short form, or with all of its short forms."""

    line: int
    """The line on which the row ends, from 1 including the header, as in an editor; in Parquet, the row number."""
    abstract: str
    text: str
    locations: str
    """Index of the word, or several indices joined by "|"."""
    labels: str
    """Long form, or several long forms joined by "|"."""
    file: str
    """The name of the table's file, so that the row can be located."""


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


def read_rows(path: Path, inventory: Inventory, quarantine: Quarantine) -> list[Passage]:
    """Read the passages of a table, one per (abstract, text), as the texts of an abstract may differ in substitutions.

    Raises:
        ValueError: the file is damaged, or is not one of MeDAL's.
    """
    found = tables(path)
    if len(found) > 1:
        raise ValueError(f"{path} contains {len(found)} CSV files; unpack it and choose one")
    return group(rows(found[0], quarantine), inventory, quarantine)


def group(
    found: Iterable[MedalRow],
    inventory: Inventory,
    quarantine: Quarantine,
    stray: Counter[tuple[str, str]] | None = None,
) -> list[Passage]:
    """Group rows into passages, in the order of their first rows; malformed rows and duplicates are quarantined.

    If some of a row's short forms cannot be read, the others are kept.

    Args:
        found: the rows.
        inventory: lists the short forms.
        quarantine: collects the malformed and duplicate rows.
        stray: counts labels with stray spaces, by (short form, label); the spaces themselves are removed.
    """
    texts: dict[tuple[str, str], dict[tuple[int, int], Mention]] = {}
    for row in found:
        known = texts.setdefault((row.abstract, row.text), {})
        # Only tables without ids join lists; in the others, "|" is an ordinary character.
        joined = not row.abstract.isdigit() and "|" in row.locations + row.labels
        locations = row.locations.split("|") if joined else [row.locations]
        labels = row.labels.split("|") if joined else [row.labels]
        reason = None
        if "\ufffd" in row.text or "\ufffd" in row.labels:
            reason = "not UTF-8"
        elif len(locations) != len(labels):
            reason = f"{len(locations)} LOCATIONs for {len(labels)} LABELs"
        else:
            words = [word.start() for word in WORD.finditer(row.text)] if joined else None
            for location, label in zip(locations, labels, strict=True):
                try:
                    mention = word_mention(row.text, location, label, inventory, words)
                except ValueError as error:
                    reason = reason or str(error)
                    continue
                earlier = known.setdefault((mention.start, mention.end), mention)
                if earlier is not mention:
                    reason = reason or _twice(earlier, mention)
                elif stray is not None and label != mention.long_form:
                    stray[mention.short_form, label] += 1
        if reason is not None:
            quarantine.add(Path(row.file), row.line, reason)
    passages = []
    numbers: Counter[str] = Counter()
    for (abstract, text), marked in texts.items():
        if not marked:
            continue
        numbers[abstract] += 1
        identifier = abstract if numbers[abstract] == 1 else f"{abstract}#{numbers[abstract]}"
        mentions = tuple(sorted(marked.values(), key=lambda m: m.start))
        # The source is not the file name, because an id identifies the same abstract in all of MeDAL's files.
        passages.append(Passage(id=identifier, text=text, mentions=mentions, source="medal"))
    return passages


def _twice(earlier: Mention, later: Mention) -> str:
    return "duplicate of an earlier row" if earlier == later else "an earlier row has another LABEL here"


def word_mention(
    text: str, location: str, label: str, inventory: Inventory, words: Sequence[int] | None = None
) -> Mention:
    """Convert MeDAL's word index to character offsets; the word without its punctuation is the short form.

    Args:
        text: the abstract.
        location: the word's index.
        label: its long form.
        inventory: lists the short forms.
        words: where each word of the text begins, if many of its words are converted.

    Raises:
        ValueError: the index or the label is wrong, or the word is not a short form of the label.
    """
    if not (long_form := tidy(label)):
        raise ValueError("empty LABEL")
    try:
        index = int(location)
    except ValueError:
        raise ValueError("LOCATION is not a whole number") from None
    if abs(index) > 10**9:  # what no list can be asked for
        raise ValueError(f"LOCATION is outside the text ({len(text.split()):,} words)")
    if words is None:
        parts = text.split(None, index) if index >= 0 else []
        start = len(text) - len(parts[index]) if len(parts) > index and parts else None
    else:
        start = words[index] if 0 <= index < len(words) else None
    if start is None:
        count = len(text.split()) if words is None else len(words)
        raise ValueError(f"LOCATION {index:,} is outside the text ({count:,} words)")
    found = WORD.match(text, start)
    assert found is not None
    surface = found[0]
    if surface not in inventory.senses:
        core = surface.strip(_PUNCTUATION)
        if not core:
            raise ValueError(f"LOCATION {index:,} points at punctuation")
        start += surface.index(core)
        surface = core
    short_form = inventory.key(surface)
    if short_form is None:
        raise ValueError(f"the word at LOCATION {index:,} is not a short form in the inventory")
    if not surface.startswith(short_form) and inventory.belongs_elsewhere(short_form, long_form):
        # "was" is not WAS if the label is a sense of RA: LOCATION points at an ordinary word.
        raise ValueError(f"the word at LOCATION {index:,} is not a short form of the LABEL")
    return Mention(start=start, end=start + len(surface), short_form=short_form, long_form=long_form)


def rows(table: Table, quarantine: Quarantine) -> Iterator[MedalRow]:
    """The rows of a table, counted; lines that are none are set aside with their reason.

    Raises:
        ValueError: the table has other columns than MeDAL's, or the file is damaged.
    """
    if table.path.suffix == ".parquet":
        yield from _parquet_rows(table, quarantine)
        return
    place = Path(table.file)
    with _opened(table) as file:
        reader = _records(long_lines(table.path, file))
        _, header = next(reader, (0, None))
        names = [name.strip("\ufeff ") for name in header] if isinstance(header, list) else header
        if names == list(COLUMNS):
            columns = [0, 1, 2, 3]
        elif isinstance(names, list) and set(COLUMNS[1:]) <= set(names) <= {*COLUMNS, ""}:
            columns = [names.index(name) if name in names else -1 for name in COLUMNS]  # full_data has no ids
        elif header is None:
            raise ValueError(f"{table} is empty; a MeDAL table begins with {','.join(COLUMNS)}")
        else:
            raise ValueError(f"{table} begins with {_header(header)}, not with MeDAL's columns {','.join(COLUMNS)}")
        a, b, c, d = columns
        for line, record in reader:
            quarantine.total += 1
            if not isinstance(record, list):
                quarantine.add(place, line, f"not CSV: {csv_fault(record)}")
            elif len(record) != len(names):
                quarantine.add(place, line, f"{len(record)} columns instead of {len(names)}")
            else:
                abstract = text_id(record[b]) if a < 0 else record[a]
                yield MedalRow(line, abstract, record[b], record[c], record[d], place.name)


def _header(found: list[str] | csv.Error) -> str:
    return f"the columns {shown_names(found)}" if isinstance(found, list) else "a line that is not CSV"


def text_id(text: str) -> str:
    """An id for an abstract in a table without ids, derived from the text."""
    return f"t{hashlib.sha256(text.encode()).hexdigest()[:15]}"


def _records(lines: Iterable[bytes]) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Yield CSV records with the line on which each ends, skipping blank lines. Lines without quotes are split fast."""
    lines, number = iter(lines), 0
    for raw in lines:
        number += 1
        if b'"' not in raw and (b"\r" not in raw or raw.count(b"\r") == raw.endswith(b"\r\n")):
            record = _text(raw).rstrip("\r\n")
            if record:
                yield number, record.split(",")
            continue
        reader = csv.reader(map(_text, chain([raw], lines)))
        try:
            quoted = next(reader)
        except csv.Error as error:  # an open quotation mark or a stray carriage return; reading continues after it
            number += reader.line_num - 1
            yield number, error
        else:
            number += reader.line_num - 1
            if quoted:
                yield number, quoted


def _text(raw: bytes) -> str:
    # Invalid bytes become U+FFFD, by which the row can be recognised and quarantined later.
    return raw.decode("utf-8", errors="replace").replace("\0", "\ufffd")


@contextmanager
def _opened(table: Table) -> Iterator[IO[bytes]]:
    with undamaged(table.path):
        if table.member is not None:
            with zipfile.ZipFile(table.path) as archive, archive.open(table.member) as file:
                yield file
        else:
            with open_bytes(table.path) as file:
                yield file


def _parquet_rows(table: Table, quarantine: Quarantine) -> Iterator[MedalRow]:
    """Rows of the Hub's Parquet: abstract_id int32, text string, location list of int32, label list of string."""
    path, place, line = table.path, Path(table.file), 0
    try:
        file = pq.ParquetFile(path)
        if not _is_medal(found := file.schema_arrow):
            seen = ", ".join(f"{field.name} ({field.type})" for field in found)
            raise ValueError(f"{path} has the columns {seen}, not {', '.join(HUB_COLUMNS)} as MeDAL has them")
        for batch in file.iter_batches(batch_size=5_000, columns=HUB_COLUMNS):
            columns = [batch.column(name).to_pylist() for name in HUB_COLUMNS]
            for abstract, text, locations, labels in zip(*columns, strict=True):
                line += 1
                quarantine.total += 1
                if not text or not locations or not labels or None in (*locations, *labels):
                    quarantine.add(place, line, "empty text, location or label")
                elif len(locations) != len(labels):
                    quarantine.add(place, line, f"{len(locations)} LOCATIONs for {len(labels)} LABELs")
                else:
                    # The id -1 means full_data, which has no ids. Each short form of a row gets its own row.
                    known = abstract is not None and abstract >= 0
                    identifier = str(abstract) if known else text_id(text)
                    for location, label in zip(locations, labels, strict=True):
                        yield MedalRow(line, identifier, text, str(location), label, place.name)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path} is not a Parquet file, or is truncated ({error})") from None


def _is_medal(schema: pa.Schema) -> bool:
    """Whether the Hub's columns are present with the right types; lists and strings may be of the large types."""
    if not set(HUB_COLUMNS) <= set(schema.names):
        return False
    types = [schema.field(name).type for name in HUB_COLUMNS]
    if not all(pa.types.is_list(t) or pa.types.is_large_list(t) for t in types[2:]):
        return False
    integers, strings = (types[0], types[2].value_type), (types[1], types[3].value_type)
    return all(map(pa.types.is_integer, integers)) and all(
        pa.types.is_string(t) or pa.types.is_large_string(t) for t in strings
    )


def write_medal_csv(passages: Iterable[Passage], path: Path) -> None:
    """Write MeDAL's own CSV, one row per mention that has a gold answer.

    Raises:
        ValueError: a mention spans several words, which MeDAL's word index cannot express.
    """
    with replacing(path) as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for passage in passages:
            words = [match.span() for match in WORD.finditer(passage.text)]
            for mention in passage.mentions:
                index = next((i for i, (a, b) in enumerate(words) if a <= mention.start and mention.end <= b), None)
                if index is None:
                    raise ValueError(
                        f"passage {passage.id}: the mention at {mention.start}-{mention.end} is not within one word"
                    )
                if mention.long_form is not None:
                    writer.writerow([passage.id, passage.text, index, mention.long_form])
