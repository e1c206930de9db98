"""Reads plain texts: JSON Lines, Parquet, CSV, a .txt file, or folders of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ...tools.decoding import decoded
from ...tools.files import must_exist, read_bytes
from ..rows import FHIR, JSON_LINES, Quarantine, column_name, is_fhir, json_records, parquet_records
from ..tables import table_records

ENDINGS = (
    *(*JSON_LINES, ".json.gz", ".parquet"),
    *(".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt"),
)
FIELDS = ("text", "note", "note_text", "section_text", "sections", "tokens")
"""Fields that may contain a record's text; `sections` and `tokens` are lists, which are joined with spaces."""
_NAMES = ("id", "pmid", "note_id", "encounter_id", "abstract_id")


class PlainText(NamedTuple):
    """One text as read from its file."""

    id: str
    text: str
    source: str
    """The source that the record gives, or else the name of its file or folder."""


def text_files(sources: Sequence[Path]) -> list[Path]:
    """The files of the sources; a folder stands for all readable files in it, by name.

    Raises:
        FileNotFoundError: a source does not exist.
        ValueError: a file has an unknown format, or a folder contains no readable file.
    """
    found: list[Path] = []
    for source in sources:
        must_exist(source)
        inside = sorted(p for p in source.rglob("*") if p.name.lower().endswith(ENDINGS)) if source.is_dir() else []
        if source.is_dir() and not inside:
            raise ValueError(f"{source} has no file of texts. Known: {', '.join(ENDINGS)}")
        if not source.is_dir() and not source.name.lower().endswith(ENDINGS):
            raise ValueError(f"{source} has an unknown format. Known: {', '.join(ENDINGS)}, or a folder of them")
        found += inside or [source]
    return found


def read_texts(path: Path, quarantine: Quarantine) -> Iterator[PlainText]:
    """Yield the texts of one file; a record without a text is quarantined, without its content.

    A record's text is under one of `FIELDS`, which a table may also spell "Note text"; its id, if any, is under `id`,
    `pmid`, `note_id`, `encounter_id` or `ABSTRACT_ID`. A `.txt` file is one text.

    Raises:
        ValueError: the file is damaged.
    """
    name = path.name.lower()
    stem = path.name.split(".")[0]
    if name.endswith(".txt"):
        quarantine.total += 1
        try:
            yield PlainText(stem, decoded(read_bytes(path), path.name)[0], path.parent.name)
        except ValueError as error:
            quarantine.add(path, 1, str(error))
        return
    for line, row in _records(path, quarantine):
        fields = {column_name(key): value for key, value in row.items()}
        text = next((_joined(fields[field]) for field in FIELDS if fields.get(field)), "")
        if not text.strip():
            quarantine.add(path, line, FHIR if is_fhir(row) else f"no text under {', '.join(FIELDS)}")
            continue
        identifier = next((str(fields[key]) for key in _NAMES if fields.get(key) is not None), f"{stem}-{line}")
        yield PlainText(identifier, text, str(fields.get("source") or stem))


def _records(path: Path, quarantine: Quarantine) -> Iterator[tuple[int, dict[str, Any]]]:
    name = path.name.lower()
    if name.endswith(".parquet"):
        return parquet_records(path, quarantine)
    if name.endswith((".csv", ".csv.gz", ".tsv", ".tsv.gz")):
        return table_records(path, quarantine, lambda names: not {*FIELDS}.isdisjoint(map(column_name, names)))
    return json_records(path, quarantine)


def _joined(value: object) -> str:
    """The text of a field; "" for a value that is not text, such as an object."""
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else value if isinstance(value, str) else ""
