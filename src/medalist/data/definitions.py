"""Finds definitions of short forms in running text: "rheumatoid arthritis (RA)" and "RA (rheumatoid arthritis)".

Where to look follows Schwartz and Hearst (2003), in both orders and with both in the parentheses. `short_forms` says
what may be a short form, `letters` and `cut_words` which words match it, `long_forms` which of those are plausible.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from .cut_words import concentration_start, cut_off_start, cut_together_start, cut_words_start, may_be_concentration
from .letters import ENOUGH, SURE, fits, long_form_start
from .long_forms import is_plausible
from .short_forms import (
    could_be_short,
    is_another,
    is_doubtful,
    is_mostly_text,
    is_quantity,
    is_short_form,
    may_cut_words,
    most_words,
    singulars,
)
from .spelling import Composed, tidy
from .word_forms import singular

__all__ = ["Definition", "find_definitions", "fits", "is_short_form"]

_BRACKET = re.compile(r"[()\[\]]")
_LONGEST_PARENTHESIS = 300
"""Maximum number of characters between brackets."""
_WORD = re.compile(r"\S+")
_AFTER_SHORT_FORM = re.compile(r"[;,]\s|\s?=|\s?:(?=\s|\d\d)|\s(?:or|and)\s|\s[(\[]")
"""What may follow a short form: "(HR, 1.2)", "(HR = 2)", "(HR: 80)", "(HR or rate)", "(HR [80])"."""
_SENTENCE_END = re.compile(r"[.!?:;]\s+(?=(?:[-–•*]\s+)?[A-Z(])|[:;]\s|\n(?!\s*(?:[a-z]|\($))")
"""A line that continues in lower case, or with the parenthesis itself, belongs to the same sentence."""
_INTRODUCED = re.compile(
    r"(?i)(?:or|i\.e\.,?|for|from|that is,?|meaning|stands? for|short for|"
    r"(?:also |here(?:in)?(?:after)? |often |commonly )?"
    r"(?:abbreviated|called|termed|named|known|referred to|denoted|designated)(?: (?:as|to as|by|here|hereafter))?|"
    r"here(?:in)?after(?: referred to as)?)[:,]?\s+(?=\S)"
)
"""What introduces the other form: "(abbreviated as RA)", "(also called RA)", "(for rheumatoid arthritis)"."""
_ANOTHER = re.compile(r"(\s(?:and|or)\s)|,\s([^\s,;]+)(?=[,;]|\s(?:and|or)\b|$)")
"""A further short form, or a candidate for one: "(ER and PR)", "(ER, PR)"."""
_FIRST = re.compile(r"([^\s,:=]+)\s?([,:=])\s")
"""A short form followed by its long form: "(CI, confidence interval)", "(CI: ...)", "(CI = ...)"."""
_WITH_NOUN = re.compile(r"([A-Z][A-Za-z]{2,7})(?: [a-z]+){1,2}")
"""A short form with a noun: "(MRI scan)"; accepted only if the letters are initials."""
_EITHER = re.compile(r"\b(?:and|or)\b")
"""Two long forms, if two short forms follow: "Duchenne or Becker muscular dystrophy (DMD or BMD)"."""
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
_WINDOW = 200
"""Number of characters before a parenthesis in which to look for the long form."""
_EDGES = " \t\n,;:.\"'“”‘’\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\ufeff"
"""Characters around a form that are not part of it; zero-width characters included."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Definition:
    """A long form and its short form, as the author defined it."""

    start: int
    """First character of the whole definition, including long form and parenthesis."""
    end: int
    """One past the closing parenthesis, or past the later form if both are in the same parentheses."""
    short_form: str
    """As written, with accents composed: "LNs"."""
    long_form: str
    """As written, with white space collapsed and accents composed: "lymph nodes"."""
    short: tuple[int, int]
    """Position of the short form: first character, one past the last."""
    long: tuple[int, int]
    """Position of the long form: first character, one past the last."""
    key: str
    """The short form, without a plural s that belongs to the long form: "LN"."""
    sense: str
    """What the key stands for: "lymph node"."""


def find_definitions(text: str) -> list[Definition]:
    """Find the definitions in a text, in order and without overlap.

    Source: A. S. Schwartz and M. A. Hearst, A simple algorithm for identifying abbreviation definitions in biomedical
    text, PSB 2003.
    """
    whole = Composed.of(text)
    if whole.text is text:
        return _definitions(text)
    return [_as_given(definition, whole) for definition in _definitions(whole.text)]


def _as_given(definition: Definition, whole: Composed) -> Definition:
    """The definition with its positions in the original text."""
    start, end = whole.span(definition.start, definition.end)
    short, long = whole.span(*definition.short), whole.span(*definition.long)
    return replace(definition, start=start, end=end, short=short, long=long)


def _definitions(text: str) -> list[Definition]:
    """The definitions of a text whose accents are composed (NFC)."""
    found: list[Definition] = []
    for parenthesis in _parentheses(text):
        floor = max(found[-1].end if found else 0, parenthesis.floor)
        if parenthesis.start < floor:  # a definition was found inside
            continue
        definition = (
            _short_inside(text, parenthesis, floor)
            or _long_inside(text, parenthesis, floor)
            or _both_inside(text, parenthesis)
        )
        if definition is not None:
            found.append(definition)
    return found


@dataclass(frozen=True, slots=True)
class _Parenthesis:
    start: int
    """Index of the opening bracket."""
    end: int
    """One past the closing bracket."""
    at: int
    """Where its content begins, without words that introduce the other form."""
    content: str
    floor: int
    """Where the content of the enclosing parentheses begins; 0 if there are none."""


def _parentheses(text: str) -> Iterator[_Parenthesis]:
    """The parentheses of a text by their closing brackets, inner ones first."""
    open_: list[int] = []
    for bracket in _BRACKET.finditer(text):
        at = bracket.start()
        if bracket[0] in "([":
            open_.append(at)
        elif open_:
            start = open_.pop()
            if at - start > _LONGEST_PARENTHESIS:
                open_.clear()
                continue
            content = text[start + 1 : at]
            introduced = _INTRODUCED.match(content)
            skipped = introduced.end() if introduced else 0
            floor = open_[-1] + 1 if open_ else 0
            yield _Parenthesis(start, at + 1, start + 1 + skipped, content[skipped:], floor)


def _short_inside(text: str, parenthesis: _Parenthesis, floor: int) -> Definition | None:
    """A short form at the start of the parentheses: long form (SF), long form (SF, more), long form (SF; more)."""
    content = parenthesis.content
    inside = _AFTER_SHORT_FORM.split(content, maxsplit=1)[0]
    surface = _stripped(inside)
    together = re.match(r"[^\s([{]", text[parenthesis.start - 1 : parenthesis.start]) is not None  # "tRNA(Asp)"
    if not _stands_for_itself(surface, text, parenthesis, together=together):
        return None
    more = _ANOTHER.match(content, len(inside))
    several = more is not None and (more[2] is None or is_another(more[2]))
    named = _WITH_NOUN.fullmatch(surface)
    for short, strict in ((surface, together), (named[1], True)) if named else ((surface, together),):
        start, window = _words_before(text, parenthesis, floor, most_words(short))
        for key in singulars(short):
            begin = _begin(key, window, strict=strict, several=several)
            if begin is None or not is_plausible(key, window[begin:]) or (several and _EITHER.search(window, begin)):
                continue
            at = parenthesis.at + content.index(short)
            return _definition(text, key, (at, at + len(short)), (start + begin, start + len(window)), parenthesis.end)
    return None


def _stands_for_itself(surface: str, text: str, parenthesis: _Parenthesis, *, together: bool) -> bool:
    """Whether what begins the parentheses could be a short form there, rather than a part of a word or formula."""
    if not (could_be_short(surface) or may_cut_words(surface) or may_be_concentration(surface)) or is_quantity(surface):
        return False
    behind = text[parenthesis.end : parenthesis.end + 1]
    if len(surface) == 1:  # not "(P = 0.02)", "lipoprotein(a)", "(R)-alpha"
        return surface == parenthesis.content and not together and re.match(r"[\w-]", behind) is None
    if behind.isalpha():  # not "SLEV(pT)EAD", "[Ca]i"
        return not together and text[parenthesis.start] == "("
    if text[parenthesis.start - 1 : parenthesis.start] == "-":  # not "Cl(-)-OH-(HCO3-)"
        return False
    return not (behind == "-" and "," in surface)  # not "(R,R)-eformoterol"


def _words_before(text: str, parenthesis: _Parenthesis, floor: int, most: int) -> tuple[int, str]:
    """The last words before the parentheses in their sentence: where they begin, and the words."""
    before = text[max(floor, parenthesis.start - _WINDOW) : parenthesis.start]
    if parenthesis.start - floor > _WINDOW:
        before = before.partition(" ")[2]  # the first word may be cut off
    if cuts := list(_SENTENCE_END.finditer(f"{before}(")):
        before = before[cuts[-1].end() :]
    words = list(_WORD.finditer(before))[-most:]
    first = words[0].start() if words else len(before)
    return parenthesis.start - len(before) + first, before[first:].rstrip(_EDGES)


def _begin(key: str, window: str, *, strict: bool, several: bool) -> int | None:
    """Where the long form of a short form begins in the words before it; None if it does not.

    Args:
        key: the short form.
        window: the words before it.
        strict: accept only initials.
        several: the parentheses contain further short forms, so all of them may be examples.
    """
    if may_be_concentration(key):
        return concentration_start(key, window)
    if not strict and may_cut_words(key):
        begin = cut_words_start(key, window)
        if begin is not None or not could_be_short(key):
            return begin
    begin = long_form_start(key, window, initials=strict or is_doubtful(key), enough=SURE if several else ENOUGH)
    if begin is None and not strict and key.islower() and not is_mostly_text(key):
        begin = cut_off_start(key, window)
        if begin is None and len(key) > 2:
            begin = cut_together_start(key, window)
    return begin


def _long_inside(text: str, parenthesis: _Parenthesis, floor: int) -> Definition | None:
    """A long form in parentheses: SF (long form)."""
    at, content = parenthesis.at, parenthesis.content
    long_form = re.split(r"[;,]\s", content, maxsplit=1)[0].strip(_EDGES)
    low = max(floor, parenthesis.start - 40)
    before = re.search(r"(\S+)\s$", text[low : parenthesis.start])
    if before is None or not long_form:
        return None
    whole = _stripped(before[1].lstrip("([\"'“‘"))
    last = re.split("[-/]", whole)[-1]  # "non-RA (rheumatoid arthritis)"
    for surface in (whole, last) if last != whole and len(last) > 2 and last.isupper() else (whole,):
        capitals = sum(map(str.isupper, surface))
        if not is_short_form(surface) or (len(surface) < 3 and (capitals < 2 or " " not in long_form)):
            continue
        for key in singulars(surface):
            # "mice (wild type)" defines nothing, "Gaf-1 (gamma-SNAP associate factor-1)" does
            doubtful = capitals < 2 or is_doubtful(key) or (" " not in long_form and not _is_long(key, long_form))
            begin = long_form_start(key, long_form, initials=doubtful, enough=ENOUGH if " " in long_form else 1)
            if begin == 0 and is_plausible(key, long_form):
                long = at + content.index(long_form)
                start = low + before.start(1) + before[1].rindex(surface)
                return _definition(
                    text, key, (start, start + len(surface)), (long, long + len(long_form)), parenthesis.end
                )
    return None


def _is_long(short_form: str, word: str) -> bool:
    """Whether a single word is so much longer than a short form that a chance match of the letters is unlikely."""
    return len(short_form) > 2 and len(word) >= 3 * len(short_form) and "/" not in word


def _both_inside(text: str, parenthesis: _Parenthesis) -> Definition | None:
    """Both forms in the same parentheses: (long form, SF), (SF, long form); the brackets are not in the definition."""
    at, content = parenthesis.at, parenthesis.content
    if first := _FIRST.match(content):
        surface, long_form = _stripped(first[1]), re.split(r"[;,]\s", content[first.end() :])[0].strip(_EDGES)
        if is_short_form(surface) and " " in long_form and (len(surface) > 2 or first[2] != ","):
            for key in singulars(surface):
                begin = long_form_start(key, long_form, initials=len(key) < 3 or is_doubtful(key), enough=SURE)
                if begin == 0 and is_plausible(key, long_form):
                    short, long = at + content.index(surface), at + content.index(long_form, first.end())
                    end = long + len(long_form)
                    return _definition(text, key, (short, short + len(surface)), (long, end), end)
    long_form, comma, inside = content.rpartition(", ")
    long_form, surface = long_form.strip(_EDGES), _stripped(inside)
    if not comma or not could_be_short(surface):
        return None
    words = list(_WORD.finditer(long_form))[-most_words(surface) :]
    window = long_form[words[0].start() :] if words else ""
    for key in singulars(surface):
        begin = long_form_start(key, window, initials=is_doubtful(key))
        if begin is None or not is_plausible(key, window[begin:]):
            continue
        if begin == 0 == words[0].start() or (len(key) > 2 and long_form_start(key, window, initials=True) == begin):
            long = at + content.index(long_form) + words[0].start()
            short = at + content.rindex(surface)
            return _definition(
                text, key, (short, short + len(surface)), (long + begin, long + len(window)), short + len(surface)
            )
    return None


def _definition(text: str, key: str, short: tuple[int, int], long: tuple[int, int], end: int) -> Definition:
    surface, long_form = text[slice(*short)], tidy(text[slice(*long)])
    sense = long_form if key == surface else _singular(long_form)
    return Definition(
        start=min(short[0], long[0]),
        end=end,
        short_form=surface,
        long_form=long_form,
        short=short,
        long=long,
        key=key,
        sense=sense,
    )


def _stripped(surface: str) -> str:
    """Strip what surrounds a form; the full stop of "N.S." stays."""
    bare = surface.strip(_EDGES)
    return f"{bare}." if _DOTTED.fullmatch(bare) and f"{bare}." in surface else bare


def _singular(long_form: str) -> str:
    """The long form with its last word in the singular: "lymph nodes" -> "lymph node"."""
    *others, last = re.split(r"(\s+)", long_form)
    return "".join([*others, singular(re.sub(r"['’]s$", "", last))])
