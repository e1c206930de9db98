"""How well each sense of a mention fits the topic of the text around it, window by window.

No model is used: only the words of the text and the senses of its other short forms, weighted by distance. First, the
senses of each short form are weighted by their prior; then by prior and fit, and the fits are computed again. Only the
window in which a mention is answered counts, so text appended to a note changes no answer of an earlier full window.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data.topics import Topics, Vectors, fits
from .windows import Window, home_window

HALF = 40
"""Distance in characters at which a contribution counts half."""
OTHER_SENTENCE = 0.5
"""Factor for contributions from another line or sentence."""
MEANT = (0.85, 14.0)
"""Weights of log-prior and fit in the probabilities of the neighbours' senses."""
_SENTENCE_END = re.compile(r"\n|[.;!?](?=\s)")

Places = NDArray[np.int64]


class Spot(NamedTuple):
    """A short form in a text."""

    start: int
    end: int
    senses: Sequence[str]
    """The long forms that it may have here."""
    log_priors: Sequence[float]
    """Log-prior of each of these senses."""
    definition: tuple[str, int, int] | None = None
    """The long form that the text defines, with start and end of the definition; used in windows that contain it."""


class _Seen(NamedTuple):
    """A spot in a window, with ``C`` senses."""

    senses: Sequence[str]
    log_priors: Sequence[float]
    vectors: Vectors
    """``[C, D]``"""


def topic_fits(topics: Topics, text: str, windows: Sequence[Window], spots: Sequence[Spot]) -> list[tuple[float, ...]]:
    """For each spot, how well each of its senses fits the rest of its window, from -1 to 1; 0 if nothing is known.

    Args:
        topics: the vectors.
        text: the text.
        windows: the windows in which it is read, from `Encoder.windows`.
        spots: all short forms of the text, sorted by start.

    Returns:
        A value for each of a spot's senses, or a single value for a spot that is defined in its window.
    """
    place = {window: n for n, window in enumerate(windows)}
    held = [home_window(windows, spot.start, spot.end) for spot in spots]
    homes = [-1 if window is None else place[window] for window in held]
    listed = [_Seen(spot.senses, spot.log_priors, topics.of_senses(spot.senses)) for spot in spots]
    starts = np.array([spot.start for spot in spots], np.int64)
    words, rows = _words_between(topics, text, [spot for spot in spots if spot.senses])
    sentences = np.array([match.end() for match in _SENTENCE_END.finditer(text)], np.int64)
    found: list[tuple[float, ...]] = [(0.0,) * len(spot.senses) for spot in spots]
    for n in sorted(set(homes) - {-1}):
        window = windows[n]
        inside = [m for m in range(*np.searchsorted(starts, window).tolist()) if spots[m].end <= window.end]
        at, around = starts[inside], slice(*np.searchsorted(words, window).tolist())
        told = _nearness(at, words[around], sentences) @ topics.of_words(rows[around])
        here = [_defined(topics, spots[m], window) or listed[m] for m in inside]
        nearness = _nearness(at, at, sentences) * _others(here)
        for m, fit in zip(inside, _fits_of_all(topics, here, nearness, told), strict=True):
            if homes[m] == n:
                found[m] = fit
    return found


def _defined(topics: Topics, spot: Spot, window: Window) -> _Seen | None:
    if spot.definition is None or spot.definition[1] < window.start or spot.definition[2] > window.end:
        return None
    long_form = spot.definition[0]
    return _Seen((long_form,), (0.0,), topics.of_senses([long_form]))


def _others(spots: Sequence[_Seen]) -> Vectors:
    """``[M, M]``: 0 for a spot itself and for others with the same senses, so none supports itself; else 1."""
    number: dict[tuple[str, ...], int] = {}
    kinds = np.array([number.setdefault(tuple(spot.senses), len(number)) for spot in spots])
    others: Vectors = (kinds[:, None] != kinds).astype(np.float32)
    return others


def _fits_of_all(topics: Topics, spots: Sequence[_Seen], nearness: Vectors, told: Vectors) -> list[tuple[float, ...]]:
    """The fits of the M spots in a window.

    Args:
        topics: the vectors.
        spots: the spots.
        nearness: ``[M, M]``, weight of each spot for each other.
        told: ``[M, D]``, contribution of the words to each spot's context.
    """
    found: list[tuple[float, ...]] = []
    for step in range(2):
        shares = [_shares(spot, found[m]) if step else np.exp(spot.log_priors).tolist() for m, spot in enumerate(spots)]
        company = [topics.company(spot.vectors, share) for spot, share in zip(spots, shares, strict=True)]
        contexts = nearness @ np.stack(company) + told
        found = [fits(spot.vectors, context) for spot, context in zip(spots, contexts, strict=True)]
    return found


def _shares(spot: _Seen, fit: Sequence[float]) -> list[float]:
    """The probability of each sense of a spot, from its prior and its fit."""
    prior, topic = MEANT
    scores = prior * np.array(spot.log_priors) + topic * np.array(fit)
    weights = np.exp(scores - scores.max(initial=-np.inf))
    shares: list[float] = (weights / weights.sum()).tolist()
    return shares


def _nearness(here: Places, there: Places, sentences: Places) -> Vectors:
    """``[M, N]``: weights of N positions for M positions, from the characters and sentence ends between them."""
    far = np.abs(here[:, None] - there)
    same = np.searchsorted(sentences, here, side="right")[:, None] == np.searchsorted(sentences, there, side="right")
    nearness: Vectors = (np.where(same, 1, OTHER_SENTENCE) / (1 + far / HALF)).astype(np.float32)
    return nearness


def _words_between(topics: Topics, text: str, spots: Sequence[Spot]) -> tuple[Places, Places]:
    """The words outside all spots, as `Topics.words_of` returns them."""
    words, rows = topics.words_of(text)
    ends = np.array([spot.end for spot in spots], np.int64)
    starts = np.array([spot.start for spot in spots], np.int64)
    if not len(words) or not len(spots):
        return words, rows
    before = np.searchsorted(starts, words, side="right") - 1
    free = (before < 0) | (words >= np.maximum.accumulate(ends)[before])
    return words[free], rows[free]
