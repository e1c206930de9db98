"""Helpers for terminal tables, shared by the other modules of tables."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from rich.table import Table

from ..evaluation.shares import Difference, Share
from ..tools.counts import counted


def share_text(cell: Share | None) -> str:
    """A fraction with its 95 % interval, in percent: "83.5 (79.0–87.6)"."""
    if cell is None:
        return "–"
    return f"{100 * cell['value']:.1f} ({100 * cell['low']:.1f}–{100 * cell['high']:.1f})"


def stacked(figure: str) -> str:
    """A figure above its interval, for a table of many columns: "83.5", below it "(79.0–87.6)"."""
    return figure.replace(" (", "\n(", 1)


def gain_text(difference: Difference) -> str:
    """Tuned minus base in points: "+12.2"."""
    return f"{100 * difference['value']:+.1f}"


def p_text(difference: Difference) -> str:
    """The p value of a difference: "0.002"."""
    return f"{difference['p']:.2g}"


def quarantined(rows: Mapping[str, int]) -> list[str]:
    """A line for each reason to set rows aside."""
    return [f"{counted(count, 'row')} quarantined: {reason}" for reason, count in rows.items()]


def new_table(title: str, *columns: str, whole: bool = False) -> Table:
    """Make an empty table.

    Args:
        title: the table's title.
        columns: the first is for names, the others are for figures.
        whole: in a narrow terminal, names wrap, never figures.
    """
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    table.min_width = min(len(title), 80)
    for number, column in enumerate(columns):
        # In a wide table, names wrap so that figures are not cut off.
        name = number == 0
        table.add_column(
            "\n".join(part for line in column.split("\n") for part in textwrap.wrap(line, 16))
            if whole and not name
            else column,
            justify="left" if name else "right",
            no_wrap=not name if whole else name and len(columns) < 6,
        )
    return table
