"""Checks on loading that a model scores token trees like the separate sequences that they stand for.

No model family is trusted. A small forest is scored both ways, and a model is refused if the scores differ by more than
its dtype explains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .scoring import DAMAGED, Attention, score_tree
from .tree import build_tree, forest, sequences

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.05, torch.float16: 0.05}
"""Largest difference allowed between a candidate's log-probability in a tree and in a separate sequence, in nats."""
QUANTIZED_TOLERANCE = 0.05
"""The same for quantised weights, in any compute dtype."""
NOISE_FACTOR, MOST_NOISE = 4.0, 0.5
"""In 16 bits, a tree may also differ from separate sequences by up to `NOISE_FACTOR` times as much as these differ
among themselves (alone, in a batch, and as trees without branches), but never by more than `MOST_NOISE`, in nats.
SmolLM2-135M's check has 0.2 nats of such noise in bfloat16 on a CPU; an ignored mask causes larger differences."""


class TreeAttentionError(ValueError):
    """The model does not score token trees as it scores separate sequences."""


def tolerances(plain: Tensor, tolerance: float, dtype: torch.dtype) -> Tensor:
    """The largest difference allowed for each candidate, ``[C]``, given the log-probabilities of separate sequences.

    Where a 16-bit dtype cannot represent a log-probability to within `tolerance`, half its spacing there is allowed:
    kernels that compute the same in another order differ by that much (SmolLM2-135M in bfloat16: 0.2 nats at -80).
    """
    spacing = torch.finfo(dtype).eps if dtype != torch.float32 else 0.0
    return (plain.abs() * spacing / 2).clamp(min=tolerance)


def check_tree_attention(model: Any, attention: Attention) -> float:
    """Score one small forest as trees and as separate sequences, and refuse the model on a mismatch.

    Returns:
        The largest difference, in nats.

    Raises:
        TreeAttentionError: a difference exceeds the tolerance of the model's dtype, or of quantised weights; or a score
            is not finite.
    """
    tolerance = QUANTIZED_TOLERANCE if getattr(model, "is_quantized", False) else TOLERANCE[model.dtype]
    low, high = 3, min(model.get_input_embeddings().num_embeddings, 1000)
    draw = torch.Generator().manual_seed(0)

    def tokens(count: int) -> list[int]:
        return torch.randint(low, high, (count,), generator=draw).tolist()

    shared = tokens(2)
    questions = [
        (tokens(5), [shared + tokens(2), shared + tokens(1), tokens(4)]),
        (tokens(3), [tokens(3), tokens(1)]),
    ]
    trees = [build_tree(tokens(24), questions), build_tree(tokens(9), questions)]
    model.eval()
    with torch.no_grad():
        alone = [separate_score(model, ids, count) for tree in trees for ids, count in sequences(tree)]
        try:
            together = score_tree(model, forest(trees), attention).cpu()
        except (TypeError, ValueError, RuntimeError, IndexError) as error:
            raise TreeAttentionError(
                f"{type(model).__name__} does not accept a tree mask ({str(error).splitlines()[0]}). "
                "Choose another base model."
            ) from error
    plain = torch.stack(alone)
    difference, limits = (together - plain).abs(), tolerances(plain, tolerance, model.dtype)
    if not bool(difference.isfinite().all()):
        raise TreeAttentionError(f"{type(model).__name__}'s scores are not finite numbers: {DAMAGED}")
    worst = float(difference.max())
    if model.dtype != torch.float32 and not bool((difference <= limits).all()):
        noise = _noise(model, [sequence for tree in trees for sequence in sequences(tree)], plain, attention)
        limits = limits.clamp(min=min(NOISE_FACTOR * noise, MOST_NOISE))
    if not bool((difference <= limits).all()):
        over = int((difference / limits).nan_to_num(torch.inf).argmax())
        raise TreeAttentionError(
            f"{type(model).__name__} scores a token tree {float(difference[over]):.3g} nats away from "
            f"separate sequences (limit {float(limits[over]):.3g}): its attention does not follow the tree's mask or "
            "positions (sliding window, ALiBi, eager attention?), so its results would be wrong. Choose another base "
            "model."
        )
    return worst


@torch.no_grad()
def _noise(model: Any, found: Sequence[tuple[list[int], int]], plain: Tensor, attention: Attention) -> float:
    """How far scores of the same separate sequences vary with how they are computed, in nats.

    Compared are a batch of them, and each as a tree without branches, for which a GPU uses another kernel than for a
    sequence without a mask.
    """
    batched = batch_scores(model, found)
    chains = [build_tree(ids[: -count - 1], [([ids[-count - 1]], [ids[-count:]])]) for ids, count in found]
    alone = torch.cat([score_tree(model, chain, attention).cpu() for chain in chains])
    return float(torch.stack([batched - plain, alone - plain]).abs().max())


def separate_score(model: Any, token_ids: list[int], predicted: int) -> Tensor:
    """Log-probability of the last `predicted` tokens of one plain sequence: the reference for tree scores."""
    ids = torch.tensor([token_ids], device=model.device)
    logits = model(input_ids=ids, use_cache=False).logits[0].float().log_softmax(-1)
    positions = torch.arange(len(token_ids) - predicted, len(token_ids), device=ids.device)
    score: Tensor = logits[positions - 1, ids[0, positions]].sum()
    return score.cpu()


def batch_scores(model: Any, found: Sequence[tuple[list[int], int]]) -> Tensor:
    """As `separate_score`, for several sequences in one batch, ``[N]``, padded at the end."""
    longest = max(len(ids) for ids, _ in found)
    padded = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in found], device=model.device)
    logits = model(input_ids=padded, use_cache=False).logits.float().log_softmax(-1).cpu()
    scores = []
    for row, (ids, predicted) in enumerate(found):
        positions = torch.arange(len(ids) - predicted, len(ids))
        scores.append(logits[row, positions - 1, torch.tensor(ids)[positions]].sum())
    return torch.stack(scores)
