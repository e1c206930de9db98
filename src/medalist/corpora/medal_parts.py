"""Distributes MeDAL's rows over partitions on disk by a hash of the abstract's id, and reads single partitions back.

A table is read in stretches, each of which becomes a file with the rows of each partition in turn. Processes read the
stretches of an uncompressed file in parallel, assuming that each starts a new record. Where a quoted record continues
beyond the end of its stretch, the next stretch is read again from the end of that record.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..data.rows import Quarantine, QuarantinedRow
from ..data.sources.medal_rows import BLOCK, SCHEMA, read_lines, read_table
from ..data.sources.medal_tables import Layout, Table, opened, read_layout
from ..data.splits import SPLITS, Split
from ..tools.failures import writing
from ..tools.files import LONGEST_LINE, long_lines
from ..tools.parallel import run_jobs
from .corpus import read_json, write_json

STRETCH = BLOCK
"""Approximate size of a stretch, in bytes."""


class ReadTable(TypedDict):
    """The result of reading a table."""

    total: int
    """Number of rows in the table."""
    rows: list[QuarantinedRow]
    """Rows that could not be read."""
    before: list[int]
    """For each stretch, the number of lines before it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stretch:
    """A part of an uncompressed CSV table, or all of any other table."""

    table: Table
    path: Path
    """The file to write."""
    layout: Layout | None = None
    """None if the stretch is the whole table."""
    start: int = 0
    """Offset of the first byte."""
    end: int = 0
    """One past the last byte."""


@dataclass(frozen=True, slots=True)
class _Read:
    """The result of reading a stretch; lines are counted from the start of the stretch."""

    lines: int
    end: int
    """Where the last record ends; beyond the end of the stretch if it is quoted and continues there."""
    total: int
    rows: list[QuarantinedRow]


def text_size(table: Table) -> int:
    """Approximate size of the text in bytes."""
    if table.member is not None:
        with zipfile.ZipFile(table.path) as archive:
            return archive.getinfo(table.member).file_size
    size = table.path.stat().st_size
    return size * 3 if table.path.suffix in (".gz", ".parquet") else size


def distribute(tables: Sequence[Table], work: Path, parts: int, workers: int) -> list[ReadTable]:
    """Distribute the tables' rows over the partitions; for a table that was distributed before, read the stored result.

    Raises:
        ValueError: a table has other columns than MeDAL's, or a file is damaged.
    """
    done = [_done(work, number) for number in range(len(tables))]
    stretches: dict[int, list[_Stretch]] = {}
    for number, table in enumerate(tables):
        if not done[number].exists():
            folder = work / "rows" / str(number)
            folder.mkdir(parents=True, exist_ok=True)
            for left in folder.iterdir():
                left.unlink()
            stretches[number] = list(_stretches(table, folder))
    jobs = list(chain.from_iterable(stretches.values()))
    found = dict(run_jobs(partial(_read, parts=parts), jobs, workers=workers, label="Reading", name=_name))
    results = (found[place] for place in range(len(jobs)))
    for number, own in stretches.items():
        read = _joined(own, list(islice(results, len(own))), parts)
        write_json(read, done[number])
    return [read_json(path) for path in done]


def _name(stretch: _Stretch) -> str:
    return str(stretch.table)


def _done(work: Path, number: int) -> Path:
    return work / "rows" / f"{number}.json"


def _stretches(table: Table, folder: Path) -> Iterator[_Stretch]:
    whole = _Stretch(table=table, path=folder / "00000")
    if table.path.suffix == ".parquet":
        yield whole
        return
    with opened(table) as file:
        layout = read_layout(table, long_lines(table.path, file))
        if not isinstance(file, io.BufferedReader):  # compressed, so it can only be read from the start
            yield whole
            return
        at, size = file.tell(), file.seek(0, io.SEEK_END)
        for number, near in enumerate(range(STRETCH, size + STRETCH, STRETCH)):
            file.seek(max(near, at) - 1)
            file.readline(LONGEST_LINE + 1)  # longer lines are reported when the stretch is read
            end = min(file.tell(), size)
            yield _Stretch(table=table, path=folder / f"{number:05}", layout=layout, start=at, end=end)
            at = end


def _joined(stretches: list[_Stretch], found: list[_Read], parts: int) -> ReadTable:
    """Join the results of all stretches of a table; a stretch that began inside a record is read again."""
    layout, at = stretches[0].layout, stretches[0].start
    before = layout.lines if layout is not None else 0
    joined: ReadTable = {"total": 0, "rows": [], "before": []}
    for stretch, read in zip(stretches, found, strict=True):
        if stretch.start != at:
            read = _read(replace(stretch, start=at), parts=parts)
        joined["before"].append(before)
        joined["total"] += read.total
        for row in read.rows:
            row["line"] += before
        joined["rows"] += read.rows
        before, at = before + read.lines, read.end
    return joined


def _read(stretch: _Stretch, *, parts: int) -> _Read:
    """Read a stretch and write its rows, partition by partition."""
    quarantine = Quarantine(limit=1.0)
    lines = end = 0
    with writing(stretch.path), stretch.path.open("wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
        if stretch.layout is None:
            for batch in read_table(stretch.table, quarantine):
                _write(batch, parts, writer)
        else:
            with opened(stretch.table) as file:
                file.seek(stretch.start)
                raw = file.read(max(stretch.end - stretch.start, 0))
                batch, lines = read_lines(raw, 0, stretch.table, stretch.layout, file, quarantine)
                end = file.tell()
            _write(batch, parts, writer)
    return _Read(lines, end, quarantine.total, quarantine.rows)


def _write(batch: pa.RecordBatch, parts: int, writer: pa.RecordBatchWriter) -> None:
    """Write the rows of each partition as one batch, empty or not."""
    names = batch.column("abstract").cast(pa.large_binary()).to_pylist()
    home = np.fromiter((zlib.crc32(name) % parts for name in names), np.int64, len(names))
    order = np.argsort(home, kind="stable")
    batch, ends = batch.take(pa.array(order)), np.searchsorted(home[order], np.arange(parts + 1))
    for begin, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        writer.write_batch(batch.slice(begin, end - begin))


def partition(work: Path, number: int, part: int, parts: int, read: ReadTable) -> pa.Table:
    """The rows of a table in a partition: line number in the table and cells, ordered by line."""
    batches = []
    for path, before in zip(sorted((work / "rows" / str(number)).iterdir()), read["before"], strict=True):
        with pa.memory_map(str(path)) as source:
            reader = pa.ipc.open_file(source)
            for place in range(part, reader.num_record_batches, parts):
                batch = reader.get_batch(place)
                if batch.num_rows:
                    batches.append(batch.set_column(0, SCHEMA[0], pc.add(batch.column(0), before)))
    return pa.Table.from_batches(batches, SCHEMA)


def by_split(found: Sequence[pa.Table], homes: Sequence[Split | Callable[[str], Split]]) -> dict[Split, pa.Table]:
    """The rows of each split that has any, with a further column `table`.

    Args:
        found: the rows of each table, from `partition`.
        homes: for each table, its split or a function that returns the split of an abstract.
    """
    parts: dict[Split, list[pa.Table]] = {split: [] for split in SPLITS}
    for place, (rows, home) in enumerate(zip(found, homes, strict=True)):
        rows = rows.append_column("table", pa.repeat(pa.scalar(place), rows.num_rows))
        if isinstance(home, str):
            parts[home].append(rows)
            continue
        names = rows["abstract"].dictionary_encode().combine_chunks()
        own = pa.array([home(name) for name in names.dictionary.to_pylist()], pa.string()).take(names.indices)
        for split in SPLITS:
            parts[split].append(rows.filter(pc.equal(own, split)))
    joined = {split: pa.concat_tables(tables) for split, tables in parts.items() if tables}
    return {split: rows for split, rows in joined.items() if rows.num_rows}
