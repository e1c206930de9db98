"""Distributes MeDAL's rows over partitions on disk by a hash of the abstract's id, and reads single partitions back.

A table is read in stretches, each of which becomes a file with the rows of every partition in turn. Lines without
quotation marks are cut with numpy, all lines of a stretch at once; the few others go through `medal_tables.record`.
Processes read the stretches of a plain file side by side, as if a record began with each. Where a quoted record goes on
beyond the end of its stretch, the next one is read again from the end of that record.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..data.rows import Quarantine, QuarantinedRow
from ..data.sources.medal_tables import Layout, Table, opened, read_layout, record, rows, text_id
from ..tools.failures import writing
from ..tools.files import LONGEST_LINE, long_lines, replacing
from ..tools.parallel import run_jobs

STRETCH = 64_000_000
"""Bytes of a stretch; reading one takes about four times as much memory."""
_SLICE = 1 << 20
"""Bytes that are searched at a time, so that they stay in the processor's cache."""
_ROWS_AT_A_TIME = 20_000
COLUMNS = ("abstract", "text", "locations", "labels")
_SCHEMA = pa.schema([("line", pa.int64()), *((name, pa.string()) for name in COLUMNS)])

Places = NDArray[np.int64]
Bytes = NDArray[np.uint8]


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
    """A part of a table."""

    table: Table
    path: Path
    """The file to write."""
    layout: Layout | None
    """None for Parquet."""
    start: int = 0
    """The first byte, or 0 if the table is one stretch, with its header."""
    end: int | None = None
    """One past the last byte; None if the table is one stretch."""


@dataclass(frozen=True, slots=True)
class _Read:
    """The result of reading a stretch; its lines are counted from its own beginning."""

    lines: int
    end: int
    """Where the last record ends; beyond the end of the stretch if it is quoted and goes on there."""
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
    """Distribute the tables' rows over the partitions; of a table for which this was done before, read the result.

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
    found: dict[int, _Read] = dict(run_jobs(partial(_read, parts=parts), jobs, workers=workers, label="Reading"))
    first = 0
    for number, own in stretches.items():
        read = _joined(own, [found[first + place] for place in range(len(own))], parts)
        first += len(own)
        with replacing(done[number]) as file:
            json.dump(read, file, ensure_ascii=False)
    return [json.loads(path.read_text(encoding="utf-8")) for path in done]


def _done(work: Path, number: int) -> Path:
    return work / "rows" / f"{number}.json"


def _stretches(table: Table, folder: Path) -> Iterator[_Stretch]:
    if table.path.suffix == ".parquet":
        yield _Stretch(table=table, path=folder / "00000", layout=None)
        return
    with opened(table) as file:
        whole = _Stretch(table=table, path=folder / "00000", layout=read_layout(table, long_lines(table.path, file)))
        if not isinstance(file, io.BufferedReader):  # packed, so it can only be read from its beginning
            yield whole
            return
        at, size = file.tell(), file.seek(0, io.SEEK_END)
        for number, near in enumerate(range(STRETCH, size + STRETCH, STRETCH)):
            file.seek(max(near, at) - 1)
            file.readline(LONGEST_LINE + 1)  # a longer line is reported when its stretch is read
            end = min(file.tell(), size)
            yield replace(whole, path=folder / f"{number:05}", start=at, end=end)
            at = end


def _joined(stretches: list[_Stretch], found: list[_Read], parts: int) -> ReadTable:
    """Join the results of all stretches of a table; a stretch that began inside a record is read again."""
    layout, at = stretches[0].layout, stretches[0].start
    before = layout.lines if layout is not None and stretches[0].end is not None else 0
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
    with writing(stretch.path), stretch.path.open("wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
        if stretch.layout is None:
            read = rows(stretch.table, quarantine)
            while part := list(islice(read, _ROWS_AT_A_TIME)):
                columns = [pa.array([row[n] for row in part], kind) for n, kind in enumerate(_SCHEMA.types)]
                _write(pa.record_batch(columns, schema=_SCHEMA), parts, writer)
        else:
            with opened(stretch.table) as file:
                if stretch.end is None:
                    lines = read_layout(stretch.table, long_lines(stretch.table.path, file)).lines
                else:
                    file.seek(stretch.start)
                for raw in _blocks(stretch, file):
                    batch, taken = _rows(raw, lines, stretch, file, quarantine)
                    _write(batch, parts, writer)
                    lines += taken
                end = file.tell()
    return _Read(lines, end, quarantine.total, quarantine.rows)


def _blocks(stretch: _Stretch, file: IO[bytes]) -> Iterator[bytes]:
    """Whole lines; what is read from the file between two blocks belongs to the first of them."""
    if stretch.end is not None:
        yield file.read(max(stretch.end - stretch.start, 0))
        return
    while raw := file.read(STRETCH):
        yield raw + file.readline(LONGEST_LINE + 1)


def _write(batch: pa.RecordBatch, parts: int, writer: pa.RecordBatchWriter) -> None:
    """Write the rows of each partition as one batch, empty or not."""
    names = batch.column("abstract").cast(pa.binary()).to_pylist()
    home = np.fromiter((zlib.crc32(name) % parts for name in names), np.int64, len(names))
    order = np.lexsort((batch.column("line").to_numpy(), home))
    batch, ends = batch.take(pa.array(order)), np.searchsorted(home[order], np.arange(parts + 1))
    for begin, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        writer.write_batch(batch.slice(begin, end - begin))


def _rows(
    raw: bytes, before: int, stretch: _Stretch, file: IO[bytes], quarantine: Quarantine
) -> tuple[pa.RecordBatch, int]:
    """The rows among whole lines, in no certain order, and the number of lines, with those read from the file.

    Args:
        raw: the lines.
        before: how many lines of the stretch come before them.
        stretch: says which columns there are.
        file: stands behind the lines; a quoted record that goes on there takes its other lines from it.
        quarantine: counts the rows and collects what is none.
    """
    layout, place = stretch.layout, Path(stretch.table.file)
    assert layout is not None
    text = np.frombuffer(raw, np.uint8)
    ends = positions(text, b"\n")
    if raw and not raw.endswith(b"\n"):
        ends = np.append(ends, len(raw))
    starts = np.append(0, ends + 1)[: len(ends)]
    if len(ends) and (ends - starts).max() >= LONGEST_LINE:
        _refuse_long_line(stretch.table)
    plain = np.ones(len(ends), bool)
    faults: list[tuple[int, int | csv.Error]] = []  # (line on which the record ends, what is wrong)
    read: list[tuple[int, tuple[str, str, str, str]]] = []
    following, beyond = long_lines(stretch.table.path, file), 0
    for number in _lines_to_read(raw, text, starts, ends):
        if not plain[number]:  # a record took it
            continue
        rest = (raw[starts[n] : ends[n] + 1] for n in range(number + 1, len(ends)))
        taken, cells = record(raw[starts[number] : ends[number] + 1], chain(rest, following))
        plain[number : number + taken] = False
        beyond = max(beyond, number + taken - len(ends))
        if isinstance(cells, list) and len(cells) == layout.width:
            read.append((number + taken, layout.row(cells)))
        elif cells:
            faults.append((number + taken, len(cells) if isinstance(cells, list) else cells))
    stops = ends - (text[np.maximum(ends - 1, 0)] == ord("\r"))  # of plain lines, which hold no other
    lines = np.flatnonzero(plain & (stops > starts))
    begin, stop, commas = starts[lines], stops[lines], positions(text, b",")
    first = np.searchsorted(commas, begin)
    widths = np.searchsorted(commas, stop) - first + 1
    whole = widths == layout.width
    faults += zip((lines[~whole] + 1).tolist(), widths[~whole].tolist(), strict=True)
    lines, begin, stop, first = lines[whole], begin[whole], stop[whole], first[whole]
    quarantine.total += len(lines) + len(read) + len(faults)
    for line, fault in sorted(faults, key=lambda found: found[0]):
        quarantine.add(place, before + line, layout.fault(fault))

    def column(number: int) -> pa.Array:
        after = begin if number == 0 else commas[first + number - 1] + 1
        return pieces(raw, after, stop if number == layout.width - 1 else commas[first + number])

    a, b, c, d = layout.columns
    texts = column(b)
    ids = pa.array(map(text_id, texts.to_pylist()), pa.string()) if a < 0 else column(a)
    columns = [pa.array(lines + 1 + before), ids, texts, column(c), column(d)]
    others = [pa.array(cells, kind) for cells, kind in zip(_columns(read, before), _SCHEMA.types, strict=True)]
    both = [pa.concat_arrays(pair) for pair in zip(columns, others, strict=True)] if read else columns
    return pa.record_batch(both, schema=_SCHEMA), len(ends) + beyond


def _columns(read: list[tuple[int, tuple[str, str, str, str]]], before: int) -> list[list[Any]]:
    """The columns of rows, as in `_SCHEMA`."""
    return [[before + line for line, _ in read], *([row[n] for _, row in read] for n in range(len(COLUMNS)))]


def _lines_to_read(raw: bytes, text: Bytes, starts: Places, ends: Places) -> list[int]:
    """The lines that are not to be cut at their commas as they are."""
    found = [np.searchsorted(ends, positions(text, mark)) for mark in (b'"', b"\0") if mark in raw]
    if b"\r" in raw:
        returns = positions(text, b"\r")
        line, count = np.unique(np.searchsorted(ends, returns), return_counts=True)
        last = np.minimum(ends[line], len(raw) - 1)
        found.append(line[(count > 1) | (text[last] != ord("\n")) | (text[last - 1] != ord("\r"))])
    if not raw.isascii() and not _is_utf8(raw):
        high = np.unique(np.searchsorted(ends, np.flatnonzero(text >= 128)))
        found.append(high[[not _is_utf8(raw[starts[n] : ends[n]]) for n in high]])
    return np.unique(np.concatenate(found)).tolist() if found else []


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _refuse_long_line(table: Table) -> None:
    with opened(table) as file:
        for _ in long_lines(table.path, file):  # which says on which line of the table
            pass


def positions(text: Bytes, character: bytes) -> Places:
    """Where an ASCII character stands in a text, given as ``[B]`` bytes."""
    code = ord(character)
    found = [np.flatnonzero(text[start : start + _SLICE] == code) + start for start in range(0, len(text), _SLICE)]
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def pieces(raw: bytes | pa.Buffer, begin: Places, end: Places) -> pa.Array:
    """Pieces of a text in UTF-8 as an array of strings; they stand in order and do not overlap."""
    bounds = np.stack([begin, end], axis=1).astype(np.int32).ravel()
    if not len(bounds):
        return pa.array([], pa.string())
    between = pa.Array.from_buffers(pa.string(), len(bounds) - 1, [None, pa.py_buffer(bounds), pa.py_buffer(raw)])
    return between.take(pa.array(np.arange(0, len(bounds), 2)))  # without what stands between two pieces


def partition(work: Path, number: int, part: int, parts: int, read: ReadTable) -> pa.Table:
    """The rows of a table in a partition: its line in the table, then `COLUMNS`, in the order of the lines."""
    batches = []
    for path, before in zip(sorted((work / "rows" / str(number)).iterdir()), read["before"], strict=True):
        with pa.memory_map(str(path)) as source:
            reader = pa.ipc.open_file(source)
            for place in range(part, reader.num_record_batches, parts):
                batch = reader.get_batch(place)
                if batch.num_rows:
                    batches.append(batch.set_column(0, _SCHEMA[0], pc.add(batch.column(0), before)))
    return pa.Table.from_batches(batches, _SCHEMA)
