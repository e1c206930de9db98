"""Finds definitions of short forms in running text: "rheumatoid arthritis (RA)" and "RA (rheumatoid arthritis)".

Where to look follows Schwartz and Hearst (2003), in both orders and with both in the parentheses; `letters` says which
words explain a short form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from .letters import SMALL, fits, long_form_start
from .spelling import Composed, singular, tidy

__all__ = ["Definition", "find_definitions", "fits", "is_short_form"]

_PARENTHESES = re.compile(
    r"[(\[](?:(?P<nested>[^()\[\]\s]{0,10}(?:\([^()\s]{1,4}\)[^()\[\]\s]{0,8}){1,2})|"
    r"(?P<plain>[^()\[\]]{1,160})(?:(?:[(\[]\s?(?:\d|[nN]\s?=)|(?<=\w)[(\[])[^()\[\]]{0,60}[)\]][^()\[\]]{0,80})?)[)\]]"
)
"""Perhaps a short form with parentheses of its own, "(apo(a))", or figures in some: "(HR, 1.2 [95 % CI 1.1-1.3])"."""
_SHORT_FORM = re.compile(r"(?=[^a-z]*[a-z])[^\W_](?:[\w/&+.,'’-]|\([^()\s]{1,4}\)| (?=\S))*", re.IGNORECASE)
_LOWER = re.compile(r"[a-z]{2,6}|(?:[a-z]\.){2,5}|[A-Z]")
"""Accepted only if each of its letters begins a word, "amino acid (aa)", but for "intravenous (i.v.)"."""
_WORD = re.compile(r"\S+")
_SENTENCE_END = re.compile(r"[.!?:;]\s+(?=[A-Z(])|[:;]\s|\n(?!\s*(?:[a-z]|\($))")
"""A line that goes on in lower case, or with the parenthesis itself, is the same sentence, wrapped."""
_OTHERS = re.compile(r"^\([^()]*\)[\s,;]|\([^()]*\)(?:[,;]|\s(?:and|or)\b)")
"""Another short form: "(T30), 60 minutes", "epithelial cells (A549) and bronchial epithelial cells"."""
_LATIN = re.compile(r"(?:i\.?e|e\.?g|[ap]\.m|cf|viz|etc|vs)\.?")
"""Words of the text in any parenthesis: "(i.e., ...)", "(e.g. ...)", "(8 a.m.)"."""
_INTRODUCED = re.compile(
    r"(?i)(?:or|i\.e\.,?|for|from|that is,?|meaning|stands? for|short for|"
    r"(?:also |here(?:in)?(?:after)? |often |commonly )?"
    r"(?:abbreviated|called|termed|named|known|referred to|denoted|designated)(?: (?:as|to as|by|here|hereafter))?|"
    r"here(?:in)?after(?: referred to as)?)[:,]?\s+(?=\S)"
)
"""What leads to the other form: "(abbreviated as RA)", "(also called RA)", "(for rheumatoid arthritis)"."""
_EITHER = re.compile(r"\b(?:and|or)\b")
"""Two long forms, if two short forms follow: "Duchenne or Becker muscular dystrophy (DMD or BMD)"."""
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]")
_DOUBTFUL = re.compile(
    r"(?:(?i:fig(?:ure|s)?|table|ref|eq|see|n|p|vs|and|or|the|of|in|for|with|both|either|mean|median|range|total|"
    r"left|right|group|phase|stage|grade|type|class|level|min|sec|[ivx]+|[a-h])|ng|mg|kg|m[lL]|mm|cm)\b"
    r"[\s.=<>]*(?i:\d+|[ivx]+|[a-h])?"
)
"""Usually not a short form in parentheses; accepted only if each of its letters begins a word of the long form."""
_WINDOW = 200
"""Number of characters before a parenthesis in which to look for the long form."""
_EDGES = " \t\n,;:.\"'“”‘’\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\ufeff"
"""What stands around a form and is no part of it; characters without width included."""
LONGEST_SHORT_FORM = 10
"""Maximum number of characters; anything longer is a name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Definition:
    """A long form and its short form, as the author defined it."""

    start: int
    """First character of the whole definition, including long form and parenthesis."""
    end: int
    """One past the closing parenthesis, or past the short form if both stand in the same parentheses."""
    short_form: str
    """As written, with accents composed: "LNs"."""
    long_form: str
    """As written, with white space collapsed and accents composed: "lymph nodes"."""
    short: tuple[int, int]
    """Position of the short form: first character, one past the last."""
    long: tuple[int, int]
    """Position of the long form: first character, one past the last."""
    key: str
    """The short form without a plural s that the long form explains: "LN"."""
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
    """The definition with its positions in the text as given."""
    start, end = whole.span(definition.start, definition.end)
    short, long = whole.span(*definition.short), whole.span(*definition.long)
    return replace(definition, start=start, end=end, short=short, long=long)


def _definitions(text: str) -> list[Definition]:
    """The definitions of a text whose accents are composed."""
    found: list[Definition] = []
    for match in _PARENTHESES.finditer(text):
        floor = found[-1].end if found else 0
        definition = _short_inside(text, match, floor) or _long_inside(text, match, floor) or _both_inside(text, match)
        if definition is not None:
            found.append(definition)
    return found


def _short_inside(text: str, match: re.Match[str], floor: int) -> Definition | None:
    """A short form at the start of the parentheses: long form (SF), long form (SF, more), long form (SF; more)."""
    at, content = _content(match)
    inside = re.split(r"[;,]\s|\s?[=:]|\sor\s", content, maxsplit=1)[0]
    surface = _stripped(inside)
    if not _could_be_short(surface):
        return None
    if len(surface) == 1 and (
        surface != content or re.match(r"[\w-]", text[match.end() : match.end() + 1])
    ):  # "(P = 0.02)", "(R)-alpha"
        return None
    before = text[max(floor, match.start() - _WINDOW) : match.start()]
    if match.start() - floor > _WINDOW:
        before = before.partition(" ")[2]  # the first word may be cut off
    if cuts := list(_SENTENCE_END.finditer(f"{before}(")):
        before = before[cuts[-1].end() :]
    words = list(_WORD.finditer(before))[-_most_words(surface) :]
    if not words:
        return None
    window = before[words[0].start() :].rstrip(_EDGES)
    start = match.start() - len(before) + words[0].start()
    either = content[len(inside) :].startswith(" or ")
    together = re.match(r"[^\s([{]", text[match.start() - 1 : match.start()]) is not None  # "tRNA(Asp)"
    for key in _singulars(surface):
        begin = long_form_start(key, window, initials=together or _is_doubtful(key))
        if begin is None and not together and _shortens(key, words[-1][0]):
            begin = words[-1].start() - words[0].start()
        if begin is not None and _plausible(key, window[begin:]) and not (either and _EITHER.search(window, begin)):
            short = at + content.index(surface)
            return _definition(
                text, key, (short, short + len(surface)), (start + begin, start + len(window)), match.end()
            )
    return None


def _long_inside(text: str, match: re.Match[str], floor: int) -> Definition | None:
    """A long form in parentheses: SF (long form)."""
    at, content = _content(match)
    long_form = re.split(r"[;,]\s", content, maxsplit=1)[0].strip(_EDGES)
    before = re.search(r"(\S+)\s$", text[max(floor, match.start() - 40) : match.start()])
    if before is None or " " not in long_form:
        return None
    surface = _stripped(before[1].lstrip("([\"'“‘"))
    capitals = sum(map(str.isupper, surface))
    if not is_short_form(surface) or (capitals < 2 and len(surface) < 3):
        return None
    for key in _singulars(surface):
        # "mice (wild type)" defines nothing, "Gaf-1 (gamma-SNAP associate factor-1)" does
        begin = long_form_start(key, long_form, initials=capitals < 2 or _is_doubtful(key))
        if begin == 0 and _plausible(key, long_form):
            long = at + content.index(long_form)
            start = max(floor, match.start() - 40) + before.start(1) + before[1].index(surface)
            return _definition(text, key, (start, start + len(surface)), (long, long + len(long_form)), match.end())
    return None


def _both_inside(text: str, match: re.Match[str]) -> Definition | None:
    """Long form and short form in the same parentheses, which are no part of the definition: (long form, SF)."""
    at, content = _content(match)
    long_form, comma, inside = content.rpartition(", ")
    long_form, surface = long_form.strip(_EDGES), _stripped(inside)
    if not comma or not _could_be_short(surface) or len(long_form.split()) > _most_words(surface):
        return None
    for key in _singulars(surface):
        begin = long_form_start(key, long_form, initials=_is_doubtful(key))
        if begin == 0 and _plausible(key, long_form):
            long, short = at + content.index(long_form), at + content.rindex(surface)
            return _definition(
                text, key, (short, short + len(surface)), (long, long + len(long_form)), short + len(surface)
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


def _content(match: re.Match[str]) -> tuple[int, str]:
    """Where the text in the parentheses begins, and the text."""
    name = "nested" if match["nested"] is not None else "plain"
    introduced = _INTRODUCED.match(match[name])
    skipped = introduced.end() if introduced else 0
    return match.start(name) + skipped, match[name][skipped:]


def _stripped(surface: str) -> str:
    """Without what surrounds it; the full stop of "N.S." stays."""
    bare = surface.strip(_EDGES)
    return f"{bare}." if _DOTTED.fullmatch(bare) and f"{bare}." in surface else bare


def _most_words(short_form: str) -> int:
    """How many words the long form may have."""
    return min(len(short_form) + 5, 2 * len(short_form))


def _could_be_short(surface: str) -> bool:
    return _LATIN.fullmatch(surface) is None and (is_short_form(surface) or _LOWER.fullmatch(surface) is not None)


def is_short_form(surface: str) -> bool:
    """Whether a string could be a short form: 2 to 10 characters, at most two words, with a capital or a digit."""
    if not 2 <= len(surface) <= LONGEST_SHORT_FORM or len(surface.split()) > 2:
        return False
    if not _SHORT_FORM.fullmatch(surface):
        return False
    return any(c.isupper() for c in surface) or (any(c.isdigit() for c in surface) and not surface[0].isdigit())


def _is_doubtful(short_form: str) -> bool:
    lower = _LOWER.fullmatch(short_form) is not None and "." not in short_form
    return lower or _DOUBTFUL.fullmatch(short_form) is not None


def _shortens(short_form: str, word: str) -> bool:
    """Whether a short form in lower case is a word cut off or without its vowels: "dex", "nt" for nucleotide."""
    if not short_form.islower() or not word.isalpha() or _DOUBTFUL.fullmatch(short_form):
        return False
    if len(short_form) > 2 and len(word) > len(short_form) + 2 and word.lower().startswith(short_form):
        return True
    return not re.search("[aeiou]", short_form) and len(word) > 4 and fits(short_form, word)


_NO_BEGINNING = SMALL | frozenset(
    "are as is its our than that their these this those using was we were which who".split()
)


def _plausible(short_form: str, long_form: str) -> bool:
    words = re.findall(r"[\w'’-]+", long_form)
    return (
        len(long_form) > len(short_form) + 1
        and bool(words)
        and len(words) <= min(len(short_form) + 5, 2 * len(short_form))
        and short_form.casefold() not in {word.casefold() for word in words}
        and long_form.count("(") == long_form.count(")")
        and (words[0].casefold() not in _NO_BEGINNING or _spells(short_form, words))
        and long_form.count("[") == long_form.count("]")
        and not _OTHERS.search(long_form)
        and not re.search(r"[=<>%±]|\d\s*[±–-]\s*\d{2}", long_form)
    )


def _spells(short_form: str, words: list[str]) -> bool:
    """Whether a short form of three letters or more has one for each word: "in vitro fertilization (IVF)"."""
    if words[0].casefold() in ("and", "or"):
        return False
    return len(short_form) > 2 and short_form.casefold() == "".join(word[0] for word in words).casefold()


def _singulars(surface: str) -> tuple[str, ...]:
    """The possible singulars of a short form as written: for "RAs" or "RA's", first RA, then as written."""
    if len(surface) > 2 and (plural := re.search(r"(?<=[A-Z])['’]?s$", surface)):
        return surface[: plural.start()], surface
    return (surface,)


def _singular(long_form: str) -> str:
    """With its last word in the singular: "lymph nodes" -> "lymph node"."""
    *others, last = re.split(r"(\s+)", long_form)
    return "".join([*others, singular(re.sub(r"['’]s$", "", last))])
