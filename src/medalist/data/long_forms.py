"""What a long form may look like: which words that fit the letters of a short form are none."""

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
_BROKEN = re.compile(r"[=<>±]|\d\s*[±–-]\s*\d{2}|,\s(?:an?|the|as|which|that|who|designated|called|named)\s")
"""What no long form holds: "systolic 120-140", "beta-mannosidase, an enzyme"."""


def is_plausible(short_form: str, long_form: str) -> bool:
    """Whether words whose letters fit a short form could be its long form."""
    words = re.findall(r"[\w'’-]+", long_form)
    pieces = {piece for word in words for piece in re.split("[-'’]", word.casefold())}
    name = short_form.casefold()
    return (
        len(long_form) > len(short_form) + 1
        and bool(words)
        and len(words) <= most_words(short_form)
        and name not in pieces
        and (", " not in long_form or len(name) > 2)
        and not (re.search(r"\d", name) and long_form.casefold().startswith(name))
        and f" {name} " not in f" {long_form.casefold()} "
        and not (
            len(bare := name.rstrip("-0123456789")) > 1
            and bare in pieces
            and name[len(bare) :].strip("-") not in pieces
        )
        and not ("," in long_form and all(map(is_short_form, long_form.split(", "))))
        and long_form.count("(") == long_form.count(")")
        and (words[0].casefold() not in _NO_BEGINNING or _spells(short_form, words) or _is_name(words))
        and long_form.count("[") == long_form.count("]")
        and not _OTHERS.search(long_form)
        and ("%" in short_form or "%" not in long_form)
        and not _BROKEN.search(long_form)
        and ("-" in short_form or not re.search(r"\s[-–—]\s", long_form))
    )


def _is_name(words: list[str]) -> bool:
    """Whether the first word only looks like a function word: "WAS protein"."""
    return len(words[0]) > 1 and words[0].isupper() and not all(map(str.isupper, words))


def _spells(short_form: str, words: list[str]) -> bool:
    """Whether a short form of three letters or more has one for each word: "in vitro fertilization (IVF)"."""
    if words[0].casefold() in ("and", "or"):
        return False
    return len(short_form) > 2 and short_form.casefold() == "".join(word[0] for word in words).casefold()
