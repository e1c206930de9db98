"""Keeps two commands from working in one folder at the same time, with an advisory lock of the operating system.

The lock belongs to the process, so a killed command leaves none behind.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EROFS, errno.EACCES, errno.EPERM)
"""The file system has no locks, or cannot be written to: the command then goes on without one."""


class BusyError(RuntimeError):
    """Another command is working in the folder."""


def lock_file(folder: Path) -> Path:
    """The lock file of a folder: next to it, so that the lock can be taken before the folder exists."""
    folder = folder.absolute()
    return folder.with_name(f".{folder.name}.lock")


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which need not exist yet; calls within one process may nest.

    Raises:
        BusyError: another process holds it.
        FileExistsError: something that is no lock has its name.
    """
    path = lock_file(folder)
    with parents_of(path):
        yield from _alone(path, folder)


def _alone(path: Path, folder: Path) -> Iterator[None]:
    if path.is_symlink() or (path.exists() and not (path.is_file() and path.stat().st_size == 0)):  # ours are empty
        raise FileExistsError(f"{path} is where {folder} is locked, but it holds something else: move it away")
    lock = FileLock(path, timeout=0, thread_local=False, is_singleton=True, fallback_to_soft=False)
    try:
        taken = _take(lock)
    except Timeout:
        raise BusyError(
            f"Another command is working in {folder}: wait until it has finished, or stop it ({path} is locked)."
        ) from None
    if not taken:
        yield
        return
    try:
        yield
    finally:
        if lock.lock_counter == 1:
            with suppress(OSError):  # Windows cannot remove an open file
                path.unlink()  # while locked: whoever opened it earlier sees that it has no links, and opens a new one
        lock.release()


@contextmanager
def parents_of(path: Path) -> Iterator[None]:
    """Create the parent folders of a path; if the block fails, those that were created and are empty are removed."""
    made = [above for above in path.absolute().parents if not above.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):  # one of them is no longer empty
            for above in made:
                above.rmdir()
        raise


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Lock a file, whose folder exists; yields false if another process holds it, or the file system has no locks."""
    lock = FileLock(path, timeout=0, thread_local=False, fallback_to_soft=False)
    try:
        taken = _take(lock)
    except Timeout:
        taken = False
    try:
        yield taken
    finally:
        if taken:
            lock.release()


def _take(lock: FileLock) -> bool:
    """Acquire a lock; false if the file system has no locks.

    Raises:
        Timeout: another process holds it.
    """
    try:
        lock.acquire()
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:  # `Timeout`, which has no number, included
            raise
        return False
    return True
