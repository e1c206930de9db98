"""Law 7's check that losses and gradients are finite: immediate on a CPU, without a host sync on a GPU.

On a GPU, figures are copied to the host only when it needs one anyway: before logging, validating, saving and ending.
Until then a flag on the GPU records that something was not finite, and the optimiser changes nothing from that step on.
So a run still ends with the weights of its last good step, and names the first bad step and its passages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

MOST_STEPS = 20
"""Steps after which the host copies the figures in any case."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """A figure that is not finite, and where it occurred."""

    what: str
    """"Loss" or "Gradient norm"."""
    value: float
    step: int
    text_ids: Sequence[str]
    on_all_ranks: bool
    """Whether every process sees it: true of the gradient norm, not of a loss, which is a process's own."""


@dataclass(kw_only=True, slots=True)
class FiniteCheck:
    """Checks each loss and each step's gradient norm."""

    late: bool
    """Whether figures are checked on their device and reported later."""
    bad: Tensor | None = None
    """``[]`` float32, on the device: 1 from the first step with a non-finite figure on, else 0. None if not `late`, or
    before the first step."""
    _losses: list[Tensor] = field(default_factory=list)
    """Losses of the passes of the current step."""
    _unread: list[tuple[str, Tensor, int, Sequence[str]]] = field(default_factory=list)

    def loss(self, value: Tensor, step: int, text_ids: Sequence[str]) -> Seen | None:
        """Record the loss of one pass; unless `late`, report it if it is not finite."""
        self._unread.append(("Loss", value.detach(), step, text_ids))
        if self.late:
            self._losses.append(value.detach())
            return None
        return self._read()

    def gradients(self, norm: Tensor, step: int, text_ids: Sequence[str]) -> Seen | None:
        """Record a step's gradient norm; if `late`, update `bad`, else report a figure that is not finite."""
        self._unread.append(("Gradient norm", norm.detach(), step, text_ids))
        if not self.late:
            return self._read()
        finite = torch.stack([*self._losses, norm.detach()]).isfinite().all()
        self.bad = torch.maximum(torch.zeros_like(norm) if self.bad is None else self.bad, (~finite).float())
        self._losses.clear()
        return None

    def report(self, *, due: bool) -> Seen | None:
        """The first non-finite figure since the last report, if it is time to look.

        Args:
            due: the host needs a figure from the device now anyway; otherwise it looks only after `MOST_STEPS` steps.
        """
        if not self._unread or not (due or self._unread[-1][2] - self._unread[0][2] + 1 >= MOST_STEPS):
            return None
        return self._read()

    def _read(self) -> Seen | None:
        unread, self._unread = self._unread, []
        values = torch.stack([value for _, value, _, _ in unread])  # a single copy from the device
        wrong = (~values.isfinite()).tolist()
        if not any(wrong):
            return None
        what, value, step, text_ids = unread[wrong.index(True)]
        return Seen(what=what, value=float(value), step=step, text_ids=text_ids, on_all_ranks=what == "Gradient norm")
