"""What a glance settles is written out, the model is asked the rest, and each is decided by what it was read with."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from marking import marked
from medalist.data.inventory import Inventory
from medalist.data.items import make_items
from medalist.evaluation.calibration import make_cases
from medalist.evaluation.reading import decided, read_rest, with_scores
from medalist.trees.decisions import CLUES, Calibration, Glance
from medalist.trees.prompt import PromptSettings

INVENTORY = Inventory.of(
    [
        ("RA", "rheumatoid arthritis", 1, None),
        ("RA", "room air", 1, None),
        ("MTX", "methotrexate", 900, None),
        ("MTX", "mitoxantrone", 1, None),
    ]
)
PASSAGES = [marked("[RA=rheumatoid arthritis] on [MTX=methotrexate]", "a"), marked("[RA=room air] here", "b")]
ALWAYS = {"constant": 20.0} | dict.fromkeys(CLUES, 0.0)
GLANCE = Glance(prior=1.0, topic=0.0, is_short_form=ALWAYS, settled_from=0.9, usual_from=0.6)
RULE = Calibration(
    evidence=1.0,
    prior=0.0,
    is_short_form=ALWAYS | {"model": 0.0},
    short_form_from=0.5,
    offered_from=0.9,
    glance=GLANCE,
)
FIRST = {("a", 0): [0.4, 0.6, 0.1], ("a", 1): [0.02, 0.98, 0.1], ("b", 0): [0.6, 0.4, 0.1]}


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


def rest(loaded, decisions=None, glance=GLANCE):
    decisions = decisions or [case.glanced(GLANCE) for case in cases()]
    return read_rest(loaded, cases(), decisions, glance, INVENTORY, PromptSettings(), 4096)


def test_the_model_is_asked_what_the_glance_leaves_open_with_the_rest_written_out(loaded, read):
    scores = rest(loaded)
    assert read == [("RA on methotrexate", (0,)), ("RA here", (0,))]
    assert list(scores) == [("a", 0), ("b", 0)]


def test_each_mention_is_decided_by_what_it_was_read_with(loaded, read):
    ra, mtx, other = decided(with_scores(cases(), rest(loaded)), RULE)
    assert ra.senses == other.senses == pytest.approx((8 / 9, 1 / 9))
    assert mtx.senses == pytest.approx((900.5 / 902, 1.5 / 902)), "the model's scores of it do not count"
    asked = decided(cases(), replace(RULE, glance=None))
    assert [one.senses[0] for one in asked] == pytest.approx([0.4, 0.02, 0.6])


def test_what_was_decided_with_other_weights_is_what_is_written_out(loaded, read):
    """As in cross-validation, where each fold has weights of its own."""
    decisions = [case.glanced(GLANCE) for case in cases()]
    decisions[1] = type(decisions[1])(short_form=1.0, senses=(0.01, 0.99))
    rest(loaded, decisions, replace(GLANCE, usual_from=0.001))
    assert read[0] == ("RA on mitoxantrone", (0,))
