"""The sample corpus keeps what its datasheet promises."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter

import pytest

from corpora import INVENTORY, PASSAGES, figures, shared_runs, similar, taught
from medalist.data.embedded import sample
from medalist.data.inventory import Inventory
from medalist.data.spelling import equivalence_key

RECORDS = [json.loads(line) for line in sample.FILES[0].read_text(encoding="utf-8").splitlines()]
with sample.FILES[1].open(encoding="utf-8", newline="") as _file:
    ROWS = list(csv.DictReader(_file))


def test_there_are_enough_passages_each_with_its_own_id():
    assert len(PASSAGES) >= 400
    assert len({p.id for p in PASSAGES}) == len(PASSAGES) == len(RECORDS)
    assert {p.source for p in PASSAGES} == {"sample"}
    assert not any(p.mentions for p in PASSAGES)


def test_passages_are_of_60_to_110_words():
    lengths = {p.id: len(p.text.split()) for p in PASSAGES}
    assert {identifier: n for identifier, n in lengths.items() if not 60 <= n <= 110} == {}


def test_half_are_notes_and_many_specialities_speak():
    styles = Counter(record["style"] for record in RECORDS)
    assert set(styles) == {"abstract", "note"}
    assert 0.45 <= styles["note"] / len(RECORDS) <= 0.55
    assert len({record["speciality"] for record in RECORDS}) >= 20


def test_many_short_forms_are_taught_in_several_senses():
    assert len(taught()) >= 80
    senses = {
        "RA": {"rheumatoid arthritis", "right atrium", "room air"},
        "MS": {"multiple sclerosis", "mitral stenosis", "morphine sulfate", "mental status"},
        "CS": {"cesarean section", "Cushing syndrome", "cardiogenic shock", "compartment syndrome"},
    }
    assert {short_form: set(taught()[short_form]) for short_form in senses} == senses


def test_no_short_form_stands_in_the_texts_already():
    ambiguous = [sf for sf, senses in INVENTORY.senses.items() if len(senses) > 1 and len(sf) > 1]
    together = "\n".join(["given for RA.", *(p.text for p in PASSAGES)])
    inside = [sf for sf in ambiguous if sf in together]  # a pattern of them all would take ten seconds
    whole = re.compile("|".join(rf"(?<![^\W_]){re.escape(sf)}s?(?![^\W_])" for sf in inside))
    assert whole.search("given for RA.")
    assert [(p.id, match.group()) for p in PASSAGES for match in whole.finditer(p.text)] == []


def test_no_two_passages_are_alike():
    assert shared_runs(PASSAGES, 10) == []
    assert similar(PASSAGES, at_least=0.1) == []


def test_texts_are_tidy():
    assert [p.id for p in PASSAGES if p.text != " ".join(p.text.split()) or not p.text.isascii()] == []


def test_the_inventory_is_large_graded_and_tagged():
    assert len(INVENTORY) >= 1200
    assert sum(map(len, INVENTORY.senses.values())) >= 2500
    assert {row["grade"] for row in ROWS} == {"1", "2", "3"}
    assert all(row["field"] for row in ROWS)
    assert INVENTORY.origin == "sample"
    assert isinstance(INVENTORY, Inventory)


def test_everyday_senses_come_first():
    grades: dict[str, list[int]] = {}
    for row in ROWS:
        grades.setdefault(row["short_form"], []).append(int(row["grade"]))
    assert [short_form for short_form, found in grades.items() if found != sorted(found)] == []
    assert INVENTORY.long_forms("RA")[0] == "rheumatoid arthritis"


def test_senses_of_a_short_form_are_different_things():
    for short_form, senses in INVENTORY.senses.items():
        keys = [equivalence_key(sense.long_form) for sense in senses]
        assert len(set(keys)) == len(keys), short_form


def test_short_forms_that_differ_only_in_case_are_few_and_different_things():
    alike: dict[str, list[str]] = {}
    for short_form in INVENTORY.senses:
        alike.setdefault(re.sub(r"[\s.-]", "", short_form).casefold(), []).append(short_form)
    assert [names for names in alike.values() if len(names) > 1] == [["mg", "MG", "Mg"], ["mL", "ML"]]
    assert INVENTORY.long_forms("MG") == ("myasthenia gravis",)


def test_each_long_form_has_one_usual_short_form():
    usual = Counter(
        sense.long_form.lower() for senses in sample.usual_short_forms().senses.values() for sense in senses
    )
    assert usual == dict.fromkeys({row["long_form"].lower() for row in ROWS}, 1)


@pytest.mark.parametrize("name", ["passages", "specialities", "ambiguous short forms taught", "inventory"])
def test_the_datasheet_gives_the_figures_of_the_data(name):
    sheet = (sample.HERE / "DATASHEET.md").read_text(encoding="utf-8")
    assert f"| {name} | {figures()[name]} |" in sheet
