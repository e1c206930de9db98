"""Two decisions: whether it is a short form, and which sense it then is."""

import json
import math
from dataclasses import replace

import pytest
import torch

from medalist.data.embedded import reader
from medalist.data.surroundings import SIGNS, Surroundings
from medalist.trees.decisions import CLUES, Calibration, Decision, Glance, decide, decide_at_a_glance, model_evidence

NOTHING = Surroundings(**dict.fromkeys(SIGNS, 0.0))
PLAIN = Calibration(
    evidence=0.5,
    prior=1.0,
    is_short_form={"constant": 0.0, "model": 1.0} | dict.fromkeys(CLUES, 0.0),
    short_form_from=0.5,
    offered_from=0.8,
)


def test_senses_weigh_the_text_against_how_usual_they_are():
    scores, priors = torch.tensor([-4.0, -2.0, -9.0]), (math.log(0.8), math.log(0.2))
    found = decide(scores, priors, NOTHING, PLAIN)
    expected = torch.tensor([0.5 * -4 + math.log(0.8), 0.5 * -2 + math.log(0.2)]).softmax(0)
    assert found.senses == pytest.approx(expected.tolist())
    unread = decide(scores, priors, NOTHING, replace(PLAIN, evidence=0.0))
    assert unread.senses == pytest.approx((0.8, 0.2))


def test_more_listed_senses_make_nothing_more_of_a_short_form():
    one = model_evidence(torch.tensor([-3.0]), torch.tensor([0.0]), -5.0)
    many = model_evidence(torch.full((40,), -3.0), torch.full((40,), -math.log(40)), -5.0)
    assert one == pytest.approx(2.0) == pytest.approx(many)


def test_the_first_decision_adds_up_what_the_model_and_the_text_say():
    scores, priors = torch.tensor([-3.0, -5.0]), (0.0,)
    assert decide(scores, priors, NOTHING, PLAIN).short_form == pytest.approx(1 / (1 + math.exp(-2)))
    numbered = replace(NOTHING, numbered=1.0)
    weighed = replace(PLAIN, is_short_form=PLAIN.is_short_form | {"numbered": -4.0, "constant": 1.0})
    assert decide(scores, priors, numbered, weighed).short_form == pytest.approx(1 / (1 + math.exp(1)))
    assert decide(scores, priors, numbered, weighed).senses == (1.0,)


def test_what_fits_the_topic_is_likelier_and_likelier_a_short_form():
    scores, priors, fits = torch.tensor([-3.0, -3.0, -5.0]), (math.log(0.5),) * 2, (-0.2, 0.6)
    rule = replace(PLAIN, topic=5.0, is_short_form=PLAIN.is_short_form | {"topic": 3.0})
    found = decide(scores, priors, NOTHING, rule, fits)
    assert found.senses == pytest.approx(torch.tensor([-1.0, 3.0]).softmax(0).tolist())
    fit = -0.2 * found.senses[0] + 0.6 * found.senses[1]
    assert found.short_form == pytest.approx(1 / (1 + math.exp(-2 - 3 * fit)))
    assert decide(scores, priors, NOTHING, rule) == decide(scores, priors, NOTHING, PLAIN)


def test_the_surer_the_sense_the_likelier_a_short_form():
    rule = replace(PLAIN, evidence=1.0, is_short_form=PLAIN.is_short_form | {"model": 0.0, "sure": 4.0})
    for scores in (torch.tensor([0.0, 0.0, 0.0]), torch.tensor([3.0, 0.0, 0.0])):
        found = decide(scores, [0.0, 0.0], NOTHING, rule)
        assert found.short_form == pytest.approx(1 / (1 + math.exp(-4 * max(found.senses))))


WEIGHED = {"prior": 1.0, "topic": 1.0, "is_short_form": {"constant": 0.0}, "settled_from": 1.0, "usual_from": 1.0}
GLANCE = Glance(
    prior=1.0,
    topic=5.0,
    is_short_form=dict.fromkeys(CLUES, 0.0) | {"constant": 1.0, "topic": 3.0},
    settled_from=0.7,
    usual_from=0.5,
)


def test_a_glance_decides_as_a_model_would_that_says_nothing():
    priors, fits, shouted = (math.log(0.8), math.log(0.2)), (-0.2, 0.6), replace(NOTHING, shouted_word=2.0)
    rule = GLANCE.is_short_form | {"shouted_word": -1.5}
    found = decide_at_a_glance(priors, shouted, replace(GLANCE, is_short_form=rule), fits)
    mute = replace(PLAIN, evidence=0.0, prior=1.0, topic=5.0, is_short_form=rule | {"model": 0.0})
    assert found == decide(torch.zeros(3), priors, shouted, mute, fits)
    assert found.senses == pytest.approx(
        torch.tensor([-1.0, 3.0])
        .exp()
        .mul(torch.tensor([0.8, 0.2]))
        .div(torch.tensor([-1.0, 3.0]).exp().mul(torch.tensor([0.8, 0.2])).sum())
        .tolist()
    )
    assert decide_at_a_glance(priors, NOTHING, GLANCE).senses == pytest.approx((0.8, 0.2))


@pytest.mark.parametrize(
    ("settled_from", "short_form", "answer"),
    [(0.7, 0.9, 1), (0.73, 0.9, None), (0.7, 0.8, None)],
    ids=["sure", "not sure enough", "perhaps no short form"],
)
def test_a_glance_settles_what_is_sure_and_surely_a_short_form(settled_from, short_form, answer):
    glance = replace(GLANCE, settled_from=settled_from)
    assert glance.settled(Decision(short_form=short_form, senses=(0.2, 0.8)), (math.log(0.4), math.log(0.6))) == answer


def test_a_glance_does_not_settle_a_sense_that_is_not_by_far_the_most_usual():
    """It sees RA on methotrexate and RA behind a saturation in one text as one."""
    sure = Decision(short_form=1.0, senses=(0.01, 0.99))
    assert GLANCE.settled(sure, (math.log(0.5), math.log(0.5))) == 1
    assert GLANCE.settled(sure, (math.log(0.51), math.log(0.49))) is None


def test_a_calibration_with_a_glance_is_read_back_and_a_sign_that_it_does_not_name_has_no_weight(tmp_path):
    path = tmp_path / "calibration.json"
    replace(PLAIN, glance=GLANCE).write(path)
    assert Calibration.read(path) == replace(PLAIN, glance=GLANCE)
    content = json.loads(path.read_text())
    del content["glance"]["is_short_form"]["everyday"], content["glance"]["is_short_form"]["topic"]
    path.write_text(json.dumps(content))
    no_topic = replace(GLANCE, is_short_form=GLANCE.is_short_form | {"topic": 0.0})
    assert Calibration.read(path) == replace(PLAIN, glance=no_topic)


def test_a_calibration_is_read_back_as_it_was_written(tmp_path):
    PLAIN.write(tmp_path / "calibration.json")
    assert Calibration.read(tmp_path / "calibration.json") == PLAIN


def test_a_sign_that_an_earlier_calibration_does_not_name_has_no_weight(tmp_path):
    path = tmp_path / "calibration.json"
    PLAIN.write(path)
    content = json.loads(path.read_text())
    del content["is_short_form"]["everyday"]
    path.write_text(json.dumps(content))
    assert Calibration.read(path) == PLAIN


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"evidence": "much"}, "is not a calibration"),
        ({"evidence": float("nan")}, "not finite"),
        ({"is_short_form": {"constant": 0.0}}, "should have model"),
        ({"is_short_form": {"constant": 0.0, "model": 1.0, "mood": 1.0}}, "has mood, which this version"),
        ({"more": 1}, "unknown or of another kind. Restore it, or remove it and run `medalist evaluate`"),
        ({"is_short_form": ["constant", "model"]}, "unknown or of another kind. Restore it, or remove it"),
        ({"glance": {"prior": 1.0}}, "is not a calibration"),
        ({"glance": WEIGHED | {"is_short_form": {}}}, "should have constant"),
        ({"glance": WEIGHED | {"settled_from": float("inf")}}, "not finite"),
        ({"glance": WEIGHED | {"usual_from": 0}}, "not a share"),
    ],
)
def test_another_file_is_refused_in_one_line(change, said, tmp_path):
    path = tmp_path / "calibration.json"
    PLAIN.write(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=said) as error:
        Calibration.read(path)
    assert "\n" not in str(error.value)


def test_the_reader_s_calibration_is_one_and_weighs_both_the_text_and_the_prior():
    found = Calibration.read(reader.HERE / "calibration.json")
    assert found.evidence > 0 < found.prior
    assert found.is_short_form["model"] > 0 > max(found.is_short_form["numbered"], found.is_short_form["everyday"])
    assert 0.5 < found.offered_from < 1
    assert found.glance is not None and found.offered_from < found.glance.settled_from < 1
    assert found.glance.topic > 0 < found.glance.prior
