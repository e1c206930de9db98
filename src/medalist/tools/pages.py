"""Code shared by the report, the card and the data card: the template environment and number formatting."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, TypedDict

from .progress import visible

if TYPE_CHECKING:
    from jinja2 import Environment


class Measured(TypedDict):
    """A figure to be printed: its value and 95 % interval."""

    value: float
    low: float
    high: float


def template_environment() -> Environment:
    """The Jinja environment for the package's templates, with HTML escaping and the shared number filters."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # slow to import, and not needed to expand a text

    environment = Environment(
        loader=PackageLoader("medalist"),
        autoescape=lambda name: (name or "").endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,  # pages are also read in a terminal
    )
    environment.filters |= {"per_cent": per_cent, "interval": interval, "md": markdown, "shell": shell_word}
    return environment


def markdown(text: object) -> str:
    """Escape a name from data for a line of Markdown, so that none of it acts as markup, HTML or the end of a cell."""
    shown = " ".join(visible(str(text)).split())
    return re.sub(r"([\\`*_{}\[\]<>|#~])", r"\\\1", shown).replace("&", "&amp;")


def shell_word(text: object) -> str:
    """Quote a name from data as one word of a shell command in a code block."""
    return shlex.quote(" ".join(visible(str(text)).split()))


def per_cent(cell: Measured | float | None) -> str:
    """A fraction as a percentage, "83.5 %"; a dash if there is no value."""
    if cell is None:
        return "–"
    return f"{100 * (cell if isinstance(cell, int | float) else cell['value']):.1f} %"


def interval(cell: Measured | None) -> str:
    """A 95 % interval in per cent: "79.0–87.6"."""
    return "" if cell is None else f"{100 * cell['low']:.1f}–{100 * cell['high']:.1f}"


def points(difference: Measured) -> str:
    """A gain in percentage points with its interval: "+12.2 (8.0 to 16.1)"."""
    value, low, high = (f"{100 * end:+.1f}" for end in (difference["value"], difference["low"], difference["high"]))
    return f"{value} ({low} to {high})"
