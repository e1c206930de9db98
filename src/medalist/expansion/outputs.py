"""Writes the expansions of many notes: JSON Lines, CSV, Parquet, BRAT's stand-off format, and OMOP's NOTE_NLP table.

A record is `ExpandedText.to_dict()` with the note's `id`, the `surface` of each warning, and on request the
`expanded_text`.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..data.spelling import folded
from ..tools.files import replacing, writing_folder
from .notes import Note
from .options import Format

Record = dict[str, Any]
_ROWS_AT_A_TIME = 10_000

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("short_form", pa.string()),
        ("key", pa.string()),
        ("long_form", pa.string()),
        ("probability", pa.float64()),
        ("sure", pa.bool_()),
        ("evidence", pa.string()),
        ("alternatives", pa.list_(pa.struct([("long_form", pa.string()), ("probability", pa.float64())]))),
        ("warning", pa.string()),
    ]
)
"""One row per expansion, and one with the evidence `do not use` for each warning that belongs to no expansion.

The id is int64 if the notes' ids are numbers.
"""

_NOTE_NLP = (
    "note_nlp_id",
    "note_id",
    "section_concept_id",
    "snippet",
    "offset",
    "lexical_variant",
    "note_nlp_concept_id",
    "note_nlp_source_concept_id",
    "nlp_system",
    "nlp_date",
    "nlp_datetime",
    "term_exists",
    "term_temporal",
    "term_modifiers",
)
"""The columns of the table in OMOP's common data model 5.4."""


def format_of(out: Path, named: Format | None = None) -> Format:
    """The format of an output file: as named, or else from the file's name.

    Raises:
        ValueError: the file name has no known extension.
    """
    if named is not None:
        return named
    by_name: dict[str, Format] = {".jsonl": "jsonl", ".csv": "csv", ".parquet": "parquet"}
    if out.suffix.lower() not in by_name:
        raise ValueError(f"{out}: its name says no format. Call it .jsonl, .csv or .parquet, or give --format")
    return by_name[out.suffix.lower()]


def write_records(
    records: Iterable[Record], out: Path, kind: Format, *, notes: Iterable[Note], day: str, whole_ids: bool = False
) -> None:
    """Write the records of all notes, in order; `out` is written completely or not at all, and replaces nothing.

    Args:
        records: one per note.
        out: the file, or for BRAT the folder, to write.
        kind: the format.
        notes: the same notes; their text is used only for BRAT, which stores it with the annotations.
        day: the date for NOTE_NLP, such as 2026-11-30.
        whole_ids: write ids as integers where the format has them, for joins with a table of notes that has such ids.

    Raises:
        OSError: something exists at `out`, or it cannot be written.
    """
    if whole_ids:
        records = map(with_whole_id, records)
    if kind == "brat":
        with writing_folder(out, new=True) as folder:
            (folder / "annotation.conf").write_text(_BRAT_TYPES, encoding="utf-8")
            for note, record in zip(notes, records, strict=True):
                _write_brat(note, record, folder)
    elif kind == "parquet":
        with replacing(out, "wb", new=True) as file:
            _write_parquet(records, file, SCHEMA.set(0, pa.field("id", pa.int64())) if whole_ids else SCHEMA)
    else:
        write: dict[str, Callable[[Iterable[Record], IO[str]], None]] = {
            "jsonl": _write_jsonl,
            "csv": _write_csv,
            "note-nlp": lambda records, file: _write_note_nlp(records, file, day),
        }
        with replacing(out, new=True) as file:
            write[kind](records, file)


def _write_jsonl(records: Iterable[Record], file: IO[str]) -> None:
    for record in records:
        file.write(json_line(record) + "\n")


def with_whole_id(record: Record) -> Record:
    """A record with its id as an integer."""
    return record | {"id": int(record["id"])}


def json_line(record: Record) -> str:
    """A record as a line of JSON Lines, without the line break."""
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def _rows(record: Record) -> Iterator[Record]:
    """The rows of one note, in text order."""
    rows = [
        {name: one.get(name) for name in SCHEMA.names}
        | {"id": record["id"], "warning": one["warning"] and one["warning"]["why"]}
        for one in record["expansions"]
    ]
    spans = [(one["start"], one["end"]) for one in record["expansions"]]
    for warning in record["warnings"]:
        if not any(start < warning["end"] and warning["start"] < end for start, end in spans):
            rows.append(
                dict.fromkeys(SCHEMA.names)
                | {"id": record["id"], "start": warning["start"], "end": warning["end"], "sure": False}
                | {"short_form": warning["surface"], "key": warning["notation"]}
                | {"evidence": "do not use", "alternatives": [], "warning": warning["why"]}
            )
    return iter(sorted(rows, key=lambda row: (row["start"], row["end"])))


def _write_csv(records: Iterable[Record], file: IO[str]) -> None:
    names = [name for name in SCHEMA.names if name != "alternatives"]
    writer = csv.DictWriter(file, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerows(_rows(record))


def _write_parquet(records: Iterable[Record], file: IO[bytes], schema: pa.Schema) -> None:
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        waiting: list[Record] = []
        for record in records:
            waiting += _rows(record)
            if len(waiting) >= _ROWS_AT_A_TIME:
                writer.write_table(pa.Table.from_pylist(waiting, schema))
                waiting = []
        writer.write_table(pa.Table.from_pylist(waiting, schema))


def count_foreign_ids(notes: Iterable[Note]) -> int:
    """The number of notes whose id is not an integer, as OMOP's note_id must be."""
    return sum(re.fullmatch(r"[+-]?[0-9]{1,18}", note.id) is None for note in notes)


def check_brat_ids(notes: Iterable[Note]) -> None:
    """Refuse notes whose ids cannot be file names in one folder; "ward7/1" is file 1 in ward7.

    Raises:
        ValueError: an id leads out of the folder, is not a valid file name, or clashes with another on disks that
            ignore case or the form of accents.
    """
    seen: set[str] = set()
    for number, note in enumerate(notes, 1):
        parts = note.id.split("/")
        if note.id.startswith("/") or ".." in parts:
            why = "its id leads out of the folder"
        elif not all(parts) or "." in parts or not note.id.isprintable() or "\\" in note.id:
            why = "its id is not a valid file name"
        elif any(len(part.encode()) > _LONGEST_NAME for part in parts):
            why = "its id is too long for the name of a file"
        elif folded(note.id) in seen:
            why = "its id differs from an earlier one in case only, which is one file on some disks"
        else:
            seen.add(folded(note.id))
            continue
        raise ValueError(
            f"Note {number:,} cannot be written in BRAT's format: {why}. Name another --id-column, or another --format"
        )


_LONGEST_NAME = 200
"""Bytes of one component of a file name; most disks allow 255, including the extension."""


_BRAT_TYPES = """\
[entities]
ShortForm
DoNotUse
[relations]
<OVERLAP>\tArg1:<ENTITY>, Arg2:<ENTITY>, <OVL-TYPE>:<ANY>
[events]
[attributes]
"""
"""The file `annotation.conf`, without which BRAT does not open a folder: the types that `_write_brat` uses."""


def _write_brat(note: Note, record: Record, folder: Path) -> None:
    """Write `.txt` and `.ann` of one note: a text-bound annotation with a note per expansion or warning."""
    check_brat_ids([note])
    target = folder / f"{note.id}.txt"
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", encoding="utf-8", newline="") as file:
        file.write(note.text)
    lines = []
    for number, row in enumerate(_rows(record), 1):
        kind = "DoNotUse" if row["evidence"] == "do not use" else "ShortForm"
        pieces = list(_LINE.finditer(note.text, row["start"], row["end"]))  # one fragment per line, as BRAT requires
        spans = ";".join(f"{piece.start()} {piece.end()}" for piece in pieces)
        surface = " ".join(piece[0].translate(_SPACES) for piece in pieces)
        lines.append(f"T{number}\t{kind} {spans}\t{surface}")
        said = (
            f"{row['long_form']} ({row['probability']:.2f}, {row['evidence']})" if row["long_form"] else row["evidence"]
        )
        lines.append(f"#{number}\tAnnotatorNotes T{number}\t{said}{'; ' + row['warning'] if row['warning'] else ''}")
    target.with_suffix(".ann").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


_LINE = re.compile(r"[^\r\n]+")
_SPACES = dict.fromkeys(map(ord, "\n\r\t\v\f\x1c\x1d\x1e\x85\u2028\u2029"), " ")
"""Characters that could end a line or a field in BRAT's format."""


def _write_note_nlp(records: Iterable[Record], file: IO[str], day: str) -> None:
    """Write OMOP's NOTE_NLP: without snippets, so that only short forms leave the notes; without concepts (0).

    No cell is longer than its column: 250 characters for lexical_variant, 2,000 for term_modifiers.
    """
    writer = csv.DictWriter(file, _NOTE_NLP, restval="", lineterminator="\n")
    writer.writeheader()
    number = 0
    for record in records:
        for row in _rows(record):
            if row["long_form"] is None:
                continue
            number += 1
            writer.writerow(
                {
                    "note_nlp_id": number,
                    "note_id": record["id"],
                    "section_concept_id": 0,
                    "offset": row["start"],
                    "lexical_variant": row["short_form"][:250],
                    "note_nlp_concept_id": 0,
                    "note_nlp_source_concept_id": 0,
                    "nlp_system": "medalist",
                    "nlp_date": day,
                    "term_exists": "Y",
                    "term_modifiers": (
                        f"long_form={row['long_form'][:1900]},probability={row['probability']},evidence={row['evidence']}"
                    ),
                }
            )
