"""Rewrites prose in the style of typed notes: terse, with slashes, lower case, British spelling or words in capitals.

The marked short forms are preserved. Every choice is a function of (seed, passage id).
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from .passages import Mention, Passage

_ARTICLES = re.compile(r"\b(?:a|an|the)\s+", re.IGNORECASE)
_AUXILIARIES = re.compile(r"\b(?:is|are|was|were|has been|have been|had been|has|had)\s+(?=\w)", re.IGNORECASE)
_SUBJECT = re.compile(
    r"(?:(?<=[.!?]\s)|^)(?:he|she|they|this patient|the patient|patient)\s+"
    r"(?:is|was|has|had|also|reports that|states that)?\s*(?=\w)",
    re.IGNORECASE,
)
_PHRASES = (
    (re.compile(r"\bdegrees\b", re.IGNORECASE), "deg"),
    (re.compile(r"\s+percent\b", re.IGNORECASE), "%"),
    (re.compile(r"\bgreater than\b|\bmore than\b", re.IGNORECASE), ">"),
    (re.compile(r"\bless than\b", re.IGNORECASE), "<"),
    (re.compile(r"\bincreased\b", re.IGNORECASE), "↑"),
    (re.compile(r"\bdecreased\b", re.IGNORECASE), "↓"),
    (re.compile(r"\bpositive\b", re.IGNORECASE), "+ve"),
    (re.compile(r"\bnegative\b", re.IGNORECASE), "-ve"),
    (re.compile(r"\bno evidence of\b", re.IGNORECASE), "no"),
)
_AND = re.compile(r",?\s+and\s+", re.IGNORECASE)
_SENTENCE_END = re.compile(r"\.\s+(?=\w)")
_CLAUSE = re.compile(r"(?:(?<=[.:;]\s)|^)[A-Za-z][A-Za-z ,'-]{8,60}(?=[.;,:])")
_NUMBERS = re.compile(r"\b(?:one|two|three|four|five|six|seven|eight|nine|ten)\b", re.IGNORECASE)
_FIGURES = {
    name: str(number)
    for number, name in enumerate(("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), 1)
}
# Applied in order, to American and British text alike: what is British already must stay as it is.
_BRITISH = tuple(
    (re.compile(american), british)
    for american, british in (
        (r"\b([Hh])em(?=[ao])", r"\1aem"),
        (r"\b([Aa])nem(?=i[ac])", r"\1naem"),
        (r"(?<![Aa])(?<!cad)emia(?=s?\b)", "aemia"),
        (r"(?<![Aa])(?<!st)(?<!cad)(?<!nd)(?<!epid)(?<!pol)emic\b", "aemic"),
        (r"(?<![Oo])edema", "oedema"),
        (r"\bEdema", "Oedema"),
        (r"\besophag", "oesophag"),
        (r"\bEsophag", "Oesophag"),
        (r"\b([Pp])ediatr", r"\1aediatr"),
        (r"\b([Oo])rthopedic", r"\1rthopaedic"),
        (r"\b([Gg])ynec", r"\1ynaec"),
        (r"\b([Aa])nesth", r"\1naesth"),
        (r"rrhea\b", "rrhoea"),
        (r"pnea\b", "pnoea"),
        (r"\b([Tt])umor(?=s?\b)", r"\1umour"),
        (r"\b([Cc])olor(?=s?\b|ed\b|ing\b|less\b)", r"\1olour"),
        (r"\b([Ff])iber(?=s?\b)", r"\1ibre"),
        (r"\b([Cc])enter(?=s?\b)", r"\1entre"),
        (r"\b([Ff])et(?=(?:al|us)\b)", r"\1oet"),
        (r"\b([Cc])eliac", r"\1oeliac"),
        (r"\b([Ll])euk(?=oc)", r"\1euc"),
        # Not in size, prize, seize and maize; but in emphasize.
        (
            r"\b(?!(?:(?:cap|down|mid|out|over|re|under)?s|ma|pr|se)iz)(\w+)iz(?=(?:e[ds]?|ing|ations?)\b)",
            r"\1is",
        ),
        (r"alyz(?=(?:e[ds]?|ing)\b)", "alys"),
    )
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Manner:
    """The style in which one note is typed."""

    terse: bool
    lower: bool
    lower_short_forms: bool
    british: bool
    capitals: bool
    joined_by: str
    sentences_end: str


def as_note(passage: Passage, *, seed: int, share: float = 0.6) -> Passage:
    """Render the passage as it might be typed on a ward, or leave it unchanged.

    Args:
        passage: the passage, with its short forms in place and marked.
        seed: together with the passage's id, determines every choice.
        share: share of passages made terse; some of the others only get capitals or British spelling.
    """
    draw = random.Random(f"{seed}:note:{passage.id}")
    terse = draw.random() < share
    lower = terse and draw.random() < 0.45
    manner = _Manner(
        terse=terse,
        lower=lower,
        lower_short_forms=lower and draw.random() < 0.7,
        british=draw.random() < 0.25,
        capitals=draw.random() < 0.3,
        joined_by=draw.choice((" + ", ", ", "/", " & ", " and ")),
        sentences_end=draw.choice((". ", ". ", "\n", "; ", ".\n")),
    )
    return _retyped(passage, manner, draw)


def _retyped(passage: Passage, manner: _Manner, draw: random.Random) -> Passage:
    pieces: list[str] = []
    mentions: list[Mention] = []
    length = at = 0
    for mention in (*passage.mentions, None):
        between = _typed(passage.text[at : mention.start if mention else None], manner, draw)
        if not pieces:
            between = between.lstrip()
        pieces.append(between)
        length += len(between)
        if mention is None:
            break
        surface = passage.text[mention.start : mention.end]
        if manner.lower_short_forms and surface.isalpha():
            surface = surface.lower()
        pieces.append(surface)
        mentions.append(
            Mention(start=length, end=length + len(surface), short_form=mention.short_form, long_form=mention.long_form)
        )
        length += len(surface)
        at = mention.end
    return Passage(id=passage.id, text="".join(pieces), mentions=tuple(mentions), source=passage.source)


def _typed(text: str, manner: _Manner, draw: random.Random) -> str:
    """Render unmarked text in the note's style; a space at either end is kept."""
    if manner.british:
        text = british(text)
    if manner.terse:
        text = _SUBJECT.sub("", text)
        text = _ARTICLES.sub("", text)
        text = _AUXILIARIES.sub("", text)
        for phrase, short in _PHRASES:
            text = phrase.sub(short, text)
        text = _NUMBERS.sub(lambda match: _FIGURES[match[0].lower()], text)
        text = _AND.sub(manner.joined_by, text)
        text = _SENTENCE_END.sub(manner.sentences_end, text)
    if manner.lower:
        text = text.lower()
    if manner.capitals:
        text = _CLAUSE.sub(lambda match: match[0].upper() if draw.random() < 0.35 else match[0], text)
    return text


def british(text: str) -> str:
    """The text in British spelling, as far as clinical words go."""
    for american, replacement in _BRITISH:
        text = american.sub(replacement, text)
    return text
