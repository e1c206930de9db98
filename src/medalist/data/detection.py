"""Finds known short forms in free text; whether each really is one, the model's null candidate decides.

Training passages get marks on ordinary words too, so that it learns to decline.
"""

from __future__ import annotations

import random
import re

import ahocorasick

from .inventory import Inventory
from .passages import NONE_OF_THESE, Mention, Passage, without_overlap
from .substitution import inside_word, lower

_LOWER_WORD = re.compile(r"(?<!\S)[a-z]{2,}(?!\S)")


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
            if (start and inside_word(text[start - 1])) or not _ends(text, end):
                continue
            if text[start:end] in self._senses:  # as written: "Pt" is not "PT" where the inventory has both
                short_form = text[start:end]
            if text[end : end + 1] == "s":
                end += 1
            found.append(Mention(start=start, end=end, short_form=short_form))
        # Of several readings of one stretch, the one in the text's own case: "TMs" is two of TM, not TMS.
        found.sort(key=lambda m: (m.start, -m.end, not text.startswith(m.short_form, m.start), -len(m.short_form)))
        return tuple(without_overlap(found))


def _ends(text: str, end: int) -> bool:
    return not inside_word(text[end : end + 1]) or (
        text[end : end + 1] == "s" and not inside_word(text[end + 1 : end + 2])
    )


def mark_distractors(passage: Passage, inventory: Inventory, *, rate: float, seed: int) -> Passage:
    """Mark ordinary lower-case words that the inventory would take for a short form ("as", "all"); their gold is none.

    Args:
        passage: marked already.
        inventory: what would take them for short forms.
        rate: how many per passage on average, as far as it has any.
        seed: with the passage's id, decides which.
    """
    draw = random.Random(f"{seed}:distractors:{passage.id}")
    count = int(rate) + (draw.random() < rate % 1)
    found = []
    for word in _LOWER_WORD.finditer(passage.text):
        key = inventory.key(word.group())
        if key is not None and key.lower() == word.group() and key != word.group():
            found.append(Mention(start=word.start(), end=word.end(), short_form=key, long_form=NONE_OF_THESE))
    taken = [(mention.start, mention.end) for mention in passage.mentions]
    free = [m for m in found if all(m.end <= start or end <= m.start for start, end in taken)]
    chosen = draw.sample(free, min(count, len(free)))
    mentions = sorted((*passage.mentions, *chosen), key=lambda mention: mention.start)
    return Passage(id=passage.id, text=passage.text, mentions=tuple(mentions), source=passage.source)
