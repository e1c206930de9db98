"""Checks and benchmarks of Medalist on one GPU, in a few minutes and without a network: laws, kernels, the 8B shape.

    python benchmarks/gpu.py --minutes 8 --out results                # all stages
    python benchmarks/gpu.py --out results --only device 8b           # some of them, in this order
    python benchmarks/gpu.py --minutes 4.5 --out results --skip laws  # all but some
    python benchmarks/gpu.py --tiny --device cpu --out results        # toy sizes, in a minute, for tests

Needs torch, transformers, peft and medalist (installed, or PYTHONPATH=src), and bitsandbytes for the quantised stage.
Each stage runs in its own process with its own time limit: the time left of `--minutes`, divided by the stages'
weights. Each measurement is written to disk as soon as it ends: `STAGE.json` and `STAGE.jsonl` in the folder, a line on
stdout, and `summary.md` after each stage. A stage that fails or runs out of time loses only the measurement in
progress; the next one still runs.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gpu_stages.notes import Notes, Options, described, read_records, write_stage
from gpu_stages.summary import summary


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One stage."""

    module: str
    """In gpu_stages; imported only by the stage's own process."""
    function: str = "run"
    """Takes (options, notes)."""
    weight: float = 1.0
    """Its share of the remaining time, relative to later stages; time that a stage does not use goes to these."""


STAGES = {
    "device": Stage(module="device", weight=14),
    "load": Stage(module="laws", function="check_at_load", weight=40),
    "8b": Stage(module="training", weight=210),
    "qlora": Stage(module="training", function="run_quantised", weight=90),
    "scoring": Stage(module="scoring", weight=60),
    "attention": Stage(module="attention", weight=60),
    "laws": Stage(module="laws", weight=85),
}
"""In order of importance, what was never measured first; the weights are seconds out of about 9 minutes, and what a
stage leaves goes to those after it. On an H200 `device` took 12 and 16, `laws` 77 before it compiled, `8b` 213 for half
of its cases; `load` was cut at 55 with a real base. Making the 8B model takes 15 of its stages. A stage that tunes a
real base goes here too, as a module with `run(options, notes)`."""

RESERVE = 5.0
"""Seconds reserved for the end."""


def main() -> int:
    options = parsed()
    if options.stage:
        return run_stage(options)
    options.out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * options.minutes - RESERVE
    names = [name for name in options.only or STAGES if name not in options.skip]
    for number, name in enumerate(names):
        waiting = sum(STAGES[later].weight for later in names[number:])
        left = end - time.monotonic()
        limit = min(options.limit.get(name, left * STAGES[name].weight / waiting), left)
        outcome = start(name, limit, options)
        print(f"{name}: {outcome}", flush=True)
        (options.out / "summary.md").write_text(summary(options.out, names), encoding="utf-8")
    return 0


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Checks and benchmarks of Medalist on one GPU; see the docstring of this file."
    )
    parser.add_argument("--minutes", type=float, default=8.0, help="for all stages together (default: 8)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="toy sizes")
    parser.add_argument("--only", nargs="+", choices=STAGES, help="these stages, in this order")
    parser.add_argument("--skip", nargs="+", choices=STAGES, default=[], help="all but these stages")
    parser.add_argument("--base", type=Path, help="a real model's folder or GGUF file, for `load` and `laws` on it")
    parser.add_argument(
        "--limit", nargs="+", default=[], metavar="STAGE=SECONDS", help="instead of the stage's share of the time"
    )
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)  # the process of one stage
    parser.add_argument("--seconds", type=float, default=0.0, help=argparse.SUPPRESS)
    found = parser.parse_args()
    found.limit = {name: float(seconds) for name, _, seconds in (text.partition("=") for text in found.limit)}
    if unknown := found.limit.keys() - STAGES.keys():
        parser.error(f"--limit: no stage {', '.join(sorted(unknown))}. Known: {', '.join(STAGES)}")
    return found


def start(name: str, limit: float, options: argparse.Namespace) -> str:
    """Run a stage in its own process, kill it when its time is up, and write how it ended.

    Returns:
        How it ended, as a readable line.
    """
    for old in (f"{name}.json", f"{name}.jsonl", f"{name}.log"):
        (options.out / old).unlink(missing_ok=True)
    if limit <= 0:
        write_stage(options.out, name, "skipped", 0.0, [], "no time was left")
        return "skipped: no time was left"
    command = [sys.executable, __file__, "--stage", name, "--seconds", str(limit), "--out", str(options.out)]
    command += ["--device", options.device, *(["--tiny"] if options.tiny else [])]
    command += ["--base", str(options.base)] if options.base else []
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
    began = time.monotonic()
    with (options.out / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log, env=environment, start_new_session=True)
        try:
            code = process.wait(timeout=limit)
            status = "done" if code == 0 else "failed"
        except subprocess.TimeoutExpired:
            status, code = "cut", None
        finally:
            kill_group(process)
    seconds = time.monotonic() - began
    error = None
    if status == "cut":
        error = f"its {limit:.0f} s were over"
    elif status == "failed":
        error = last_line(options.out / f"{name}.log") or f"exit status {code}"
    records = read_records(options.out, name)
    write_stage(options.out, name, status, seconds, records, error)
    return f"{status} after {seconds:.0f} s, {len(records)} records" + (f": {error}" if error else "")


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the stage's process and its children, whether or not it has already ended."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):  # a driver may block it; do not lose the other stages over that
        process.wait(timeout=10)


def last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1][:400] if lines else ""


def run_stage(options: argparse.Namespace) -> int:
    """Run a stage, in its own process."""
    stage = STAGES[options.stage]
    notes = Notes(folder=options.out, stage=options.stage, seconds=options.seconds)
    told = Options(device=options.device, tiny=options.tiny, base=options.base)
    try:
        import torch

        if options.device == "cuda" and not torch.cuda.is_available():
            raise RuntimeError("PyTorch sees no GPU: use --device cpu --tiny")
        if options.device == "cpu":
            torch.set_num_threads(1)
        function = getattr(importlib.import_module(f"gpu_stages.{stage.module}"), stage.function)
        function(told, notes)
    except Exception as error:
        import traceback

        traceback.print_exc()
        print(described(error), file=sys.stderr)  # the last line of the log, which the parent reads
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
