"""What needs no model: fitted without its scores, right often enough, and the model is fitted on the rest alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from marking import marked
from medalist.data.inventory import Inventory
from medalist.data.items import make_items
from medalist.evaluation import glance as module
from medalist.evaluation.calibration import cross_validated, fit, make_cases
from medalist.evaluation.glance import SETTLED, fit_after_glance, fit_glance, left_open

INVENTORY = Inventory.of(
    [
        ("RA", "rheumatoid arthritis", 60, None),
        ("RA", "room air", 40, None),
        ("MTX", "methotrexate", 990, None),
        ("MTX", "mitoxantrone", 10, None),
    ]
)


def made(*, passages=90, look_alikes=True, seed=0):
    """Cases in which MTX is methotrexate but for one in a hundred, RA is either, and RA behind "Dr" is a name."""
    draw = np.random.default_rng(seed)
    texts, scores = [], {}
    for n in range(passages):
        golds = [draw.choice(["methotrexate", "mitoxantrone"], p=[0.99, 0.01]) for _ in range(2)]
        golds.append(draw.choice(["rheumatoid arthritis", "room air"], p=[0.6, 0.4]))
        words = [f"on [{'MTX' if gold[0] == 'm' else 'RA'}={gold}]" for gold in golds]
        words += ["seen by Dr [RA=none of these]"] * look_alikes
        texts.append(marked(", ".join(words), str(n)))
        for number, gold in enumerate([*golds, None][: len(words)]):
            values = draw.normal(-6, 1, 3)
            values[2 if gold is None else ("methotrexate", "mitoxantrone", *golds[2:], "room air").index(gold) % 2] += 3
            scores[str(n), number] = values
    return make_cases(make_items(texts, INVENTORY), scores, INVENTORY)


@pytest.fixture(scope="module")
def fitted():
    """Cases, the glance fitted on them, and what it decides about each."""
    cases = made()
    return cases, *fit_glance(cases, precision=0.9)


def garbled(cases):
    """The cases with other scores of the model."""
    draw = np.random.default_rng(1)
    return [replace(case, scores=draw.normal(size=len(case.scores))) for case in cases]


def test_what_it_settles_is_right_as_often_as_it_is_to_be_and_the_rest_is_left_to_the_model(fitted):
    cases, glance, decisions = fitted
    settled = [case for case, is_open in zip(cases, left_open(cases, decisions, glance), strict=True) if not is_open]
    assert len(settled) > 150 and {case.item.mention.short_form for case in settled} == {"MTX"}
    right = [case.is_right(case.glanced(glance)) for case in settled]
    assert np.mean(right) >= SETTLED - 0.005, "decided with the other folds' weights it is at least that"


def test_the_model_s_scores_do_not_count(fitted):
    cases, *found = fitted
    assert fit_glance(garbled(cases), precision=0.9) == tuple(found)


def test_without_a_model_what_is_offered_is_right_as_often_as_it_is_to_be(fitted):
    cases, glance, decisions = fitted
    passed = np.array([decision.short_form >= glance.short_form_from for decision in decisions])
    alike = np.array([case.is_look_alike for case in cases])
    assert (~passed[alike]).mean() >= 0.9 < passed[~alike].mean()
    offered = passed & np.array([d.short_form * max(d.senses) >= glance.offered_from for d in decisions])
    right = np.array([case.is_right(decision) for case, decision in zip(cases, decisions, strict=True)])
    assert right[offered].mean() >= 0.9 > right[passed].mean()
    stricter, _ = fit_glance(cases, precision=0.97)
    assert stricter.offered_from > glance.offered_from


@pytest.mark.parametrize(
    "cases",
    [made(look_alikes=False), made(passages=40)],
    ids=["no look-alikes to tell them from", "too few are settled to judge"],
)
def test_nothing_is_fitted_on_too_little(cases):
    assert fit_glance(cases, precision=0.9) is None


def test_the_model_is_fitted_on_what_it_is_asked_and_the_thresholds_on_all(fitted):
    cases, glance, decisions = fitted
    open_ = left_open(cases, decisions, glance)
    calibration, decided = fit_after_glance(cases, decisions, glance, precision=0.95)
    assert calibration.glance == glance and (calibration.mentions, calibration.target) == (len(cases), 0.95)
    rest = [case for case, is_open in zip(cases, open_, strict=True) if is_open]
    assert [found for found, is_open in zip(decided, open_, strict=True) if is_open] == cross_validated(rest)
    assert [found for found, is_open in zip(decided, open_, strict=True) if not is_open] == [
        found for found, is_open in zip(decisions, open_, strict=True) if not is_open
    ]
    alone = fit(rest, precision=0.95)
    assert (calibration.evidence, calibration.is_short_form) == (alone.evidence, alone.is_short_form)
    elsewhere = [case if is_open else other for case, other, is_open in zip(cases, garbled(cases), open_, strict=True)]
    assert fit_after_glance(elsewhere, decisions, glance, precision=0.95) == (calibration, decided)


def test_where_too_little_is_left_to_the_model_there_is_no_calibration(fitted, monkeypatch):
    cases, glance, decisions = fitted
    monkeypatch.setattr(module, "too_few", lambda items: "too few" if len(items) < len(cases) else None)
    assert fit_after_glance(cases, decisions, glance, precision=0.95) is None
