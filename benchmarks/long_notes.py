"""Long notes: seconds and memory of `medalist expand` by the length of the text, the reader's progress included.

The text is the development half of the embedded clinical notes over and over, cut at a length, so it is dense: some 60
short forms in 1,000 characters. Each length is read by a process of its own.

    python benchmarks/long_notes.py 10000 30000 100000
    python benchmarks/long_notes.py 10000 1000000 --engine glance

Result: Markdown on stdout; progress, as a user sees it, on stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path

from common import clinical_texts, machine, table

MIB = 2**20


def text_of(length: int) -> str:
    """The clinical notes one after another, over and over, cut at `length` characters."""
    parts: list[str] = []
    for note in cycle(clinical_texts()):
        if sum(map(len, parts)) >= length:
            break
        parts.append(note + "\n\n")
    return "".join(parts)[:length]


def read(length: int, run: Path | None, engine: str | None, folder: Path) -> list[object]:
    """A row of the table: one process that reads one note; waited for by hand, for its own peak of memory."""
    note, out = folder / "note.txt", folder / "out.json"
    note.write_text(text_of(length), encoding="utf-8")
    chosen = ["--engine", engine] if engine else []
    command = [sys.executable, "-m", "medalist", "expand", *([str(run)] if run else []), str(note), "--json", *chosen]
    began = time.perf_counter()
    with out.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(command, stdout=file)
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(process.returncode)
    found = len(json.loads(out.read_text(encoding="utf-8"))["expansions"])
    used = usage.ru_utime + usage.ru_stime
    return [f"{length:,}", found, seconds, used, 1000 * used / found, usage.ru_maxrss * 1024 / MIB]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lengths", nargs="*", type=int, default=[10_000, 30_000, 100_000], help="in characters")
    parser.add_argument("--run", type=Path, help="a run's folder (default: the reader)")
    parser.add_argument("--engine", help="as for `medalist expand`: glance asks no model")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [read(length, options.run, options.engine, Path(folder)) for length in options.lengths]
    print(f"## Long notes\n\n{machine()}\n")
    engine = f" and the engine {options.engine}" if options.engine else ""
    print(f"`medalist expand` with {options.run or 'the reader'}{engine}, one note, loading included.\n")
    heading = ["characters", "short forms", "seconds", "processor s", "processor ms each", "peak memory, MiB"]
    print(table(heading, rows))


if __name__ == "__main__":
    main()
