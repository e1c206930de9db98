"""Llama 3 8B's true shape in training: token trees by several kernels and packings, beside plain rows.

Weights are random and made on the device. LoRA r=16 on all linear layers, adapters in float32 under bfloat16 autocast,
AdamW (fused), gradient norm clipped, as medalist trains. A step is one forward and backward pass and an optimiser step.

Operations of a step, for N nodes without padding, K of them with logits, A pairs of nodes that see each other, W
weights of the linear layers, R of the adapters, V x H of the output layer, L layers whose heads are D wide together:

    4 W N + 6 R N + 4 V H K + 12 A D L

Frozen weights cost 2 forward and 2 for the gradient of their input, adapters 2 more for their own; attention costs 4 A
D forward and twice that backward. What checkpointing or a kernel computes again is not counted, nor is padding or what
a
dense mask hides: so a share of the peak is what is useful of it.

Plain rows are one sequence for each mention, passage, question and gold, with the loss on the gold's tokens: what a
plain loop (`trl`'s SFTTrainer, say) makes of MeDAL. They are packed without padding, with a mask that keeps them apart,
or sorted by length and padded on the right, where the causal flash kernel needs no mask; the quickest counts. Logits
are computed at the answer alone, which is better than a stock loop does; one case has the stock loop's, and one is
`trl`'s own trainer where that is installed. Trees hold eight candidates of every question, rows the gold answer alone;
gold trees hold what rows do and have their loss, so both compute the same gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from medalist.training.compiled import compiled_blocks

from .cases import CASES, COMPILING, FIRST, GOLD_TREES, NEEDS, QUANTISED_CASES, Case, passes
from .clock import GIB, Times, forget_peak, matmul_peak, measure, peak_memory
from .models import Sizes, checkpointing, input_casts, llama_8b, quantised, with_lora
from .notes import Notes, Options
from .own_loop import own_loop
from .passes import Pass, compiled, let_compile, row_loss, scores, tree_loss, use_kernel
from .planned import as_planned
from .trl_rows import NAME as TRL
from .trl_rows import trl_rows

RANK = 16


def run(options: Options, notes: Notes) -> None:
    """The stage `8b`."""
    sizes, model = _adapted(options, notes, quantise=False)
    peak = matmul_peak(options.device, options.tiny)
    rates = _cases(FIRST, model, sizes, peak, "none", options, notes)
    title = "medalist's own loop"
    if notes.fits(title, needs=0 if options.tiny else 20):
        with notes.attempt(title):
            own_loop(model, sizes, options, notes)
        model.zero_grad(set_to_none=True)
    rates |= _cases(CASES[:1], model, sizes, peak, "none", options, notes)
    rates |= trl_rows(model, sizes, options, notes)
    rates |= _cases(CASES[1:], model, sizes, peak, "none", options, notes)
    _compared(rates, notes, "trees over plain rows")


def _compared(rates: dict[str, float], notes: Notes, title: str) -> None:
    """The quickest way with trees over the quickest with rows: of MeDAL's shape, and of notes."""
    trees = {name: rate for name, rate in rates.items() if name.startswith(("trees", "one tree"))}
    rows = {name: rate for name, rate in rates.items() if name.startswith("rows")}
    stock = {name: rate for name, rate in rows.items() if name == TRL or "all logits" in name}
    packed = {name: rate for name, rate in rows.items() if name not in stock}
    _ratio(trees, packed, notes, title)
    _ratio(trees, stock, notes, f"{title}, a stock loop's")
    gold = {name: rate for name, rate in rates.items() if name.startswith(GOLD_TREES)}
    _ratio(gold, packed, notes, f"{title}, with the gold answer alone in both")
    on_notes = {name.removeprefix("notes: "): rate for name, rate in rates.items() if name.startswith("notes: ")}
    trees = {name: rate for name, rate in on_notes.items() if name.startswith("trees")}
    _ratio(trees, {name: rate for name, rate in on_notes.items() if name not in trees}, notes, f"{title}, in notes")


def _ratio(trees: dict[str, float], rows: dict[str, float], notes: Notes, title: str) -> None:
    if trees and rows:
        best, plain = max(trees, key=lambda name: trees[name]), max(rows, key=lambda name: rows[name])
        ratio = trees[best] / rows[plain]
        text = f"{ratio:.2f} times the mentions/s ({best}, over {plain})"
        found: dict[str, Any] = {"ratio": ratio, "trees": best, "rows": plain}
        if not best.startswith(GOLD_TREES):  # listwise training by rows takes one for every candidate
            found["listwise_ratio"] = ratio * 8
            text += f"; {ratio * 8:.0f} times rows with all 8 candidates"
        notes.record(title, text, **found)


def run_quantised(options: Options, notes: Notes) -> None:
    """The stage `qlora`."""
    sizes, model = _adapted(options, notes, quantise=True)
    _cases(QUANTISED_CASES, model, sizes, matmul_peak(options.device, options.tiny), "nf4", options, notes)


def _adapted(options: Options, notes: Notes, *, quantise: bool) -> tuple[Sizes, Any]:
    let_compile(dynamic=False)
    made: dict[str, Any] = {}

    def make() -> None:
        made["sizes"], model = llama_8b(options.device, options.tiny)
        if quantise:
            model = quantised(model, "nf4", model.dtype)
        made["model"] = with_lora(model, RANK).train()

    seconds = measure(make, options.device, repeats=1, warmup=0).wall
    memory = peak_memory(options.device)
    learnt = sum(weight.numel() for weight in made["model"].parameters() if weight.requires_grad)
    text = f"{seconds:.1f} s, {memory['allocated'] / GIB:.1f} GiB at most, {learnt:,} weights learn"
    notes.record("model made on the device", text, seconds=seconds, memory=memory, learnt=learnt)
    return made["sizes"], made["model"]


def _cases(
    cases: Iterable[Case], model: Any, sizes: Sizes, peak: float, weights: str, options: Options, notes: Notes
) -> dict[str, float]:
    """Mentions per second by case."""
    rates: dict[str, float] = {}
    for case in cases:
        if options.device != "cuda" and case.kernel == "flex":
            continue
        place = {"table": "Training", "row": case.name, "column": "what"}
        needs = NEEDS[case.kernel] + (COMPILING if case.compiled else 0)
        if not notes.fits(case.name, needs=0 if options.tiny else needs, **place):
            continue
        with notes.attempt(case.name, **place), compiled_blocks(model, wanted=case.compiled, backend=options.backend):
            rates[case.name] = _trained(case, model, sizes, peak, weights, options, notes)
        model.zero_grad(set_to_none=True)
    return rates


def _trained(case: Case, model: Any, sizes: Sizes, peak: float, weights: str, options: Options, notes: Notes) -> float:
    core = model.get_base_model()
    use_kernel(core, case.kernel)
    checkpointing(core, case.checkpoint)
    input_casts(core, case.casts)
    work = passes(case, sizes, options)
    step = _stepper(case, model, core, work, options)
    forget_peak(options.device)
    before, losses = compiled(), []
    first = measure(lambda: losses.append(step()), options.device, repeats=1, warmup=0).wall
    warm = compiled()
    steps = 2 if options.tiny else case.steps
    # Each pass once before: some kernels are chosen anew for every length.
    times = measure(lambda: losses.append(step()), options.device, repeats=steps, warmup=max(2, len(work) - 1))
    if not all(map(torch.isfinite, losses)):
        raise ValueError("the loss is not finite")
    return _recorded(
        case, sizes, work, times, peak, weights, losses, first, (warm - before, compiled() - warm), notes, options
    )


def _stepper(case: Case, model: Any, core: Any, work: list[Pass], options: Options) -> Callable[[], Tensor]:
    """One optimiser step on the next pass in turn; gives the loss, still on the device."""
    learnt = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(learnt, lr=1e-5, weight_decay=0.0, fused=options.device == "cuda")
    loss_of = row_loss if case.rows or case.gold else tree_loss
    turn = 0

    def step() -> Tensor:
        nonlocal turn
        one = work[turn % len(work)]
        turn += 1
        cast = torch.autocast("cuda", torch.bfloat16) if options.device == "cuda" else nullcontext()
        with cast:
            loss = _stock_loss(core, one) if case.stock else loss_of(scores(core, one), one)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learnt, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return loss.detach()

    return step


def _stock_loss(core: Any, one: Pass) -> Tensor:
    """The loss of transformers itself, with the logits of all tokens and labels at the answers."""
    ids, labels = one.laid.token_ids, torch.full((one.computed,), -100, device=one.laid.token_ids.device)
    # The label of a node is its own token. An answer's last token is only predicted, so it has no node: one label a row
    # is missing.
    places = one.laid.wanted[one.laid.predict_row]
    inner = places[1:][one.laid.predict_candidate[1:] == one.laid.predict_candidate[:-1]]
    labels[inner] = ids.flatten()[inner]
    loss: Tensor = core(input_ids=ids, labels=labels.view(ids.shape), use_cache=False).loss
    return loss


def operations(sizes: Sizes, one: Pass) -> float:
    """Of a training step; the module has the formula."""
    attended = sizes.layers * sizes.heads * sizes.head * one.pairs
    linear = 4 * sizes.linear_weights + 6 * sizes.adapter_weights(RANK)
    return linear * one.nodes + 4 * sizes.vocab * sizes.hidden * len(one.laid.wanted) + 12 * attended


def _recorded(
    case: Case,
    sizes: Sizes,
    work: list[Pass],
    times: Times,
    peak: float,
    weights: str,
    losses: list[Tensor],
    first: float,
    graphs: tuple[int, int],
    notes: Notes,
    options: Options,
) -> float:
    count = len(work)
    mentions = sum(len(one.gold) for one in work) / count / times.wall
    tokens = sum(one.nodes for one in work) / count / times.wall
    share = sum(operations(sizes, one) for one in work) / count / times.wall / peak
    memory = peak_memory(options.device)
    computed = sum(one.computed for one in work) / count
    # The plan is for these kernels and for logits where they are needed.
    planned = (
        as_planned(case, work, weights, RANK) if case.kernel in ("flex", "sdpa", "shipped") and not case.casts else {}
    )
    text = (
        f"{mentions:,.1f} mentions/s, {tokens:,.0f} tokens/s, {share:.1%} of the matmul peak, {times.wall:.3f} "
        f"s a step (host "
        f"{times.host:.3f}), {memory['allocated'] / GIB:.1f} GiB"
    )
    if "peak" in planned and not options.tiny:
        rate = planned["operations"] / times.wall / 1e12
        text += f" (planned {planned['peak'] / GIB:.1f}), {rate:,.0f} TFLOP/s as the plan counts"
    notes.record(
        case.name,
        text,
        table="Training",
        row=case.name,
        column="what",
        mentions_per_second=mentions,
        tokens_per_second=tokens,
        share_of_peak=share,
        matmul_peak=peak,
        seconds_per_step=times.wall,
        host_seconds_per_step=times.host,
        step_seconds=times.each,
        steps=len(times.each),
        nodes=[one.nodes for one in work],
        computed_nodes=computed,
        kept=[len(one.laid.wanted) for one in work],
        memory=memory,
        planned=planned,
        first_step_seconds=first,
        graphs_compiled=graphs[0],
        graphs_compiled_later=graphs[1],
        losses=[round(float(loss), 4) for loss in losses],
    )
    return mentions
