"""What tuning minimises: the listwise loss over a question's candidates, and the likelihood of the gold long form.

C candidates, Q questions; scores are summed log-probabilities.
"""

from __future__ import annotations

import torch
from torch import Tensor


def log_softmax_by_question(scores: Tensor, question: Tensor) -> Tensor:
    """Log-probabilities ``[C]`` of each candidate among those of its question: softmax of ``scores[C]`` by group."""
    count = int(question[-1]) + 1
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
    """Loss of each question, ``[Q]``: listwise + weighted likelihood of the gold + weighted listwise with the gold hidden.

    The last term asks the same scores a second question: were the gold not offered, would the null candidate win? It
    teaches abstention without another forward pass, and is left out where the gold is itself the null candidate.

    Args:
        scores: ``[C]`` log-probability of each candidate.
        question: ``[C]`` int64, ascending; the question of each candidate.
        gold: ``[Q]`` int64; index into the candidates.
        null: ``[Q]`` int64; index of each question's null candidate.
        prior: ``[C]`` log of how likely each candidate is before the text is read, added to its score in both listwise terms,
            so that the model learns what the text adds (logit adjustment, Menon et al. 2021); None: all alike.
        likelihood_weight: of ``-scores[gold]``.
        hidden_gold_weight: of the last term.
    """
    judged = scores if prior is None else scores + prior
    loss = -log_softmax_by_question(judged, question)[gold]
    if likelihood_weight:
        loss = loss - likelihood_weight * scores[gold]
    if hidden_gold_weight:
        answered = gold != null
        hidden = torch.zeros_like(scores, dtype=torch.bool)
        hidden[gold[answered]] = True
        without = log_softmax_by_question(judged.masked_fill(hidden, -1e9), question)
        loss = loss - hidden_gold_weight * without[null] * answered
    return loss
