"""Reads plain texts: JSON Lines, Parquet, CSV, a .txt file, or folders of them."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ...tools.files import must_exist, open_text, undamaged
from ..rows import Quarantine, csv_fault, json_records, parquet_records

ENDINGS = (".jsonl", ".jsonl.gz", ".json.gz", ".parquet", ".csv", ".csv.gz", ".txt")
FIELDS = ("text", "note", "section_text", "sections", "tokens")
"""Where a record may hold its text; `sections` and `tokens` are lists, which are joined with spaces."""
_NAMES = ("id", "pmid", "note_id", "encounter_id", "abstract_id")


class PlainText(NamedTuple):
    """One text as it was read."""

    id: str
    text: str
    source: str
    """What the record says, or else the name of its file or folder."""


def text_files(sources: Sequence[Path]) -> list[Path]:
    """The files that sources stand for: a folder for all files in it that can be read, by name.

    Raises:
        FileNotFoundError: a source does not exist.
        ValueError: a file has another format, or a folder holds none that can be read.
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

    A record's text is under one of `FIELDS`, in upper or lower case; its id, if any, under `id`, `pmid`, `note_id`,
    `encounter_id` or `ABSTRACT_ID`. A `.txt` file is one text.

    Raises:
        ValueError: the file is damaged.
    """
    name = path.name.lower()
    stem = path.name.split(".")[0]
    if name.endswith(".txt"):
        quarantine.total += 1
        try:
            yield PlainText(stem, path.read_text(encoding="utf-8-sig"), path.parent.name)
        except UnicodeDecodeError as error:
            quarantine.add(path, 1, f"not UTF-8: {error.reason} at byte {error.start}")
        return
    rows = _csv_rows(path, quarantine) if name.endswith((".csv", ".csv.gz")) else _records(path, quarantine)
    for line, row in rows:
        fields = {key.lower(): value for key, value in row.items() if isinstance(key, str)}
        text = next((_joined(fields[field]) for field in FIELDS if fields.get(field)), "")
        if not text.strip():
            quarantine.add(path, line, f"no text under {', '.join(FIELDS)}")
            continue
        identifier = next((str(fields[key]) for key in _NAMES if fields.get(key) is not None), f"{stem}-{line}")
        yield PlainText(identifier, text, str(fields.get("source") or stem))


def _records(path: Path, quarantine: Quarantine) -> Iterator[tuple[int, dict[str, Any]]]:
    read = parquet_records if path.name.lower().endswith(".parquet") else json_records
    return read(path, quarantine)


def _csv_rows(path: Path, quarantine: Quarantine) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with undamaged(path), open_text(path, encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            for row in rows:
                quarantine.total += 1
                yield rows.line_num, row
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 ({error.reason}): save it as UTF-8") from None
    except csv.Error as error:
        raise ValueError(f"{path} is not a CSV file ({csv_fault(error)})") from None


def _joined(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
