"""Finds definitions of short forms in running text: "rheumatoid arthritis (RA)" and "RA (rheumatoid arthritis)".

This is the method of Schwartz and Hearst (2003) with three additions: both orders are recognised, a match in which
every letter of the short form begins a word is preferred, and plurals are handled ("RAs" defines RA).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .spelling import singular, tidy

_PARENTHESES = re.compile(r"[(\[]([^()\[\]]{2,160})(?:[(\[]\s?\d[^()\[\]]{0,60}[)\]][^()\[\]]{0,80})?[)\]]")
"""Perhaps with figures in parentheses of their own: "(HR, 1.2 [95 % CI 1.1-1.3])"."""
_SHORT_FORM = re.compile(r"(?=[^a-z]*[a-z])[^\W_](?:[\w/&+.,'’-]| (?=\S))*", re.IGNORECASE)
_WORD = re.compile(r"\S+")
_SENTENCE_END = re.compile(r"[.!?:;]\s+(?=[A-Z(])|[:;]\s|\n(?!\s*[a-z])")
"""A line that goes on in lower case is the same sentence, wrapped."""
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
_DOUBTFUL = re.compile(
    r"(?i)(?:fig(?:ure|s)?|table|ref|eq|see|n|p|vs|and|or|the|of|in|for|with|both|either|mean|median|range|total|"
    r"left|right|group|phase|stage|grade|type|class|level|ng|mg|kg|ml|mm|cm|min|sec|[ivx]+|[a-h])\b"
    r"[\s.=<>]*(?:\d+|[ivx]+|[a-h])?"
)
"""Usually not a short form in parentheses; accepted only if each of its letters begins a word of the long form."""
_WINDOW = 200
"""Number of characters before a parenthesis in which to look for the long form."""
_EDGES = " \t\n,;:.\"'“”‘’"
LONGEST_SHORT_FORM = 10
"""Maximum number of characters; anything longer is a name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Definition:
    """A long form and its short form, as the author defined it."""

    start: int
    """First character of the whole definition, including long form and parenthesis."""
    end: int
    """One past the closing parenthesis."""
    short_form: str
    """Without the plural s, if the long form is plural too."""
    long_form: str
    """As written, with white space collapsed, and singular if the plural s of the short form was removed."""
    short: tuple[int, int]
    """Position of the short form: first character, one past the last (including a plural s)."""
    long: tuple[int, int]
    """Position of the long form: first character, one past the last."""


def find_definitions(text: str) -> list[Definition]:
    """Find the definitions in a text, in order and without overlap.

    Source: A. S. Schwartz and M. A. Hearst, A simple algorithm for identifying abbreviation definitions in biomedical
    text, PSB 2003.
    """
    found: list[Definition] = []
    for match in _PARENTHESES.finditer(text):
        floor = found[-1].end if found else 0
        definition = _short_inside(text, match, floor) or _long_inside(text, match, floor)
        if definition is not None:
            found.append(definition)
    return found


def _short_inside(text: str, match: re.Match[str], floor: int) -> Definition | None:
    """A short form at the start of the parentheses: long form (SF), long form (SF, more), long form (SF; more)."""
    inside = re.split(r"[;,]\s|\s?[=:]", match[1], maxsplit=1)[0]
    surface = inside.strip(_EDGES)
    if _DOTTED.fullmatch(surface) and f"{surface}." in inside:  # the full stop of "N.S." is no edge
        surface += "."
    if not is_short_form(surface):
        return None
    before = text[max(floor, match.start() - _WINDOW) : match.start()]
    if match.start() - floor > _WINDOW:
        before = before.partition(" ")[2]  # the first word may be cut off
    if cuts := list(_SENTENCE_END.finditer(before)):
        before = before[cuts[-1].end() :]
    words = list(_WORD.finditer(before))[-min(len(surface) + 5, 2 * len(surface)) :]
    if not words:
        return None
    offset = match.start() - len(before)
    window = before[words[0].start() :]
    for short_form in _singulars(surface):
        begin = _long_form_start(short_form, window, initials=_is_doubtful(short_form))
        if begin is None:
            continue
        long_form = window[begin:].rstrip(_EDGES)
        long_start = offset + words[0].start() + begin
        long = long_start, long_start + len(long_form)
        if not _plausible(short_form, long_form):
            continue
        short_form, long_form = _aligned(surface, short_form, long_form)
        at = match.start(1) + match[1].index(surface)
        return Definition(
            start=long_start,
            end=match.end(),
            short_form=short_form,
            long_form=tidy(long_form),
            short=(at, at + len(surface)),
            long=long,
        )
    return None


def _long_inside(text: str, match: re.Match[str], floor: int) -> Definition | None:
    """A long form in parentheses: SF (long form)."""
    long_form = re.split(r"[;,]\s", match[1], maxsplit=1)[0].strip(_EDGES)
    before = re.search(r"(\S+)\s$", text[max(floor, match.start() - 40) : match.start()])
    if before is None or " " not in long_form:
        return None
    surface = before[1].lstrip("([\"'“‘").rstrip(_EDGES)
    if not is_short_form(surface) or sum(map(str.isupper, surface)) < 2:  # "mice (wild type)" defines nothing
        return None
    for short_form in _singulars(surface):
        if len(long_form.split()) > min(len(short_form) + 5, 2 * len(short_form)):
            continue
        begin = _long_form_start(short_form, long_form, initials=_is_doubtful(short_form))
        if begin != 0 or not _plausible(short_form, long_form):
            continue
        long_start = match.start(1) + match[1].index(long_form)
        long = long_start, long_start + len(long_form)
        short_form, long_form = _aligned(surface, short_form, long_form)
        start = max(floor, match.start() - 40) + before.start(1) + before[1].index(surface)
        return Definition(
            start=start,
            end=match.end(),
            short_form=short_form,
            long_form=tidy(long_form),
            short=(start, start + len(surface)),
            long=long,
        )
    return None


def is_short_form(surface: str) -> bool:
    """Whether a string could be a short form: 2 to 10 characters, at most two words, with a capital or a digit."""
    if not 2 <= len(surface) <= LONGEST_SHORT_FORM or len(surface.split()) > 2:
        return False
    if not _SHORT_FORM.fullmatch(surface):
        return False
    return any(c.isupper() for c in surface) or (any(c.isdigit() for c in surface) and not surface[0].isdigit())


def _is_doubtful(short_form: str) -> bool:
    return _DOUBTFUL.fullmatch(short_form) is not None


def _long_form_start(short_form: str, before: str, *, initials: bool) -> int | None:
    """The position in `before` where the long form at its end begins; None if the letters do not match.

    The preferred match is one in which each letter or digit of the short form begins a word and only small words are
    skipped. Otherwise, unless `initials` requires such a match, the letters are matched from the right, and the first
    one must be at the beginning of a word.
    """
    letters = [c.lower() for c in short_form if c.isalnum()]
    lowered = "".join(c.lower() if len(c.lower()) == 1 else c for c in before)
    exact = _initials_start(letters, lowered)
    if exact is not None or initials:
        return exact
    at = len(lowered) - 1
    for number in range(len(letters) - 1, -1, -1):
        while at >= 0 and (lowered[at] != letters[number] or (number == 0 and at > 0 and lowered[at - 1].isalnum())):
            at -= 1
        if at < 0:
            return None
        at -= 1
    # The whole word belongs to the long form: "(–)-epicatechin" begins at its parenthesis, "a-b" at its a.
    at += 1
    while at > 0 and not lowered[at - 1].isspace() and lowered[at - 1] not in "([\"'“‘/":
        at -= 1
    return at - 1 if at and re.match(r"\([^()\s]+\)\S", lowered[at - 1 :]) else at


def fits(short_form: str, long_form: str) -> bool:
    """Whether the letters of a short form appear in the long form in order, starting with its first letter.

    The x of "Bx" and "Tx" is a convention, not a letter of the word, and is ignored. A mismatch is not an error in
    itself, but a single word that does not match ("after" for T3) was most likely found by chance.
    """
    letters = short_form[:-1] if len(short_form) > 1 and short_form.endswith("x") else short_form
    return _long_form_start(letters, tidy(long_form), initials=False) == 0


# A string of words is easier to read and extend than a list of strings, hence the SIM905 exceptions.
_SMALL = frozenset("a an and at by de for from in la of on or the to with".split())  # noqa: SIM905
_NO_BEGINNING = _SMALL | frozenset(
    "are as is its our than that their these this those using was we were which who".split()  # noqa: SIM905
)


def _initials_start(letters: list[str], before: str) -> int | None:
    """The position where the words with these initials begin; only small words may be skipped."""
    words = [m.span() for m in re.finditer(r"[^\W_]+", before)]
    number, first = len(letters) - 1, None
    for start, end in reversed(words):
        if number < 0:
            break
        if before[start] == letters[number]:
            number, first = number - 1, start
        elif before[start:end] not in _SMALL or first is None:
            return None
    return first if number < 0 else None


def _plausible(short_form: str, long_form: str) -> bool:
    words = re.findall(r"[\w'’-]+", long_form)
    return (
        len(long_form) > len(short_form) + 1
        and bool(words)
        and len(words) <= min(len(short_form) + 5, 2 * len(short_form))
        and short_form.casefold() not in {word.casefold() for word in words}
        and long_form.count("(") == long_form.count(")")
        and words[0].casefold() not in _NO_BEGINNING
        and not re.search(r"[=<>%±]|\d\s*[±–-]\s*\d{2}", long_form)
    )


def _singulars(surface: str) -> tuple[str, ...]:
    """The possible singulars of a short form as written: for "RAs" or "RA's", first RA, then as written."""
    if len(surface) > 2 and (plural := re.search(r"(?<=[A-Z])['’]?s$", surface)):
        return surface[: plural.start()], surface
    return (surface,)


def _aligned(surface: str, short_form: str, long_form: str) -> tuple[str, str]:
    """Make the long form singular if the short form was: "lymph nodes (LNs)" defines LN as lymph node."""
    if surface == short_form:
        return short_form, long_form
    *others, last = re.split(r"(\s+)", long_form)
    return short_form, "".join([*others, singular(last)])
