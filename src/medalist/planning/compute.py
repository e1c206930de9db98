"""Counts the operations of forward and backward passes over token trees, and measures how fast a device is.

N nodes in a pass, K of them with logits, V vocabulary. A product of ``[N, a]`` and ``[a, b]`` is 2Nab operations.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ..models.products import speed_up
from ..recipe import TrainingSettings
from ..tools.local_imports import import_bitsandbytes
from .memory import Pass, Place, adapted_layers
from .shapes import ModelShape


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """Floating-point operations of a pass."""

    forward: float
    backward: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Rates:
    """Speeds measured by the probe, in operations per second."""

    forward: float
    backward: float


def training_work(shape: ModelShape, settings: TrainingSettings, place: Place, one: Pass) -> Work:
    """Operations of a training pass.

    Frozen weights need no gradient of their own, so under LoRA a linear layer's backward pass costs 2 operations per
    weight and node, not 4; layers below the lowest adapter have no backward pass. Checkpointing repeats every block's
    forward pass.
    """
    linear = 2 * one.nodes * sum(layer.inputs * layer.outputs for layer in shape.linears)
    attention = _attention(shape, place, one)
    output = 2 * one.kept * shape.embedding
    if settings.method == "full":
        blocks = shape.layers * (linear + attention)
        backward = shape.layers * (2 * linear + 2.5 * attention) + 2 * output
    else:
        adapted = adapted_layers(shape, settings)
        adapter = 2 * one.nodes * shape.adapter(settings.rank)
        blocks = shape.layers * (linear + attention) + adapted * adapter
        # Under checkpointing peft requests the embedding's gradient, so the backward pass goes through every block.
        through = shape.layers if settings.activation_checkpointing else adapted
        backward = through * (linear + 2.5 * attention) + 2 * adapted * adapter + output
        if not settings.activation_checkpointing:  # nothing below the lowest adapter needs a gradient
            inputs = [layer for layer in shape.linears if layer.name in ("q_proj", "k_proj", "v_proj")]
            backward -= 2 * one.nodes * sum(layer.inputs * (layer.outputs + settings.rank) for layer in inputs)
    again = blocks if settings.activation_checkpointing else 0
    return Work(forward=blocks + output, backward=backward + again)


def scoring_work(shape: ModelShape, place: Place, one: Pass) -> float:
    """Operations of a scoring pass, with adapters merged."""
    linear = 2 * one.nodes * sum(layer.inputs * layer.outputs for layer in shape.linears)
    attention = _attention(shape, place, one)
    return shape.layers * (linear + attention) + 2 * one.kept * shape.embedding


def _attention(shape: ModelShape, place: Place, one: Pass) -> float:
    """Operations of a block's attention in the forward pass: all pairs of a dense mask, or only the visible ones."""
    pairs = one.seen * one.nodes**2 if place.attention == "flex_attention" else one.masked
    return 4 * pairs * shape.attention_width


def probe(shape: ModelShape, place: Place, nodes: int) -> Rates:
    """Measure how fast this device computes one of the model's linear layers, as it will be stored.

    Args:
        shape: the model's sizes.
        place: its device, dtype and quantisation.
        nodes: rows of the product.

    Raises:
        ImportError: quantised weights need bitsandbytes, which is not installed.
    """
    layer = _layer(shape, place)
    given = torch.randn(nodes, shape.hidden, dtype=getattr(torch, place.dtype), device=place.device, requires_grad=True)
    count = 2 * nodes * shape.hidden * shape.intermediate

    def forward() -> None:
        with torch.no_grad():
            layer(given)

    put_out = layer(given)
    above = torch.ones_like(put_out)

    def backward() -> None:
        torch.autograd.grad(put_out, given, above, retain_graph=True)

    return Rates(forward=count / _best(forward, place), backward=count / _best(backward, place))


def _layer(shape: ModelShape, place: Place) -> torch.nn.Module:
    dtype = getattr(torch, place.dtype)
    plain = torch.nn.Linear(shape.hidden, shape.intermediate, bias=False, dtype=dtype).requires_grad_(False)
    if place.quantization == "none":
        if (place.device, place.dtype) == ("cpu", "float32"):
            speed_up(plain)
        return plain.to(place.device)
    import_bitsandbytes()
    import bitsandbytes  # optional: medalist[quantize]

    quantised: Any = bitsandbytes.nn  # has no type annotations
    sizes = (shape.hidden, shape.intermediate, False)
    layer: torch.nn.Module
    if place.quantization == "int8":
        layer = quantised.Linear8bitLt(*sizes, has_fp16_weights=False)
    else:
        layer = quantised.Linear4bit(*sizes, compute_dtype=dtype, compress_statistics=True, quant_type="nf4")
    layer.load_state_dict(plain.state_dict())
    return layer.requires_grad_(False).to(place.device)


def _best(work: Callable[[], None], place: Place) -> float:
    """Seconds of the fastest of as many repetitions as fit into a second."""
    best, began = float("inf"), time.perf_counter()
    while time.perf_counter() - began < 1.0 or best == float("inf"):
        started = time.perf_counter()
        work()
        if place.device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return best
