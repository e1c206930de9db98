"""Attention over several trees at once on a GPU: in rows for attention, as one sequence for everything else.

A dense mask over a forest of N nodes takes O(N²). In rows, each tree takes only its own length squared, but rows have
padding. So only attention is computed in rows: queries, keys and values are scattered into rows before it and its
output is gathered after it; linear layers, norms and adapters see only the nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .tree import TokenTree

MULTIPLE = 64
"""The length of rows is a multiple of this."""
SDPA_IN_ROWS = "sdpa_in_rows"
"""The name under which `sdpa_in_rows` is registered with transformers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """A forest of N nodes packed into R rows of length L; a row may hold several trees."""

    subtree_end: Tensor
    """``[R, L]`` int64, within the row; padding sees only itself."""
    place: Tensor
    """``[N]`` int64; the index of each node of the forest in the flattened rows."""


def pack_rows(sizes: Sequence[int]) -> tuple[int, int, list[int]]:
    """Distribute trees over rows as long as the longest tree: longest first, each into the first row with room.

    Args:
        sizes: number of nodes of each tree.

    Returns:
        R, L (a multiple of `MULTIPLE`), and for each tree the index of its first node in the flattened rows.
    """
    length = -(-max(sizes) // MULTIPLE) * MULTIPLE
    free: list[int] = []
    begins = [0] * len(sizes)
    for number in sorted(range(len(sizes)), key=lambda number: -sizes[number]):
        row = next((row for row, room in enumerate(free) if room >= sizes[number]), len(free))
        if row == len(free):
            free.append(length)
        begins[number] = (row + 1) * length - free[row]
        free[row] -= sizes[number]
    return len(free), length, begins


def in_rows(tree: TokenTree) -> Rows:
    """Pack the trees of a forest on the CPU into rows as long as its longest tree."""
    starts = (tree.depth == 0).nonzero().flatten()
    sizes = torch.diff(starts, append=torch.tensor([len(tree)]))
    rows, length, begins = pack_rows(sizes.tolist())
    shift = (torch.tensor(begins) - starts).repeat_interleave(sizes)
    place = torch.arange(len(tree)) + shift
    alone = torch.arange(1, length + 1).repeat(rows)
    ends = alone.index_copy(0, place, tree.subtree_end + shift - place // length * length)
    return Rows(subtree_end=ends.view(rows, length), place=place)


def sdpa_in_rows(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **more: Any
) -> tuple[Tensor, None]:
    """Transformers' SDPA attention; given `place`, computed in rows.

    Args:
        module: the attention layer.
        query: ``[1, H, N, D]``.
        key: ``[1, G, N, D]``.
        value: ``[1, G, N, D]``.
        attention_mask: with `place`, additive and ``[R, 1, L, L]``; otherwise as for transformers' function.
        more: `place` (`Rows.place`), and the arguments of transformers' function.

    Returns:
        ``[1, N, H, D]``, and None for the attention weights.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward  # slow to import

    place = more.pop("place", None)
    if place is None:
        whole: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **more)
        return whole
    assert attention_mask is not None, "a forest has a mask"
    rows, _, length, _ = attention_mask.shape

    def laid(each: Tensor) -> Tensor:
        nodes = each[0].transpose(0, 1)
        empty = nodes.new_zeros(rows * length, *nodes.shape[1:])
        # Unlike other ways of scattering, this one saves no tensor for the backward pass.
        return empty.index_put((place,), nodes).view(rows, length, *nodes.shape[1:]).transpose(1, 2)

    found, _ = sdpa_attention_forward(module, laid(query), laid(key), laid(value), attention_mask, **more)
    return found.flatten(0, 1).index_select(0, place)[None], None


def know_rows() -> None:
    """Register `SDPA_IN_ROWS` with transformers as an attention implementation with SDPA's masks."""
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
    from transformers.modeling_utils import AttentionInterface

    AttentionInterface.register(SDPA_IN_ROWS, sdpa_in_rows)
    AttentionMaskInterface.register(SDPA_IN_ROWS, sdpa_mask)
