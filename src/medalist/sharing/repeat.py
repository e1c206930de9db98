"""Evaluates a pulled run again, and compares every figure with the published one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..data.embedded import clinical
from ..evaluation.result_files import evaluation_folders, read_metrics
from ..evaluation.results import Metrics
from ..runs.evaluate import evaluate_run
from ..runs.held_out import HeldOut
from ..runs.run import Run
from ..tools.progress import say

TOLERANCE = 1e-4
"""Largest accepted difference in a figure when a pulled run is evaluated again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeated:
    """A published evaluation that was repeated."""

    data: str
    figures: int
    largest: float
    """Largest difference in a figure, in stored units: 0.01 is one point of accuracy."""
    where: str
    """The figure with the largest difference."""


def repeat_evaluations(run: Run) -> list[Repeated]:
    """Repeat the published evaluations of a pulled run whose data is available, unless they were of part of it.

    The locked notes are left out: they are scored once.

    Raises:
        ValueError: none of the data is available.
    """
    evaluations = []
    for folder in evaluation_folders(run.folder):
        name, before = folder.name, read_metrics(folder)
        if name == "test" and run.prepared() is not None:
            after, _ = evaluate_run(run)
        elif name in clinical.NOTES and name not in clinical.LOCKED:
            after, _ = evaluate_run(run, HeldOut(data=Path(name)))
        else:
            continue
        there, again = before["counts"]["passages"], after["counts"]["passages"]
        if there != again:
            say(f"{name}: published of {there:,} passages, and {again:,} are here, so it is not compared")
            continue
        here = dict(_figures(after))
        # NaN counts as an infinite difference, since `max` might skip it.
        gaps = [
            (gap if math.isfinite(gap := abs(value - here.get(key, math.inf))) else math.inf, key)
            for key, value in _figures(before)
        ]
        evaluations.append(Repeated(data=name, figures=len(gaps), largest=max(gaps)[0], where=max(gaps)[1]))
    if not evaluations:
        raise ValueError(
            f"{run.folder}: the data that it was evaluated on is not available; name it with --data when you pull"
        )
    return evaluations


def check_repeated(repeated: Repeated) -> str:
    """Describe the result of a repeated evaluation for the user.

    Raises:
        ValueError: a figure differs by more than the tolerance.
    """
    shown = f"{repeated.data}: {repeated.figures:,} figures, largest difference {repeated.largest:.2g}"
    if repeated.largest > TOLERANCE:
        raise ValueError(f"{shown} ({repeated.where}): differs from the published figure by more than {TOLERANCE:g}")
    return f"{shown}: as published."


def _figures(metrics: Metrics) -> Iterator[tuple[str, float]]:
    """Every figure of an evaluation with its path, such as `slices.all.tuned.value`."""

    def walk(value: object, path: str) -> Iterator[tuple[str, float]]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from walk(inner, f"{path}.{key}")
        elif isinstance(value, int | float):
            yield path, float(value)

    for part, value in metrics.items():
        if part in ("counts", "baselines", "models", "slices", "expansion", "calibrated"):
            yield from walk(value, part)
