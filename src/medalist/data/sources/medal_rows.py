"""Reads the rows of MeDAL's files as columns, and quarantines malformed lines.

CSV lines without quotation marks are split with numpy, all lines of a block at once; the few others go through
`medal_tables.record`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...tools.files import LONGEST_LINE, long_lines
from ..rows import Quarantine
from .medal_tables import Layout, Table, opened, read_layout, record, text_id

BLOCK = 64_000_000
"""Bytes that are split at once, which takes about four times as much memory."""
_SLICE = 1 << 20
"""Bytes that are searched at a time, so that they fit in the processor's cache."""
_ROWS_AT_A_TIME = 20_000
CELLS = ("abstract", "text", "locations", "labels")
SCHEMA = pa.schema([("line", pa.int64()), *((name, pa.large_string()) for name in CELLS)])
"""A row: an abstract with one short form, or with all of its short forms.

`line` is the line on which the row ends, from 1 including the header, as in an editor; in Parquet, the row number.
`locations` is the index of the word, or several indices joined by "|"; `labels` its long form, or several joined by
"|"."""
HUB_COLUMNS = ["abstract_id", "text", "location", "label"]

Places = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Cells = tuple[int, str, str, str, str]


def read_table(table: Table, quarantine: Quarantine) -> Iterator[pa.RecordBatch]:
    """The rows of a table in `SCHEMA`; rows are counted, and malformed lines are quarantined with their reason.

    Raises:
        ValueError: the table has other columns than MeDAL's, or the file is damaged.
    """
    if table.path.suffix == ".parquet":
        found = _parquet_rows(table, quarantine)
        while part := list(islice(found, _ROWS_AT_A_TIME)):
            yield _batch(part)
        return
    with opened(table) as file:
        layout = read_layout(table, long_lines(table.path, file))
        before = layout.lines
        while raw := file.read(BLOCK):
            raw += file.readline(LONGEST_LINE + 1)
            batch, taken = read_lines(raw, before, table, layout, file, quarantine)
            before += taken
            yield batch


def read_lines(
    raw: bytes, before: int, table: Table, layout: Layout, file: IO[bytes], quarantine: Quarantine
) -> tuple[pa.RecordBatch, int]:
    """The rows in a block of whole CSV lines, and the number of lines read, including those taken from the file.

    Args:
        raw: the lines.
        before: how many lines come before them.
        table: the table, for errors.
        layout: the positions of the columns.
        file: the file, positioned after the block; a quoted record that continues there takes further lines from it.
        quarantine: counts the rows and collects those that cannot be read.

    Raises:
        ValueError: a line is too long.
    """
    text = np.frombuffer(raw, np.uint8)
    ends = _positions(text, b"\n")
    if raw and not raw.endswith(b"\n"):
        ends = np.append(ends, len(raw))
    starts = np.append(0, ends + 1)[: len(ends)]
    if len(ends) and (ends - starts).max() >= LONGEST_LINE:
        _refuse_long_line(table)
    plain = np.ones(len(ends), bool)
    faults: list[tuple[int, int | csv.Error]] = []  # (line on which the record ends, what is wrong)
    read: list[Cells] = []
    following, beyond = long_lines(table.path, file), 0
    for number in _lines_to_read(raw, text, starts, ends):
        if not plain[number]:  # part of an earlier record
            continue
        rest = (raw[starts[n] : ends[n] + 1] for n in range(number + 1, len(ends)))
        taken, cells = record(raw[starts[number] : ends[number] + 1], chain(rest, following))
        plain[number : number + taken] = False
        beyond = max(beyond, number + taken - len(ends))
        if isinstance(cells, list) and len(cells) == layout.width:
            read.append((before + number + taken, *layout.row(cells)))
        elif cells:
            faults.append((number + taken, len(cells) if isinstance(cells, list) else cells))
    stops = ends - (text[np.maximum(ends - 1, 0)] == ord("\r"))  # plain lines contain no other carriage return
    lines = np.flatnonzero(plain & (stops > starts))
    begin, stop, commas = starts[lines], stops[lines], _positions(text, b",")
    first = np.searchsorted(commas, begin)
    widths = np.searchsorted(commas, stop) - first + 1
    whole = widths == layout.width
    faults += zip((lines[~whole] + 1).tolist(), widths[~whole].tolist(), strict=True)
    lines, begin, stop, first = lines[whole], begin[whole], stop[whole], first[whole]
    quarantine.total += len(lines) + len(read) + len(faults)
    for line, fault in sorted(faults, key=lambda found: found[0]):
        quarantine.add(Path(table.file), before + line, layout.fault(fault))

    def column(number: int) -> pa.Array:
        after = begin if number == 0 else commas[first + number - 1] + 1
        return pieces(raw, after, stop if number == layout.width - 1 else commas[first + number])

    a, b, c, d = layout.columns
    texts = column(b)
    ids = pa.array(map(text_id, texts.to_pylist()), pa.large_string()) if a < 0 else column(a)
    batch = pa.record_batch([pa.array(lines + 1 + before), ids, texts, column(c), column(d)], schema=SCHEMA)
    if read:
        batch = pa.concat_batches([batch, _batch(read)])
        batch = batch.take(pa.array(np.argsort(batch.column("line").to_numpy(), kind="stable")))
    return batch, len(ends) + beyond


def _batch(found: list[Cells]) -> pa.RecordBatch:
    columns = [pa.array([row[n] for row in found], kind) for n, kind in enumerate(SCHEMA.types)]
    return pa.record_batch(columns, schema=SCHEMA)


def _lines_to_read(raw: bytes, text: Bytes, starts: Places, ends: Places) -> list[int]:
    """The lines that must not simply be split at their commas."""
    found = [np.searchsorted(ends, _positions(text, mark)) for mark in (b'"', b"\0") if mark in raw]
    if b"\r" in raw:
        returns = _positions(text, b"\r")
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
        for _ in long_lines(table.path, file):  # its error names the line
            pass


def _positions(text: Bytes, character: bytes) -> Places:
    """The positions of an ASCII character in a text, given as ``[B]`` bytes."""
    code = ord(character)
    found = [np.flatnonzero(text[start : start + _SLICE] == code) + start for start in range(0, len(text), _SLICE)]
    return np.concatenate(found) if found else np.zeros(0, np.int64)


def pieces(raw: bytes | pa.Buffer, begin: Places, end: Places) -> pa.Array:
    """Pieces of a UTF-8 text, which are in order and do not overlap, as an array of large strings."""
    bounds = np.stack([begin, end], axis=1).ravel()
    if not len(bounds):
        return pa.array([], pa.large_string())
    buffers = [None, pa.py_buffer(bounds), pa.py_buffer(raw)]
    between = pa.Array.from_buffers(pa.large_string(), len(bounds) - 1, buffers)
    return between.take(pa.array(np.arange(0, len(bounds), 2)))  # drops what stands between two pieces


def _parquet_rows(table: Table, quarantine: Quarantine) -> Iterator[Cells]:
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
                    # The id -1 marks full_data, which has no ids. Each short form of a row gets its own row.
                    known = abstract is not None and abstract >= 0
                    identifier = str(abstract) if known else text_id(text)
                    for location, label in zip(locations, labels, strict=True):
                        yield line, identifier, text, str(location), label
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path} is not a Parquet file, or is truncated ({error})") from None


def _is_medal(schema: pa.Schema) -> bool:
    """Whether the Hub's columns are present with the right types; large lists and strings are accepted."""
    if not set(HUB_COLUMNS) <= set(schema.names):
        return False
    types = [schema.field(name).type for name in HUB_COLUMNS]
    if not all(pa.types.is_list(t) or pa.types.is_large_list(t) for t in types[2:]):
        return False
    integers, strings = (types[0], types[2].value_type), (types[1], types[3].value_type)
    return all(map(pa.types.is_integer, integers)) and all(
        pa.types.is_string(t) or pa.types.is_large_string(t) for t in strings
    )
