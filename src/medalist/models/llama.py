"""A Llama's forward pass over token trees on a CPU, without transformers, whose import alone takes seconds.

For scoring only, in float32, or with matrix products in bfloat16. Weights are read from a memory-mapped safetensors
file. Products run in oneDNN (`products`). Attention is computed in parts: upper nodes attend to one another, and each
small subtree to itself and to the upper nodes, which skips nearly all masked pairs.
`tests/models/test_llama.py` compares it with transformers.

N nodes, H query heads and G key heads of size D; U upper nodes; S parts of at most W nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor

from ..trees.scoring import TreePass
from .model_folder import weight_files
from .products import MULTIPLE
from .products import linear as product_of

PART = 96
"""Maximum number of nodes in a part."""


def fits(config: Mapping[str, Any]) -> bool:
    """Whether a model's `config.json` describes a Llama without options that this implementation lacks."""
    rope = config.get("rope_parameters") or {}
    return (
        config.get("model_type") == "llama"
        and config.get("architectures") == ["LlamaForCausalLM"]
        and config.get("hidden_act") == "silu"
        and not config.get("attention_bias")
        and not config.get("mlp_bias")
        and rope.get("rope_type") == "default"
        and isinstance(rope.get("rope_theta"), (int, float))
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Block:
    before_attention: Tensor
    """``[hidden]``."""
    query_key_value: Tensor
    """``[(H + 2 G) D, hidden]``: three layers fused into one product."""
    output: Tensor
    before_mlp: Tensor
    gate_up: Tensor
    """``[2 width, hidden]``."""
    down: Tensor


class Llama:
    """A Llama for scoring; implements only what `scoring` needs of a model.

    Args:
        config: its `config.json`, for which `fits` is true.
        weights: name -> tensor, with transformers' names and the adapter merged.
        dtype: dtype of the layers' products; everything else is in float32, including the product with the vocabulary.
    """

    device = torch.device("cpu")

    def __init__(
        self, config: Mapping[str, Any], weights: Mapping[str, Tensor], dtype: torch.dtype = torch.float32
    ) -> None:
        self.dtype = dtype
        self.config = SimpleNamespace(**config)
        self._heads = int(config["num_attention_heads"])
        self._key_heads = int(config.get("num_key_value_heads") or self._heads)
        self._size = int(config.get("head_dim") or config["hidden_size"] // self._heads)
        self._eps = float(config["rms_norm_eps"])
        even = torch.arange(0, self._size, 2, dtype=torch.int64).float()
        self._frequencies = 1.0 / (config["rope_parameters"]["rope_theta"] ** (even / self._size))
        self._embeddings = weights["model.embed_tokens.weight"]
        self._norm = weights["model.norm.weight"]
        self._vocabulary = self._embeddings if config.get("tie_word_embeddings") else weights["lm_head.weight"]

        def joined(block: int, *names: str) -> Tensor:
            parts = [weights[f"model.layers.{block}.{name}.weight"] for name in names]
            return torch.cat(parts) if len(parts) > 1 else parts[0]

        def product(block: int, *names: str) -> Tensor:
            return joined(block, *names).to(dtype)

        self._blocks = [
            _Block(
                before_attention=joined(block, "input_layernorm"),
                query_key_value=product(block, "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
                output=product(block, "self_attn.o_proj"),
                before_mlp=joined(block, "post_attention_layernorm"),
                gate_up=product(block, "mlp.gate_proj", "mlp.up_proj"),
                down=product(block, "mlp.down_proj"),
            )
            for block in range(int(config["num_hidden_layers"]))
        ]

    def eval(self) -> Llama:
        """Returns the model itself, which is never in training mode."""
        return self

    def get_input_embeddings(self) -> SimpleNamespace:
        """Provides only the number of embeddings."""
        return SimpleNamespace(num_embeddings=len(self._embeddings))

    def __call__(self, input_ids: Tensor, *, use_cache: bool = False) -> SimpleNamespace:
        """Logits ``[B, N, V]`` of plain sequences ``[B, N]``, by PyTorch's causal attention: a reference for trees."""
        assert not use_cache
        logits = [self._logits(self._hidden(row, torch.arange(len(row)), None)) for row in input_ids]
        return SimpleNamespace(logits=torch.stack(logits))

    def tree_logits(self, one: TreePass) -> Tensor:
        """As `scoring.tree_logits`, ``[K, V]``."""
        parts = Parts.of(one.subtree_end[0])
        hidden = self._hidden(one.token_ids[0], one.depth[0], parts)
        return self._logits(hidden[one.wanted])

    def _logits(self, hidden: Tensor) -> Tensor:
        """``[N, V]`` float32, from the last layer's ``[N, hidden]``."""
        return linear(self._normed(_filled(hidden), self._norm), self._vocabulary)[: len(hidden)]

    def _hidden(self, token_ids: Tensor, positions: Tensor, parts: Parts | None) -> Tensor:
        """``[N, hidden]`` before the last norm; without parts, with causal attention."""
        count = len(token_ids)
        # rows after the last node are padding
        token_ids, positions = _filled(token_ids), _filled(positions)
        angles = positions[:, None].float() * self._frequencies
        turn = (angles.cos().repeat(1, 2)[:, None], angles.sin().repeat(1, 2)[:, None])
        hidden = F.embedding(token_ids, self._embeddings)
        for block in self._blocks:
            hidden = hidden + linear(self._attended(block, hidden, turn, parts), block.output)
            gate, up = linear(self._normed(hidden, block.before_mlp), block.gate_up).chunk(2, -1)
            hidden = hidden + linear(F.silu(gate).mul_(up), block.down)
        return hidden[:count]

    def _attended(self, block: _Block, hidden: Tensor, turn: tuple[Tensor, Tensor], parts: Parts | None) -> Tensor:
        """Attention's output before its output projection, ``[N, H D]``."""
        rows = linear(self._normed(hidden, block.before_attention), block.query_key_value)
        rows = rows.view(len(hidden), self._heads + 2 * self._key_heads, self._size)
        turned = _turned(rows[:, : self._heads + self._key_heads], *turn)
        query, key = turned[:, : self._heads], turned[:, self._heads :]
        value = rows[:, self._heads + self._key_heads :]
        if parts is not None:
            return parts.attend(query, key, value).flatten(1)
        query, key, value = (each.transpose(0, 1)[None] for each in (query, key, value))
        same = self._heads // self._key_heads
        key, value = key.repeat_interleave(same, 1), value.repeat_interleave(same, 1)
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return seen[0].transpose(0, 1).flatten(1)

    def _normed(self, hidden: Tensor, weight: Tensor) -> Tensor:
        return hidden * torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + self._eps) * weight


def _filled(rows: Tensor) -> Tensor:
    """The rows, padded with zeros to a multiple of `MULTIPLE`."""
    missing = -len(rows) % MULTIPLE
    return torch.cat([rows, rows.new_zeros(missing, *rows.shape[1:])]) if missing else rows


def _turned(rows: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply rotary position embeddings (Su et al. 2021), in transformers' layout."""
    first, second = rows.chunk(2, -1)
    return rows * cos + torch.cat([-second, first], -1) * sin


def linear(rows: Tensor, weight: Tensor) -> Tensor:
    """``rows[..., in]`` times ``weight[out, in]``, computed in the weight's dtype: ``[..., out]`` float32."""
    return product_of(rows.to(weight.dtype), weight).float()


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """The nodes of a tree or forest, laid out so that attention computes few masked pairs.

    Upper nodes have large subtrees: the passage, and prefixes that many questions share. The others form subtrees of at
    most `PART` nodes; neighbouring ones share a part. A node sees only upper nodes and nodes of its own part.
    """

    upper: Tensor
    """``[U]`` int64."""
    part: Tensor
    """``[S, W]`` int64; padded with the part's first node."""
    real: Tensor
    """``[S, W]`` bool; false for padding."""
    upper_mask: Tensor
    """``[U, U]`` additive."""
    part_mask: Tensor
    """``[S, 1, W, U + W]`` additive; upper nodes first."""

    @classmethod
    def of(cls, subtree_end: Tensor) -> Parts:
        """Divide the nodes into parts, given ``subtree_end[N]``."""
        ends = subtree_end.tolist()
        upper: list[int] = []
        spans: list[tuple[int, int]] = []
        node = 0
        while node < len(ends):
            end = ends[node]
            if end - node > PART:
                upper.append(node)
                node += 1
                continue
            start = spans[-1][0] if spans else -1
            if spans and spans[-1][1] == node and end - start <= PART:
                spans[-1] = (start, end)
            else:
                spans.append((node, end))
            node = end
        width = max((end - start for start, end in spans), default=0)
        starts = torch.tensor([start for start, _ in spans], dtype=torch.int64)[:, None]
        sizes = torch.tensor([end - start for start, end in spans], dtype=torch.int64)[:, None]
        within = torch.arange(width)
        part = torch.where(within < sizes, starts + within, starts)
        above = torch.tensor(upper, dtype=torch.int64)

        def mask(query: Tensor, key: Tensor) -> Tensor:
            seen = (key <= query) & (query < subtree_end[key])
            return torch.zeros(seen.shape).masked_fill_(~seen, -torch.inf)

        own = mask(part[:, :, None], part[:, None, :])
        own = own.masked_fill((within >= sizes)[:, None, :], -torch.inf)
        return cls(
            upper=above,
            part=part,
            real=within < sizes,
            upper_mask=mask(above[:, None], above[None, :]),
            part_mask=torch.cat([mask(part[:, :, None], above[None, None, :]), own], -1)[:, None],
        )

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attention of ``query[N, H, D]`` to ``key[N, G, D]`` and ``value[N, G, D]``: ``[N, H, D]``."""
        found = torch.zeros_like(query, memory_format=torch.contiguous_format)
        key_above, value_above = (each[self.upper].transpose(0, 1)[None] for each in (key, value))
        if len(self.upper):
            found[self.upper] = _sdpa(query[self.upper][None], key_above, value_above, self.upper_mask[None, None])[0]
        if len(self.part):
            copies = len(self.part), -1, -1, -1
            keys, values = (
                torch.cat([above.expand(copies), each[self.part].transpose(1, 2)], 2)
                for above, each in ((key_above, key), (value_above, value))
            )
            found[self.part[self.real]] = _sdpa(query[self.part], keys, values, self.part_mask)[self.real]
        return found


def _sdpa(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Attention of ``query[S, W, H, D]`` to ``key[S, G, K, D]`` under ``mask[S, 1, W, K]``: ``[S, W, H, D]``.

    The H / G query heads of a key head are stacked as rows, so that keys need not be copied.
    """
    parts, width, heads, size = query.shape
    groups = key.shape[1]
    same = heads // groups
    rows = (
        query.view(parts, width, groups, same, size).permute(0, 2, 3, 1, 4).reshape(parts, groups, same * width, size)
    )
    seen = F.scaled_dot_product_attention(rows, key, value, attn_mask=mask.repeat(1, 1, same, 1))
    return seen.view(parts, groups, same, width, size).permute(0, 3, 1, 2, 4).reshape(parts, width, heads, size)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The weights of a model folder that other loaders would read, in float32; memory-mapped if stored in float32."""
    weights: dict[str, Tensor] = {}
    places = weight_files(folder)
    for name in sorted(set(places.values())):
        with safe_open(folder / name, "pt") as file:
            keys = file.keys()
            weights |= {key: file.get_tensor(key).float() for key in keys if places.get(key) == name}
    return weights
