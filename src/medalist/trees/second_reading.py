"""A second reading: what the first one is sure of is written out, and the model is asked again about the rest.

"SpO2 93% on RA, MTX weekly" says less to a small model than "oxygen saturation 93% on RA, methotrexate weekly". Each
window is rewritten by itself, from the answers in it and in the windows before it, so that text appended to a note
changes no answer of an earlier full window here either.
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
    """A short form of a text, and the long form to write in its place."""

    start: int
    end: int
    long_form: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Rewritten:
    """A window of a passage in which sure answers are written out."""

    passage: Passage
    """The window, with the mentions to be asked about again, and the id of the whole passage."""
    numbers: tuple[int, ...]
    """For each of its mentions, its index in the whole passage."""


def rewritten(
    passage: Passage, windows: Sequence[Window], *, written: Iterable[Written], unsure: Collection[int]
) -> Iterator[Rewritten]:
    """The windows of a passage that have something written out and something to ask again.

    Args:
        passage: the passage.
        windows: those in which it was read, as `Encoder.windows` gives them.
        written: the answers to write out, which are not about `unsure` mentions.
        unsure: indices of the mentions to ask again.
    """
    place = {window: n for n, window in enumerate(windows)}

    def home(start: int, end: int) -> int | None:
        window = home_window(windows, start, end)
        return None if window is None else place[window]

    spans = sorted(written)
    starts = [span.start for span in spans]
    homes = [home(span.start, span.end) for span in spans]
    asked: dict[int, list[int]] = {}
    for number in sorted(unsure):
        mention = passage.mentions[number]
        if (at := home(mention.start, mention.end)) is not None:
            asked.setdefault(at, []).append(number)
    for at, numbers in sorted(asked.items()):
        window = windows[at]
        inside = range(bisect_left(starts, window.start), bisect_left(starts, window.end))
        here = [spans[n] for n in inside if (own := homes[n]) is not None and own <= at and spans[n].end <= window.end]
        if here:
            yield _written_out(passage, window, here, numbers)


def layouts_again(parts: Iterable[Rewritten], encoder: Encoder, inventory: Inventory) -> Iterator[Layout]:
    """The trees of rewritten windows; `mentions` are indices in the whole passage, as in a first reading."""
    for part in parts:
        for layout in encoder.encode(part.passage, inventory):
            yield replace(layout, mentions=tuple(part.numbers[n] for n in layout.mentions))


def _written_out(passage: Passage, window: Window, written: Sequence[Written], numbers: Sequence[int]) -> Rewritten:
    """The window with long forms in place of short forms, and the other mentions where they then are."""
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
        if start < at:  # it overlaps the one before
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
