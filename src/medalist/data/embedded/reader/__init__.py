"""What the reader of notes was taught with: a graded inventory of clinical short forms, passages written to teach their
senses, notes with look-alikes; and the adapter that was tuned on them.

Written for this project, CC0; `DATASHEET.md` beside this file says what it is and is not.
"""

from __future__ import annotations

import csv
import json
import re
from functools import cache
from pathlib import Path

from ...inventory import Inventory
from ...passages import NONE_OF_THESE, Mention, Passage

HERE = Path(__file__).parent
ADAPTER = HERE / "adapter"
"""A LoRA adapter for the embedded base model, in float16."""

WINDOW, MAX_NODES = 768, 1024
"""The prompt settings that the adapter was tuned with."""

WEIGHTS = {1: 1000, 2: 250, 3: 60, 4: 15, 5: 4}
"""Grade -> how often a sense is met, relative to the others: 1 many times a day, 2 most weeks, 3 most months, 4 once a
year, 5 hardly ever. They stand for counts, which nobody made."""

_LOOK_ALIKE = re.compile(r"\[\[(.+?)\]\]")


@cache
def _rows() -> list[dict[str, str]]:
    with (HERE / "inventory.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@cache
def inventory() -> Inventory:
    """The sense inventory; its counts are the weights of the grades for general clinical use."""
    rows = ((row["short_form"], row["long_form"], WEIGHTS[int(row["general"])], None) for row in _rows())
    return Inventory.of(rows, "reader")


def equivalents() -> dict[str, str]:
    """Other wordings of long forms -> the inventory's own: "three times daily" -> "three times a day"."""
    return {wording: row["long_form"] for row in _rows() for wording in row["equivalent"].split("|") if wording}


@cache
def word_counts() -> dict[str, int]:
    """How often a word stands in lower case in 3.7 million words of public medical text; words seen 50 times or more."""
    with (HERE / "word_counts.tsv").open(encoding="utf-8", newline="") as file:
        return {row["word"]: int(row["count"]) for row in csv.DictReader(file, delimiter="\t")}


def passages() -> list[Passage]:
    """The written passages, long forms spelt out, nothing marked."""
    with (HERE / "passages.jsonl").open(encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    return [Passage(id=record["id"], text=record["text"], source="reader") for record in records]


def look_alikes() -> list[Passage]:
    """Notes in which words that only look like a short form of the inventory are marked; their gold is none of these."""
    senses, found = inventory(), []
    with (HERE / "look_alikes.jsonl").open(encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    for record in records:
        text, mentions, at = "", [], 0
        for match in _LOOK_ALIKE.finditer(record["text"]):
            text += record["text"][at : match.start()]
            start, at = len(text), match.end()
            text += match[1]
            if key := senses.key(match[1]):
                mentions.append(Mention(start=start, end=len(text), short_form=key, long_form=NONE_OF_THESE))
        text += record["text"][at:]
        found.append(Passage(id=record["id"], text=text, mentions=tuple(mentions), source="reader"))
    return found
