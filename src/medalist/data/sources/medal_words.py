"""Splits texts into the words that MeDAL's rows count, and finds the short form in a word.

T different texts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..inventory import Inventory
from ..passages import WORD, Mention
from ..spelling import tidy

Numbers = NDArray[np.int64]
_PUNCTUATION = ".,;:()[]'\""
_SPACE, _ASCII = ord(" "), 128
_SPACES = 64
"""After a word with more spaces than this, its end is searched for separately."""
_FARTHEST = 10**9
"""An upper bound on the number of words in a text."""
_SLICE = 1 << 20
"""Bytes that are searched at a time, so that they fit in the processor's cache."""


class Words:
    """The words of T different texts."""

    def __init__(self, texts: pa.LargeStringArray) -> None:
        self._texts = texts
        bounds, raw = texts.buffers()[1:]
        self.bounds = np.frombuffer(bounds or bytes(8), np.int64)[: len(texts) + 1]
        """``[T + 1]``; where each text begins in `raw`, and where the last one ends."""
        self.raw = pa.py_buffer(b"") if raw is None else raw[: int(self.bounds[-1])]
        self._bytes = np.frombuffer(self.raw, np.uint8)
        begins = np.empty(len(self._bytes), bool)
        for at in range(1, len(begins), _SLICE):
            part = self._bytes[at - 1 : at + _SLICE] > _SPACE
            begins[at : at + _SLICE] = part[1:] & ~part[:-1]
        of_texts = self.bounds[self.bounds < len(begins)]
        begins[of_texts] = self._bytes[of_texts] > _SPACE
        self._starts = np.flatnonzero(begins)
        self.first = np.searchsorted(self._starts, self.bounds[:-1])
        """``[T]``; the index of each text's first word among the words of all texts."""
        self.counts = np.diff(self.first, append=len(self._starts))
        """``[T]``; the number of words of each text, or 0 if it cannot be split at spaces alone."""
        self.odd = np.unique(np.searchsorted(self.bounds, self._odd_characters(), side="right") - 1)
        """The texts with non-ASCII characters or with white space other than spaces."""
        self.counts[self.odd] = 0
        self._last: tuple[int, list[int]] = -1, []

    def _odd_characters(self) -> Numbers:
        if not len(self._bytes) or (self._bytes.min() >= _SPACE and self._bytes.max() < _ASCII):
            return np.zeros(0, np.int64)
        return np.flatnonzero((self._bytes < _SPACE) | (self._bytes >= _ASCII))

    def spans(self, numbers: Numbers) -> tuple[Numbers, Numbers]:
        """Start and end of words in `raw`."""
        begin = self._starts[numbers]
        end = np.append(self._starts, len(self._bytes))[numbers + 1]
        end = np.minimum(end, self.bounds[np.searchsorted(self.bounds, begin, side="right")])
        spaced = np.arange(len(end))
        for _ in range(_SPACES):
            spaced = spaced[self._bytes[end[spaced] - 1] == _SPACE]
            end[spaced] -= 1
        for place in spaced.tolist():
            if self._bytes[end[place] - 1] == _SPACE:
                end[place] = begin[place] + np.argmax(self._bytes[begin[place] : end[place]] == _SPACE)
        return begin, end

    def text(self, number: int) -> str:
        """The text with this number."""
        return str(self._texts[number].as_py())

    def starts(self, number: int) -> list[int]:
        """Where the words of one text begin, in characters; the last result is cached."""
        if number != self._last[0]:
            self._last = number, [word.start() for word in WORD.finditer(self.text(number))]
        return self._last[1]


def word_mention(text: str, location: str, label: str, inventory: Inventory, words: Sequence[int]) -> Mention:
    """Convert MeDAL's word index to character offsets; the word without its punctuation is the short form.

    Args:
        text: the abstract.
        location: the word's index.
        label: the short form's long form.
        inventory: lists the short forms.
        words: where each word of the text begins.

    Raises:
        ValueError: the index or the label is wrong, or the word is not a short form of the label.
    """
    if not (long_form := tidy(label)):
        raise ValueError("empty LABEL")
    try:
        index = int(location)
    except ValueError:
        raise ValueError("LOCATION is not a whole number") from None
    if abs(index) > _FARTHEST:
        raise ValueError(f"LOCATION is outside the text ({len(words):,} words)")
    if not 0 <= index < len(words):
        raise ValueError(f"LOCATION {index:,} is outside the text ({len(words):,} words)")
    start = words[index]
    found = WORD.match(text, start)
    assert found is not None
    surface = found[0]
    if surface not in inventory.senses:
        core = surface.strip(_PUNCTUATION)
        if not core:
            raise ValueError(f"LOCATION {index:,} points at punctuation")
        start += surface.index(core)
        surface = core
    short_form = inventory.key(surface)
    if short_form is None:
        raise ValueError(f"the word at LOCATION {index:,} is not a short form in the inventory")
    if not surface.startswith(short_form) and inventory.belongs_elsewhere(short_form, long_form):
        # "was" is not WAS if the label is a sense of RA: LOCATION points at an ordinary word.
        raise ValueError(f"the word at LOCATION {index:,} is not a short form of the LABEL")
    return Mention(start=start, end=start + len(surface), short_form=short_form, long_form=long_form)


def word_index(name: str) -> int:
    """A LOCATION as a number; -1 if it is not a number or larger than any text allows."""
    try:
        index = int(name)
    except ValueError:
        return -1
    return index if index < _FARTHEST else -1
