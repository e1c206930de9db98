"""Plain texts become a corpus that covers the listed senses, with the same bytes however it was made."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from medalist.corpora import text_corpus
from medalist.corpora.corpus import corpus_inventory, read_account
from medalist.corpora.kept_apart import measured_runs, word_runs
from medalist.corpora.text_corpus import TextSettings, prepare_text
from medalist.data.embedded import clinical, reader
from medalist.data.inventory import Inventory
from medalist.data.passage_files import read_passages
from medalist.data.passages import NONE_OF_THESE
from medalist.data.shards import corpus_passages

SENSES = [
    ("RA", "rheumatoid arthritis", 0, None),
    ("RA", "right atrium", 0, None),
    ("RA", "room air", 0, None),
    ("CT", "computed tomography", 0, None),
]
FILLERS = (
    "He slept well and ate his breakfast on the ward.",
    "The nurse wrote down what he had told her about his knee.",
    "Nothing else of note was found when we looked again that day.",
)


def text(number: int) -> str:
    """Forty-odd words in which a long form or two occur; the rarest in every tenth only."""
    finding = "rheumatoid arthritis was known" if number % 10 else "room air was enough"
    name = "".join(chr(ord("a") + int(digit)) for digit in str(number))  # digits do not make a text another one
    told = f"Case {name} came on day {number * 7} of the year. In this case {finding} since {1900 + number}."
    return f"{told} {FILLERS[number % 3]} {FILLERS[(number + 1) % 3]} The right atrium was seen."


@pytest.fixture
def texts(tmp_path) -> Path:
    path = tmp_path / "texts.jsonl"
    lines = ({"id": f"t{n}", "text": text(n), "source": "made"} for n in range(200))
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    Inventory.of(SENSES).write(tmp_path / "senses.csv")
    return path


def settings(folder: Path, **others) -> TextSettings:
    return TextSettings(**({"inventory": folder / "senses.csv", "validation": 0.1, "test": 0.1} | others))


def made(folder: Path, split: str = "train"):
    return list(corpus_passages(folder, split, corpus_inventory(folder)))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_each_sense_is_taught_up_to_the_number_asked_for_and_the_account_says_how_often(texts, tmp_path):
    account = prepare_text([texts], tmp_path / "out", settings(tmp_path, times=8, turns=2))
    taught = Counter((m.short_form, m.long_form) for p in made(tmp_path / "out") for m in p.mentions)
    coverage = {(short_form, long_form): n for short_form, long_form, n in account["coverage"]}
    assert set(coverage) == {("RA", "rheumatoid arthritis"), ("RA", "right atrium"), ("RA", "room air")}
    assert all(taught[sense] == count for sense, count in coverage.items())
    # Eight chunks of each, twice; a rendering leaves some long forms as they are.
    assert 8 <= coverage["RA", "room air"] <= 16
    assert 8 <= coverage["RA", "rheumatoid arthritis"] <= 16
    assert account["taught_at_least"] == {"1": 3, "3": 3, "6": 3, "12": sum(n >= 12 for n in coverage.values())}
    assert account["texts"] == {"made": 200}
    assert account["passages"]["test"] == len(made(tmp_path / "out", "test")) > 5
    assert "How often each sense is taught" in (tmp_path / "out" / "card.html").read_text(encoding="utf-8")


def test_splits_are_by_text_and_no_text_is_in_two(texts, tmp_path):
    prepare_text([texts], tmp_path / "out", settings(tmp_path))
    homes = {
        split: {p.id.split("#")[0] for p in made(tmp_path / "out", split)} for split in ("train", "validation", "test")
    }
    assert all(homes.values())
    assert not homes["train"] & homes["test"] and not homes["train"] & homes["validation"]


def test_ids_with_a_number_sign_are_texts_of_their_own(texts, tmp_path):
    texts.write_text(texts.read_text().replace('"id": "t', '"id": "Note #'))
    prepare_text([texts], tmp_path / "out", settings(tmp_path))
    homes = {split: {p.id.rpartition("#")[0] for p in made(tmp_path / "out", split)} for split in ("train", "test")}
    assert all(len(home) > 5 for home in homes.values()) and not homes["train"] & homes["test"]


def test_the_marks_are_where_the_short_forms_stand(texts, tmp_path):
    prepare_text([texts], tmp_path / "out", settings(tmp_path))
    inventory = corpus_inventory(tmp_path / "out")
    for passage in made(tmp_path / "out"):
        for mention in passage.mentions:
            assert inventory.key(passage.surface(mention)) == mention.short_form
            assert mention.long_form in (NONE_OF_THESE, *inventory.long_forms(mention.short_form))


def test_an_inventory_without_counts_gets_those_of_the_text_and_one_with_counts_keeps_them(texts, tmp_path):
    prepare_text([texts], tmp_path / "out", settings(tmp_path, times=1))
    counts = {s.long_form: s.count for s in corpus_inventory(tmp_path / "out").senses["RA"]}
    assert min(counts["right atrium"], counts["rheumatoid arthritis"]) > 100 > counts["room air"] > 10
    Inventory.of([("RA", "right atrium", 5, None), ("RA", "room air", 9, None)]).write(tmp_path / "counted.csv")
    prepare_text([texts], tmp_path / "two", settings(tmp_path, inventory=tmp_path / "counted.csv"))
    assert {s.long_form: s.count for s in corpus_inventory(tmp_path / "two").senses["RA"]} == {
        "right atrium": 5,
        "room air": 9,
    }


def test_what_shares_eight_words_with_a_text_to_avoid_is_not_taught(texts, tmp_path):
    measured_text = text(10).split(". ")[0]
    (tmp_path / "measured.jsonl").write_text(json.dumps({"text": measured_text}))
    prepare_text([texts], tmp_path / "all", settings(tmp_path))
    account = prepare_text([texts], tmp_path / "out", settings(tmp_path, avoid=(tmp_path / "measured.jsonl",)))
    assert account["chunks_shared_with_measured"] == 1
    measured = word_runs(measured_text)
    assert any(word_runs(p.text) & measured for p in made(tmp_path / "all"))
    assert not any(word_runs(p.text) & measured for split in ("train", "test") for p in made(tmp_path / "out", split))


def test_embedded_test_notes_are_avoided_unasked(tmp_path):
    note = read_passages(clinical.NOTES["clinical-development"], reader.inventory())[0]
    spelt = f"{note.text} The patient has rheumatoid arthritis, and the right atrium is large."
    (tmp_path / "n.jsonl").write_text(json.dumps({"id": "leak", "text": spelt}) + "\n" + json.dumps({"text": text(1)}))
    Inventory.of(SENSES).write(tmp_path / "senses.csv")
    prepare_text([tmp_path / "n.jsonl"], tmp_path / "out", settings(tmp_path, validation=0, test=0))
    assert {p.id.split("#")[0] for p in made(tmp_path / "out")} == {"n-2"}


def test_the_same_bytes_with_two_workers_and_after_a_break(texts, tmp_path, monkeypatch):
    monkeypatch.setattr(text_corpus, "TEXTS_PER_BLOCK", 30)
    monkeypatch.setattr(text_corpus, "CHUNKS_PER_BLOCK", 20)
    prepare_text([texts], tmp_path / "one", settings(tmp_path))
    prepare_text([texts], tmp_path / "two", settings(tmp_path), workers=2)
    assert files(tmp_path / "one") == files(tmp_path / "two")

    typed, calls = text_corpus.typed, []

    def breaks(*arguments, **named):
        calls.append(1)
        if len(calls) == 50:
            raise KeyboardInterrupt
        return typed(*arguments, **named)

    monkeypatch.setattr(text_corpus, "typed", breaks)
    with pytest.raises(KeyboardInterrupt):
        prepare_text([texts], tmp_path / "three", settings(tmp_path))
    assert not (tmp_path / "three").exists()
    before = len(calls)
    prepare_text([texts], tmp_path / "three", settings(tmp_path))
    assert files(tmp_path / "one") == files(tmp_path / "three")
    assert len(calls) - before < before + 400 - 40  # finished blocks were not typed again


def test_with_the_reader_s_inventory_its_passages_and_notes_are_taught_too(texts, tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "passages", lambda: READER_PASSAGES[:30])
    monkeypatch.setattr(reader, "notes", lambda: READER_NOTES[:20])
    monkeypatch.setattr(text_corpus, "written_passages", lambda: READER_PASSAGES[:30])
    own = TextSettings(turns=1, validation=0.1, test=0.1)
    prepare_text([texts], tmp_path / "out", own)
    names = Counter(p.id.split("#")[0] for p in made(tmp_path / "out"))
    assert {names[p.id] for p in READER_NOTES[:20]} == {0, 3}  # 0: in another split
    assert {names[p.id] for p in READER_PASSAGES[:30]} == {0, 3}
    measured = measured_runs([])
    assert not any(word_runs(p.text) & measured for p in made(tmp_path / "out"))
    prepare_text([texts], tmp_path / "plain", TextSettings(turns=1, written=False))
    assert not {p.id.split("#")[0] for p in made(tmp_path / "plain")} & {p.id for p in READER_NOTES}


READER_PASSAGES, READER_NOTES = reader.passages(), reader.notes()


def test_a_text_that_comes_twice_is_cut_once_and_a_second_text_of_the_same_id_is_kept(texts, tmp_path):
    twice = tmp_path / "twice.jsonl"
    twice.write_text(
        texts.read_text()
        + json.dumps({"id": "t0", "text": text(770)})
        + "\n"
        + json.dumps({"id": "x", "text": text(3)})
    )
    prepare_text([twice], tmp_path / "out", settings(tmp_path, validation=0, test=0))
    names = {p.id.split("#")[0] for p in made(tmp_path / "out")}
    assert "t0'" in names
    assert "x" not in names


def test_a_wrong_inventory_or_no_text_is_one_line_and_leaves_nothing(texts, tmp_path):
    Inventory.of([("ZZ", "zebra zone", 1, None)]).write(tmp_path / "other.csv")
    with pytest.raises(ValueError, match=r"No text has a long form that other\.csv lists"):
        prepare_text([texts], tmp_path / "out", settings(tmp_path, inventory=tmp_path / "other.csv"))
    assert not (tmp_path / "out").exists()
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/a.txt").write_text("Rheumatoid arthritis.")
    with pytest.raises(ValueError, match=r"letters/out lies in \S+letters: its files would be read as texts next time"):
        prepare_text([tmp_path / "letters"], tmp_path / "letters/out", settings(tmp_path))
    (tmp_path / "bad.jsonl").write_text('{"no": 1}\n')
    with pytest.raises(ValueError, match="1 of 1 rows are bad"):
        prepare_text([tmp_path / "bad.jsonl"], tmp_path / "out", settings(tmp_path))


def test_the_account_is_read_again_as_it_was_written(texts, tmp_path):
    account = prepare_text([texts], tmp_path / "out", settings(tmp_path))
    assert read_account(tmp_path / "out") == account
