"""Which kernel for which size: forward and backward through four layers, trees of 256 to 16,384 tokens, alone and
packed.

The layers have SmolLM2-135M's shape, then Llama 3 8B's. Weights are frozen and the input wants a gradient, as under
LoRA, so each layer costs what it costs there without the adapters. The mask is made in every pass, as in training.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from .clock import forget_peak, measure, peak_memory
from .models import LLAMA_3_8B, SMOLLM2_135M, TOY, random_llama
from .notes import Notes, Options
from .passes import (
    KERNELS,
    Pass,
    Text,
    as_shipped,
    attention_mask,
    compiled,
    let_compile,
    medal_like,
    one_after_another,
    packs,
    side_by_side,
    use_kernel,
)

LAYERS = 4
LENGTHS = (256, 512, 1024, 2048, 4096, 8192, 16384)
TREE = 400
"""Tokens of a tree among those that are packed."""
VOCAB = 1024
NEEDS = 3
"""Seconds of a measurement; FlexAttention's first ones take more, and come when there is time."""


def run(options: Options, notes: Notes) -> None:
    let_compile()
    shapes = [("SmolLM2-135M", SMOLLM2_135M), ("Llama 3 8B", LLAMA_3_8B)]
    if options.tiny:
        shapes = [("toy", TOY)]
    for name, sizes in shapes:
        with notes.attempt(f"{name}'s layers"):
            small = replace(sizes, layers=2 if options.tiny else LAYERS, vocab=VOCAB)
            dtype = torch.bfloat16 if options.device == "cuda" else torch.float32
            model = random_llama(small, options.device, dtype, head=False)
            rates = _one_shape(model, name, options, notes)
            _crossing(name, rates, notes)
            del model


def _one_shape(model: Any, name: str, options: Options, notes: Notes) -> dict[tuple[str, int, str], float]:
    """Tokens per second by (alone or packed, length, kernel)."""
    rates: dict[tuple[str, int, str], float] = {}
    kernels = [kernel for kernel in KERNELS if options.device == "cuda" or kernel != "flex"]
    lengths = (64, 128) if options.tiny else LENGTHS
    # Flex needs two compilations, for the first length and for all others; it goes last in each length.
    for length in lengths:
        if not notes.fits(f"{name}, {length} tokens", needs=NEEDS):
            break
        for layout, kernel, one in _passes(length, kernels, options):
            title = f"{name}, {layout}, {length} tokens, {kernel}"
            place = {"table": f"{name}'s layers, {layout}: tokens/s", "row": f"{length:,} tokens", "column": kernel}
            if not notes.fits(title, needs=NEEDS, **place):
                continue
            with notes.attempt(title, **place):
                rates[layout, length, kernel] = _measured(model, one, title, place, options, notes)
            if kernel == "flex" and (layout, length, kernel) not in rates and notes.left > 20:
                let_compile(dynamic=False)  # for this length alone, and so for those that follow
                with notes.attempt(f"{title}, static", **place):
                    rates[layout, length, kernel] = _measured(model, one, f"{title}, static", place, options, notes)
    return rates


def _passes(length: int, kernels: list[str], options: Options) -> list[tuple[str, str, Pass]]:
    tree = 40 if options.tiny else TREE
    one = single(length).tree()
    found = [("alone", kernel, one_after_another([one], kernel, options.device)) for kernel in kernels]
    if length < 2 * tree:
        return found
    small = medal_like(
        length // tree + 4,
        VOCAB,
        passage=(tree * 6 // 10, tree * 8 // 10),
        mentions=(1, 2) if options.tiny else (3, 3),
        prompt=4 if options.tiny else 10,
        candidates=2 if options.tiny else 6,
        words=(2, 4) if options.tiny else (3, 7),
    )
    trees = packs([text.tree() for text in small], length)[0]
    for kernel in kernels:
        found.append(("packed", kernel, one_after_another(trees, kernel, options.device, length=length)))
    found.append(("packed", "side by side", side_by_side(trees, "sdpa float", options.device)))
    found.append(("packed", "in rows", as_shipped(trees, options.device)))
    return found


def single(length: int) -> Text:
    """One text whose tree has about so many tokens, two thirds of them its passage."""
    questions = max(1, length // 3 // 46)  # 10 tokens of a prompt, 9 candidates of 4 nodes each
    text = medal_like(1, VOCAB, passage=(1, 1), mentions=(questions, questions), prompt=10, candidates=9, words=(5, 5))[
        0
    ]
    rest = max(8, length - (len(text.tree()) - 1))
    return replace(text, passage=[3 + number % (VOCAB - 3) for number in range(rest)])


def _measured(model: Any, one: Pass, title: str, place: dict[str, str], options: Options, notes: Notes) -> float:
    use_kernel(model, one.kernel)
    shape = (one.sequences, one.length)
    embedded = torch.randn(*shape, model.config.hidden_size, device=options.device, dtype=model.dtype)
    embedded.requires_grad_(True)
    above = torch.randn_like(embedded)

    def work() -> None:
        mask = attention_mask(one, model.dtype)
        out = model(
            inputs_embeds=embedded,
            position_ids=one.laid.depth,
            attention_mask=mask,
            use_cache=False,
            place=one.laid.place,
        ).last_hidden_state
        torch.autograd.grad(out, embedded, above)

    before = compiled()
    first = measure(work, options.device, repeats=1, warmup=0).wall
    forget_peak(options.device)
    repeats = 2 if options.tiny else 8 if one.computed <= 4096 else 4
    times = measure(work, options.device, repeats=repeats)
    masks = measure(lambda: attention_mask(one, model.dtype), options.device, repeats=3).median
    rate = one.nodes / times.median
    notes.record(
        title,
        f"{rate:,.0f}",
        **place,
        nodes=one.nodes,
        computed_nodes=one.computed,
        pairs=one.pairs,
        tokens_per_second=rate,
        seconds=times.median,
        each=times.each,
        host_seconds=times.host,
        mask_seconds=masks,
        first_seconds=first,
        graphs_compiled=compiled() - before,
        memory=peak_memory(options.device),
    )
    return rate


def _crossing(name: str, rates: dict[tuple[str, int, str], float], notes: Notes) -> None:
    """The quickest kernel of each length, and from where FlexAttention stays ahead."""
    for layout in ("alone", "packed"):
        lengths = sorted({length for where, length, _ in rates if where == layout})
        best = {}
        for length in lengths:
            here = {kernel: rate for (where, size, kernel), rate in rates.items() if (where, size) == (layout, length)}
            best[length] = max(here, key=lambda kernel: here[kernel])
        others = [length for length in lengths if best[length] != "flex"]
        ahead = [length for length in lengths if not others or length > max(others)]
        text = ", ".join(f"{length:,}: {kernel}" for length, kernel in best.items())
        said = (
            f"FlexAttention ahead from {min(ahead):,} tokens" if ahead else "FlexAttention never ahead at the longest"
        )
        if lengths:
            notes.record(
                f"{name}, {layout}: the quickest", f"{said}; {text}", quickest=best, flex_from=min(ahead, default=None)
            )
