"""Files as such: written whole or not at all, and named when they turn out to be damaged."""

from __future__ import annotations

import errno
import gzip
import io
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, TextIO, cast


def must_exist(path: Path, note: str = "") -> None:
    """Raise `FileNotFoundError` if there is no such file or folder; `note` says more of it, such as its key in the recipe."""
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist{note and f' ({note})'}")


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file for reading; of a gzipped one (`.gz`), its unpacked content."""
    return cast(IO[bytes], gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


def open_text(path: Path, *, encoding: str = "utf-8", newline: str | None = None) -> TextIO:
    """Open a text file for reading; of a gzipped one (`.gz`), its unpacked content."""
    return io.TextIOWrapper(open_bytes(path), encoding=encoding, newline=newline)


def read_bytes(path: Path) -> bytes:
    """The content of a file; of a gzipped one (`.gz`), unpacked.

    Raises:
        ValueError: it is damaged.
    """
    with undamaged(path), open_bytes(path) as file:
        return file.read()


@contextmanager
def replacing(path: Path, mode: Literal["w", "wb"] = "w") -> Iterator[IO[Any]]:
    """Open a temporary file beside `path`, for text or bytes; it takes the name `path` only if the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        text = mode == "w"
        with os.fdopen(handle, mode, encoding="utf-8" if text else None, newline="" if text else None) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(path)
    except BaseException:  # Ctrl-C too leaves no half file behind; raised again below
        Path(name).unlink(missing_ok=True)
        raise


def is_full(error: BaseException) -> bool:
    """Whether an error says that a disk, or what a user may take of it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def enough_room(path: Path) -> Iterator[None]:
    """Say which disk it is, and that work can go on, when there is no room left for what is written to `path`."""
    try:
        yield
    except OSError as error:
        if not is_full(error):
            raise
        raise OSError(
            error.errno,
            f"No room is left for {path} on its disk. Make room and run the same command again: it goes on from here.",
        ) from None


@contextmanager
def undamaged(path: Path) -> Iterator[None]:
    """Say which file it was when a compressed one cannot be unpacked."""
    try:
        yield
    except (gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{path} is damaged or cut short ({error}). Fetch it again.") from None


@contextmanager
def writing_folder(path: Path, *, keep_if: Callable[[Path], bool] | None = None) -> Iterator[Path]:
    """A new folder beside `path` to write in; it takes the name `path`, as `put_in_place` does, only if the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as aside:
        begun = Path(aside) / path.name
        begun.mkdir()
        yield begun
        put_in_place(begun, path, keep_if=keep_if)


def put_in_place(source: Path, target: Path, *, keep_if: Callable[[Path], bool] | None = None) -> None:
    """Sync a finished folder to disk and give it its name.

    Args:
        source: on the same disk as `target`.
        target: replaced, if there is an older folder of that name.
        keep_if: for content that follows from the name: an older folder of which this is true is left, `source` too.
    """
    for path in (*source.rglob("*"), source):
        _sync(path)
    if keep_if is None:
        old = target.with_name(f".{target.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        if target.exists():
            target.rename(old)
        source.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    else:
        try:
            source.rename(target)
        except OSError:
            if not keep_if(target):  # else another process was first
                raise
    _sync(target.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
