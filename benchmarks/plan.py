"""How well `medalist plan` predicts memory and time, measured on models of several shapes and settings.

A model with random weights is written to disk, then a separate process loads it with `load_base` and tunes it with
`tune`, the same code as in any training. The measured value is the peak resident memory from the imports to the end of
the last optimiser step, less the resident memory after the imports; the predicted value is the plan's peak less the
same. Both include the weights.

    python benchmarks/plan.py                     # 10 minutes on 2 cores, up to 4 GB
    python benchmarks/plan.py --only deep wide    # some of the cases
    python benchmarks/plan.py --mapped            # each tensor mapped separately, as with MALLOC_MMAP_THRESHOLD_=131072

Result: Markdown on stdout; progress on stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common import machine, progress, recipe_in, table, write_medal_shaped
from transformers import LlamaConfig, LlamaForCausalLM

from medalist.models.load import load_base
from medalist.planning.plan import make_plan
from medalist.planning.result import NO_HOLES, Plan
from medalist.planning.tree_sizes import find_tokenizer
from medalist.recipe import Recipe, parse_recipe
from medalist.runs.prepare import prepare
from medalist.training.trainer import TreeTrainer
from medalist.training.tune import TuningData, tune

GB = 1e9
SHAPES = {
    "135M, deep": {
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "heads": (9, 3),
        "vocab_size": 49152,
    },
    "345M, wide": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 4,
        "heads": (32, 8),
        "vocab_size": 49152,
    },
    "450M, large vocabulary": {
        **{"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 12, "heads": (16, 4)},
        **{"vocab_size": 128256, "tie_word_embeddings": False},
    },
    "43M, small": {
        **{"hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 6, "heads": (8, 2)},
        **{"vocab_size": 49152},
    },
}
CASES: dict[str, tuple[str, tuple[str, ...]]] = {
    "deep": ("135M, deep", ()),
    "deep-upper": ("135M, deep", ("training.upper_layers=15",)),
    "deep-checkpointing": ("135M, deep", ("training.activation_checkpointing=true",)),
    "deep-two-passages": ("135M, deep", ("training.passages_per_step=2", "training.passages_per_pass=2")),
    "deep-full": ("135M, deep", ("training.method=full", "training.learning_rate=1e-5")),
    "wide": ("345M, wide", ()),
    "wide-int8": ("345M, wide", ("model.quantization=int8",)),
    "wide-nf4": ("345M, wide", ("model.quantization=nf4",)),
    "vocabulary": ("450M, large vocabulary", ()),
    "vocabulary-nf4": ("450M, large vocabulary", ("model.quantization=nf4", "training.activation_checkpointing=true")),
    "small": ("43M, small", ()),
}
"""Name -> shape and overrides of a LoRA recipe with rank 16 on MeDAL-like passages."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Memory and time of a process."""

    baseline: float
    """Resident after the imports, in bytes."""
    loading: float
    """Peak while the base was loaded, less the baseline."""
    peak: float
    """Peak while it was tuned, less the baseline."""
    training_seconds: float
    """Of forward and backward passes, per 1,000 mentions."""
    scoring_seconds: float
    """Of validation passes, per 1,000 mentions."""


def make_model(shape: str, folder: Path) -> None:
    """Write a model with random weights and the embedded model's tokenizer to disk."""
    sizes: dict[str, Any] = dict(SHAPES[shape])
    heads, kv_heads = sizes.pop("heads")
    config = LlamaConfig(
        **{"tie_word_embeddings": True} | sizes,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=8192,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    find_tokenizer(parse_recipe({})).save_pretrained(folder)


def recipe_of(case: str, place: Path, steps: int) -> Recipe:
    """The recipe of a case, with its model and data in a folder."""
    return recipe_in(
        place,
        case,
        data={"validation": 0.2, "limit_validation": 2},
        training={"max_steps": steps, "evaluate_every": steps},
        overrides=CASES[case][1],
    )


def status(key: str) -> int:
    """A memory figure of this process, in bytes: VmRSS, or VmHWM, the peak of VmRSS since `forget_highest`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def forget_highest() -> None:
    """Reset VmHWM."""
    Path("/proc/self/clear_refs").write_text("5")


def measure(case: str, place: Path, steps: int) -> Measured:
    """Load and tune in this process, and measure memory and time."""
    recipe = recipe_of(case, place, steps)
    prepared = prepare(recipe)
    train, validation = prepared.passages("train"), prepared.passages("validation")
    baseline = status("VmRSS")
    forget_highest()
    base = load_base(recipe.model.base, quantization=recipe.model.quantization)
    loading = status("VmHWM") - baseline
    progress(f"  loaded: {(status('VmRSS') - baseline) / GB:.2f} GB, of which files {status('RssFile') / GB:.2f}")
    forget_highest()
    spent = {"training": 0.0, "scoring": 0.0}
    TreeTrainer.training_step = clocked(TreeTrainer.training_step, "training", spent)  # type: ignore[method-assign]
    TreeTrainer.evaluate = clocked(TreeTrainer.evaluate, "scoring", spent)  # type: ignore[method-assign]
    folder = place / "runs" / case
    folder.mkdir(parents=True)
    tune(base, recipe, TuningData(train=train, validation=validation, inventory=prepared.inventory), folder)
    peak = status("VmHWM") - baseline
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    validations = sum("eval_nll" in line for line in lines)
    mentions = sum(len(passage.mentions) for passage in train) / len(train) * recipe.training.passages_per_step * steps
    seen = validations * sum(len(passage.mentions) for passage in validation)
    return Measured(
        baseline=baseline,
        loading=loading,
        peak=peak,
        training_seconds=1000 * spent["training"] / mentions,
        scoring_seconds=1000 * spent["scoring"] / seen,
    )


def clocked(method: Callable[..., Any], name: str, spent: dict[str, float]) -> Callable[..., Any]:
    """The method, with its seconds added to `spent`."""

    def timed(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            return method(*args, **kwargs)
        finally:
            spent[name] += time.perf_counter() - started

    return timed


@dataclass(frozen=True, kw_only=True)
class Case:
    """A case's plan and measurements."""

    plan: Plan
    measured: Measured

    @property
    def predicted(self) -> float:
        """The planned peak above the baseline of the measured process, in bytes."""
        return self.plan.total - self.measured.baseline


def run_case(case: str, steps: int) -> Case:
    """Plan a case, then run it in its own process."""
    progress(case)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        write_medal_shaped(20, place)
        make_model(CASES[case][0], place / "model")
        found = make_plan(recipe_of(case, place, steps))
        command = [sys.executable, __file__, "--one", case, "--place", name, "--steps", str(steps)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"The process of {case} failed with status {done.returncode}")
        result = Case(plan=found, measured=Measured(**json.loads(done.stdout.splitlines()[-1])))
    for peak in found.peaks:
        parts = ", ".join(f"{part} {size / GB:.3f}" for part, size in peak.parts.items() if size > 1e6)
        progress(f"  {peak.phase}: {peak.total / GB:.3f} GB: {parts}")
    progress(f"  predicted {result.predicted / GB:.3f} GB, measured {result.measured}")
    return result


def line(case: str, result: Case) -> list[object]:
    """A row of the table."""
    found, real = result.plan, result.measured
    assert found.training_seconds is not None and found.scoring_seconds is not None
    return [
        CASES[case][0],
        ", ".join(part.split(".", 1)[1] for part in CASES[case][1]) or "LoRA, all layers",
        f"{found.shape.parameters / 1e6:,.0f}M",
        found.largest.nodes,
        f"{result.predicted / GB:.2f}",
        f"{real.peak / GB:.2f}",
        f"{result.predicted / real.peak:.2f}",
        f"{real.loading / GB:.2f}",
        f"{found.training_seconds / real.training_seconds:.2f}",
        f"{found.scoring_seconds / real.scoring_seconds:.2f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), help="cases to measure (default: all)")
    parser.add_argument("--steps", type=int, default=3, help="optimiser steps (default 3)")
    parser.add_argument("--mapped", action="store_true", help=f"with {NO_HOLES} in the environment")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--place", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(asdict(measure(options.one, options.place, options.steps))))
        return
    if options.mapped:
        os.environ.update([NO_HOLES.split("=")])
    results = {case: run_case(case, options.steps) for case in options.only}
    header = (
        *("shape", "settings", "parameters", "largest tree", "predicted, GB", "measured, GB", "predicted / measured"),
        *("peak while loading, GB", "training time, predicted / measured", "scoring time, predicted / measured"),
    )
    rows = [line(case, result) for case, result in results.items()]
    ratios = [result.predicted / result.measured.peak for result in results.values()]
    print(
        "## The plan compared with measurements\n\n"
        "LoRA r=16 unless noted, one MeDAL-like passage per step; GB above the process's baseline. "
        f"{machine()}.\n\n{table(header, rows)}\n\nPredicted peaks are {min(ratios):.2f} to "
        f"{max(ratios):.2f} times the measured ones."
    )


if __name__ == "__main__":
    main()
