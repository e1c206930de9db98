"""How well the letters of a short form fit the words before it: where its long form begins.

A long form is preferred in which each letter of the short form begins a word and only small words are skipped.
Otherwise the ways in which the letters can be found in order are compared: letters that begin words count for them,
words that are passed over against them, and the best way must be worth `ENOUGH`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .spelling import lower

SMALL = frozenset("a an and at by de for from in la of on or the to with".split())
"""Words that a short form may pass over."""
_WORD = re.compile(r"[^\W_]+")
_OPENING = "([{\"'“‘"

_FIGURES = {"1": ("one", "first"), "2": ("two", "second"), "3": ("three", "third"), "4": ("four", "fourth")}
"""How a figure may be spelt: "two-dimensional (2D)"."""

BEGINS, WITHIN, LATER = 1.8, 0.9, -0.3
"""What a letter is worth that begins a word, stands in the word of the letter before it, or inside a later word."""
SKIPPED, BEHIND = 0.7, 1.3
"""What it costs to pass over a word, and over one at the end. Set, as `ENOUGH`, on halves of two marked corpora."""
ENOUGH = 0.67
"""Least worth of a letter on average."""


def fits(short_form: str, long_form: str) -> bool:
    """Whether the letters of a short form appear in the long form in order, starting with its first letter.

    The x of "Bx" and "Tx" is a convention, not a letter of the word, and is ignored. A mismatch is not an error in
    itself, but a single word that does not match ("after" for T3) was most likely found by chance.
    """
    letters = letters_of(short_form[:-1] if len(short_form) > 1 and short_form.endswith("x") else short_form)
    rest = iter(letter for letter in long_form.lower() if letter.isalnum())
    return next(rest, None) == letters[:1] and all(letter in rest for letter in letters[1:]) if letters else False


def letters_of(short_form: str) -> str:
    """The letters and digits that its long form has to explain, in lower case."""
    return "".join(letter for letter in lower(short_form) if letter.isalnum())


def long_form_start(short_form: str, before: str, *, initials: bool) -> int | None:
    """The position in `before` where the long form at its end begins; None if the letters do not fit.

    Args:
        short_form: as written.
        before: the words before it.
        initials: take nothing but letters that each begin a word.
    """
    letters, lowered = letters_of(short_form), lower(before)
    start = _initials_start(letters, lowered)
    if start is None and not initials:
        start = _best_start(letters, lowered)
    if start is None and not initials and not letters.isalpha() and " " not in short_form:
        # N2O, IL-6: figures need not be spelt out.
        bare = "".join(letter for letter in letters if not letter.isdigit())
        if len(bare) > 1:
            start = _initials_start(bare, lowered)
            if start is None and len(bare) > 2:
                start = _best_start(bare, lowered, figures=len(letters) - len(bare))
            if start is not None:
                start = _with_figures(letters, lowered, start)
    if start is None:
        return None
    # All of what is written together belongs to the long form, "1,3-beta-glucan", but of alternatives only those that
    # begin alike: "calcium/calmodulin-dependent (CaMK)", "pain/hypertension (HTN)".
    first = start
    while start and not lowered[start - 1].isspace() and not _opens(lowered, start - 1):
        start -= 1
    slash = lowered.rfind("/", start, first)
    return start if slash < 0 or lowered[start] == letters[0] else slash + 1


def _with_figures(letters: str, before: str, start: int) -> int:
    """With the word before it, if that gives the figures: "70-kd heat shock protein (HSP70)"."""
    figures = "".join(letter for letter in letters if letter.isdigit())
    word = re.search(r"(?<!\S)(\d+)-?[^\W\d]+\s+$", before[:start])
    return word.start() if word and word[1] == figures else start


def _opens(text: str, at: int) -> bool:
    """Whether a bracket or quotation mark opens here that nothing closes within what is written together."""
    if text[at] not in _OPENING or (text[at] == "'" and at and not text[at - 1].isspace()):  # "5'-N-ethyl"
        return False
    together = re.match(r"\S*", text[at:])
    assert together is not None
    return ")" not in together[0] if text[at] == "(" else "]" not in together[0] if text[at] == "[" else True


def _initials_start(letters: str, before: str) -> int | None:
    """The position where the words with these initials begin; only small words may be skipped."""
    number, first = len(letters) - 1, None
    for start, end in reversed([m.span() for m in _WORD.finditer(before)]):
        if number < 0:
            break
        if before[start] == letters[number]:
            number, first = number - 1, start
        elif before[start:end] not in SMALL or first is None:
            return None
    return first if number < 0 else None


@dataclass(frozen=True, slots=True)
class _Place:
    """A character of the text that could be a letter of the short form."""

    at: int
    word: int
    begins: bool


def _best_start(letters: str, before: str, *, figures: int = 0) -> int | None:
    """The position where the letters are best explained to the end of the text; None if that is not good enough.

    Figures that nothing explains make it harder.
    """
    words = [m.span() for m in _WORD.finditer(before)]
    if not words or not letters:
        return None
    wanted = set(letters)
    places: dict[str, list[_Place]] = {letter: [] for letter in wanted}
    for number, (start, end) in enumerate(words):
        for at in range(start, end):
            if before[at] in wanted:
                places[before[at]].append(_Place(at, number, at == start))
        for figure in wanted & _FIGURES.keys():
            if before.startswith(_FIGURES[figure], start):
                places[figure].append(_Place(start, number, begins=True))
    last = len(words) - 1
    worth = [(place, -BEHIND * (last - place.word)) for place in places[letters[-1]]]
    for letter in reversed(letters[:-1]):
        better = []
        for place in places[letter]:
            most = max((rest + _step(place, later) for later, rest in worth if later.at > place.at), default=None)
            if most is not None:
                better.append((place, most))
        worth = better
    # A letter on its own is rarely how a long form begins: "cytochrome c oxidase (COX)", but "5-fluorouracil (5-FU)".
    starts = [
        (rest, place.at) for place, rest in worth if place.begins and not before[place.at + 1 : place.at + 2].isspace()
    ]
    if not starts:
        return None
    best, at = max(starts)
    return at if best + BEGINS >= ENOUGH * (len(letters) + figures) else None


def _step(place: _Place, later: _Place) -> float:
    """What the later letter is worth behind this one."""
    if later.word == place.word:
        return WITHIN
    return (BEGINS if later.begins else LATER) - SKIPPED * (later.word - place.word - 1)
