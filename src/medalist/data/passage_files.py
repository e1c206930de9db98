"""Reads marked passages from all supported formats, and writes them as JSON Lines and Parquet."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..tools.files import must_exist, replacing
from .inventory import Inventory
from .inventory_files import holds_casi
from .passages import Mention, Passage
from .rows import FHIR, JSON_LINES, Quarantine, is_fhir, json_records, parquet_records, record_id
from .sources import casi, gladis, medal, spreadsheet
from .spelling import PLURAL_S, Composed, composed, folded, tidy

_MENTION_SCHEMA = pa.struct(
    [("start", pa.int32()), ("end", pa.int32()), ("short_form", pa.string()), ("long_form", pa.string())]
)
_OTHER_MARKS = frozenset({"annotations", "entities", "label", "labels", "ner_tags", "predictions", "spans"})
"""Fields in which spaCy, Prodigy, Doccano, Label Studio and Hub data sets store marks, which have no long forms."""
PARQUET_SCHEMA = pa.schema(
    [("id", pa.string()), ("text", pa.string()), ("mentions", pa.list_(_MENTION_SCHEMA)), ("source", pa.string())]
)


def read_passages(path: Path | str, inventory: Inventory, quarantine: Quarantine | None = None) -> list[Passage]:
    """Read marked passages from JSON Lines, Parquet, a CSV of marks (`sources.spreadsheet`) or MeDAL's, CASI, GLADIS.

    All but Parquet may be gzipped (`.gz`), and MeDAL's CSV may also be in a `.zip`. A mention that names its short form
    needs no offsets: the first mention of a short form marks its first occurrence in the text, the second the next one,
    and so on.

    Args:
        path: the file; its name determines the format, and a `.txt` is CASI if its first line is a CASI row.
        inventory: gives the short form, from the marked text, of a mention that does not name it.
        quarantine: collects malformed rows; the default has a limit of 5 %.

    Raises:
        ValueError: the format is unknown, the file is damaged, or there are too many bad rows (`TooManyBadRows`).
        FileNotFoundError: the file does not exist.
    """
    path, quarantine = Path(path), quarantine or Quarantine()
    must_exist(path)
    name = path.name.lower()
    if name.endswith(".parquet"):
        passages = list(_from_records(path, parquet_records(path, quarantine), inventory, quarantine))
    elif name.endswith(JSON_LINES):
        passages = list(_from_records(path, json_records(path, quarantine), inventory, quarantine))
    elif name.endswith((".csv", ".csv.gz", ".tsv", ".tsv.gz")) and spreadsheet.is_marked_notes(path):
        passages = list(_from_marks(path, inventory, quarantine))
    elif name.endswith((".csv", ".csv.gz", ".csv.zip", ".zip")):
        passages = medal.read_rows(path, inventory, quarantine)
    elif name.endswith((".txt", ".txt.gz")) and holds_casi(path):
        passages = casi.read_casi(path, quarantine)
    elif name.endswith(gladis.ENDINGS):
        passages = gladis.read_gladis(path, quarantine)
    else:
        known = (
            f".csv, .csv.gz, .zip, {', '.join(JSON_LINES)}, .parquet, .tsv (marked notes), .txt (CASI), .json (GLADIS)"
        )
        raise ValueError(f"{path} has an unknown format. Known: {known}")
    if not passages and not quarantine.rows:
        raise ValueError(f"{path} contains no passages")
    quarantine.check()
    return passages


def write_jsonl(passages: Iterable[Passage], path: Path | str) -> None:
    """Write JSON Lines: `{"id", "text", "mentions": [{"start", "end", "short_form", "long_form"}], "source"}`."""
    with replacing(Path(path)) as file:
        for passage in passages:
            file.write(json.dumps(passage.record(), ensure_ascii=False) + "\n")


def write_parquet(passages: Iterable[Passage], path: Path | str) -> None:
    """Write Parquet with the schema `PARQUET_SCHEMA`, which `datasets.load_dataset("parquet", ...)` can load."""
    passages = list(passages)
    mentions = [mention for passage in passages for mention in passage.mentions]
    table = passage_table(
        pa.array([passage.id for passage in passages], pa.string()),
        pa.array([passage.text for passage in passages], pa.string()),
        pa.array(accumulate((len(passage.mentions) for passage in passages), initial=0), pa.int32()),
        [pa.array([getattr(mention, field.name) for mention in mentions], field.type) for field in _MENTION_SCHEMA],
        pa.array([passage.source for passage in passages], pa.string()),
    )
    write_table(table, Path(path))


def passage_table(
    ids: pa.Array, texts: pa.Array, ends: pa.Array, mentions: Sequence[pa.Array], sources: pa.Array
) -> pa.Table:
    """A table of N passages with M mentions in the schema `PARQUET_SCHEMA`.

    Args:
        ids: ``[N]``.
        texts: ``[N]``.
        ends: ``[N + 1]`` int32; the mentions of passage n are those from ``ends[n]`` to ``ends[n + 1]``.
        mentions: start and end, both ``[M]`` int32, short form and long form of each mention.
        sources: ``[N]``.
    """
    marked = pa.ListArray.from_arrays(ends, pa.StructArray.from_arrays(mentions, fields=list(_MENTION_SCHEMA)))
    return pa.table([ids, texts, marked, sources], schema=PARQUET_SCHEMA)


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table made by `passage_table`."""
    with replacing(path, "wb") as file:
        pq.write_table(table, file, compression="zstd")


def _from_records(
    path: Path, records: Iterable[tuple[int, dict[str, Any]]], inventory: Inventory, quarantine: Quarantine
) -> Iterator[Passage]:
    seen: set[str] = set()
    for line, record in records:
        try:
            if "mentions" not in record and (foreign := _OTHER_MARKS.intersection(record)):
                raise ValueError(
                    f"no mentions, but {min(foreign)}, as in other tools' files: give each note mentions, a list of "
                    '{"start", "end", "long_form"}'
                )
            text, identifier = record["text"], record_id(record["id"])
            if not identifier:
                raise ValueError("empty id" if record["id"] in (None, "") else "its id is neither text nor a number")
            if not isinstance(text, str) or not text.strip():
                raise ValueError("empty text")
            if identifier in seen:
                raise ValueError("duplicate id")
            given = record.get("mentions") or []
            if not isinstance(given, list) or not all(isinstance(raw, dict) for raw in given):
                raise ValueError("mentions must be a list of objects with start, end and long_form")
            place = _Places(text)
            mentions = sorted((_read_mention(text, place(raw), inventory) for raw in given), key=lambda m: m.start)
            passage = Passage(
                id=identifier, text=text, mentions=tuple(mentions), source=str(record.get("source") or path.stem)
            )
        except (KeyError, ValueError, TypeError) as error:
            reason = f"missing field {error}" if isinstance(error, KeyError) else str(error)
            quarantine.add(path, line, FHIR if is_fhir(record) else reason)
        else:
            seen.add(identifier)
            yield passage


def _from_marks(path: Path, inventory: Inventory, quarantine: Quarantine) -> Iterator[Passage]:
    """The notes of a table of marks; a mark that cannot be read is quarantined, and the note's other marks are kept."""
    for identifier, text, rows in spreadsheet.marked_notes(path, quarantine):
        place, mentions = _Places(text), list[Mention]()
        for line, raw in rows:
            try:
                mention = _read_mention(text, place(raw), inventory)
                if any(mention.start < other.end and other.start < mention.end for other in mentions):
                    raise ValueError(f"the mark {mention.start}-{mention.end} overlaps that of an earlier row")
            except KeyError as error:
                quarantine.add(path, line, f"missing field {error}")
            except ValueError as error:
                quarantine.add(path, line, str(error))
            else:
                key = inventory.key(mention.short_form) or mention.short_form  # a row may have "RAs", as in the text
                mentions.append(replace(mention, short_form=key))
        mentions.sort(key=lambda mention: mention.start)
        yield Passage(id=identifier, text=text, mentions=tuple(mentions), source=path.stem)


class _Places:
    """Locates the mentions of a text that name their short form but have no offsets."""

    def __init__(self, text: str) -> None:
        self._text, self._used = Composed.of(text), Counter[str]()

    def __call__(self, raw: dict[str, Any]) -> dict[str, Any]:
        """The mention with its offsets; a mention that has offsets is returned unchanged."""
        short_form = raw.get("short_form")
        if not isinstance(short_form, str) or not short_form or "start" in raw or "end" in raw:
            return raw
        short_form, text = composed(short_form), self._text.text
        word = rf"(?<!\w){re.escape(short_form)}(?:{PLURAL_S})?(?!\w)"
        places = list(re.finditer(word, text)) or list(re.finditer(word, text, re.IGNORECASE))
        number = self._used[short_form]
        self._used[short_form] += 1
        if not places:
            raise ValueError("the short form does not stand in the text")
        if number >= len(places):
            raise ValueError("the short form is marked more often than it stands in the text")
        start, end = self._text.span(*places[number].span())
        return {**raw, "start": start, "end": end}


def _read_mention(text: str, raw: dict[str, Any], inventory: Inventory) -> Mention:
    """Read a mention and check that its offsets mark the short form that the record or the inventory names."""
    start, end, short_form, long_form = raw["start"], raw["end"], raw.get("short_form"), raw.get("long_form")
    start, end = (int(at) if isinstance(at, float) and at.is_integer() else at for at in (start, end))  # as in pandas
    if any(isinstance(at, bool) or not isinstance(at, int) for at in (start, end)):
        raise ValueError("a mention's start and end must be whole numbers")
    if not all(name is None or isinstance(name, str) for name in (short_form, long_form)):
        raise ValueError(f"mention {start}-{end}: short_form and long_form must be strings")
    if not 0 <= start < end <= len(text):
        raise ValueError(f"mention {start}-{end} is outside the text ({len(text):,} characters)")
    surface, short_form = text[start:end], composed(short_form) if short_form else short_form
    if short_form and not marks(surface, short_form) and inventory.key(surface) != short_form:
        cause = _likely_cause(text, start, end, lambda other: marks(other, str(short_form)))
        raise ValueError(f"the text at {start}-{end} is not the short form that is given for it{cause}")
    if not short_form and _inside_word(text, start, end):
        cause = _likely_cause(text, start, end, lambda other: inventory.key(other) is not None)
        if cause or inventory.key(surface) is None:
            raise ValueError(f"the mark {start}-{end} begins or ends inside a word{cause}")
    short_form = inventory.key(short_form or surface) or short_form or composed(surface)
    if long_form is not None and not tidy(long_form):
        raise ValueError("empty long form")
    return Mention(start=start, end=end, short_form=short_form, long_form=tidy(long_form) if long_form else None)


def _inside_word(text: str, start: int, end: int) -> bool:
    """Whether a span splits a word, except before its plural s."""
    after = text[end : end + 3]
    plural = re.match(rf"{PLURAL_S}(?!\w)", after) is not None
    before = start > 0 and text[start - 1].isalnum() and text[start].isalnum()
    return before or (text[end - 1].isalnum() and after[:1].isalnum() and not plural)


def _likely_cause(text: str, start: int, end: int, fits: Callable[[str], bool]) -> str:
    """How the offsets may have been counted, in words, if another way of counting fits; empty if none does."""
    units, raw = text.encode("utf-16-le", "surrogatepass"), text.encode("utf-8", "surrogatepass")
    ways = {
        "offsets seem to count UTF-16 units, as JavaScript and Java do: count characters": units[
            2 * start : 2 * end
        ].decode("utf-16-le", "ignore"),
        "offsets seem to count bytes: count characters": raw[start:end].decode("utf-8", "ignore"),
        "offsets seem to count the text with its accents composed (NFC)": composed(text)[start:end],
        "offsets seem to count the text with its accents apart (NFD)": unicodedata.normalize("NFD", text)[start:end],
        "the last character seems to be counted in: end is one past it": text[start : end + 1],
        "the first character seems to be counted as 1: start is 0 for it": text[start - 1 : end - 1] if start else "",
    }
    found = (cause for cause, surface in ways.items() if surface not in ("", text[start:end]) and fits(surface))
    return next((f"; {cause}" for cause in found), "")


def marks(surface: str, short_form: str) -> bool:
    """Whether a piece of text is the short form, ignoring case, plural and surrounding punctuation."""
    wanted, found = folded(short_form), folded(surface)
    return found in (wanted, f"{wanted}s", f"{wanted}'s", f"{wanted}’s") or found.strip(".,;:()[]'\"") == wanted
