"""What the report, the card and the data card have in common: their templates, and figures as they are printed."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def template_environment() -> Environment:
    """Where the package's templates are, HTML escaped, with figures formatted as everywhere."""
    environment = Environment(
        loader=PackageLoader("medalist"),
        autoescape=lambda name: (name or "").endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"per_cent": per_cent, "interval": interval}
    return environment


def per_cent(cell: dict[str, Any] | float | None) -> str:
    """A fraction as per cent: "83.5 %"; a dash where there is none."""
    if cell is None:
        return "–"
    return f"{100 * (cell['value'] if isinstance(cell, dict) else cell):.1f} %"


def interval(cell: dict[str, Any] | None) -> str:
    """A 95 % interval in per cent: "79.0–87.6"."""
    return "" if cell is None else f"{100 * cell['low']:.1f}–{100 * cell['high']:.1f}"


def points(difference: dict[str, Any]) -> str:
    """A gain in points of per cent with its interval: "+12.2 (8.0 to 16.1)"."""
    value, low, high = (f"{100 * difference[end]:+.1f}" for end in ("value", "low", "high"))
    return f"{value} ({low} to {high})"
