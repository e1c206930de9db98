"""Computes evaluation figures from predictions, with pure functions on arrays.

In shapes, M is the number of questions, R of bootstrap resamples, P of passages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .results import Bin, ProbabilityFigures, RiskCoverage
from .shares import BaselineDifference, Difference, Share, Slice, strongest_baseline

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]
MOST_POINTS = 200
"""Maximum number of points of a stored risk-coverage curve."""
MODELS = ("base", "parent", "tuned")
"""The models whose answers are measured, in evaluation order; every other answerer is a baseline."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share with its 95 % interval."""

    value: float
    low: float
    high: float
    count: int
    """Number of questions that it is based on."""

    def record(self) -> Share:
        """The estimate as JSON values."""
        return {"value": self.value, "low": self.low, "high": self.high, "count": self.count}

    def difference(self, p: float) -> Difference:
        """The estimate of a difference as JSON values, with its p value."""
        return {"value": self.value, "low": self.low, "high": self.high, "count": self.count, "p": p}


class PassageBootstrap:
    """Resamples whole passages, since questions about one passage are not independent (percentile method, 95 %).

    With few passages, resampling understates the uncertainty in two cases. If all answers are right, or all are wrong,
    the same holds in every resample; the interval is then the exact binomial one for as many passages (Clopper and
    Pearson 1934). And no p value is below the minimum of the exact sign-flip test, 2 ** (1 - n) with n passages on
    which the answers differ; where that is above 0.05, the interval of the difference includes 0.

    Args:
        passage: ``[M]``, the passage that each question is about, as any integers.
        resamples: R.
        seed: the same for every figure, so that the figures of a report are paired.
    """

    def __init__(self, passage: Sequence[int] | Integers, *, resamples: int, seed: int = 0) -> None:
        _, self._group = np.unique(np.asarray(passage), return_inverse=True)
        self._passages = int(self._group.max()) + 1 if len(self._group) else 0
        draw = np.random.default_rng(seed)
        share = np.full(self._passages, 1 / self._passages) if self._passages else np.zeros(0)
        self._weights = draw.multinomial(self._passages, share, size=resamples) if self._passages else np.zeros((0, 0))

    def _means(self, values: Floats, chosen: Bools) -> Floats:
        sums = np.bincount(self._group, weights=values * chosen, minlength=self._passages)
        total = self._weights @ self._sums(chosen)
        means: Floats = (self._weights @ sums)[total > 0] / total[total > 0]
        return means

    def share(self, correct: Bools | Floats, chosen: Bools | None = None) -> Estimate | None:
        """Mean of ``correct[M]``, 0 to 1, over the chosen questions, with its interval; None if there are none."""
        chosen = np.ones(len(self._group), dtype=bool) if chosen is None else chosen
        if not chosen.any():
            return None
        values = np.asarray(correct, dtype=float)
        low, high = np.quantile(self._means(values, chosen), [0.025, 0.975])
        farthest = 0.025 ** (1 / len(np.unique(self._group[chosen])))
        if (values[chosen] == 1).all():
            low = farthest
        elif (values[chosen] == 0).all():
            high = 1 - farthest
        return Estimate(float(values[chosen].mean()), float(low), float(high), int(chosen.sum()))

    def macro_f1(self, gold: Integers, answer: Integers, *, labels: int) -> Estimate:
        """F1 of ``answer[M]`` against ``gold[M]``, averaged over labels 0 to `labels` - 1, with its interval.

        A label that is never the gold and never answered counts as 0.
        """
        every = np.ones((1, self._passages))
        scores = []
        for weights in (every, self._weights):
            f1 = np.zeros(len(weights))
            for label in range(labels):
                hits = weights @ self._sums((gold == label) & (answer == label))
                size = weights @ (self._sums(gold == label) + self._sums(answer == label))
                f1 += 2 * hits / np.maximum(size, 1)
            scores.append(f1 / labels)
        low, high = np.quantile(scores[1], [0.025, 0.975])
        return Estimate(float(scores[0][0]), float(low), float(high), len(self._group))

    def _sums(self, values: Bools) -> Floats:
        """``[P]``, the sum of ``values[M]`` in each passage."""
        sums: Floats = np.bincount(self._group, weights=values.astype(float), minlength=self._passages).astype(float)
        return sums

    def difference(
        self, before: Bools | Floats, after: Bools | Floats, chosen: Bools | None = None
    ) -> tuple[Estimate, float] | None:
        """Paired difference after minus before, with its interval and two-sided p value; None if nothing is chosen.

        The p value is twice the smaller share of resamples at or beyond zero, with one added to each count (Davison and
        Hinkley 1997), so it is never 0; with few passages, it is at least the minimum of the sign-flip test.
        """
        chosen = np.ones(len(self._group), dtype=bool) if chosen is None else chosen
        if not chosen.any():
            return None
        gain = np.asarray(after, dtype=float) - np.asarray(before, dtype=float)
        means = self._means(gain, chosen)
        low, high = np.quantile(means, [0.025, 0.975])
        tail = min(int((means <= 0).sum()), int((means >= 0).sum()))
        differ = np.count_nonzero(np.bincount(self._group, weights=gain * chosen, minlength=self._passages))
        least = min(1.0, 2.0 ** (1 - differ))
        p = min(1.0, max(least, 2 * (tail + 1) / (len(means) + 1)))
        if least > 0.05:
            low, high = min(low, 0.0), max(high, 0.0)
        return Estimate(float(gain[chosen].mean()), float(low), float(high), int(chosen.sum())), p


def share_cell(bootstrap: PassageBootstrap, correct: Bools | Floats) -> Share:
    """The share of right answers to all questions, with its interval, as JSON values."""
    estimate = bootstrap.share(correct)
    assert estimate is not None, "there are questions"
    return estimate.record()


def compare_answerers(
    bootstrap: PassageBootstrap, correct: dict[str, Bools] | dict[str, Floats], slices: dict[str, Bools]
) -> dict[str, Slice]:
    """Every answerer's accuracy on each non-empty slice, and the differences from the tuned model, if present.

    `difference` is tuned minus base, `from_parent` is tuned minus the parent of a run that was tuned further,
    `from_baselines` is tuned minus each baseline, and `from_baseline` is tuned minus the baseline that is strongest on
    these same questions, a choice that favours the baseline.

    Args:
        bootstrap: resamples the passages of the questions.
        correct: answerer -> ``[M]``, whether each answer is right; answerers that are not in `MODELS` are baselines.
        slices: name -> ``[M]``, whether each question belongs to the slice.
    """
    found: dict[str, Slice] = {}
    baselines = [answerer for answerer in correct if answerer not in MODELS]
    for name, chosen in slices.items():
        if not chosen.any():
            continue
        shares = {answerer: bootstrap.share(answers, chosen) for answerer, answers in correct.items()}
        cells: Slice = {"count": int(chosen.sum()), **_records(shares)}  # type: ignore[typeddict-item]  # see `Slice`
        if "tuned" in correct:
            if "base" in correct:
                cells["difference"] = _difference(bootstrap, correct, "base", chosen)
            if "parent" in correct:
                cells["from_parent"] = _difference(bootstrap, correct, "parent", chosen)
            if baselines:
                strongest = strongest_baseline(cells, baselines)
                gains = {baseline: _difference(bootstrap, correct, baseline, chosen) for baseline in baselines}
                cells["from_baseline"] = BaselineDifference(**gains[strongest], baseline=strongest)
                cells["from_baselines"] = gains
        found[name] = cells
    return found


def _records(shares: dict[str, Estimate | None]) -> dict[str, Share]:
    return {answerer: share.record() for answerer, share in shares.items() if share is not None}


def _difference(
    bootstrap: PassageBootstrap, correct: dict[str, Bools] | dict[str, Floats], before: str, chosen: Bools
) -> Difference:
    gain = bootstrap.difference(correct[before], correct["tuned"], chosen)
    assert gain is not None, "the slice is not empty"
    return gain[0].difference(gain[1])


def probability_figures(
    probabilities: Sequence[Floats], gold: Sequence[int], confidence: Floats, correct: Bools
) -> ProbabilityFigures:
    """Calibration and selective-prediction figures of a model's probabilities, as JSON values.

    Args:
        probabilities: for each question, the probabilities of its candidates; used only for the negative
            log-likelihood.
        gold: for each question, the index of the right candidate.
        confidence: ``[M]``, the probability of the chosen answer; used for all other figures.
        correct: ``[M]``, whether the chosen answer is right.
    """
    likelihood = [np.log(max(p[n], 1e-300)) for p, n in zip(probabilities, gold, strict=True)]
    return {
        "nll": float(-np.mean(likelihood)),
        "calibration_error": expected_calibration_error(confidence, correct),
        "reliability": reliability(confidence, correct),
        "risk_coverage": thinned_risk_coverage(confidence, correct),
        "area_under_risk_coverage": area_under_risk_coverage(confidence, correct),
    }


def macro_accuracy(correct: Bools, group: Sequence[str]) -> float:
    """Accuracy averaged over groups (short forms) with equal weight.

    Raises:
        ValueError: the arrays differ in length or are empty.
    """
    _check(correct, group)
    _, index = np.unique(np.asarray(group), return_inverse=True)
    return float(np.mean(np.bincount(index, weights=correct) / np.bincount(index)))


def expected_calibration_error(confidence: Floats, correct: Bools, *, num_bins: int = 15) -> float:
    """The gap between confidence and accuracy, averaged over equal-mass bins.

    Source: Naeini et al. 2015; equal mass: Nixon et al. 2019.

    Args:
        confidence: ``[M]``, the probability of the chosen answer, 0 to 1.
        correct: ``[M]``, whether the chosen answer is right.
        num_bins: number of bins; fewer if there are fewer questions.

    Returns:
        A fraction, 0 to 1; 0 means perfectly calibrated.

    Raises:
        ValueError: the arrays differ in length or are empty.
    """
    rows = reliability(confidence, correct, num_bins=num_bins)
    return sum(abs(row["confidence"] - row["accuracy"]) * row["count"] for row in rows) / len(confidence)


def reliability(confidence: Floats, correct: Bools, *, num_bins: int = 10) -> list[Bin]:
    """Mean confidence and accuracy in equal-mass bins of confidence, ascending: the reliability diagram."""
    _check(confidence, correct)
    order = np.argsort(confidence, kind="stable")
    return [
        {
            "confidence": float(confidence[rows].mean()),
            "accuracy": float(np.asarray(correct, dtype=float)[rows].mean()),
            "count": len(rows),
        }
        for rows in np.array_split(order, min(num_bins, len(order)))
    ]


def risk_coverage(confidence: Floats, correct: Bools) -> tuple[Floats, Floats]:
    """Coverage ``[K]``, ascending to 1, and the share of wrong answers ``[K]`` among the covered questions.

    Questions are covered in descending order of confidence, those of equal confidence together, so K is the number of
    distinct confidences (El-Yaniv and Wiener 2010).
    """
    _check(confidence, correct)
    order = np.argsort(-confidence, kind="stable")
    wrong = np.cumsum(1.0 - np.asarray(correct, dtype=float)[order])
    answered = np.arange(1, len(order) + 1)
    last_of_ties = np.append(np.diff(confidence[order]) != 0, True)
    return (answered / len(order))[last_of_ties], (wrong / answered)[last_of_ties]


def thinned_risk_coverage(confidence: Floats, correct: Bools) -> RiskCoverage:
    """At most `MOST_POINTS` evenly spaced points of the risk-coverage curve, as JSON values."""
    coverage, risk = risk_coverage(confidence, correct)
    keep = np.unique(np.linspace(0, len(coverage) - 1, MOST_POINTS).astype(int))
    return {"coverage": coverage[keep].tolist(), "risk": risk[keep].tolist()}


def area_under_risk_coverage(confidence: Floats, correct: Bools) -> float:
    """Mean risk over all coverages, 0 to 1; lower is better (Geifman et al. 2019)."""
    coverage, risk = risk_coverage(confidence, correct)
    return float(np.sum(np.diff(coverage, prepend=0.0) * risk))


def softmax(scores: Floats) -> Floats:
    """Probabilities of ``scores[C]``."""
    shifted = np.exp(scores - scores.max())
    result: Floats = shifted / shifted.sum()
    return result


def _check(first: Any, second: Any) -> None:
    if len(first) != len(second) or not len(first):
        raise ValueError(f"arrays of {len(first)} and {len(second)} values: they must be of equal length and not empty")
