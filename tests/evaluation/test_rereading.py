"""Unsure mentions are asked again where the sure ones are written out, and only they have other scores then."""

import operator
from dataclasses import replace

import numpy as np
import pytest
import torch

from marking import marked
from medalist.data.inventory import Inventory
from medalist.data.items import make_items
from medalist.data.surroundings import SIGNS
from medalist.evaluation.calibration import make_cases
from medalist.evaluation.rereading import read_again, with_scores
from medalist.trees.decisions import Calibration
from medalist.trees.prompt import PromptSettings

INVENTORY = Inventory.of(
    [
        ("RA", "rheumatoid arthritis", 0, None),
        ("RA", "room air", 0, None),
        ("MTX", "methotrexate", 0, None),
        ("MTX", "mitoxantrone", 0, None),
    ]
)
PASSAGES = [marked("[RA=rheumatoid arthritis] on [MTX=methotrexate]", "a"), marked("[RA=room air] here", "b")]
RULE = Calibration(
    evidence=1.0,
    prior=0.0,
    is_short_form={"constant": 20.0, "model": 0.0} | dict.fromkeys(("topic", *SIGNS), 0.0),
    short_form_from=0.5,
    offered_from=0.9,
    settled_from=0.9,
)
FIRST = {("a", 0): [0.4, 0.6, 0.1], ("a", 1): [0.98, 0.02, 0.1], ("b", 0): [0.6, 0.4, 0.1]}


@pytest.fixture
def read(monkeypatch):
    """The texts that the model reads; it then finds the first sense likelier."""
    seen = []

    def score_layouts(_model, layouts, **_):
        for layout in layouts:
            seen.append((layout.text, layout.mentions))
            yield layout, [torch.tensor([0.8, 0.1, 0.1]).log() for _ in layout.questions]

    monkeypatch.setattr("medalist.models.load.score_layouts", score_layouts)
    return seen


def cases():
    return make_cases(make_items(PASSAGES, INVENTORY), {key: np.log(FIRST[key]) for key in FIRST}, INVENTORY)


def again(loaded, **changes):
    return read_again(loaded, cases(), RULE, INVENTORY, PromptSettings(), 4096, **changes)


def test_the_unsure_mention_beside_a_sure_one_is_read_again_and_no_other(loaded, read):
    scores = again(loaded)
    assert read == [("RA on methotrexate", (0,))]
    assert list(scores) == [("a", 0)]
    right = [case.is_right(case.decided(RULE)) for case in with_scores(cases(), scores)]
    assert right == [True, True, False]
    assert [case.is_right(case.decided(RULE)) for case in cases()] == [False, True, False]


def test_a_second_reading_says_which_sense_it_is_and_not_whether_it_is_a_short_form(loaded, read):
    once = cases()
    twice = with_scores(once, again(loaded))
    rule = replace(RULE, is_short_form=RULE.is_short_form | {"constant": -1.0, "model": 1.0})
    assert twice[0].decided(rule).senses == pytest.approx((8 / 9, 1 / 9))
    assert twice[0].decided(rule).short_form == pytest.approx(once[0].decided(rule).short_form)
    assert twice[0].scores[-1] != once[0].scores[-1] and all(map(operator.is_, twice[1:], once[1:]))


def test_what_was_decided_with_other_weights_is_what_is_written_out(loaded, read):
    """As in cross-validation, where each fold has weights of its own."""
    decisions = [case.decided(RULE) for case in cases()]
    decisions[1] = type(decisions[1])(short_form=decisions[1].short_form, senses=(0.01, 0.99))
    again(loaded, decisions=decisions)
    assert read == [("RA on mitoxantrone", (0,))]
