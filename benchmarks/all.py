"""Runs every benchmark in a process of its own and writes docs/benchmarks.md; half an hour on 2 cores, nothing beside it.

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
SCRIPTS = {"training": ["--control"], "scoring": [], "efficiency": [], "memory": [], "article": []}
"""Name -> options."""
INTRODUCTION = """# Benchmarks

Written by `make bench`; do not edit. Every ratio comes from one run on one machine, after a check that both sides did the
same work. Passages are MeDAL-shaped: made from the embedded sample corpus, with 194 words, 4 mentions and 15 candidates
each, as in the official MeDAL sample. What was tried to make it faster, and what did not pay: [log](../benchmarks/LOG.md).
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
        partial.write_text("\n\n".join([INTRODUCTION.strip(), *parts]) + "\n", encoding="utf-8")
        partial.replace(PAGE)
        print(PAGE)


if __name__ == "__main__":
    main()
