"""The note reader's adapter and the data it was tuned on.

The data is a graded inventory of clinical short forms, passages written to teach their senses, and notes with
look-alikes. Written for this project, CC0; see `DATASHEET.md` in this folder for what it is and is not.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from functools import cache
from pathlib import Path

from ...inventory import Inventory
from ...passages import NONE_OF_THESE, Mention, Passage
from ...spelling import equivalence_key
from ...topics import Topics

HERE = Path(__file__).parent
ADAPTER = HERE / "adapter"
"""A LoRA adapter for the embedded base model, in float16."""

WINDOW, MAX_NODES = 768, 1024
"""The prompt settings that the adapter was tuned with."""

WEIGHTS = {1: 1000, 2: 250, 3: 60, 4: 15, 5: 4}
"""Grade -> relative frequency of a sense, used in place of real counts, which do not exist.

The grades mean: 1 many times a day, 2 most weeks, 3 most months, 4 once a year, 5 hardly ever.
"""

_MARK = re.compile(r"\{\{(?P<short>[^{}|]+)\|(?P<long>[^{}|]+)\}\}|\[\[(?P<alike>[^\[\]]+)\]\]")
"""Markup of the notes: {{short form|long form}}, or [[word]] for a look-alike of a short form."""


def fingerprint() -> str:
    """A hash of the inventory, the passages and the notes."""
    files = (HERE / name for name in ("inventory.csv", "passages.jsonl", "notes.jsonl"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


@cache
def _rows() -> list[dict[str, str]]:
    with (HERE / "inventory.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@cache
def inventory(before: int | None = None) -> Inventory:
    """The sense inventory; its counts are the weights of the grades for general clinical use.

    Args:
        before: only the senses that were listed before that version of the data, in today's grades; None: all.
    """
    kept = (row for row in _rows() if before is None or int(row["since"]) < before)
    rows = ((row["short_form"], row["long_form"], WEIGHTS[int(row["general"])], None) for row in kept)
    return Inventory.of(rows, "reader")


def equivalents() -> dict[str, str]:
    """Alternative wording of a long form -> the inventory's wording: "three times daily" -> "three times a day"."""
    return {wording: row["long_form"] for row in _rows() for wording in row["equivalent"].split("|") if wording}


@cache
def word_counts() -> dict[str, int]:
    """How often a word appears in lower case in 3.7 million words of public medical text, for counts of at least 50."""
    with (HERE / "word_counts.tsv").open(encoding="utf-8", newline="") as file:
        return {row["word"]: int(row["count"]) for row in csv.DictReader(file, delimiter="\t")}


@cache
def topics() -> Topics:
    """Which senses and words occur together in the texts that the adapter was tuned on, as topic vectors."""
    return Topics.read(HERE / "topics.safetensors")


@cache
def everyday() -> frozenset[str]:
    """Words, given names and things ("mat", "Sam", "TV") that may be meant literally in a note, case-folded.

    Those whose clinical meaning is among the commonest are left out.
    """
    with (HERE / "everyday.csv").open(encoding="utf-8", newline="") as file:
        return frozenset(row["form"].casefold() for row in csv.DictReader(file))


def passages() -> list[Passage]:
    """The passages, with long forms spelt out and nothing marked."""
    with (HERE / "passages.jsonl").open(encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    return [Passage(id=record["id"], text=record["text"], source="reader") for record in records]


def notes() -> list[Passage]:
    """Notes in the style in which they are typed; short forms are marked with senses, look-alikes as `NONE_OF_THESE`.

    Words without a mark are not labelled. Marks that the inventory does not list are left out.
    """
    with (HERE / "notes.jsonl").open(encoding="utf-8") as file:
        return [_marked(json.loads(line)) for line in file]


def _marked(record: dict[str, str]) -> Passage:
    """A note without its markup, and with its mentions."""
    senses, text, mentions, at = inventory(), "", [], 0
    for match in _MARK.finditer(record["text"]):
        text += record["text"][at : match.start()]
        surface = match["short"] or match["alike"]
        start, at = len(text), match.end()
        text += surface
        if (key := senses.key(surface)) is None:
            continue
        long_form = as_listed(key, match["long"]) if match["long"] else NONE_OF_THESE
        if long_form is not None:
            mentions.append(Mention(start=start, end=len(text), short_form=key, long_form=long_form))
    text += record["text"][at:]
    return Passage(id=record["id"], text=text, mentions=tuple(mentions), source="reader")


def as_listed(short_form: str, long_form: str) -> str | None:
    """The inventory's wording of a long form for a short form; None if it lists no equivalent."""
    return _wordings().get((short_form, equivalence_key(long_form) or long_form))


@cache
def _wordings() -> dict[tuple[str, str], str]:
    """(short form, `equivalence_key` of a wording) -> the inventory's wording; its own entries take precedence."""
    own = [(row["short_form"], row["long_form"], row["long_form"]) for row in _rows()]
    others = [
        (row["short_form"], wording, row["long_form"])
        for row in _rows()
        for wording in row["equivalent"].split("|")
        if wording
    ]
    found: dict[tuple[str, str], str] = {}
    for short_form, wording, listed in [*own, *others]:
        found.setdefault((short_form, equivalence_key(wording) or wording), listed)
    return found
