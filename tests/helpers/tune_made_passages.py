"""Tunes on made passages, in a process of its own that can be killed.

Usage: tune_made_passages.py FOLDER MODEL [resume] [kill-after-step=N] [kill-in-save=N]
"""

import os
import signal
import sys
from pathlib import Path

import torch

torch.set_num_threads(1)

import medalist.training.checkpoints as checkpoints  # noqa: E402
import medalist.training.trainer as trainer  # noqa: E402
from made_passages import INVENTORY, PASSAGES, settings  # noqa: E402
from medalist.models.load import load_base  # noqa: E402
from medalist.recipe import Recipe  # noqa: E402
from medalist.training.tune import tune  # noqa: E402

folder, model, *words = sys.argv[1:]
numbers = {key: int(value) for key, _, value in (word.partition("=") for word in words) if value}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if last_step := numbers.get("kill-after-step"):
    end_step = checkpoints.LogWriter.on_log

    def on_log(self, args, state, control, logs=None, **rest):
        end_step(self, args, state, control, logs=logs, **rest)
        if state.global_step == last_step and "loss" in (logs or {}):
            die()

    checkpoints.LogWriter.on_log = on_log
if last_save := numbers.get("kill-in-save"):
    put_in_place = trainer.put_in_place

    def die_before_renaming(source, target):
        if target.name == f"checkpoint-{last_save}":
            die()
        put_in_place(source, target)

    trainer.put_in_place = die_before_renaming

run = Path(folder)
run.mkdir(parents=True, exist_ok=True)
tune(
    load_base(model),
    Recipe(name="t", output=str(run.parent), training=settings(epochs=3, dropout=0.1)),
    train=PASSAGES,
    validation=PASSAGES[:3],
    inventory=INVENTORY,
    run=run,
    resume="resume" in words,
)
