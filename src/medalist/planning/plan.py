"""Estimates what a recipe needs before anything is downloaded or loaded, and suggests changes that save memory.

Memory per device (`memory`) and work per step (`compute`) are counted; time follows from a probe of this device.
"""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from ..models.precision import choose_dtype, refuse_sharded
from ..recipe import Recipe, dump_recipe, parse_recipe
from ..tools.number_formats import DType, FloatType
from .compute import Rates, Work, probe, scoring_work, training_work
from .devices import device_memory
from .memory import BASELINE, SLACK, Pass, Peak, Place, scoring_peak, training_peaks
from .shapes import ModelShape, find_shape
from .tree_sizes import TreeSource, mean_pass

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
class Plan:
    """What a recipe needs."""

    name: str
    shape: ModelShape
    place: Place
    trees: str
    """Where the sizes of the trees come from."""
    baseline: float
    peaks: tuple[Peak, ...]
    """The moments at which memory may peak, highest first; without the baseline."""
    memory: float | None
    """Bytes of the device; None if they are not known."""
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
    tflops: float | None = None
    """What one device sustains, in 10^12 operations per second, as it was told; None: see `rates`."""
    rates: Rates | None = None
    """Speeds measured by the probe; None if there was none."""
    untimed: str | None = None
    """Why the probe could not run although it was wanted."""
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
        }


def make_plan(
    recipe: Recipe,
    *,
    devices: int = 1,
    memory: float | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    config: Path | None = None,
    with_probe: bool = True,
    tflops: float | None = None,
) -> Plan:
    """Estimate what tuning with a recipe needs.

    Args:
        recipe: what would be trained.
        devices: number of devices that share the run, as `training.parallel` says.
        memory: bytes per device; None: those of this machine's device.
        device: the kind of device; a GPU can be planned for on a machine without one, but then there is no probe.
        config: the base's config.json or its folder, if its sizes are not known.
        with_probe: measure this device's speed to estimate times.
        tflops: what a device sustains, in 10^12 operations per second; given, nothing is measured.

    Raises:
        ValueError: the base's sizes are not known, or the settings contradict each other.
    """
    here: Device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = here if device == "auto" else device
    shape = find_shape(recipe.model.base, revision=recipe.model.revision, config=config)
    where = _Where(
        shape=shape,
        trees=TreeSource(recipe, shape),
        kind=kind,
        memory=device_memory() if memory is None and kind == here else memory,
        holes=kind == "cpu" and platform.libc_ver()[0] == "glibc" and NO_HOLES.split("=")[0] not in os.environ,
    )
    found = _planned(recipe, devices, where)
    advice = _advised(found, recipe, where) if found.verdict in ("may not fit", "does not fit") else ()
    rates, untimed = None, None
    if with_probe and kind == here and tflops is None:
        try:
            rates = probe(shape, found.place, where.trees.sizes(recipe).mean()[0].nodes)
        except ImportError:  # the memory of quantised weights is counted without what quantises them
            quantization = recipe.model.quantization
            untimed = f"model.quantization={quantization} needs bitsandbytes: pip install medalist[quantize]"
    return replace(found, advice=advice, rates=rates, untimed=untimed, tflops=tflops)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Where:
    """What stays the same when a plan is repeated with other settings."""

    shape: ModelShape
    trees: TreeSource
    kind: Device
    memory: float | None
    holes: bool


def _planned(recipe: Recipe, devices: int, where: _Where) -> Plan:
    """The plan without advice and probe."""
    settings = recipe.training
    per_pass = settings.passages_at_once(devices)
    if settings.parallel == "fsdp":
        refuse_sharded(recipe.model.quantization)
    place = Place(
        device=where.kind,
        dtype=_dtype(recipe.model.dtype, where.kind),
        quantization=recipe.model.quantization,
        parallel=settings.parallel,
        devices=devices,
        wanted=recipe.model.attention,
        holes=where.holes,
    )
    sizes = where.trees.sizes(recipe)
    passes = settings.passages_per_step // per_pass
    largest = sizes.largest(settings.passages_per_pass)
    peaks = training_peaks(where.shape, settings, place, place.padded(largest), accumulates=passes > 1)
    validation = place.padded(sizes.validation_pass(recipe.evaluation.max_nodes, where.kind))
    peaks.append(scoring_peak(where.shape, settings, place, validation))
    mean, mentions = sizes.mean()
    usual = [
        training_work(where.shape, settings, place, place.padded(one))
        for one in sizes.usual(settings.passages_per_pass)
    ]
    scored, questions = mean_pass(sizes.validation)
    count = settings.passages_per_step
    share = count / settings.passages_per_pass / len(usual)  # of the step's passes that each of these stands for
    return Plan(
        name=recipe.name,
        shape=where.shape,
        place=place,
        trees=where.trees.origin,
        baseline=BASELINE[where.kind],
        peaks=tuple(sorted(peaks, key=lambda peak: -peak.total)),
        memory=where.memory,
        largest=largest,
        passes=passes,
        tokens=mean.nodes * count,
        mentions=mentions * count,
        work=Work(
            forward=share * sum(one.forward for one in usual), backward=share * sum(one.backward for one in usual)
        ),
        scoring=scoring_work(where.shape, place, scored),
        scored=questions,
        steps=_steps(recipe),
    )


def _steps(recipe: Recipe) -> int | None:
    """Optimiser steps of the run, if `max_steps` or `data.limit` decides them."""
    settings = recipe.training
    if settings.max_steps or not recipe.data.limit:
        return settings.max_steps
    return math.ceil(math.ceil(recipe.data.limit / settings.passages_per_step) * settings.epochs)


def _dtype(wanted: DType, kind: Device) -> FloatType:
    """The dtype that `load_base` would choose; a GPU that is not on this machine is assumed to support bfloat16."""
    if wanted != "auto":
        return wanted
    if kind == "cuda" and not torch.cuda.is_available():
        return "bfloat16"
    return choose_dtype(torch.device(kind))


def _advised(found: Plan, recipe: Recipe, where: _Where) -> tuple[Advice, ...]:
    """Every single change that saves memory, largest saving first; then a combination, if no single one is enough."""
    mine = found.place.devices

    def tried(taken: Advice | None, than: Plan) -> list[tuple[Advice, Plan]]:
        """What each further change brings on top of those already taken, best first."""
        before = taken.overrides if taken else ()
        changed = parse_recipe(dump_recipe(recipe), before)
        made = []
        for overrides, devices in _changes(changed, mine):
            try:
                other = _planned(parse_recipe(dump_recipe(changed), overrides), devices, where)
            except ValueError:  # it conflicts with another setting
                continue
            if other.total < 0.99 * than.total:
                one = Advice(
                    overrides=_last_of_each(before + overrides),
                    devices=devices,
                    total=other.total,
                    saved=found.total - other.total,
                    verdict=other.verdict,
                )
                made.append((one, other))
        return sorted(made, key=lambda pair: pair[0].total)

    singles = tried(None, found)
    advice = [one for one, _ in singles]
    if where.holes:
        other = _planned(recipe, mine, replace(where, holes=False))
        saved = found.total - other.total
        advice.append(
            Advice(overrides=(NO_HOLES,), devices=mine, total=other.total, saved=saved, verdict=other.verdict)
        )
        advice.sort(key=lambda one: one.total)
    best = next((pair for pair in singles if pair[0].devices == mine), None)
    while best is not None and best[0].verdict != "fits":
        further = next((pair for pair in tried(*best) if pair[0].devices == mine), None)
        if further is None:
            break
        best = further
    if best is not None and best[0] not in advice:
        advice.append(best[0])
    return tuple(advice)


def _last_of_each(overrides: tuple[str, ...]) -> tuple[str, ...]:
    """Overrides, without those that a later one of the same key replaces."""
    return tuple({override.partition("=")[0]: override for override in overrides}.values())


def _changes(recipe: Recipe, mine: int) -> Iterator[tuple[tuple[str, ...], int]]:
    """Changes that may save memory: overrides, and the number of devices."""
    settings, layers = recipe.training, recipe.training.upper_layers
    if settings.method == "full":
        yield ("training.method=lora",), mine
    if not settings.activation_checkpointing:
        yield ("training.activation_checkpointing=true",), mine
    if settings.method == "lora" and settings.parallel == "ddp":
        for kind in ("int8", "nf4"):
            if recipe.model.quantization != kind and recipe.model.quantization != "nf4":
                yield (f"model.quantization={kind}",), mine
    if settings.passages_per_pass > 1:
        yield ("training.passages_per_pass=1",), mine
    if settings.candidates > 4:
        yield (f"training.candidates={max(4, settings.candidates // 2)}",), mine
    if recipe.prompt.window > 256:
        yield ("prompt.window=256",), mine
    if recipe.evaluation.max_nodes > 2048:
        yield ("evaluation.max_nodes=2048",), mine
    if layers is None or layers > 8:
        yield ("training.upper_layers=8",), mine
    if recipe.model.quantization == "none":
        for devices in (2, 4, 8):
            if devices > mine:
                count = math.lcm(settings.passages_per_step, settings.passages_per_pass * devices)
                step = (f"training.passages_per_step={count}",) if count != settings.passages_per_step else ()
                yield ("training.parallel=fsdp", *step), devices
