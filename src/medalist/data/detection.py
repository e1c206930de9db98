"""Finds known short forms in free text; whether each really is one, the model's null candidate decides."""

from __future__ import annotations

import ahocorasick

from .inventory import Inventory
from .passages import Mention
from .substitution import lower


class ShortFormFinder:
    """Finds the short forms of an inventory in running text: whole words, plural s allowed, leftmost longest.

    Args:
        inventory: the short forms to look for.
        any_case: also take "copd" for "COPD"; notes in lower case need it, and it finds words too ("as", "all").
    """

    def __init__(self, inventory: Inventory, *, any_case: bool = False) -> None:
        self._senses, self._any_case = inventory.senses, any_case
        self._automaton = ahocorasick.Automaton()
        for short_form in inventory.senses:
            pattern = lower(short_form) if any_case else short_form
            if pattern not in self._automaton:
                self._automaton.add_word(pattern, (len(pattern), short_form))
        self._automaton.make_automaton()

    def find(self, text: str) -> tuple[Mention, ...]:
        """The short forms of a text in order, without overlap; their long forms are None."""
        if not len(self._automaton):
            return ()
        found: list[Mention] = []
        for last, (length, short_form) in self._automaton.iter(lower(text) if self._any_case else text):
            start, end = last + 1 - length, last + 1
            if (start and _joins(text[start - 1])) or not _ends(text, end):
                continue
            if text[start:end] in self._senses:  # as written: "Pt" is not "PT" where the inventory has both
                short_form = text[start:end]
            if text[end : end + 1] == "s":
                end += 1
            found.append(Mention(start=start, end=end, short_form=short_form))
        # Of several readings of one stretch, the one in the text's own case: "TMs" is two of TM, not TMS.
        found.sort(key=lambda m: (m.start, -m.end, not text.startswith(m.short_form, m.start), -len(m.short_form)))
        chosen: list[Mention] = []
        for mention in found:
            if not chosen or mention.start >= chosen[-1].end:
                chosen.append(mention)
        return tuple(chosen)


def _ends(text: str, end: int) -> bool:
    return not _joins(text[end : end + 1]) or (text[end : end + 1] == "s" and not _joins(text[end + 1 : end + 2]))


def _joins(character: str) -> bool:
    return character.isalnum()
