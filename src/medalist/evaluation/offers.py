"""Measures what a calibrated model answers, declines, and offers without a question mark, as an expander would.

M is the number of cases: marked mentions with at least one listed sense.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..data.items import passage_numbers
from ..trees.decisions import Calibration, Decision
from .baselines import INVENTORY_ALONE
from .calibration import Case
from .metrics import Bools, Floats, PassageBootstrap, compare_answerers, thinned_risk_coverage
from .results import Calibrated, Offered
from .shares import Difference, Share, right


def calibrated_figures(
    cases: Sequence[Case],
    decisions: Sequence[Decision],
    calibration: Calibration,
    *,
    among_listed: Mapping[str, Floats],
    always: Mapping[str, Floats],
    resamples: int,
) -> Calibrated:
    """The figures of the tuned model with a calibration, compared with baselines.

    Args:
        cases: the mentions; some have a listed gold and a second candidate.
        decisions: ``[M]``, a decision about each.
        calibration: the calibration that made the decisions.
        among_listed: baseline -> its correctness on each case of kind "choice", in order.
        always: baseline that always answers -> ``[M]``, its correctness on each case.
        resamples: number of bootstrap resamples over passages.
    """
    items = [case.item for case in cases]
    hits = np.array([case.is_right(decision) for case, decision in zip(cases, decisions, strict=True)])
    confidence = np.array([decision.short_form * max(decision.senses) for decision in decisions])
    answered = np.array([decision.short_form for decision in decisions]) >= calibration.short_form_from
    offered = answered & (confidence >= calibration.offered_from)
    listed = np.array([item.gold is not None for item in items])
    alike = np.array([case.is_look_alike for case in cases])
    leak = np.array([item.leak for item in items])
    every = np.ones(len(cases), dtype=bool)
    choice = np.array([item.kind == "choice" for item in items])
    bootstrap = PassageBootstrap(passage_numbers(items), resamples=resamples)
    chosen = PassageBootstrap(passage_numbers([item for item in items if item.kind == "choice"]), resamples=resamples)
    free = np.where(listed, answered & hits, ~answered)
    return {
        "target": calibration.target,
        "evidence": calibration.evidence,
        "prior": calibration.prior,
        "short_form_from": calibration.short_form_from,
        "offered_from": calibration.offered_from,
        "fitted_on": calibration.mentions,
        "slices": compare_answerers(
            chosen,
            {"tuned": hits[choice].astype(float), **among_listed},
            {"all": every[choice], "no leak": ~leak[choice]},
        ),
        "expansion": compare_answerers(
            bootstrap,
            {"tuned": free.astype(float), **always},
            {"all": every, "sense listed": listed, "sense not listed": ~listed & ~alike, "no short form": alike},
        ),
        "offered": {
            name: _offered(bootstrap, offered, hits, part)
            for name, part in (("all", every), ("no leak", ~leak))
            if part.any()
        },
        "left_alone": _share(bootstrap, ~answered, alike),
        "needless_declines": _share(bootstrap, ~answered, listed),
        # Answers that the first decision declines are never offered, so they come last.
        "risk_coverage": thinned_risk_coverage(np.where(answered, confidence, confidence - 1), hits),
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class RightRow:
    """A row of a table: the calibrated model's accuracy, and that of the baselines that use only the inventory."""

    name: str
    tuned: Share
    baselines: tuple[tuple[str, Share, Difference], ...]
    """(name, its share, tuned minus it)."""


def right_rows(figures: Calibrated) -> list[RightRow]:
    """Rows for the calibrated model among the listed senses, and free to decline."""
    named = {
        "among the listed senses": figures["slices"].get("all"),
        "the same, no leak": figures["slices"].get("no leak"),
        "free to decline": figures["expansion"]["all"],
    }
    return [
        RightRow(
            name=name,
            tuned=right(cells, "tuned"),
            baselines=tuple(
                (baseline, right(cells, baseline), cells["from_baselines"][baseline])
                for baseline in INVENTORY_ALONE
                if baseline in cells
            ),
        )
        for name, cells in named.items()
        if cells is not None
    ]


def offer_rows(figures: Calibrated) -> list[tuple[str, Share | None]]:
    """Shares declined and offered, for a table: (name, share)."""
    rows = [
        ("look-alikes left alone", figures["left_alone"]),
        ("declined although the meaning is listed", figures["needless_declines"]),
    ]
    for name, offered in figures["offered"].items():
        suffix = "" if name == "all" else f", {name}"
        rows.append((f"offered as sure{suffix}", offered["coverage"]))
        rows.append((f"right among those{suffix}", offered["precision"]))
    return rows


def wrong_at(figures: Calibrated, coverage: float) -> float:
    """The share of wrong answers among the most confident ones, up to that share of all mentions."""
    curve = figures["risk_coverage"]
    points = [point for point in zip(curve["coverage"], curve["risk"], strict=True) if point[0] <= coverage + 1e-9]
    return points[-1][1] if points else curve["risk"][0]


def _offered(bootstrap: PassageBootstrap, offered: Bools, right: Bools, part: Bools) -> Offered:
    coverage = _share(bootstrap, offered, part)
    assert coverage is not None, "the part is not empty"
    return {"coverage": coverage, "precision": _share(bootstrap, right, offered & part)}


def _share(bootstrap: PassageBootstrap, values: Bools, part: Bools) -> Share | None:
    found = bootstrap.share(values, part)
    return found.record() if found else None
