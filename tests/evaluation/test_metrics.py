from __future__ import annotations

import numpy as np
import pytest

from medalist.evaluation.metrics import (
    Estimate,
    PassageBootstrap,
    area_under_risk_coverage,
    compare_answerers,
    expected_calibration_error,
    macro_accuracy,
    probability_figures,
    reliability,
    risk_coverage,
    softmax,
    thinned_risk_coverage,
)

CONFIDENCE = np.array([0.9, 0.5, 0.8, 0.6])
CORRECT = np.array([True, False, False, True])


def test_reliability_bins_hold_equally_many_questions_in_order_of_confidence():
    low, high = reliability(CONFIDENCE, CORRECT, num_bins=2)
    assert low == {"confidence": pytest.approx(0.55), "accuracy": 0.5, "count": 2}  # 0.5 wrong, 0.6 right
    assert high == {"confidence": pytest.approx(0.85), "accuracy": 0.5, "count": 2}  # 0.8 wrong, 0.9 right


def test_calibration_error_weighs_each_bin_by_its_questions():
    assert expected_calibration_error(CONFIDENCE, CORRECT, num_bins=2) == pytest.approx((2 * 0.05 + 2 * 0.35) / 4)
    # Bins of two questions and of one: (0.5 wrong, 0.6 right) and (0.9 right).
    error = expected_calibration_error(CONFIDENCE[[0, 1, 3]], CORRECT[[0, 1, 3]], num_bins=2)
    assert error == pytest.approx((2 * 0.05 + 1 * 0.1) / 3)


def test_calibration_error_of_sure_and_right_answers_is_zero():
    assert expected_calibration_error(np.array([1.0, 1.0, 0.0]), np.array([True, True, False])) == 0


def test_fewer_questions_than_bins_make_one_bin_each():
    assert expected_calibration_error(CONFIDENCE, CORRECT) == pytest.approx((0.1 + 0.5 + 0.8 + 0.4) / 4)
    assert [row["count"] for row in reliability(CONFIDENCE, CORRECT)] == [1, 1, 1, 1]


def test_risk_is_the_share_of_wrong_answers_among_the_most_confident():
    coverage, risk = risk_coverage(CONFIDENCE, CORRECT)
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert risk == pytest.approx([0, 1 / 2, 1 / 3, 2 / 4])
    assert area_under_risk_coverage(CONFIDENCE, CORRECT) == pytest.approx((0 + 1 / 2 + 1 / 3 + 2 / 4) / 4)


def test_the_area_under_risk_and_coverage_begins_at_no_coverage():
    assert area_under_risk_coverage(np.array([0.9, 0.8]), np.array([False, True])) == 0.5 * 1 + 0.5 * 0.5


def test_questions_of_one_confidence_keep_their_order_in_bins():
    confidence, correct = np.tile([0.5, 0.6], 100), np.repeat([True, False], 100)
    assert [row["accuracy"] for row in reliability(confidence, correct, num_bins=4)] == [1, 0, 1, 0]


def test_figures_have_their_usual_numbers_of_bins_and_points():
    draw = np.random.default_rng(0)
    confidence, correct = draw.random(480), draw.random(480) < 0.5
    gap = expected_calibration_error(confidence, correct)
    assert gap == expected_calibration_error(confidence, correct, num_bins=15)
    assert len(reliability(confidence, correct)) == 10
    curve = thinned_risk_coverage(confidence, correct)
    assert len(curve["coverage"]) == len(curve["risk"]) == 200


def test_a_gold_for_each_question_is_needed_for_likelihood():
    alike = np.array([0.9, 0.8]), np.array([True, True])
    with pytest.raises(ValueError, match="shorter"):
        probability_figures([np.array([0.9, 0.1]), np.array([0.8, 0.2])], [0], *alike)


def test_a_run_that_was_tuned_further_is_set_beside_its_parent_on_the_questions_of_a_slice():
    bootstrap = PassageBootstrap(np.arange(40), resamples=200)
    right = {name: np.arange(40) % every == 0 for name, every in (("base", 5), ("parent", 3), ("tuned", 2))}
    half = np.arange(40) < 20
    cells = compare_answerers(bootstrap, right, {"half": half})["half"]
    estimate, p = bootstrap.difference(right["parent"], right["tuned"], half)
    assert cells["from_parent"] == estimate.difference(p) != cells["difference"]


def test_equal_confidences_are_answered_together_whatever_their_order():
    confidence, correct = np.array([0.5, 0.9, 0.5]), np.array([False, True, True])
    for order in ([0, 1, 2], [2, 1, 0]):
        coverage, risk = risk_coverage(confidence[order], correct[order])
        assert coverage == pytest.approx([1 / 3, 1])
        assert risk == pytest.approx([0, 1 / 3])
        assert area_under_risk_coverage(confidence[order], correct[order]) == pytest.approx(2 / 9)


def test_each_short_form_counts_once_in_macro_accuracy():
    assert macro_accuracy(np.array([True, True, True, False]), ["CT", "CT", "CT", "RA"]) == 0.5


def test_softmax_of_large_scores_does_not_overflow():
    assert softmax(np.array([-1000.0, -1000.0 + np.log(3)])) == pytest.approx([0.25, 0.75])


@pytest.mark.parametrize(
    "figure",
    [expected_calibration_error, reliability, risk_coverage, area_under_risk_coverage],
)
def test_empty_or_unequal_arrays_are_refused(figure):
    with pytest.raises(ValueError, match="0 and 0 values"):
        figure(np.array([]), np.array([], dtype=bool))
    with pytest.raises(ValueError, match="4 and 3 values"):
        figure(CONFIDENCE, CORRECT[:3])


def test_macro_accuracy_refuses_empty_or_unequal_arrays():
    with pytest.raises(ValueError, match="0 and 0 values"):
        macro_accuracy(np.array([], dtype=bool), [])
    with pytest.raises(ValueError, match="4 and 1 values"):
        macro_accuracy(CORRECT, ["CT"])


def test_interval_holds_the_truth_about_19_times_in_20_even_when_questions_of_a_passage_agree():
    draw = np.random.default_rng(1)
    passage = np.repeat(np.arange(60), 4)
    held = []
    for seed in range(300):
        correct = np.repeat(draw.random(60) < 0.7, 4)  # the four questions of a passage stand or fall together
        estimate = PassageBootstrap(passage, resamples=400, seed=seed).share(correct)
        held.append(estimate.low <= 0.7 <= estimate.high)
    assert 0.90 <= np.mean(held) <= 0.98


def test_interval_is_wider_when_questions_cluster_in_passages():
    correct = np.repeat(np.random.default_rng(0).random(50) < 0.7, 4)
    together = PassageBootstrap(np.repeat(np.arange(50), 4), resamples=1000).share(correct)
    apart = PassageBootstrap(np.arange(200), resamples=1000).share(correct)
    assert together.value == apart.value == correct.mean()
    # Four questions that agree are worth one, so the interval is twice as wide.
    assert together.high - together.low == pytest.approx(2 * (apart.high - apart.low), rel=0.2)


def test_share_of_chosen_questions_counts_only_those():
    bootstrap = PassageBootstrap([7, 7, 9, 9], resamples=500)
    chosen = bootstrap.share(np.array([True, True, False, True]), np.array([True, True, False, False]))
    assert chosen == Estimate(1.0, 0.025, 1.0, 2)
    assert chosen.record() == {"value": 1.0, "low": 0.025, "high": 1.0, "count": 2}


@pytest.mark.parametrize(("passages", "low"), [(1, 0.025), (2, 0.025**0.5), (54, 0.934)])
def test_answers_that_are_all_right_or_all_wrong_have_the_exact_interval_of_as_many_passages(passages, low):
    """Every resample is the same, but three right of three do not show that all are."""
    bootstrap = PassageBootstrap([n // 2 for n in range(2 * passages)], resamples=50)
    right, wrong = np.ones(2 * passages), np.zeros(2 * passages)
    assert bootstrap.share(right) == Estimate(1.0, pytest.approx(low, abs=5e-4), 1.0, 2 * passages)
    assert bootstrap.share(wrong) == Estimate(0.0, 0.0, pytest.approx(1 - low, abs=5e-4), 2 * passages)


@pytest.mark.parametrize(("passages", "p"), [(1, 1.0), (2, 0.5), (5, 0.0625), (6, 0.03125), (20, 2 / 101)])
def test_few_passages_have_no_smaller_p_value_than_the_sign_flip_test(passages, p):
    """Passages on which both are the same do not count, and questions of one passage count as one."""
    bootstrap = PassageBootstrap([n // 2 for n in range(2 * passages)] + [99], resamples=100)
    before, after = np.zeros(2 * passages + 1), np.array([1.0] * 2 * passages + [0.0])
    chosen = np.arange(2 * passages + 1) < 2 * passages
    for sign in (1, -1):
        gain, found = bootstrap.difference(sign * before, sign * after, chosen)
        assert found == pytest.approx(p)
        assert (min(gain.low, gain.high) <= 0 <= max(gain.low, gain.high)) == (p > 0.05)
        assert gain.value == sign


def test_share_of_no_questions_is_none():
    bootstrap = PassageBootstrap([1, 2], resamples=100)
    nothing = np.zeros(2, dtype=bool)
    assert bootstrap.share(~nothing, nothing) is None
    assert bootstrap.difference(nothing, ~nothing, nothing) is None
    assert PassageBootstrap([], resamples=100).share(np.array([], dtype=bool)) is None


def test_same_seed_gives_the_same_interval_and_another_seed_another():
    correct = np.random.default_rng(0).random(100) < 0.6
    first, again, other = (PassageBootstrap(range(100), resamples=300, seed=s).share(correct) for s in (3, 3, 4))
    assert first == again
    assert first != other


def test_clear_gain_has_the_smallest_p_value_that_the_resamples_allow_and_never_zero():
    before, after = np.zeros(40, dtype=bool), np.ones(40, dtype=bool)
    estimate, p = PassageBootstrap(range(40), resamples=999).difference(before, after)
    assert estimate == Estimate(1.0, 1.0, 1.0, 40)
    assert p == pytest.approx(2 / 1000)


def test_loss_is_as_significant_as_the_same_gain():
    draw = np.random.default_rng(0)
    before, after = draw.random(80) < 0.5, draw.random(80) < 0.7
    bootstrap = PassageBootstrap(range(80), resamples=2000)
    (gain, p_gain), (loss, p_loss) = bootstrap.difference(before, after), bootstrap.difference(after, before)
    assert loss.value == -gain.value
    assert (loss.low, loss.high) == pytest.approx((-gain.high, -gain.low))
    assert p_loss == p_gain


def test_no_gain_has_a_large_p_value():
    before = np.arange(100) % 2 == 0
    bootstrap = PassageBootstrap(range(100), resamples=500)
    assert bootstrap.difference(before, before)[1] == 1
    estimate, p = bootstrap.difference(before, ~before)  # as many gained as lost
    assert estimate.low < 0 < estimate.high
    assert p > 0.5


def test_difference_is_paired():
    """One question in ten is gained and none lost: small beside the spread of either model, but no accident."""
    before = np.random.default_rng(0).random(200) < 0.5
    after = before | (np.arange(200) % 10 == 0)
    bootstrap = PassageBootstrap(range(200), resamples=1000)
    estimate, p = bootstrap.difference(before, after)
    assert estimate.low > 0
    assert p < 0.01
    assert bootstrap.share(before).high > bootstrap.share(after).low


def test_difference_looks_at_chosen_questions_only():
    before, after = np.array([False, True, True]), np.array([True, False, False])
    estimate, _ = PassageBootstrap([1, 2, 3], resamples=100).difference(before, after, np.array([True, False, False]))
    assert (estimate.value, estimate.count) == (1.0, 1)


def test_intervals_are_the_same_each_time():
    groups, correct = np.arange(40), np.arange(40) % 3 == 0
    first = PassageBootstrap(groups, resamples=200, seed=0).share(correct)
    assert PassageBootstrap(groups, resamples=200).share(correct) == first
