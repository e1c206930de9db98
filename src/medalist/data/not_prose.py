"""Finds stretches of a text in which letters only look like short forms: addresses, check boxes, code, other languages.

They are recognised from the text alone, so that no model is asked about them.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable

_TOKENS = re.compile(
    r"(?<![\w.+%-])[\w.+%-]{1,64}@[\w-]+(?:\.[\w-]+)+"  # an e-mail address
    r"|(?:https?://|\bwww\.)[^\s<>\"]+"
    r"|[\[(] ?[xX] ?[\])]"  # a check box
    r"|-+>|=+>|<-+(?![\d.-])|<->|<=|>=|<>|!=|={2,}|&{2,}|>{2,}|<{2,}"  # arrows and operators
    r"|\b[^\W_]+(?:_[^\W_]+)+\b"  # a name in code
    r"|\"[\w -]{1,40}\"(?=\s{0,3}:)"  # a key of JSON
    r"|</?[A-Za-z]{1,12}(?: [\w-]{1,20}=\"[^\"<>\n]{0,80}\")*\s?/?>"  # a tag
    # the number of a cell line, a part, a file:
    r"|(?<![\w-])(?=[A-Z\d-]{1,40}-\d{3,9}(?![A-Z\d]))[A-Z\d]{1,12}(?:-[A-Z\d]{1,12}){2,6}\b"
)
_FUNCTION_WORDS = {
    language: frozenset(words.split())
    for language, words in {
        "English": "the of and with to is was are were for on at no not had has have this that he she her his from by "
        "as an be been in it or will without since after before",
        "German": "der das und ist mit nicht ein eine einer eines einem einen keine kein wurde wird zur zum auf bei "
        "nach sich dem den von für ohne unter wir als aus im beim sowie vor über seit",
        "French": "le la les des une dans sur avec est pour pas sous aux et du par sans il elle sont au ce "
        "qui chez depuis",
        "Spanish": "el la los las con del una por que se su para sin al en como lo sus desde sobre entre tras",
        "Italian": "il della dei delle con per nel nella una non alla gli che dal sono di da in senza",
        "Portuguese": "com da do dos das não uma para sem na no em ao foi os as pelo pela",
        "Dutch": "het een van met niet geen voor bij naar zijn werd is op aan uit sinds zonder",
    }.items()
}
"""Words found in nearly every sentence of a language; one or two of them also occur in names and in Latin."""
_WORD = re.compile(r"[^\W\d_]+")
_FEW = 3
"""The minimum number of different words that identify a language, if they outnumber the English ones."""
_LINE = re.compile(r"[^\n]+")


def outside_prose(text: str) -> Callable[[int, int], bool]:
    """A test of whether a span is a part, but not all, of a stretch that is not prose."""
    spans = [match.span() for match in _TOKENS.finditer(text)]
    return _inside(spans)


def in_other_language(text: str) -> Callable[[int, int], bool]:
    """A test of whether a span lies in a line that is not English.

    A line with too few words to tell is judged by the whole text.
    """
    whole = _is_other(text)
    lines = [(line.span(), _is_other(line[0])) for line in _LINE.finditer(text)]
    return _inside([span for span, other in lines if (whole if other is None else other)])


def _is_other(text: str) -> bool | None:
    """Whether a text is in one of the other languages; None if too few words tell."""
    words = set(_WORD.findall(text.lower()))
    counts = {language: len(words & own) for language, own in _FUNCTION_WORDS.items()}
    english = counts.pop("English")
    most = max(counts.values())
    if most >= _FEW and most > english:
        return True
    return False if english >= _FEW else None


def _inside(spans: list[tuple[int, int]]) -> Callable[[int, int], bool]:
    starts = [start for start, _ in spans]

    def inside(start: int, end: int) -> bool:
        at = bisect_right(starts, start) - 1
        return at >= 0 and end <= spans[at][1] and (start, end) != spans[at]

    return inside
