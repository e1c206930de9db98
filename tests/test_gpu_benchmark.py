"""benchmarks/gpu.py has one chance on a GPU: here it runs whole at toy sizes, and is cut, on a CPU.

The whole run is marked slow; `.ci/run` asks for it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
HEAVY = ("polars", "fastapi", "matplotlib", "lxml", "sklearn")

DRIVER = f"""
import subprocess, sys, time, types
sys.path.insert(0, {str(BENCHMARKS)!r})
import gpu

def slow(options, notes):
    notes.record("first", "was measured", figure=1)
    child = subprocess.Popen(["sleep", "600"])
    notes.record("child", str(child.pid))
    time.sleep(600)

def broken(options, notes):
    with notes.attempt("half"):
        raise MemoryError("no\\nroom")
    raise ValueError("some\\nreason")

def late(options, notes):
    for name, seconds in (("quick", 1), ("long", 3600), ("quick again", 1)):
        if notes.fits(name, needs=seconds, table="T", row=name, column="c"):
            notes.record(name, "ran", table="T", row=name, column="c")

def after(options, notes):
    notes.record("last", "ran", table="T", row="r", column="c")

STAGES = {{"slow": slow, "broken": broken, "late": late, "after": after}}
module = types.ModuleType("gpu_stages.made")
vars(module).update(STAGES)
sys.modules["gpu_stages.made"] = module
gpu.STAGES = {{name: gpu.Stage(module="made", function=name) for name in STAGES}}
gpu.__file__ = __file__
sys.exit(gpu.main())
"""


def ran(script: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(script), "--out", str(folder), "--device", "cpu", "--tiny", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=400, check=True)


def stage(folder: Path, name: str) -> dict:
    return json.loads((folder / f"{name}.json").read_text())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a whole run at toy sizes."""
    folder = tmp_path_factory.mktemp("gpu")
    ran(BENCHMARKS / "gpu.py", folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "measured"),
    [
        ("device", {"card", "versions", "matmul peak", "copy", "bitsandbytes"}),
        ("laws", {f"random Llama, {kind}, {layout}" for kind in ("float32", "nf4", "int8")
                  for layout in ("sdpa, alone", "sdpa, together", "shipped, together", "shipped, together, compiled")}),
        ("attention", {"toy, alone, 64 tokens, sdpa", "toy, packed, 128 tokens, in rows",
                       "toy, packed: the quickest"}),
        ("load", {"a random Llama", "the real base"}),
        ("8b", {"model made on the device", "trees, 4k, as shipped", "rows, 4k, right-padded, flash", "rows, 4k, trl",
                "medalist's own loop, 4k, as shipped, compiled", "profile of a step of it", "trees over plain rows",
                "trees over plain rows, with the gold answer alone in both"}),
        ("scoring", {"trees, 4k, as shipped", "generation, 1 at once", "generation, 8 at once",
                     "scoring over generation, 1 at once"}),
        ("qlora", {"model made on the device", "one tree, as shipped, checkpointing, NF4"}),
    ],
)  # fmt: skip
def test_every_stage_of_a_whole_run_measures_what_it_is_for(whole, name, measured):
    found = stage(whole, name)
    assert (found["status"], found["error"]) == ("done", None)
    assert measured <= {record["name"] for record in found["records"]}
    assert [record for record in found["records"] if "error" in record] == []
    lines = (whole / f"{name}.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == found["records"]


@pytest.mark.slow
def test_the_laws_hold_in_it_and_would_be_seen_to_fail(whole):
    records = stage(whole, "laws")["records"]
    assert all(record["holds"] for record in records)
    # Numbers that are compared are not the same numbers.
    assert all(0 < record["gradient"] < record["gradient_tolerance"] for record in records)


@pytest.mark.slow
def test_figures_follow_from_what_was_measured(whole):
    records = [record for record in stage(whole, "8b")["records"] if record.get("table") == "Training"]
    for record in records:
        if "share_of_peak" in record:
            mean = sum(record["nodes"]) / len(record["nodes"])
            assert record["tokens_per_second"] == pytest.approx(mean / record["seconds_per_step"])
            assert 0 < record["share_of_peak"] < 1
    # The plan knows neither a causal kernel nor peft's copies: those records leave it empty.
    planned = {record["name"]: record["planned"] for record in records if record.get("planned")}
    assert {"trees, 4k, as shipped", "one tree, as shipped"} <= set(planned)
    assert "rows, 4k, right-padded, flash" not in planned
    assert all("error" not in plan and plan["operations"] > 0 < plan["peak"] for plan in planned.values())


@pytest.mark.slow
def test_the_summary_has_a_table_of_the_stages_and_theirs(whole):
    text = (whole / "summary.md").read_text()
    for part in (
        "| device | done |",
        "| qlora | done |",
        "### Law 1: random Llama, float32",
        "| trees, 4k, as shipped |",
    ):
        assert part in text


def test_a_stage_that_is_cut_keeps_what_it_had_and_the_rest_runs(tmp_path):
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER)
    folder = tmp_path / "out"
    ran(driver, folder, "--limit", "slow=20")
    cut, failed, last = (stage(folder, name) for name in ("slow", "broken", "after"))
    assert (cut["status"], cut["error"]) == ("cut", "its 20 s were over")
    assert [record["name"] for record in cut["records"]] == ["first", "child"]
    assert (failed["status"], failed["error"]) == ("failed", "ValueError: reason")
    assert [record["error"] for record in failed["records"]] == ["MemoryError: room"]
    assert last["status"] == "done"
    assert "| slow | cut | 20 | 2 |" in (folder / "summary.md").read_text()
    with pytest.raises(ProcessLookupError):  # what the stage had started is gone with it
        os.kill(int(cut["records"][1]["text"]), 0)


def test_a_measurement_that_no_longer_fits_is_skipped_and_its_stage_ends_as_done(tmp_path):
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER)
    ran(driver, tmp_path / "out", "--only", "late")
    found = stage(tmp_path / "out", "late")
    assert (found["status"], found["error"]) == ("done", None)
    told = {record["name"]: record["text"] for record in found["records"]}
    assert told["long"].startswith("skipped: ") and told["long"].endswith("s are left, and it needs 3600")
    assert [told["quick"], told["quick again"]] == ["ran", "ran"]
    assert [record["name"] for record in found["records"] if "skipped" in record] == ["long"]
    assert "| long | skipped: " in (tmp_path / "out" / "summary.md").read_text()


def test_a_stage_can_be_left_out(tmp_path):
    names = ("laws", "8b", "qlora", "scoring", "attention", "load")
    ran(BENCHMARKS / "gpu.py", tmp_path, "--skip", *names)
    assert [path.name for path in tmp_path.glob("*.json")] == ["device.json"]


def test_no_stage_begins_when_the_time_is_over(tmp_path):
    ran(BENCHMARKS / "gpu.py", tmp_path, "--minutes", "0.01")
    assert stage(tmp_path, "8b")["status"] == "skipped"


def test_the_sizes_of_the_8b_are_those_of_llama_3():
    code = (
        "from gpu_stages.models import LLAMA_3_8B as s; from medalist.planning.shapes import KNOWN; "
        "k = KNOWN['meta-llama/Meta-Llama-3-8B']; "
        "print(s.linear_weights == k.layers * sum(l.inputs * l.outputs for l in k.linears), "
        "s.adapter_weights(16) == k.layers * k.adapter(16))"
    )
    assert in_benchmarks(code) == "True True"


def test_gold_trees_are_plain_rows_with_the_passage_shared():
    """The same loss and the same gradient from fewer nodes: what a ratio of like for like rests on."""
    code = (
        "import torch; from transformers import LlamaConfig, LlamaForCausalLM\n"
        "from gpu_stages.passes import as_shipped, medal_like, row_loss, scores, use_kernel\n"
        "torch.manual_seed(0)\n"
        "sizes = {'hidden_size': 32, 'intermediate_size': 48, 'num_hidden_layers': 2, 'num_attention_heads': 4}\n"
        "model = LlamaForCausalLM(LlamaConfig(vocab_size=60, num_key_value_heads=2, **sizes))\n"
        "use_kernel(model, 'shipped')\n"
        "texts = medal_like(3, 60, passage=(20, 30))\n"
        "found = []\n"
        "for trees in ([text.gold_tree() for text in texts], [row for text in texts for row in text.rows()]):\n"
        "    one = as_shipped(trees, 'cpu')\n"
        "    loss = row_loss(scores(model, one), one)\n"
        "    found.append((loss, torch.autograd.grad(loss, list(model.parameters())), one.nodes))\n"
        "(loss, slopes, nodes), (plain, plain_slopes, plain_nodes) = found\n"
        "apart = max(float((a - b).abs().max()) for a, b in zip(slopes, plain_slopes))\n"
        "print(abs(float(loss - plain)) < 1e-5, apart < 1e-5, max(float(s.abs().max()) for s in slopes) > 1e-3, "
        "nodes < plain_nodes)"
    )
    assert in_benchmarks(code) == "True True True True"


def test_it_imports_no_more_than_training_needs():
    modules = "device, laws, attention, training, scoring, planned, own_loop"
    code = (
        f"import sys; import gpu; from gpu_stages import {modules}; import medalist.planning.memory, "
        f"medalist.models.load; import peft, bitsandbytes"
    )
    code += f"; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert in_benchmarks(code) == "[]"


def test_what_pytorch_says_of_its_watch_is_no_wait():
    """The first text is what torch 2.11 warns once when the watch is switched on, the second what it says of a wait."""
    code = (
        "import warnings; from gpu_stages.own_loop import places_of_waits\n"
        "with warnings.catch_warnings(record=True) as caught:\n"
        "    warnings.simplefilter('always')\n"
        "    for number, text in enumerate(('Synchronization debug mode is a prototype feature and does not yet detect "
        "all synchronizing operations', 'called a synchronizing CUDA operation', 'something else')):\n"
        "        warnings.warn_explicit(text, UserWarning, '/somewhere/torch/cuda/__init__.py', 100 + number)\n"
        "print(places_of_waits(caught))"
    )
    assert in_benchmarks(code) == "['cuda/__init__.py:101']"


def in_benchmarks(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=BENCHMARKS)
    return done.stdout.strip()
