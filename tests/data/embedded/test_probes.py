"""The probes keep what their datasheet promises."""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict

from medalist.data.embedded import probes, sample
from medalist.data.items import make_items

NOTES, INVENTORY = probes.dangerous_pairs()
SMALL = {"of", "and", "at", "do", "not", "with"}


def words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def test_each_sense_has_four_notes_and_every_short_form_a_choice():
    counts = Counter((m.short_form, m.long_form) for note in NOTES for m in note.mentions)
    listed = {(sf, lf) for sf in INVENTORY.senses for lf in INVENTORY.long_forms(sf)}
    assert len(NOTES) == 140
    assert counts == dict.fromkeys(listed, 4)
    assert {item.kind for item in make_items(NOTES, INVENTORY)} == {"choice"}


def test_each_sense_says_what_a_mix_up_may_do():
    with (probes.HERE / "dangerous_pairs.csv").open(encoding="utf-8", newline="") as file:
        assert all(len(row["harm"].split()) >= 5 for row in csv.DictReader(file))


def test_no_note_holds_a_word_of_its_answer_or_the_short_form_twice():
    for note in NOTES:
        [mention] = note.mentions
        assert note.surface(mention) == mention.short_form
        assert len(re.findall(rf"\b{mention.short_form}\b", note.text)) == 1, note.id
        telling = {word for word in words(mention.long_form) if word not in SMALL}
        assert not telling & {form for word in words(note.text) for form in (word, word.removesuffix("s"))}, note.id


def test_no_two_notes_share_a_run_of_seven_words_nor_with_the_training_corpus():
    runs = defaultdict(set)
    for passage in (*NOTES, *sample.passages()):
        found = words(passage.text)
        for start in range(len(found) - 6):
            runs[tuple(found[start : start + 7])].add(passage.id)
    ids = {note.id for note in NOTES}
    assert not [run for run, where in runs.items() if len(where) > 1 and where & ids]


def test_plain_english_has_nothing_of_medicine():
    paragraphs = probes.general_english()
    assert len(paragraphs) == 24
    assert all(55 <= len(paragraph.split()) <= 95 for paragraph in paragraphs)
    text = set(words(" ".join(paragraphs)))
    assert not text & {
        "patient",
        "patients",
        "hospital",
        "disease",
        "clinical",
        "therapy",
        "diagnosis",
        "doctor",
        "blood",
    }
