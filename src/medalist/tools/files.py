"""Reading files with clear errors for damaged ones, and writing files and folders atomically."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import re
import shutil
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, TextIO, cast

from .failures import is_full, megabytes, need_room, writing
from .locks import held, parents_of
from .own_folders import older, put_aside, put_new

if TYPE_CHECKING:
    import polars as pl

MOST_BYTES = 256_000_000
"""The largest file that is read into memory whole, in bytes after decompression; 1 MB of gzip can hold 1 GB."""
LONGEST_LINE = 64_000_000
"""The longest line, in bytes."""
LONGEST_NAME = 225
"""The longest name of a result, in bytes: most file systems allow 255, and its temporary name is longer."""
RESULT_BYTES = 1_000_000
"""Free space to require before work whose result is a small file, in bytes."""
_STAGING = "begun-"
"""Part of the names of folders in which something is being written."""
_LOCK = ".lock"
"""Locked inside such a folder while it is being written."""
_MANY = 1000
_looked_through: set[Path] = set()
"""Folders with more than `_MANY` entries, which this process searches for abandoned folders only once: otherwise
writing n files into one folder would take O(n²) time."""
_SETTLED = 1.0
"""Seconds after which an unlocked folder counts as abandoned, rather than as one about to be locked."""


def must_exist(path: Path, note: str = "") -> None:
    """Raise `FileNotFoundError` if the file or folder does not exist; `note` adds context, such as its recipe key."""
    if not path.exists():
        address = re.match(r"(?:https?|ftp|s3|gs|abfss?|hdfs|file):/", str(path), re.IGNORECASE)
        remedy = ": it is an address; download the file and name it here" if address else ""
        raise FileNotFoundError(f"{path} does not exist{note and f' ({note})'}{remedy}")


_WEB_PAGE = "a web page, whatever its name: perhaps a site's answer to someone who has not logged in. Download it again"
_FOREIGN = {
    b"PK\x03\x04": "an Excel or Word file or another ZIP archive, whatever its name: save it as CSV, or unpack it",
    b"\xd0\xcf\x11\xe0": "an Excel or Word file, whatever its name: save it as CSV or plain text",
    b"%PDF-": "a PDF, whatever its name: save it as plain text",
    b"PAR1": "Parquet: call it .parquet if these are notes or passages, or else save it as CSV",
    b"MSH|^": "an HL7 message, whatever its name: save the text in it as .txt, or in a table with a column text",
    b"\x0bMSH|^": "an HL7 message, whatever its name: save the text in it as .txt, or in a table with a column text",
    b"SQLite format 3": "a SQLite database, whatever its name: save its table as CSV",
    b"<!doctype html": _WEB_PAGE,
    b"<html": _WEB_PAGE,
    b"version https://git-lfs": "a Git LFS pointer, not the file itself: fetch it with `git lfs pull`",
}
"""First bytes (in lower case for text formats) of files that often have a misleading name."""


def open_bytes(path: Path, content: bytes | None = None) -> IO[bytes]:
    """Open a text file for reading in binary; a gzipped one is decompressed, whatever its name.

    Args:
        path: the file.
        content: the file's content if read already, as from standard input; `path` then only names it in errors.

    Raises:
        ValueError: it is in a known format that is not text.
    """
    file = path.open("rb") if content is None else io.BufferedReader(cast(io.RawIOBase, io.BytesIO(content)))
    head = file.peek(16)[:32]
    if path.suffix == ".gz" or head.startswith(b"\x1f\x8b"):
        file.close()
        return cast(IO[bytes], gzip.open(path if content is None else io.BytesIO(content), "rb"))
    what = next((what for mark, what in _FOREIGN.items() if head.startswith(mark) or head.lower().startswith(mark)), "")
    if what:
        file.close()
        raise ValueError(f"{path} is {what}.")
    return file


def open_text(
    path: Path,
    content: bytes | None = None,
    *,
    encoding: str = "utf-8",
    errors: Literal["strict", "surrogateescape"] = "strict",
    newline: str | None = None,
) -> TextIO:
    """Open a text file for reading, as `open_bytes` does."""
    return io.TextIOWrapper(open_bytes(path, content), encoding=encoding, errors=errors, newline=newline)


def read_bytes(path: Path) -> bytes:
    """Read a file, opened as `open_bytes` does.

    Raises:
        ValueError: the file is damaged, in another format, or larger than `MOST_BYTES`.
    """
    with undamaged(path), open_bytes(path) as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"{path} holds more than {megabytes(MOST_BYTES)}, unpacked: is it the right file? Divide it.")
    return content


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def long_lines(path: Path, file: IO[bytes]) -> Iterator[bytes]:
    """The lines of a file, one in memory at a time.

    Raises:
        ValueError: a line is longer than `LONGEST_LINE`.
    """
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise ValueError(
                f"{path}, line {number:,}: longer than {megabytes(LONGEST_LINE)}. Is it a text with one record a line?"
            )
        yield line


@contextmanager
def replacing(path: Path, mode: Literal["w", "wb"] = "w", *, new: bool = False) -> Iterator[IO[Any]]:
    """Open a text or binary file that takes the name `path` only if the block succeeds; if `new`, from nothing else."""
    with writing_beside(path) as aside:
        begun, text = aside / path.name, mode == "w"
        with begun.open(mode, encoding="utf-8" if text else None, newline="" if text else None) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        put_new(begun, path) if new else begun.replace(path)
        _sync(path.parent)


def write_frame(frame: pl.DataFrame, path: Path) -> None:
    """Write a table as Parquet, atomically; polars itself does not raise OSError when the disk is full."""
    packed = io.BytesIO()
    frame.write_parquet(packed)
    with replacing(path, "wb") as file:
        file.write(packed.getbuffer())


def can_write(folder: Path) -> bool:
    """Whether files can be created in a folder, which need not exist yet; tried, since modes and owners do not tell.

    Raises:
        NotADirectoryError: it is a file, or lies below one.
        OSError: the disk is full.
    """
    return _refusal(_nearest(folder, folder)) is None


def check_kept(folder: Path, what: str, size: int = RESULT_BYTES) -> None:
    """Raise an error before the work starts if its result could not be stored in a folder.

    Args:
        folder: the folder, which need not exist yet.
        what: the result and its verb, such as "the claims are".
        size: the most bytes that it will take.

    Raises:
        ValueError: the folder cannot be written to.
        OSError: less space is free.
    """
    if not can_write(folder):
        raise ValueError(f"{folder} cannot be written to, and {what} kept there: copy the run elsewhere")
    need_room(folder, size)


def check_place(path: Path, *, folder: bool = False, new: bool = True) -> None:
    """Raise an error before the work starts if its result could not be put at `path`.

    Args:
        path: the file or folder that will be written.
        folder: whether it is a folder.
        new: whether nothing may exist there yet.

    Raises:
        FileExistsError: something exists there already.
        OSError: `path` is a folder where a file is expected or the reverse, lies below a file or where the user may not
            write, or has a name too long for its temporary files.
    """
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), str(path))
    if new and (path.exists() or path.is_symlink()):
        raise FileExistsError(f"{path} exists already: name another with --out, or remove it")
    if path.is_dir() and not folder:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if folder and path.exists() and not path.is_dir():
        raise FileExistsError(f"{path} is a file, not a folder: name another, or remove it")
    there = _nearest(path if folder else path.parent, path)
    if (refusal := _refusal(there)) is not None:
        number = errno.EROFS if refusal.errno == errno.EROFS else errno.EACCES
        raise OSError(number, os.strerror(number), str(path))


def _nearest(folder: Path, named: Path) -> Path:
    """The folder, or its nearest existing parent; an error calls it what the user called it."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(named))
    return there


def _refusal(folder: Path) -> OSError | None:
    """Why no file can be created in an existing folder; None if one can.

    Raises:
        OSError: the disk is full.
    """
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        if is_full(error):
            raise OSError(error.errno, error.strerror, str(folder)) from None
        return error


@contextmanager
def undamaged(path: Path) -> Iterator[None]:
    """Name the file in the error when a compressed file cannot be decompressed."""
    try:
        yield
    except (gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, EOFError) as error:
        cause = "it is not gzipped" if isinstance(error, gzip.BadGzipFile) else error  # which quotes its first bytes
        raise ValueError(f"{path} is damaged or truncated ({cause}). Download it again.") from None


@contextmanager
def writing_folder(path: Path, *, keep_if: Callable[[Path], bool] | None = None, new: bool = False) -> Iterator[Path]:
    """Yield a new folder next to `path` to write in; `put_in_place` renames it to `path` only if the block succeeds.

    If `new`, an existing folder that is not empty is an error and stays.
    """
    with writing_beside(path) as aside:
        begun = aside / path.name
        begun.mkdir()
        yield begun
        put_in_place(begun, path, keep_if=(lambda _: False) if new else keep_if)


@contextmanager
def writing_beside(path: Path) -> Iterator[Path]:
    """Yield a new folder next to `path` for intermediate files; it is removed at the end.

    Raises:
        OSError: the disk is full; the error names `path`.
    """
    with writing(path), parents_of(path):
        _remove_abandoned(path)
        staging = tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.{_STAGING}")
        with staging as aside, held(Path(aside) / _LOCK):
            yield Path(aside)


def _remove_abandoned(path: Path) -> None:
    """Remove folders that killed processes left behind while writing the file or folder `path`; they may hold text."""
    begun, among, seen = f".{path.name}.{_STAGING}", path.parent.absolute(), 0
    if among in _looked_through:
        return
    with suppress(PermissionError), os.scandir(path.parent) as entries:
        for entry in entries:
            seen += 1
            if entry.name.startswith(begun) and entry.is_dir(follow_symlinks=False):
                with suppress(FileNotFoundError, PermissionError):
                    _remove_if_abandoned(Path(entry.path))
    if seen > _MANY:
        _looked_through.add(among)


def _remove_if_abandoned(left: Path) -> None:
    ours = (left / _LOCK).exists() or not any(left.iterdir())
    if ours and time.time() - left.stat().st_mtime > _SETTLED:
        with held(left / _LOCK) as mine:
            if mine:
                shutil.rmtree(left, ignore_errors=True)


def put_in_place(source: Path, target: Path, *, keep_if: Callable[[Path], bool] | None = None) -> None:
    """Sync a finished folder to disk and rename it to its final name.

    Args:
        source: the finished folder, on the same disk as `target`.
        target: the final name; an existing folder of that name is replaced.
        keep_if: for content determined by its name: an existing folder for which this returns true is kept, and
            `source` stays where it is.
    """
    for path in (*source.rglob("*"), source):
        _sync(path)
    if keep_if is None:
        for left in older(target):
            if (left / target.name).exists() and not target.exists():  # killed between its two renames
                (left / target.name).rename(target)
            shutil.rmtree(left, ignore_errors=True)
        old = put_aside(target) if target.exists() else None
        try:
            source.rename(target)
        except BaseException:
            if old:
                old.rename(target)
                old.parent.rmdir()
            raise
        if old:
            shutil.rmtree(old.parent, ignore_errors=True)
    else:
        try:
            source.rename(target)
        except OSError:
            if not keep_if(target):  # otherwise another process got there first
                raise
    _sync(target.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
