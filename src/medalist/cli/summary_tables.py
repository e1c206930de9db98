"""What `medalist evaluate` prints: the figures that one needs; `result_tables` has every table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.console import RenderableType
from rich.table import Table

from ..evaluation.results import ChoiceMetrics, Metrics
from ..evaluation.shares import FRESH, Difference, Share, Slice, answerers, right, short_name
from ..tools.counts import counted
from .result_tables import adaptation_table, caveat, offered_table, remarks, terms
from .tables import gain_text, new_table, p_text, share_text, stacked

_NAMES = {"all": "among the listed"}
"""What the slice of all questions is called beside the one in which a model may decline."""


def summary_tables(metrics: Metrics) -> Iterator[RenderableType]:
    """An evaluation in short: a caveat, each answerer's accuracy, and what the tuned model declines and is sure of."""
    yield from caveat(metrics)
    yield _accuracy_table(metrics)
    if metrics["kind"] == "choices":
        yield from _macro_f1(metrics)
    if metrics["kind"] == "short forms" and "calibrated" in metrics:
        yield offered_table(metrics["calibrated"])
    yield from remarks(metrics)
    if metrics["kind"] == "short forms" and "adaptation" in metrics:
        yield adaptation_table(metrics["adaptation"])


def _accuracy_table(metrics: Metrics) -> Table:
    """Models, what the tuned one gained, and baselines; a column for each part of the questions."""
    parts = {name: metrics["slices"].get(name) for name in ("all", "no leak", FRESH)}
    calibrated: dict[str, Slice] = {}
    names: Mapping[str, str] = {}
    if metrics["kind"] == "short forms":
        parts["may decline"], names = metrics["expansion"]["all"], _NAMES
        if "calibrated" in metrics:
            calibrated = metrics["calibrated"]["slices"] | {"may decline": metrics["calibrated"]["expansion"]["all"]}
    columns = {name: cells for name, cells in parts.items() if cells is not None}
    asked, of, where = terms(metrics)
    counts = metrics["counts"]
    table = new_table(
        f"Right, % (95 % interval): {counted(counts['choice'], asked)} {of} {counted(counts['passages'], where)}",
        "",
        *(f"{names.get(name, name)} ({cells['count']:,})" for name, cells in columns.items()),
        whole=True,
    )

    def add(label: str, answerer: str, parts: Mapping[str, Slice]) -> None:
        found = [parts.get(name) for name in columns]
        cells = [_of(answerer, one) if one else None for one in found]
        shares = [share_text(cell) if cell else "" for cell in cells]
        table.add_row(label, *(map(stacked, shares) if len(columns) > 3 else shares))
        if answerer == "tuned":
            gains = [_gains(one) if one else {} for one in found]
            for minus in dict.fromkeys(name for one in gains for name in one):
                ahead = [one.get(minus) for one in gains]
                table.add_row(minus, *(f"{gain_text(one)}, p {p_text(one)}" if one else "" for one in ahead))

    for model in metrics["models"]:
        add(model, model, columns)
    if calibrated:
        add("tuned, calibrated", "tuned", calibrated)
    for name in dict.fromkeys(short_name(one) for cells in columns.values() for one in answerers(cells)):
        if name not in metrics["models"]:
            add(name, name, columns)
    return table


def _of(name: str, cells: Slice) -> Share | None:
    """The share of the answerer with this short name."""
    return next((right(cells, one) for one in answerers(cells) if short_name(one) == name), None)


def _gains(cells: Slice) -> dict[str, Difference]:
    """What the tuned model is ahead of others, by the name of the row."""
    found: dict[str, Difference | None] = {
        "  minus base": cells.get("difference"),
        "  minus parent": cells.get("from_parent"),
        "  minus best baseline": cells.get("from_baseline"),
    }
    return {name: gain for name, gain in found.items() if gain is not None}


def _macro_f1(metrics: ChoiceMetrics) -> Iterator[str]:
    """A line with each model's macro F1, if all questions offer the same answers."""
    shares = [
        f"{name} {share_text(figures['macro_f1'])}"
        for name, figures in metrics["models"].items()
        if "macro_f1" in figures
    ]
    if shares:
        yield f"Macro F1, %: {', '.join(shares)}"
