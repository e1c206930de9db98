"""Distributes MeDAL's rows over partitions on disk by a hash of the abstract's id, and reads single partitions back."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

from ..data.rows import Quarantine, QuarantinedRow
from ..data.sources.medal import MedalRow, Table, rows
from ..tools.files import replacing
from ..tools.progress import tracking

_BUFFER = 512 * 1024


class ReadTable(TypedDict):
    """The result of reading a table."""

    total: int
    """Number of rows in the table."""
    rows: list[QuarantinedRow]
    """Rows that could not be read."""


def text_size(table: Table) -> int:
    """Approximate size of the text in bytes."""
    if table.member is not None:
        with zipfile.ZipFile(table.path) as archive:
            return archive.getinfo(table.member).file_size
    size = table.path.stat().st_size
    return size * 3 if table.path.suffix in (".gz", ".parquet") else size


def distribute(table: Table, number: int, work: Path, parts: int) -> ReadTable:
    """Distribute a table's rows over the partitions; if this was done before, only read the stored result."""
    done = work / "rows" / f"{number}.json"
    if done.exists():
        return json.loads(done.read_text(encoding="utf-8"))  # type: ignore[no-any-return]  # as written below
    folder = work / "rows" / str(number)
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.iterdir():
        left.unlink()
    quarantine = Quarantine(limit=1.0)
    waiting: list[list[str]] = [[] for _ in range(parts)]
    sizes = [0] * parts
    shown, size = 0, text_size(table)
    with tracking(f"Reading {table.name}, MB", max(1, size // 1_000_000)) as advance:
        seen = 0
        for row in rows(table, quarantine):
            part = zlib.crc32(row.abstract.encode()) % parts
            line = "\t".join((str(row.line), row.abstract, row.text, row.locations, row.labels))
            if line.count("\t") != 4 or "\n" in line or "\r" in line:
                line = "J" + json.dumps(row[:5])
            waiting[part].append(line)
            sizes[part] += len(line)
            seen += len(line)
            if sizes[part] > _BUFFER:
                _append(folder, part, waiting, sizes)
            if seen - shown > 20_000_000:
                advance((seen - shown) // 1_000_000)
                shown = seen
        for part in range(parts):
            _append(folder, part, waiting, sizes)
    record: ReadTable = {"total": quarantine.total, "rows": quarantine.rows}
    with replacing(done) as file:
        json.dump(record, file, ensure_ascii=False)
    return record


def _append(folder: Path, part: int, waiting: list[list[str]], sizes: list[int]) -> None:
    if waiting[part]:
        with (folder / f"{part:05}").open("a", encoding="utf-8", newline="") as file:
            file.write("\n".join(waiting[part]) + "\n")
        waiting[part], sizes[part] = [], 0


def partition_rows(path: Path, table: str) -> Iterator[MedalRow]:
    """The rows of one table in one partition, as written by `distribute`; empty if it wrote none."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            if line.startswith("J"):
                yield MedalRow._make((*json.loads(line[1:]), table))
            else:
                number, abstract, text, locations, labels = line.rstrip("\n").split("\t")
                yield MedalRow(int(number), abstract, text, locations, labels, table)
