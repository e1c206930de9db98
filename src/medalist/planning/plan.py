"""Estimates what a recipe needs before anything is downloaded or loaded, and suggests changes that save memory.

Memory per device (`memory`) and work per step (`compute`) are counted; time follows from a probe of this device.
"""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch

from ..models.limits import check_range
from ..models.precision import choose_dtype, refuse_sharded
from ..recipe import Recipe, dump_recipe, parse_recipe
from ..tools.number_formats import DType, FloatType
from .compute import Work, probe, scoring_work, training_work
from .devices import device_memory
from .memory import BASELINE, GPU_LIBRARIES, Place, scoring_peak, training_peaks
from .result import NO_HOLES, Advice, Device, OnCard, Plan
from .shapes import ModelShape, find_shape
from .tree_sizes import TreeSource, mean_pass
from .whole_run import CARDS, MBITS, around, known_total, utilisation

_DEVICES = ("auto", "cpu", "cuda")


def make_plan(
    recipe: Recipe,
    *,
    devices: int = 1,
    memory: float | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    config: Path | str | None = None,
    with_probe: bool = True,
    tflops: float | None = None,
    mbits: float = MBITS,
) -> Plan:
    """Estimate what tuning with a recipe needs.

    Args:
        recipe: what would be trained.
        devices: number of devices that share the run, according to `training.parallel`.
        memory: bytes per device; None: those of this machine's device.
        device: the kind of device; a GPU can be planned for on a machine without one, but then there is no probe.
        config: the base's config.json or its folder, if its sizes are unknown.
        with_probe: measure this device's speed to estimate times.
        tflops: sustained speed of a device, in 10^12 operations per second; if given, nothing is measured.
        mbits: download speed, in 10^6 bits per second.

    Raises:
        ValueError: the base's sizes are unknown, or the settings contradict each other or are out of its range.
    """
    _check_given(devices, device, memory=memory, tflops=tflops, mbits=mbits)
    here: Device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = here if device == "auto" else device
    at = None if config is None else Path(config)
    shape = find_shape(recipe.model.base, revision=recipe.model.revision, config=at)
    check_range(recipe, base=shape.name, layers=shape.layers, width=shape.hidden, longest=shape.max_positions)
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
        except ImportError:  # counting the memory of quantised weights does not need the library
            quantization = recipe.model.quantization
            untimed = f"model.quantization={quantization} needs bitsandbytes: pip install medalist[quantize]"
    cards = tuple(_on_cards(recipe, devices, where))
    return replace(found, advice=advice, cards=cards, rates=rates, untimed=untimed, tflops=tflops, mbits=mbits)


def _check_given(devices: int, device: str, **figures: float | None) -> None:
    if isinstance(devices, bool) or not isinstance(devices, int) or devices < 1:
        raise ValueError(f"devices is {devices!r}; it must be a whole number and at least 1")
    if device not in _DEVICES:
        raise ValueError(f"device is {device!r}; it must be one of {', '.join(_DEVICES)}")
    for name, value in figures.items():
        number = value is None or (isinstance(value, int | float) and not isinstance(value, bool))
        if not number or (value is not None and not 0 < value < math.inf):
            raise ValueError(f"{name} is {value!r}; it must be a number above 0")


def _on_cards(recipe: Recipe, devices: int, where: _Where) -> Iterator[OnCard]:
    """The same plan on common GPUs."""
    there = _planned(recipe, devices, replace(where, kind="cuda", memory=None, holes=False))
    share = utilisation(compiled=recipe.training.compile)
    for card in CARDS:
        mine = replace(there, memory=card.memory, tflops=share * card.peak)
        assert mine.step_seconds is not None
        yield OnCard(
            name=card.name,
            memory=card.memory,
            share=share,
            tflops=share * card.peak,
            total=mine.total,
            verdict=mine.verdict,
            step_seconds=mine.step_seconds,
            seconds=known_total(mine.parts[2:]),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Where:
    """The constants of a plan that is repeated with other settings."""

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
    steps, count = _steps(recipe, where.trees), settings.passages_per_step
    share = count / settings.passages_per_pass / len(usual)  # of the step's passes that each of these stands for
    return Plan(
        name=recipe.name,
        shape=where.shape,
        place=place,
        trees=where.trees.origin,
        baseline=BASELINE[where.kind] + (GPU_LIBRARIES if where.kind == "cpu" and torch.version.cuda else 0),
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
        steps=steps,
        passages_per_step=count,
        epochs=settings.epochs,
        limit_counts=not recipe.data.beside,
        around=around(recipe, where.shape, where.trees.counts, steps=steps, mentions=mentions),
    )


def _steps(recipe: Recipe, trees: TreeSource) -> int | None:
    """Optimiser steps of the run, if `max_steps`, `data.limit` or the number of passages decides them."""
    settings = recipe.training
    passages = trees.trained_on(recipe)
    if settings.max_steps or not passages:
        return settings.max_steps
    return math.ceil(math.ceil(passages / settings.passages_per_step) * settings.epochs)


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
        """The effect of each further change in addition to those already taken, best first."""
        before = taken.overrides if taken else ()
        changed = parse_recipe(dump_recipe(recipe), before)
        made = []
        for overrides, devices in _changes(changed, mine, where.shape.layers):
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
        if saved > 0.01 * found.total:
            one = Advice(overrides=(NO_HOLES,), devices=mine, total=other.total, saved=saved, verdict=other.verdict)
            advice = sorted([*advice, one], key=lambda advised: advised.total)
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
    """The overrides, without those that a later one of the same key replaces."""
    return tuple({override.partition("=")[0]: override for override in overrides}.values())


def _changes(recipe: Recipe, mine: int, depth: int) -> Iterator[tuple[tuple[str, ...], int]]:
    """Changes that may save memory, with a base of `depth` layers: overrides, and the number of devices."""
    settings = recipe.training
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
    if (settings.upper_layers or depth) > 8:
        yield ("training.upper_layers=8",), mine
    if recipe.model.quantization == "none":
        for devices in (2, 4, 8):
            if devices > mine:
                count = math.lcm(settings.passages_per_step, settings.passages_per_pass * devices)
                step = (f"training.passages_per_step={count}",) if count != settings.passages_per_step else ()
                yield ("training.parallel=fsdp", *step), devices
