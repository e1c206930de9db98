"""Passages with marked short forms. `passage_files` reads and writes them.

Every source ends here: whatever it counted in (MeDAL counts words), a `Mention` counts characters of the text.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

WORD = re.compile(r"\S+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Mention:
    """One marked short form."""

    start: int
    """First character of the short form in the passage's text."""
    end: int
    """One past its last character."""
    short_form: str
    """The inventory's key: the text may read "CTs" where this reads "CT"."""
    long_form: str | None = None
    """The gold answer; None where it is not known."""


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
                    f"passage {self.id}: mention {mention.short_form!r} at {mention.start}-{mention.end} overlaps its "
                    f"neighbour or lies outside the text ({len(self.text):,} characters)"
                )
            last = mention.end

    @property
    def num_questions(self) -> int:
        """How many short forms are marked."""
        return len(self.mentions)

    def surface(self, mention: Mention) -> str:
        """The characters of the text that the mention marks."""
        return self.text[mention.start : mention.end]

    def record(self) -> dict[str, object]:
        """Its content, for JSON."""
        mentions = [
            {"start": m.start, "end": m.end, "short_form": m.short_form, "long_form": m.long_form}
            for m in self.mentions
        ]
        return {"id": self.id, "text": self.text, "mentions": mentions, "source": self.source}


class Recorded(Protocol):
    """What has content for JSON: a `Passage`, or a `quizzes.Quiz`."""

    def record(self) -> dict[str, object]:
        """Its content."""


def fingerprint(texts: Iterable[Recorded]) -> str:
    """SHA-256 of the texts' content, in order: the dataset fingerprint that runs and evaluations record."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(json.dumps(text.record(), sort_keys=True).encode())
    return digest.hexdigest()


NONE_OF_THESE = "none of these"
