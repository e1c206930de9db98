"""What a stage is told and what it leaves behind: one record a measurement, on disk as soon as it is made."""

from __future__ import annotations

import gc
import json
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What a stage is told."""

    device: str
    """"cuda" or "cpu"."""
    tiny: bool
    """Sizes that a CPU goes through in seconds."""
    base: Path | None
    """A model's folder or GGUF file, for the stages that use a real one."""

    @property
    def backend(self) -> str:
        """What compiles blocks: at toy sizes, nothing that takes a minute or needs a C compiler."""
        return "aot_eager" if self.tiny else "inductor"


@dataclass(kw_only=True, slots=True)
class Notes:
    """Records of one stage: `STAGE.jsonl` grows by a line each, `STAGE.json` is written anew, stdout gets the text."""

    folder: Path
    stage: str
    seconds: float
    """The stage's time; it is killed after it."""
    began: float = field(default_factory=time.monotonic)
    records: list[dict[str, Any]] = field(default_factory=list)

    @property
    def left(self) -> float:
        """Seconds until the stage is killed."""
        return self.seconds - (time.monotonic() - self.began)

    def record(self, name: str, text: str, /, **values: Any) -> None:
        """Keep one measurement.

        Args:
            name: of what was measured.
            text: the result, for people.
            values: the figures, for JSON. `table`, `row` and `column` have the summary put the text into a table.
        """
        entry = {**values, "name": name, "text": text, "at": round(time.monotonic() - self.began, 1)}
        self.records.append(entry)
        with (self.folder / f"{self.stage}.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, default=str) + "\n")
        write_stage(self.folder, self.stage, "running", time.monotonic() - self.began, self.records)
        print(f"{self.stage}: {name}: {text}", flush=True)

    def fits(self, name: str, *, needs: float, **values: Any) -> bool:
        """Whether there is time for a measurement; if not, that is recorded.

        Args:
            name: of what would be measured.
            needs: seconds that it takes.
            values: recorded where it is skipped.
        """
        if self.left >= needs:
            return True
        self.record(
            name, f"skipped: {max(self.left, 0):.0f} s are left, and it needs {needs:.0f}", skipped=True, **values
        )
        return False

    @contextmanager
    def attempt(self, name: str, **values: Any) -> Iterator[None]:
        """Measure something that may fail: what it raises is recorded, and the stage goes on.

        Args:
            name: of what is measured.
            values: recorded with a failure.
        """
        try:
            free_memory()  # what the last failure's traceback held
            yield
        except Exception as error:
            self.record(name, f"failed: {described(error)}", error=described(error), where=_where(error), **values)
        finally:
            free_memory()


def described(error: BaseException) -> str:
    """An error's type and last line."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[-1].strip()[:300]}"


def _where(error: BaseException) -> str:
    """The last few places that it came through, and the first lines of what it says."""
    places = traceback.extract_tb(error.__traceback__)[-4:]
    return (
        " < ".join(f"{Path(p.filename).name}:{p.lineno} {p.name}" for p in reversed(places)) + f"; {str(error)[:600]}"
    )


def free_memory() -> None:
    """Let go of what a failed or finished measurement held."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def write_stage(
    folder: Path, stage: str, status: str, seconds: float, records: list[dict[str, Any]], error: str | None = None
) -> None:
    """`STAGE.json`, whole or not at all."""
    found = {"stage": stage, "status": status, "seconds": round(seconds, 1), "error": error, "records": records}
    partial = folder / f".{stage}.json"
    partial.write_text(json.dumps(found, indent=1, default=str) + "\n", encoding="utf-8")
    partial.replace(folder / f"{stage}.json")


def read_records(folder: Path, stage: str) -> list[dict[str, Any]]:
    """The records that a stage had kept, also if it was killed in the middle of a line."""
    path = folder / f"{stage}.jsonl"
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found
