"""Forward passes over token trees: the log-probability of every candidate.

Uses only what every Hugging Face causal LM offers: a 4-D mask (SDPA) or a block mask (FlexAttention), position ids, and
logits at selected nodes. No model family is trusted: `check_tree_attention` scores a small forest both ways on loading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask

from .losses import log_softmax_by_question
from .prompt import Layout
from .tree import TokenTree, build_tree, forest, padded, sequences, side_by_side, visible

Attention = Literal["sdpa", "flex_attention"]
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.05, torch.float16: 0.05}
"""Largest difference allowed between a candidate's log-probability in a tree and in a separate sequence, in nats."""
QUANTIZED_TOLERANCE = 0.05
"""The same for quantised weights, whatever their compute dtype."""
NOISE_FACTOR, MOST_NOISE = 4.0, 0.5
"""In 16 bits, a tree may also differ from separate sequences by up to the first number times as much as these differ
among themselves (alone, and side by side in a batch), but never by more than the second, in nats. SmolLM2-135M's check
has 0.2 nats of such noise in bfloat16; a mask that is not followed costs more."""
FLEX_MULTIPLE = 512
"""FlexAttention recompiles for every new length, so trees are padded to a multiple of this many nodes."""


class TreeAttentionError(ValueError):
    """The model does not score token trees as it scores separate sequences."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TreePass:
    """All that one forward pass over a forest reads, worked out on the CPU.

    R rows of L nodes; K distinct nodes predict a candidate token. How many there are decides shapes: asked of a GPU,
    that would stop the host until the GPU has done all its work.
    """

    attention: Attention
    token_ids: Tensor
    """``[R, L]`` int64."""
    depth: Tensor
    """``[R, L]`` int64; the position id of each node."""
    subtree_end: Tensor
    """``[R, L]`` int64, within the row."""
    wanted: Tensor
    """``[K]`` int64, in ascending order of node; places in the flattened rows."""
    predict_row: Tensor
    """``[P]`` int64; which of the K nodes predicts the token."""
    predict_token: Tensor
    """``[P]`` int64."""
    predict_candidate: Tensor
    """``[P]`` int64."""
    candidate_question: Tensor
    """``[C]`` int64."""

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> TreePass:
        """The same on another device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> TreePass:
        """The same in page-locked memory, from which a GPU reads without the host waiting; the data loader calls it."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> TreePass:
        tensors = [field.name for field in fields(self) if field.name != "attention"]
        changed: dict[str, Any] = {name: change(getattr(self, name)) for name in tensors}
        return replace(self, **changed)


@runtime_checkable
class ScoresTrees(Protocol):
    """A model that computes `tree_logits` in its own way, as `models.llama` does."""

    def tree_logits(self, one: TreePass) -> Tensor:
        """``[K, V]``."""
        ...


def tree_pass(tree: TokenTree, attention: Attention, device: torch.device | str) -> TreePass:
    """Lay out a forest on the CPU for one forward pass on a device.

    A dense mask over a forest as one sequence costs its length squared. On a GPU, SDPA therefore gets the trees as the
    rows of a batch, side by side; a CPU takes one tree at a time anyway.
    """
    nodes, row = torch.unique(tree.predict_node, return_inverse=True)
    if attention == "sdpa" and torch.device(device).type != "cpu":
        rows = side_by_side(tree)
        laid, nodes = (rows.token_ids, rows.depth, rows.subtree_end), rows.place[nodes]
    else:
        whole = padded(tree, FLEX_MULTIPLE) if attention == "flex_attention" else tree
        laid = (whole.token_ids[None], whole.depth[None], whole.subtree_end[None])
    return TreePass(
        attention=attention,
        token_ids=laid[0],
        depth=laid[1],
        subtree_end=laid[2],
        wanted=nodes,
        predict_row=row,
        predict_token=tree.predict_token,
        predict_candidate=tree.predict_candidate,
        candidate_question=tree.candidate_question,
    )


def tree_inputs(one: TreePass, dtype: torch.dtype) -> dict[str, Any]:
    """Keyword arguments for a causal LM's forward pass; the mask is made on the pass's device.

    With one row, the model returns ``[1, K, V]`` logits; see `tree_logits` for several.
    """
    mask: Any
    if one.attention == "flex_attention":
        ends, size = one.subtree_end[0], one.subtree_end.shape[1]
        mask = create_block_mask(
            lambda _batch, _head, query, key: (key <= query) & (query < ends[key]),
            B=None,
            H=None,
            Q_LEN=size,
            KV_LEN=size,
            device=ends.device.type,
        )
    else:
        mask = _additive(visible(one.subtree_end)[:, None], dtype)
    inputs = {"input_ids": one.token_ids, "position_ids": one.depth, "attention_mask": mask, "use_cache": False}
    return inputs | ({"logits_to_keep": one.wanted} if len(one.token_ids) == 1 else {})


def _additive(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """The additive mask, computed once: given a bool mask, attention kernels would derive this one in every layer."""
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -torch.inf)


def tree_logits(model: Any, one: TreePass) -> Tensor:
    """Logits ``[K, V]`` at the K distinct nodes that predict a candidate token, in ascending order."""
    if isinstance(model, ScoresTrees):
        return model.tree_logits(one)
    whole = getattr(model, "module", model)
    inputs = tree_inputs(one, whole.dtype)
    if "logits_to_keep" in inputs:
        logits: Tensor = model(**inputs).logits[0]
        return logits

    def only_wanted(_: Any, hidden: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (hidden[0].flatten(0, 1)[one.wanted][None],)

    # `logits_to_keep` takes the same positions in every row, but the nodes that predict differ from row to row.
    hook = whole.get_output_embeddings().register_forward_pre_hook(only_wanted)
    try:
        logits = model(**inputs).logits[0]
    finally:
        hook.remove()
    return logits


def candidate_scores(logits: Tensor, one: TreePass) -> Tensor:
    """Summed log-probability of each candidate, ``[C]`` float32, from the ``logits[K, V]`` of `tree_logits`."""
    logits = logits.float()
    token_scores = logits[one.predict_row, one.predict_token] - logits.logsumexp(-1)[one.predict_row]
    scores = torch.zeros(len(one.candidate_question), dtype=torch.float32, device=logits.device)
    return scores.index_add(0, one.predict_candidate, token_scores)


def score_pass(model: Any, one: TreePass) -> Tensor:
    """Summed log-probability of each candidate of a pass, ``[C]`` float32; on a GPU, the host does not wait for it."""
    return candidate_scores(tree_logits(model, one), one)


def score_tree(model: Any, tree: TokenTree, attention: Attention) -> Tensor:
    """Summed log-probability of each candidate, ``[C]`` float32 on the model's device; the tree is on the CPU."""
    return score_pass(model, tree_pass(tree, attention, model.device).to(model.device))


_DAMAGED = "its weights are damaged, or its dtype is too narrow (model.dtype)"


class NonFiniteScoresError(ValueError):
    """A model's scores are NaN or infinite; the message names the passage.

    Args:
        text_id: the passage's id.
    """

    def __init__(self, text_id: str) -> None:
        super().__init__(text_id)
        self.text_id = text_id

    def __str__(self) -> str:
        return f"The model's scores for passage {self.text_id} are not finite numbers: {_DAMAGED}. Nothing is reported"


def check_finite(scores: Tensor, layout: Layout) -> None:
    """Refuse the scores of a layout if one is no number, which would be ranked like one.

    Raises:
        NonFiniteScoresError: one is not.
    """
    if not scores.isfinite().all():
        raise NonFiniteScoresError(layout.text_id)


def score_layouts(
    model: Any,
    layouts: Iterable[Layout],
    *,
    attention: Attention,
    max_nodes: int,
    progress: Callable[[int], object] = lambda _: None,
) -> Iterator[tuple[Layout, list[Tensor]]]:
    """Score many trees in order, several per forward pass, up to `max_nodes` nodes.

    Args:
        model: a causal LM; it is put in evaluation mode and runs without gradients.
        layouts: from `prompt.Encoder`.
        attention: the kernel that the model was loaded with.
        max_nodes: ignored on a CPU, which takes one tree at a time: a dense mask over several only wastes work there.
        progress: called with the number of questions scored.

    Yields:
        Each layout with the scores of each of its questions, ``[candidates]`` float32 on the CPU.

    Raises:
        NonFiniteScoresError: a score is no number.
    """
    model.eval()
    on_cpu = model.device.type == "cpu"
    batch: list[Layout] = []

    def run() -> Iterator[tuple[Layout, list[Tensor]]]:
        with torch.no_grad():  # not inference mode: FSDP reuses in training the tensors that it allocates here
            scores = score_tree(model, forest([layout.tree for layout in batch]), attention).cpu()
        at = 0
        for layout in batch:
            sizes = layout.tree.candidate_question.bincount().tolist()
            found = scores[at : at + sum(sizes)]
            check_finite(found, layout)
            yield layout, list(torch.split(found, sizes))
            at += sum(sizes)
            progress(len(sizes))

    size = 0
    for layout in layouts:
        if batch and (on_cpu or size + len(layout.tree) > max_nodes):
            yield from run()
            batch, size = [], 0
        batch.append(layout)
        size += len(layout.tree)
    if batch:
        yield from run()


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
        The largest difference found, in nats.

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
        raise TreeAttentionError(f"{type(model).__name__}'s scores are not finite numbers: {_DAMAGED}")
    worst = float(difference.max())
    if model.dtype != torch.float32 and not bool((difference <= limits).all()):
        with torch.no_grad():
            batched = batch_scores(model, [sequence for tree in trees for sequence in sequences(tree)])
        noise = float((batched - plain).abs().max())
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


def separate_score(model: Any, token_ids: list[int], predicted: int) -> Tensor:
    """Log-probability of the last `predicted` tokens of one plain sequence: the reference for scores from trees."""
    ids = torch.tensor([token_ids], device=model.device)
    logits = model(input_ids=ids, use_cache=False).logits[0].float().log_softmax(-1)
    positions = torch.arange(len(token_ids) - predicted, len(token_ids), device=ids.device)
    score: Tensor = logits[positions - 1, ids[0, positions]].sum()
    return score.cpu()


def batch_scores(model: Any, found: Sequence[tuple[list[int], int]]) -> Tensor:
    """The same as `separate_score` for several sequences side by side, ``[N]``, padded at the end."""
    longest = max(len(ids) for ids, _ in found)
    padded = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in found], device=model.device)
    logits = model(input_ids=padded, use_cache=False).logits.float().log_softmax(-1).cpu()
    scores = []
    for row, (ids, predicted) in enumerate(found):
        positions = torch.arange(len(ids) - predicted, len(ids))
        scores.append(logits[row, positions - 1, torch.tensor(ids)[positions]].sum())
    return torch.stack(scores)


def probabilities(scores: Tensor) -> Tensor:
    """Softmax over one question's candidates, ``[C]``, null candidate included."""
    return log_softmax_by_question(scores, torch.zeros(len(scores), dtype=torch.int64), 1).exp()
