"""Finds the run that a user names: a folder, or a repository of the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path

from ..data.embedded import reader
from ..models.base import cache_folder, weights_sha256
from ..runs.run import Run, is_run, open_run
from ..sharing.publication import check_repo_name
from ..sharing.pull import pull


def find_run(name: str | Path, *, revision: str | None = None) -> Run:
    """Open a run by its folder, or download it if `name` is a Hub id; a downloaded run is kept in the cache.

    Args:
        name: an existing path is a folder; otherwise "user/name" is a Hub id unless "user" is a folder here.
        revision: branch, tag or commit of a Hub id; None: the newest when it was first downloaded.

    Raises:
        FileNotFoundError: it is neither.
        ValueError: the repository does not exist or was not published by Medalist, or a folder is given a revision.
        OSError: the Hub cannot be reached.
    """
    if not is_hub_id(name):
        if revision is not None:
            raise ValueError(f"{name} is a folder, so it has no revision {revision}")
        return open_run(Path(name))
    folder = cache_folder() / "runs" / f"{name}@{revision or 'main'}".replace("/", "--")
    return open_run(folder) if is_run(folder) else pull(str(name), revision=revision, out=folder)


def weights_of(name: str | Path | None, *, revision: str | None = None) -> str:
    """SHA-256 of the tuned weights of a run, or of the reader's for None; arguments and errors as for `find_run`.

    Raises:
        FileNotFoundError: its training has not finished.
    """
    return weights_sha256(reader.ADAPTER if name is None else find_run(name, revision=revision).trained_to_end())


def is_hub_id(name: str | Path) -> bool:
    """Whether a name can only mean a repository of the Hub.

    It is "user/name", and neither a path that exists nor in a folder that exists; "runs" is always taken for a folder.
    """
    if isinstance(name, Path):
        return False
    try:
        check_repo_name(name)
    except ValueError:
        return False
    user = name.split("/")[0]
    return user != "runs" and not Path(name).exists() and not Path(user).exists()
