"""The list of bad records beside a result: one JSON object per line, with a record's place, id and reason."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from ..tools.files import check_place, long_lines, replacing
from .notes import SetAside

_KEYS = {one.name for one in fields(SetAside)}


def check_list(path: Path) -> None:
    """Raise an error before the work starts if the list could not be put at `path`.

    Raises:
        FileExistsError: something other than the list of an earlier call exists there.
        OSError: as for `tools.files.check_place`.
    """
    if not _is_list(path) and (path.exists() or path.is_symlink()):
        raise FileExistsError(
            f"{path} is where bad records would be listed, and is no such list: move it, or name another --out"
        )
    check_place(path, new=False)


def write_list(records: Sequence[SetAside], path: Path) -> None:
    """Write the list in place of an earlier one; without records there is none.

    Raises:
        FileExistsError: as for `check_list`; it has appeared since.
    """
    check_list(path)
    if not records:
        path.unlink(missing_ok=True)
        return
    with replacing(path) as file:
        file.writelines(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in records)


def _is_list(path: Path) -> bool:
    """Whether a file is such a list, and nothing else."""
    if path.is_symlink() or not path.is_file() or not path.stat().st_size:
        return False
    try:
        with path.open("rb") as file:
            return all(json.loads(line).keys() == _KEYS for line in long_lines(path, file))
    except (OSError, ValueError, AttributeError, RecursionError):
        return False
