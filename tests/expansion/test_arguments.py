from __future__ import annotations

import re

import polars as pl
import pytest

from medalist.data.inventory import Inventory, Sense
from medalist.expansion.evidence import read_glossary
from medalist.expansion.expander import Expander

INVENTORY = Inventory.of([("RA", "rheumatoid arthritis", 0, None), ("RA", "room air", 0, None)])


@pytest.fixture
def expander(loaded):
    return Expander(loaded, INVENTORY)


@pytest.mark.parametrize("texts", [{"a": "RA"}, b"abc", None, 5])
def test_a_stream_of_what_is_no_text_is_refused_as_a_list_of_it_is(expander, texts):
    for read in (expander, expander.pipe):
        with pytest.raises(TypeError, match=r"^A text is a str, and several are an iterable of them, not \w+$"):
            read(texts)


def test_of_a_table_the_column_is_asked_for_and_a_column_is_read(expander):
    table = pl.DataFrame({"RA": ["on RA"], "id": ["a"]})
    for read in (expander, expander.pipe):
        with pytest.raises(TypeError, match=r"not DataFrame: give the column that holds them$"):
            read(table)
    assert [one[0].short_form for one in expander(table["RA"])] == ["RA"]


def test_the_wrong_one_of_a_stream_is_counted_over_the_whole_stream(expander):
    with pytest.raises(TypeError, match=r"^Text 4 is of type int, not str$"):
        list(expander.pipe(["RA", "RA", "RA", 4], batch_size=2))
    with pytest.raises(TypeError, match=r"^Text 3 is of type str, not a pair of a text and its context$"):
        list(expander.pipe([("RA", 1), ("RA", 2), "RA"], batch_size=1, as_tuples=True))


@pytest.mark.parametrize("size", [1.5, "2", True, None])
def test_a_batch_is_a_whole_number_of_texts(expander, size):
    with pytest.raises(TypeError, match=r"^batch_size is a whole number, not \w+$"):
        expander.pipe([], batch_size=size)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"run": 5}, TypeError, "A run is named by a folder, a Hub id or a GGUF file, as text or a path, not int"),
        ({"run": ""}, ValueError, "The run's name is empty: leave it out for the reader that comes with Medalist"),
        ({"dtype": "float64"}, ValueError, "dtype is 'float64'; it must be one of bfloat16, float16, float32"),
        ({"dtype": 5}, ValueError, "dtype is 5; it must be one of bfloat16, float16, float32"),
        ({"inventory": 5}, TypeError, "An inventory is a file or an Inventory, not int"),
        ({"inventory": ""}, ValueError, "The inventory's file name is empty: name a file"),
        ({"inventory": Inventory(senses={})}, ValueError, "The inventory lists no senses"),
        ({"glossary": ""}, ValueError, "The glossary's file name is empty: name a file"),
        ({"min_probability": "0.5"}, TypeError, "min_probability is a number between 0 and 1, not str"),
        ({"min_probability": float("nan")}, ValueError, "min_probability is nan; it must be between 0 and 1"),
        ({"any_case": "no"}, TypeError, "any_case is True or False, not str"),
        ({"one_sense_per_text": 1}, TypeError, "one_sense_per_text is True or False, not int"),
        ({"revision": 5}, TypeError, "revision is a branch, tag or commit, as text, not int"),
        (
            {"revision": "main"},
            ValueError,
            "revision is main, but the reader that comes with Medalist has none: it belongs to a Hub id",
        ),
        (
            {"run": "a/b.gguf", "revision": "main"},
            ValueError,
            "revision is main, but a/b.gguf, a GGUF file, has none: it belongs to a Hub id",
        ),
    ],
)
def test_a_wrong_argument_is_refused_in_a_line_before_a_model_is_loaded(monkeypatch, arguments, kind, message):
    monkeypatch.setattr("medalist.expansion.expander.load_scorer", lambda *_, **__: pytest.fail("it was loaded"))
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        Expander.load(**arguments)


def of(*senses, short_form="QQT"):
    return Inventory(senses={"RA": (Sense(long_form="room air"),), short_form: senses})


WRONG = [
    (of(Sense(long_form="quiet quick test", count=-5)), ", entry 2: its count is not between 0 and 1,000,000,000,000"),
    (of(Sense(long_form="quiet quick test", count=1.5)), ", entry 2: its count is not a whole number"),
    (of(Sense(long_form="quiet \ud83d test")), ", entry 2: half a character (a lone surrogate), which no text holds"),
    (of(Sense(long_form=" ")), ", entry 2: its short form or its long form is empty"),
    (of(Sense(long_form="test", concept=5)), ", entry 2: its concept is not text"),
    (of(Sense(long_form=5)), ", entry 2: its short form or its long form is not text"),
    (of(), ", entry 2: its short form has no senses"),
    (of(Sense(long_form="a test" * 500)), ", entry 2: a short form or long form of more than 1,000 characters, for "),
    (of(*(Sense(long_form=f"test {n}") for n in range(1001))), ": a short form has 1,001 senses, more than the 1,000"),
]


@pytest.mark.parametrize(("inventory", "message"), WRONG)
def test_an_inventory_from_python_is_checked_as_a_file_is(inventory, message):
    with pytest.raises(ValueError, match=f"^The inventory{re.escape(message)}"):
        Expander.load(inventory=inventory)
    with pytest.raises(ValueError, match=f"^The glossary{re.escape(message)}"):
        Expander.load(glossary=inventory)


def test_a_file_with_a_long_form_that_no_question_has_room_for_is_refused(tmp_path):
    (tmp_path / "ours.csv").write_text("short_form,long_form\nRA,room air\nQQT," + "a test " * 200)
    with pytest.raises(ValueError, match=r"ours\.csv, entry 2: a short form or long form of more than 1,000"):
        Inventory.read(tmp_path / "ours.csv")


@pytest.mark.parametrize("names", [[], (), (name for name in ["room air"]), 5])
def test_an_entry_of_a_glossary_without_long_forms_is_refused(names):
    with pytest.raises(ValueError, match=r"^Entry 2 of the glossary is not a short form with its long form or forms$"):
        read_glossary({"CT": "computed tomography", "RA": names})
    with pytest.raises(ValueError, match=r"^The glossary, entry 1: half a character"):
        read_glossary({"CT": "computed \ud83d"})
