"""What training shows and leaves while it runs: checkpoints, log lines, a progress bar."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback


def last_checkpoint(run: Path) -> Path | None:
    """The newest complete checkpoint of a run; one that is still being saved has another name."""
    found = [path for path in run.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]
    return max(found, key=lambda path: int(path.name.split("-")[1]), default=None)


def resume_hint(run: Path) -> str:
    """Tells a user whose run has stopped where it can resume from."""
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
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        kept = [line for line in lines if json.loads(line)["step"] <= state.global_step]
        self._path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **_: Any) -> None:
        """Write one line per log event."""
        if not state.is_world_process_zero:
            return
        with self._path.open("a", encoding="utf-8") as file:
            file.write(
                json.dumps({"step": state.global_step, "epoch": state.epoch, **(logs or {})}, allow_nan=False) + "\n"
            )


class ShowProgress(TrainerCallback):
    """Advances a progress bar, with the latest loss and validation accuracy beside it."""

    def __init__(self, advance: Callable[..., None]) -> None:
        self._advance, self._loss, self._validation, self._seen = advance, "", "", 0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Advance by one step; the first step of a resumed run also skips what was done before."""
        self._advance(state.global_step - self._seen, note=f"{self._loss} {self._validation}".strip())
        self._seen = state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **_: Any) -> None:
        """Remember the latest figures."""
        if logs and "loss" in logs:
            self._loss = f"loss {logs['loss']:.3f}"
        if logs and "eval_accuracy" in logs:
            self._validation = f"validation accuracy {logs['eval_accuracy']:.1%}"
