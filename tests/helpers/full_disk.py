"""Prepares corpora on a disk that is too small, and again after making room, until they are done; prints what happened.

A program of its own, for it mounts a disk: `unshare -rm python full_disk.py FOLDER mounted`. Where that is forbidden,
`patched` makes writing fail as a full disk would.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path

from medalist.cli.app import main
from medalist.corpora import medal as medal_corpus
from medalist.data.inventory import Inventory
from medalist.data.passage_files import read_passages
from medalist.data.rows import Quarantine

STEP = 1.3
"""How much larger the disk becomes each time."""


class Disk:
    """A folder with room for so many bytes."""

    def __init__(self, folder: Path, size: int, *, mounted: bool) -> None:
        self.folder, self.size, self._mounted = folder, size, mounted
        folder.mkdir()
        if mounted:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
        else:
            os.fsync = self._sync

    def grow(self) -> None:
        self.size = int(self.size * STEP)
        if self._mounted:
            subprocess.run(["mount", "-o", f"remount,size={self.size}", self.folder], check=True)

    def _sync(self, handle: int) -> None:
        if sum(path.stat().st_size for path in self.folder.rglob("*")) > self.size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def attempt(arguments: list[str]) -> tuple[int, str, str]:
    """Exit code, standard output and error of a command."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as stop:
            code = int(stop.code or 0)
    return code, out.getvalue(), err.getvalue()


def prepare(verb: str, sources: list[str], folder: Path, disk: Disk) -> dict[str, object]:
    """What a command said on each attempt, whether it left a corpus or an unreadable shard, and what came of it."""
    out, listed = disk.folder / verb, Inventory.read(folder / "senses.csv")
    arguments = ["prepare", verb, *sources, "--inventory", str(folder / "senses.csv")]
    told, unsound = [], []
    while True:
        code, _, err = attempt([*arguments, "--out", str(out)])
        if code == 0:
            break
        told.append((code, err))
        unsound += [str(out)] if out.exists() else []
        for shard in disk.folder.rglob("t*-of-*.parquet"):
            if not read_passages(shard, listed, Quarantine(limit=0)):
                unsound.append(str(shard))
        disk.grow()
    whole = folder / verb
    attempt([*arguments, "--out", str(whole)])
    same = {p.relative_to(whole): p.read_bytes() for p in whole.rglob("*") if p.is_file()} == {
        p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()
    }
    return {"told": told, "unsound": unsound, "same": same, "shards": len(list(out.rglob("train-*")))}


if __name__ == "__main__":
    folder, mounted = Path(sys.argv[1]), sys.argv[2] == "mounted"
    medal_corpus.PARTITION_MB = 0.03
    found = {}
    for verb, *sources in (["medal", "train.csv"], ["pubmed", "a.jsonl", "b.jsonl"]):
        disk = Disk(folder / f"disk-{verb}", 8 * 1024, mounted=mounted)
        found[verb] = prepare(verb, [str(folder / name) for name in sources], folder, disk)
    print(json.dumps(found))
