"""Fuzzes one reader with atheris (libFuzzer): `python fuzz/run.py medal --seconds 60`.

Without a name, all of them, two at a time. What it finds lies in fuzz/found/; `python fuzz/run.py medal --again FILE`
shows a find once more.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from targets import TARGETS

HERE = Path(__file__).parent
FOUND = HERE / "found"


def fuzz(name: str, seconds: int) -> None:
    """Fuzz a reader in this process, which libFuzzer ends: with 0 if nothing was found."""
    import atheris

    target = TARGETS[name]
    with atheris.instrument_imports(include=["medalist"]):
        for seed in target.seeds():
            target.once(seed)  # also imports the reader, so that what is measured includes it
    with tempfile.TemporaryDirectory() as folder:
        corpus, words = Path(folder) / "corpus", Path(folder) / "words"
        corpus.mkdir()
        for number, seed in enumerate(target.seeds()):
            (corpus / f"{number}").write_bytes(seed)
        quoted = ("".join(f"\\x{byte:02x}" for byte in word.encode()) for word in target.words)
        words.write_text("".join(f'"{word}"\n' for word in quoted), encoding="ascii")
        FOUND.mkdir(exist_ok=True)
        options = [f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", f"-max_len={target.largest}"]
        options += [f"-dict={words}", f"-artifact_prefix={FOUND}/{name}-", "-print_final_stats=1", "-verbosity=1"]
        atheris.Setup([name, *options, str(corpus)], target.once)
        atheris.Fuzz()


def fuzz_all(seconds: int) -> int:
    """Fuzz every reader, two at a time; returns how many had a find."""

    def one(name: str) -> bool:
        began = time.monotonic()
        command = [sys.executable, str(HERE / "run.py"), name, "--seconds", str(seconds)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        runs = next((line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line), "?")
        print(
            f"{name}: {runs} inputs in {time.monotonic() - began:.0f} s, {'a find' if done.returncode else 'no find'}"
        )
        if done.returncode:
            print(done.stdout[-4000:], done.stderr[-4000:], sep="\n")
        return bool(done.returncode)

    with ThreadPoolExecutor(2) as pool:
        return sum(pool.map(one, TARGETS))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--again", type=Path)
    given = parser.parse_args()
    if given.again:
        TARGETS[given.name].once(given.again.read_bytes())
    elif given.name:
        fuzz(given.name, given.seconds)
    else:
        sys.exit(min(fuzz_all(given.seconds), 1))
