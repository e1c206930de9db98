"""What was found out before on this machine and would take seconds to find out again, one small file for each.

Nothing depends on these files: one that is missing, damaged or of another key is as if there were none, and a folder
that cannot be written to is left alone.
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
    """Where converted models and what is remembered are kept: `$MEDALIST_CACHE`, or else `~/.cache/medalist`.

    Raises:
        ValueError: neither that variable nor a home folder is known, as for a user without a name in a container.
    """
    named = os.environ.get("MEDALIST_CACHE")
    try:
        return Path(named) if named else Path.home() / ".cache" / "medalist"
    except RuntimeError:
        raise ValueError(
            "There is no home folder to keep files in: set MEDALIST_CACHE to a folder that can be written to"
        ) from None


def remembered(folder: Path, key: Mapping[str, str | int], find: Callable[[], Value]) -> Value:
    """What `find` returned for this key before, or what it returns now, which is then kept in the folder.

    Args:
        folder: of such files.
        key: all that the value depends on. It stands in the file: never put text of a user in it.
        find: finds the value; what it raises is passed on, and nothing is kept.
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
    """What tells a file apart in which a byte is wrong; no protection against anyone who writes there on purpose."""
    return hashlib.sha256(f"{key} {value!r}".encode()).hexdigest()
