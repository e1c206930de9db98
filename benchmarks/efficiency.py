"""How much of the machine's matmul peak scoring and training use, and where the rest of the time goes.

The peak is the best fp32 product of square matrices in the same process, before and after everything else; the larger
is used. FLOPs are counted from tree and configuration: what the model needs, with attention only between nodes that can
see each other, and what is executed, where every pair of nodes is computed. The goals are 75 % of the peak in scoring
and 60 % in training. Then the profiler shows where the time goes (it slows things down, so only shares are reported),
and matrix products of the model's shapes, timed in isolation, show what the goals would take.

    python benchmarks/efficiency.py             # about 3 minutes on 2 cores; the figure goes to docs/
    python benchmarks/efficiency.py --passages 1 --profiled 1 --nodes 100 --figure profile.png  # a quick look
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from common import BASE, count_option, machine, matmul_peak, medal_shaped, progress, table, timed
from matplotlib.figure import Figure
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from transformers.utils import logging

from medalist.models.adapters import add_adapter
from medalist.models.load import load_base
from medalist.models.products import linear
from medalist.recipe import TrainingSettings
from medalist.training.batches import TreeDataset, collate
from medalist.trees.losses import question_losses
from medalist.trees.prompt import Encoder, PromptSettings
from medalist.trees.scoring import score_pass, score_tree
from medalist.trees.tree import TokenTree

FIGURE = Path(__file__).parents[1] / "docs" / "benchmarks-profile.png"
UPPER_LAYERS, REPEATS = 15, 10

MATMUL, ATTENTION, ELEMENTWISE, SOFTMAX, COPIES, REST = (
    "matrix products",
    "attention",
    "elementwise",
    "softmax and gather",
    "copies and fills",
    "dispatch, Python, rest",
)
COLOURS = {
    MATMUL: "#0072b2",
    ATTENTION: "#56b4e9",
    ELEMENTWISE: "#009e73",
    SOFTMAX: "#e69f00",
    COPIES: "#d55e00",
    REST: "#c4cad2",
}
"""Categories of time, in the order of the figure; Okabe and Ito's colours, which colour-blind people can tell apart."""
OPERATORS = {
    MATMUL: "mm addmm bmm baddbmm mkldnn::_linear_pointwise",
    ELEMENTWISE: "mul add sub div neg pow exp sqrt rsqrt silu silu_backward mean sum linalg_vector_norm masked_fill "
    "sin cos lerp addcmul addcdiv",
    COPIES: "copy cat clone fill contiguous zero",
}
CALLERS = {
    ATTENTION: ("scaled_dot_product", "scaleddotproduct"),
    SOFTMAX: ("softmax", "logsumexp", "gather", "scatter", "aten::index", "indexbackward"),
}


class Flops(NamedTuple):
    """Floating-point operations; a multiplication and an addition count as two."""

    matmul: int
    attention: int


def model_flops(
    tree: TokenTree, config: Any, *, rank: int = 0, upper_layers: int | None = None, dense: bool = False
) -> Flops:
    """FLOPs of a pass over a tree: forward, or forward and backward with a LoRA adapter.

    Each node takes 2 for each weight of a block's linear layers; each pair of nodes takes, per layer, 4 times the width
    of the heads (scores, and the weighted sum); each distinct predicting node takes 2 times vocabulary times hidden
    size. The base's weights are frozen, so the backward pass takes the same again for the inputs of linear layers, and
    twice as much for attention, whose operands are all activations; the adapter's own layers also have weight
    gradients. There is no backward pass below the adapter, and the input of the lowest adapted block needs no gradient,
    so its query, key and value layers do not compute one.

    Args:
        tree: a tree or forest.
        config: of a Llama-like model.
        rank: of the adapter on all linear layers of the blocks; 0 for a forward pass of the plain model.
        upper_layers: how many blocks have the adapter; None for all.
        dense: count every pair of nodes, not only those that see each other, and count the scores that the CPU's
            attention recomputes in the backward pass.
    """
    nodes, predicting = len(tree), len(tree.predict_node.unique())
    pairs = nodes**2 if dense else int((tree.depth + 1).sum())
    layers, upper = config.num_hidden_layers, upper_layers or config.num_hidden_layers
    shapes = linear_shapes(config)
    block = sum(2 * nodes * inputs * outputs for inputs, outputs in shapes.values())
    head = 2 * predicting * config.vocab_size * config.hidden_size
    attention = 4 * pairs * config.num_attention_heads * config.head_dim
    if not rank:
        return Flops(layers * block + head, layers * attention)
    adapter = sum(2 * nodes * rank * (inputs + outputs) for inputs, outputs in shapes.values())
    unneeded = sum(
        2 * nodes * inputs * (outputs + rank) for name, (inputs, outputs) in shapes.items() if name in ("q", "k", "v")
    )
    forward = layers * block + upper * adapter + head
    backward = upper * (block + 2 * adapter) - unneeded + head
    return Flops(forward + backward, layers * attention + upper * (5 if dense else 4) * attention // 2)


def linear_shapes(config: Any) -> dict[str, tuple[int, int]]:
    """Inputs and outputs of the linear layers of a Llama-like block."""
    hidden, inner = config.hidden_size, config.intermediate_size
    queries, keys = config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim
    return {
        "q": (hidden, queries),
        "k": (hidden, keys),
        "v": (hidden, keys),
        "o": (queries, hidden),
        "gate": (hidden, inner),
        "up": (hidden, inner),
        "down": (inner, hidden),
    }


class Workload(NamedTuple):
    """Something to measure."""

    name: str
    goal: float
    """Share of the peak."""
    config: Any
    """Of the model."""
    trees: list[TokenTree]
    run: Callable[[int], None]
    """Takes the number of trees to process."""
    flops: Callable[[TokenTree, bool], Flops]
    """FLOPs of a tree; as executed if the second argument is True."""

    def total(self, count: int, *, executed: bool = False) -> Flops:
        """FLOPs of the first trees."""
        each = [self.flops(tree, executed) for tree in self.trees[:count]]
        return Flops(sum(flops.matmul for flops in each), sum(flops.attention for flops in each))


def scoring(passages: int) -> Workload:
    """Forward passes over trees that offer every candidate, as in evaluation."""
    base = load_base(BASE, dtype="float32", device="cpu")
    texts, inventory = medal_shaped(passages)
    encoder = Encoder(base.tokenizer, PromptSettings(), max_depth=base.max_depth)
    trees = [layout.tree for text in texts for layout in encoder.encode(text, inventory)]
    base.model.eval()

    def run(count: int) -> None:
        with torch.inference_mode():
            for tree in trees[:count]:
                score_tree(base.model, tree, "sdpa")

    def flops(tree: TokenTree, executed: bool) -> Flops:
        return model_flops(tree, base.model.config, dense=executed)

    return Workload("scoring", 0.75, base.model.config, trees, run, flops)


def training(passages: int, upper_layers: int | None) -> Workload:
    """Forward and backward passes over training trees, with optimiser steps as often as in a recipe."""
    settings = TrainingSettings(candidates=8, upper_layers=upper_layers)
    base = load_base(BASE, dtype="float32", device="cpu")
    texts, inventory = medal_shaped(passages)
    encoder = Encoder(base.tokenizer, PromptSettings(), max_depth=base.max_depth)
    dataset = TreeDataset(texts, encoder, inventory, settings, seed=0)
    items = [dataset[number] for number in range(len(dataset))]
    batches, trees = [collate([item]) for item in items], [item.layouts[0].tree for item in items]
    config = base.model.config
    torch.manual_seed(0)
    model = add_adapter(base, settings)
    model.train()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=settings.learning_rate, weight_decay=settings.weight_decay)

    def run(count: int) -> None:
        for number, batch in enumerate(batches[:count], start=1):
            losses = question_losses(
                score_pass(model, batch["trees"]),
                batch["trees"].candidate_question,
                batch["gold"],
                batch["null"],
                likelihood_weight=settings.likelihood_weight,
                hidden_gold_weight=settings.hidden_gold_weight,
            )
            losses.mean().backward()
            if number % settings.passages_per_step == 0 or number == count:
                torch.nn.utils.clip_grad_norm_(weights, settings.clip)
                optimiser.step()
                optimiser.zero_grad()

    def flops(tree: TokenTree, executed: bool) -> Flops:
        return model_flops(tree, config, rank=settings.rank, upper_layers=upper_layers, dense=executed)

    name = f"training, upper {upper_layers} layers" if upper_layers else "training, all layers"
    return Workload(name, 0.60, config, trees, run, flops)


class Measured(NamedTuple):
    """Measurements of a workload."""

    name: str
    goal: float
    trees: int
    nodes: int
    seconds: float
    needed: int
    executed: int
    shares: dict[str, float]
    """Fraction of the profiled time, by category."""
    matmul_rate: float
    """FLOP/s of the matrix products while they run, under the profiler."""


def measure(work: Workload, profiled: int) -> Measured:
    """Time a workload, then profile its first trees."""
    count = len(work.trees)
    progress(f"{work.name}: {count} trees")
    work.run(1)
    seconds, _ = timed(lambda: work.run(count))
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        wall, _ = timed(lambda: work.run(profiled))
    spent: defaultdict[str, float] = defaultdict(float)
    for event in profiler.events():
        spent[kind_of(event)] += event.self_cpu_time_total / 1e6
    total = max(wall, sum(spent.values()))
    spent[REST] += total - sum(spent.values())
    return Measured(
        name=work.name,
        goal=work.goal,
        trees=count,
        nodes=sum(map(len, work.trees)),
        seconds=seconds,
        needed=sum(work.total(count)),
        executed=sum(work.total(count, executed=True)),
        shares={kind: spent[kind] / total for kind in COLOURS},
        matmul_rate=work.total(profiled).matmul / spent[MATMUL],
    )


def kind_of(event: Any) -> str:
    """The category of a profiled operator: its own, unless attention or softmax and similar operators called it."""
    operator = event.name.removeprefix("aten::").rstrip("_")
    while event is not None:
        name = event.name.lower()
        for kind, parts in CALLERS.items():
            if any(part in name for part in parts):
                return kind
        event = event.cpu_parent
    return next((kind for kind, names in OPERATORS.items() if operator in names.split()), REST)


def product_rates(config: Any, nodes: int, rank: int) -> dict[tuple[int, int], float]:
    """FLOP/s of linear layers of the model's shapes (inputs, outputs), in isolation.

    Each layer of the model has its own weights, which do not stay in the cache, so this cycles through as many weights.
    """
    hidden, layers = config.hidden_size, config.num_hidden_layers
    shapes = dict.fromkeys([*linear_shapes(config).values(), (hidden, rank), (rank, hidden)], layers)
    shapes[hidden, config.vocab_size] = 1
    rates = {}
    for (inputs, outputs), copies in shapes.items():
        rows = torch.randn(nodes, inputs)
        weights = [torch.randn(outputs, inputs) for _ in range(copies)]

        def once(rows: Tensor = rows, weights: Sequence[Tensor] = weights) -> None:
            for weight in weights:
                linear(rows, weight)

        best = min(timed(once)[0] for _ in range(REPEATS))
        rates[inputs, outputs] = 2 * nodes * inputs * outputs * copies / best
    return rates


def ceiling(trees: Sequence[TokenTree], config: Any, rates: dict[tuple[int, int], float]) -> float:
    """FLOP/s of forward passes that consist only of their matrix products, at the rates of `product_rates`."""
    nodes, predicting = sum(map(len, trees)), sum(len(tree.predict_node.unique()) for tree in trees)
    work = [(config.num_hidden_layers * nodes, shape) for shape in linear_shapes(config).values()]
    work.append((predicting, (config.hidden_size, config.vocab_size)))
    flops = [2 * rows * shape[0] * shape[1] for rows, shape in work]
    return sum(flops) / sum(each / rates[shape] for each, (_, shape) in zip(flops, work, strict=True))


def draw(results: Sequence[Measured], path: Path) -> None:
    """Draw one bar per workload, divided by category of time; labels that do not fit inside go above or below."""
    figure = Figure(figsize=(9, 1.4 + 0.85 * len(results)), layout="constrained")
    axes = figure.subplots()
    places = range(len(results))
    left = [0.0] * len(results)
    for kind, colour in COLOURS.items():
        widths = [100 * result.shares[kind] for result in results]
        axes.barh(places, widths, left=left, height=0.5, color=colour, edgecolor="white", label=kind)
        for place, start, width in zip(places, left, widths, strict=True):
            fits = width >= 3.5
            axes.text(
                start + width / 2,
                place + (0 if fits else 0.35 if kind == COPIES else -0.35),
                f"{width:.0f}%" if width >= 0.5 else "",
                color="white" if fits and kind == MATMUL else "black",
                fontsize=10 if fits else 8,
                ha="center",
                va="center_baseline",
            )
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.set_yticks(places, [result.name.replace(", ", ",\n") for result in results])
    axes.set(xlim=(0, 100), ylim=(len(results) - 0.45, -0.5), xlabel="share of the profiled time, %")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def speed_row(result: Measured, peak: float) -> list[object]:
    """Cells of the first table."""
    return [
        result.name,
        result.trees,
        result.nodes,
        result.nodes / result.seconds,
        result.needed / result.seconds / 1e9,
        f"{result.needed / result.seconds / peak:.1%}",
        f"{result.executed / result.seconds / peak:.1%}",
        f"{result.goal:.0%}",
    ]


def main() -> None:
    options = parse()
    logging.set_verbosity_error()
    torch.manual_seed(0)
    progress("Matmul peak")
    before = matmul_peak()
    work = scoring(options.passages)
    config, trees = work.config, work.trees
    results = [measure(work, options.profiled)]
    for upper_layers in (None, UPPER_LAYERS):
        work = training(options.passages, upper_layers)
        results.append(measure(work, options.profiled))
    progress("Matrix products in isolation")
    with torch.inference_mode():
        rates = product_rates(config, options.nodes, TrainingSettings().rank)
    after = matmul_peak()
    peak = max(before, after)
    draw(results, options.figure)

    print(f"## Efficiency\n\n{machine()}\n")
    print(f"Matmul peak: {before / 1e9:.1f} GFLOP/s before, {after / 1e9:.1f} after; the larger is used.\n")
    header = ["workload", "trees", "tokens", "tokens/s", "GFLOP/s", "of peak", "of peak, as executed", "goal"]
    print(table(header, [speed_row(result, peak) for result in results]))
    print("\n### Where the time goes (profiled)\n")
    rows: list[list[object]] = [[kind, *(f"{result.shares[kind]:.1%}" for result in results)] for kind in COLOURS]
    rows.append(["matrix products alone, GFLOP/s", *(result.matmul_rate / 1e9 for result in results)])
    rows.append(["matrix products alone, of peak", *(f"{result.matmul_rate / peak:.0%}" for result in results)])
    print(table(["", *(result.name for result in results)], rows))
    print("\n### Matrix products in isolation\n")
    shapes = [[f"{options.nodes} x {a} x {b}", rate / 1e9, f"{rate / peak:.0%}"] for (a, b), rate in rates.items()]
    print(table(["nodes x inputs x outputs", "GFLOP/s", "of peak"], shapes))
    reached = ", ".join(f"{r.name} {r.needed / r.seconds / peak:.0%} (goal {r.goal:.0%})" for r in results)
    bound = ceiling(trees, config, rates) / peak
    print(
        f"\nOf the matmul peak: {reached}. A forward pass of matrix products only, each as fast as in isolation, "
        f"would reach {bound:.0%}; they take {results[0].shares[MATMUL]:.0%} of the profiled time of scoring."
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    count_option(parser, "--passages", 8, "passages of each workload")
    count_option(parser, "--profiled", 2, "passages under the profiler")
    count_option(parser, "--nodes", 400, "rows of the matrix products that are timed in isolation")
    parser.add_argument(
        "--figure", type=Path, default=FIGURE, metavar="PATH", help="file of the figure (default: in docs/)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
