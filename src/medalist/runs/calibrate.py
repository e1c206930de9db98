"""Fits a run's calibration on its validation split: how the tuned model's scores become answers."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from ..data.items import make_items
from ..evaluation.calibration import NEVER, fit, make_cases, too_few
from ..evaluation.predictions import score_texts
from ..models.load import LoadedModel
from ..tools.files import can_write
from ..tools.progress import say
from ..trees.decisions import CALIBRATION_FILE, Calibration
from .parents import parent_of
from .run import Run

UNCALIBRATED = (
    'answers stay as they are without a calibration: the most likely of the listed meanings and "none of these"'
)


def calibrated(run: Run, load: Callable[[], LoadedModel]) -> Calibration | None:
    """The run's calibration; if it has none yet, it is fitted on the validation split and written to the run's folder.

    The validation split has also chosen the checkpoint, which makes the thresholds slightly optimistic.

    Args:
        run: a run.
        load: loads its tuned model; called only if there is something to score.

    Returns:
        The calibration. None for a run on choice questions, before training has finished, and where the validation
        data is gone or too small, which is said.
    """
    inherited = keeps_parents_calibration(run)
    if (run.calibration is not None and not inherited) or run.tuned is None or not run.inventory.senses:
        return run.calibration
    prepared = run.prepared()
    if prepared is None:
        _say_once(f"{run.folder} has no calibration, and no validation data to fit one on; {UNCALIBRATED}")
        return None
    passages = prepared.passages("validation")
    items = [item for item in make_items(passages, run.inventory) if item.candidates]
    if (missing := too_few(items)) is None:
        scores, _ = score_texts(
            load(),
            passages,
            run.inventory,
            run.recipe.prompt,
            max_nodes=run.recipe.evaluation.max_nodes,
            label="Calibrating",
        )
        cases = make_cases(items, scores, run.inventory)
        missing = too_few([case.item for case in cases])  # some may not fit the model's window
    if missing is not None and inherited:
        _say_once(f"{run.folder} keeps the reader's calibration, with too little validation data ({missing})")
        return run.calibration
    if missing is not None:
        _say_once(f"{run.folder} is not calibrated, with too little validation data ({missing}); {UNCALIBRATED}")
        return None
    precision = run.recipe.evaluation.precision
    found = fit(cases, precision=precision)
    if found.offered_from == NEVER:
        say(f"No threshold reaches a precision of {precision:.0%} on the validation data: no answer is offered as sure")
    if can_write(run.folder):
        found.write(run.folder / CALIBRATION_FILE)
    return found


def keeps_parents_calibration(run: Run) -> bool:
    """Whether a run has the calibration that it began with, the reader's."""
    parent = parent_of(run) if run.calibration is not None else None
    return parent is not None and parent.calibration == run.calibration


@cache
def _say_once(remark: str) -> None:
    """Say it once per process: a run that was tuned further is evaluated on its own test data and on its parent's."""
    say(remark)
