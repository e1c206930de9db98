"""The fuzz targets hold on their seeds, whole and cut short, and see what they are there to see.

`make fuzz` runs them for longer, with atheris.
"""

import importlib.util
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).parent.parent / "fuzz/targets.py"
SPEC = importlib.util.spec_from_file_location("fuzz_targets", FILE)
fuzz_targets = importlib.util.module_from_spec(SPEC)
sys.modules["fuzz_targets"] = fuzz_targets
SPEC.loader.exec_module(fuzz_targets)
TARGETS = fuzz_targets.TARGETS


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz_targets, "FOLDER", tmp_path)


@pytest.mark.parametrize("name", TARGETS)
def test_no_seed_is_a_find_whole_or_cut_short(name):
    for seed in TARGETS[name].seeds():
        TARGETS[name].once(seed)
        for length in range(0, len(seed), 17):
            TARGETS[name].once(seed[:length])


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("gguf", "medalist.planning.shapes.find_shape"),
        ("medal", "medalist.data.sources.medal.read_rows"),
        ("pubmed", "medalist.data.sources.pubmed.read_records"),
        ("inventory", "medalist.data.inventory.Inventory.read"),
        ("definitions", "medalist.data.definitions.find_definitions"),
    ],
)
@pytest.mark.parametrize("error", [IndexError("x"), ValueError("two\nlines")])
def test_a_reader_that_fails_otherwise_than_in_one_line_is_a_find(name, reader, error, monkeypatch):
    def broken(*_):
        raise error

    monkeypatch.setattr(reader, broken)
    with pytest.raises((IndexError, AssertionError, ValueError)):
        TARGETS[name].once(TARGETS[name].seeds()[0])
