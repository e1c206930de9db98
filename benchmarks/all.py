"""Runs each benchmark in its own process and writes docs/benchmarks.md.

python benchmarks/all.py                # all of them, as `make bench` does: 36 minutes on 2 cores
python benchmarks/all.py scoring data   # only these: their parts of the page are replaced
python benchmarks/all.py --size quick   # less of each, in five minutes: printed (`make bench-quick`)
python benchmarks/all.py --size least   # does each of them still run? toy sizes, with a random model

Nothing else should run meanwhile, but for the least size, whose figures mean nothing.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from common import BASE_VARIABLE, progress, table, write_tiny_base

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
SIZES = ("full", "quick", "least")
SCRIPTS: dict[str, tuple[str, str, str]] = {
    "training": (
        "--control --tries 1 --repeats 2 --by-mentions 1 2 4 8 16",
        "--passages 1 --tries 1 --repeats 1",
        "--control --passages 1 --mentions 2 --tries 1 --repeats 1 --upper-layers 1 --by-mentions 1",
    ),
    "scoring": (
        "",
        "--passages 3 --cache-passages 1 --row-passages 1 --generate 1 --candidates 5 --new-tokens 16",
        "--passages 1 --cache-passages 1 --row-passages 1 --generate 1 --candidates 3 --new-tokens 2",
    ),
    "efficiency": (
        "",
        "--passages 1 --profiled 1 --figure {folder}/profile.png",
        "--passages 1 --profiled 1 --nodes 32 --figure {folder}/profile.png",
    ),
    "memory": ("", "--part trl --words 50 --steps 1", "--part trl --words 50 --steps 1"),
    "article": (
        "",
        "--answers 2 --new-tokens 4 --most-seconds 1 --steps 1 --length 256",
        "--answers 2 --new-tokens 2 --most-seconds 1 --steps 1 --length 256",
    ),
    "data": ("", "--rows 50000", "--rows 2000"),
    "plan": ("", "--only small --steps 2", "--only small --steps 1"),
    "serve": ("", "--tiny --seconds 1 --notes 4 --minutes 0.05", "--tiny --seconds 4 --notes 2 --minutes 0.02"),
}
"""Name -> options of each size; `{folder}` is a temporary one."""
BY_HAND = {
    "adapt": "--parent {run} --out {folder}/adapt",
    "definitions": "--help",
    "export": "--run {run} --mentions 2 --types f16",
    "found": "",
    "full_size": "--folder {folder}/full --shape small",
    "kills": "--tiny --notes 24 --kills 1 --alone 2",
    "kinds": "--help",
    "privacy": "--results {folder}/privacy --notes 2 --canaries 1 --epochs 1",
    "long_notes": "300 --run {run}",
    "reader": "--help",
    "reader_data": "--help",
    "reader_fit": "--help",
    "reader_further": "--help",
    "reader_tables": "--help",
    "reader_topics": "--help",
    "spacy_peers": "--help",
    "starting": "--repeats 1",
}
"""Scripts that are run by hand -> options of their least size; those with `--help` need public data or peers."""
INTRODUCTION = """# Benchmarks

Written by `make bench`, or part by part by `python benchmarks/all.py NAME`; do not edit. Every ratio comes from one run
on one machine, after a check that both sides did the same work. Passages are MeDAL-shaped: made from the embedded
sample corpus, with 194 words, 4 mentions and 15 candidates each, as in the official MeDAL sample. The
[log](../benchmarks/LOG.md) records what was tried to make it faster, and what did not help.
"On a GPU" is from a machine that `make bench` does not reach.
"""
GPU = HERE / "gpu.md"
"""A section written by hand from the results of benchmarks/gpu.py."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """What was aimed at, and where the page says what was reached."""

    name: str
    measured: str
    """A pattern over the page; each of its groups is a figure."""
    targets: tuple[float, ...]
    """One for each figure."""
    least: bool = True
    """Whether a figure should be at least its target, or at most."""
    of: tuple[str, ...]
    """What each figure is of."""
    limits: str
    """What limits it."""

    def cells(self, page: str) -> list[str]:
        """Its row of the table: the figures, each with whether it meets the goal."""
        match = re.search(self.measured, page, re.DOTALL)
        if match is None:
            return [self.name, "not measured", self.limits]
        figures = []
        for figure, target, of in zip(match.groups(), self.targets, self.of, strict=True):
            met = float(figure) >= target if self.least else float(figure) <= target
            figures.append(f"{'met' if met else '**missed**'}: {figure} {of}")
        return [self.name, "; ".join(figures), self.limits]


GOALS = (
    Goal(
        name="training 8x `trl`",
        measured=r"On trl's objective, Medalist trains on ([\d.]+) and ([\d.]+) times as many",
        targets=(8, 8),
        of=("times trl with its defaults", "times its fastest setting"),
        limits="The ratio of tokens in rows to tokens in trees limits what sharing can gain (by mentions per passage). "
        "What exceeds it comes on top: on a CPU, `trl` projects every position onto the vocabulary, according to its "
        "source code (not profiled), and PyTorch's own products are slower than oneDNN's on this processor. More "
        "mentions per passage, or adapting only the upper layers, raise the ratio further.",
    ),
    Goal(
        name="ranking 8x row by row with a KV cache",
        measured=r"ranks a mention ([\d.]+) times as fast as row by row",
        targets=(8,),
        of=("times",),
        limits="Tokens again: with the cache, a mention's candidates do not read the passage again, but each mention "
        "still reads it once, and its candidates run as a small padded batch. More mentions per passage would raise "
        "the ratio.",
    ),
    Goal(
        name="ranking 60x generation",
        measured=r"([\d.]+) times as fast as the model generates",
        targets=(60,),
        of=("times",),
        limits="A token takes about as much computation either way; generation is slow because it reads all weights "
        "for each token. The ratio grows with the length of the answer, here at most the article's 128 tokens.",
    ),
    Goal(
        name="75 % of the matmul peak in scoring, 60 % in training",
        measured=r"Of the matmul peak: scoring (\d+)% .*? training, all layers (\d+)%",
        targets=(75, 60),
        of=("% in scoring", "% in training"),
        limits="The peak is oneDNN's, twice that of PyTorch's own products, and the products inside the model stay "
        "below it (last row of the profile's table). Attention takes a large share of the time (figure), because the "
        "CPU's kernel also computes pairs of nodes that do not attend to each other; elementwise work and dispatch "
        "take the rest. Adapters are small products, which are the least efficient; adapting only the upper half does "
        "better.",
    ),
    Goal(
        name="MeDAL's rows within 4x of polars, faster than `datasets`",
        measured=r"\| polars, CSV to Parquet \|[^\n]*\| ([\d.]+) \|\n\| datasets, [^\n]*\| ([\d.]+) \|",
        targets=(4, 1),
        least=False,
        of=("times the time of polars", "times that of `datasets`"),
        limits="Both convert rows as they are; Medalist writes them twice, to partitions and to shards, and marks each "
        "word that a row points at.",
    ),
)
FIGURE = (
    "![Where the time goes in scoring and training: matrix products, attention, elementwise work, the rest]"
    "(benchmarks-profile.png)"
)


_PART = re.compile(r"^<!-- (\w+) -->$", re.MULTILINE)
"""What stands before the part of each script."""


def parts_of(page: str) -> dict[str, str]:
    """The parts of the page by their scripts' names; the last one's ends where what `assembled` adds begins."""
    _, *pieces = _PART.split(page)
    found = {name: text.strip() for name, text in zip(pieces[::2], pieces[1::2], strict=True)}
    return {name: text for name, text in found.items() if name in SCRIPTS}


def assembled(parts: Mapping[str, str]) -> str:
    """The page, with the parts in the order of `SCRIPTS`."""
    measured = [f"<!-- {name} -->\n\n{parts[name]}" for name in SCRIPTS if name in parts]
    by_hand = f"<!-- end -->\n\n{GPU.read_text(encoding='utf-8').strip()}"
    told = "\n\n".join([*measured, by_hand])
    goals = table(["goal", "measured", "what limits it"], [goal.cells(told) for goal in GOALS])
    ends = [by_hand, "## Goals, and what limits them", FIGURE, goals.strip()]
    return "\n\n".join([INTRODUCTION.strip(), *measured, *ends]) + "\n"


def run(script: str, options: str, environment: Mapping[str, str]) -> str:
    """Run a benchmark, print its Markdown and return it."""
    progress(f"--- {script}")
    began = time.monotonic()
    command = [sys.executable, HERE / f"{script}.py", *options.split()]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})
    if done.returncode:
        raise SystemExit(
            f"benchmarks/{script}.py failed with exit code {done.returncode}; {PAGE.name} is left as it was"
        )
    print(done.stdout, flush=True)
    progress(f"--- {script}: {time.monotonic() - began:.0f} s")
    return done.stdout.strip()


def make_tiny_run(folder: Path, environment: Mapping[str, str]) -> Path:
    """Train and evaluate the tiny base for two steps, for the scripts that need a run."""
    settings = f"name=tiny output={folder}/runs model.base={environment[BASE_VARIABLE]} data.limit=8 "
    settings += "data.limit_validation=2 data.limit_test=4 training.max_steps=2"
    recipe = HERE.parent / "recipes" / "smollm2-135m-sample.yaml"
    medalist = [sys.executable, "-m", "medalist"]
    subprocess.run([*medalist, "train", recipe, *settings.split()], check=True, stdout=sys.stderr)
    subprocess.run([*medalist, "evaluate", folder / "runs" / "tiny"], check=True, stdout=sys.stderr)
    return folder / "runs" / "tiny"


def least(scripts: Sequence[str]) -> None:
    """Run each script at toy size, with a random model, two at a time; the figures mean nothing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {BASE_VARIABLE: str(write_tiny_base(folder / "model"))}
        told = {script: sizes[-1] for script, sizes in SCRIPTS.items()} | BY_HAND
        wanted = {script: told[script] for script in scripts or told}
        run_folder = make_tiny_run(folder, environment) if "{run}" in "".join(wanted.values()) else folder
        filled = {script: options.format(folder=folder, run=run_folder) for script, options in wanted.items()}
        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(run, script, options, environment) for script, options in filled.items()]:
                done.result()  # a script that failed ends this too


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ", ".join(SCRIPTS)
    parser.add_argument("scripts", nargs="*", choices=[*SCRIPTS, *BY_HAND, []], metavar="SCRIPT", help=names)
    parser.add_argument("--size", choices=SIZES, default="full", help="how much of each (default: full)")
    chosen = parser.parse_args()
    if chosen.size == "least":
        least(chosen.scripts)
        return
    if by_hand := set(chosen.scripts) & set(BY_HAND):
        parser.error(f"{', '.join(sorted(by_hand))}: run by hand; python benchmarks/NAME.py --help says how")
    with tempfile.TemporaryDirectory() as folder:
        options = {script: SCRIPTS[script][SIZES.index(chosen.size)] for script in chosen.scripts or SCRIPTS}
        parts = {script: run(script, told.format(folder=folder), {}) for script, told in options.items()}
    if chosen.size != "full":
        return
    today = {name: f"{text}\n\nMeasured on {date.today().isoformat()}." for name, text in parts.items()}
    partial = PAGE.with_suffix(".part")
    partial.write_text(assembled(parts_of(PAGE.read_text(encoding="utf-8")) | today), encoding="utf-8")
    partial.replace(PAGE)
    print(PAGE)


if __name__ == "__main__":
    main()
