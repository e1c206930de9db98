from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from medalist.trees.losses import log_softmax_by_question, question_losses

SIZES = [3, 1, 4]
QUESTION = torch.tensor([0, 0, 0, 1, 2, 2, 2, 2])


def losses(scores, *, gold, null, likelihood_weight=0.0, hidden_gold_weight=0.0, question=None):
    return question_losses(
        torch.tensor(scores) if isinstance(scores, list) else scores,
        torch.zeros(len(scores), dtype=torch.int64) if question is None else question,
        torch.tensor(gold),
        torch.tensor(null),
        likelihood_weight=likelihood_weight,
        hidden_gold_weight=hidden_gold_weight,
    )


@pytest.mark.parametrize("offset", [0.0, -5000.0], ids=["near zero", "far below zero"])
def test_softmax_by_question_is_that_of_each_question_alone(offset):
    scores = torch.randn(8, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 5 + offset
    alone = torch.cat([part.log_softmax(0) for part in scores.split(SIZES)])
    assert_close(log_softmax_by_question(scores, QUESTION, 3), alone)


def test_softmax_by_question_has_the_gradient_of_each_question_alone():
    scores = torch.randn(8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = torch.arange(8.0, dtype=torch.float64)
    grouped, alone = scores.clone().requires_grad_(), scores.clone().requires_grad_()
    (log_softmax_by_question(grouped, QUESTION, 3) * weights).sum().backward()
    (torch.cat([part.log_softmax(0) for part in alone.split(SIZES)]) * weights).sum().backward()
    assert_close(grouped.grad, alone.grad)


def test_listwise_loss_is_the_surprise_at_the_gold_among_the_candidates():
    scores = [math.log(0.02), math.log(0.03), math.log(0.05)]
    assert losses(scores, gold=[1], null=[2]).tolist() == pytest.approx([-math.log(0.3)])


def test_likelihood_loss_is_added_with_its_weight():
    scores = [math.log(0.02), math.log(0.03), math.log(0.05)]
    loss = losses(scores, gold=[1], null=[2], likelihood_weight=0.5)
    assert loss.tolist() == pytest.approx([-math.log(0.3) - 0.5 * math.log(0.03)])


def test_hidden_gold_loss_asks_for_the_null_candidate_among_the_others():
    scores = [math.log(0.02), math.log(0.03), math.log(0.05)]
    loss = losses(scores, gold=[1], null=[2], hidden_gold_weight=0.25)
    assert loss.tolist() == pytest.approx([-math.log(0.3) - 0.25 * math.log(0.05 / 0.07)])


def test_hidden_gold_loss_is_left_out_where_the_gold_is_the_null_candidate():
    scores = [math.log(0.02), math.log(0.03), math.log(0.05)]
    assert losses(scores, gold=[2], null=[2], hidden_gold_weight=0.25).tolist() == pytest.approx([-math.log(0.5)])


def test_hidden_gold_loss_of_a_question_with_one_listed_candidate_is_zero():
    """Only the null candidate is left, so it is certain to win."""
    assert_close(
        losses([-1.0, -2.0], gold=[0], null=[1], hidden_gold_weight=3.0), losses([-1.0, -2.0], gold=[0], null=[1])
    )


def test_hidden_gold_loss_does_not_move_the_gold():
    def gradient(hidden_gold_weight):
        scores = torch.tensor([-1.0, -2.0, -3.0], requires_grad=True)
        losses(scores, gold=[0], null=[2], hidden_gold_weight=hidden_gold_weight).sum().backward()
        return scores.grad

    extra = gradient(1.0) - gradient(0.0)
    assert extra[0] == 0
    share = 1 / (1 + math.exp(-1))  # of the second candidate among the second and the null
    assert_close(extra, torch.tensor([0.0, share, -share]))


def test_gradients_are_finite_where_the_gold_is_the_null_candidate():
    scores = torch.tensor([-1.0, -2.0], requires_grad=True)
    losses(scores, gold=[1], null=[1], likelihood_weight=0.1, hidden_gold_weight=0.1).sum().backward()
    assert scores.grad.isfinite().all()


def test_questions_do_not_change_each_others_loss():
    scores = torch.randn(8, generator=torch.Generator().manual_seed(1)) * 3
    together = losses(
        scores, question=QUESTION, gold=[1, 3, 7], null=[2, 3, 7], likelihood_weight=0.1, hidden_gold_weight=0.2
    )
    alone = [
        losses(part, gold=[gold], null=[null], likelihood_weight=0.1, hidden_gold_weight=0.2)
        for part, gold, null in zip(scores.split(SIZES), [1, 0, 3], [2, 0, 3], strict=True)
    ]
    assert_close(together, torch.cat(alone))


def test_a_prior_is_added_to_the_listwise_terms_and_not_to_the_likelihood():
    scores, prior = torch.tensor([-1.0, -2.0, -3.0]), torch.tensor([0.5, -4.0, 1.0])
    found = question_losses(
        scores,
        torch.zeros(3, dtype=torch.int64),
        torch.tensor([0]),
        torch.tensor([2]),
        prior=prior,
        likelihood_weight=0.1,
        hidden_gold_weight=0.5,
    )
    judged = scores + prior
    expected = -judged.log_softmax(0)[0] + 0.1 * 1.0 - 0.5 * judged[1:].log_softmax(0)[1]
    assert_close(found, expected[None])
