"""The reader's data keeps what its datasheet promises, and shares no text with what is measured."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from safetensors.torch import load_file

from corpora import notes, runs, shared_runs
from medalist.data.embedded import clinical, probes, reader
from medalist.data.passages import NONE_OF_THESE
from medalist.data.spelling import equivalence_key

INVENTORY = reader.inventory()
with (reader.HERE / "inventory.csv").open(encoding="utf-8", newline="") as _file:
    ROWS = list(csv.DictReader(_file))


def test_the_inventory_is_large_and_every_sense_is_graded():
    assert len(INVENTORY) >= 8000
    assert sum(map(len, INVENTORY.senses.values())) == len(ROWS) >= 14_000
    assert sum(len(senses) > 1 for senses in INVENTORY.senses.values()) >= 2300
    assert {row["general"] for row in ROWS} == {row["own"] for row in ROWS} == set("12345")
    assert all(row["field"] for row in ROWS)


def test_kinds_of_short_forms_that_notes_use_are_listed():
    known = {
        "lytes": "electrolytes",
        "-ve": "negative",
        "a/w": "associated with",
        "D&C": "dilation and curettage",
        "hs-CRP": "high-sensitivity C-reactive protein",
        "TTO": "to take out",
        "TCI": "to come in",
        "TDS": "three times a day",
        "mane": "in the morning",
        "nocte": "at night",
    }
    assert {name: long_form for name, long_form in known.items() if long_form not in INVENTORY.long_forms(name)} == {}


def test_senses_of_a_short_form_are_different_things_the_commonest_first():
    for short_form, senses in INVENTORY.senses.items():
        keys = [equivalence_key(sense.long_form) or sense.long_form for sense in senses]
        assert len(set(keys)) == len(keys), short_form
        counts = [sense.count for sense in senses]
        assert counts == sorted(counts, reverse=True)
    assert INVENTORY.long_forms("BP")[0] == "blood pressure"


def test_equivalents_are_other_wordings_of_listed_senses():
    listed = {row["long_form"] for row in ROWS}
    found = reader.equivalents()
    assert len(found) > 500
    assert set(found.values()) <= listed
    assert found["three times daily"] == "three times a day"


def test_the_inventory_can_be_had_as_it_was_before_notes_brought_their_senses():
    before = reader.inventory(6)
    assert all(set(before.long_forms(name)) <= set(INVENTORY.long_forms(name)) for name in before.senses)
    assert {int(row["since"]) for row in ROWS} == set(range(1, 8))
    assert len(reader.inventory(1).senses) == 0 and reader.inventory(8).senses == INVENTORY.senses

    def absent(ids, before):
        listed, here = reader.inventory(before), [p for p in notes("clinical-blind") if p.id.startswith(ids)]
        golds = [(m.short_form, m.long_form) for p in here for m in p.mentions if m.long_form != NONE_OF_THESE]
        known = [(name, gold) for name, gold in golds if listed.long_forms(name)]
        return sum(reader.as_listed(name, gold) not in listed.long_forms(name) for name, gold in known)

    assert absent(("b1", "b2"), 3) > absent(("b1", "b2"), 4) + 30
    assert absent(("b5", "b6"), 6) > absent(("b5", "b6"), 7) + 20


def test_passages_are_many_different_and_of_a_passage_s_length():
    written = reader.passages()
    assert len(written) >= 2200
    assert len({p.id for p in written}) == len(written)
    assert [p.id for p in written if not 40 <= len(p.text.split()) <= 125] == []
    assert shared_runs(written, 10) == []


def test_every_mark_of_a_note_stands_where_it_says_and_is_listed():
    found = reader.notes()
    assert len(found) >= 1600
    assert len({p.id for p in found}) == len(found)
    assert shared_runs(found, 10) == []
    marks = [(p.text[m.start : m.end], m) for p in found for m in p.mentions]
    assert all(INVENTORY.key(surface) == m.short_form for surface, m in marks)
    assert all(m.long_form in (NONE_OF_THESE, *INVENTORY.long_forms(m.short_form)) for _, m in marks)
    assert not any(re.search(r"\[\[|\]\]|\{\{|\}\}|\|\w+\}", p.text) for p in found)
    raw = (reader.HERE / "notes.jsonl").read_text(encoding="utf-8")
    golds = [m.long_form for _, m in marks if m.long_form != NONE_OF_THESE]
    assert len(golds) >= 0.995 * raw.count("{{"), "few marks, if any, are not listed"


def test_short_forms_of_notes_are_taught_in_many_senses():
    taught = Counter((m.short_form, m.long_form) for p in reader.notes() for m in p.mentions)
    by_form = Counter(short_form for short_form, long_form in taught if long_form != NONE_OF_THESE)
    assert sum(count >= 2 for count in by_form.values()) > 400
    alike = {short_form for short_form, long_form in taught if long_form == NONE_OF_THESE}
    assert len(alike & set(by_form)) > 200, "the same letters are a short form here and a word there"


@pytest.mark.parametrize("half", clinical.NOTES)
def test_nothing_that_is_taught_is_measured(half):
    taught = [*reader.passages(), *reader.notes()]
    measured = {run for note in [*notes(half), *probes.dangerous_pairs()[0]] for run in runs(note.text, 8)}
    assert measured
    assert [p.id for p in taught if runs(p.text, 8) & measured] == []


def test_the_adapter_is_small_and_loads_with_the_embedded_base():
    file = reader.ADAPTER / "adapter_model.safetensors"
    assert file.stat().st_size <= 8 * 2**20
    weights = load_file(file)
    assert {str(weight.dtype) for weight in weights.values()} == {"torch.float16"}
    config = json.loads((reader.ADAPTER / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert config["r"] * (576 + 1536) * 30 == sum(w.numel() for name, w in weights.items() if "down_proj" in name)


def test_the_datasheet_gives_the_figures_of_the_data():
    sheet = (reader.HERE / "DATASHEET.md").read_text(encoding="utf-8")
    ambiguous = [senses for senses in INVENTORY.senses.values() if len(senses) > 1]
    styles = Counter(
        json.loads(line)["style"] for line in (reader.HERE / "passages.jsonl").read_text(encoding="utf-8").splitlines()
    )
    marks = Counter(m.long_form == NONE_OF_THESE for p in reader.notes() for m in p.mentions)
    for line in (
        f"| inventory | {len(INVENTORY):,} short forms, {len(ROWS):,} senses; {len(ambiguous):,} short forms "
        f"with a choice "
        f"of {sum(map(len, ambiguous)):,} senses |",
        f"| passages | {len(reader.passages()):,} ({', '.join(f'{n:,} {s}s' for s, n in sorted(styles.items()))}) |",
        f"| notes | {len(reader.notes()):,}, with {marks[False]:,} marks of short forms and {marks[True]:,} of "
        f"look-alikes |",
    ):
        assert line in sheet, line
    assert re.search(r"H200", sheet)


def test_the_readme_gives_the_figures_of_the_inventory():
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    short_forms, of_ra = len(INVENTORY), len(INVENTORY.long_forms("RA"))
    assert f"an inventory of {short_forms:,} short forms lists (RA has {of_ra})" in " ".join(readme.split())
