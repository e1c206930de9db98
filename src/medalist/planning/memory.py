"""Counts the memory that a model, its training and its scoring need, from shapes alone.

N nodes in one forward pass, K of them with logits, V vocabulary. Every term follows from what the code does: which
tensors of a Llama block autograd saves, what peft adds, what bitsandbytes stores. Only `BASELINE`, `SLACK` and `HOLES`
are measured or assumed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from ..models.load import AttentionChoice
from ..recipe import TrainingSettings
from ..tools.number_formats import FloatType, Quantization
from ..trees.rows import pack_rows
from ..trees.scoring import FLEX_MULTIPLE, Attention
from .shapes import Linear, ModelShape

WIDTH = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes per number."""
FLOAT = WIDTH["float32"]

BASELINE = {"cpu": 700e6, "cuda": 600e6}
"""Bytes used before any model is loaded. CPU: resident memory of Python with torch, transformers and peft imported,
measured by benchmarks/plan.py. CUDA: assumed; context and cuBLAS workspaces, not counting host memory."""
GPU_LIBRARIES = 300e6
"""Additional bytes of a process on a CPU with PyTorch's build for NVIDIA GPUs, whose libraries it loads: 0.98 to 1.04
GB were measured instead of 0.64 to 0.66."""
SLACK = {"cpu": 1.0, "cuda": 1.05}
"""Memory held by the allocator, relative to that in use. CUDA: assumed, for PyTorch's cache; CPU: see `HOLES`."""
HOLES = 0.8
"""Heap fragmentation on glibc: bytes of holes in the heap for every byte that the model's blocks save for the backward
pass; measured by benchmarks/plan.py after three steps, where it lies between 0.5 and 0.9.

PyTorch requests memory aligned to 64 bytes, and glibc's `memalign` cannot reuse the hole that an allocation of the same
size left, because it looks for a slightly larger one. With checkpointing, each block leaves its holes while it is
computed, so there are as many.
"""
MAPPED = 32 * 2**20
"""Size in bytes from which glibc maps an allocation separately and returns it at once, leaving no hole (mallopt(3))."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pass:
    """One forward pass over a tree or forest."""

    nodes: int
    """N."""
    kept: int
    """K: nodes whose logits are computed."""
    seen: float = 0.5
    """Fraction of the N x N pairs in which one node sees the other."""
    trees: tuple[int, ...] = ()
    """Nodes of each of its trees; empty if it is a single tree."""
    rows: int = 1
    """R: number of rows, all of one length, in which its attention is computed."""
    laid: int = 0
    """Total length of these rows; 0: attention is computed over the nodes as they are."""

    @property
    def attended(self) -> int:
        """Number of queries that attention is computed for."""
        return self.laid or self.nodes

    @property
    def masked(self) -> float:
        """Number of query-key pairs in a dense mask over each row."""
        return self.attended**2 / self.rows


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a model runs and how its weights are stored there."""

    device: Literal["cpu", "cuda"]
    dtype: FloatType
    quantization: Quantization = "none"
    parallel: Literal["ddp", "fsdp"] = "ddp"
    devices: int = 1
    wanted: AttentionChoice = "auto"
    """The recipe's `model.attention`."""
    holes: bool = False
    """Whether memory comes from glibc's heap and fragments; see `HOLES`."""

    @property
    def width(self) -> int:
        """Bytes per activation."""
        return WIDTH[self.dtype]

    @property
    def attention(self) -> Attention:
        """The kernel that `choose_attention` tries first."""
        if self.device == "cpu":
            return "sdpa"
        return "flex_attention" if self.wanted == "flex" else "sdpa_in_rows"

    def padded(self, one: Pass) -> Pass:
        """The pass as a GPU computes it: SDPA's attention in rows, FlexAttention's nodes padded to a multiple."""
        if self.attention == "sdpa_in_rows":
            rows, length, _ = pack_rows(one.trees or (one.nodes,))
            return replace(one, rows=rows, laid=rows * length)
        if self.attention == "flex_attention":
            nodes = math.ceil(one.nodes / FLEX_MULTIPLE) * FLEX_MULTIPLE
            return replace(one, nodes=nodes, seen=one.seen * one.nodes**2 / nodes**2)
        return one


@dataclass(frozen=True, kw_only=True, slots=True)
class Peak:
    """The peak memory of one phase, broken down by use."""

    phase: str
    parts: Mapping[str, float]
    """Use -> bytes."""

    @property
    def total(self) -> float:
        """Bytes."""
        return sum(self.parts.values())


def stored(linear: Linear, place: Place) -> float:
    """Bytes of a linear layer's weight and bias as stored.

    NF4: half a byte per weight, a one-byte scale per 64 weights, and a four-byte scale per 256 of those scales (double
    quantisation; Dettmers et al. 2023). int8: a byte per weight and four per output (Dettmers et al. 2022).
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
    return sum(stored(linear, place) for linear in shape.linears) + shape.norm_weights * place.width


def adapted_layers(shape: ModelShape, settings: TrainingSettings) -> int:
    """Number of layers that are trained."""
    return settings.upper_layers or shape.layers if settings.method == "lora" else shape.layers


def trainable(shape: ModelShape, settings: TrainingSettings) -> int:
    """Number of parameters that are trained."""
    if settings.method == "full":
        return shape.parameters
    return adapted_layers(shape, settings) * shape.adapter(settings.rank)


def saved_by_block(shape: ModelShape, one: Pass, settings: TrainingSettings, place: Place) -> int:
    """Bytes that autograd saves from one trained block for its backward pass.

    A norm saves its input in float32, Gemma's also its weight plus one; a linear layer the input of whatever is trained
    in it; attention its queries, keys and values (repeated for every head if a dense mask is used), output and
    log-sum-exps, and in rows the output once more, after gathering; the gated product three tensors. A compiled block
    saves a norm's input in the model's dtype and two tensors of the gated product. With float16 weights, where autocast
    is off, peft casts its input to the dtype of its float32 weights, so each adapted layer saves a copy of its own.
    """
    hidden, attend, middle = shape.hidden, shape.attention_width, shape.intermediate
    keys = shape.kv_heads * shape.head if place.attention == "flex_attention" else attend
    width, gemma = place.width, shape.norms == 4
    head_norms = attend + shape.kv_heads * shape.head if shape.head_norms else 0
    given = width if settings.compile else FLOAT
    norms = given * (shape.norms * hidden + head_norms)
    norms += FLOAT * (shape.norms + bool(head_norms) * (shape.heads + shape.kv_heads))
    attention = one.attended * (width * (2 * attend + 2 * keys) + FLOAT * shape.heads)
    attention += one.nodes * width * attend if one.laid else 0
    product = (2 if settings.compile else 3) * width * middle
    if settings.method == "full":
        # The output of the norms before a linear layer; the down projection's input.
        kept = width * (2 * hidden + middle)
        if not settings.compile:  # the input of each norm's multiplication by its weight
            kept += (FLOAT if gemma else width) * (shape.norms * hidden + head_norms)
    else:
        # The adapter's own products have `width`, except with float16, where autocast is off: there they are float32.
        inner = FLOAT if place.dtype == "float16" else width
        inputs = sum(linear.inputs for linear in shape.linears)
        kept = inner * settings.rank * len(shape.linears)
        if settings.dropout:
            noise = FLOAT if place.device == "cpu" else 1
            kept += (inner + noise) * inputs
        elif place.dtype != "float16":
            kept += width * (2 * hidden + middle)  # layers share inputs, and attention's output is already saved
        else:
            kept += inner * inputs
    # In bfloat16, autocast keeps a bfloat16 copy of the adapter's weights.
    copies = width * shape.adapter(settings.rank) if settings.method == "lora" and place.dtype == "bfloat16" else 0
    copies += FLOAT * shape.norm_weights if gemma else 0
    return one.nodes * (norms + product + kept) + attention + copies


def training_peaks(
    shape: ModelShape, settings: TrainingSettings, place: Place, one: Pass, *, accumulates: bool
) -> list[Peak]:
    """The points of an optimiser step at which memory may peak.

    Args:
        shape: the base's sizes.
        settings: how it is tuned.
        place: where it is tuned.
        one: the largest forward pass of a device.
        accumulates: whether a step has several passes, so that gradients are held while the next one runs.
    """
    learnt = trainable(shape, settings)
    number = place.width if settings.method == "full" else FLOAT  # peft keeps adapters in float32
    slices = place.devices if place.parallel == "fsdp" else 1
    gradients = learnt * number / slices
    buckets = gradients if place.parallel == "ddp" and place.devices > 1 else 0
    constant = {
        **weights(shape, place),
        "adapter": learnt * FLOAT / slices if settings.method == "lora" else 0,
        "optimiser (AdamW)": 2 * learnt * number / slices,
        "gradients in DDP's buckets": buckets,
        "attention mask": mask(one, place),
    }
    block = saved_by_block(shape, one, settings, place)
    ends = one.nodes * (FLOAT * (shape.hidden + 1) + 2 * shape.head * place.width)  # last norm; cosines and sines
    if settings.method == "full":
        ends += (one.nodes + one.kept) * shape.hidden * place.width
    if settings.activation_checkpointing:
        kept, recomputed = shape.layers * one.nodes * shape.hidden * place.width, block
    else:
        kept, recomputed = adapted_layers(shape, settings) * block, 0
    constant["holes in glibc's heap"] = holes(shape, one, settings, place)
    tensor = float(shape.embedding * number) if settings.method == "full" else 0
    # Logits, and three tensors of their size in the backward pass of log-sum-exp, which PyTorch computes as
    # grad * (logits - sum).exp().
    logits = {"logits": FLOAT * one.kept * shape.vocab, "workspace": 3 * FLOAT * one.kept * shape.vocab}
    own = {"gradients": gradients}
    step: float = 2 * max(tensor, FLOAT * settings.rank * max(shape.hidden, shape.intermediate))
    if place.device == "cuda":
        step = learnt * number / slices  # all tensors at once
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
    """Bytes of the heap lost between the tensors that autograd saves; see `HOLES`."""
    if not place.holes or one.nodes * shape.attention_width * place.width >= MAPPED:
        return 0.0
    if one.nodes * shape.intermediate * place.width >= MAPPED:
        shape = replace(shape, intermediate=0)
    block = saved_by_block(shape, one, settings, place)
    layers = shape.layers if settings.activation_checkpointing else adapted_layers(shape, settings)
    return HOLES * layers * block


def scoring_peak(shape: ModelShape, settings: TrainingSettings, place: Place, one: Pass) -> Peak:
    """The peak of scoring the validation passages during training, with the optimiser's state in memory."""
    learnt = trainable(shape, settings)
    number = place.width if settings.method == "full" else FLOAT
    slices = place.devices if place.parallel == "fsdp" else 1
    logits = one.kept * shape.vocab
    halves = place.width * logits if place.width != FLOAT else 0  # 16-bit logits, before they are cast to float32
    return Peak(
        phase="scoring",
        parts={
            **weights(shape, place),
            "adapter": learnt * FLOAT / slices if settings.method == "lora" else 0,
            "optimiser (AdamW)": 2 * learnt * number / slices,
            "attention mask": mask(one, place),
            "logits": FLOAT * logits,
            "workspace": max(FLOAT * logits + halves, block_work(shape, one, place)),
        },
    )


def weights(shape: ModelShape, place: Place) -> dict[str, float]:
    """Bytes of the base's weights on one device.

    FSDP keeps a slice of every layer and, while it computes, two whole blocks (one is prefetched) and everything
    outside the blocks.
    """
    kind = place.dtype if place.quantization == "none" else place.quantization
    blocks, outside = shape.layers * block_weights(shape, place), float(shape.outside * place.width)
    parts = {f"weights of the blocks ({kind})": blocks, f"embedding and output ({place.dtype})": outside}
    if place.parallel == "fsdp" and place.devices > 1:
        whole = min(2, shape.layers) * block_weights(shape, place) + outside
        parts = {name: size / place.devices for name, size in parts.items()} | {"layers gathered whole": whole}
    return parts


def mask(one: Pass, place: Place) -> float:
    """Bytes of the tree's mask: dense in each row for SDPA; for FlexAttention, those that find the empty blocks."""
    return 3.0 * one.nodes**2 if place.attention == "flex_attention" else one.masked * place.width


def block_work(shape: ModelShape, one: Pass, place: Place) -> float:
    """Bytes that a block needs while it is computed: a few tensors of the gated product, one dequantised layer."""
    tensors = one.nodes * (4 * shape.intermediate + 3 * shape.hidden) * place.width
    if place.quantization == "none":
        return tensors
    largest = max(linear.inputs * linear.outputs for linear in shape.linears)
    return tensors + largest * (place.width + FLOAT / 64)
