"""Matrix products of linear layers on a CPU with oneDNN, with gradients.

PyTorch's own float32 products (MKL) reach less than half of oneDNN's speed on AMD processors. They sum in another
order, so they differ only by rounding. Weights are read in place: nothing derived from them is kept.
`tests/models/test_products.py` compares values and gradients with PyTorch's.
"""

from __future__ import annotations

import platform
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MULTIPLE = 32
"""oneDNN generates code for each number of rows and caches it, half a megabyte each, but trees have any number of
nodes. So rows are padded to a multiple of this, or to a power of two below it."""
ONEDNN = (
    platform.machine() in ("x86_64", "AMD64")
    and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # untyped in torch
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)
"""Whether oneDNN computes products here; otherwise PyTorch chooses the library."""


def linear(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``rows[..., N, in]`` times ``weight[out, in]``, plus ``bias[out]``, in float32 on every path; no gradients."""
    if not ONEDNN:
        return F.linear(rows, weight, bias)
    flat = rows.flatten(0, -2)
    product: Tensor = torch.ops.mkldnn._linear_pointwise(_filled_up(flat), weight, bias, "none", [], "")
    # A view would do, but PyTorch refuses to modify in place a view that a custom function returned.
    whole: Tensor = torch.ops.aten._unsafe_view(product[: len(flat)], [*rows.shape[:-1], len(weight)])
    return whole


def _filled_up(rows: Tensor) -> Tensor:
    """``rows[N, in]``, padded with rows of zeros."""
    count = len(rows)
    size = -(-count // MULTIPLE) * MULTIPLE if count > MULTIPLE else 1 << (count - 1).bit_length()
    return F.pad(rows, (0, 0, 0, size - count)) if size > count else rows


class _Linear(torch.autograd.Function):
    """`linear` with gradients."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows if ctx.needs_input_grad[1] else None, weight)
        return linear(rows, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        rows, weight = ctx.saved_tensors
        of_rows, of_weight, of_bias = ctx.needs_input_grad
        flat = grad.flatten(0, -2)
        return (
            linear(grad, weight.t()) if of_rows else None,
            linear(_filled_up(flat).t(), _filled_up(rows.flatten(0, -2)).t()) if of_weight else None,
            flat.sum(0) if of_bias else None,
        )


class CPULinear(nn.Linear):
    """A linear layer that computes with oneDNN where it can: float32, on a CPU, unsharded weights, no autocast."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # PyTorch's name
        """``input[..., in_features]`` to ``[..., out_features]``."""
        plain = type(input) is Tensor and type(self.weight) in (Tensor, nn.Parameter)  # FSDP's may be slices
        on_cpu = input.device.type == self.weight.device.type == "cpu"
        in_float32 = input.dtype == self.weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        if plain and on_cpu and in_float32 and input.dim() >= 2 and input.numel() and not torch.compiler.is_compiling():
            product: Tensor = _Linear.apply(input, self.weight, self.bias)  # type: ignore[no-untyped-call]  # untyped in torch
            return product
        return super().forward(input)


def speed_up(model: nn.Module) -> None:
    """Make the plain linear layers of a model compute with oneDNN, if it is available; its weights are unchanged."""
    if not ONEDNN:
        return
    for part in model.modules():
        if type(part) is nn.Linear:
            part.__class__ = CPULinear


def slow_down(model: nn.Module) -> None:
    """Undo `speed_up`, for comparisons with PyTorch's own products."""
    for part in model.modules():
        if type(part) is CPULinear:
            part.__class__ = nn.Linear  # type: ignore[assignment]  # the reverse of `speed_up`
