"""Scoring mentions with Llama 3 8B's true shape, beside generating an answer of 128 tokens for each, as the article
does.

No gradients, no adapter beside the weights (medalist merges it). Every mention offers 15 candidates, MeDAL's mean.
Generation is transformers' own, greedy, with a KV cache: one mention at a time, then eight.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from .cases import NEEDS, SCORING_CASES, Case, passes
from .clock import GIB, forget_peak, matmul_peak, measure, peak_memory
from .models import Sizes, llama_8b
from .notes import Notes, Options
from .passes import Pass, let_compile, scores, use_kernel

CANDIDATES = 15
NEW_TOKENS = 128
PROMPT = 340


def run(options: Options, notes: Notes) -> None:
    let_compile(dynamic=False)
    sizes, model = llama_8b(options.device, options.tiny)
    model.eval()
    peak = matmul_peak(options.device, options.tiny)
    rates = _cases(SCORING_CASES[:3], model, sizes, peak, options, notes)
    generated: dict[int, float] = {}
    for batch in (8, 1):
        name = f"generation, {batch} at once"
        place = {"table": "Scoring", "row": name, "column": "what"}
        if notes.fits(name, needs=0 if options.tiny else 10 if batch > 1 else 16, **place):
            with notes.attempt(name, **place):
                generated[batch] = _generated(model, sizes, batch, options, notes)
    _compared(rates, generated, notes, ", so far")
    rates |= _cases(SCORING_CASES[3:], model, sizes, peak, options, notes)
    _compared(rates, generated, notes, "")


def _cases(
    cases: Iterable[Case], model: Any, sizes: Sizes, peak: float, options: Options, notes: Notes
) -> dict[str, float]:
    """Mentions per second by case."""
    rates: dict[str, float] = {}
    for case in cases:
        if options.device != "cuda" and case.kernel == "flex":
            continue
        place = {"table": "Scoring", "row": case.name, "column": "what"}
        if not notes.fits(case.name, needs=0 if options.tiny else NEEDS[case.kernel], **place):
            continue
        with notes.attempt(case.name, **place):
            rates[case.name] = _scored(case, model, sizes, peak, options, notes)
    return rates


def _compared(rates: dict[str, float], generated: dict[int, float], notes: Notes, when: str) -> None:
    """The quickest way to score over either way to generate."""
    for batch, rate in generated.items():
        if rates:
            best = max(rates, key=lambda name: rates[name])
            ratio = rates[best] / rate
            text = f"{ratio:,.0f} times the mentions/s ({best})"
            notes.record(f"scoring over generation, {batch} at once{when}", text, ratio=ratio, scoring=best)


def _scored(case: Case, model: Any, sizes: Sizes, peak: float, options: Options, notes: Notes) -> float:
    use_kernel(model, case.kernel)
    work = passes(case, sizes, options, candidates=3 if options.tiny else CANDIDATES)
    turn = 0

    def step() -> None:
        nonlocal turn
        one = work[turn % len(work)]
        turn += 1
        with torch.no_grad():
            scores(model, one)

    forget_peak(options.device)
    first = measure(step, options.device, repeats=1, warmup=0).wall
    times = measure(step, options.device, repeats=2 if options.tiny else 12, warmup=len(work) - 1)
    count = len(work)
    mentions = sum(len(one.gold) for one in work) / count / times.wall
    tokens = sum(one.nodes for one in work) / count / times.wall
    share = sum(_operations(sizes, one) for one in work) / count / times.wall / peak
    memory = peak_memory(options.device)
    text = (
        f"{mentions:,.1f} mentions/s, {tokens:,.0f} tokens/s, {share:.1%} of the matmul peak, {times.wall:.4f} "
        f"s a pass (host "
        f"{times.host:.4f}), {memory['allocated'] / GIB:.1f} GiB"
    )
    notes.record(
        case.name,
        text,
        table="Scoring",
        row=case.name,
        column="what",
        mentions_per_second=mentions,
        tokens_per_second=tokens,
        share_of_peak=share,
        seconds=times.wall,
        host_seconds=times.host,
        each=times.each,
        first_seconds=first,
        nodes=[one.nodes for one in work],
        memory=memory,
    )
    return mentions


def _operations(sizes: Sizes, one: Pass) -> float:
    """Of a forward pass without padding: 2 a weight and node, 4 a pair and width of the heads, the output layer where
    needed.
    """
    attended = sizes.layers * sizes.heads * sizes.head * one.pairs
    return 2 * sizes.linear_weights * one.nodes + 2 * sizes.vocab * sizes.hidden * len(one.laid.wanted) + 4 * attended


def _generated(model: Any, sizes: Sizes, batch: int, options: Options, notes: Notes) -> float:
    """Mentions per second, an answer each."""
    use_kernel(model, "sdpa")
    prompt, new = (20, 4) if options.tiny else (PROMPT, NEW_TOKENS)
    ids = torch.randint(3, sizes.vocab, (batch, prompt), device=options.device)
    wanted = {"attention_mask": torch.ones_like(ids), "do_sample": False, "use_cache": True, "pad_token_id": 0}

    def answer(count: int) -> None:
        with torch.no_grad():
            out = model.generate(ids, max_new_tokens=count, min_new_tokens=count, **wanted)
        assert out.shape == (batch, prompt + count)

    answer(2)
    spent = measure(lambda: answer(new), options.device, repeats=2 if batch == 1 else 1, warmup=0).wall
    rate = batch / spent
    text = f"{rate:,.2f} mentions/s, {spent:.2f} s for {new} tokens of {batch}"
    name = f"generation, {batch} at once"
    values = {"mentions_per_second": rate, "seconds": spent, "batch": batch, "new_tokens": new, "prompt_tokens": prompt}
    notes.record(name, text, table="Scoring", row=name, column="what", **values)
    return rate
