"""Compiled blocks: on a GPU, the many small operations between a block's large products are fused into a few kernels.

Adapters, norms, positions and activations are element-wise operations. Run separately, they take longer than attention,
and the host can hardly launch them fast enough; `torch.compile` fuses them.
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
"""Triton and PyTorch look for one of these, or for the one in the variable CC."""


def need_compiler() -> None:
    """Refuse to compile where it would fail in the middle of the first step.

    Raises:
        RecipeError: there is no C compiler.
    """
    if not any(shutil.which(name) for name in (os.environ.get("CC", ""), *COMPILERS) if name):
        raise RecipeError(
            "training.compile=true needs a C compiler, and none was found: install gcc, or set training.compile=false"
        )


@contextmanager
def compiled_blocks(model: Any, *, wanted: bool, backend: str = "inductor") -> Iterator[None]:
    """Compile the blocks of a causal LM in place, once for all lengths, for the duration of the context.

    The names and values of the weights are unchanged. The blocks share the compiled code, except those whose input
    needs no gradient.

    Args:
        model: a causal LM, with or without peft's wrapper.
        wanted: if false, nothing is changed.
        backend: name of the PyTorch compiler backend. "aot_eager" needs no C compiler and gives no speed-up: for tests.
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
    """Run the blocks uncompiled in this context, so that validation scores as the check on loading did.

    Args:
        model: as for `compiled_blocks`.
    """
    held = {block: block._compiled_call_impl for block in _blocks(model)}
    _restore(dict.fromkeys(held))
    try:
        yield
    finally:
        _restore(held)


def _restore(calls: dict[nn.Module, Any]) -> None:
    for block, call in calls.items():
        block._compiled_call_impl = call  # set by `Module.compile`; PyTorch has no function to undo it


def _blocks(model: Any) -> list[nn.Module]:
    whole = model.get_base_model() if hasattr(model, "get_base_model") else model
    return [part for part in whole.modules() if type(part).__name__ in whole._no_split_modules]
