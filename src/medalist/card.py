"""The model card: `README.md` beside a run's weights, written from what was recorded and measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from .files import replacing

if TYPE_CHECKING:
    from .export import Export
    from .runs import Run


def write_card(run: Run) -> Path | None:
    """Write the card of a trained run with the results it has so far; None before training has ended."""
    if run.tuned is None or "training" not in run.record:
        return None
    with replacing(run.tuned / "README.md") as file:
        file.write(card_text(run))
    return run.tuned / "README.md"


def card_text(run: Run, export: Export | None = None) -> str:
    """The card of a trained run's adapter, or of weights that were exported from it."""
    evaluations = [
        (path.parent.name, json.loads(path.read_text(encoding="utf-8")))
        for path in sorted(run.folder.glob("evaluation/*/metrics.json"))
    ]
    lora = run.recipe.training.method == "lora" and export is None
    return (
        template_environment()
        .get_template("card.md")
        .render(run=run, record=run.record, lora=lora, evaluations=evaluations, export=export)
    )


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


def share(cell: dict[str, Any] | float | None) -> str:
    """A fraction as per cent: "83.5 %"; a dash where there is none."""
    if cell is None:
        return "–"
    return f"{100 * (cell['value'] if isinstance(cell, dict) else cell):.1f} %"


def interval(cell: dict[str, Any] | None) -> str:
    """A 95 % interval in per cent: "79.0–87.6"."""
    return "" if cell is None else f"{100 * cell['low']:.1f}–{100 * cell['high']:.1f}"
