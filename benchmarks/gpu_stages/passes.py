"""Passages in MeDAL's shape as trees, and a forward pass over some of them, by any kernel.

N nodes, B sequences side by side, Q questions. One place for training, scoring and the attention stage.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from medalist.trees.losses import question_losses
from medalist.trees.rows import know_rows
from medalist.trees.scoring import TreePass, candidate_scores, score_pass, tree_inputs, tree_pass
from medalist.trees.tree import TokenTree, build_tree, forest, padded, visible

Mention = tuple[list[int], list[list[int]]]
"""A question: its prompt's token ids, and those of each candidate; the first is the gold, the last the null
candidate."""

KERNELS = ("sdpa", "sdpa float", "flex")
"""SDPA with a dense bool mask, with an additive one made once (as medalist does), FlexAttention with a block mask."""
FLEX_BLOCK = 128
"""FlexAttention's block of the mask."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """Random token ids in the shape of a MeDAL passage."""

    passage: list[int]
    mentions: list[Mention]

    def tree(self) -> TokenTree:
        """Everything about it, laid out as medalist does."""
        return build_tree(self.passage, self.mentions)

    def gold_tree(self) -> TokenTree:
        """What the plain sequences have, with the passage shared."""
        return build_tree(self.passage, [(prompt, candidates[:1]) for prompt, candidates in self.mentions])

    def rows(self) -> list[TokenTree]:
        """A plain sequence for each mention: the passage, the question and the gold; nothing is shared."""
        return [build_tree(self.passage, [(prompt, candidates[:1])]) for prompt, candidates in self.mentions]


def medal_like(
    count: int,
    vocab: int,
    *,
    passage: tuple[int, int] = (250, 400),
    mentions: tuple[int, int] = (3, 4),
    prompt: int = 14,
    candidates: int = 8,
    words: tuple[int, int] = (2, 8),
    seed: int = 0,
) -> list[Text]:
    """Texts of random tokens: sizes are drawn from the given ranges, both ends included.

    Args:
        count: of texts.
        vocab: token ids are below it.
        passage: tokens of a passage.
        mentions: questions of a passage.
        prompt: tokens of a question.
        candidates: of a question.
        words: tokens of a candidate.
        seed: of everything.
    """
    draw = random.Random(seed)

    def tokens(size: int) -> list[int]:
        return [draw.randrange(3, vocab) for _ in range(size)]

    def mention() -> Mention:
        return tokens(prompt), [tokens(draw.randint(*words)) for _ in range(candidates)]

    return [
        Text(passage=tokens(draw.randint(*passage)), mentions=[mention() for _ in range(draw.randint(*mentions))])
        for _ in range(count)
    ]


def packs(trees: Sequence[TokenTree], limit: int) -> list[list[TokenTree]]:
    """Trees in order, as many together as stay within `limit` nodes; a last pack that is not full is left out."""
    found: list[list[TokenTree]] = [[]]
    for tree in trees:
        if found[-1] and sum(map(len, found[-1])) + len(tree) > limit:
            found.append([])
        found[-1].append(tree)
    return found[:-1] if len(found) > 1 else found


@dataclass(frozen=True, kw_only=True, slots=True)
class Pass:
    """Some trees as one forward pass."""

    laid: TreePass
    """All of them, on the device."""
    kernel: str
    """One of `KERNELS`, "causal" (no mask at all, for plain rows padded on the right), or "shipped": as medalist does,
    SDPA with attention in rows."""
    nodes: int
    """Without padding."""
    pairs: int
    """Of nodes that see each other."""
    gold: Tensor
    """``[Q]`` index of each question's gold among all candidates."""
    null: Tensor
    """``[Q]`` the same for the null candidate."""

    @property
    def sequences(self) -> int:
        """B: 1 for trees one after another."""
        return self.laid.token_ids.shape[0]

    @property
    def length(self) -> int:
        """Nodes of one sequence, padding included."""
        return self.laid.token_ids.shape[1]

    @property
    def computed(self) -> int:
        """Nodes of all sequences, padding included."""
        return self.laid.token_ids.numel()


def as_shipped(trees: Sequence[TokenTree], device: str) -> Pass:
    """What medalist makes of them on a GPU with `model.attention=auto`; elsewhere too, so that a CPU can try it."""
    return _pass(trees, tree_pass(forest(trees), "sdpa_in_rows"), "shipped", device)


def one_after_another(trees: Sequence[TokenTree], kernel: str, device: str, *, length: int = 0) -> Pass:
    """A forest ``[1, N]``; N is `length` if that is enough, else what the kernel likes."""
    multiple = max(length, 0) or (FLEX_BLOCK if kernel == "flex" else 8)
    return _pass(trees, _sequences(padded(forest(trees), multiple), 1, kernel), kernel, device)


def side_by_side(trees: Sequence[TokenTree], kernel: str, device: str) -> Pass:
    """A batch ``[B, n]``, each tree padded on the right to the longest, n a multiple of 8."""
    longest = max(map(len, trees))
    longest += -longest % 8
    joined = forest([padded(tree, longest) for tree in trees])
    return _pass(trees, _sequences(joined, len(trees), kernel), kernel, device)


def _sequences(joined: TokenTree, count: int, kernel: str) -> TreePass:
    """A forest whose nodes are those of so many sequences of equal length, as a pass."""
    nodes, row = torch.unique(joined.predict_node, return_inverse=True)
    starts = torch.arange(count)[:, None] * (len(joined) // count)
    return TreePass(
        attention="flex_attention" if kernel == "flex" else "sdpa",
        token_ids=joined.token_ids.view(count, -1),
        depth=joined.depth.view(count, -1),
        subtree_end=joined.subtree_end.view(count, -1) - starts,
        place=None,
        wanted=nodes,
        predict_row=row,
        predict_token=joined.predict_token,
        predict_candidate=joined.predict_candidate,
        candidate_question=joined.candidate_question,
    )


def _pass(trees: Sequence[TokenTree], laid: TreePass, kernel: str, device: str) -> Pass:
    counts = laid.candidate_question.bincount()
    first = counts.cumsum(0) - counts
    return Pass(
        laid=laid.to(device),
        kernel=kernel,
        nodes=sum(map(len, trees)),
        pairs=sum(int(tree.depth.sum()) + len(tree) for tree in trees),
        gold=first.to(device),
        null=(first + counts - 1).to(device),
    )


def attention_mask(one: Pass, dtype: torch.dtype) -> Any:
    """The mask of a pass, made on its device: ``[B, 1, n, n]`` or a `BlockMask`; None for "causal"."""
    if one.kernel == "causal":
        return None
    if one.kernel == "sdpa":  # a bool mask, of which the kernel makes its own in every layer
        return visible(one.laid.subtree_end)[:, None]
    return tree_inputs(one.laid, dtype)["attention_mask"]


def let_compile(*, dynamic: bool = True) -> None:
    """Prepare for FlexAttention, and forget what was compiled.

    It is compiled for every dtype and head count, and past PyTorch's own limit of such cases it would run uncompiled.

    Args:
        dynamic: compile once for all lengths as soon as a second one comes, as PyTorch does by itself; else for each
        length.
    """
    import torch._dynamo

    torch._dynamo.reset()
    torch._dynamo.config.recompile_limit = 64
    torch._dynamo.config.automatic_dynamic_shapes = dynamic


def compiled() -> int:
    """Graphs that were compiled in this process so far."""
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])


def use_kernel(model: Any, kernel: str) -> None:
    """Have a transformers model compute attention with it."""
    know_rows()
    model.set_attn_implementation({"flex": "flex_attention", "shipped": "sdpa_in_rows"}.get(kernel, "sdpa"))


def scores(model: Any, one: Pass) -> Tensor:
    """Log-probability of every candidate, ``[C]`` float32; the output layer is computed at the nodes that predict only.

    Args:
        model: `LlamaForCausalLM` (peft's wrapper taken off: the adapters are in its layers).
        one: what to compute.
    """
    if one.kernel == "shipped":
        return score_pass(model, one.laid)
    mask = attention_mask(one, model.dtype)
    hidden = model.get_decoder()(
        input_ids=one.laid.token_ids,
        # Positions that start anew would have transformers make a mask of its own.
        position_ids=None if mask is None else one.laid.depth,
        attention_mask=mask,
        use_cache=False,
    ).last_hidden_state
    return candidate_scores(model.lm_head(hidden.flatten(0, 1)[one.laid.wanted]), one.laid)


def tree_loss(found: Tensor, one: Pass) -> Tensor:
    """Medalist's loss with its default weights, the mean over questions."""
    losses = question_losses(
        found, one.laid.candidate_question, one.gold, one.null, likelihood_weight=0.1, hidden_gold_weight=0.1
    )
    return losses.mean()


def row_loss(found: Tensor, one: Pass) -> Tensor:
    """What a plain loop trains: the likelihood of the answer's tokens, mean over tokens."""
    return -found.sum() / len(one.laid.predict_token)
