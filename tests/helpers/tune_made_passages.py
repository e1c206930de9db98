"""Tunes on made passages in a process of its own, which can be killed."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import numpy as np
import torch

import medalist.training.checkpoints as checkpoints
import medalist.training.trainer as trainer
from faults import forked
from made_passages import INVENTORY, PASSAGES, settings
from medalist.models.load import load_base
from medalist.recipe import Recipe
from medalist.training.tune import TuningData, tune


def tune_apart(
    folder: Path,
    model: Path,
    *,
    kill_after_step: int | None = None,
    kill_in_save: int | None = None,
    resume: bool = False,
) -> int:
    """Tune in a fork with dropout, and with generators that know nothing of another process's; returns its status."""

    def act() -> int:
        random.seed()
        np.random.seed()
        torch.seed()
        if kill_after_step is not None:
            _kill_after(kill_after_step)
        if kill_in_save is not None:
            _kill_in_save(kill_in_save)
        folder.mkdir(parents=True, exist_ok=True)
        tune(
            load_base(str(model)),
            Recipe(name="t", output=str(folder.parent), training=settings(epochs=3, dropout=0.1)),
            TuningData(train=PASSAGES, validation=PASSAGES[:3], inventory=INVENTORY),
            folder,
            resume=resume,
        )
        return 0

    return forked(act)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _kill_after(step: int) -> None:
    """Die once the loss of a step is logged; for good, so only in a fork."""
    log = checkpoints.LogWriter.on_log

    def on_log(self, args, state, control, logs=None, **rest):
        log(self, args, state, control, logs=logs, **rest)
        if state.global_step == step and "loss" in (logs or {}):
            _die()

    checkpoints.LogWriter.on_log = on_log


def _kill_in_save(step: int) -> None:
    """Die before the checkpoint of a step gets its name; for good, so only in a fork."""
    put_in_place = trainer.put_in_place

    def die_before_renaming(source: Path, target: Path) -> None:
        if target.name == f"checkpoint-{step}":
            _die()
        put_in_place(source, target)

    trainer.put_in_place = die_before_renaming
