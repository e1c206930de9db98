"""Large or hostile input meets a limit with one clear line, or takes time in proportion to its size."""

from __future__ import annotations

import gzip
import json
import tempfile
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medalist.data.audit import audit
from medalist.data.definitions import find_definitions
from medalist.data.inventory import Inventory
from medalist.data.items import make_items
from medalist.data.kinds import defined
from medalist.data.passage_files import read_passages
from medalist.data.passages import Mention, Passage
from medalist.data.rows import Quarantine
from medalist.data.sources import medal_rows
from medalist.data.sources.medal import read_rows
from medalist.data.spelling import WordsOf, equivalence_key, plain_words
from medalist.tools import files

INVENTORY = Inventory.of([("RA", "rheumatoid arthritis", 1, None), ("RA", "room air", 1, None)])
WORDS = "on RA with fever and "


def many_mentions(size):
    starts = range(3, size * len(WORDS), len(WORDS))
    mentions = tuple(Mention(start=n, end=n + 2, short_form="RA", long_form="room air") for n in starts)
    return Passage(id="1", text=WORDS * size, mentions=mentions)


def joined_row(size):
    """A text with many short forms, with a word that is not in ASCII, so that each is looked up by itself."""
    columns = "|".join(map(str, range(size))), "|".join(["room air"] * size)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "full_data.csv"
        path.write_text(f"TEXT,LOCATION,LABEL\n{'RA ' * size}é,{','.join(columns)}\n", encoding="utf-8")
        [passage] = read_rows(path, INVENTORY, Quarantine(limit=0))
    assert len(passage.mentions) == size


LINEAR = {
    "items": (lambda size: make_items([many_mentions(size)], INVENTORY), 4_000),
    "a joined row": (joined_row, 20_000),
    "spelling": (lambda size: equivalence_key("o" * size), 100_000),
    "definitions": (
        lambda size: defined(Passage(id="1", text=" ".join(f"alpha beta{n} (AB{n})" for n in range(size)))),
        4_500,
    ),
    "one definition": (lambda size: defined(Passage(id="1", text="rheumatoid arthritis (RA) " * size)), 4_000),
    "a letter everywhere": (lambda size: find_definitions((f"{'a' * 19} " * 9 + "(AAAAAAAAAA) ") * size), 700),
    "boilerplate": (lambda size: audit(form(size, "a"), form(size, "b"), INVENTORY), 2_000),
}


def form(size, name):
    text = "seen on the ward today with no change in the plan of care and the usual medication was given at night " * 3
    return [Passage(id=f"{name}{n}", text=f"{text} {name} {n}") for n in range(size)]


@pytest.mark.parametrize("what", LINEAR)
def test_a_text_of_100_kb_takes_seconds_at_most(what):
    """They took 10 s to several minutes; a tenth of that is still far above what they take now."""
    act, size = LINEAR[what]
    began = time.process_time()
    act(size)
    assert time.process_time() - began < 8


def test_what_is_alike_is_found_in_boilerplate():
    found = audit(form(300, "a"), form(300, "b"), INVENTORY)
    assert len(found.similar) == 300


PIECES = st.sampled_from(
    ["RA", " ", "ra", "(", ")", ", ", "-", "+", "room air", "airs", "'s", "1,2", "\n", "RAs ", "é"]
)


@given(st.lists(PIECES, max_size=14).map("".join), st.data(), st.lists(PIECES, max_size=3).map("".join))
def test_words_beside_a_mention_are_those_of_the_text_without_it(text, data, sought):
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    expected = plain_words(sought) in plain_words(f"{text[:start]} {text[end:]}")
    assert (plain_words(sought) in WordsOf(text).without(start, end)) == expected


def test_a_short_form_with_more_senses_than_a_question_can_offer_is_refused(tmp_path):
    path = tmp_path / "senses.csv"
    path.write_text("short_form,long_form\n" + "".join(f"RA,sense {n}\n" for n in range(1_001)))
    with pytest.raises(ValueError, match=r"senses\.csv: a short form has 1,001 senses, more than the 1,000") as caught:
        Inventory.read(path)
    assert "\n" not in str(caught.value)


def test_a_small_archive_does_not_unpack_into_all_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST_BYTES", 1_000_000)
    path = tmp_path / "senses.csv.gz"
    path.write_bytes(gzip.compress(b"short_form,long_form\n" + b"RA,room air\n" * 10_000_000, 1))
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"senses\.csv\.gz holds more than 1.0 MB, unpacked"):
        Inventory.read(path)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


@pytest.mark.parametrize("name", ["notes.jsonl.gz", "train.csv.gz"])
def test_a_line_without_end_is_refused(name, tmp_path, monkeypatch):
    for module in (files, medal_rows):
        monkeypatch.setattr(module, "LONGEST_LINE", 100_000)
    path = tmp_path / name
    row = json.dumps({"id": "1", "text": "RA " * 100_000})
    first = "" if "jsonl" in name else "ABSTRACT_ID,TEXT,LOCATION,LABEL\n"
    path.write_bytes(gzip.compress((first + row).encode()))
    with pytest.raises(ValueError, match=rf"{name}, line [12]: longer than 100 kB"):
        read_passages(path, INVENTORY)
