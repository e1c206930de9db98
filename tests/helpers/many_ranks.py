"""Tuning as one of several processes, and what each of them saw; a launcher starts this file.

many_ranks.py FOLDER MODEL TIED_MODEL            runs CASES, each in FOLDER/<case>, all in one start
many_ranks.py FAULT ARGUMENTS...                 `medalist ARGUMENTS`, in which rank 1 breaks off: see FAULTS
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

torch.set_num_threads(1)

import medalist.training.trainer as trainer  # noqa: E402
import medalist.training.tune as tuning  # noqa: E402
from made_passages import INVENTORY, PASSAGES, settings  # noqa: E402
from medalist.models.load import load_base  # noqa: E402
from medalist.recipe import Recipe  # noqa: E402
from medalist.training.ranks import Ranks, together  # noqa: E402

LORA: dict[str, Any] = {"epochs": 2, "clip": 0.5, "weight_decay": 0.1}
FULL: dict[str, Any] = LORA | {"method": "full", "learning_rate": 1e-3}
"""Four steps of 8, 3, 8, 3 passages: twice, there is none left for some passes of rank 1."""

CASES: dict[str, dict[str, Any]] = {
    "ddp": LORA | {"passages_per_pass": 2},
    "fsdp": LORA | {"parallel": "fsdp", "validation": 3},
    "fsdp, activations checkpointed": LORA | {"parallel": "fsdp", "activation_checkpointing": True},
    "fsdp, 16-bit base": LORA | {"parallel": "fsdp", "dtype": "bfloat16"},
    "ddp, stopped": LORA | {"stop_after": 3},
    "fsdp, stopped": LORA | {"parallel": "fsdp", "stop_after": 3},
    "full fsdp, stopped": FULL | {"parallel": "fsdp", "stop_after": 3},
    "one, then ddp": LORA | {"resume": True},
    "one, then fsdp": LORA | {"parallel": "fsdp", "resume": True},
    "one, then full fsdp": FULL | {"parallel": "fsdp", "resume": True},
}


class Stopped(Exception):
    pass


def tuned(
    folder: Path,
    model: str,
    ranks: Ranks,
    *,
    stop_after: int | None = None,
    resume: bool = False,
    validation: int = 0,
    dtype: Any = "auto",
    **changes: Any,
) -> dict[str, Any]:
    """Tune on made passages; what was seen on the way: passages by step, kinds of model and parameters."""
    folder.mkdir(parents=True, exist_ok=True)
    seen: dict[str, Any] = {"passages": {}, "wrappers": [], "parameters": [], "units": 0, "world": ranks.size}

    class Watched(tuning.TreeTrainer):
        def training_step(self, model: Any, inputs: Any, *rest: Any) -> Any:
            seen["passages"].setdefault(str(self.state.global_step + 1), []).extend(inputs["text_ids"])
            loss = super().training_step(model, inputs, *rest)
            seen["wrappers"] = sorted({*seen["wrappers"], type(model).__name__})
            seen["parameters"] = sorted({*seen["parameters"], *(type(p).__name__ for p in model.parameters())})
            seen["units"] = sum(isinstance(part, torch.distributed.fsdp.FSDPModule) for part in model.modules())
            return loss

        def _maybe_log_save_evaluate(self, *rest: Any, **more: Any) -> None:
            super()._maybe_log_save_evaluate(*rest, **more)
            if self.state.global_step == stop_after:
                raise Stopped

    original, tuning.TreeTrainer = tuning.TreeTrainer, Watched
    recipe = Recipe(name="t", output=str(folder.parent), training=settings(**changes))
    place = ranks.size == 1 or recipe.training.parallel == "ddp"
    try:
        tuning.tune(
            load_base(model, dtype=dtype, place=place),
            recipe,
            tuning.TuningData(train=PASSAGES, validation=PASSAGES[:validation], inventory=INVENTORY),
            folder,
            resume=resume,
            ranks=ranks,
        )
    except Stopped:
        pass
    finally:
        tuning.TreeTrainer = original
    return seen


def kill(_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def bad(losses: Any) -> Any:
    return losses * float("nan")


FAULTS = {"killed": kill, "not-finite": bad, "not-finite-as-on-a-gpu": bad}


def break_off(fault: str) -> None:
    """Rank 1's question losses of the third step, two passes each, go through a fault."""
    real, calls = trainer.question_losses, []

    def losses(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        found = real(*args, **kwargs)
        return FAULTS[fault](found) if os.environ["RANK"] == "1" and len(calls) == 5 else found

    trainer.question_losses = losses


if __name__ == "__main__":
    if sys.argv[1] in FAULTS:
        from medalist.cli.app import main

        break_off(sys.argv[1])
        if sys.argv[1].endswith("as-on-a-gpu"):
            tuning.runs_ahead = lambda _: True
        main(sys.argv[2:])
    else:
        folder, model, tied = sys.argv[1:]
        with together() as ranks:
            for case, values in CASES.items():
                seen = tuned(Path(folder) / case, tied if values.get("method") == "full" else model, ranks, **values)
                (Path(folder) / case / f"seen-{ranks.rank}.json").write_text(json.dumps(seen))
