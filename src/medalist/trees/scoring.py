"""Forward passes over token trees: the log-probability of every candidate.

Uses only what every Hugging Face causal LM offers: a 4-D mask (SDPA) or a block mask (FlexAttention), position ids, and
logits at selected nodes. No model family is trusted: `attention_check` scores a small forest both ways on loading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask

from .losses import log_softmax_by_question
from .prompt import Layout
from .rows import in_rows
from .tree import TokenTree, forest, padded, visible

Attention = Literal["sdpa", "sdpa_in_rows", "flex_attention"]
"""Transformers' names of the attention implementations; `rows` defines the second one."""
FLEX_MULTIPLE = 512
"""FlexAttention recompiles for every new length, so trees are padded to a multiple of this many nodes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TreePass:
    """Everything that one forward pass over a forest reads, computed on the CPU.

    N nodes; K distinct ones predict a candidate token. K determines shapes, so computing it on a GPU would make the
    host wait until the GPU has finished all its work.
    """

    attention: Attention
    token_ids: Tensor
    """``[1, N]`` int64."""
    depth: Tensor
    """``[1, N]`` int64; the position id of each node."""
    subtree_end: Tensor
    """``[1, N]`` int64; or ``[R, L]``, relative to the row, if attention is computed in rows."""
    place: Tensor | None
    """``[N]`` int64, for attention in rows: the index of each node in the flattened rows."""
    wanted: Tensor
    """``[K]`` int64, in ascending order; the nodes whose output is needed."""
    predict_row: Tensor
    """``[P]`` int64; index of the node, among the K nodes, that predicts the token."""
    predict_token: Tensor
    """``[P]`` int64; the token that is predicted."""
    predict_candidate: Tensor
    """``[P]`` int64; the candidate that the token belongs to."""
    candidate_question: Tensor
    """``[C]`` int64; the question that the candidate answers."""

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> TreePass:
        """The pass on another device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> TreePass:
        """The pass in page-locked memory, for transfers that the host need not wait for; called by the data loader."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> TreePass:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        changed: dict[str, Any] = {name: change(it) for name, it in values.items() if isinstance(it, Tensor)}
        return replace(self, **changed)


@runtime_checkable
class ScoresTrees(Protocol):
    """A model that computes `tree_logits` in its own way, as `models.llama` does."""

    def tree_logits(self, one: TreePass) -> Tensor:
        """The logits of `scoring.tree_logits`, ``[K, V]``."""
        ...


def tree_pass(tree: TokenTree, attention: Attention) -> TreePass:
    """Lay out a forest on the CPU for one forward pass."""
    nodes, row = torch.unique(tree.predict_node, return_inverse=True)
    whole = padded(tree, FLEX_MULTIPLE) if attention == "flex_attention" else tree
    rows = in_rows(tree) if attention == "sdpa_in_rows" else None
    return TreePass(
        attention=attention,
        token_ids=whole.token_ids[None],
        depth=whole.depth[None],
        subtree_end=whole.subtree_end[None] if rows is None else rows.subtree_end,
        place=None if rows is None else rows.place,
        wanted=nodes,
        predict_row=row,
        predict_token=tree.predict_token,
        predict_candidate=tree.predict_candidate,
        candidate_question=tree.candidate_question,
    )


def tree_inputs(one: TreePass, dtype: torch.dtype) -> dict[str, Any]:
    """Keyword arguments for a causal LM's forward pass, which returns ``[1, K, V]`` logits.

    The mask is created on the pass's device.
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
            device=ends.device,
        )
    else:
        mask = _additive(visible(one.subtree_end)[:, None], dtype)
    inputs = {
        "input_ids": one.token_ids,
        "position_ids": one.depth,
        "attention_mask": mask,
        "use_cache": False,
        "logits_to_keep": one.wanted,
    }
    return inputs | ({} if one.place is None else {"place": one.place})


def _additive(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """The additive mask, computed once: from a bool mask, attention kernels would derive it in every layer."""
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -torch.inf)


def tree_logits(model: Any, one: TreePass) -> Tensor:
    """Logits ``[K, V]`` at the K distinct nodes that predict a candidate token, in ascending order."""
    if isinstance(model, ScoresTrees):
        return model.tree_logits(one)
    logits: Tensor = model(**tree_inputs(one, getattr(model, "module", model).dtype)).logits[0]
    return logits


def candidate_scores(logits: Tensor, one: TreePass) -> Tensor:
    """Summed log-probability of each candidate, ``[C]`` float32, from the ``logits[K, V]`` of `tree_logits`."""
    logits = logits.float()
    token_scores = logits[one.predict_row, one.predict_token] - logits.logsumexp(-1)[one.predict_row]
    scores = torch.zeros(len(one.candidate_question), dtype=torch.float32, device=logits.device)
    return scores.index_add(0, one.predict_candidate, token_scores)


def score_pass(model: Any, one: TreePass) -> Tensor:
    """Summed log-probability of each candidate of a pass, ``[C]`` float32; on a GPU, without a host sync."""
    return candidate_scores(tree_logits(model, one), one)


def score_tree(model: Any, tree: TokenTree, attention: Attention) -> Tensor:
    """Summed log-probability of each candidate, ``[C]`` float32 on the model's device; the tree is on the CPU."""
    return score_pass(model, tree_pass(tree, attention).to(model.device))


DAMAGED = "its weights are damaged, or its dtype is too narrow (model.dtype)"


class NonFiniteScoresError(ValueError):
    """A model's scores are NaN or infinite; the message names the passage.

    Args:
        text_id: the passage's id.
    """

    def __init__(self, text_id: str) -> None:
        super().__init__(text_id)
        self.text_id = text_id

    def __str__(self) -> str:
        return f"The model's scores for passage {self.text_id} are not finite numbers: {DAMAGED}. Nothing is reported"


def check_finite(scores: Tensor, layout: Layout) -> None:
    """Refuse the scores of a layout if any is not finite: NaN and infinities would otherwise be ranked like numbers.

    Raises:
        NonFiniteScoresError: a score is not finite.
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
        model: a causal LM; it is put into evaluation mode and runs without gradients.
        layouts: from `prompt.Encoder`.
        attention: the kernel that the model was loaded with.
        max_nodes: ignored on a CPU, which takes one tree at a time, since a dense mask over several would waste work.
        progress: called with the number of questions scored.

    Yields:
        Each layout with the scores of each of its questions, ``[candidates]`` float32 on the CPU.

    Raises:
        NonFiniteScoresError: a score is not finite.
    """
    model.eval()
    on_cpu = model.device.type == "cpu"
    batch: list[Layout] = []

    def run() -> Iterator[tuple[Layout, list[Tensor]]]:
        with torch.no_grad():  # not inference_mode: FSDP reuses the tensors allocated here in training
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


def probabilities(scores: Tensor) -> Tensor:
    """Softmax over one question's candidates, ``[C]``, null candidate included."""
    return log_softmax_by_question(scores, torch.zeros(len(scores), dtype=torch.int64), 1).exp()
