"""Fits how the reader's scores become answers, on the development half of the clinical notes, and shows what follows.

    python benchmarks/reader_fit.py --data DATA --scores OUT --write calibration.json

DATA is what `reader_data.py` made, OUT what `reader.py` left. Figures are cross-validated over notes (ten folds), so no
note is answered with weights that it helped to fit; what is written is fitted on all of them. The two thresholds are
set on those same answers, so the shares that they aim at are reached by construction.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from medalist.data.inventory import Inventory
from medalist.data.items import Item, make_items
from medalist.data.passage_files import read_passages
from medalist.data.surroundings import SIGNS, surroundings
from medalist.trees.decisions import Calibration, Decision, decide, model_evidence

GRID = [(evidence / 10, prior / 10) for evidence in range(2, 13) for prior in range(0, 13)]
LEFT_ALONE = 0.9
"""Share of the look-alikes that the first decision is to leave alone."""
PRECISION = 0.95
"""Share of the offered answers that are to be right."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """One mention, its scores, and what a calibration that has not seen its note says."""

    item: Item
    scores: torch.Tensor
    log_priors: tuple[float, ...]

    @property
    def is_short_form(self) -> bool:
        """Whether it is marked as one; the others only look like it."""
        return self.item.kind != "distractor"


def answered(data: Path, scores: Path) -> list[Answered]:
    """The development notes' mentions with something to choose, and their scores."""
    inventory = Inventory.read(data / "questions-development.inventory.csv")
    passages = read_passages(data / "questions-development.parquet", inventory)
    found = np.load(scores / "scores-tuned-development.npz")
    return [
        Answered(
            item=item,
            scores=torch.from_numpy(found[f"{item.passage.id}|{item.number}"]),
            log_priors=inventory.log_priors(item.mention.short_form),
        )
        for item in make_items(passages, inventory)
        if item.candidates
    ]


def fit(rows: Sequence[Answered]) -> Calibration:
    """Weights of both decisions; the thresholds are set later."""
    choices = [row for row in rows if row.item.kind == "choice"]

    def nll(evidence: float, prior: float) -> float:
        total = 0.0
        for row in choices:
            assert row.item.gold is not None
            scores = evidence * row.scores[:-1].double() + prior * torch.tensor(row.log_priors, dtype=torch.float64)
            total -= float(scores.log_softmax(0)[row.item.gold])
        return total

    evidence, prior = min(GRID, key=lambda pair: nll(*pair))
    signs = np.array([features(row) for row in rows])
    spread = signs.std(0) + 1e-9
    rule = LogisticRegression(C=0.5, max_iter=5000).fit(signs / spread, [row.is_short_form for row in rows])
    weights = dict(zip(("model", *SIGNS), (rule.coef_[0] / spread).tolist(), strict=True))
    return Calibration(
        evidence=evidence,
        prior=prior,
        is_short_form={"constant": float(rule.intercept_[0]), **weights},
        short_form_from=0.5,
        offered_from=0.5,
    )


def features(row: Answered) -> list[float]:
    """What the first decision looks at."""
    prior = torch.tensor(row.log_priors, dtype=torch.float64)
    evidence = model_evidence(row.scores[:-1].double(), prior, float(row.scores[-1]))
    return [evidence, *surroundings(row.item.passage.text, row.item.mention).values()]


def cross_validated(rows: Sequence[Answered]) -> Iterator[tuple[Answered, Decision]]:
    """Each mention with what the other folds' calibration says of it."""
    notes = [row.item.passage.id for row in rows]
    for train, test in GroupKFold(10).split(rows, groups=notes):
        calibration = fit([rows[n] for n in train])
        for n in test:
            row = rows[n]
            signs = surroundings(row.item.passage.text, row.item.mention)
            yield row, decide(row.scores, row.log_priors, signs, calibration)


def main() -> None:
    """Fit, print the figures, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    rows = answered(options.data, options.scores)
    told = list(cross_validated(rows))
    alike = np.array([decision.short_form for row, decision in told if not row.is_short_form])
    from_ = float(np.quantile(alike, LEFT_ALONE))
    right = [row.item.gold is not None and int(np.argmax(d.senses)) == row.item.gold for row, d in told]
    chosen = [r for (row, _), r in zip(told, right, strict=True) if row.item.kind == "choice"]
    first = [row.item.gold == 0 for row, _ in told if row.item.kind == "choice"]
    usual = [int(np.argmax(row.log_priors)) == row.item.gold for row, _ in told if row.item.kind == "choice"]
    print(f"among listed senses: {np.mean(chosen):.3f}, first listed {np.mean(first):.3f}, prior {np.mean(usual):.3f}")
    confidence = np.array([d.short_form * max(d.senses) for _, d in told])
    passed = np.array([d.short_form >= from_ for _, d in told])
    best = None
    for threshold in np.unique(confidence[passed]):
        offered = passed & (confidence >= threshold)
        if np.mean(np.array(right)[offered]) >= PRECISION:
            best = float(threshold)
            break
    assert best is not None, "no threshold reaches the precision"
    offered = passed & (confidence >= best)
    declined = [not p if row.item.gold is None else p and r for (row, _), p, r in zip(told, passed, right, strict=True)]
    needless = [not p for (row, _), p in zip(told, passed, strict=True) if row.item.gold is not None]
    print(
        f"look-alikes left alone: {np.mean(alike < from_):.3f} from {from_:.3f}; needless declines "
        f"{np.mean(needless):.3f}"
    )
    print(f"right when free to decline: {np.mean(declined):.3f} of {len(told)}")
    print(
        f"offered from {best:.3f}: precision {np.mean(np.array(right)[offered]):.3f}, coverage {np.mean(offered):.3f}"
    )
    fitted = fit(rows)
    calibration = Calibration(
        evidence=fitted.evidence,
        prior=fitted.prior,
        is_short_form=fitted.is_short_form,
        short_form_from=round(from_, 4),
        offered_from=round(best, 4),
    )
    print(calibration)
    if options.write:
        calibration.write(options.write)


if __name__ == "__main__":
    main()
