"""GLADIS: sentences of tokens become passages, and their pairs an inventory."""

from __future__ import annotations

import gzip
import json

import pytest

from medalist.data.inventory import Inventory
from medalist.data.passage_files import read_passages
from medalist.data.passages import Mention
from medalist.data.rows import Quarantine, TooManyBadRows

ROW = {"short_term": "RA", "long_term": "room air", "tokens": ["Sats", "94", "%", "on", "RA", ",", "RA", "."]}


def written(folder, *rows, name="train.json.gz"):
    path = folder / name
    raw = "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows).encode()
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


@pytest.mark.parametrize("name", ["train.json", "train.json.gz"])
def test_a_sentence_is_its_tokens_with_the_first_use_marked(tmp_path, name):
    [passage] = read_passages(written(tmp_path, ROW, name=name), Inventory.of([]))
    assert passage.text == "Sats 94 % on RA , RA ."
    assert passage.mentions == (Mention(start=13, end=15, short_form="RA", long_form="room air"),)
    assert (passage.id, passage.source) == ("gladis-1", "gladis")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({**ROW, "short_term": "CT"}, "short_term is not among the tokens"),
        ({"short_term": "RA", "long_term": "room air"}, "missing field 'tokens'"),
        ({**ROW, "tokens": "on RA"}, "short_term and long_term must be strings, tokens a list of strings"),
        ("{", "not JSON from column "),
    ],
)
def test_a_malformed_line_is_set_aside_with_its_reason(tmp_path, row, reason):
    quarantine = Quarantine(limit=0.6)
    assert len(read_passages(written(tmp_path, ROW, row), Inventory.of([]), quarantine)) == 1
    [bad] = quarantine.rows
    assert bad["line"] == 2
    assert bad["reason"].startswith(reason.split(":")[0])
    with pytest.raises(TooManyBadRows):
        read_passages(written(tmp_path, ROW, row), Inventory.of([]))


def test_its_pairs_are_an_inventory(tmp_path):
    path = written(tmp_path, ROW, ROW, {**ROW, "long_term": "right atrium"})
    assert Inventory.read(path).long_forms("RA") == ("room air", "right atrium")
