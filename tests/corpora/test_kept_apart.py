"""What is measured is never taught."""

from __future__ import annotations

import json

import pytest

from medalist.corpora.kept_apart import measured_runs, word_runs, written_passages
from medalist.data.embedded import clinical, probes, reader, sample
from medalist.data.passage_files import read_passages
from medalist.data.splits import split_passages


def test_runs_are_of_eight_words_whatever_their_case_and_punctuation():
    assert word_runs("One, two three; four five six seven EIGHT nine.") == {
        "one two three four five six seven eight",
        "two three four five six seven eight nine",
    }
    assert word_runs("one two three four five six seven") == set()


@pytest.fixture(scope="module")
def runs():
    return measured_runs([])


def test_every_embedded_test_set_is_among_what_is_measured(runs):
    held_out = split_passages(sample.passages(), validation=0.04, test=0.25, seed=0)["test"]
    locked = read_passages(clinical.NOTES["clinical-locked"], reader.inventory())
    for texts in (held_out, locked, probes.dangerous_pairs()[0]):
        assert all(word_runs(p.text) <= runs for p in texts)
    assert all(word_runs(text) <= runs for text in probes.general_english())


def test_the_sample_s_training_split_may_be_taught_and_its_test_split_not():
    split = split_passages(sample.passages(), validation=0.04, test=0.25, seed=0)
    taught = {p.id for p in written_passages()}
    assert {p.id for p in split["train"]} < taught
    assert {p.id for p in reader.passages()} < taught
    assert not taught & {p.id for p in split["test"]}


def test_texts_of_the_user_s_are_measured_too(tmp_path):
    text = "a text of its own that has more than eight words in it"
    (tmp_path / "own.jsonl").write_text(json.dumps({"text": text}))
    assert word_runs(text) <= measured_runs([tmp_path / "own.jsonl"])
