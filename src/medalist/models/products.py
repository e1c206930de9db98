"""Matrix products of linear layers on a CPU, in oneDNN, with gradients.

PyTorch's own float32 products (MKL) reach less than half of oneDNN's speed on AMD's processors. They differ in the
order of their sums, so by rounding only. Weights are read where they lie: nothing that is derived from them is kept.
`tests/models/test_products.py` compares values and gradients with PyTorch's.
"""

from __future__ import annotations

import platform
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MULTIPLE = 32
"""oneDNN generates code for every number of rows and keeps it, half a megabyte each; trees have any number of nodes.
So rows are filled up to a multiple of this, or to a power of two below it."""
ONEDNN = (
    platform.machine() in ("x86_64", "AMD64")
    and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # untyped in torch
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)
"""Whether products run in oneDNN here; elsewhere PyTorch chooses the library."""


def linear(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``rows[..., N, in]`` times ``weight[out, in]``, plus ``bias[out]``, in float32 on every path; no gradients."""
    if not ONEDNN:
        return F.linear(rows, weight, bias)
    flat = rows.flatten(0, -2)
    product: Tensor = torch.ops.mkldnn._linear_pointwise(_filled_up(flat), weight, bias, "none", [], "")
    # A view would do, but PyTorch refuses to change one in place that a custom function returns.
    whole: Tensor = torch.ops.aten._unsafe_view(product[: len(flat)], [*rows.shape[:-1], len(weight)])
    return whole


def _filled_up(rows: Tensor) -> Tensor:
    """``rows[N, in]`` with rows of zeros below."""
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
    """A linear layer that computes in oneDNN where it can: float32, on a CPU, whole weights, no autocast."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # PyTorch calls it so
        """``input[..., in_features]`` to ``[..., out_features]``."""
        plain = type(input) is Tensor and type(self.weight) in (Tensor, nn.Parameter)  # FSDP's may be slices
        on_cpu = input.device.type == self.weight.device.type == "cpu"
        in_float32 = input.dtype == self.weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        if plain and on_cpu and in_float32 and input.dim() >= 2 and input.numel() and not torch.compiler.is_compiling():
            product: Tensor = _Linear.apply(input, self.weight, self.bias)  # type: ignore[no-untyped-call]  # untyped in torch
            return product
        return super().forward(input)


def speed_up(model: nn.Module) -> None:
    """Make the plain linear layers of a model compute in oneDNN, where it is there; its weights stay as they are."""
    if not ONEDNN:
        return
    for part in model.modules():
        if type(part) is nn.Linear:
            part.__class__ = CPULinear


def slow_down(model: nn.Module) -> None:
    """Undo `speed_up`, for comparison with programs that compute in PyTorch's own products."""
    for part in model.modules():
        if type(part) is CPULinear:
            part.__class__ = nn.Linear  # type: ignore[assignment]  # narrowed to what is undone
