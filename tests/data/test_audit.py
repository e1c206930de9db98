"""The audit: what an evaluation shares with training data, found in every way and left out.

Covers `shards` too.
"""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from marking import marked
from medalist.cli.app import main
from medalist.data.audit import SimilarPassages, audit, clean, jaccard, shingles
from medalist.data.inventory import Inventory
from medalist.data.passage_files import read_passages, write_jsonl
from medalist.data.passages import Passage
from medalist.data.shards import write_shard

INVENTORY = Inventory.of(
    [
        ("RA", "rheumatoid arthritis", 5, None),
        ("RA", "room air", 2, None),
        ("CT", "computed tomography", 9, None),
        ("CT", "connective tissue", 1, None),
    ]
)
LONG = "the patient walked along the ward twice a day and slept well in the new bed by the large window of the room"
TRAIN = [
    marked("pain in [RA=rheumatoid arthritis] again", "1"),
    marked(f"{LONG} on [RA=room air] today", "2"),
]
EVALUATION = [
    marked("swollen joints in [RA=rheumatoid arthritis] now", "1"),  # the same id
    marked("Pain in [RA=rheumatoid arthritis], again.", "11"),  # the same words
    marked(f"{LONG} on [RA=room air] tonight", "12"),  # nearly the same
    marked("the computed tomography ([CT=computed tomography]) and [RA=rheumatoid arthritis] of old", "13"),
    marked("loose [CT=connective tissue] found", "14"),
    marked("[RA=radium] shines", "15"),  # not listed, so not counted
]


def exit_code(*arguments: str) -> int:
    try:
        main(list(arguments))
    except SystemExit as stop:
        return stop.code or 0
    return 0


def source(passages: list[Passage], name: str) -> list[Passage]:
    return [Passage(id=p.id, text=p.text, mentions=p.mentions, source=name) for p in passages]


def test_shared_passages_are_found_in_each_way():
    found = audit(TRAIN, EVALUATION, INVENTORY)
    assert (found.train_passages, found.passages, found.mentions) == (2, 6, 6)
    assert found.same_id == {"1"}
    assert found.same_words == {"11"}
    assert {name: other for name, (other, _) in found.similar.items()} == {"11": "1", "12": "2"}
    assert found.similar["11"][1] == 1
    assert 0.8 <= found.similar["12"][1] < 1
    assert found.shared == {"1", "11", "12"}


def test_an_id_of_another_source_is_another_passage():
    assert audit(source(TRAIN, "elsewhere"), EVALUATION, INVENTORY).same_id == frozenset()


def test_leaks_and_senses_never_trained_on_are_counted():
    found = audit(TRAIN, EVALUATION, INVENTORY)
    assert found.answer_leaks == {("13", 0)}
    assert found.unseen_senses == found.unseen_short_forms == 2  # both of CT
    assert audit([], EVALUATION, INVENTORY).unseen_senses == 6
    only_air = audit(TRAIN[1:], EVALUATION, INVENTORY)
    assert (only_air.unseen_senses, only_air.unseen_short_forms) == (5, 2)


def test_training_data_may_come_as_a_stream():
    assert audit(iter(TRAIN), EVALUATION, INVENTORY) == audit(TRAIN, EVALUATION, INVENTORY)


def test_a_clean_split_has_neither_shared_passages_nor_leaks():
    left = list(clean(EVALUATION, audit(TRAIN, EVALUATION, INVENTORY)))
    assert [(p.id, [m.long_form for m in p.mentions]) for p in left] == [
        ("13", ["rheumatoid arthritis"]),
        ("14", ["connective tissue"]),
        ("15", ["radium"]),
    ]


def test_near_duplicates_are_those_that_comparing_all_pairs_finds():
    draw = random.Random(0)
    words = [f"w{n}" for n in range(300)]
    own = [Passage(id=f"e{n}", text=" ".join(draw.choices(words, k=60))) for n in range(120)]
    others = []
    for n, passage in enumerate(own):
        text = passage.text.split()
        for place in draw.sample(range(60), n % 12):
            text[place] = draw.choice(words)
        others.append(Passage(id=f"t{n}", text=" ".join(text)))
    expected = {}
    for a in own:
        values = [(jaccard(shingles(a.text), shingles(b.text)), b.id) for b in others]
        best = max(values)
        if best[0] >= 0.8:
            expected[a.id] = (best[1], best[0])
    assert 30 < len(expected) < 90
    finder = SimilarPassages(own, threshold=0.8)
    for start in range(0, len(others), 7):
        finder.compare(others[start : start + 7])
    assert finder.found == expected


def test_jaccard_is_of_runs_of_two_words_whatever_their_case():
    assert jaccard(shingles("a b c"), shingles("A b, d")) == 1 / 3
    assert jaccard(shingles("a"), shingles("a")) == 1
    assert np.array_equal(shingles("a b a b"), shingles("b a b"))


def test_the_command_prints_counts_and_writes_the_clean_split(tmp_path, capsys):
    for name, passages in (("train", TRAIN), ("test", EVALUATION)):
        write_jsonl(passages, tmp_path / f"{name}.jsonl")
    INVENTORY.write(tmp_path / "own.csv")
    files = [str(tmp_path / "train.jsonl"), str(tmp_path / "test.jsonl"), "--inventory", str(tmp_path / "own.csv")]
    assert exit_code("audit", *files, "--out", str(tmp_path / "clean.parquet")) == 0
    shown = capsys.readouterr().out
    assert "passages shared in any of these ways" in shown
    assert [p.id for p in read_passages(tmp_path / "clean.parquet", INVENTORY)] == ["13", "14", "15"]
    assert exit_code("audit", *files, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert record["same_words"] == ["11"]
    assert record["similar"]["12"]["train"] == "2"
    assert record["answer_leaks"] == [{"passage": "13", "mention": 0}]


def test_prepared_folders_are_compared_shard_by_shard(tmp_path, capsys):
    for number, passage in enumerate(TRAIN):
        write_shard([passage], tmp_path / "corpus", "train", number, len(TRAIN))
    write_shard(EVALUATION, tmp_path / "corpus", "test", 0, 1)
    INVENTORY.write(tmp_path / "own.csv")
    folder = str(tmp_path / "corpus")
    assert exit_code("audit", folder, folder, "--inventory", str(tmp_path / "own.csv"), "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["train_passages"], record["passages"]) == (len(TRAIN), len(EVALUATION))
    assert record["same_words"] == ["11"]
    assert exit_code("audit", str(tmp_path), folder, "--inventory", str(tmp_path / "own.csv")) == 1
    assert "has no shards of the train split" in capsys.readouterr().err


def test_a_clean_split_does_not_take_the_place_of_what_is_read(tmp_path, capsys):
    path = tmp_path / "test.jsonl"
    write_jsonl(EVALUATION, path)
    before = path.read_bytes()
    assert exit_code("audit", str(tmp_path / "train.jsonl"), str(path), "--out", str(path)) == 1
    assert "choose another" in capsys.readouterr().err
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["clean.csv", "clean"])
def test_a_clean_split_of_another_format_is_refused_before_anything_is_read(tmp_path, capsys, name):
    assert exit_code("audit", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / name)) == 1
    assert "must be a .jsonl or .parquet file" in capsys.readouterr().err
