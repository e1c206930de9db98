"""The clinical test set keeps what its datasheet promises."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from corpora import INVENTORY, PASSAGES, figures, notes, second_reading, shared_runs, similar
from medalist.data.detection import ShortFormFinder
from medalist.data.embedded import clinical, probes
from medalist.data.items import make_items
from medalist.data.passages import NONE_OF_THESE
from medalist.data.spelling import equivalence_key

HALVES = [notes(name) for name in clinical.HALVES]
NOTES = [note for half in HALVES for note in half]
ITEMS = make_items(NOTES, INVENTORY)
KINDS = Counter(item.kind for item in ITEMS)


def test_there_are_as_many_of_each_kind_as_promised():
    assert len(NOTES) >= 80
    assert KINDS["choice"] + KINDS["single"] >= 500
    assert KINDS["distractor"] >= 100
    assert KINDS["unlisted"] >= 40
    assert KINDS["absent"] >= 60


def test_half_of_the_notes_are_locked():
    assert abs(len(HALVES[0]) - len(HALVES[1])) <= 2
    assert len({note.id for note in NOTES}) == len(NOTES)


def test_most_listed_golds_leave_a_choice_and_many_short_forms_occur():
    assert KINDS["choice"] >= 400
    assert len({item.mention.short_form for item in ITEMS if item.kind == "choice"}) >= 150


def test_most_distractors_look_like_a_listed_short_form():
    lookalikes = [item for item in ITEMS if item.kind == "distractor" and item.candidates]
    assert len(lookalikes) >= 100


def test_an_expander_finds_all_marks_of_listed_short_forms_but_those_that_adjoin_a_figure():
    finder = ShortFormFinder(INVENTORY, any_case=True)
    missed, count = [], 0
    for note in NOTES:
        found = {(mention.start, mention.end): mention.short_form for mention in finder.find(note.text)}
        for mention in note.mentions:
            if mention.short_form in INVENTORY.senses:
                count += 1
                if found.get((mention.start, mention.end)) != mention.short_form:
                    missed.append((note.id, note.text[max(mention.start - 1, 0) : mention.end + 2]))
    assert all(re.search(r"\d|CTXs", around) for _, around in missed), missed
    assert len(missed) < 0.01 * count


def test_every_gold_is_listed_unless_its_kind_says_that_it_is_not():
    for item in ITEMS:
        gold, listed = item.mention.long_form or "", {equivalence_key(name) for name in item.candidates}
        if item.kind in ("absent", "unlisted"):
            assert equivalence_key(gold) not in listed, (item.passage.id, item.mention.short_form, gold)
        elif item.kind == "distractor":
            assert gold == NONE_OF_THESE
        else:
            assert gold in item.candidates


def test_no_note_is_like_another_or_like_anything_trained_on():
    others = [*PASSAGES, *probes.dangerous_pairs()[0]]
    ids = {note.id for note in NOTES}
    assert not [pair for pair in shared_runs([*NOTES, *others], 8) if ids & set(pair[:2])]
    assert not [pair for pair in similar([*NOTES, *others], at_least=0.1) if ids & set(pair)]


def test_every_gold_was_read_twice_and_every_disagreement_settled():
    rows = {(row["note"], int(row["start"])): row for row in second_reading() if row["outcome"] != "dropped"}
    marked = {(item.passage.id, item.mention.start) for item in ITEMS}
    assert rows.keys() == marked
    assert {row["outcome"] for row in rows.values()} <= {"same", "same meaning", "first kept", "second taken"}
    for item in ITEMS:
        row = rows[item.passage.id, item.mention.start]
        stands = row["second"] if row["outcome"] == "second taken" else row["first"]
        assert equivalence_key(stands) == equivalence_key(item.mention.long_form or ""), row
        if row["outcome"] == "same":
            assert equivalence_key(row["first"]) == equivalence_key(row["second"].removeprefix("unsure: ")), row


@pytest.mark.parametrize("name", [*clinical.NOTES, "second reading"])
def test_the_datasheet_gives_the_figures_of_the_data(name):
    sheet = (clinical.HERE / "DATASHEET.md").read_text(encoding="utf-8")
    assert f"| {name} | {figures()[name]} |" in sheet


def test_every_run_on_the_locked_half_is_logged_and_what_the_readme_shows_is_one_of_them():
    """Law 11: the log numbers the runs of each recipe, and none is left out or counted twice."""
    root = Path(__file__).parents[3]
    numbers: dict[str, list[int]] = {}
    logged = []
    for entry in (root / "benchmarks/LOG.md").read_text(encoding="utf-8").split("\n## "):
        for number, recipe in re.findall(r"locked half: run (\d+) of `(recipes/[\w.-]+)`", entry):
            assert (root / recipe).exists()
            numbers.setdefault(recipe, []).append(int(number))
            logged += re.findall(r"\d+\.\d", entry)
    assert numbers
    for found in numbers.values():
        assert sorted(found) == list(range(1, len(found) + 1))
    pages = "\n".join((root / name).read_text(encoding="utf-8") for name in ("README.md", "docs/results.md"))
    rows = re.findall(r"^\| .*locked half.*$", pages, re.MULTILINE)
    cells = [re.search(r"\d+\.\d", cell) for row in rows for cell in row.split(" | ")[1:]]
    figures = [found[0] for found in cells if found]
    assert len(rows) >= 3 and len(figures) >= 8
    assert [figure for figure in figures if figure not in logged] == []
