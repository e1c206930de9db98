"""Caches results that take seconds to compute, one small JSON file per key.

Nothing depends on these files: one that is missing, damaged or has another key is ignored, and a folder that cannot be
written to is left alone.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from .files import replacing

Value = TypeVar("Value", str, float)


def cache_folder() -> Path:
    """The folder of converted models and cached results: `$MEDALIST_CACHE`, or else `~/.cache/medalist`.

    Raises:
        ValueError: neither that variable nor a home folder is set, as for a user without a name in a container.
    """
    named = os.environ.get("MEDALIST_CACHE")
    try:
        return Path(named) if named else Path.home() / ".cache" / "medalist"
    except RuntimeError:
        raise ValueError(
            "There is no home folder to keep files in: set MEDALIST_CACHE to a folder that can be written to"
        ) from None


def remembered(folder: Path, key: Mapping[str, str | int], find: Callable[[], Value]) -> Value:
    """Return the cached value of a key, or compute it with `find` and cache it.

    Args:
        folder: the folder of the cache files.
        key: everything that the value depends on. It is stored in the file, so never put a user's text in it.
        find: computes the value; if it raises an error, nothing is cached.
    """
    written = json.dumps(key, sort_keys=True)
    path = folder / f"{hashlib.sha256(written.encode()).hexdigest()[:32]}.json"
    with suppress(OSError, ValueError):
        kept = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(kept, dict) and kept.get("sum") == _sum(written, kept.get("value")):
            value: Value = kept["value"]
            return value
    value = find()
    with suppress(OSError), replacing(path) as file:
        json.dump({"key": written, "value": value, "sum": _sum(written, value)}, file)
    return value


def _sum(key: str, value: object) -> str:
    """A checksum that reveals a damaged file; no protection against deliberate changes."""
    return hashlib.sha256(f"{key} {value!r}".encode()).hexdigest()
