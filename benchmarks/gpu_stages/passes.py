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
from medalist.trees.scoring import candidate_scores
from medalist.trees.tree import TokenTree, build_tree, forest, padded, visible

Mention = tuple[list[int], list[list[int]]]
"""A question: its prompt's token ids, and those of each candidate; the first is the gold, the last the null
candidate."""

KERNELS = ("sdpa", "sdpa float", "flex")
"""SDPA with a dense bool mask, with the same mask as bfloat16 made once, FlexAttention with a block mask."""
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

    tree: TokenTree
    """All of them, with padding nodes; its numbers count through B sequences of equal length."""
    sequences: int
    """B: 1 for trees one after another."""
    kernel: str
    """One of `KERNELS`, or "causal": no mask at all, for plain rows padded on the right."""
    nodes: int
    """Without padding."""
    pairs: int
    """Of nodes that see each other."""
    rows: Tensor
    """``[K]`` distinct nodes that predict something."""
    gold: Tensor
    """``[Q]`` index of each question's gold among all candidates."""
    null: Tensor
    """``[Q]`` the same for the null candidate."""

    @property
    def length(self) -> int:
        """Nodes of one sequence, padding included."""
        return len(self.tree) // self.sequences


def one_after_another(trees: Sequence[TokenTree], kernel: str, device: str, *, length: int = 0) -> Pass:
    """A forest ``[1, N]``; N is `length` if that is enough, else what the kernel likes."""
    joined = forest(trees)
    multiple = max(length, 0) or (FLEX_BLOCK if kernel == "flex" else 8)
    return _pass(trees, padded(joined, multiple), 1, kernel, device)


def side_by_side(trees: Sequence[TokenTree], kernel: str, device: str) -> Pass:
    """A batch ``[B, n]``, each tree padded on the right to the longest, n a multiple of 8."""
    longest = max(map(len, trees))
    longest += -longest % 8
    return _pass(trees, forest([padded(tree, longest) for tree in trees]), len(trees), kernel, device)


def _pass(trees: Sequence[TokenTree], joined: TokenTree, sequences: int, kernel: str, device: str) -> Pass:
    counts = joined.candidate_question.bincount()
    first = counts.cumsum(0) - counts
    return Pass(
        tree=joined.to(device),
        sequences=sequences,
        kernel=kernel,
        nodes=sum(map(len, trees)),
        pairs=sum(int(tree.depth.sum()) + len(tree) for tree in trees),
        rows=torch.unique(joined.predict_node).to(device),
        gold=first.to(device),
        null=(first + counts - 1).to(device),
    )


def attention_mask(one: Pass, dtype: torch.dtype) -> Any:
    """The mask of a pass, made on its device: ``[B, 1, n, n]`` or a `BlockMask`; None for "causal"."""
    if one.kernel == "causal":
        return None
    if one.kernel == "flex":
        from torch.nn.attention.flex_attention import create_block_mask

        assert one.sequences == 1
        ends, size = one.tree.subtree_end, one.length
        return create_block_mask(
            lambda _batch, _head, query, key: (key <= query) & (query < ends[key]),
            B=None,
            H=None,
            Q_LEN=size,
            KV_LEN=size,
            device=ends.device.type,
        )
    starts = torch.arange(one.sequences, device=one.tree.subtree_end.device)[:, None] * one.length
    ends = one.tree.subtree_end.view(one.sequences, -1) - starts
    mask = torch.stack([visible(row) for row in ends])[:, None]
    if one.kernel == "sdpa float":
        return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, -torch.inf)
    return mask


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
    model.set_attn_implementation("flex_attention" if kernel == "flex" else "sdpa")


def scores(model: Any, one: Pass, mask: Any) -> Tensor:
    """Log-probability of every candidate, ``[C]`` float32; the output layer is computed at the nodes that predict only.

    Args:
        model: `LlamaForCausalLM` (peft's wrapper taken off: the adapters are in its layers).
        one: what to compute.
        mask: from `attention_mask`.
    """
    shape = (one.sequences, one.length)
    hidden = model.get_decoder()(
        input_ids=one.tree.token_ids.view(shape),
        # Positions that start anew would have transformers make a mask of its own.
        position_ids=None if mask is None else one.tree.depth.view(shape),
        attention_mask=mask,
        use_cache=False,
    ).last_hidden_state
    logits = model.lm_head(hidden.reshape(-1, hidden.shape[-1])[one.rows])
    return candidate_scores(logits, one.tree)


def tree_loss(found: Tensor, one: Pass) -> Tensor:
    """Medalist's loss with its default weights, the mean over questions."""
    losses = question_losses(
        found, one.tree.candidate_question, one.gold, one.null, likelihood_weight=0.1, hidden_gold_weight=0.1
    )
    return losses.mean()


def row_loss(found: Tensor, one: Pass) -> Tensor:
    """What a plain loop trains: the likelihood of the answer's tokens, mean over tokens."""
    return -found.sum() / len(one.tree.predict_token)
