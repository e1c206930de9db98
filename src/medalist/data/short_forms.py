"""Decides what may be a short form, and what in parentheses usually is not one."""

from __future__ import annotations

import re

from .spelling import PLURAL_S

_SHORT_FORM = re.compile(
    r"(?=[^a-z]*[a-z])[^\W_](?:[\w/&+.,%*'’-]|:(?=[A-Za-z])|\([^()\s]{1,4}\)| (?=\S))*", re.IGNORECASE
)
_LOWER = re.compile(r"[a-z]{2,6}|[a-z](?:-[a-z])+|(?:[a-z]\.){1,4}[a-z]\.?|[A-Z]|[fhkmqrw]")
"""Forms that are doubtful, except as in "intravenous (i.v.)"."""
_LATIN = re.compile(r"(?:i\.?e|e\.?g|[ap]\.m|cf|viz|etc|vs)\.?")
"""Latin abbreviations, which may open any parenthesis: "(i.e., ...)", "(e.g. ...)", "(8 a.m.)"."""
_CUT = re.compile(r"(?=.{3,25}$)[^\W_]+(?:(?:\.?[ -]|\.)[^\W_]+){1,3}")
_QUANTITY = re.compile(r"\d[\d.,]*\s(?:[a-zµμ]\S{0,5}|[^\W\d_][a-z]{0,2})")
_TEXT = re.compile(
    r"(?:(?i:fig(?:ure|s)?|table|ref|eq|see|n|p|vs|and|or|the|of|in|for|with|both|either|mean|median|range|total|"
    r"left|right|group|phase|stage|grade|type|class|level|min|sec|[ivx]+|[a-h])|ng|mg|kg|m[lL]|mm|cm)\b"
    r"[\s.=<>]*(?i:\d+|[ivx]+|[a-h])?|"
    r"[a-z]{2,} (?:[IVX]+|\d+\w?|[A-Z])"
)
LONGEST_SHORT_FORM = 10
"""Maximum number of letters and digits; anything longer is a name."""


def most_words(short_form: str) -> int:
    """The most words that the long form may have."""
    return min(len(short_form) + 5, 2 * len(short_form))


def could_be_short(surface: str) -> bool:
    """As `is_short_form`, but also lower-case strings and single letters, without Latin abbreviations."""
    return _LATIN.fullmatch(surface) is None and (is_short_form(surface) or _LOWER.fullmatch(surface) is not None)


def is_short_form(surface: str) -> bool:
    """Whether a string could be a short form: 2 to 10 letters and digits, at most two words, a capital or a digit."""
    if not 2 <= len(surface) <= LONGEST_SHORT_FORM + 5 or len(surface.split()) > 2:
        return False
    if sum(map(str.isalnum, surface)) > LONGEST_SHORT_FORM:
        return False
    if not _SHORT_FORM.fullmatch(surface):
        return False
    return any(c.isupper() for c in surface) or (any(c.isdigit() for c in surface) and not surface[0].isdigit())


def is_another(surface: str) -> bool:
    """Whether what follows a short form in its parentheses is another one, not a word or name: "(ER, PR)"."""
    return is_short_form(surface) and not (surface.isalpha() and surface[1:].islower())


def is_doubtful(short_form: str) -> bool:
    """Whether a string is usually not a short form, so that each of its letters must begin a word of the long form."""
    return (_LOWER.fullmatch(short_form) is not None and "." not in short_form) or is_mostly_text(short_form)


def is_mostly_text(surface: str) -> bool:
    """Whether a string in parentheses is usually something else: "(n)", "(left)", "(Table 1)", "(mg)"."""
    return _TEXT.fullmatch(surface) is not None


def may_cut_words(surface: str) -> bool:
    """Whether a string could be a series of cut-off words: "C. difficile", "RNA pol II"."""
    return _CUT.fullmatch(surface) is not None


def is_quantity(surface: str) -> bool:
    """Whether a string is a number with its unit: "400 K", "25 mM"."""
    return _QUANTITY.fullmatch(surface) is not None


_PLURAL = re.compile(rf"(?<=[A-Z]){PLURAL_S}$|(?<=^[a-z]{{3}})s$|(?<=^[a-z]{{4}})s$|(?<=^[a-z]{{5}})s$")
"""Of capitals, "RAs", "CVA's", or of a short form in lower case: "labs"."""


def singulars(surface: str) -> tuple[str, ...]:
    """The possible singulars of a short form as written: for "RAs" or "RA's", first RA, then as written."""
    plural = _PLURAL.search(surface) if len(surface) > 2 else None
    return (surface[: plural.start()], surface) if plural else (surface,)
