"""What the report, the card and the data card have in common: their templates, and figures as they are printed."""

from __future__ import annotations

from typing import TypedDict

from jinja2 import Environment, PackageLoader, StrictUndefined


class Measured(TypedDict):
    """What is printed of a figure: itself and its 95 % interval."""

    value: float
    low: float
    high: float


def template_environment() -> Environment:
    """Where the package's templates are, HTML escaped, with figures formatted as everywhere."""
    environment = Environment(
        loader=PackageLoader("medalist"),
        autoescape=lambda name: (name or "").endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"share": share, "interval": interval}
    return environment


def share(cell: Measured | float | None) -> str:
    """A fraction as per cent: "83.5 %"; a dash where there is none."""
    if cell is None:
        return "–"
    return f"{100 * (cell if isinstance(cell, int | float) else cell['value']):.1f} %"


def interval(cell: Measured | None) -> str:
    """A 95 % interval in per cent: "79.0–87.6"."""
    return "" if cell is None else f"{100 * cell['low']:.1f}–{100 * cell['high']:.1f}"


def points(difference: Measured) -> str:
    """A gain in points of per cent with its interval: "+12.2 (8.0 to 16.1)"."""
    value, low, high = (f"{100 * end:+.1f}" for end in (difference["value"], difference["low"], difference["high"]))
    return f"{value} ({low} to {high})"
