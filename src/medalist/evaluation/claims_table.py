"""The claims table: each row says what two models did on the same questions, the change, and a verdict from its interval."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from ..data.items import Item, passage_numbers
from .metrics import MODELS, Estimate, Floats, PassageBootstrap

Better = Literal["higher", "lower"]
Before = Literal["base", "parent"]
"""What the tuned model is compared with."""
_FORMAT = {"%": (100, 1), "words": (1, 1), "perplexity": (1, 1), "s": (1, 2)}
"""Unit -> scale and decimals."""


def cell_text(row: dict[str, Any], model: str) -> str:
    """A model's figure in a row of the table, with its 95 % interval: "83.5 (79.0–87.6)".

    Of a row that compares with the parent, the column "base" shows the parent, and says so.
    """
    name = before(row) if model == "base" else model
    cell, scale, digits = row[name], *_FORMAT[row["unit"]]
    value, low, high = (f"{scale * cell[end]:.{digits}f}" for end in ("value", "low", "high"))
    return f"{value} ({low}–{high}){', parent' if name == 'parent' else ''}"


def change_text(row: dict[str, Any]) -> str:
    """What changed, with its interval; of a perplexity, by how much it changed in per cent."""
    difference = row["difference"]
    scale, digits = (100, 1) if row["unit"] == "perplexity" else _FORMAT[row["unit"]]
    value, low, high = (f"{scale * difference[end]:+.{digits}f}" for end in ("value", "low", "high"))
    return f"{value}{' %' if row['unit'] == 'perplexity' else ''} ({low} to {high})"


def before(row: dict[str, Any]) -> str:
    """The model that a row compares the tuned one with: "base", or "parent" of a run that was tuned further."""
    return str(row.get("before", "base"))


def make_row(
    claim: str,
    metric: str,
    cells: dict[str, Any],
    difference: tuple[Estimate, float] | dict[str, Any] | None,
    *,
    unit: str = "%",
    better: Better = "higher",
    baseline: str | None = None,
) -> dict[str, Any]:
    """One line of the table; `cells` and `difference` as metrics.json keeps them, or as the bootstrap returns them."""
    if isinstance(difference, tuple):
        difference = {**difference[0].record(), "p": difference[1]}
    assert difference is not None
    return {
        "claim": claim,
        "metric": metric,
        "unit": unit,
        "better": better,
        **{name: cell.record() if isinstance(cell, Estimate) else cell for name, cell in cells.items()},
        "baseline": baseline,
        "difference": difference,
        "verdict": verdict(difference, better),
    }


def verdict(difference: dict[str, Any], better: Better) -> str:
    """Whether the 95 % interval of the change leaves out zero, and on which side: better, worse or not shown."""
    low, high = difference["low"], difference["high"]
    if better == "lower":
        low, high = -high, -low
    return "better" if low > 0 else "worse" if high < 0 else "not shown"


def row_of_values(
    claim: str, metric: str, items: Sequence[Item], values: dict[str, Floats], resamples: int, **about: Any
) -> dict[str, Any]:
    """A row from ``values[M]`` of each model on the same mentions."""
    bootstrap = PassageBootstrap(passage_numbers(items), resamples=resamples)
    cells = {name: bootstrap.share(found) for name, found in values.items()}
    return make_row(claim, metric, cells, bootstrap.difference(values["base"], values["tuned"]), **about)


def slice_row(
    claim: str, metric: str, cells: dict[str, Any] | None, baselines: Iterable[str], *, against: Before = "base"
) -> dict[str, Any]:
    """A row from a slice of an evaluation, with the strongest baseline there; empty without such mentions."""
    if cells is None:
        return {}
    strongest = max(baselines, key=lambda baseline: float(cells[baseline]["value"]))
    named = f"{100 * cells[strongest]['value']:.1f} ({strongest})"
    models: dict[str, Any] = {name: cells[name] for name in MODELS if name in cells}
    difference = cells["difference" if against == "base" else "from_parent"]
    row = make_row(claim, metric, models, difference, baseline=named)
    return row if against == "base" else {**row, "before": against}


CLAIMS = {
    "accuracy": "Better accuracy",
    "hallucination": "Fewer hallucinations",
    "relevance": "More relevant answers",
    "adaptability": "Adapts to sub-domains",
    "safety": "Ethical footing: harmful mistakes, and knowing when not to answer",
    "cost": "What the article does not mention: the price",
}
"""What the article claims, in our words, by the key that the rows carry."""


def claims_by_heading(claims: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The rows under the claims that they test, in the article's order."""
    rows = claims["rows"]
    grouped = {heading: [row for row in rows if row["claim"] == claim] for claim, heading in CLAIMS.items()}
    return {heading: found for heading, found in grouped.items() if found}


def read_claims(folder: Path) -> dict[str, Any] | None:
    """The claims table in an evaluation's folder; None if there is none, or other weights or data were evaluated since."""
    path = folder / "claims.json"
    if not path.exists():
        return None
    claims: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    about = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["about"]
    return claims if claims["keys"] == about["keys"] else None
