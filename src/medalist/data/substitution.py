"""Reverse substitution: replaces long forms in a text with short forms and records the long forms as gold answers.

`medal` is the published recipe (Wen et al. 2020): lower case, letters only, with an independent draw for each
occurrence. It leaves other mentions of the same long form spelt out, so the text often contains the answer. `mended`
keeps the text as it is and replaces every mention of a chosen long form, including plurals.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import ahocorasick

from .inventory import Inventory
from .passages import Mention, Passage, without_overlap
from .spelling import Composed, composed, lower

Mode = Literal["medal", "mended"]
_RUN = re.compile(r"\s+|\S+")
_OTHER_SPACE = re.compile(r"\s\s|[^\S ]")
_NOT_LETTERS = re.compile(r"[^a-z\s]")


@dataclass(frozen=True, slots=True)
class Match:
    """One spelt-out long form in a text."""

    start: int
    end: int
    """One past its last character, including a plural s."""
    short_form: str
    long_form: str
    plural: bool


class LongFormFinder:
    """Finds the long forms of an inventory in running text: whole words, any case, leftmost-longest match.

    Any run of white space, line ends included, counts as one space.
    """

    def __init__(self, inventory: Inventory, *, letters_only: bool = False) -> None:
        self._automaton = ahocorasick.Automaton()
        best: dict[str, tuple[tuple[int, int], str, str]] = {}
        for short_form, senses in inventory.senses.items():
            for place, sense in enumerate(senses):
                pattern = (
                    " ".join(letters(sense.long_form).split()) if letters_only else lower(composed(sense.long_form))
                )
                # A long form listed under several short forms gets the one with its highest count; without counts, the
                # one for which it ranks highest among the senses.
                weight = (sense.count, 0 if sense.count else -place)
                if pattern and (pattern not in best or weight > best[pattern][0]):
                    best[pattern] = (weight, short_form, sense.long_form)
        for pattern, (_, short_form, long_form) in best.items():
            self._automaton.add_word(pattern, (len(pattern), short_form, long_form))
        self._automaton.make_automaton()

    def find(self, text: str) -> list[Match]:
        """Find matches in order, without overlap; of those that overlap, the earlier one wins, then the longer."""
        if not len(self._automaton):
            return []
        whole = Composed.of(text)
        spaced, places = single_spaced(lower(whole.text))
        # Of two equally long matches, prefer a long form as listed to the plural of another.
        found = sorted(self._candidates(spaced), key=lambda match: (match.start, -match.end, match.plural))
        chosen = without_overlap(found)
        if places is not None:
            chosen = [replace(match, start=places[match.start], end=places[match.end - 1] + 1) for match in chosen]
        if whole.text is text:
            return chosen
        spans = [whole.span(match.start, match.end) for match in chosen]
        return [replace(match, start=start, end=end) for match, (start, end) in zip(chosen, spans, strict=True)]

    def _candidates(self, text: str) -> Iterator[Match]:
        for last, (length, short_form, long_form) in self._automaton.iter(text):
            start, end = last + 1 - length, last + 1
            if begins_inside_word(text, start):
                continue
            plural = is_plural(text, end)
            if plural:
                end += 1
            elif inside_word(text[end : end + 1]):
                continue
            yield Match(start, end, short_form, long_form, plural)


def single_spaced(text: str) -> tuple[str, list[int] | None]:
    """Collapse runs of white space to one space; also return each character's position in the original text.

    The list of positions is None if nothing was collapsed, so all positions are unchanged.
    """
    if _OTHER_SPACE.search(text) is None:
        return text, None
    pieces: list[str] = []
    places: list[int] = []
    for match in _RUN.finditer(text):
        space = match[0].isspace()
        pieces.append(" " if space else match[0])
        places += [match.start()] if space else range(match.start(), match.end())
    return "".join(pieces), places


class Substituter:
    """Turns a plain passage into one with marked short forms, deterministically for each (seed, passage id).

    Args:
        inventory: the long forms to look for, and their short forms.
        mode: `medal` or `mended`; see the module docstring.
        probability: of replacing one occurrence (`medal`; published: 0.15) or one long form of a passage (`mended`).
        seed: together with the passage's id, determines every draw.
    """

    def __init__(self, inventory: Inventory, *, mode: Mode, probability: float, seed: int) -> None:
        self._finder = LongFormFinder(inventory, letters_only=mode == "medal")
        self._mode, self._probability, self._seed = mode, probability, seed

    def __call__(self, passage: Passage) -> Passage:
        """Return a new passage with short forms substituted and marked; existing marks are dropped."""
        draw = random.Random(f"{self._seed}:{passage.id}").random
        if self._mode == "medal":
            text = " ".join(letters(passage.text).split())
            matches = self._finder.find(text)
            return _replaced(passage, text, [m for m in matches if not m.plural and draw() < self._probability])
        matches = self._finder.find(passage.text)
        chosen = {name for name in dict.fromkeys(match.long_form for match in matches) if draw() < self._probability}
        return _replaced(passage, passage.text, [match for match in matches if match.long_form in chosen])


def _replaced(passage: Passage, text: str, matches: Iterable[Match]) -> Passage:
    pieces: list[str] = []
    mentions: list[Mention] = []
    length = copied = 0
    for match in matches:
        surface = match.short_form + ("s" if match.plural else "")
        pieces += [text[copied : match.start], surface]
        start = length + match.start - copied
        length, copied = start + len(surface), match.end
        mentions.append(Mention(start=start, end=length, short_form=match.short_form, long_form=match.long_form))
    pieces.append(text[copied:])
    return Passage(id=passage.id, text="".join(pieces), mentions=tuple(mentions), source=passage.source)


def letters(text: str) -> str:
    """Lower-case a text and keep only letters and white space, as in MeDAL's texts; hyphenated words are fused."""
    return _NOT_LETTERS.sub("", composed(text).lower())


def inside_word(character: str) -> bool:
    """Whether a character belongs to a word: a letter, a digit, or a mark combined with one.

    The empty string, as at the end of a text, does not.
    """
    return character.isalnum() or (not character.isascii() and unicodedata.category(character).startswith("M"))


def is_plural(text: str, end: int) -> bool:
    """Whether an s follows that ends the word, as behind a short form or a long form in the plural."""
    return text[end : end + 1] == "s" and not inside_word(text[end + 1 : end + 2])


def begins_inside_word(text: str, start: int) -> bool:
    """Whether the character before a position belongs to a word; a combining mark does if its base character does."""
    before = start - 1
    while before >= 0 and not text[before].isascii() and unicodedata.category(text[before]).startswith("M"):
        before -= 1
    return before >= 0 and text[before].isalnum()
