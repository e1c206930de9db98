"""Distinguishes public data from a user's own: files with a known checksum, and files that this program downloaded.

A download leaves a receipt beside the file with its SHA-256; a file that was changed since counts as the user's own.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from ..tools.files import file_sha256
from ..tools.shapes import write_object
from .corpus import is_corpus, read_account

KNOWN = {
    "c5fef2feebd1ecd35b4fe7a0aec266b631c0ac511d4d6b685835328b1ffbf32d": "train.csv of MeDAL",
    "08a0a6c2ee40747744ec15675ab5dc1e2b04491ca951b14c15d8d7bf9d33694d": "valid.csv of MeDAL",
    "ad391a63449c2bbbdbdf8d1827da4c053607a8586f4162174ba4ccf13efd8f86": "test.csv of MeDAL",
    "70f1ad891bdf98a42395a8907b48284457ae36d17fcc5a0a9c65c0b6b45ecf8d": "full_data.csv of MeDAL",
    "f7c80df36fff20f74737689dad53d849bbf100c0ea8df9b6ce2fad4a7b1cf2d6": "valid_adam.txt of MeDAL",
    "23f5c67d15fc50bad075c48e68cb01a6652db3c1516b3a2105c248c6710eb3a2": "the ADAM database",
}
"""SHA-256 of published files; those of MeDAL's tables as the `datasets` library lists them."""


def remember_download(path: Path, source: str) -> None:
    """Leave a receipt for a file that was downloaded from `source`."""
    write_object(_receipt(path), {"source": source, "sha256": _sha256(path)})


def is_public(path: Path) -> bool:
    """Whether data is certainly public: a public file, a folder of them, or a corpus made only of public files."""
    if not path.exists():
        return False
    if path.is_dir():
        if is_corpus(path):
            return read_account(path).get("public") is True
        files = [file for file in path.rglob("*") if file.is_file() and not file.name.startswith(".")]
        return bool(files) and all(map(is_public, files))
    sha256 = _sha256(path)
    try:
        receipt = json.loads(_receipt(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        receipt = None
    return sha256 in KNOWN or (isinstance(receipt, dict) and receipt.get("sha256") == sha256)


def _receipt(path: Path) -> Path:
    return path.with_name(f".{path.name}.origin.json")


def _sha256(path: Path) -> str:
    state = path.stat()
    return _hashed(path.resolve(), state.st_size, state.st_mtime_ns)


@cache
def _hashed(path: Path, *_state: int) -> str:
    """SHA-256 of a file in a certain state, once per process: MeDAL's tables have gigabytes."""
    return file_sha256(path)
