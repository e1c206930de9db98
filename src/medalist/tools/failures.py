"""Turns expected failures of files, disks and libraries into one-line messages.

Code that reads a file wraps it in `reading`, which adds the file's name; `in_one_line` words the rest for the command
line. An error that neither recognises is a bug in the program and keeps its traceback.
"""

from __future__ import annotations

import errno
import gzip
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

_LIBRARIES = ("pyarrow", "polars", "safetensors_rust", "safetensors", "lxml", "jinja2")
"""Their errors are recognised by the defining module's name, so that none of them has to be imported here."""
_PANIC = "pyo3_runtime"
"""The module of panics in Rust libraries; they are not `Exception`s, and may quote a text."""
_TORCH_READER = ("PytorchStreamReader", "Ran out of input", "unpickl", "Weights only load failed", "invalid load key")
_FULL = (
    "No space left on device",
    "os error 28",
    "PytorchStreamWriter failed writing",
    "enforce fail at inline_container",
)
"""How errors of safetensors and PyTorch, which have their own types, report a full disk."""
FINISHED_IS_KEPT = "What is finished is kept: run the same command again."
"""Ends the error of a command that can resume."""
_LFS = b"version https://git-lfs"
_ERRNO = {
    errno.EISDIR: "is a folder, not a file",
    errno.ENOTDIR: "lies below a file, not below a folder",
    errno.ENOENT: "does not exist",
    errno.EACCES: "may not be read or written by you: change its permissions, or name another",
    errno.EPERM: "may not be changed by you: change its permissions, or name another",
    errno.EROFS: "is on a read-only disk: name a place that can be written to",
    errno.EEXIST: "exists already: name another, or remove it",
    errno.ENOTEMPTY: "exists already: name another, or remove it",
    errno.ENAMETOOLONG: "is too long for a file's name",
    errno.EMFILE: "cannot be opened because too many files are open: raise the limit with `ulimit -n`",
    errno.EFBIG: "would be larger than your files may be here: raise the limit with `ulimit -f`",
    errno.EIO: "cannot be read or written: the disk reports an error",
}


def is_full(error: BaseException) -> bool:
    """Whether an error means that the disk is full or the user's quota is exhausted."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def writing(path: Path, kept: str = "") -> Iterator[None]:
    """If the disk fills up while a file or folder is being written, name it in the error.

    Args:
        path: what the block writes; errors about its temporary file, which the user did not name, name `path` instead.
        kept: a sentence that says what is not lost and how to go on.

    Raises:
        OSError: the disk is full, or a file would be larger than the user's limit.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.EFBIG and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from None
        if not (is_full(error) or any(sign in str(error) for sign in _FULL)):
            raise
        number = errno.EDQUOT if getattr(error, "errno", None) == errno.EDQUOT else errno.ENOSPC
        name = getattr(error, "filename", None)
        if "The disk has" not in str(error) and (name is None or _is_part(Path(str(name)), path)):
            error = OSError(number, os.strerror(number), str(path)).with_traceback(error.__traceback__)
        if kept:
            error.add_note(kept)
        raise error from None


def _is_part(file: Path, path: Path) -> bool:
    """Whether `file` is `path`, lies in it, or belongs to the temporary copy that will replace it."""
    file, folder = file.absolute(), path.parent.absolute()
    first, second, *_ = [*(file.relative_to(folder).parts if file.is_relative_to(folder) else ()), "", ""]
    return first == path.name or first.startswith(f".{path.name}.") or (first.startswith(".") and second == path.name)


@contextmanager
def reading(path: Path, remedy: str = "") -> Iterator[None]:
    """Name the file in the error when its content is damaged or not what it should be.

    Args:
        path: the file that the block reads.
        remedy: a sentence that says what to do.

    Raises:
        ValueError: the content is damaged; the message does not quote it.
    """
    try:
        yield
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:
        cause = _damage(error)
        if cause is None:
            raise
        if is_lfs_pointer(path):
            cause = "it is a Git LFS pointer, not the file itself"
            remedy = "Fetch it with `git lfs pull`."
        raise ValueError(f"{path} is damaged or not what it should be ({cause}). {remedy}".rstrip()) from None


def is_lfs_pointer(path: Path) -> bool:
    """Whether a file is a Git LFS pointer in place of the real file."""
    try:
        with path.open("rb") as file:
            return file.read(len(_LFS)) == _LFS
    except OSError:
        return False


def _damage(error: BaseException) -> str | None:
    """What is wrong with a file's content, without quoting it; None if the error is of another kind."""
    match error:
        case json.JSONDecodeError():
            return f"line {error.lineno:,}, column {error.colno:,}: not valid JSON"
        case UnicodeDecodeError():
            return f"byte {error.start:,} is not {error.encoding.upper()}"
        case yaml.MarkedYAMLError() if error.problem_mark is not None:
            return f"line {error.problem_mark.line + 1:,}: {error.problem or 'not valid YAML'}"
        case yaml.YAMLError():
            return "not valid YAML"
        case EOFError() | gzip.BadGzipFile() | zipfile.BadZipFile() | zlib.error():
            return "cut short, or not a compressed file"
        case RecursionError():
            return "nested too deeply"
    if type(error).__module__.split(".")[0] in _LIBRARIES:
        return " ".join(str(error).split())[:200] or type(error).__name__
    if type(error).__module__ in ("_pickle", "pickle"):
        return "cut short, or not written by PyTorch"
    if isinstance(error, RuntimeError) and any(sign in str(error) for sign in _TORCH_READER):
        return "cut short, or not written by PyTorch"
    return None


def in_one_line(error: BaseException) -> str | None:
    """What went wrong, where, and what to do, in one line; None if the error is a bug in the program."""
    notes = [" ".join(note.split()) for note in getattr(error, "__notes__", [])]
    said = _said(error)
    if said is not None and is_full(error):
        said += " Free some space." if notes else " Free some space and run the same command again."
    return None if said is None else " ".join([said, *notes])


def _said(error: BaseException) -> str | None:
    if isinstance(error, OSError):
        return _about_file(error)
    if (damage := _damage(error)) is not None:
        return f"A file is damaged or not what it should be ({damage})."
    if type(error).__module__ == _PANIC:
        return "A library gave up on what it was given, and said why above. Is a tokenizer.json or a data file damaged?"
    if isinstance(error, MemoryError):
        return "There is not enough memory: take fewer or shorter texts, a smaller model or a smaller step."
    if isinstance(error, ValueError | RuntimeError):
        return " ".join(str(error).split()) or type(error).__name__
    return None


def _about_file(error: OSError) -> str:
    name = error.filename2 or error.filename
    if name and is_full(error):
        what = "Your quota is used up" if error.errno == errno.EDQUOT else "The disk is full"
        more = "" if error.errno == errno.EDQUOT else _more_than_free(Path(str(name)))
        return f"{what}: no space left for {name}{more}."
    if not name and is_full(error) and error.strerror == os.strerror(errno.ENOSPC):  # and not need_room's own words
        return f"{error.strerror}: the disk is full, or what standard output goes to."
    if name and error.errno in _ERRNO:
        return f"{name} {_ERRNO[error.errno]}."
    if not name and error.strerror:
        return " ".join(str(error.strerror).split())
    return " ".join(str(error).split()) or type(error).__name__


def _more_than_free(path: Path) -> str:
    """Say that the file needs more space than is free; empty if that cannot be determined."""
    while not path.exists() and path != path.parent:
        path = path.parent
    try:
        return f", which takes more than the {megabytes(shutil.disk_usage(path).free)} that are free"
    except OSError:
        return ""


def megabytes(size: float) -> str:
    """A size in bytes for display: kB below 1 MB, one decimal below 10 MB, GB from 10,000 MB."""
    if size < 1e6:
        return f"{size / 1e3:,.0f} kB"
    if size < 1e7:
        return f"{size / 1e6:,.1f} MB"
    return f"{size / 1e6:,.0f} MB" if size < 1e10 else f"{size / 1e9:,.0f} GB"


def need_room(path: Path, size: int) -> None:
    """Refuse to start writing what will not fit on the disk.

    Args:
        path: what will be written; its folder need not exist.
        size: the most bytes that it will take.

    Raises:
        OSError: less space is free.
    """
    there = path.absolute()
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if free < size:
        raise OSError(
            errno.ENOSPC,
            f"The disk has too little room for {path}: it takes up to {megabytes(size)}, and {megabytes(free)} are "
            "free.",
        )
