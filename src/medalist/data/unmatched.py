"""Finds gold answers that an inventory does not list, and its nearest entry: typing errors, other wordings, gaps."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable

from .inventory import Inventory
from .passages import NONE_OF_THESE, Passage
from .short_forms import LONGEST_SHORT_FORM
from .spelling import equivalence_key, folded

LONGEST = 80
"""Maximum number of characters shown of a long form; a mark may be a span of any length."""


def unmatched(passages: Iterable[Passage], inventory: Inventory) -> dict[tuple[str, str], int]:
    """(short form, long form) -> number of mentions with this gold, which is not listed; most frequent first."""
    missed = Counter(
        (mention.short_form, mention.long_form)
        for passage in passages
        for mention in passage.mentions
        if mention.long_form not in (None, NONE_OF_THESE)
        and mention.long_form not in inventory.long_forms(mention.short_form)
    )
    shown: dict[tuple[str, str], int] = {}
    for (short_form, long_form), count in missed.most_common():
        key = short_form[: 2 * LONGEST_SHORT_FORM], (long_form or "")[:LONGEST]
        shown[key] = shown.get(key, 0) + count
    return shown


def nearest(short_form: str, long_form: str, inventory: Inventory) -> str | None:
    """The inventory's entry nearest to a sense, such as "RA: room air"; None if nothing is near.

    In this order: a similarly spelt sense of the short form, the same sense under another short form, the short form's
    first sense, a similarly spelt short form.
    """
    listed = inventory.long_forms(short_form)
    if close := difflib.get_close_matches(long_form, listed, n=1, cutoff=0.7):
        return _entry(short_form, close[0])
    wanted = equivalence_key(long_form)
    for other, senses in inventory.senses.items():
        if any(
            folded(sense.long_form)[:1] == folded(long_form)[:1] and equivalence_key(sense.long_form) == wanted
            for sense in senses
        ):
            return _entry(other, long_form)
    if listed:
        return _entry(short_form, listed[0])
    close = difflib.get_close_matches(short_form, list(inventory.senses), n=1, cutoff=0.7)
    return _entry(close[0], inventory.long_forms(close[0])[0]) if close else None


def _entry(short_form: str, long_form: str) -> str:
    return f"{short_form[: 2 * LONGEST_SHORT_FORM]}: {long_form[:LONGEST]}"
