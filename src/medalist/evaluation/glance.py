"""Fits the glance, which decides short forms before a model reads a text; `trees.decisions` applies it.

M is the number of cases, as in `calibration`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import compress

import numpy as np

from ..trees.decisions import CLUES, NEVER, Calibration, Decision, Glance
from .calibration import (
    Case,
    cross_validated,
    has_look_alikes,
    logistic_rule,
    lowest_offered,
    model_weights,
    over_folds,
    sense_weights,
    thresholds,
    too_few,
    with_thresholds,
)

SETTLED = 0.98
"""Target precision of settled answers, those for which no model is asked."""
USUAL = 0.75
"""Minimum prior share of a sense for a glance to be trusted with it."""
LEAST_SETTLED = 100
"""Minimum number of settled answers for their precision to be meaningful."""


def fit_glance(cases: Sequence[Case], *, precision: float) -> tuple[Glance, list[Decision]] | None:
    """Fit the decisions without a model, and the probability from which they are right often enough to be settled.

    Args:
        cases: validation data; their scores are not used.
        precision: target precision of the offered answers where there is no model, 0 to 1.

    Returns:
        The weights and thresholds, and ``[M]`` decisions, each with weights fitted on the other folds' passages; None
        if there is too little data.
    """
    if not has_look_alikes(cases):
        return None
    decisions = over_folds(cases, _decided)
    least, offered = thresholds(cases, decisions, precision)
    glance = replace(
        _weights(cases), settled_from=settled_from(cases, decisions), short_form_from=least, offered_from=offered
    )
    settled = len(cases) - sum(left_open(cases, decisions, glance))
    return (glance, decisions) if settled >= LEAST_SETTLED else None


def settled_from(cases: Sequence[Case], decisions: Sequence[Decision]) -> float:
    """The lowest probability from which `SETTLED` of the answers with a usual sense are right; `NEVER` if none."""
    usual = [
        case.log_priors[int(np.argmax(decision.senses))] >= np.log(USUAL)
        for case, decision in zip(cases, decisions, strict=True)
    ]
    return lowest_offered(cases, decisions, np.array(usual), SETTLED)


def left_open(cases: Sequence[Case], decisions: Sequence[Decision], glance: Glance) -> list[bool]:
    """Whether a glance leaves each case to the model."""
    return [glance.settled(decision, case.log_priors) is None for case, decision in zip(cases, decisions, strict=True)]


def fit_after_glance(
    cases: Sequence[Case], decisions: Sequence[Decision], glance: Glance, *, precision: float
) -> tuple[Calibration, list[Decision]] | None:
    """Fit the model's decisions about what the glance does not settle, as `calibration.fit` does without a glance.

    Args:
        cases: validation data; for cases that the glance does not settle, scores from texts with the settled ones
            written out.
        decisions: ``[M]``, from `fit_glance`.
        glance: the fitted glance.
        precision: target precision of the offered answers, 0 to 1.

    Returns:
        The calibration, and cross-validated decisions about all cases; None if too few are left to fit it.
    """
    open_ = left_open(cases, decisions, glance)
    rest = list(compress(cases, open_))
    if too_few([case.item for case in rest]) is not None:
        return None
    asked = iter(cross_validated(rest))
    decided = [next(asked) if is_open else decision for is_open, decision in zip(open_, decisions, strict=True)]
    weights = replace(model_weights(rest, logistic=has_look_alikes(rest)), glance=glance)
    return with_thresholds(weights, cases, decided, precision=precision), decided


def _decided(train: Sequence[Case], test: Sequence[Case]) -> list[Decision]:
    glance = _weights(train)
    return [case.glanced(glance) for case in test]


def _weights(cases: Sequence[Case]) -> Glance:
    """Weights of both decisions, with a threshold that settles nothing."""
    _, prior, topic = sense_weights(cases, model=False)
    second = Glance(
        prior=prior,
        topic=topic,
        is_short_form=dict.fromkeys(("constant", *CLUES), 0.0),
        settled_from=NEVER,
        usual_from=USUAL,
    )
    seen = np.array([case.clues(case.glanced(second)) for case in cases])
    return replace(second, is_short_form=logistic_rule(cases, seen, CLUES))
