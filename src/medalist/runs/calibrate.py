"""Fits a run's calibration, which turns the tuned model's scores into answers, on its validation split."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from ..data.items import make_items
from ..evaluation.calibration import Case, cross_validated, fit, make_cases, too_few
from ..evaluation.glance import fit_after_glance, fit_glance
from ..evaluation.metrics import Bools
from ..evaluation.predictions import score_texts
from ..evaluation.reading import read_rest, with_scores
from ..models.load import LoadedModel
from ..tools.files import can_write
from ..tools.progress import say
from ..trees.decisions import CALIBRATION_FILE, NEVER, Calibration, Decision
from ..trees.prompt import Encoder
from .parents import parent_of
from .run import Run

UNCALIBRATED = (
    'answers stay as they are without a calibration: the most likely of the listed meanings and "none of these"'
)
CHANCE = 0.05
"""Significance level of the sign test: a glance is not used if it is worse with a p value below this."""


def calibrated(run: Run, load: Callable[[], LoadedModel]) -> Calibration | None:
    """The run's calibration; if it has none yet, fit it on the validation split and write it to the run's folder.

    The validation split was also used to choose the checkpoint, which makes the thresholds slightly optimistic.

    Args:
        run: a run.
        load: loads its tuned model; called only if there is something to score.

    Returns:
        The calibration. None for a run on choice questions, before training has finished, and if validation data is
        missing or too small, which is then printed.
    """
    if run.calibration is None and (run.folder / CALIBRATION_FILE).exists():  # fitted since the run was opened
        return Calibration.read(run.folder / CALIBRATION_FILE)
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
        loaded = load()
        scores, _ = score_texts(
            loaded,
            passages,
            run.inventory,
            run.recipe.prompt,
            max_nodes=run.recipe.evaluation.max_nodes,
            label="Calibrating",
        )
        windows = Encoder(loaded.tokenizer, run.recipe.prompt, max_depth=loaded.max_depth).windows
        cases = make_cases(items, scores, run.inventory, windows)
        missing = too_few([case.item for case in cases])  # some may not fit into the model's window
    if missing is not None and inherited:
        _say_once(f"{run.folder} keeps the reader's calibration, with too little validation data ({missing})")
        return run.calibration
    if missing is not None:
        _say_once(f"{run.folder} is not calibrated, with too little validation data ({missing}); {UNCALIBRATED}")
        return None
    precision = run.recipe.evaluation.precision
    found = _with_glance(run, loaded, cases, fit(cases, precision=precision))
    if found.offered_from == NEVER:
        say(f"No threshold reaches a precision of {precision:.0%} on the validation data: no answer is offered as sure")
    if can_write(run.folder):
        found.write(run.folder / CALIBRATION_FILE)
    return found


def _with_glance(run: Run, loaded: LoadedModel, cases: Sequence[Case], without: Calibration) -> Calibration:
    """The calibration with a glance (deciding without the model) first, unless it is significantly less accurate.

    Args:
        run: the run.
        loaded: its tuned model.
        cases: validation data, every case with the model's scores.
        without: the calibration in which the model is asked about everything.
    """
    found = fit_glance(cases, precision=without.target)
    if found is None:
        return without
    glance, decisions = found
    settings = run.recipe.evaluation
    rest = read_rest(loaded, cases, decisions, glance, run.inventory, run.recipe.prompt, settings.max_nodes)
    fitted = fit_after_glance(with_scores(cases, rest), decisions, glance, precision=without.target)
    if fitted is None:
        return without
    calibration, decided = fitted
    before, after = _right(cases, cross_validated(cases)), _right(cases, decided)
    lost, changed = int((before & ~after).sum()), int((before ^ after).sum())
    by_chance = sum(math.comb(changed, n) for n in range(lost, changed + 1)) / 2**changed
    return without if by_chance < CHANCE else calibration


def _right(cases: Sequence[Case], decisions: Sequence[Decision]) -> Bools:
    """``[M]``: whether the likeliest listed sense is the gold."""
    return np.array([case.is_right(decision) for case, decision in zip(cases, decisions, strict=True)])


def keeps_parents_calibration(run: Run) -> bool:
    """Whether a run still has the calibration that it started with, its parent's (the reader's)."""
    parent = parent_of(run) if run.calibration is not None else None
    if parent is None or parent.calibration is None:
        return False
    return run.calibration == parent.calibration.without_glance()


@cache
def _say_once(remark: str) -> None:
    """Print a remark once per process: a run tuned further is evaluated on its own and on its parent's test data."""
    say(remark)
