"""Loads a base model with a dtype and an attention kernel that suit the device.

Every model's tree scores are checked against separate sequences before it is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor

from ..tools.number_formats import DType, Quantization
from ..tools.progress import say
from ..trees.attention_check import TreeAttentionError, check_tree_attention
from ..trees.prompt import Layout
from ..trees.rows import know_rows
from ..trees.scoring import Attention, score_layouts
from .base import BaseIdentity, check_base_hash, find_base, quiet_loading, refuse_missing, unreadable_weights
from .model_folder import check_model_folder
from .precision import choose_precision, settle
from .products import speed_up

AttentionChoice = Literal["auto", "sdpa", "flex"]


@dataclass(kw_only=True, slots=True)
class LoadedModel:
    """A causal LM that can score token trees, with its tokenizer and metadata."""

    model: Any
    tokenizer: Any
    identity: BaseIdentity
    attention: Attention
    max_depth: int
    """Longest sequence that the model reads in full, in tokens."""
    tree_error: float
    """The largest difference from separate sequences that the check found, in nats; NaN before the check."""
    quantization: Quantization = "none"
    """How the weights of its linear layers are stored; adapters are merged only if it is "none"."""

    @property
    def device(self) -> torch.device:
        """The device of the model's weights."""
        device: torch.device = self.model.device
        return device

    def score(
        self, layouts: Iterable[Layout], *, max_nodes: int, progress: Callable[[int], object] = lambda _: None
    ) -> Iterator[tuple[Layout, list[Tensor]]]:
        """Score trees; see `score_layouts`."""
        return score_layouts(self.model, layouts, attention=self.attention, max_nodes=max_nodes, progress=progress)


def load_base(
    source: str,
    *,
    revision: str | None = None,
    dtype: DType = "auto",
    quantization: Quantization = "none",
    device: str = "auto",
    place: bool = True,
    expected_sha256: str | None = None,
    attention: AttentionChoice = "auto",
) -> LoadedModel:
    """Load a base model and its tokenizer.

    Args:
        source: "smollm2-135m" for the embedded model, a folder, a `.gguf` file, `package:NAME` for a model inside an
            installed package, or a Hub id.
        revision: commit, branch or tag of a Hub id.
        dtype: `auto` is bfloat16 on a GPU that supports it, float16 on other GPUs, float32 on a CPU.
        quantization: "nf4" or "int8" store the linear layers, except the output layer, in 4 or 8 bits with
            bitsandbytes; they compute in `dtype`.
        device: `auto` is a GPU if there is one (`cuda:LOCAL_RANK` among several processes), otherwise the CPU.
        place: False leaves the weights in CPU memory and skips the check against separate sequences: for
            `sharding.shard_model`, which moves slices of them to the device and does the check there.
        expected_sha256: refuse weights with any other hash.
        attention: the kernel; see `choose_attention`.

    Raises:
        ModelError: there is nothing to load, or its weights are not the recorded ones.
        TreeAttentionError: the model does not score token trees correctly.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer  # slow to import

    precision = choose_precision(device, dtype, quantization)
    folder, identity = find_base(source, revision)
    check_base_hash(identity, expected_sha256)
    check_model_folder(source, folder)
    if (precision.device.type, precision.dtype, quantization) != ("cpu", torch.float32, "none"):
        _announce(precision.reason)
    with quiet_loading(), unreadable_weights(folder, source):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        model, report = AutoModelForCausalLM.from_pretrained(
            folder,
            attn_implementation="sdpa",
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            **precision.loading_arguments(),
        )
    refuse_missing(source, report)
    if quantization != "none":
        settle(model, precision.device)
    elif place:
        model = model.to(precision.device)
    if (precision.device.type, precision.dtype, quantization) == ("cpu", torch.float32, "none"):
        speed_up(model)
    kernel, tree_error = choose_attention(model, attention) if place else ("sdpa", math.nan)
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        identity=identity,
        attention=kernel,
        max_depth=longest_sequence(model.config),
        tree_error=tree_error,
        quantization=quantization,
    )


@cache
def _announce(reason: str) -> None:
    """Print the reason once per process, though a command may load its base several times."""
    say(reason)


_ATTENTION: dict[AttentionChoice, tuple[Attention, ...]] = {
    "auto": ("sdpa_in_rows", "flex_attention", "sdpa"),
    "sdpa": ("sdpa_in_rows", "sdpa"),
    "flex": ("flex_attention",),
}


def choose_attention(model: Any, wanted: AttentionChoice = "auto") -> tuple[Attention, float]:
    """The first requested kernel with which the model scores trees correctly, and the largest difference, in nats.

    `auto` tries SDPA in rows first: it compiles nothing, is faster on short trees and is also correct in int8
    (docs/gpu.md). Families whose layers do not pass `place` on (Falcon, StableLM) get a dense mask over the whole pass.
    FlexAttention has no backward pass on a CPU, which uses SDPA whatever is requested, so that a run trained on a GPU
    can be scored on a CPU.

    Raises:
        TreeAttentionError: no kernel scores trees correctly.
    """
    kernels = ("sdpa",) if model.device.type == "cpu" else _ATTENTION[wanted]
    know_rows()
    for number, kernel in enumerate(kernels, 1):
        model.set_attn_implementation(kernel)
        try:
            return kernel, check_tree_attention(model, kernel)
        except TreeAttentionError as error:
            if number == len(kernels):
                raise
            say(f"{kernel} is not used: {error}")
    raise AssertionError("there is always a kernel to try")


def longest_sequence(config: Any) -> int:
    """Longest sequence that a model reads in full, in tokens: a tree would not respect a sliding window beyond that."""
    longest = int(getattr(config, "max_position_embeddings", None) or 2048)
    window = getattr(config, "sliding_window", None)
    return min(longest, int(window)) if window and getattr(config, "use_sliding_window", True) else longest
