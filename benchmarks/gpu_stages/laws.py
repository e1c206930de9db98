"""Law 1 on this device: scores and gradients of token trees against plain sequences, for every kernel and dtype.

The reference are the same token ids as plain sequences, one by one, with SDPA's causal attention in the same dtype. For
bfloat16 both are also held against float32 with the same weights: what a tree adds to the dtype's own error. The
gradient is that of a random weighted sum of all scores, in every weight that is not quantised.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from medalist.training.compiled import compiled_blocks
from medalist.trees.attention_check import TOLERANCE
from medalist.trees.scoring import score_tree
from medalist.trees.tree import TokenTree, build_tree, forest, sequences

from .models import TOY, Sizes, base_model, in_bfloat16, quantised, random_llama, rounded
from .notes import Notes, Options
from .passes import let_compile, medal_like, use_kernel

SMALL = Sizes(hidden=256, intermediate=704, layers=4, heads=8, kv_heads=4, head=64, vocab=2048)
GRADIENT = {torch.float32: 1e-3, torch.bfloat16: 0.05}
"""Relative difference of a gradient that passes; the law names none."""
KERNELS = {"sdpa_in_rows": "shipped", "sdpa": "sdpa", "flex_attention": "flex"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What one way of computing gives."""

    scores: Tensor
    """``[C]`` float32."""
    gradient: Tensor
    """Of all weights in a row, float32."""


def run(options: Options, notes: Notes) -> None:
    small = TOY if options.tiny else SMALL
    let_compile()
    trees = uneven_trees(small.vocab, options.tiny)
    with notes.attempt("random Llama"):
        model = rounded(random_llama(small, options.device, torch.float32, spread=0.05)).eval()
        _laws(model, "random Llama", trees, options, notes)
    if options.base is not None:
        with notes.attempt("base"):
            model = base_model(options.base, options.device)
            _laws(model, "base", uneven_trees(1000, options.tiny), options, notes)


def uneven_trees(vocab: int, tiny: bool) -> list[TokenTree]:
    """Three trees of different sizes; in each question two candidates begin alike."""
    found = []
    for number, (length, questions) in enumerate(((9, 1), (16, 2), (30, 2)) if tiny else ((40, 1), (130, 2), (260, 3))):
        sizes = {"passage": (length, length), "mentions": (questions, questions), "words": (1, 6)}
        text = medal_like(1, vocab, prompt=7, candidates=3 if tiny else 5, seed=number, **sizes)[0]
        for _, candidates in text.mentions:
            candidates.append([*candidates[0], 3, 4])
        found.append(build_tree(text.passage, text.mentions))
    return found


def _laws(model: Any, name: str, trees: list[TokenTree], options: Options, notes: Notes) -> None:
    """Every dtype and quantisation of one model, the most telling first."""
    exact = _plain(model, trees)
    _kernels(model, f"{name}, float32", trees, exact, None, options, notes)
    if options.device == "cuda":
        with notes.attempt(f"{name}, bfloat16"):
            half = in_bfloat16(model)
            _kernels(half, f"{name}, bfloat16", trees, _plain(half, trees), exact, options, notes)
            del half
    compute = torch.bfloat16 if options.device == "cuda" else torch.float32
    for kind in ("nf4", "int8"):
        with notes.attempt(f"{name}, {kind}"):
            plain = in_bfloat16(model) if compute == torch.bfloat16 else copy.deepcopy(model)
            packed = quantised(plain, kind, compute)
            _kernels(packed, f"{name}, {kind}", trees, _plain(packed, trees), None, options, notes)


def _kernels(
    model: Any, name: str, trees: list[TokenTree], plain: Found, exact: Found | None, options: Options, notes: Notes
) -> None:
    """Every kernel and layout of one model, each a record."""
    for attention in KERNELS if options.device == "cuda" else ("sdpa_in_rows", "sdpa"):
        for layout, compute in _layouts(model, trees, attention, options):
            title = f"{name}, {KERNELS[attention]}, {layout}"
            with notes.attempt(title, table=f"Law 1: {name}", row=KERNELS[attention], column=layout):
                use_kernel(model, KERNELS[attention])
                began = time.perf_counter()
                found = _computed(model, compute)
                _record(notes, title, name, attention, layout, found, plain, exact, time.perf_counter() - began, model)
    use_kernel(model, "sdpa")


def _record(
    notes: Notes,
    title: str,
    name: str,
    attention: str,
    layout: str,
    found: Found,
    plain: Found,
    exact: Found | None,
    seconds: float,
    model: Any,
) -> None:
    worst = float((found.scores - plain.scores).abs().max())
    slope = float((found.gradient - plain.gradient).norm() / plain.gradient.norm())
    quantised_weights = getattr(model, "is_quantized", False)
    limit = 0.05 if quantised_weights else TOLERANCE[model.dtype]
    slope_limit = GRADIENT[torch.bfloat16 if quantised_weights else model.dtype]
    values = {
        "nats": worst,
        "largest_score": float(plain.scores.abs().max()),
        "tolerance": limit,
        "gradient": slope,
        "gradient_tolerance": slope_limit,
        "holds": worst <= limit and slope <= slope_limit,
        "seconds": seconds,
    }
    text = f"{worst:.2g} nats (limit {limit:g}), gradient {slope:.2g}"
    if exact is not None:
        values["tree_to_float32"] = float((found.scores - exact.scores).abs().max())
        values["plain_to_float32"] = float((plain.scores - exact.scores).abs().max())
        values["tree_gradient_to_float32"] = float((found.gradient - exact.gradient).norm() / exact.gradient.norm())
        values["plain_gradient_to_float32"] = float((plain.gradient - exact.gradient).norm() / exact.gradient.norm())
        text += (
            f"; from float32 {values['tree_to_float32']:.2g} (plain {values['plain_to_float32']:.2g}), gradient "
            f"{values['tree_gradient_to_float32']:.2g} (plain {values['plain_gradient_to_float32']:.2g})"
        )
    if not values["holds"]:
        text += " **over**"
    notes.record(title, text, table=f"Law 1: {name}", row=KERNELS[attention], column=layout, **values)


def _layouts(
    model: Any, trees: list[TokenTree], attention: str, options: Options
) -> Iterator[tuple[str, Callable[[], Iterator[tuple[int, Tensor]]]]]:
    """Ways to lay the trees out; each yields (first candidate, scores) of a forward pass, so that one graph lives at a
    time.
    """

    def alone() -> Iterator[tuple[int, Tensor]]:
        first = 0
        for tree in trees:
            yield first, score_tree(model, tree, attention)
            first += tree.num_candidates

    def together() -> Iterator[tuple[int, Tensor]]:
        yield 0, score_tree(model, forest(trees), attention)

    def compiled() -> Iterator[tuple[int, Tensor]]:
        with compiled_blocks(model, wanted=True, backend=options.backend):
            yield from together()

    yield "alone", alone
    yield "together", together
    if attention == "sdpa_in_rows":
        yield "together, compiled", compiled


def _plain(model: Any, trees: list[TokenTree]) -> Found:
    """The same token ids as plain sequences, one by one."""

    def each() -> Iterator[tuple[int, Tensor]]:
        number = 0
        for tree in trees:
            for token_ids, predicted in sequences(tree):
                ids = torch.tensor([token_ids], device=model.device)
                logits = model(input_ids=ids, use_cache=False).logits[0].float().log_softmax(-1)
                positions = torch.arange(len(token_ids) - predicted, len(token_ids), device=ids.device)
                yield number, logits[positions - 1, ids[0, positions]].sum()[None]
                number += 1

    use_kernel(model, "sdpa")
    return _computed(model, each)


def _computed(model: Any, compute: Callable[[], Iterator[tuple[int, Tensor]]]) -> Found:
    learnt = [weight.requires_grad_(True) for weight in model.parameters() if weight.is_floating_point()]
    for weight in learnt:
        weight.grad = None
    draw = torch.Generator().manual_seed(0)
    factors = torch.randn(4096, generator=draw).to(model.device)
    found = []
    for first, part in compute():
        (factors[first : first + len(part)] * part).sum().backward()
        found.append(part.detach())
    gradient = torch.cat([weight.grad.flatten().float() for weight in learnt if weight.grad is not None])
    for weight in learnt:
        weight.grad = None
    return Found(scores=torch.cat(found).cpu(), gradient=gradient)


def check_at_load(options: Options, notes: Notes) -> None:
    """The stage `load`: what `load_base` does on this device, how long its check takes, and what it decides for."""
    from medalist.models.load import choose_attention, load_base

    title = "a random Llama"
    with notes.attempt(title):
        dtype = torch.bfloat16 if options.device == "cuda" else torch.float32
        model = random_llama(TOY if options.tiny else SMALL, options.device, dtype, spread=0.05).eval()
        began = time.perf_counter()
        attention, error = choose_attention(model)
        _loaded(notes, title, attention, error, time.perf_counter() - began, model.dtype)
    if options.base is None:
        notes.record("the real base", "skipped: no --base was given", skipped=True)
        return
    for wanted in ("auto", "flex") if options.device == "cuda" else ("auto",):
        title = f"the real base, attention={wanted}"
        with notes.attempt(title):
            began = time.perf_counter()
            base = load_base(str(options.base), device=options.device, attention=wanted)
            _loaded(notes, title, base.attention, base.tree_error, time.perf_counter() - began, base.model.dtype)


def _loaded(notes: Notes, title: str, attention: str, error: float, seconds: float, dtype: torch.dtype) -> None:
    text = f"{attention}, {dtype}, {error:.2g} nats, {seconds:.0f} s"
    notes.record(title, text, attention=attention, dtype=str(dtype), nats=error, seconds=seconds)
