"""The shape of an evaluation's results, and how they are picked from."""

from __future__ import annotations

from typing import Any


def distinct_slices(slices: dict[str, Any]) -> dict[str, Any]:
    """The slices worth showing: one that equals another tells nothing new, but that nothing leaks is worth saying."""
    shown: dict[str, Any] = {}
    for name, cells in slices.items():
        if name == "no leak" or cells not in shown.values():
            shown[name] = cells
    return shown


def answerers(cells: dict[str, Any]) -> list[str]:
    """Whose answers a slice holds figures of: models, then baselines."""
    return [name for name in cells if name not in ("count", "difference", "from_parent", "from_baseline")]


def without_words(slices: dict[str, Any]) -> dict[str, Any]:
    """The slices whose names are the program's own; "subject: renal" is named by the data."""
    return {name: cells for name, cells in slices.items() if ": " not in name}
