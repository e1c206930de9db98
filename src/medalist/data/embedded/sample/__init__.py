"""The embedded sample corpus: original passages with long forms spelt out, and an inventory of clinical English.

Written for this project, CC0; see `DATASHEET.md` in this folder for what it is and is not.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

from ...inventory import Inventory
from ...passages import Passage

HERE = Path(__file__).parent
FILES = (HERE / "passages.jsonl", HERE / "inventory.csv")
VALIDATION, TEST = 0.04, 0.25
"""Its shares that are held out wherever a model is taught with the rest, as in `recipes/smollm2-135m-sample.yaml`."""


def passages() -> list[Passage]:
    """The passages, with long forms spelt out and nothing marked."""
    with FILES[0].open(encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    return [Passage(id=record["id"], text=record["text"], source="sample") for record in records]


def inventory() -> Inventory:
    """The sample's sense inventory, most common senses first."""
    found = Inventory.read(FILES[1])
    return Inventory(senses=found.senses, origin="sample")


def usual_short_forms() -> Inventory:
    """The inventory with each long form under a single short form, the one that substitution uses."""
    with FILES[1].open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    listed = Counter(row["long_form"].lower() for row in rows)
    kept = [row for row in rows if row["usual"] or listed[row["long_form"].lower()] == 1]
    return Inventory.of(((row["short_form"], row["long_form"], 0, None) for row in kept), "sample")
