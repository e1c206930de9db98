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
    r"|(?<!-)-+>|(?<!=)=+>|<-+(?![\d.-])|<->|<=|>=|<>|!=|={2,}|&{2,}|>{2,}|<{2,}"  # arrows and operators
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
        "as an be been in it or will without since after before but when if who also pt pts hx dx rx tx yo noted seen "
        "given left right today",
        "German": "der das und ist mit nicht ein eine einer eines einem einen keine kein wurde wird zur zum auf bei "
        "nach sich dem den von für ohne unter wir als aus im beim sowie vor über seit",
        "French": "le la les des une dans sur avec est pour pas sous aux et du par sans il elle sont au ce qui chez "
        "depuis été",
        "Spanish": "el la los las con del una por que se su para sin al en como lo sus desde sobre entre tras paciente",
        "Italian": "il della dei delle con per nel nella una non alla gli che dal sono di da in senza paziente",
        "Portuguese": "com da do dos das não uma para sem na no em ao foi os as pelo pela paciente",
        "Dutch": "het een van met niet geen voor bij naar zijn werd is op aan uit sinds zonder",
    }.items()
}
"""Words that stand in nearly every sentence of a language."""
_SHORT_FORMS_TOO = frozenset(
    "al als ao as au aux com con da das del des di do em en est il im in is la le les lo met na no on op os par para "
    "pas per se si sin su van".split()
)
"""Those of them that also stand in English notes: as short forms, in names and in Latin."""
_WORD = re.compile(r"[^\W\d_]+")
_SENTENCE_START = re.compile(r"(?:^|[.!?:]\s)[^\S\n]{0,8}([^\W\d_]+)(?=\s[^\S\n]{0,8}[a-zà-ÿ])", re.MULTILINE)
_FEW, _CERTAIN = 3, 2
"""So many different words of a language make it out, and so many of them that stand in no English note, if they are
more than English ones."""
_CERTAIN_IN_CAPITALS = 4
"""The same where all is in capitals, as short forms are."""
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
    """Whether a text is in one of the other languages; None if it has too few of their words and of English ones.

    Words in capitals count only where all words are, since DES, LES and MET are short forms.
    """
    words = set(_WORD.findall(text))
    small = {word for word in words if word.islower()}
    least = _CERTAIN
    if small:
        small |= {match[1].lower() for match in _SENTENCE_START.finditer(text) if match[1].istitle()}
    else:
        small, least = {word.lower() for word in words}, _CERTAIN_IN_CAPITALS
    english = len({word.lower() for word in words} & _FUNCTION_WORDS["English"])
    for language, own in _FUNCTION_WORDS.items():
        found = small & own
        enough = len(found) >= _FEW and len(found - _SHORT_FORMS_TOO) >= least
        if language != "English" and enough and len(found) > english:
            return True
    return False if english >= _FEW else None


def _inside(spans: list[tuple[int, int]]) -> Callable[[int, int], bool]:
    starts = [start for start, _ in spans]

    def inside(start: int, end: int) -> bool:
        at = bisect_right(starts, start) - 1
        return at >= 0 and end <= spans[at][1] and (start, end) != spans[at]

    return inside
