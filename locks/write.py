"""Writes the lock files beside it: every distribution that the Makefile and the Dockerfile install, with its hashes.

    make lock                                what pyproject.toml asks for, at the versions that are locked already
    make lock UPGRADE="polars rich"          the newest of these that pyproject.toml allows
    make lock UPGRADE=all                    of everything but torch

`uv pip compile` resolves for every platform and Python at once, `pip install --require-hashes --no-deps` installs.
torch comes from PyPI or from PyTorch's index of builds for CPUs, so it has a file of its own, with the hashes of both.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).parent
SETS = {
    "dev": ["--all-extras", "--group", "setup", "--group", "test"],
    "core": ["--group", "setup"],
    "serve": ["--extra", "serve", "--group", "setup"],
    "bench": ["--extra", "bench", "--group", "setup"],
}
"""Name of a file -> what of pyproject.toml it holds; the others follow the versions of the first."""

GPU = re.compile(r"(triton|nvidia-|cuda-)")
"""What only PyTorch's build for NVIDIA GPUs needs."""

CPU_BUILDS = {
    "2.13.0": """\
6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b cp311 Linux x86-64
84453b69508ec79902f899c5ed9495acb9e2bbe9fda5f1d5d6f19e3c3842e1a7 cp311 Linux AArch64
4ca4a9394b0c771238a4f73590fdbbc4debad85ed0fa63d026ae1b085da7d6e2 cp312 Linux x86-64
6f307c2c32d764ffc6ff6893b801fad6d4752f3e67966cb8abf1843427c02604 cp312 Linux AArch64
3fbf9c9d1f3c10c2d59d04aca426dee9ccc6ceb32d255c61e93acc3b4f75fae6 cp313 Linux x86-64
0b8f7d0423027ae8b90c7977c627f3379f325363a08224dffad9b4b2d684a83d cp313 Linux AArch64
d20fa53ee744502fa4c69818a720b05ca0d37abd055d4f6e66cae155114bc691 cp314 Linux x86-64
ca021f9eb2f8345c83fa03e3a04587308afb8df71bd472670b3ece00df58621c cp314 Linux AArch64
"""
}
"""torch's version -> SHA-256 of its wheels on download.pytorch.org/whl/cpu/torch/, which uv does not look up."""

HEADER = "# Written by `make lock`; do not edit.\n"


def blocks(text: str) -> dict[str, str]:
    """Each requirement of a lock file, as `name==version ; marker` -> its lines with hashes; comments are left out."""
    kept = "".join(line for line in text.splitlines(keepends=True) if not re.match(r"\s*#", line))
    return {block.split(" \\\n")[0]: block for block in re.split(r"^(?=\S)", kept, flags=re.MULTILINE) if block}


def compiled(what: list[str], pins: list[str]) -> dict[str, str]:
    """What uv resolves for options that say what of pyproject.toml is meant; pins are `name==version ; marker`."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as constraints:
        constraints.write("\n".join(pins))
        constraints.flush()
        command = ["uv", "pip", "compile", "--universal", "--python-version", "3.11", "--quiet", "--no-header"]
        command += ["--no-annotate", "--generate-hashes", "--constraints", constraints.name, *what]
        done = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return blocks(done.stdout)


def locked(name: str, upgrade: list[str]) -> list[str]:
    """The pins that a lock file holds already, without those that are to be upgraded."""
    path = HERE / f"{name}.txt"
    pins = blocks(path.read_text(encoding="utf-8")) if path.exists() else {}
    return [pin for pin in pins if not {"all", pin.partition("==")[0]} & set(upgrade)]


def write(name: str, found: Iterable[str]) -> None:
    """Write one lock file."""
    (HERE / f"{name}.txt").write_text(HEADER + "".join(found), encoding="utf-8")


def main(upgrade: list[str]) -> None:
    """Write every file."""
    held = [
        *locked("dev", upgrade),
        *locked("gpu", upgrade),
        *locked("torch", [name for name in upgrade if name != "all"]),
    ]
    everything = compiled(["pyproject.toml", *SETS["dev"]], held)
    torch = [pin for pin in everything if pin.startswith("torch==")]
    gpu = [pin for pin in everything if GPU.match(pin)]
    for name, what in SETS.items():
        found = compiled(["pyproject.toml", *what], list(everything))
        write(name, (found[pin] for pin in found if pin not in (*torch, *gpu)))
    write("gpu", (everything[pin] for pin in gpu))
    write("torch", (everything[pin].rstrip("\n") + cpu_hashes(pin) for pin in torch))
    write("release", compiled(["--group", "release"], locked("release", upgrade)).values())


def cpu_hashes(torch: str) -> str:
    """The hashes of the builds for CPUs, as lines that go on from those of PyPI's builds."""
    version = torch.partition("==")[2]
    if version not in CPU_BUILDS:
        sys.exit(f"locks/write.py, CPU_BUILDS: add the hashes of torch {version}")
    return "".join(f" \\\n    --hash=sha256:{line.split()[0]}" for line in CPU_BUILDS[version].splitlines()) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
