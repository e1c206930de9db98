"""What is wrong with a file, a disk or a library's input is said in one line; no mistake is hidden."""

from __future__ import annotations

import errno
import gzip
import json
import os
import re

import polars as pl
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from safetensors.torch import load_file
from tokenizers import Regex
from tokenizers.normalizers import Replace

from medalist.tools.failures import in_one_line, megabytes, need_room, reading, writing

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


def test_a_panic_of_a_library_is_one_line_that_does_not_quote_it():
    with pytest.raises(BaseException, match="retry-limit") as caught:
        Replace(Regex("(a+)+$"), "b").normalize_str("a" * 40 + "!")
    assert not isinstance(caught.value, Exception)
    assert in_one_line(caught.value).startswith("A library gave up on what it was given, and said why above.")


def test_what_is_in_the_way_of_a_file_is_said_with_its_name(tmp_path):
    with pytest.raises(OSError) as caught:  # noqa: PT011
        (tmp_path).open()
    assert in_one_line(caught.value) == f"{tmp_path} is a folder, not a file."
    with pytest.raises(OSError) as caught:  # noqa: PT011
        (tmp_path / "x" / "y").open()
    assert in_one_line(caught.value) == f"{tmp_path}/x/y does not exist."


@pytest.mark.parametrize(
    "named",
    [None, "notes.csv", ".notes.csv.abc", ".notes.csv.begun-abc/notes.csv/part", ".saving/notes.csv/optimizer.pt"],
)
def test_a_full_disk_is_said_with_what_was_asked_for_and_the_room_left(named, tmp_path):
    written = tmp_path / "notes.csv"
    with pytest.raises(OSError) as caught, writing(written):  # noqa: PT011
        raise OSError(errno.ENOSPC, "No space left on device", *([str(tmp_path / named)] if named else []))
    line = in_one_line(caught.value)
    begins = (
        rf"The disk is full: no space left for {written}, which takes more than the [\d,.]+ [kMG]B that are free\. "
    )
    assert re.fullmatch(begins + "Free some space and run the same command again\\.", line)


def test_a_full_disk_without_a_name_may_be_where_standard_output_goes():
    error = OSError(errno.ENOSPC, "No space left on device")
    assert in_one_line(error) == (
        "No space left on device: the disk is full, or what standard output goes to. Free some space and run the same "
        "command again."
    )


def test_what_a_library_says_of_a_full_disk_is_worded_too_and_another_disk_is_not_taken_for_this_one(tmp_path):
    with pytest.raises(OSError) as caught, writing(tmp_path / "run", "All is kept."):  # noqa: PT011
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 40384 vs 40276")
    assert in_one_line(caught.value).startswith(f"The disk is full: no space left for {tmp_path}/run, which")
    assert in_one_line(caught.value).endswith(" Free some space. All is kept.")
    with pytest.raises(OSError) as caught, writing(tmp_path / "run"):  # noqa: PT011
        raise OSError(errno.EDQUOT, "Disk quota exceeded", "/elsewhere/run")
    assert in_one_line(caught.value).startswith("Your quota is used up: no space left for /elsewhere/run. Free")


def test_room_is_asked_for_before_it_is_needed(tmp_path):
    need_room(tmp_path / "new" / "model", 10)
    with pytest.raises(OSError, match="too little room") as caught, writing(tmp_path):
        need_room(tmp_path / "new" / "model", 10**18)
    told = (
        rf"too little room for {tmp_path}/new/model: it takes up to [\d,]+ GB, and [\d,.]+ [MG]B are free\. Free some"
    )
    assert re.search(told, in_one_line(caught.value))


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 kB"), (12_300, "12 kB"), (1.26e6, "1.3 MB"), (2.56e8, "256 MB"), (9.9e9, "9,900 MB"), (2e10, "20 GB")],
)
def test_small_sizes_are_not_rounded_to_nothing(size, words):
    assert megabytes(size) == words


def test_notes_on_an_error_follow_it():
    error = ValueError("No\nmore.")
    error.add_note("Resume\nit.")
    assert in_one_line(error) == "No more. Resume it."


def test_a_file_that_grows_beyond_the_user_s_limit_is_named(tmp_path):
    with pytest.raises(OSError, match="too large") as error, writing(tmp_path / "out.csv"):
        raise OSError(errno.EFBIG, "File too large")
    assert in_one_line(error.value).startswith(f"{tmp_path / 'out.csv'} would be larger than your files may be here")
