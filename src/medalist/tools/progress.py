"""Progress of long-running work: a bar on a terminal, plain lines when the output is a file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleDimensions, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.text import Text

_VISIBLE = {
    **{code: 0x2400 + code for code in range(32) if code not in (9, 10)},
    0x7F: 0x2421,
    **dict.fromkeys(
        [*range(0x80, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD
    ),
}
"""Control character -> the visible character shown for it; those of writing direction included."""


def visible(text: str) -> str:
    """Replace control characters, except tab and line feed, by visible ones, so that terminals show the text as is."""
    return text.translate(_VISIBLE)


_NARROWEST = 20
"""Narrowest plausible width of a terminal, in columns."""
_UNBOUNDED = 1_000_000_000
"""Width in columns where there is no terminal, so that no line of a file or pipe is wrapped."""


class PlainConsole(Console):
    """A console that shows data literally: markup, emoji codes and control characters have no effect."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **settings)

    @property
    def size(self) -> ConsoleDimensions:
        """Size in columns and lines; an implausible width, such as `COLUMNS=0`, is replaced.

        Without a terminal, and without a width in `COLUMNS`, lines are as long as they need to be.
        """
        size = super().size
        if self._width is None and not self.is_terminal and "COLUMNS" not in self._environ:
            return ConsoleDimensions(_UNBOUNDED, size.height)
        return size if size.width >= _NARROWEST else ConsoleDimensions(80, size.height)

    @size.setter
    def size(self, new: tuple[int, int]) -> None:
        self._width, self._height = new

    def render_str(self, text: str, **settings: Any) -> Text:
        """Convert a string to a `Text`, as `Console` does, with control characters made visible."""
        return super().render_str(visible(text), **settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render anything; control characters that a renderable adds from its own data are made visible here."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


console = PlainConsole(stderr=True)
"""Progress and messages go to standard error; results go to standard output."""


@contextmanager
def tracking(label: str, total: int) -> Iterator[Callable[..., None]]:
    """Show progress. Call the yielded function with the number of items done; `note="..."` is shown next to the bar."""
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
        )
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(label, total=total, note="")

            def advance(count: int = 1, note: str | None = None) -> None:
                if note is not None:
                    bar.update(task, note=note)
                bar.update(task, advance=count)

            yield advance
        return
    began = shown = time.monotonic()
    done, remark = 0, ""

    def report(count: int = 1, note: str | None = None) -> None:
        nonlocal done, shown, remark
        done, remark = done + count, remark if note is None else note
        now = time.monotonic()
        if now - shown >= 15 or done == total:
            shown = now
            console.print(f"{label}: {done:,}/{total:,} in {now - began:.0f} s  {remark}".rstrip())

    yield report


def say(text: str | Text) -> None:
    """Print a message to standard error."""
    console.print(text)
