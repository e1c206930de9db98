"""Passages with marked short forms; `passage_files` reads and writes them.

All sources are converted to this form: whatever a source counts (MeDAL counts words), a `Mention` counts characters.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

WORD = re.compile(r"\S+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Mention:
    """One marked short form."""

    start: int
    """Index of the first character of the short form in the passage's text."""
    end: int
    """One past its last character."""
    short_form: str
    """The inventory's key, which may differ from the text: "CT" where the text says "CTs"."""
    long_form: str | None = None
    """The gold answer; None if unknown."""


class Span(Protocol):
    """A span of text."""

    @property
    def start(self) -> int:
        """Index of its first character."""

    @property
    def end(self) -> int:
        """One past its last character."""


AnySpan = TypeVar("AnySpan", bound=Span)


def without_overlap(spans: Iterable[AnySpan]) -> list[AnySpan]:
    """Given spans sorted by start, keep the first and every later one that does not overlap the last one kept."""
    chosen: list[AnySpan] = []
    for span in spans:
        if not chosen or span.start >= chosen[-1].end:
            chosen.append(span)
    return chosen


def words_around(text: str, span: Span, words: int, *, besides_rest: bool = False) -> tuple[int, int]:
    """The start and end of a span extended by a number of words on either side.

    Args:
        text: the text that contains the span.
        span: the span, such as a mention.
        words: number of words on either side, as far as the text has them.
        besides_rest: do not count the rest of the word around the span, such as "(" and ")," in "(RA),".
    """
    left = [match.start() for match in WORD.finditer(text, 0, span.start)]
    right = [match.end() for match in WORD.finditer(text, span.end)]
    before = words + (besides_rest and bool(left) and not text[span.start - 1].isspace())
    after = words + (besides_rest and bool(right) and not text[span.end].isspace())
    left, right = left[-before:] if before else [], right[:after]
    return left[0] if left else span.start, right[-1] if right else span.end


@dataclass(frozen=True, kw_only=True, slots=True)
class Passage:
    """A text and its marked short forms, in order and without overlap."""

    id: str
    text: str
    mentions: tuple[Mention, ...] = ()
    source: str = ""

    def __post_init__(self) -> None:
        last = 0
        for mention in self.mentions:
            if not last <= mention.start < mention.end <= len(self.text):
                raise ValueError(
                    f"passage {self.id}: the mention at {mention.start}-{mention.end} overlaps its "
                    f"neighbour or lies outside the text ({len(self.text):,} characters)"
                )
            last = mention.end

    @property
    def num_questions(self) -> int:
        """Number of marked short forms."""
        return len(self.mentions)

    def surface(self, mention: Mention) -> str:
        """The characters of the text that the mention marks."""
        return self.text[mention.start : mention.end]

    def record(self) -> dict[str, object]:
        """The passage's content, for JSON."""
        mentions = [
            {"start": m.start, "end": m.end, "short_form": m.short_form, "long_form": m.long_form}
            for m in self.mentions
        ]
        return {"id": self.id, "text": self.text, "mentions": mentions, "source": self.source}


class Recorded(Protocol):
    """An object with content for JSON: a `Passage` or a `quizzes.Quiz`."""

    def record(self) -> dict[str, object]:
        """The object's content."""


def fingerprint(texts: Iterable[Recorded]) -> str:
    """SHA-256 of the content of the texts, in order: the data fingerprint that runs and evaluations record."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(json.dumps(text.record(), sort_keys=True).encode())
    return digest.hexdigest()


NONE_OF_THESE = "none of these"
