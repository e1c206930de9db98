"""Runs every benchmark in a process of its own and writes docs/benchmarks.md; three quarters of an hour on 2 cores, nothing beside it.

python benchmarks/all.py             # all of them: what `make bench` does
python benchmarks/all.py scoring     # some, printed only
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
}
"""Name -> options."""
INTRODUCTION = """# Benchmarks

Written by `make bench`; do not edit. Every ratio comes from one run on one machine, after a check that both sides did the
same work. Passages are MeDAL-shaped: made from the embedded sample corpus, with 194 words, 4 mentions and 15 candidates
each, as in the official MeDAL sample. What was tried to make it faster, and what did not pay: [log](../benchmarks/LOG.md).
"On a GPU" is from a machine that `make bench` does not reach.
"""
GPU = HERE / "gpu.md"
"""A section that is written by hand from what benchmarks/gpu.py left."""
GOALS = """## The goals, and what is in the way

![What the time of scoring and training goes to: matrix products, attention, elementwise work, the rest](benchmarks-profile.png)

| goal | where it stands | what is in the way |
|---|---|---|
| training 8x `trl` | first table | Tokens: how many more of them rows have than trees (first column) bounds what sharing can give. What the control in the last line gains without sharing comes besides; by its source `trl` projects every position onto the vocabulary on a CPU, which was read, not profiled. More mentions per passage, or only the upper layers adapted, go beyond it. |
| ranking 8x row by row with a KV cache | second table | Tokens again: the cache spares a mention's candidates the passage, but each mention still reads it once, and its candidates run as a small padded batch. More mentions per passage would raise the ratio. |
| ranking 60x generation | second table | A token costs the model about as much either way; writing is slow because it reads all weights for each token. The ratio grows with the length of the answer, here the article's 128 at most. |
| 75 % of the matmul peak in scoring, 60 % in training | third table | Attention takes a large share of the time (figure), as the CPU's kernel also computes the pairs of nodes that do not see each other. The products inside the model stay below the peak (last line of the profile's table); elementwise work and dispatch take the rest. Adapters are small products, which run worst, so the upper half alone does better. |
| MeDAL's rows within 4x of polars, faster than `datasets` | rows of MeDAL's format | Both convert rows as they come; Medalist writes them twice, to partitions and to shards, and looks up every word and label in Python. |
"""


def run(script: str) -> str:
    """A benchmark's Markdown, shown as it comes."""
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
