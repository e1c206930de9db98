"""How well each sense of a mention fits the topic of the text around it, window by window.

Only what the text and the inventory say counts, not a model: each other short form with its senses, as usual as they
are, and the words. What counts for a mention is in the window where it is answered, and what is answered in a later
window does not, so that text appended to a note changes no answer of an earlier full window.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..data.topics import Topics, fits
from .windows import Window, home_window


class Spot(NamedTuple):
    """A short form in a text."""

    start: int
    end: int
    senses: Sequence[str]
    """The long forms that it may have here."""
    log_priors: Sequence[float]
    """For each of these, the log-probability without the text."""


def topic_fits(topics: Topics, text: str, windows: Sequence[Window], spots: Sequence[Spot]) -> list[tuple[float, ...]]:
    """For each spot, how well each of its senses fits the rest of its window, from -1 to 1; 0 if nothing is known.

    Args:
        topics: the vectors.
        text: the text.
        windows: those in which it is read, as `Encoder.windows` gives them.
        spots: all short forms of the text, ordered by their start.
    """
    place = {window: n for n, window in enumerate(windows)}
    held = [home_window(windows, spot.start, spot.end) for spot in spots]
    homes = [-1 if window is None else place[window] for window in held]
    vectors = [topics.of_senses(spot.senses) for spot in spots]
    company = [
        topics.company(vector, np.exp(spot.log_priors).tolist()) for vector, spot in zip(vectors, spots, strict=True)
    ]
    starts = np.array([spot.start for spot in spots], np.int64)
    words, rows = _words_between(topics, text, [spot for spot in spots if spot.senses])
    found: list[tuple[float, ...]] = [(0.0,) * len(spot.senses) for spot in spots]
    for n in sorted(set(homes) - {-1}):
        window = windows[n]
        inside = [
            m
            for m in range(*np.searchsorted(starts, window).tolist())
            if 0 <= homes[m] <= n and spots[m].end <= window.end
        ]
        total = topics.of_words(rows[slice(*np.searchsorted(words, window).tolist())])
        for m in inside:
            total = total + company[m]
        for m in inside:
            if homes[m] == n:
                found[m] = fits(vectors[m], total - company[m])
    return found


def _words_between(topics: Topics, text: str, spots: Sequence[Spot]) -> tuple[np.ndarray, np.ndarray]:
    """The words that belong to no spot, as `Topics.words_of` gives them."""
    words, rows = topics.words_of(text)
    ends = np.array([spot.end for spot in spots], np.int64)
    starts = np.array([spot.start for spot in spots], np.int64)
    if not len(words) or not len(spots):
        return words, rows
    before = np.searchsorted(starts, words, side="right") - 1
    free = (before < 0) | (words >= np.maximum.accumulate(ends)[before])
    return words[free], rows[free]
