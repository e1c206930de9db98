"""Runs each benchmark in its own process and writes docs/benchmarks.md.

Takes three quarters of an hour on 2 cores; nothing else should run meanwhile.

python benchmarks/all.py             # all of them, as `make bench` does
python benchmarks/all.py scoring     # only some; the results are printed, not written
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from common import progress

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
SCRIPTS = {
    "training": ["--control"],
    "scoring": [],
    "efficiency": [],
    "memory": [],
    "article": [],
    "data": [],
    "plan": [],
    "serve": [],
}
"""Name -> options."""
INTRODUCTION = """# Benchmarks

Written by `make bench`; do not edit. Every ratio comes from one run on one machine, after a check that both sides did
the same work. Passages are MeDAL-shaped: made from the embedded sample corpus, with 194 words, 4 mentions and 15
candidates
each, as in the official MeDAL sample. The [log](../benchmarks/LOG.md) records what was tried to make it faster, and
what did not help.
"On a GPU" is from a machine that `make bench` does not reach.
"""
GPU = HERE / "gpu.md"
"""A section written by hand from the results of benchmarks/gpu.py."""
GOALS = """## Goals, and what limits them

![Where the time goes in scoring and training: matrix products, attention, elementwise work, the
rest](benchmarks-profile.png)

| goal | result | what limits it |
|---|---|---|
| training 8x `trl` | first table | Tokens: the ratio of tokens in rows to tokens in trees (first column) limits what
sharing can gain. The control in the last row shows a gain without sharing, which comes on top: on a CPU, `trl` projects
every position onto the vocabulary, according to its source code (not profiled). More mentions per passage, or adapting
only the upper layers, raise the ratio further. |
| ranking 8x row by row with a KV cache | second table | Tokens again: with the cache, a mention's candidates do not
read the passage again, but each mention still reads it once, and its candidates run as a small padded batch. More
mentions per passage would raise the ratio. |
| ranking 60x generation | second table | A token takes about as much computation either way; generation is slow because
it reads all weights for each token. The ratio grows with the length of the answer, here at most the article's 128
tokens. |
| 75 % of the matmul peak in scoring, 60 % in training | third table | Attention takes a large share of the time
(figure), because the CPU's kernel also computes pairs of nodes that do not attend to each other. The matrix products
inside the model stay below the peak (last row of the profile's table); elementwise work and dispatch take the rest.
Adapters are small products, which are the least efficient, so adapting only the upper half does better. |
| MeDAL's rows within 4x of polars, faster than `datasets` | rows in MeDAL's format | Both convert rows as they are;
Medalist writes them twice, to partitions and to shards, and looks up every word and label in Python. |
"""


def run(script: str) -> str:
    """Run a benchmark, print its Markdown and return it."""
    progress(f"--- {script}")
    began = time.monotonic()
    done = subprocess.run([sys.executable, HERE / f"{script}.py", *SCRIPTS[script]], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(
            f"benchmarks/{script}.py failed with exit code {done.returncode}; {PAGE.name} is left as it was"
        )
    print(done.stdout, flush=True)
    progress(f"--- {script}: {time.monotonic() - began:.0f} s")
    return done.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scripts", nargs="*", choices=[*SCRIPTS, []], metavar="SCRIPT", help=", ".join(SCRIPTS))
    chosen = parser.parse_args().scripts
    parts = [run(script) for script in chosen or SCRIPTS]
    if not chosen:
        partial = PAGE.with_suffix(".part")
        partial.write_text(
            "\n\n".join([INTRODUCTION.strip(), *parts, GPU.read_text(encoding="utf-8").strip(), GOALS.strip()]) + "\n",
            encoding="utf-8",
        )
        partial.replace(PAGE)
        print(PAGE)


if __name__ == "__main__":
    main()
