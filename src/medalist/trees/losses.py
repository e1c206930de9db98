"""The losses that tuning minimises: listwise over a question's candidates, plus the gold's negative log-likelihood.

C candidates, Q questions; scores are summed log-probabilities.
"""

from __future__ import annotations

import torch
from torch import Tensor


def log_softmax_by_question(scores: Tensor, question: Tensor, count: int) -> Tensor:
    """Log-softmax of ``scores[C]`` within each of `count` questions: the log-probability ``[C]`` of its candidates."""
    peak = torch.full((count,), -torch.inf, dtype=scores.dtype, device=scores.device)
    peak = peak.scatter_reduce(0, question, scores.detach(), "amax")
    shifted = scores - peak[question]
    total = torch.zeros(count, dtype=scores.dtype, device=scores.device).index_add(0, question, shifted.exp())
    return shifted - total.log()[question]


def question_losses(
    scores: Tensor,
    question: Tensor,
    gold: Tensor,
    null: Tensor,
    *,
    prior: Tensor | None = None,
    likelihood_weight: float,
    hidden_gold_weight: float,
) -> Tensor:
    """Loss of each question, ``[Q]``: listwise, plus weighted gold likelihood, plus weighted listwise without the gold.

    The last term asks a second question of the same scores: if the gold were not offered, would the null candidate win?
    It teaches abstention without another forward pass, and is omitted where the gold is itself the null candidate.

    Args:
        scores: ``[C]`` log-probability of each candidate.
        question: ``[C]`` int64, ascending; the question of each candidate.
        gold: ``[Q]`` int64; index into the candidates.
        null: ``[Q]`` int64; index of each question's null candidate.
        prior: ``[C]`` log prior of each candidate before the text is read. It is added to the scores in both listwise
            terms, so that the model learns what the text adds (logit adjustment, Menon et al. 2021). None: uniform.
        likelihood_weight: weight of ``-scores[gold]``.
        hidden_gold_weight: weight of the last term.
    """
    judged = scores if prior is None else scores + prior
    loss = -log_softmax_by_question(judged, question, len(gold))[gold]
    if likelihood_weight:
        loss = loss - likelihood_weight * scores[gold]
    if hidden_gold_weight:
        answered = gold != null
        hidden = torch.zeros_like(scores, dtype=torch.bool).scatter(0, gold, answered)
        without = log_softmax_by_question(judged.masked_fill(hidden, -1e9), question, len(gold))
        loss = loss - hidden_gold_weight * without[null] * answered
    return loss
