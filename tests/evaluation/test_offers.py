"""What a calibrated model answers, declines and offers, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from by_hand import INVENTORY, PASSAGES
from medalist.data.items import make_items
from medalist.evaluation.baselines import inventory_baselines
from medalist.evaluation.calibration import make_cases
from medalist.evaluation.offers import calibrated_figures
from medalist.trees.decisions import CLUES, Calibration, Decision

CALIBRATION = Calibration(
    evidence=1.0,
    prior=0.0,
    is_short_form={"constant": 0.0, "model": 1.0} | dict.fromkeys(CLUES, 0.0),
    short_form_from=0.65,
    offered_from=0.625,
    target=0.9,
    mentions=77,
)
ITEMS = make_items(PASSAGES, INVENTORY)
# Probability of being a short form, and of each sense then; the comments say what becomes of it.
DECISIONS = {
    ("1", 0): (0.9, (0.8, 0.1, 0.1)),  # 0.72: offered, right
    ("1", 1): (0.9, (0.5, 0.3, 0.2)),  # 0.45: answered, right
    ("2", 0): (1.0, (0.9, 0.1, 0.0)),  # 0.90: offered, wrong; the gold stands in the text
    ("3", 0): (0.64, (1.0, 0.0, 0.0)),  # 0.64: declined, needlessly
    ("4", 0): (0.8, (0.1, 0.8, 0.1)),  # 0.64: offered, right
    ("5", 0): (0.3, (0.5, 0.3, 0.2)),  # declined, rightly: the gold is not listed
    ("6", 0): (1.0, (0.625, 0.375, 0.0)),  # 0.625: offered, as thresholds are included, though it is no short form
    ("7", 0): (0.65, (1.0,)),  # 0.65: offered, right
}


@pytest.fixture
def figures():
    cases = make_cases(ITEMS, {key: np.zeros(9) for key in DECISIONS}, INVENTORY)
    choice = [item for item in ITEMS if item.kind == "choice"]
    return calibrated_figures(
        cases,
        [Decision(short_form=DECISIONS[c.item.key][0], senses=DECISIONS[c.item.key][1]) for c in cases],
        CALIBRATION,
        among_listed=inventory_baselines(choice, INVENTORY),
        always=inventory_baselines([case.item for case in cases], INVENTORY),
        resamples=200,
    )


def values(cells, answerer):
    return {name: (part["count"], pytest.approx(part[answerer]["value"])) for name, part in cells.items()}


def test_the_chosen_point_says_how_much_is_offered_and_how_much_of_it_is_right(figures):
    coverage, precision = figures["offered"]["all"]["coverage"], figures["offered"]["all"]["precision"]
    assert (coverage["value"], coverage["count"]) == (5 / 8, 8)
    assert (precision["value"], precision["count"]) == (pytest.approx(3 / 5), 5)
    assert coverage["low"] < coverage["value"] < coverage["high"]
    assert precision["low"] < precision["value"] < precision["high"]
    without = figures["offered"]["no leak"]
    assert (without["coverage"]["value"], without["precision"]["value"]) == (pytest.approx(4 / 7), pytest.approx(3 / 4))


def test_the_chosen_point_lies_on_the_curve(figures):
    curve = dict(zip(figures["risk_coverage"]["coverage"], figures["risk_coverage"]["risk"], strict=True))
    assert curve[5 / 8] == pytest.approx(1 - 3 / 5)
    # By confidence: 0.90 wrong, 0.72, 0.65, 0.64 right, 0.625 wrong, 0.45 right; then what is declined.
    assert [curve[n / 8] for n in (1, 2, 3, 4, 6)] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4, 2 / 6])
    assert curve[1.0] == pytest.approx(3 / 8), "the declined one with a listed gold would have been right"


def test_right_when_free_to_decline_counts_declining_where_nothing_listed_is_meant(figures):
    assert values(figures["expansion"], "tuned") == {
        "all": (8, 5 / 8),
        "sense listed": (6, 4 / 6),
        "sense not listed": (1, 1),
        "no short form": (1, 0),
    }
    assert figures["expansion"]["all"]["first listed sense"]["value"] == 4 / 8
    assert figures["expansion"]["all"]["from_baselines"]["first listed sense"]["value"] == pytest.approx(1 / 8)


def test_among_the_listed_senses_declining_does_not_count(figures):
    assert values(figures["slices"], "tuned") == {"all": (5, 4 / 5), "no leak": (4, 1)}
    assert values(figures["slices"], "prior alone") == {"all": (5, 3 / 5), "no leak": (4, 3 / 4)}


def test_look_alikes_and_needless_declines_are_counted_apart(figures):
    assert (figures["left_alone"]["value"], figures["left_alone"]["count"]) == (0, 1)
    assert (figures["needless_declines"]["value"], figures["needless_declines"]["count"]) == (pytest.approx(1 / 6), 6)


def test_the_calibration_is_recorded(figures):
    assert (figures["target"], figures["offered_from"], figures["short_form_from"]) == (0.9, 0.625, 0.65)
    assert (figures["evidence"], figures["prior"], figures["fitted_on"]) == (1, 0, 77)
