"""The claims table: each row gives two models' figures on the same questions, the change, and a verdict on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from ..data.items import Item, passage_numbers
from .metrics import Floats, PassageBootstrap
from .results import Better, ClaimRow, Claims, Verdict
from .shares import Difference, Share, Slice, right, strongest_baseline

_FORMAT = {"%": (100, 1), "words": (1, 1), "perplexity": (1, 1), "s": (1, 2)}
"""Unit -> (scale, number of decimals)."""


def cell_text(row: ClaimRow, model: Literal["base", "tuned"]) -> str:
    """A model's figure in a row of the table, with its 95 % interval: "83.5 (79.0–87.6)".

    In a row that compares with the parent, the column "base" shows the parent's figure, marked as such.
    """
    from_parent = model == "base" and "before" in row
    cell, (scale, digits) = row["parent" if from_parent else model], _FORMAT[row["unit"]]
    value, low, high = (f"{scale * end:.{digits}f}" for end in (cell["value"], cell["low"], cell["high"]))
    return f"{value} ({low}–{high}){', parent' if from_parent else ''}"


def change_text(row: ClaimRow) -> str:
    """The change, with its interval; for perplexity, the relative change in per cent."""
    difference = row["difference"]
    scale, digits = (100, 1) if row["unit"] == "perplexity" else _FORMAT[row["unit"]]
    ends = (difference["value"], difference["low"], difference["high"])
    value, low, high = (f"{scale * end:+.{digits}f}" for end in ends)
    return f"{value}{' %' if row['unit'] == 'perplexity' else ''} ({low} to {high})"


def make_row(
    claim: str,
    metric: str,
    difference: Difference,
    *,
    base: Share,
    tuned: Share,
    unit: str = "%",
    better: Better = "higher",
    baseline: str | None = None,
) -> ClaimRow:
    """Build a row of the table, with the verdict on its difference."""
    return {
        "claim": claim,
        "metric": metric,
        "unit": unit,
        "better": better,
        "base": base,
        "tuned": tuned,
        "baseline": baseline,
        "difference": difference,
        "verdict": verdict(difference, better),
    }


def verdict(difference: Difference, better: Better) -> Verdict:
    """Whether the 95 % interval of the change excludes zero, and on which side: better, worse or not shown."""
    low, high = difference["low"], difference["high"]
    if better == "lower":
        low, high = -high, -low
    return "better" if low > 0 else "worse" if high < 0 else "not shown"


def row_of_values(
    claim: str,
    metric: str,
    items: Sequence[Item],
    values: Mapping[str, Floats],
    resamples: int,
    *,
    unit: str = "%",
    better: Better = "higher",
    baseline: str | None = None,
) -> ClaimRow:
    """A row computed from each model's ``values[M]`` on the same mentions."""
    bootstrap = PassageBootstrap(passage_numbers(items), resamples=resamples)
    base, tuned = bootstrap.share(values["base"]), bootstrap.share(values["tuned"])
    change = bootstrap.difference(values["base"], values["tuned"])
    assert base and tuned and change, "there are mentions"
    return make_row(
        claim,
        metric,
        change[0].difference(change[1]),
        base=base.record(),
        tuned=tuned.record(),
        unit=unit,
        better=better,
        baseline=baseline,
    )


def slice_row(claim: str, metric: str, cells: Slice, baselines: Iterable[str]) -> ClaimRow:
    """A row for one slice of an evaluation of base and tuned model, with the strongest baseline on that slice."""
    row = make_row(claim, metric, cells["difference"], base=right(cells, "base"), tuned=right(cells, "tuned"))
    return {**row, "baseline": _named(cells, baselines)}


def parent_row(claim: str, metric: str, cells: Slice, baselines: Iterable[str]) -> ClaimRow:
    """As `slice_row`, but the tuned model is compared with its parent."""
    change = cells["from_parent"]
    return {
        "claim": claim,
        "metric": metric,
        "unit": "%",
        "better": "higher",
        "base": right(cells, "base"),
        "parent": right(cells, "parent"),
        "tuned": right(cells, "tuned"),
        "baseline": _named(cells, baselines),
        "difference": change,
        "verdict": verdict(change, "higher"),
        "before": "parent",
    }


def _named(cells: Slice, baselines: Iterable[str]) -> str:
    """The strongest baseline of a slice, with its figure."""
    strongest = strongest_baseline(cells, baselines)
    return f"{100 * right(cells, strongest)['value']:.1f} ({strongest})"


CLAIMS = {
    "accuracy": "Better accuracy",
    "hallucination": "Fewer hallucinations",
    "relevance": "More relevant answers",
    "queries": "Answers to medical queries",
    "adaptability": "Adapts to sub-domains",
    "safety": "Ethical footing: harmful mistakes, and knowing when not to answer",
    "forgetting": "Forgetting: what the base could do before",
    "cost": "What the article does not mention: the price",
}
"""Key used in rows -> the article's claim in our words."""
NATURAL = "natural short forms: right"
"""How the metric of the row on natural short forms begins."""


def renamed(claims: Claims, names: Mapping[str, str]) -> Claims:
    """A table in which rows call the data of further evaluations by other names.

    Args:
        claims: the table.
        names: name of an evaluation's data -> the name to show.
    """

    def metric(row: ClaimRow) -> str:
        begins, _, data = row["metric"].removesuffix(")").rpartition(" (")
        return f"{begins} ({names[data]})" if row["metric"].endswith(")") and data in names else row["metric"]

    return {**claims, "rows": [{**row, "metric": metric(row)} for row in claims["rows"]]}


def claims_by_heading(claims: Claims) -> dict[str, list[ClaimRow]]:
    """The rows grouped under the claims that they test, in the article's order."""
    rows = claims["rows"]
    grouped = {heading: [row for row in rows if row["claim"] == claim] for claim, heading in CLAIMS.items()}
    return {heading: found for heading, found in grouped.items() if found}


def not_measured(claims: Claims) -> list[str]:
    """A line for each row that was not measured for lack of a file: what it would measure, and which file it needs."""
    lines = []
    if not any(row["claim"] == "queries" for row in claims["rows"]):
        lines.append(
            f"{CLAIMS['queries']}: not measured; name choice questions, such as PubMedQA's, with --queries FILE."
        )
    if not any(row["metric"].startswith(NATURAL) for row in claims["rows"]):
        lines.append(
            "Forgetting, natural short forms: not measured; name marked passages whose authors chose the short forms "
            "themselves, such as those of `medalist prepare pubmed --kinds defined`, with --natural FILE."
        )
    return lines
