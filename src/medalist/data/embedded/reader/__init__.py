"""The note reader's adapter and the data it was tuned on.

The data is a graded inventory of clinical short forms, passages written to teach their senses, and notes with
look-alikes. Written for this project, CC0; see `DATASHEET.md` in this folder for what it is and is not.
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
"""Grade -> relative frequency of a sense, used in place of real counts, which do not exist.

The grades mean: 1 many times a day, 2 most weeks, 3 most months, 4 once a year, 5 hardly ever.
"""

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
    """Alternative wording of a long form -> the inventory's own: "three times daily" -> "three times a day"."""
    return {wording: row["long_form"] for row in _rows() for wording in row["equivalent"].split("|") if wording}


@cache
def word_counts() -> dict[str, int]:
    """How often a word appears in lower case in 3.7 million words of public medical text, for counts of at least 50."""
    with (HERE / "word_counts.tsv").open(encoding="utf-8", newline="") as file:
        return {row["word"]: int(row["count"]) for row in csv.DictReader(file, delimiter="\t")}


def passages() -> list[Passage]:
    """The passages, with long forms spelt out and nothing marked."""
    with (HERE / "passages.jsonl").open(encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    return [Passage(id=record["id"], text=record["text"], source="reader") for record in records]


def look_alikes() -> list[Passage]:
    """Notes in which words that only look like a short form are marked; their gold is `NONE_OF_THESE`."""
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
