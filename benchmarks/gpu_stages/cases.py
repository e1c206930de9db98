"""Ways to put trees, or plain rows, into forward passes: what training and scoring try."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from medalist.trees.tree import TokenTree

from .models import Sizes
from .notes import Options
from .passes import FLEX_BLOCK, Pass, Text, as_shipped, medal_like, one_after_another, packs, side_by_side

NOTES_SHAPE = {"passage": (100, 180), "mentions": (15, 25)}
"""The reader's notes have 285 characters and 20.5 marked short forms in the mean."""
GOLD_TREES = "gold trees"
"""How the names of cases with `gold` begin."""
STEPS = 20
FEWER = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One way to train."""

    name: str
    rows: bool = False
    """Plain rows instead of trees."""
    gold: bool = False
    """Trees of the gold answers alone, with plain rows' own loss: the same work and the same gradient as theirs."""
    limit: int = 4096
    """Nodes of a pass; 0: one tree."""
    kernel: str = "flex"
    beside: bool = False
    """Rows padded side by side instead of one after another."""
    checkpoint: bool = False
    casts: bool = False
    """peft's float32 copies of each adapted layer's input, which medalist's training does without."""
    compiled: bool = False
    """`training.compile`: the blocks by `torch.compile`."""
    notes: bool = False
    """Passages in the shape of the reader's notes, with many short forms, instead of MeDAL's."""
    stock: bool = False
    """Logits of all tokens, as a stock loop computes them."""
    steps: int = FEWER


FIRST = (
    Case(name="trees, 4k, as shipped", kernel="shipped", steps=STEPS),
    Case(name="trees, 4k, as shipped, compiled", kernel="shipped", compiled=True, steps=STEPS),
)
"""What `model.attention=auto` takes, to compare all others with; before the own loop."""
CASES = (
    Case(name="rows, 4k, right-padded, flash", rows=True, kernel="causal", beside=True),
    Case(name=f"{GOLD_TREES}, 4k, as shipped, compiled", gold=True, kernel="shipped", compiled=True),
    Case(name="trees, 8k, as shipped, compiled", limit=8192, kernel="shipped", compiled=True),
    Case(name="one tree, as shipped, compiled", limit=0, kernel="shipped", compiled=True, steps=STEPS),
    Case(name="notes: trees, 4k, as shipped, compiled", kernel="shipped", compiled=True, notes=True),
    Case(name="notes: rows, 4k, right-padded, flash", rows=True, kernel="causal", beside=True, notes=True),
    Case(name="rows, 4k, right-padded, flash, all logits", rows=True, kernel="causal", beside=True, stock=True),
    Case(
        name="trees, 8k, as shipped, compiled, checkpointing",
        limit=8192,
        kernel="shipped",
        compiled=True,
        checkpoint=True,
    ),
    Case(name="trees, 4k, flex", steps=STEPS),
    Case(name="trees, 8k, flex", limit=8192),
    Case(name="trees, 2k, as shipped", limit=2048, kernel="shipped"),
    Case(name="trees, 2k, flex", limit=2048),
    Case(name="rows, 4k, packed, sdpa", rows=True, kernel="sdpa"),
    Case(name="rows, 4k, right-padded, flash, compiled", rows=True, kernel="causal", beside=True, compiled=True),
    Case(name="one tree, as shipped", limit=0, kernel="shipped", steps=STEPS),
    Case(name="trees, 8k, as shipped", limit=8192, kernel="shipped"),
    Case(name="trees, 4k, flex, compiled", compiled=True),
    Case(name="trees, 4k, flex, checkpointing", checkpoint=True),
    Case(name="one tree, flex", limit=0, steps=STEPS),
    Case(name="rows, 4k, packed, flex", rows=True),
    Case(name="trees, 8k, flex, checkpointing", limit=8192, checkpoint=True),
    Case(name="trees, 8k, as shipped, checkpointing", limit=8192, kernel="shipped", checkpoint=True),
    Case(name="trees, 4k, as shipped, checkpointing", kernel="shipped", checkpoint=True),
    Case(name="trees, 4k, sdpa", kernel="sdpa"),
    Case(name="trees, 4k, sdpa float", kernel="sdpa float"),
    Case(name="trees, 4k, flex, peft's float32 copies", casts=True),
)
"""After what they are compared with, those that no card has measured as training is now."""
QUANTISED_CASES = (
    Case(name="trees, 4k, as shipped, NF4", kernel="shipped"),
    Case(name="trees, 4k, flex, NF4"),
    Case(name="trees, 4k, as shipped, compiled, NF4", kernel="shipped", compiled=True),
    Case(name="trees, 4k, as shipped, checkpointing, NF4", kernel="shipped", checkpoint=True),
    Case(name="one tree, as shipped, checkpointing, NF4", limit=0, kernel="shipped", checkpoint=True),
    Case(name="trees, 8k, as shipped, checkpointing, NF4", limit=8192, kernel="shipped", checkpoint=True),
    Case(name="one tree, as shipped, NF4", limit=0, kernel="shipped"),
)
SCORING_CASES = (
    Case(name="trees, 4k, as shipped", kernel="shipped"),
    Case(name="trees, 4k, flex"),
    Case(name="one tree, flex", limit=0),
    Case(name="trees, 16k, flex", limit=16384),
    Case(name="trees, 4k, sdpa", kernel="sdpa"),
    Case(name="trees, 8k, flex", limit=8192),
    Case(name="trees, 8k, as shipped", limit=8192, kernel="shipped"),
    Case(name="one tree, as shipped", limit=0, kernel="shipped"),
    Case(name="trees, 16k, as shipped", limit=16384, kernel="shipped"),
)
NEEDS = {"flex": 12, "shipped": 6, "causal": 6, "sdpa": 6, "sdpa float": 6}
"""Seconds of a case by kernel; FlexAttention compiles."""
COMPILING = 15
"""More, where the blocks are compiled; on an H200, the first of these cases took 100 for that."""


def passes(case: Case, sizes: Sizes, options: Options, *, candidates: int = 8) -> list[Pass]:
    """A few different forward passes of a case, equally long."""
    limit = case.limit // 32 if options.tiny else case.limit
    count = 6 if options.tiny else max(12, 5 * limit // 400)
    shape: dict[str, Any] = NOTES_SHAPE if case.notes else {}
    shape = {"passage": (20, 30), "prompt": 3, "words": (1, 3)} if options.tiny else shape
    texts = medal_like(count, sizes.vocab, candidates=candidates, **shape)
    trees = [tree for text in texts for tree in _trees(case, text)]
    if case.beside:
        trees.sort(key=len)
        taken = _padded_packs(trees, limit)
        # They are sorted by length: some of every length.
        chosen = sorted({int((number + 0.5) * len(taken) / 4) for number in range(4)})
        return [side_by_side(taken[number], case.kernel, options.device) for number in chosen]
    taken = packs(trees, limit)[:4] if limit else [[tree] for tree in trees[:4]]
    if case.kernel == "shipped":
        return [as_shipped(pack, options.device) for pack in taken]
    length = 0
    if case.kernel == "flex":  # compiled for one length
        longest = max(sum(map(len, pack)) for pack in taken)
        length = limit or longest + -longest % FLEX_BLOCK
    return [one_after_another(pack, case.kernel, options.device, length=length) for pack in taken]


def _trees(case: Case, text: Text) -> list[TokenTree]:
    if case.rows:
        return text.rows()
    return [text.gold_tree() if case.gold else text.tree()]


def _padded_packs(trees: Sequence[TokenTree], limit: int) -> list[list[TokenTree]]:
    """Trees sorted by length, as many side by side as stay within `limit` nodes, padding included."""
    found: list[list[TokenTree]] = [[]]
    for tree in trees:
        width = len(tree) + -len(tree) % 8
        if found[-1] and width * (len(found[-1]) + 1) > limit:
            found.append([])
        found[-1].append(tree)
    return found[:-1] if len(found) > 1 else found
