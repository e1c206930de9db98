"""Fits, on validation data, how a model's scores become answers; `trees.decisions` applies the result.

M is the number of cases: marked mentions whose short form has at least one listed sense.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ..data.embedded import reader
from ..data.inventory import Inventory
from ..data.items import Item
from ..data.surroundings import Surroundings, surroundings
from ..tools.counts import counted
from ..trees.decisions import (
    CLUES,
    NEVER,
    Calibration,
    Decision,
    Glance,
    clues,
    decide,
    decide_at_a_glance,
    model_evidence,
)
from ..trees.topic import Spot, topic_fits
from ..trees.windows import Window
from .metrics import Bools, Floats
from .predictions import Scores

MOST = (1.2, 1.2, 40.0)
"""Maximum weights of the model's log-probabilities, of the log-priors and of the topic fit."""
LEAST_EVIDENCE = 0.2
"""Minimum weight of the model's log-probabilities."""
LEFT_ALONE = 0.94
"""Target share of look-alikes that the first decision leaves alone: nine in ten, plus a margin for other texts."""
NEEDLESS = 0.05
"""Share of real short forms that it may decline if too few look-alikes are marked to fit it."""
FOLDS = 10
LEAST_CHOICES, LEAST_LOOK_ALIKES, LEAST_OFFERED = 50, 20, 20
"""Minimum numbers of mentions with a choice for fitting, of look-alikes for fitting, and of offers for a threshold."""
LEAST_SEEN = 10
"""Minimum number of mentions with a non-zero feature for it to get a weight."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A marked mention with at least one listed sense, with a model's scores and features of the text."""

    item: Item
    scores: Floats
    """``[C + 1]``, the null candidate last."""
    log_priors: tuple[float, ...]
    fits: tuple[float, ...]
    """``C`` values: how well each sense fits the topic of the text."""
    signs: Surroundings

    def decided(self, calibration: Calibration) -> Decision:
        """Make both decisions about the mention."""
        return decide(torch.from_numpy(self.scores), self.log_priors, self.signs, calibration, self.fits)

    def glanced(self, glance: Glance) -> Decision:
        """Make both decisions about the mention at a glance, that is, without the model."""
        return decide_at_a_glance(self.log_priors, self.signs, glance, self.fits)

    def clues(self, decision: Decision) -> list[float]:
        """Features of the first decision that need no model, in the order of `CLUES`, given a decision on the sense."""
        shares, fits = (torch.tensor(values, dtype=torch.float64) for values in (decision.senses, self.fits))
        return clues(shares, fits, self.signs)

    def is_right(self, decision: Decision) -> bool:
        """Whether the likeliest sense is the gold; never if the gold is not listed."""
        return int(np.argmax(decision.senses)) == self.item.gold

    @property
    def is_look_alike(self) -> bool:
        """Whether its gold is that it is not a short form."""
        return self.item.kind == "distractor"


def make_cases(
    items: Sequence[Item],
    scores: Scores,
    inventory: Inventory,
    windows: Callable[[str], Sequence[Window]] | None = None,
) -> list[Case]:
    """Make a case of every item that has candidates and scores.

    Args:
        items: from `make_items`; all items of a passage serve as context for its topic.
        scores: the scores of these items.
        inventory: the candidates.
        windows: returns the windows in which a text was read; None: each text was read as a whole.
    """
    asked = [item for item in items if item.candidates]
    fits = _fits(asked, inventory, windows)
    return [
        Case(
            item=item,
            scores=scores[item.key].astype(float),
            log_priors=inventory.log_priors(item.mention.short_form),
            fits=fits[item.key],
            signs=surroundings(item.passage.text, item.mention),
        )
        for item in asked
        if item.key in scores
    ]


def _fits(
    items: Sequence[Item], inventory: Inventory, windows: Callable[[str], Sequence[Window]] | None
) -> dict[tuple[str, int], tuple[float, ...]]:
    passages: dict[str, list[Item]] = {}
    for item in items:
        passages.setdefault(item.passage.id, []).append(item)
    found: dict[tuple[str, int], tuple[float, ...]] = {}
    for group in passages.values():
        text = group[0].passage.text
        group.sort(key=lambda item: item.mention.start)
        spots = [
            Spot(m.start, m.end, item.candidates, inventory.log_priors(m.short_form))
            for item, m in ((item, item.mention) for item in group)
        ]
        read_in = [Window(0, len(text))] if windows is None else windows(text)
        fits = topic_fits(reader.topics(), text, read_in, spots)
        found |= {item.key: values for item, values in zip(group, fits, strict=True)}
    return found


def too_few(items: Sequence[Item]) -> str | None:
    """What is missing for fitting a calibration, for the user; None if nothing is."""
    choices = [item for item in items if item.kind == "choice"]
    passages = len({item.passage.id for item in choices})
    if len(choices) < LEAST_CHOICES:
        return f"{counted(len(choices), 'short form')} with a choice of listed meanings, {LEAST_CHOICES} are needed"
    return f"{counted(passages, 'passage')}, {FOLDS} are needed" if passages < FOLDS else None


def fit(cases: Sequence[Case], *, precision: float) -> Calibration:
    """Fit the weights of both decisions, and set the thresholds on cross-validated answers.

    The second decision's weights minimise the negative log-likelihood among the listed senses. The first is a logistic
    rule (scikit-learn); with too few look-alikes it is the model's evidence alone, shifted so that all but `NEEDLESS`
    of the real short forms have a probability of at least 0.5. Cross-validation is by passage. The first threshold has
    `LEFT_ALONE` of the look-alikes below it, or is 0.5; the second is the lowest at which `precision` of the offered
    answers are right.

    Args:
        cases: validation data.
        precision: target precision of the offered answers, 0 to 1.

    Raises:
        ValueError: there are too few cases (`too_few`).
    """
    if (missing := too_few([case.item for case in cases])) is not None:
        raise ValueError(f"too little validation data: {missing}")
    weights = model_weights(cases, logistic=has_look_alikes(cases))
    return with_thresholds(weights, cases, cross_validated(cases), precision=precision)


def cross_validated(cases: Sequence[Case]) -> list[Decision]:
    """Decisions about each case with weights fitted on the other folds' passages, by the kind of rule that all get."""
    logistic = has_look_alikes(cases)

    def decided(train: Sequence[Case], test: Sequence[Case]) -> list[Decision]:
        calibration = model_weights(train, logistic=logistic)
        return [case.decided(calibration) for case in test]

    return over_folds(cases, decided)


def over_folds(
    cases: Sequence[Case], decided: Callable[[Sequence[Case], Sequence[Case]], list[Decision]]
) -> list[Decision]:
    """Cross-validated decisions about each case; `decided` fits on its first argument and decides about its second."""
    from sklearn.model_selection import GroupKFold  # slow to import

    passages = [case.item.passage.id for case in cases]
    decisions: dict[int, Decision] = {}
    for train, test in GroupKFold(min(FOLDS, len(set(passages)))).split(cases, groups=passages):
        found = decided([cases[n] for n in train], [cases[n] for n in test])
        decisions |= zip(test.tolist(), found, strict=True)
    return [decisions[n] for n in range(len(cases))]


def with_thresholds(
    weights: Calibration, cases: Sequence[Case], decisions: Sequence[Decision], *, precision: float
) -> Calibration:
    """The calibration with both thresholds set on the given decisions."""
    short_form_from, offered_from = thresholds(cases, decisions, precision)
    return replace(
        weights,
        short_form_from=short_form_from,
        offered_from=offered_from,
        target=precision,
        mentions=len(cases),
    )


def thresholds(cases: Sequence[Case], decisions: Sequence[Decision], precision: float) -> tuple[float, float]:
    """The minimum probability of being a short form for an answer, and of an answer for offering it as sure."""
    short_form = np.array([decision.short_form for decision in decisions])
    alike = np.array([case.is_look_alike for case in cases])
    least = _rounded_down(float(np.quantile(short_form[alike], LEFT_ALONE))) if has_look_alikes(cases) else 0.5
    return least, lowest_offered(cases, decisions, short_form >= least, precision)


def lowest_offered(cases: Sequence[Case], decisions: Sequence[Decision], passed: Bools, precision: float) -> float:
    """The lowest threshold at which the target precision is reached; `NEVER` if there is none.

    Args:
        cases: M mentions.
        decisions: a decision about each of them.
        passed: ``[M]``, whether it is decided to be a short form.
        precision: target precision of the offered answers, 0 to 1.
    """
    confidence = np.array([decision.short_form * max(decision.senses) for decision in decisions])
    right = np.array([case.is_right(decision) for case, decision in zip(cases, decisions, strict=True)])
    for threshold in np.unique(confidence[passed]):
        offered = passed & (confidence >= threshold)
        if offered.sum() < LEAST_OFFERED:
            break
        if right[offered].mean() >= precision:
            return _rounded_down(float(threshold))
    return NEVER


def _rounded_down(threshold: float) -> float:
    """Four decimals; rounded up, a threshold would exclude the answer that it was set by."""
    return math.floor(1e4 * threshold) / 1e4


def has_look_alikes(cases: Sequence[Case]) -> bool:
    """Whether there are enough look-alikes, in enough passages, to fit the first decision."""
    alike = [case for case in cases if case.is_look_alike]
    return len(alike) >= LEAST_LOOK_ALIKES and len({case.item.passage.id for case in alike}) >= FOLDS


def model_weights(cases: Sequence[Case], *, logistic: bool) -> Calibration:
    """Weights of both decisions with a model; the thresholds are set later.

    Args:
        cases: look-alikes and short forms.
        logistic: whether the first decision is a logistic rule, or the model's evidence alone (`has_look_alikes`).
    """
    evidence, prior, topic = sense_weights(cases)
    rule = dict.fromkeys(("constant", "model", *CLUES), 0.0)
    second = Calibration(
        evidence=evidence, prior=prior, topic=topic, is_short_form=rule, short_form_from=0.5, offered_from=0.5
    )
    return replace(second, is_short_form=_rule(cases, second, logistic=logistic))


def sense_weights(cases: Sequence[Case], *, model: bool = True) -> tuple[float, float, float]:
    """Weights of evidence, prior and topic that minimise the negative log-likelihood, a convex problem.

    If all priors are uniform, or the topic is never known, that weight is 0.

    Args:
        cases: only those with a choice among listed senses are used.
        model: whether to use the model's evidence; if not, its weight is 0.
    """
    from scipy.optimize import minimize  # slow to import

    choices = [case for case in cases if case.item.kind == "choice"]
    widest = max(len(case.log_priors) for case in choices)
    terms = np.zeros((3, len(choices), widest))
    listed = np.zeros((len(choices), widest), bool)
    for row, case in enumerate(choices):
        size = len(case.log_priors)
        terms[1:, row, :size] = case.log_priors, case.fits
        if model:
            terms[0, row, :size] = case.scores[:-1]
        listed[row, :size] = True
    gold = np.array([case.item.listed_gold for case in choices])
    right = terms[:, np.arange(len(choices)), gold]

    def nll(weights: Floats) -> tuple[float, Floats]:
        """The mean over the mentions, and its gradient."""
        scores = np.where(listed, np.tensordot(weights, terms, 1), -np.inf)
        scores -= scores.max(1, keepdims=True)
        shares = np.exp(scores)
        total = shares.sum(1)
        shares /= total[:, None]
        loss = np.log(total) - scores[np.arange(len(choices)), gold]
        return float(loss.mean()), ((shares * terms).sum(2) - right).mean(1)

    informative = (
        model,
        any(len(set(case.log_priors)) > 1 for case in choices),
        any(len(set(case.fits)) > 1 for case in choices),
    )
    least = (LEAST_EVIDENCE if model else 0.0, 0.0, 0.0)
    bounds = [(low, high if used else low) for low, high, used in zip(least, MOST, informative, strict=True)]
    start = np.array([low + (high - low) / 2 for low, high in bounds])
    found = minimize(nll, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    evidence, prior, topic = (round(float(weight), 3) for weight in found)
    return evidence, prior, topic


def _rule(cases: Sequence[Case], second: Calibration, *, logistic: bool) -> dict[str, float]:
    """Weights of the first decision."""
    names = ("model", *CLUES)
    seen = np.array([_features(case, second) for case in cases])
    if not logistic:
        evidence = seen[[case.item.gold is not None for case in cases], 0]
        least = float(np.quantile(evidence, NEEDLESS, method="lower"))
        return {"constant": -least} | dict.fromkeys(names, 0.0) | {"model": 1.0}
    return logistic_rule(cases, seen, names)


def logistic_rule(cases: Sequence[Case], seen: Floats, names: Sequence[str]) -> dict[str, float]:
    """Weights, including "constant", of a logistic rule that separates short forms from look-alikes.

    Args:
        cases: M look-alikes and short forms.
        seen: ``[M, F]``, the features of each case.
        names: ``F`` names of the features.
    """
    from sklearn.linear_model import LogisticRegression  # slow to import

    seen = np.where(np.count_nonzero(seen, axis=0) < LEAST_SEEN, 0.0, seen)
    spread = seen.std(0) + 1e-9
    fitted = LogisticRegression(C=0.5, max_iter=5000).fit(seen / spread, [not case.is_look_alike for case in cases])
    weights = dict(zip(names, (fitted.coef_[0] / spread).tolist(), strict=True))
    return {"constant": float(fitted.intercept_[0]), **weights}


def _features(case: Case, second: Calibration) -> list[float]:
    """All features of the first decision: the model's evidence and `CLUES`."""
    prior = torch.tensor(case.log_priors, dtype=torch.float64)
    evidence = model_evidence(torch.from_numpy(case.scores[:-1]), prior, float(case.scores[-1]))
    return [evidence, *case.clues(case.decided(second))]
