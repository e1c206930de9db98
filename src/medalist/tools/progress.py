"""Progress of long-running work: a bar on a terminal, plain lines when the output is a file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

console = Console(stderr=True, highlight=False)
"""Progress and messages go to standard error; results go to standard output."""


@contextmanager
def tracking(label: str, total: int) -> Iterator[Callable[..., None]]:
    """Show progress. Call the yielded function with the number of items done; `note="..."` is shown next to the bar."""
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[note]}"),
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


def say(text: str) -> None:
    """Print a message to standard error."""
    console.print(text)
