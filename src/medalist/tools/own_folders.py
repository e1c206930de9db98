"""Removes and replaces only what Medalist made: recognises the hidden folders that it keeps beside a result."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path

_SETTINGS = "settings.json"


def clear_work(work: Path, *, keys: Collection[str], parts: str = r"[^.].*") -> None:
    """Remove the work folder of an earlier call, if there is one.

    Args:
        work: the folder; its settings.json says what was being made.
        keys: keys that this file has in whichever version of Medalist wrote it.
        parts: a pattern of the names of everything else in the folder.

    Raises:
        FileExistsError: something that is no such folder has its name.
    """
    if not work.exists() and not work.is_symlink():
        return
    if not _is_folder(work) or not _is_work(work, keys, parts):
        raise FileExistsError(
            f"{work} is where unfinished work is kept, but it holds something else: move it, or name another --out"
        )
    shutil.rmtree(work)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _is_work(work: Path, keys: Collection[str], parts: str) -> bool:
    names = {path.name for path in work.iterdir()} - {_SETTINGS}
    try:
        settings = json.loads((work / _SETTINGS).read_text(encoding="utf-8"))
    except FileNotFoundError:  # killed before it was written
        return all(name.startswith(f".{_SETTINGS}.") for name in names)
    except (OSError, ValueError, RecursionError):
        return False
    known = isinstance(settings, dict) and settings.keys() >= set(keys)
    return known and all(re.fullmatch(rf"\.?(?:{parts})(?:\.begun-\w+)?|\.{_SETTINGS}\..*", name) for name in names)


def older(target: Path) -> list[Path]:
    """Folders that `put_aside` made for `target`: each has a random name and holds at most a `target.name`."""
    name = re.compile(rf"\.{re.escape(target.name)}\.old-\w{{8}}")
    found = [path for path in target.parent.iterdir() if name.fullmatch(path.name) and _is_folder(path)]
    return [path for path in found if {one.name for one in path.iterdir()} <= {target.name}]


def put_aside(target: Path) -> Path:
    """Move a folder into a new hidden folder beside it, where `older` finds it; returns its new path."""
    aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.old-"))
    return target.rename(aside / target.name)


def put_new(file: Path, path: Path) -> None:
    """Give a finished file its name unless something has it; `file` may stay as a second name.

    Raises:
        FileExistsError: something has the name.
    """
    try:
        os.link(file, path)  # a rename would replace what is there
    except FileExistsError:
        raise
    except OSError as error:  # a disk without links
        if path.exists() or path.is_symlink():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
        file.replace(path)
