"""Decides when two wordings are equivalent: white space, accents, hyphens, case, and the forms of a word."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise

from .word_forms import plain_word, words_of_name

_NO_WIDTH = re.compile("[\u00ad\u034f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
"""Characters that are invisible and do not separate words: soft hyphens, joiners and direction marks, as in text from
web pages and PDF files."""
PLURAL_S = "['’]?s"
"""A pattern of the plural ending of a short form: "RAs", "RA's"."""
_TOKEN = re.compile(r"[^\s,.;:()\[\]/\"]+")


def tidy(text: str) -> str:
    """Collapse and trim white space and apply `composed`, so that names match however they were typed.

    278 of MeDAL's labels have stray spaces and would otherwise match nothing.
    """
    return " ".join(composed(text).split())


def composed(text: str) -> str:
    """Normalise a text for comparison: compose its accents (Unicode NFC) and drop zero-width characters."""
    return text if text.isascii() else unicodedata.normalize("NFC", _NO_WIDTH.sub("", text))


def folded(name: str) -> str:
    """Normalise a name for case-insensitive comparison."""
    return composed(name).casefold()


@dataclass(frozen=True, slots=True)
class Composed:
    """A text after `composed`, with the positions of its characters in the original text."""

    text: str
    _spans: Sequence[tuple[int, int]] | None
    """``[len(text)]``: start and end of each character in the original text; None if the text is unchanged."""

    @classmethod
    def of(cls, text: str) -> Composed:
        """Compose a text; for one that is composed already, as nearly all are, this costs next to nothing."""
        if text.isascii() or (unicodedata.is_normalized("NFC", text) and not _NO_WIDTH.search(text)):
            return cls(text, None)
        kept = [at for at, character in enumerate(text) if not _NO_WIDTH.match(character)]
        begins = [n for n, at in enumerate(kept) if not n or not _joins(text[at])]
        pieces: list[str] = []
        spans: list[tuple[int, int]] = []
        for first, last in pairwise([*begins, len(kept)]):
            start, end = kept[first], kept[last - 1] + 1
            pieces.append(composed(text[start:end]))
            starts = [min(start + n, end) for n in range(len(pieces[-1]))]
            spans += zip(starts, [*starts[1:], end], strict=True)
        return cls("".join(pieces), spans)

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Map a non-empty span of the composed text to the original text."""
        return (start, end) if self._spans is None else (self._spans[start][0], self._spans[end - 1][1])


def _joins(character: str) -> bool:
    """Whether a character may join the one before it: a combining mark, or a later part of a Hangul syllable."""
    return character >= "\u0300" and (
        unicodedata.category(character).startswith("M") or "\u1160" <= character <= "\u11ff"
    )


@lru_cache(maxsize=200_000)
def equivalence_key(long_form: str) -> str:
    """A normal form of a long form that ignores differences without meaning.

    These are UK/US spelling, plurals ("metastases", "fistulae"), hyphens, accents, possessives ("Crohn's disease") and
    case, numbers in words or digits ("every six hours", "2nd"), "&" for "and", and "exam" for "examination".

    Long forms of a short form with the same key are an equivalence group, which lenient accuracy counts as one answer.
    """
    # Spaces are removed like hyphens, since "low density" equals "low-density", but not between digits.
    words = filter(None, map(plain_word, words_of_name(folded(long_form))))
    return re.sub(r"(?<!\d) | (?!\d)", "", " ".join(words))


def plain_words(text: str) -> str:
    """The words of a text as equivalence keys, with a space before and after each."""
    return " " + " ".join(filter(None, (equivalence_key(word) for word in _TOKEN.findall(text)))) + " "


class WordsOf:
    """The words of a text as equivalence keys, searchable outside a given span.

    A search takes time that grows with the words searched for, not with the text.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        tokens = [(match.start(), match.end(), equivalence_key(match[0])) for match in _TOKEN.finditer(text)]
        self._tokens = [token for token in tokens if token[2]]
        self._ends = [end for _, end, _ in self._tokens]
        self._starts = [start for start, _, _ in self._tokens]
        self._words = " " + "".join(f"{key} " for _, _, key in self._tokens)
        self._at = list(accumulate((len(key) + 1 for _, _, key in self._tokens), initial=0))
        self._places: dict[str, tuple[int, int]] = {}

    def without(self, start: int, end: int) -> Container[str]:
        """The text without its characters from `start` to `end`; `in` tests whether it contains `plain_words`."""
        return _Without(self, start, end)

    def holds(self, words: str, start: int, end: int) -> bool:
        """Whether words, given as `plain_words`, occur in the text without its characters from `start` to `end`."""
        if not self._tokens:
            return not words.strip()  # a text without words holds no words, and nothing else
        low, high = bisect_right(self._ends, start), bisect_left(self._starts, end)
        if low > high:  # the span is empty and inside a word
            low = high
        left_over = (
            [self._text[self._starts[low] : start], self._text[end : self._ends[high - 1]]] if low < high else []
        )
        between = "".join(f"{key} " for key in map(equivalence_key, left_over) if key)
        before, after = self._at[low] + 1, self._at[high] + 1
        if words == "  ":  # no words at all, which only an empty text contains
            return not between and low == 0 and high == len(self._tokens)
        if words not in self._places:
            self._places[words] = self._words.find(words), self._words.rfind(words)
        first, last = self._places[words]
        if first >= 0 and (first + len(words) <= before or last >= after - 1):
            return True
        size = len(words)
        return words in self._words[max(before - size, 0) : before] + between + self._words[after : after + size]


@dataclass(frozen=True, slots=True)
class _Without:
    text: WordsOf
    start: int
    end: int

    def __contains__(self, words: object) -> bool:
        return isinstance(words, str) and self.text.holds(words, self.start, self.end)


def spelt_out(words: Container[str], candidates: Sequence[str]) -> list[int]:
    """The indices of the candidates that occur in a text, given as `plain_words` or as `WordsOf(...).without(...)`."""
    return [n for n, candidate in enumerate(candidates) if plain_words(candidate) in words]


def lower(text: str) -> str:
    """Lower-case a text without changing its length, so that offsets stay valid; letters that would expand are kept."""
    whole = text.lower()
    if len(whole) == len(text) and "Σ" not in text:  # the lower case of Σ depends on its neighbours
        return whole
    return "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
