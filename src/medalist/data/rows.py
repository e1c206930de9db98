"""Reads files row by row, and quarantines the rows that cannot be read.

A row is recorded by its position and a reason, neither of which quotes it (law 9): reasons contain only offsets,
lengths and names of fields.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from numbers import Number
from pathlib import Path
from typing import IO, Any, NotRequired

import pyarrow as pa
import pyarrow.parquet as pq
from typing_extensions import TypedDict  # pydantic supports the one in `typing` only from Python 3.12 on

from ..tools.decoding import marked_encoding
from ..tools.files import long_lines, open_bytes, replacing, undamaged


class QuarantinedRow(TypedDict):
    """A row that was quarantined."""

    file: str
    line: int
    reason: str
    bad: NotRequired[bool]
    """False for a valid row that is of no use."""


class TooManyBadRows(ValueError):
    """The share of quarantined rows exceeds the limit."""


@dataclass(kw_only=True)
class Quarantine:
    """Collects unreadable rows with their position and reason, and limits their share of all rows."""

    limit: float = 0.05
    """Maximum share of bad rows, 0 to 1; `check` raises an error above it."""
    rows: list[QuarantinedRow] = field(default_factory=list)
    total: int = 0
    """Number of rows seen, good or bad; the reader counts them."""

    def add(self, path: Path, line: int, reason: str, *, bad: bool = True) -> None:
        """Quarantine one row. `line` counts from 1 and includes the header, as in an editor.

        A valid row that is of no use, for example because its annotators were unsure, is not `bad` and does not count
        towards the limit.
        """
        found: QuarantinedRow = {"file": path.name, "line": line, "reason": reason}
        if not bad:
            found["bad"] = False
        self.rows.append(found)

    def check(self) -> None:
        """Raise `TooManyBadRows` if the share of bad rows exceeds the limit."""
        bad = [row for row in self.rows if row.get("bad", True)]
        if len(bad) > self.limit * self.total:
            first = bad[0]
            raise TooManyBadRows(
                f"{len(bad):,} of {self.total:,} rows are bad (limit {self.limit:.0%}); the first: {first['file']}, "
                f"row {first['line']:,}: {first['reason']}. "
                "Fix the file or raise the limit (data.max_bad_rows, --max-bad-rows)."
            )

    def summary(self) -> dict[str, int]:
        """Reason -> number of rows, most frequent first; numbers in a reason are masked."""
        counts: dict[str, int] = {}
        for row in self.rows:
            reason = re.sub(r"\d[\d,]*", "…", row["reason"])
            counts[reason] = counts.get(reason, 0) + 1
        return dict(sorted(counts.items(), key=lambda item: -item[1]))

    def examples(self, most: int) -> list[QuarantinedRow]:
        """The first rows, to show as examples."""
        return self.rows[:most]

    def write(self, path: Path) -> None:
        """Write the rows as JSON Lines."""
        with replacing(path) as file:
            for row in self.rows:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")


TEXT_COLUMNS, ID_COLUMNS = ("text", "note_text"), ("id", "note_id")
"""Names of the columns of a note's text and id, in this order; "NOTE_TEXT" and "Note text" count as well."""


def column_name(name: str) -> str:
    """A normal form of a column's name: "Note text", "note-text" and "NOTE_TEXT" are note_text."""
    return "_".join(name.replace("-", " ").split()).casefold()


def shown_names(names: Sequence[str]) -> str:
    """Column names for an error message; only their number if any may be text, as in a file without a header.

    A name is one word that does not begin with a digit, or one of the usual names of columns.
    """
    usual = (*TEXT_COLUMNS, *ID_COLUMNS)
    if not all(column_name(name) in usual or re.fullmatch(r"(?!\d)\w[\w.-]{0,39}", name) for name in names):
        return f"({len(names):,}, not shown, since they may be text)"
    more = f" and {len(names) - _MOST_SHOWN:,} more" if len(names) > _MOST_SHOWN else ""
    return ", ".join(names[:_MOST_SHOWN]) + more or "none"


_MOST_SHOWN = 20


JSON_LINES = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")
"""File extensions that `json_records` reads."""
FHIR = (
    'a FHIR resource, not a record with a text: write its text as {"id": ..., "text": ...}, one a line; in a '
    "DocumentReference it is in content.attachment.data, as base64"
)


def is_fhir(record: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a FHIR resource, whose `text`, if any, is not a string."""
    return isinstance(record.get("resourceType"), str)


def record_id(value: Any) -> str | None:
    """An id as text; None for a value that cannot be one: a list, true, NaN."""
    if isinstance(value, bool) or not isinstance(value, str | Number):
        return None
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        value = int(value) if value.is_integer() else value  # pandas writes 7 as 7.0 if the column has gaps
    return str(value)


def parquet_columns(path: Path) -> list[str]:
    """The names of a Parquet file's columns."""
    with readable_parquet(path):
        return list(pq.ParquetFile(path).schema_arrow.names)


def parquet_records(
    path: Path, quarantine: Quarantine, columns: list[str] | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a Parquet file, numbered from 1; those with values that cannot be read are quarantined.

    Args:
        path: the file.
        quarantine: collects bad rows.
        columns: the columns to read; None: all.
    """
    with readable_parquet(path):
        file = pq.ParquetFile(path)
        names = columns or file.schema_arrow.names
        if len(set(names)) < len(names):
            raise ValueError(f"{path} has two columns of the same name: rename or remove one")
        batches = file.iter_batches(batch_size=2_000, columns=columns)
        for line, record in enumerate(chain.from_iterable(map(_rows_of, batches)), 1):
            quarantine.total += 1
            if record is None:
                quarantine.add(path, line, "not UTF-8, or a date out of range")
            else:
                yield line, record


def _rows_of(batch: pa.RecordBatch) -> list[dict[str, Any] | None]:
    """The rows of a batch; None for a row with text that is not UTF-8 or a date that Python cannot represent."""
    try:
        rows: list[dict[str, Any] | None] = batch.to_pylist()
    except (ValueError, OverflowError):
        if batch.num_rows == 1:
            return [None]
        rows = [row for at in range(batch.num_rows) for row in _rows_of(batch[at : at + 1])]
    return rows


@contextmanager
def readable_parquet(path: Path) -> Iterator[None]:
    """Names the file in the error of a Parquet file that is damaged, or is none."""
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path} is not a Parquet file, or is truncated ({error})") from None


def json_records(
    path: Path, quarantine: Quarantine, content: bytes | None = None, encoding: str | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Objects of a JSON Lines file (plain or `.gz`) with line numbers; lines that are not objects are quarantined.

    Args:
        path: the file.
        quarantine: collects bad lines.
        content: the file's content, if it was read already, as for `open_bytes`.
        encoding: the file's encoding; None: UTF-8, unless a byte order mark names UTF-16 or UTF-32.
    """
    with undamaged(path), open_bytes(path, content) as file:
        for line, raw in enumerate(_lines(path, file, encoding), 1):
            if not raw.strip():
                continue
            quarantine.total += 1
            if line == 1 and re.match(rb"\s*\[\s*(?:\{|$)", raw):
                quarantine.add(
                    path, line, "a JSON array, not an object on each line: convert the file with jq -c '.[]'"
                )
                continue
            try:
                record = json.loads(raw.decode("utf-8-sig"), object_pairs_hook=each_once)
                json.dumps(record, ensure_ascii=False).encode()  # a lone surrogate can be read, but not written
                if not isinstance(record, dict):
                    raise ValueError(f"found a {type(record).__name__}")
            except (UnicodeDecodeError, UnicodeEncodeError) as error:
                quarantine.add(path, line, f"not UTF-8: {error.reason}")
            except json.JSONDecodeError as error:
                quarantine.add(path, line, f"not JSON from column {error.colno:,} on")
            except RecursionError:
                quarantine.add(path, line, "JSON that is nested too deeply")
            except TwiceError:
                quarantine.add(path, line, "a field stands twice in an object")
            except ValueError as error:
                cause = "a number has too many digits" if "digits" in str(error) else error
                quarantine.add(path, line, f"not a JSON object: {cause}")
            else:
                yield line, record


def _lines(path: Path, file: IO[bytes], encoding: str | None) -> Iterator[bytes]:
    """The lines of a file, converted to UTF-8 from any encoding."""
    marked = marked_encoding(file.peek(4)[:4])  # type: ignore[attr-defined]  # binary files opened for reading have it
    if (encoding or marked or "utf-8-sig").lower() in ("utf-8", "utf8", "utf-8-sig"):
        yield from long_lines(path, file)
        return
    with io.TextIOWrapper(file, encoding=encoding or marked, newline="\n") as text:
        try:
            for line in text:
                yield line.encode("utf-8", "surrogatepass")
        except UnicodeError:
            raise ValueError(f"{path} is not {encoding or marked}. Name its encoding with --encoding.") from None


class TwiceError(ValueError):
    """A JSON object repeats a field, so the first value would be lost."""


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, whose keys stand once; for `json.loads`.

    Raises:
        TwiceError: one stands twice; the message does not quote it.
    """
    found: dict[str, Any] = {}
    for number, (key, value) in enumerate(pairs, 1):
        if key in found:
            raise TwiceError(f"entry {number:,} of an object has the key of an earlier one; merge the two")
        found[key] = value
    return found
