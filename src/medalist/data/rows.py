"""Rows of a file, one by one, and the quarantine of those that could not be read."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import (
    Any,
    NotRequired,  # those of `typing` cannot be checked before Python 3.12
)

import pyarrow as pa
import pyarrow.parquet as pq
from typing_extensions import TypedDict

from ..tools.files import replacing, undamaged


class QuarantinedRow(TypedDict):
    """A row that was set aside."""

    file: str
    line: int
    reason: str
    row: object
    """Its content, as far as it could be read."""
    bad: NotRequired[bool]
    """False: sound, but of no use."""


class TooManyBadRows(ValueError):
    """More rows were quarantined than the setting allows."""


@dataclass(kw_only=True)
class Quarantine:
    """Rows that could not be read: kept with their place and reason, counted, and limited to a share of all rows."""

    limit: float = 0.05
    """Largest share of bad rows, 0 to 1; `check` raises beyond it."""
    rows: list[QuarantinedRow] = field(default_factory=list)
    total: int = 0
    """Rows seen, good or bad; the reader counts them."""

    def add(self, path: Path, line: int, reason: str, row: object = None, *, bad: bool = True) -> None:
        """Set one row aside. `line` counts from 1 and includes the header, as an editor shows it.

        A row that is sound but of no use, its annotators being unsure, say, is not `bad`: the limit leaves it out.
        """
        found: QuarantinedRow = {"file": path.name, "line": line, "reason": reason, "row": row}
        if not bad:
            found["bad"] = False
        self.rows.append(found)

    def check(self) -> None:
        """Raise `TooManyBadRows` when the share of bad rows passes the limit."""
        bad = [row for row in self.rows if row.get("bad", True)]
        if len(bad) > self.limit * self.total:
            first = bad[0]
            raise TooManyBadRows(
                f"{len(bad):,} of {self.total:,} rows are bad (limit {self.limit:.0%}); the first: {first['file']}, row "
                f"{first['line']:,}: {first['reason']}. Mend the file or raise the limit (data.max_bad_rows, --max-bad-rows)."
            )

    def summary(self) -> dict[str, int]:
        """Reason -> number of rows, most frequent first; figures in a reason are folded."""
        counts: dict[str, int] = {}
        for row in self.rows:
            reason = re.sub(r"\d[\d,]*|'[^']*'", "…", row["reason"])
            counts[reason] = counts.get(reason, 0) + 1
        return dict(sorted(counts.items(), key=lambda item: -item[1]))

    def examples(self, most: int) -> list[QuarantinedRow]:
        """The first rows, with the beginning of what they hold, as an account shows them."""
        return [{**row, "row": str(row["row"])[:120]} for row in self.rows[:most]]

    def write(self, path: Path) -> None:
        """Write the rows as JSON Lines."""
        with replacing(path) as file:
            for row in self.rows:
                file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")


def parquet_records(path: Path, quarantine: Quarantine) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a Parquet file, numbered from 1."""
    try:
        file = pq.ParquetFile(path)
        records = chain.from_iterable(batch.to_pylist() for batch in file.iter_batches(batch_size=2_000))
        for line, record in enumerate(records, 1):
            quarantine.total += 1
            yield line, record
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path} is no Parquet file, or is cut short ({error})") from None


def json_records(path: Path, quarantine: Quarantine) -> Iterator[tuple[int, dict[str, Any]]]:
    """Objects of a JSON Lines file (also `.gz`) with their line numbers; lines that are none are quarantined."""
    opened = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
    with undamaged(path), opened as file:
        for line, raw in enumerate(file, 1):
            if not raw.strip():
                continue
            quarantine.total += 1
            try:
                record = json.loads(raw.decode("utf-8-sig"))
                json.dumps(record, ensure_ascii=False).encode()  # half a surrogate pair can be read, but not written
                if not isinstance(record, dict):
                    raise ValueError(f"found a {type(record).__name__}")
            except (UnicodeDecodeError, UnicodeEncodeError) as error:
                quarantine.add(path, line, f"not UTF-8: {error.reason}", repr(raw[:200]))
            except ValueError as error:
                quarantine.add(path, line, f"not a JSON object: {error}", raw.decode("utf-8")[:200])
            else:
                yield line, record
