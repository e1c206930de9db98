"""Spells long forms as an inventory lists them."""

from __future__ import annotations

from dataclasses import replace

from .inventory import Inventory
from .passages import Passage
from .spelling import equivalence_key


def listed_spelling(short_form: str, long_form: str, inventory: Inventory | None) -> str:
    """The long form as the inventory spells it for the short form; unchanged if no equivalent is listed."""
    if inventory is None:
        return long_form
    listed = inventory.long_forms(short_form)
    if long_form in listed:
        return long_form
    wanted = equivalence_key(long_form)
    return next((name for name in listed if equivalence_key(name) == wanted), long_form)


def as_listed(passage: Passage, inventory: Inventory) -> Passage:
    """The passage with its golds spelt as in the inventory, if an equivalent is listed."""
    return replace(
        passage,
        mentions=tuple(
            m if m.long_form is None else replace(m, long_form=listed_spelling(m.short_form, m.long_form, inventory))
            for m in passage.mentions
        ),
    )
