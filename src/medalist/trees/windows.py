"""Cuts a long text at sentence boundaries, deterministically: into overlapping windows, or down to its end."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

_GAP = re.compile(r"\s+")


class Window(NamedTuple):
    """A stretch of a text, in characters."""

    start: int
    end: int


def text_windows(text: str, token_starts: Sequence[int], *, limit: int) -> list[Window]:
    """Overlapping windows of at most `limit` tokens that cover the text; they overlap by half where sentences allow.

    Windows are laid out from the left and depend only on their content, so appending text changes only the last one.
    A sentence longer than half a window is cut between words.

    Args:
        text: the whole text.
        token_starts: the character offset at which each of its tokens begins, ascending.
        limit: tokens per window, at least 2.
    """
    if len(token_starts) <= limit:
        return [Window(0, len(text))]
    cuts = _cuts(text, token_starts, limit // 2)
    windows: list[Window] = []
    start = 0
    while True:
        first = bisect_left(token_starts, cuts[start])
        end = start + 1
        while end + 1 < len(cuts) and bisect_left(token_starts, cuts[end + 1]) - first <= limit:
            end += 1
        windows.append(Window(cuts[start], cuts[end]))
        if end + 1 == len(cuts):
            return windows
        middle = start + 1
        while middle + 1 < end and bisect_left(token_starts, cuts[middle]) - first < limit // 2:
            middle += 1
        start = middle


def home_window(windows: Sequence[Window], start: int, end: int) -> Window | None:
    """Of the windows that hold characters `start` to `end`, the one in which they are most central; None if none does.

    Args:
        windows: as `text_windows` gives them.
        start: first character of what is looked for.
        end: one past its last character.
    """
    first = bisect_left(windows, end, key=lambda window: window.end)  # starts and ends are both ascending
    holding = windows[first : bisect_right(windows, start, key=lambda window: window.start)]
    return min(holding, key=lambda window: (abs(window.start + window.end - start - end), window.start), default=None)


def text_tail(text: str, token_starts: Sequence[int], *, limit: int) -> Window:
    """The end of a text, as many whole sentences as fit in `limit` tokens; arguments as for `text_windows`.

    The end is where an abstract has its results, and an exam case its question. If the last sentence alone is too long,
    its last words are kept.
    """
    # Cuts are at most half a window apart, so at least one is close enough to the end.
    cuts = _cuts(text, token_starts, limit // 2)
    return Window(next(cut for cut in cuts if len(token_starts) - bisect_left(token_starts, cut) <= limit), len(text))


def _cuts(text: str, token_starts: Sequence[int], longest: int) -> list[int]:
    """Offsets where a window may begin or end: sentence starts, and word starts inside sentences that are too long."""
    gaps = [match for match in _GAP.finditer(text) if match.end() < len(text)]
    words = [gap.end() for gap in gaps]
    ends = [gap.end() for gap in gaps if "\n" in gap[0] or (gap.start() and text[gap.start() - 1] in ".!?;")]
    sentences = [0, *ends, len(text)]
    cuts = [0]
    for end in sentences[1:]:
        while bisect_left(token_starts, end) - bisect_left(token_starts, cuts[-1]) > longest:
            target = token_starts[bisect_left(token_starts, cuts[-1]) + longest]
            inside = bisect_left(words, target + 1) - 1
            cut = words[inside] if inside >= 0 and words[inside] > cuts[-1] else target
            if cut <= cuts[-1]:
                break
            cuts.append(cut)
        if end > cuts[-1]:
            cuts.append(end)
    return cuts
