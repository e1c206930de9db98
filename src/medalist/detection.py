"""Finds known short forms in free text; whether each really is one, the model's null candidate decides."""

from __future__ import annotations

import ahocorasick

from .inventory import Inventory
from .passages import Mention


class ShortFormFinder:
    """Finds the short forms of an inventory in running text: whole words, plural s allowed, leftmost longest.

    Args:
        inventory: the short forms to look for.
        any_case: also take "copd" for "COPD"; needed for notes in lower case, and finds ordinary words too ("as", "all").
    """

    def __init__(self, inventory: Inventory, *, any_case: bool = False) -> None:
        self._any_case = any_case
        self._automaton = ahocorasick.Automaton()
        for short_form in inventory.senses:
            pattern = short_form.lower() if any_case else short_form
            if pattern not in self._automaton:
                self._automaton.add_word(pattern, (len(pattern), short_form))
        self._automaton.make_automaton()

    def find(self, text: str) -> tuple[Mention, ...]:
        """The short forms of a text in order, without overlap; their long forms are None."""
        if not len(self._automaton):
            return ()
        searched = text
        if self._any_case:  # lower case that keeps the length, so that offsets hold
            searched = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
        found: list[Mention] = []
        for last, (length, short_form) in self._automaton.iter(searched):
            start, end = last + 1 - length, last + 1
            if (start and _joins(text[start - 1])) or not _ends(text, end):
                continue
            if text[end : end + 1] == "s":
                end += 1
            found.append(Mention(start=start, end=end, short_form=short_form))
        found.sort(key=lambda mention: (mention.start, -mention.end))
        chosen: list[Mention] = []
        for mention in found:
            if not chosen or mention.start >= chosen[-1].end:
                chosen.append(mention)
        return tuple(chosen)


def _ends(text: str, end: int) -> bool:
    return not _joins(text[end : end + 1]) or (text[end : end + 1] == "s" and not _joins(text[end + 1 : end + 2]))


def _joins(character: str) -> bool:
    return character.isalnum()
