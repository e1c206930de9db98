"""Rejects phrases that match a short form's letters but cannot be its long form."""

from __future__ import annotations

import re

from .letters import SMALL
from .short_forms import is_short_form, most_words

_OTHERS = re.compile(r"^\([^()]*\)[\s,;]|\([^()]*\)(?:[,;]|\s(?:and|or)\b)")
"""Another short form: "(T30), 60 minutes", "epithelial cells (A549) and bronchial epithelial cells"."""
_NO_BEGINNING = SMALL | frozenset(
    "are as be been being both but called had has have if including involving is its not our such than that their "
    "these this those using via was we were which who".split()
)
_BROKEN = re.compile(r"[=<>±]|\d\s*[±–-]\s*\d{2}|,\s(?:an?|the|as|designated|called|named)\s|\s(?:are|is|was|were)\s")
"""What no long form contains: "systolic 120-140", "beta-mannosidase, an enzyme", "forms that are"."""
_DASH = re.compile(r"\s[-–—]\s")


def is_plausible(short_form: str, long_form: str) -> bool:
    """Whether words that match the letters of a short form could be its long form."""
    words = re.findall(r"[\w'’-]+", long_form)
    return (
        len(long_form) > len(short_form) + 1
        and 0 < len(words) <= most_words(short_form)
        and (words[0].casefold() not in _NO_BEGINNING or _spells(short_form, words) or _is_name(words))
        and all(long_form.count(opening) == long_form.count(closing) for opening, closing in ("()", "[]"))
        and not (_OTHERS.search(long_form) or _BROKEN.search(long_form) or _is_list(short_form, long_form))
        and ("-" in short_form or not _DASH.search(long_form))
        and ("%" not in long_form or re.search(r"[%\d]", short_form) is not None)
        and not _holds(short_form.casefold(), long_form.casefold(), words)
    )


def _holds(short_form: str, long_form: str, words: list[str]) -> bool:
    """Whether a long form contains the short form itself: "H-Ras (Ras)", "RAG genes (RAG1)", "H1N1pdm (H1N1)"."""
    pieces = {piece for word in words for piece in re.split("[-'’]", word.casefold())}
    bare = short_form.rstrip("-0123456789")
    return (
        short_form in pieces
        or f" {short_form} " in f" {long_form} "
        or (re.search(r"\d", short_form) is not None and long_form.startswith(short_form))
        or (1 < len(bare) < len(short_form) and bare in pieces and short_form[len(bare) :].strip("-") not in pieces)
    )


def _is_list(short_form: str, long_form: str) -> bool:
    """Whether the words are a list, not a name: "CXCL1, CXCL2 (CCL2)"; for two letters, anything with a comma."""
    return ", " in long_form and (len(short_form) < 3 or all(map(is_short_form, long_form.split(", "))))


def _is_name(words: list[str]) -> bool:
    """Whether the first word only looks like a function word: "WAS protein"."""
    return len(words[0]) > 1 and words[0].isupper() and not all(map(str.isupper, words))


def _spells(short_form: str, words: list[str]) -> bool:
    """Whether the words' initials are a short form of three letters or more: "in vitro fertilization (IVF)"."""
    if words[0].casefold() in ("and", "or"):
        return False
    return len(short_form) > 2 and short_form.casefold() == "".join(word[0] for word in words).casefold()
