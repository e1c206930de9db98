"""Membership attacks and exposure: right on cases worked out by hand, and silent where there is nothing to find."""

import json

import numpy as np
import pytest

from medalist.evaluation.privacy import (
    PRIVACY_FILE,
    attack,
    auc,
    chance_exposure,
    exposure,
    mean_exposure,
    read_privacy,
    recognised,
)

DRAW = np.random.default_rng(3)


def test_the_auc_counts_pairs_and_half_of_the_ties():
    found = auc(np.array([3.0, 1.0, 2.0]), np.array([2.0, 0.0]), resamples=100)
    # Above: 3>2, 3>0, 1>0, 2>0; tied: 2=2.
    assert found["value"] == pytest.approx(4.5 / 6)
    assert found["count"] == 5


def test_an_attack_on_the_base_itself_is_a_guess():
    members, others = DRAW.normal(size=60), DRAW.normal(size=50)
    found = attack("words", (members, members), (others, others), resamples=200)
    assert found["auc"] == pytest.approx({"value": 0.5, "low": 0.5, "high": 0.5, "count": 110})
    assert found["recognised"]["value"] == 0


def test_texts_whose_loss_fell_are_recognised_and_the_base_alone_does_not_tell_them():
    loss = DRAW.normal(size=400)
    members, others = loss[:200], loss[200:]
    found = attack("words", (members, members - 1), (others, others), resamples=200)
    assert found["auc"]["value"] == found["recognised"]["value"] == 1
    assert found["untuned"]["low"] < 0.5 < found["untuned"]["high"]


def test_members_that_are_easier_from_the_start_show_in_the_control_and_not_in_the_attack():
    members, others = DRAW.normal(0, 1, 150), DRAW.normal(2, 1, 150)
    found = attack("words", (members, members), (others, others), resamples=200)
    assert found["untuned"]["low"] > 0.8
    assert found["auc"]["value"] == 0.5


def test_the_interval_covers_chance_as_often_as_it_says_and_is_wider_with_fewer_texts():
    covered = 0
    for seed in range(200):
        draw = np.random.default_rng(seed)
        found = auc(draw.normal(size=40), draw.normal(size=40), resamples=200)
        covered += found["low"] <= 0.5 <= found["high"]
    assert 180 <= covered <= 199
    few = auc(DRAW.normal(size=20), DRAW.normal(size=20), resamples=500)
    many = auc(DRAW.normal(size=500), DRAW.normal(size=500), resamples=500)
    assert few["high"] - few["low"] > 3 * (many["high"] - many["low"])


def test_no_more_false_alarms_than_allowed_are_spent_on_recognising():
    others = np.arange(100.0)
    # The five highest of the others may be taken for members, so the threshold is the sixth, 94.
    assert recognised(np.array([94.0, 94.5, 200.0, 0.0]), others, resamples=50)["value"] == 0.5


def test_exposure_is_the_rank_in_bits():
    alternatives = np.arange(1023.0)
    assert exposure(5000, alternatives) == 10
    assert exposure(1021.5, alternatives) == 9
    assert exposure(-1, alternatives) == 0


def test_an_unknown_secret_has_the_exposure_of_chance():
    values = np.random.default_rng(0).normal(size=(4000, 100))
    bits = np.array([exposure(row[0], row[1:]) for row in values])
    assert bits.mean() == pytest.approx(chance_exposure(100), abs=0.06)
    found = mean_exposure(bits, resamples=200)
    assert found["low"] < chance_exposure(100) < found["high"]
    assert chance_exposure(1000) == pytest.approx(1.44, abs=0.01)


@pytest.mark.parametrize("call", [auc, recognised])
def test_nothing_to_compare_is_refused(call):
    with pytest.raises(ValueError, match="0 members and 2 others"):
        call(np.array([]), np.array([1.0, 2.0]), resamples=10)


def test_a_file_of_another_shape_is_refused_in_one_line(tmp_path):
    assert read_privacy(tmp_path) is None
    (tmp_path / PRIVACY_FILE).write_text(json.dumps({"members": "many"}))
    with pytest.raises(ValueError, match=r"privacy.json does not have the format .* run `medalist privacy` again"):
        read_privacy(tmp_path)
