"""Reads the file formats of sense inventories into rows.

The formats are MeDAL's table, the ADAM database, the Clinical Abbreviation Meta-Inventory (Grossman et al. 2021), CASI
(the annotated notes of the University of Minnesota's Clinical Abbreviation Sense Inventory, Moon et al. 2014), GLADIS
(Chen et al. 2023), and plain CSV, TSV or JSON glossaries.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..tools.files import open_bytes, open_text, undamaged
from .glossaries import GLOSSARY_COLUMNS, Entry, count_of, glossary_rows
from .rows import each_once

MEDAL_HEADER = ["PREFERRED_AB", "VARIANT_AB", "EXPANSION"]

CAMI_COLUMNS = {"RecordID", "SF", "LF"}
CASI_COLUMNS = ("short form", "long form", "short form as written", "start", "end", "section", "text")
CASI_UNUSABLE = frozenset({"unsured sense", "mistake"})
"""CASI labels, in lower case, for rows without usable information."""
CASI_ORDINARY = frozenset({"general english", "name"})
"""CASI labels for ordinary words and people's names, which only look like short forms."""


def inventory_rows(text: str, name: str) -> Iterator[Entry]:
    """Yield the senses of a file, in the order listed.

    Args:
        text: the file's content.
        name: its name without `.gz`; `.json` and `.tsv` determine the format, others are recognised by the first line.

    Raises:
        ValueError: a row is malformed (the message says which), or the columns do not match a known format.
        csv.Error: the text is not valid CSV.
    """
    lines = text.splitlines()
    if lines and '"short_term"' in lines[0]:
        return _gladis_rows(lines)
    if name.endswith(".json"):
        try:
            return _json_rows(json.loads(text, object_pairs_hook=each_once))
        except json.JSONDecodeError as error:
            raise ValueError(f"line {error.lineno:,}, column {error.colno:,}: not JSON") from None
        except RecursionError:
            raise ValueError("JSON that is nested too deeply") from None
    if lines and lines[0].split("\t") == MEDAL_HEADER:
        return _medal_rows(lines[1:])
    if lines and lines[0].startswith("####"):
        return _adam_rows(lines)
    if lines and is_casi(lines[0]):
        return _casi_rows(text)
    if lines and _is_cami(lines[0]):
        return _cami_rows(text)
    return glossary_rows(text, "\t" if name.endswith(".tsv") else ",")


def _medal_rows(lines: list[str]) -> Iterator[Entry]:
    for number, line in enumerate(lines, 2):
        cells = line.split("\t")
        if len(cells) != 3:
            raise ValueError(f"line {number:,}: {len(cells)} columns instead of 3")
        preferred, variants, long_form = cells
        yield preferred, long_form, _variant_count(variants), None


def _adam_rows(lines: list[str]) -> Iterator[Entry]:
    for number, short_form, long_form, _, count in _adam_cells(lines):
        yield short_form, long_form, count_of(count, f"line {number:,}"), None


def adam_scores(path: Path) -> dict[tuple[str, str], float]:
    """ADAM's score of each (short form, long form), 0 to 1: how likely the long form is a phrase (Zhou et al. 2006).

    Args:
        path: the ADAM database, plain or `.gz`.

    Raises:
        ValueError: the file is not ADAM's, or is damaged.
    """
    try:
        with undamaged(path), open_text(path) as file:
            return {(short, long): float(score) for _, short, long, score, _ in _adam_cells(file)}
    except ValueError as error:  # including UnicodeDecodeError
        raise ValueError(f"{path} is not ADAM's database: {error}") from None


def _adam_cells(lines: Iterable[str]) -> Iterator[tuple[int, str, str, str, str]]:
    """Line number, short form, long form, score and count of each record."""
    for number, line in enumerate(lines, 1):
        if line.startswith("#") or not line.strip():
            continue
        cells = line.rstrip("\r\n").split("\t")
        if len(cells) != 5:
            raise ValueError(f"line {number:,}: {len(cells)} columns instead of ADAM's 5")
        # "Nitric oxide:23:0.8715|nitric oxides:2:0.8": variants of one long form, most frequent first.
        yield number, cells[0], cells[2].split("|")[0].rsplit(":", 2)[0], cells[3], cells[4]


def _variant_count(variants: str) -> int:
    """Sum MeDAL's counts: "CT:18|Ct:3" -> 21."""
    return sum(int(count) for count in re.findall(r":(\d+)(?:\||$)", variants))


def _cami_rows(text: str) -> Iterator[Entry]:
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter="|")
    for row in reader:
        place, concept = f"line {reader.line_num:,}", row.get("UMLS.CUI")
        if None in row:
            width = len(reader.fieldnames or ())
            raise ValueError(f"{place}: more than {width} columns; put quotation marks around a cell with a |")
        if missing := next((name for name in ("SF", "LF") if row[name] is None), None):
            raise ValueError(f"{place}: no {missing}")
        # A source of CAMI writes "null".
        yield row["SF"], row["LF"], count_of(row.get("Count"), place), None if concept in ("", "null") else concept


def _gladis_rows(lines: list[str]) -> Iterator[Entry]:
    """Senses from GLADIS, JSON Lines of sentences with one acronym each."""
    for number, line in enumerate(lines, 1):
        match json.loads(line):
            case {"short_term": str(short_form), "long_term": str(long_form)}:
                yield short_form, long_form, 0, None
            case _:
                raise ValueError(f"line {number:,} has no short_term and long_term")


def is_casi(line: str) -> bool:
    """Whether a file's first line is a row of CASI, which has no header: seven columns, with offsets where expected."""
    cells = line.split("|", len(CASI_COLUMNS) - 1)
    return len(cells) == len(CASI_COLUMNS) and all(cell.strip().isdecimal() for cell in cells[3:5])


def holds_casi(path: Path) -> bool:
    """Whether a file (plain or `.gz`) is CASI, judging by its first line.

    Raises:
        ValueError: the file is damaged.
    """
    return is_casi(_first_line(path))


def is_glossary(path: Path) -> bool:
    """Whether a file (plain or `.gz`) is a user's own CSV, TSV or JSON glossary, not one of the published formats.

    Raises:
        ValueError: the file is damaged.
    """
    line = _first_line(path).rstrip("\r\n")
    medal, adam = line.split("\t") == MEDAL_HEADER, line.startswith("####")
    return not (medal or adam or _is_cami(line) or is_casi(line) or '"short_term"' in line)


def _is_cami(line: str) -> bool:
    return {name.strip('"') for name in line.split("|")} >= CAMI_COLUMNS


def _first_line(path: Path) -> str:
    with undamaged(path), open_bytes(path) as file:
        return file.readline().decode("cp1252", errors="replace")


def casi_text(raw: bytes) -> str:
    """Decode a CASI file: windows-1252 as published, or UTF-8 if someone re-saved it that way.

    A byte that is undefined in windows-1252 becomes U+FFFD, so that all offsets remain valid.
    """
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")


def casi_cells(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the non-blank rows of a CASI file with line numbers; the text, the last cell, may contain "|"."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line.removesuffix("\r").split("|", len(CASI_COLUMNS) - 1)


def casi_sense(label: str) -> str:
    """The long form that a CASI label names; labels that name none are returned in lower case.

    A label may have a correction after a colon: "aspirin:ASA" is aspirin, "MISTAKE:TIA" a mistake.
    """
    head, _, _ = label.partition(":")
    if (word := " ".join(head.casefold().split())) in CASI_UNUSABLE | CASI_ORDINARY:
        return word
    return re.sub(r":\s*[A-Za-z][\w&/-]*\s*$", "", label)


def _casi_rows(text: str) -> Iterator[Entry]:
    for number, cells in casi_cells(text):
        if len(cells) != len(CASI_COLUMNS):
            raise ValueError(f"line {number:,}: {len(cells)} columns instead of CASI's {len(CASI_COLUMNS)}")
        sense = casi_sense(cells[1])
        if sense not in CASI_UNUSABLE | CASI_ORDINARY:
            yield cells[0], sense, 1, None


def _json_rows(data: object) -> Iterator[Entry]:
    if isinstance(data, dict):
        if set(GLOSSARY_COLUMNS[:2]) <= set(data):
            raise ValueError("it holds a single entry: put square brackets around it, [ ], and more entries after it")
        for number, (short_form, listed) in enumerate(data.items(), 1):
            long_forms = [listed] if isinstance(listed, str) else listed
            if not isinstance(long_forms, list) or not all(isinstance(name, str) for name in long_forms):
                raise ValueError(f"entry {number:,}: not a list of long forms")
            if not short_form.strip() or not all(name.strip() for name in long_forms or [""]):
                raise ValueError(f"entry {number:,}: its short form or a long form is empty")
            for long_form in long_forms:
                yield short_form, long_form, 0, None
    elif isinstance(data, list):
        for number, row in enumerate(data, 1):
            match row:
                case {"short_form": str(short_form), "long_form": str(long_form)}:
                    concept = row.get("concept")
                    if not isinstance(concept, str | None):
                        raise ValueError(f"entry {number:,}: its concept is not text")
                    yield short_form, long_form, count_of(row.get("count"), f"entry {number:,}"), concept
                case _:
                    raise ValueError(f"entry {number:,}: it needs short_form and long_form, as text")
    else:
        raise ValueError("a JSON glossary must be an object or a list")
