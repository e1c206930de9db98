"""What a text shows of a short form without any model: whether it looks like a word, a number, a place or a name there."""

from __future__ import annotations

import math
import re
from dataclasses import astuple, dataclass, fields

from .embedded import reader
from .passages import Mention

_NUMBERED = re.compile(
    r"(?:vitamins?|hepatitis|groups?|types?|class|factor|stage|grade|phase|level|segment|schedule|part|model|figure|table|"
    r"killip|mallampati|hurley|leads?|fc)\s+(?:[a-z]{1,4}(?:,| and|/| or)\s*)*$",
    re.IGNORECASE,
)
_PLACE = re.compile(r"\b(?:from|in|to|near|outside|visiting)\s+(?:[A-Z][a-z]+,?\s+)?$|[A-Z][a-z]+,\s+$")
_NAME = re.compile(
    r"\b(?:Dr|Mr|Mrs|Ms|Miss|Prof|Nurse|Dear|sister|brother|son|daughter|wife|husband|niece|nephew|aunt|uncle)\.?\s+$",
    re.IGNORECASE,
)
_WORD = re.compile(r"[A-Za-z'’-]+")
_REGIONS = frozenset(
    [
        "AL",
        "AK",
        "AZ",
        "AR",
        "CA",
        "CO",
        "CT",
        "DE",
        "FL",
        "GA",
        "HI",
        "ID",
        "IL",
        "IN",
        "IA",
        "KS",
        "KY",
        "LA",
        "ME",
        "MD",
        "MA",
        "MI",
        "MN",
        "MS",
        "MO",
        "MT",
        "NE",
        "NV",
        "NH",
        "NJ",
        "NM",
        "NY",
        "NC",
        "ND",
        "OH",
        "OK",
        "OR",
        "PA",
        "RI",
        "SC",
        "SD",
        "TN",
        "TX",
        "UT",
        "VT",
        "VA",
        "WA",
        "WV",
        "WI",
        "WY",
        "DC",
        "AB",
        "BC",
        "MB",
        "NB",
        "NL",
        "NS",
        "ON",
        "PE",
        "QC",
        "SK",
        "UK",
        "US",
        "USA",
        "EU",
    ]
)
"""States of the United States, provinces of Canada, and a few larger places."""
_NEIGHBOURS = 3
_COMMON = 500
"""Occurrences in running text from which a word is taken for nothing else."""
_ORDINARY = 50
"""Occurrences in running text from which a word counts as ordinary."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """Signs that a surface is a short form, or only looks like one; each a number, for a linear rule."""

    word: float
    """Decimal logarithm of how often it stands in running text as a word in lower case; 0 for no word."""
    shouted_word: float
    """The same where it is in capitals, else 0."""
    lower_word: float
    """The same where it is in lower case, else 0."""
    capitals: float
    """Share of its neighbours that are ordinary words in capitals."""
    numbered: float
    """1 behind a word that is numbered with letters or roman numerals: stage, vitamin, lead."""
    region: float
    """1 if it is the code of a state, province or country."""
    place: float
    """1 if it also stands where a place would."""
    name: float
    """1 behind a title or a relative."""

    def values(self) -> tuple[float, ...]:
        """All of them, in the order of `SIGNS`."""
        return astuple(self)


SIGNS = tuple(field.name for field in fields(Surroundings))


def is_ordinary_word(text: str, mention: Mention) -> bool:
    """Whether a mention is a word that running text is full of, in lower case or with a capital as a sentence begins with, and
    no short form is written like it.

    Where any case is taken for a short form, "to" and "On" need no model to be left alone.
    """
    surface = text[mention.start : mention.end]
    common = reader.word_counts().get(surface.lower(), 0) >= _COMMON
    return common and len(surface) > 1 and surface[1:].islower() and surface != mention.short_form


def surroundings(text: str, mention: Mention) -> Surroundings:
    """The signs at a mention of a text."""
    surface = text[mention.start : mention.end]
    before, after = text[max(0, mention.start - 120) : mention.start], text[mention.end : mention.end + 120]
    word = _commonness(surface)
    neighbours = [*_WORD.findall(before)[-_NEIGHBOURS:], *_WORD.findall(after)[:_NEIGHBOURS]]
    shouted = [_is_shouted_word(neighbour) for neighbour in neighbours]
    region = surface in _REGIONS
    return Surroundings(
        word=word,
        shouted_word=word if surface.isupper() and len(surface) > 1 else 0.0,
        lower_word=word if surface.islower() else 0.0,
        capitals=sum(shouted) / len(shouted) if shouted else 0.0,
        numbered=float(bool(_NUMBERED.search(before))),
        region=float(region),
        place=float(region and bool(_PLACE.search(before))),
        name=float(bool(_NAME.search(before))),
    )


def _commonness(surface: str) -> float:
    return math.log10(reader.word_counts().get(surface.lower(), 0) + 1)


def _is_shouted_word(word: str) -> bool:
    return word.isupper() and len(word) > 1 and reader.word_counts().get(word.lower(), 0) > _ORDINARY
