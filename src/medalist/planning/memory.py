"""What a model, its training and its scoring keep in memory, counted from shapes alone.

N nodes in one forward pass, K of them with logits, V vocabulary. Every term follows from what the code does: which tensors
autograd keeps of a Llama block, what peft adds, what bitsandbytes stores. Only `BASELINE` and `SLACK` are measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from ..models.load import AttentionChoice
from ..models.precision import Quantization
from ..recipe import TrainingSettings
from ..trees.scoring import FLEX_MULTIPLE, Attention
from ..trees.tree import pack_rows
from .shapes import Linear, ModelShape

WIDTH = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of a number."""
FLOAT = WIDTH["float32"]

BASELINE = {"cpu": 700e6, "cuda": 600e6}
"""Bytes before any model. CPU: measured resident memory of Python with torch, transformers and peft imported (benchmarks/plan.py);
CUDA: assumed, context and cuBLAS workspaces, nothing of the host."""
SLACK = {"cpu": 1.0, "cuda": 1.05}
"""What the allocator holds of what is in use. CUDA: assumed, for PyTorch's caching; CPU: see `HOLES`."""
HOLES = 0.8
"""On glibc, bytes of holes in the heap for every byte that the blocks keep for the backward pass; measured by benchmarks/plan.py
after three steps, where it lies between 0.5 and 0.9.

PyTorch asks for blocks aligned to 64 bytes, and glibc's `memalign` finds no room for one in the hole that an equal one left: it
looks for a little more. With checkpointing each block leaves its holes while it is computed, so they are as many.
"""
MAPPED = 32 * 2**20
"""Bytes of a block that glibc maps by itself and gives back at once, so that it leaves no hole (mallopt(3))."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pass:
    """One forward pass over a tree or forest."""

    nodes: int
    """N."""
    kept: int
    """K: nodes whose logits are computed."""
    seen: float = 0.5
    """Share of the N x N pairs that see each other."""
    trees: tuple[int, ...] = ()
    """Nodes of each of its trees; empty: it is one tree."""
    rows: int = 1
    """Sequences, equally long, that it is computed as."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a model runs and how its weights are kept there."""

    device: Literal["cpu", "cuda"]
    dtype: Literal["float32", "bfloat16", "float16"]
    quantization: Quantization = "none"
    parallel: Literal["ddp", "fsdp"] = "ddp"
    devices: int = 1
    wanted: AttentionChoice = "auto"
    """The recipe's `model.attention`."""
    holes: bool = False
    """Whether memory comes from glibc's heap; see `HOLES`."""

    @property
    def width(self) -> int:
        """Bytes of an activation."""
        return WIDTH[self.dtype]

    @property
    def attention(self) -> Attention:
        """As `choose_attention` takes it where it can."""
        return "flex_attention" if self.device == "cuda" and self.wanted == "flex" else "sdpa"

    def padded(self, one: Pass) -> Pass:
        """The pass as it is computed: on a GPU SDPA's trees are rows of a batch, FlexAttention's are filled up to a multiple."""
        if self.device == "cpu":
            return one
        rows, nodes = 1, math.ceil(one.nodes / FLEX_MULTIPLE) * FLEX_MULTIPLE
        if self.attention == "sdpa":
            rows, length, _ = pack_rows(one.trees or (one.nodes,))
            nodes = rows * length
        return replace(one, nodes=nodes, rows=rows, seen=one.seen * one.nodes**2 / nodes**2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Peak:
    """The highest memory of one phase, by what takes it."""

    phase: str
    parts: Mapping[str, float]
    """What -> bytes."""

    @property
    def total(self) -> float:
        """Bytes."""
        return sum(self.parts.values())


def stored(linear: Linear, place: Place) -> float:
    """Bytes of a linear layer's weight and bias as it is kept.

    NF4: half a byte a weight, a byte of scale for every 64 weights, and for every 256 of those 4 bytes of scale of the scales
    (double quantisation; Dettmers et al. 2023); int8: a byte a weight and 4 for every output (Dettmers et al. 2022).
    """
    count = linear.inputs * linear.outputs
    bias = linear.bias * linear.outputs * place.width
    if place.quantization == "nf4":
        blocks = math.ceil(count / 64)
        return math.ceil(count / 2) + blocks + FLOAT * math.ceil(blocks / 256) + FLOAT + bias
    if place.quantization == "int8":
        return count + FLOAT * linear.outputs + bias
    return count * place.width + bias


def block_weights(shape: ModelShape, place: Place) -> float:
    """Bytes of one block's weights."""
    return sum(stored(linear, place) for linear in shape.linears) + 2 * shape.hidden * place.width


def adapted_layers(shape: ModelShape, settings: TrainingSettings) -> int:
    """Layers that learn something."""
    return min(settings.upper_layers or shape.layers, shape.layers) if settings.method == "lora" else shape.layers


def trainable(shape: ModelShape, settings: TrainingSettings) -> int:
    """Parameters that are learnt."""
    if settings.method == "full":
        return shape.parameters
    return adapted_layers(shape, settings) * shape.adapter(settings.rank)


def saved_by_block(shape: ModelShape, nodes: int, settings: TrainingSettings, place: Place) -> int:
    """Bytes that autograd keeps of one trained block for its backward pass.

    A norm keeps its input in float32, a linear layer the input of what is trained in it, attention its queries, keys, values
    (repeated for every head where a dense mask is used), output and log-sums, the gated product three tensors. Beside float16
    weights, where autocast is off, peft makes of its input what its float32 weights want, and each adapted layer keeps that copy.
    """
    hidden, attend, middle = shape.hidden, shape.attention_width, shape.intermediate
    keys = attend if place.attention == "sdpa" else shape.kv_heads * shape.head
    width = place.width
    norms = 2 * FLOAT * (hidden + 1)
    attention = width * (2 * attend + 2 * keys) + FLOAT * shape.heads
    product = 3 * width * middle
    if settings.method == "full":
        kept = width * (
            2 * hidden + 2 * hidden + middle
        )  # of either norm what its weight multiplies and what it puts out
    else:
        # The adapter's own products are in `width`, but in float16, where autocast is off, in float32.
        inner = FLOAT if place.dtype == "float16" else width
        inputs = sum(linear.inputs for linear in shape.linears)
        kept = inner * settings.rank * len(shape.linears)
        if settings.dropout:
            noise = FLOAT if place.device == "cpu" else 1
            kept += (inner + noise) * inputs
        elif place.dtype != "float16":
            kept += width * (2 * hidden + middle)  # layers share it, and the attention's output is kept already
        else:
            kept += inner * inputs
    # In bfloat16 autocast keeps the adapter's weights once more, in that.
    copies = width * shape.adapter(settings.rank) if settings.method == "lora" and place.dtype == "bfloat16" else 0
    return nodes * (norms + attention + product + kept) + copies


def training_peaks(
    shape: ModelShape, settings: TrainingSettings, place: Place, one: Pass, *, accumulates: bool
) -> list[Peak]:
    """The moments of an optimiser step that may be its peak.

    Args:
        shape: of the base.
        settings: how it is tuned.
        place: where.
        one: the largest forward pass of a device.
        accumulates: whether a step has several passes, so that gradients are there while the next one runs.
    """
    learnt = trainable(shape, settings)
    number = place.width if settings.method == "full" else FLOAT  # peft keeps adapters in float32
    share = place.devices if place.parallel == "fsdp" else 1
    gradients = learnt * number / share
    buckets = gradients if place.parallel == "ddp" and place.devices > 1 else 0
    constant = {
        **weights(shape, place),
        "adapter": learnt * FLOAT / share if settings.method == "lora" else 0,
        "optimiser (AdamW)": 2 * learnt * number / share,
        "gradients in DDP's buckets": buckets,
        "attention mask": mask(one, place),
    }
    block = saved_by_block(shape, one.nodes, settings, place)
    ends = one.nodes * (FLOAT * (shape.hidden + 1) + 2 * shape.head * place.width)  # last norm; cosines and sines
    if settings.method == "full":
        ends += (one.nodes + one.kept) * shape.hidden * place.width
    if settings.activation_checkpointing:
        kept, recomputed = shape.layers * one.nodes * shape.hidden * place.width, block
    else:
        kept, recomputed = adapted_layers(shape, settings) * block, 0
    constant["holes in glibc's heap"] = holes(shape, one, settings, place)
    tensor = float(shape.embedding * number) if settings.method == "full" else 0
    # Logits, and three tensors like them in the backward pass of log-sum-exp: PyTorch computes grad * (logits - sum).exp().
    logits = {"logits": FLOAT * one.kept * shape.vocab, "workspace": 3 * FLOAT * one.kept * shape.vocab}
    own = {"gradients": gradients}
    step: float = 2 * max(tensor, FLOAT * settings.rank * max(shape.hidden, shape.intermediate))
    if place.device == "cuda":
        step = learnt * number / share  # for all tensors at once
    return [
        Peak(
            phase="logits' backward pass",
            parts=constant | {"activations": kept + ends} | logits | (own if accumulates else {}),
        ),
        Peak(
            phase="first block's backward pass",
            parts=constant
            | {"activations": kept + ends + recomputed, "workspace": block_work(shape, one, place)}
            | (own if accumulates else {"gradients": tensor}),
        ),
        Peak(
            phase="last block's backward pass",
            parts=constant
            | {"activations": block, "workspace": block_work(shape, one, place) + shape.tied * tensor}
            | own,
        ),
        Peak(phase="optimiser step", parts=constant | own | {"workspace": step}),
    ]


def holes(shape: ModelShape, one: Pass, settings: TrainingSettings, place: Place) -> float:
    """Bytes of the heap that lie between the blocks that autograd keeps; see `HOLES`."""
    if not place.holes or one.nodes * shape.attention_width * place.width >= MAPPED:
        return 0.0
    if one.nodes * shape.intermediate * place.width >= MAPPED:
        shape = replace(shape, intermediate=0)
    block = saved_by_block(shape, one.nodes, settings, place)
    layers = shape.layers if settings.activation_checkpointing else adapted_layers(shape, settings)
    return HOLES * layers * block


def scoring_peak(shape: ModelShape, settings: TrainingSettings, place: Place, one: Pass) -> Peak:
    """The peak of scoring the validation passages while training, the optimiser's states beside it."""
    learnt = trainable(shape, settings)
    number = place.width if settings.method == "full" else FLOAT
    share = place.devices if place.parallel == "fsdp" else 1
    logits = one.kept * shape.vocab
    halves = place.width * logits if place.width != FLOAT else 0  # what float32 logits are made of
    return Peak(
        phase="scoring",
        parts={
            **weights(shape, place),
            "adapter": learnt * FLOAT / share if settings.method == "lora" else 0,
            "optimiser (AdamW)": 2 * learnt * number / share,
            "attention mask": mask(one, place),
            "logits": FLOAT * logits,
            "workspace": max(FLOAT * logits + halves, block_work(shape, one, place)),
        },
    )


def weights(shape: ModelShape, place: Place) -> dict[str, float]:
    """Bytes of the base's weights on one device.

    FSDP keeps a share of every layer, and while it computes two blocks (one is fetched ahead) and what is outside of them whole.
    """
    kind = place.dtype if place.quantization == "none" else place.quantization
    blocks, outside = shape.layers * block_weights(shape, place), float(shape.outside * place.width)
    parts = {f"weights of the blocks ({kind})": blocks, f"embedding and output ({place.dtype})": outside}
    if place.parallel == "fsdp" and place.devices > 1:
        whole = min(2, shape.layers) * block_weights(shape, place) + outside
        parts = {name: size / place.devices for name, size in parts.items()} | {"layers gathered whole": whole}
    return parts


def mask(one: Pass, place: Place) -> float:
    """Bytes of the tree's mask: dense in each row for SDPA; for FlexAttention what is needed to find its empty blocks."""
    if place.attention == "sdpa":
        return one.nodes**2 / one.rows * place.width
    return 3.0 * one.nodes**2


def block_work(shape: ModelShape, one: Pass, place: Place) -> float:
    """Bytes that a block needs for itself while it is computed: a few tensors of the gated product, one layer dequantised."""
    tensors = one.nodes * (4 * shape.intermediate + 3 * shape.hidden) * place.width
    if place.quantization == "none":
        return tensors
    largest = max(linear.inputs * linear.outputs for linear in shape.linears)
    return tensors + largest * (place.width + FLOAT / 64)
