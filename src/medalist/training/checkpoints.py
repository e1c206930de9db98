"""What training shows and saves while it runs: checkpoints, log lines, a progress bar."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from transformers import TrainerCallback

from ..tools.failures import reading, writing
from ..tools.files import replacing
from ..tools.progress import say
from ..tools.shapes import appended_figures

_NEEDED = ("optimizer.pt", "scheduler.pt", "trainer_state.json")


def last_checkpoint(run: Path, *, before: int | None = None) -> Path | None:
    """The newest complete checkpoint of a run; one that is still being saved has another name.

    A checkpoint with a damaged file, or whose best checkpoint so far is damaged, is skipped with a warning.
    With `before`, only checkpoints of earlier steps count.
    """
    found = [path for path in run.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]
    for path in sorted(found, key=lambda path: int(path.name.split("-")[1]), reverse=True):
        if before is not None and int(path.name.split("-")[1]) >= before:
            continue
        damage = _damage(path) or _damage_of_best(path)
        if damage is None:
            return path
        say(f"{path} is passed over: {damage}")
    return None


def _damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, judging by parts of its files that show a truncation; None if nothing is."""
    for path in sorted(checkpoint.iterdir()):
        try:
            with reading(path):
                if path.suffix == ".safetensors":
                    with safe_open(path, "pt"):
                        pass
                elif path.suffix in (".pt", ".pth"):
                    with zipfile.ZipFile(path):
                        pass
                elif path.suffix == ".json":
                    json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            return str(error)
    missing = [name for name in _NEEDED if not (checkpoint / name).exists()]
    if not any(checkpoint.glob("*.safetensors")):
        missing.append("the weights")
    return f"it lacks {missing[0]}" if missing else None


def _damage_of_best(checkpoint: Path) -> str | None:
    best = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8")).get("best_model_checkpoint")
    there = checkpoint.parent / Path(best).name if best else checkpoint
    if not there.exists():  # replaced by a later one, which will be saved again
        return None
    return _damage(there)


def resume_hint(run: Path) -> str:
    """Tell the user of a stopped run where it can resume."""
    last = last_checkpoint(run)
    return f"The last good checkpoint is {last}; resume with --resume." if last else "No checkpoint was saved yet."


class LogWriter(TrainerCallback):
    """Appends every log line to `log.jsonl`; a resumed run first drops the lines of steps that it will repeat."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Keep the lines up to the step that training resumes from."""
        if not state.is_world_process_zero:
            return
        kept = [line for line in appended_figures(self._path) if line["step"] <= state.global_step]
        with replacing(self._path) as file:
            file.writelines(json.dumps(line) + "\n" for line in kept)

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **_: Any) -> None:
        """Write one line per log event."""
        if not state.is_world_process_zero:
            return
        line = {"step": state.global_step, "epoch": state.epoch, **(logs or {})}
        with writing(self._path), self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")


class ShowProgress(TrainerCallback):
    """Advances a progress bar that also shows the latest loss, and the latest validation accuracy if there is one."""

    def __init__(self, advance: Callable[..., None]) -> None:
        self._advance, self._loss, self._validation, self._seen = advance, "", "", 0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Advance by one step; the first step of a resumed run also advances by the earlier steps."""
        self._advance(state.global_step - self._seen, note=f"{self._loss} {self._validation}".strip())
        self._seen = state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **_: Any) -> None:
        """Store the latest figures."""
        if logs and "loss" in logs:
            self._loss = f"loss {logs['loss']:.3f}"
        if logs and "eval_accuracy" in logs:
            self._validation = f"validation accuracy {logs['eval_accuracy']:.1%} at step {state.global_step:,}"
