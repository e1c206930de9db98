"""Compiled blocks: on a GPU, the many small operations between a block's large products run as a few fused kernels.

Adapters, norms, positions and activations are element-wise work. One by one, they take longer than attention does, and
the host can hardly launch them fast enough; `torch.compile` fuses them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from ..recipe import RecipeError

COMPILERS = ("gcc", "clang", "cc")
"""Triton and PyTorch look for these, or for what CC names."""


def need_compiler() -> None:
    """Refuse to compile where that would fail in the middle of the first step.

    Raises:
        RecipeError: there is no C compiler.
    """
    if not any(shutil.which(name) for name in (os.environ.get("CC", ""), *COMPILERS) if name):
        raise RecipeError(
            "training.compile=true needs a C compiler, and none was found: install gcc, or set training.compile=false"
        )


@contextmanager
def compiled_blocks(model: Any, *, wanted: bool, backend: str = "inductor") -> Iterator[None]:
    """Compile the blocks of a causal LM in place, for all lengths at once, for as long as the context lasts.

    Names and values of the weights stay as they are. The blocks share what was compiled, but for those whose input
    needs no gradient.

    Args:
        model: a causal LM, with or without peft's wrapper.
        wanted: else nothing is changed.
        backend: PyTorch's name of what compiles. "aot_eager" needs no C compiler and makes nothing faster: to try it.
    """
    blocks = _blocks(model) if wanted else []
    for block in blocks:
        block.compile(backend=backend, dynamic=True)
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
