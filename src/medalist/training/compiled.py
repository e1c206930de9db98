"""Compiled blocks: on a GPU, the many small operations between a block's large products run as a few fused kernels.

Adapters, norms, positions and activations are element-wise work. One by one, they take longer than attention does, and
the host can hardly launch them fast enough; `torch.compile` fuses them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def compiled_blocks(model: Any, *, wanted: bool) -> Iterator[None]:
    """Compile the blocks of a causal LM in place, for all lengths at once, for as long as the context lasts.

    Names and values of the weights stay as they are. The blocks share what was compiled, but for those whose input
    needs no gradient.

    Args:
        model: a causal LM, with or without peft's wrapper.
        wanted: else nothing is changed.
    """
    blocks = _blocks(model) if wanted else []
    for block in blocks:
        block.compile(dynamic=True)
    try:
        yield
    finally:
        _restore(dict.fromkeys(blocks))


@contextmanager
def uncompiled(model: Any) -> Iterator[None]:
    """Run its blocks as they are in this context: validation scores as the check on loading did, and compiles nothing.

    Args:
        model: as `compiled_blocks` takes it.
    """
    held = {block: block._compiled_call_impl for block in _blocks(model)}
    _restore(dict.fromkeys(held))
    try:
        yield
    finally:
        _restore(held)


def _restore(calls: dict[nn.Module, Any]) -> None:
    for block, call in calls.items():
        block._compiled_call_impl = call  # where `Module.compile` keeps it; PyTorch has no call that takes it back


def _blocks(model: Any) -> list[nn.Module]:
    whole = model.get_base_model() if hasattr(model, "get_base_model") else model
    return [part for part in whole.modules() if type(part).__name__ in whole._no_split_modules]
