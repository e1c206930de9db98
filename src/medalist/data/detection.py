"""Finds known short forms in free text; the model's null candidate decides whether each really is a short form.

Ordinary words in training passages are marked too, so that the model learns to decline.
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
    """Finds the short forms of an inventory in running text: whole words, optional plural s, leftmost-longest match.

    Args:
        inventory: the short forms to look for.
        any_case: also match "copd" for "COPD"; lower-case notes need this, but it also matches words ("as", "all").
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
        """Find the short forms in a text, in order and without overlap; their long forms are None."""
        if not len(self._automaton):
            return ()
        found: list[Mention] = []
        for last, (length, short_form) in self._automaton.iter(lower(text) if self._any_case else text):
            start, end = last + 1 - length, last + 1
            if (start and inside_word(text[start - 1])) or not _ends(text, end):
                continue
            if text[start:end] in self._senses:  # exact case wins: "Pt" is not "PT" if the inventory has both
                short_form = text[start:end]
            if text[end : end + 1] == "s":
                end += 1
            found.append(Mention(start=start, end=end, short_form=short_form))
        # If a string has several readings, prefer the one in the text's own case: "TMs" is the plural of TM, not TMS.
        found.sort(key=lambda m: (m.start, -m.end, not text.startswith(m.short_form, m.start), -len(m.short_form)))
        return tuple(without_overlap(found))


def _ends(text: str, end: int) -> bool:
    return not inside_word(text[end : end + 1]) or (
        text[end : end + 1] == "s" and not inside_word(text[end + 1 : end + 2])
    )


def mark_distractors(passage: Passage, inventory: Inventory, *, rate: float, seed: int) -> Passage:
    """Mark lower-case words that look like a short form in the inventory ("as", "all"), with gold `NONE_OF_THESE`.

    Args:
        passage: the passage, with its short forms already marked.
        inventory: the short forms that the words look like.
        rate: average number of words to mark per passage, if it has enough.
        seed: together with the passage's id, determines which words.
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
