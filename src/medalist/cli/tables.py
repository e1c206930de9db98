"""Helpers for terminal tables, shared by `result_tables`, `data_tables` and `share_tables`."""

from __future__ import annotations

from rich.table import Table

from ..evaluation.shares import Difference, Share


def share_text(cell: Share | None) -> str:
    """A fraction with its 95 % interval, in percent: "83.5 (79.0-87.6)"."""
    if cell is None:
        return "-"
    return f"{100 * cell['value']:.1f} ({100 * cell['low']:.1f}-{100 * cell['high']:.1f})"


def gain_text(difference: Difference) -> str:
    """Tuned minus base in points, with its p value: "+12.2 (p=0.002)"."""
    return f"{100 * difference['value']:+.1f} (p={difference['p']:.2g})"


def new_table(title: str, *columns: str) -> Table:
    """Make an empty table; the first column is for names, the others are for figures."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        # In a wide table, names wrap so that figures are not cut off.
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=number == 0 and len(columns) < 6)
    return table
