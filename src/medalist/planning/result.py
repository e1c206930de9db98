"""The contents of a plan: memory, work, the parts of a whole run, and the same on common cards."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from .compute import Rates, Work
from .memory import SLACK, Pass, Peak, Place
from .shapes import ModelShape
from .whole_run import (
    MBITS,
    TRAINING,
    VALIDATION,
    Around,
    Part,
    download_part,
    known_total,
    scoring_part,
    training_part,
)

ERROR = 0.2
"""Relative error of the predicted peak, enforced by benchmarks/plan.py."""
OVERHEAD = 1.3
"""Time of a pass divided by that of its matrix products; measured on a CPU by benchmarks/plan.py."""
NO_HOLES = "MALLOC_MMAP_THRESHOLD_=131072"
"""Environment setting that makes glibc map every tensor separately: no fragmentation, slower steps (mallopt(3))."""

Device = Literal["cpu", "cuda"]
Verdict = Literal["fits", "may not fit", "does not fit", "unknown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """A change that saves memory."""

    overrides: tuple[str, ...]
    """As typed after the recipe; an environment variable goes before the command."""
    devices: int
    """Number of devices with the change."""
    total: float
    """Bytes per device with the change."""
    saved: float
    """Bytes per device that the change saves."""
    verdict: Verdict
    """Verdict on the plan with the change."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OnCard:
    """A plan for a card, which need not be in this machine."""

    name: str
    memory: float
    """Bytes."""
    share: float
    """Share of its published peak that is assumed to be sustained; see `whole_run.utilisation`."""
    tflops: float
    """That share, in 10^12 operations per second."""
    total: float
    """Peak memory of a device, in bytes."""
    verdict: Verdict
    step_seconds: float
    seconds: float | None
    """Seconds of training, validation passes and both evaluations; None if the number of steps is unknown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Within:
    """What fits into a number of hours."""

    steps: int
    """Optimiser steps, with their validation passes."""
    passages: int
    """Number of passages whose epochs take at most this many steps."""
    rest: float
    """Seconds of download, preparation and both evaluations, which are included in the hours."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What a recipe needs."""

    name: str
    shape: ModelShape
    place: Place
    trees: str
    """Where the sizes of the trees come from."""
    baseline: float
    peaks: tuple[Peak, ...]
    """The points at which memory may peak, highest first; without the baseline."""
    memory: float | None
    """Bytes of the device; None if unknown."""
    largest: Pass
    """The largest training pass."""
    passes: int
    """Forward passes of a device in an optimiser step."""
    tokens: float
    """Nodes of the trees of an optimiser step, over all devices."""
    mentions: float
    """Questions of an optimiser step, over all devices."""
    work: Work
    """Operations of an optimiser step, over all devices."""
    scoring: float
    """Operations to score the mentions of one average validation tree."""
    scored: float
    """Mentions of that tree."""
    steps: int | None
    """Optimiser steps of the run; None where the recipe bounds neither steps nor passages."""
    passages_per_step: int
    """Passages of an optimiser step, over all devices."""
    epochs: float
    """Passes over the passages."""
    limit_counts: bool
    """Whether `data.limit` bounds all that is trained on: it does not count passages of `data.beside`."""
    around: Around
    """What comes before and after training."""
    mbits: float = MBITS
    """Assumed speed of the connection, in 10^6 bits per second."""
    tflops: float | None = None
    """Sustained speed of one device in 10^12 operations per second, if given; None: see `rates`."""
    rates: Rates | None = None
    """Speeds measured by the probe; None if there was none."""
    untimed: str | None = None
    """Why the probe could not run although it was requested."""
    cards: tuple[OnCard, ...] = ()
    """The same run on common GPUs, with the same number of devices."""
    advice: tuple[Advice, ...] = ()
    """Changes that save memory, and how much; the last one is a combination that fits, if there is one."""

    @property
    def total(self) -> float:
        """Peak memory of a device, in bytes."""
        return self.baseline + self.peaks[0].total * SLACK[self.place.device]

    @property
    def verdict(self) -> Verdict:
        """Whether the peak fits, allowing for the plan's own error."""
        if self.memory is None:
            return "unknown"
        if self.total > self.memory:
            return "does not fit"
        return "fits" if self.total * (1 + ERROR) <= self.memory else "may not fit"

    @property
    def training_seconds(self) -> float | None:
        """Seconds to train on 1,000 mentions."""
        seconds = self._seconds(self.work.forward, self.work.backward)
        return None if seconds is None else seconds / self.place.devices / self.mentions * 1000

    @property
    def scoring_seconds(self) -> float | None:
        """Seconds to score 1,000 mentions on one device."""
        seconds = self._seconds(self.scoring)
        return None if seconds is None else seconds / self.scored * 1000

    @property
    def step_seconds(self) -> float | None:
        """Seconds of an optimiser step."""
        return None if self.training_seconds is None else self.training_seconds * self.mentions / 1000

    @property
    def parts(self) -> tuple[Part, ...]:
        """The whole run in order: download, preparation, training, validation passes, both evaluations."""
        return (
            download_part(self.around, self.mbits),
            self.around.preparation,
            training_part(self.steps, self.step_seconds),
            *scoring_part(self.around, self.scoring_seconds),
        )

    @property
    def whole_seconds(self) -> float | None:
        """Seconds of all parts with a known duration; None if that of training is unknown."""
        return known_total(self.parts)

    def within(self, hours: float) -> Within | None:
        """How much training fits into this many hours together with the rest of the run, as far as that is known.

        Returns:
            None if the time of a step is unknown; zero steps if the rest alone takes longer.
        """
        if self.step_seconds is None:
            return None
        rest = sum(part.seconds or 0.0 for part in self.parts if part.name not in (TRAINING, VALIDATION))
        step = self.step_seconds + self.around.validation_seconds_per_step(self.scoring_seconds)
        steps = max(0, int((3600 * hours - rest) / step))
        passages = int(steps / self.epochs) * self.passages_per_step if self.limit_counts else 0
        return Within(steps=steps, passages=passages, rest=rest)

    def _seconds(self, forward: float, backward: float = 0.0) -> float | None:
        """Seconds of this many operations on one device."""
        if self.tflops is not None:
            return (forward + backward) / (self.tflops * 1e12)
        if self.rates is None:
            return None
        return OVERHEAD * (forward / self.rates.forward + backward / self.rates.backward)

    def record(self) -> dict[str, object]:
        """Everything in machine-readable form; in bytes, seconds and operations."""
        return asdict(self) | {
            "peaks": [asdict(peak) | {"total": peak.total} for peak in self.peaks],
            "parameters": self.shape.parameters,
            "total": self.total,
            "verdict": self.verdict,
            "training_seconds_per_1000_mentions": self.training_seconds,
            "scoring_seconds_per_1000_mentions": self.scoring_seconds,
            "step_seconds": self.step_seconds,
            "parts": [asdict(part) for part in self.parts],
            "whole_seconds": self.whole_seconds,
        }
