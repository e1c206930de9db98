"""Peak memory of LoRA training: Medalist against trl at an equal batch, and how time and memory grow with the work.

Each measurement has its own process, so that no peak hides another: it loads the base, records its resident memory,
trains, and records the peak resident memory since its start. The batch has four mentions: four rows in one forward pass
for trl, one passage for Medalist. The second table varies one of passage length, mentions and candidates at a time.

glibc keeps much of the memory that is freed, so an increase is reproducible only to a few per cent, and better over
several steps than over one. With MALLOC_MMAP_THRESHOLD_=131072 in the environment it is lower and reproducible to a
MiB, but steps are slower.

    python benchmarks/memory.py                 # about 4 minutes on 2 cores
    python benchmarks/memory.py --part growth   # the second table alone

Result: Markdown on stdout; progress on stderr.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from statistics import mean

import psutil
import torch
from common import BASE, MENTIONS, WORDS, machine, medal_shaped, progress, table
from training import LIKELIHOOD_ONLY, TokenRow, clocked, prepare, quiet, tree_trainer, trl_trainer

from medalist.models.load import load_base
from medalist.recipe import TrainingSettings

CANDIDATES = TrainingSettings().candidates
GROWTH = {"words": (100, 200, 400), "mentions": (1, 4, 8), "candidates": (4, 8, 15)}
MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Case:
    """What one process trains, with one passage per step."""

    side: str
    """`trl`, `likelihood` (trl's objective on trees) or `listwise` (Medalist's own)."""
    checkpointing: bool = False
    words: int = WORDS
    mentions: int = MENTIONS
    candidates: int = CANDIDATES
    steps: int = 1
    """Timed steps, after one warm-up step."""
    threads: int | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """Time and memory of a case."""

    loaded: float
    """Resident memory with the base loaded and nothing else, in MiB."""
    peak: float
    """Peak resident memory of the process, in MiB."""
    seconds: float
    """Mean of the steps after the warm-up."""
    tokens: float
    """Mean per step, without padding."""

    @property
    def increase(self) -> float:
        """MiB that training added at its peak."""
        return self.peak - self.loaded


def run_case(case: Case) -> Result:
    """Train in this process and measure its memory."""
    quiet()
    if case.threads:
        torch.set_num_threads(case.threads)
    base = load_base(BASE)
    loaded, peak_of_loading = psutil.Process().memory_info().rss / MIB, highest()
    settings = TrainingSettings(
        passages_per_step=1,
        candidates=case.candidates,
        activation_checkpointing=case.checkpointing,
        **(LIKELIHOOD_ONLY if case.side == "likelihood" else {}),
    )
    count = 1 + case.steps
    passages, inventory = medal_shaped(count, words=case.words, mentions=case.mentions)
    work = prepare(base, passages, inventory, settings)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        if case.side == "trl":
            rows: list[TokenRow] = [row for part in work.rows for row in part]
            tokens = [sum(len(ids) for ids, _ in part) for part in work.rows]
            trainer = trl_trainer(
                base,
                settings,
                rows,
                rows_per_step=case.mentions,
                batch=case.mentions,
                checkpointing=case.checkpointing,
                steps=count,
                folder=Path(folder),
            )
        else:
            items = work.golds if case.side == "likelihood" else work.listwise
            tokens = [len(item.layouts[0].tree) for item in items]
            trainer = tree_trainer(base, settings, items, items_per_step=1, steps=count, folder=Path(folder))
        clock = clocked(trainer)
    peak = highest()
    if peak <= peak_of_loading:
        raise SystemExit(f"Training stayed below the {peak:.0f} MiB of loading, so its own peak is unknown")
    return Result(loaded=loaded, peak=peak, seconds=mean(clock.seconds[1:]), tokens=mean(tokens[1:]))


def highest() -> float:
    """Peak resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MIB if sys.platform == "darwin" else peak / 1024


@cache
def in_process(case: Case) -> Result:
    """Run a case in its own process, only once."""
    progress(str(asdict(case)))
    command = [sys.executable, __file__, "--one", json.dumps(asdict(case))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"The process of {case} failed with status {done.returncode}")
    result = Result(**json.loads(done.stdout.splitlines()[-1]))
    progress(f"  {result.loaded:.0f} MiB loaded, peak {result.peak:.0f} MiB, {result.seconds:.1f} s per step")
    return result


def against_trl(words: int, steps: int, threads: int | None) -> str:
    """The first table: the same four mentions on both sides."""
    case = partial(Case, words=words, steps=steps, threads=threads)
    results = {
        "trl, defaults (checkpointing)": in_process(case(side="trl", checkpointing=True)),
        "trl, no checkpointing": in_process(case(side="trl")),
        "medalist, likelihood only": in_process(case(side="likelihood")),
        "medalist, likelihood only, checkpointing": in_process(case(side="likelihood", checkpointing=True)),
        "medalist, listwise + likelihood": in_process(case(side="listwise")),
    }
    default, plain, same, same_checkpointed, listwise = results.values()
    rows = [
        (
            name,
            f"{one.tokens:,.0f}",
            one.seconds,
            f"{one.loaded:,.0f}",
            f"{one.peak:,.0f}",
            f"{one.increase:,.0f}",
            one.increase / default.increase,
            one.increase / plain.increase,
        )
        for name, one in results.items()
    ]
    header = (
        *("", "tokens", "s/step", "loaded, MiB", "peak, MiB", "increase, MiB"),
        *("/ trl defaults", "/ trl, no checkpointing"),
    )
    return (
        f"## Memory of training\n\n"
        f"SmolLM2-135M-Instruct in fp32, LoRA r=16 on all linear layers; a step is the {MENTIONS} mentions of one "
        f"passage of {words} words, in one forward pass; the peak is over {1 + steps} steps. {machine()}.\n\n"
        + table(header, rows)
        + f"\n\nOn trl's objective, training adds {same.increase / plain.increase:.2f} times the memory that trl adds, "
        f"and {same_checkpointed.increase / default.increase:.2f} times with checkpointing on both sides. Medalist's "
        f"defaults, the listwise loss over {CANDIDATES} candidates without checkpointing, add "
        f"{listwise.increase / default.increase:.2f} times what trl's defaults add."
    )


def growth(steps: int, threads: int | None) -> str:
    """Seconds and memory of a step as one measure of the work grows and the others stay fixed."""
    rows: list[Sequence[object]] = []
    summary = []
    for what, values in GROWTH.items():
        results = [
            in_process(Case(**{"side": "listwise", "steps": steps, "threads": threads, what: value}))
            for value in values
        ]
        first, last = results[0], results[-1]
        rows += [
            (
                what,
                value,
                f"{one.tokens:,.0f}",
                one.seconds,
                f"{one.peak:,.0f}",
                f"{one.increase:,.0f}",
                one.tokens / first.tokens,
                one.seconds / first.seconds,
                one.increase / first.increase,
            )
            for value, one in zip(values, results, strict=True)
        ]
        summary.append(
            f"{values[-1] / values[0]:.3g} times the {what} take {last.seconds / first.seconds:.2f} times the seconds "
            f"and {last.increase / first.increase:.2f} times the memory"
        )
    header = ("varied", "", "tokens", "s/step", "peak, MiB", "increase, MiB", "× tokens", "× seconds", "× increase")
    return (
        f"## How training scales\n\n"
        f"Medalist, listwise + likelihood; one passage per step, of {WORDS} words with {MENTIONS} mentions and "
        f"{CANDIDATES} candidates unless noted; seconds are the mean of {steps} steps, ratios are relative to the "
        f"first row of each group.\n\n" + table(header, rows) + f"\n\nPer step, {'; '.join(summary)}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--part", choices=("trl", "growth", "both"), default="both", help="tables to make (default both)"
    )
    parser.add_argument("--words", type=int, default=WORDS, help=f"of a passage in the first table (default {WORDS})")
    parser.add_argument("--steps", type=int, default=2, help="timed steps, after one warm-up step (default 2)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's own choice)")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(asdict(run_case(Case(**json.loads(options.one))))))
        return
    if options.threads:
        torch.set_num_threads(options.threads)
    parts = []
    if options.part in ("trl", "both"):
        parts.append(against_trl(options.words, options.steps, options.threads))
    if options.part in ("growth", "both"):
        parts.append(growth(options.steps, options.threads))
    print("\n\n".join(parts))


if __name__ == "__main__":
    main()
