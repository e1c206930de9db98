"""Repairs MeDAL's labels: respells golds as the inventory lists them, drops chance senses, and counts both."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from ..data.definitions import fits
from ..data.inventory import Inventory
from ..data.kinds import listed_spelling
from ..data.passages import Mention, Passage
from ..data.spelling import equivalence_key, tidy
from .data_card import MENDED


class Mending:
    """Respells golds as the inventory lists them, drops junk senses, and counts both.

    Args:
        published: the inventory as read.
        listed: the inventory of candidates, whose spelling is used.
        common: words that are common in these texts.
        as_published: keep junk senses.
    """

    def __init__(self, published: Inventory, listed: Inventory, common: frozenset[str], as_published: bool) -> None:
        self._published, self._listed, self._common, self._keep = published, listed, common, as_published
        self._known: dict[tuple[str, str], tuple[str, str | None]] = {}
        self._counts: Counter[tuple[str, str, str, str]] = Counter()
        self.stray: Counter[tuple[str, str]] = Counter()
        """Labels with stray spaces, by short form; `sources.medal.group` removes the spaces and counts them here."""

    def __call__(self, passage: Passage) -> Passage:
        """Return the passage with its golds respelt and junk senses dropped."""
        kept: list[Mention] = []
        for mention in passage.mentions:
            assert mention.long_form is not None
            key = mention.short_form, mention.long_form
            spelt, reason = self._known.get(key) or self._known.setdefault(key, self._mended(*key))
            if reason is not None:
                self._counts[reason, *key, spelt] += 1
            if reason != "junk" or self._keep:
                kept.append(mention if spelt == mention.long_form else replace(mention, long_form=spelt))
        return passage if kept == list(passage.mentions) else replace(passage, mentions=tuple(kept))

    def _mended(self, short_form: str, long_form: str) -> tuple[str, str | None]:
        spelt = listed_spelling(short_form, long_form, self._listed)
        if is_junk(short_form, spelt, self._common):
            return spelt, "junk"
        if spelt == long_form:
            return spelt, None if spelt in self._listed.long_forms(short_form) else "not listed"
        if long_form in self._published.long_forms(short_form):
            return spelt, "variant"
        return spelt, "case" if spelt.casefold() == long_form.casefold() else "spelling"

    def account(self) -> dict[str, list[tuple[str, str, str, int]]]:
        """Reason -> (short form, label, new spelling, mentions), most frequent first."""
        found: dict[str, list[tuple[str, str, str, int]]] = {name: [] for name in MENDED}
        stray = Counter({("spaces", *key, tidy(key[1])): count for key, count in self.stray.items()})
        for (reason, short_form, label, spelt), count in sorted(
            (self._counts + stray).items(), key=lambda item: (-item[1], item[0])
        ):
            found[reason].append((short_form, label, spelt, count))
        return found


def is_junk(short_form: str, long_form: str, common: frozenset[str]) -> bool:
    """Whether a sense is one common word whose letters do not fit the short form: "after" for T3, for example."""
    return long_form in common and not fits(short_form, long_form)


def variant_groups(inventory: Inventory) -> int:
    """Number of groups of two or more long forms of a short form that differ only in spelling, plural or hyphen."""
    return sum(
        sum(n > 1 for n in Counter(equivalence_key(sense.long_form) for sense in senses).values())
        for senses in inventory.senses.values()
    )
