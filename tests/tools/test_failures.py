"""What is wrong with a file, a disk or a library's input is said in one line; no mistake is hidden."""

from __future__ import annotations

import errno
import gzip
import json
import os

import polars as pl
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from safetensors.torch import load_file

from medalist.tools.failures import in_one_line, need_room, reading
from medalist.tools.files import replacing

DAMAGED = {
    "JSON": (lambda path: json.loads(path.read_text()), b'{"a": canary', "line 1, column 7: not valid JSON"),
    "UTF-8": (lambda path: path.read_text(encoding="utf-8"), b"ab\xb0canary", "byte 2 is not UTF-8"),
    "YAML": (lambda path: yaml.safe_load(path.read_text()), b"a: [canary", "line 1: "),
    "deep": (lambda path: json.loads(path.read_text()), b"[" * 100_000, "nested too deeply"),
    "gzip": (lambda path: gzip.decompress(path.read_bytes()), gzip.compress(b"canary" * 9)[:-9], "cut short"),
    "weights": (load_file, b"canary" * 9, "eader"),
    "checkpoint": (lambda path: torch.load(path, weights_only=True), b"", "cut short"),
    "pickle": (lambda path: torch.load(path, weights_only=True), b"canary" * 9, "cut short"),
    "parquet": (pq.ParquetFile, b"canary" * 9, "arquet"),
    "polars": (pl.read_parquet, b"PAR1" * 9, "arquet"),
    "LFS": (load_file, b"version https://git-lfs.github.com/spec/v1\noid sha256:canary\nsize 9\n", "git lfs pull"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_file_is_named_in_one_line_that_does_not_quote_it(kind, tmp_path):
    read, content, cause = DAMAGED[kind]
    path = tmp_path / "this.file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"this\.file is damaged") as caught, reading(path, "Make it again."):
        read(path)
    line = in_one_line(caught.value)
    assert cause in line and "\n" not in line and "canary" not in line
    assert line.endswith("." if kind == "LFS" else "Make it again.")
    with pytest.raises(Exception) as bare:  # noqa: PT011  # whatever the library raises
        read(path)
    assert in_one_line(bare.value) is not None


def test_a_mistake_in_the_program_is_not_worded():
    with pytest.raises(KeyError), reading(os.devnull):
        raise KeyError("x")
    assert in_one_line(KeyError("x")) is None and in_one_line(AssertionError()) is None
    assert in_one_line(AttributeError()) is None and in_one_line(TypeError()) is None


def test_what_is_in_the_way_of_a_file_is_said_with_its_name(tmp_path):
    with pytest.raises(OSError) as caught:  # noqa: PT011
        (tmp_path).open()
    assert in_one_line(caught.value) == f"{tmp_path} is a folder, not a file."
    with pytest.raises(OSError) as caught:  # noqa: PT011
        (tmp_path / "x" / "y").open()
    assert in_one_line(caught.value) == f"{tmp_path}/x/y does not exist."


def test_a_full_disk_is_said_with_the_file_and_the_room_left(tmp_path):
    with pytest.raises(OSError) as caught, replacing(tmp_path / "notes.csv") as file:  # noqa: PT011, PT012
        file.write("a")
        raise OSError(errno.ENOSPC, "No space left on device")
    line = in_one_line(caught.value)
    assert line.startswith(f"The disk is full: no space left for {tmp_path}/notes.csv (") and " free)" in line


def test_room_is_asked_for_before_it_is_needed(tmp_path):
    need_room(tmp_path / "new" / "model", 10)
    with pytest.raises(OSError, match=r"too little room for .*model: it takes up to [\d,]+ GB, and [\d,]+ [MG]B"):
        need_room(tmp_path / "new" / "model", 10**18)


def test_notes_on_an_error_follow_it():
    error = ValueError("No\nmore.")
    error.add_note("Resume\nit.")
    assert in_one_line(error) == "No more. Resume it."
