"""Builds what a model reads: the text with known short forms written out, and questions about the others.

"SpO2 93% on RA, MTX weekly" tells a small model less than "oxygen saturation 93% on RA, methotrexate weekly". Each
window is rewritten separately, from the answers in it and in earlier windows, so text appended to a note changes no
answer of an earlier full window.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ..data.inventory import Inventory
from ..data.passages import Passage
from .prompt import Encoder, Layout
from .windows import Window, home_window


class Written(NamedTuple):
    """A short form in a text, and the long form to write in its place."""

    start: int
    end: int
    long_form: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Rewritten:
    """A window of a passage in which known answers are written out."""

    passage: Passage
    """The window, with the mentions to ask about, and the id of the whole passage."""
    numbers: tuple[int, ...]
    """For each of these mentions, its index in the whole passage."""


def rewritten(
    passage: Passage, windows: Sequence[Window], *, written: Iterable[Written], asked: Collection[int]
) -> Iterator[Rewritten]:
    """Yield the rewritten windows of a passage that have a mention to ask about.

    Args:
        passage: the passage.
        windows: the windows in which it is read, from `Encoder.windows`.
        written: the answers to write out, none of them about a mention in `asked`.
        asked: indices of the mentions to ask about; those that no window contains are left out.
    """
    place = {window: n for n, window in enumerate(windows)}

    def home(start: int, end: int) -> int | None:
        window = home_window(windows, start, end)
        return None if window is None else place[window]

    spans = sorted(written)
    starts = [span.start for span in spans]
    homes = [home(span.start, span.end) for span in spans]
    at_home: dict[int, list[int]] = {}
    for number in sorted(asked):
        mention = passage.mentions[number]
        if (at := home(mention.start, mention.end)) is not None:
            at_home.setdefault(at, []).append(number)
    for at, numbers in sorted(at_home.items()):
        window = windows[at]
        inside = range(bisect_left(starts, window.start), bisect_left(starts, window.end))
        here = [spans[n] for n in inside if (own := homes[n]) is not None and own <= at and spans[n].end <= window.end]
        yield _written_out(passage, window, here, numbers)


def layouts_of(parts: Iterable[Rewritten], encoder: Encoder, inventory: Inventory) -> Iterator[Layout]:
    """The trees of rewritten windows; `mentions` are indices in the whole passage."""
    for part in parts:
        for layout in encoder.encode(part.passage, inventory):
            yield replace(layout, mentions=tuple(part.numbers[n] for n in layout.mentions))


def _written_out(passage: Passage, window: Window, written: Sequence[Written], numbers: Sequence[int]) -> Rewritten:
    """The window with long forms in place of short forms, and the mentions to ask about at their new positions."""
    pieces: list[str] = []
    length, at = 0, window.start

    def add(piece: str) -> None:
        nonlocal length
        pieces.append(piece)
        length += len(piece)

    mentions, kept = [], []
    spots = [(passage.mentions[n].start, passage.mentions[n].end, n, "") for n in numbers]
    spots += [(start, end, -1, long_form) for start, end, long_form in written]
    for start, end, number, long_form in sorted(spots):
        if start < at:  # overlaps the previous one
            continue
        add(passage.text[at:start])
        if number >= 0:
            mentions.append(replace(passage.mentions[number], start=length, end=length + end - start))
            kept.append(number)
        add(long_form if number < 0 else passage.text[start:end])
        at = end
    add(passage.text[at : window.end])
    found = replace(passage, text="".join(pieces), mentions=tuple(mentions))
    return Rewritten(passage=found, numbers=tuple(kept))
