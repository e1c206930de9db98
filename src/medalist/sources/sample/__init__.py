"""The embedded sample corpus: original passages with long forms spelt out, and an inventory of everyday short forms.

Written for this project, CC0; `DATASHEET.md` beside this file says what it is and is not.
"""

from __future__ import annotations

import json
from pathlib import Path

from ...inventory import Inventory
from ...passages import Passage

HERE = Path(__file__).parent
FILES = (HERE / "passages.jsonl", HERE / "inventory.csv")


def passages() -> list[Passage]:
    """The passages, long forms spelt out, nothing marked."""
    with FILES[0].open(encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    return [Passage(id=record["id"], text=record["text"], source="sample") for record in records]


def inventory() -> Inventory:
    """The sample's sense inventory."""
    found = Inventory.read(FILES[1])
    return Inventory(senses=found.senses, origin="sample")
