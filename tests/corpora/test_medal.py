"""MeDAL as a corpus: grouped, mended, split, counted, and gone on with after a stop.

Covers `corpus`, `medal_parts` and `mending` too.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import medalist
from medalist.corpora import medal, medal_parts
from medalist.corpora.medal import MedalSettings, prepare_medal
from medalist.data.inventory import Inventory
from medalist.data.passages import Mention, Passage
from medalist.data.rows import Quarantine, TooManyBadRows
from medalist.data.shards import corpus_passages, shards, write_shard
from medalist.data.sources import medal_rows
from medalist.data.sources.medal_tables import Table
from medalist.data.splits import Split, split_of
from medalist.recipe import parse_recipe
from medalist.runs.evaluate import evaluate_run
from medalist.runs.prepared import open_prepared
from medalist.runs.train import train

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
INVENTORY = Inventory.of(
    [
        ("RA", "rheumatoid arthritis", 9, None),
        ("RA", "right atrium", 5, None),
        ("CT", "computed tomography", 5, None),
        ("AN", "anemia", 8, None),
        ("AN", "anaemia", 2, None),
        ("T3", "triiodothyronine", 3, None),
        ("T3", "after", 1, None),
    ]
)
GOLDS = (("RA", "right atrium"), ("CT", "computed tomography"), ("T3", "triiodothyronine"))
HEADER = "ABSTRACT_ID,TEXT,LOCATION,LABEL\n"
Line = tuple[Any, str, int, str]


def lines(numbers: Iterable[int]) -> list[Line]:
    """Three rows for each abstract, shuffled over all of them."""
    found = [
        (n, f"the RA of {letters(n)} had CT and T3", place, gold)
        for n in numbers
        for place, (_, gold) in zip((1, 5, 7), GOLDS, strict=True)
    ]
    random.Random(0).shuffle(found)
    return found


def letters(number: int) -> str:
    """A word for a number, for digits do not tell two texts apart."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


def table(folder: Path, found: Iterable[Line], name: str = "train.csv") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(HEADER + "".join(",".join(map(str, line)) + "\n" for line in found))
    return path


def prepared(
    out: Path, *sources: Path, workers: int = 1, inventory: Inventory = INVENTORY, **how: Any
) -> dict[str, Any]:
    """The account of a corpus of these tables; the inventory is written beside it."""
    inventory.write(out.parent / "senses.csv")
    settings = MedalSettings(**{"inventory": out.parent / "senses.csv", "max_bad_rows": 0.0} | how)
    return prepare_medal(sources, out, settings, workers=workers)


def passages(out: Path, split: Split) -> list[Passage]:
    return list(corpus_passages(out, split, Inventory.read(out / "inventory.csv")))


def golds(found: Iterable[Passage]) -> list[tuple[str, str | None]]:
    return [(mention.short_form, mention.long_form) for passage in found for mention in passage.mentions]


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def small_partitions(monkeypatch):
    monkeypatch.setattr(medal, "PARTITION_MB", 0.0015)


@pytest.mark.usefixtures("small_partitions")
def test_rows_that_are_shuffled_over_the_table_come_together(tmp_path):
    account = prepared(tmp_path / "out", table(tmp_path, lines(range(60))))
    found = passages(tmp_path / "out", "train")
    assert {p.id: p.text for p in found} == {str(n): f"the RA of {letters(n)} had CT and T3" for n in range(60)}
    assert len(found) == 60 and golds(found) == list(GOLDS) * 60
    assert len(shards(tmp_path / "out", "train")) > 3
    assert account["passages"] == {"train": 60, "validation": 0, "test": 0}
    assert account["mentions"] == {"train": 180, "validation": 0, "test": 0}
    assert (account["rows_read"], account["mentions_per_passage"]) == (180, {"3": 60})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "senses.csv", "train.csv"]


@pytest.mark.usefixtures("small_partitions")
def test_two_workers_write_the_same_bytes_as_one(tmp_path):
    sources = [table(tmp_path, lines(range(40))), table(tmp_path, lines(range(30, 50)), "test.csv")]
    for workers in (1, 2):
        prepared(tmp_path / str(workers), *sources, workers=workers)
    assert content(tmp_path / "1") == content(tmp_path / "2")
    assert len(shards(tmp_path / "1", "train")) > 3


@pytest.mark.parametrize("name", ["valid.csv", "val.csv", "Validation.csv"])
def test_tables_of_medals_names_are_its_splits(tmp_path, name):
    sources = [table(tmp_path, lines([n]), file) for n, file in enumerate(["train.csv", name, "test.csv"])]
    prepared(tmp_path / "out", *sources)
    assert [[p.id for p in passages(tmp_path / "out", split)] for split in SPLITS] == [["0"], ["1"], ["2"]]


def test_other_tables_are_split_by_a_hash_of_the_id_which_stays_when_rows_are_added(tmp_path):
    homes = []
    for number in (60, 80):
        source = table(tmp_path / str(number), lines(range(number)), "more.csv")
        prepared(tmp_path / f"out{number}", source, validation=0.2, test=0.3, seed=7)
        homes.append({p.id: split for split in SPLITS for p in passages(tmp_path / f"out{number}", split)})
    assert len(homes[0]) == 60 and homes[0].items() <= homes[1].items()
    assert homes[1] == {str(n): split_of(str(n), validation=0.2, test=0.3, seed=7) for n in range(80)}
    assert set(homes[0].values()) == set(SPLITS)


@pytest.mark.usefixtures("small_partitions")
def test_tables_of_one_split_are_one(tmp_path):
    found = lines(range(20))
    sources = [table(tmp_path / name, part) for name, part in (("a", found[::2]), ("b", found[1::2]))]
    prepared(tmp_path / "out", *sources)
    assert golds(passages(tmp_path / "out", "train")) == list(GOLDS) * 20
    assert len({p.id for p in passages(tmp_path / "out", "train")}) == 20


@pytest.mark.usefixtures("small_partitions")
def test_an_abstract_of_two_splits_is_counted_as_shared_by_id_or_words(tmp_path):
    train = table(tmp_path, [(n, f"in RA {letters(n)}", 1, "right atrium") for n in range(90)])
    test = [
        (3, "in RA of another wording", 1, "right atrium"),
        (900, f"In RA, {letters(4)}.", 1, "right atrium"),
        (901, "in RA alone", 1, "right atrium"),
    ]
    test.append((902, f"in RA {letters(90)}", 1, "right atrium"))
    found = table(tmp_path, [(n, f'"{text}"', place, gold) for n, text, place, gold in test], "test.csv")
    account = prepared(tmp_path / "out", train, found)
    assert len(shards(tmp_path / "out", "train")) > 1
    assert account["shared_with_training"] == {"validation": 0, "test": 2}
    assert [len(passages(tmp_path / "out", split)) for split in SPLITS] == [90, 0, 4]


AFTER = [(n, f"they were fine after RA {letters(n)}", 4, "right atrium") for n in range(100, 110)]
MENDED = {
    "junk": ((1, "all T3 that", 1, "after"), ["T3", "after", "after"], None),
    "variant": ((2, "all AN then", 1, "anaemia"), ["AN", "anaemia", "anemia"], "anemia"),
    "spaces": ((3, "all RA then", 1, " right  atrium"), ["RA", " right  atrium", "right atrium"], "right atrium"),
    "case": ((4, "all RA then", 1, "Right Atrium"), ["RA", "Right Atrium", "right atrium"], "right atrium"),
    "spelling": ((5, "all AN then", 1, "anaemias"), ["AN", "anaemias", "anemia"], "anemia"),
    "not listed": ((6, "all RA then", 1, "room air"), ["RA", "room air", "room air"], "room air"),
}


@pytest.mark.parametrize("name", MENDED)
def test_each_repair_is_made_and_counted_with_an_example(tmp_path, name):
    row, example, gold = MENDED[name]
    account = prepared(tmp_path / "out", table(tmp_path, [row, *AFTER]))
    counted = {key: cell for key, cell in account["mended"].items() if cell["mentions"]}
    assert counted == {name: {"mentions": 1, "labels": 1, "examples": [[*example, 1]]}}
    [found] = [p for p in passages(tmp_path / "out", "train") if int(p.id) < 100] or [None]
    assert (found and found.mentions[0].long_form) == gold
    assert account["passages_without_mentions"] == (gold is None)


def test_junk_leaves_a_passage_that_has_other_mentions(tmp_path):
    rows = [(1, "all T3 of RA", 1, "after"), (1, "all T3 of RA", 3, "right atrium"), *AFTER]
    account = prepared(tmp_path / "out", table(tmp_path, rows))
    [found] = [p for p in passages(tmp_path / "out", "train") if p.id == "1"]
    assert golds([found]) == [("RA", "right atrium")]
    assert account["inventory"]["junk_senses"] == 1 and account["passages_without_mentions"] == 0


def test_a_rare_word_is_no_junk_and_neither_is_one_whose_letters_fit(tmp_path):
    inventory = Inventory.of([("T3", "zenith", 1, None), ("AF", "after", 1, None), ("RA", "right atrium", 1, None)])
    rows = [(1, "all T3 so", 1, "zenith"), (2, "all AF so", 1, "after"), *AFTER]
    account = prepared(tmp_path / "out", table(tmp_path, rows), inventory=inventory)
    assert account["mended"]["junk"]["mentions"] == account["inventory"]["junk_senses"] == 0
    assert {("T3", "zenith"), ("AF", "after")} <= set(golds(passages(tmp_path / "out", "train")))


def test_as_published_keeps_the_senses_that_are_listed_variants_and_junk_alike(tmp_path):
    rows = [row for row, *_ in MENDED.values()] + AFTER
    mended = prepared(tmp_path / "mended", table(tmp_path, rows))
    kept = prepared(tmp_path / "kept", tmp_path / "train.csv", as_published=True)
    assert {p.id: p.mentions[0].long_form for p in passages(tmp_path / "kept", "train") if int(p.id) < 100} == {
        "1": "after",
        "2": "anaemia",
        "3": "right atrium",
        "4": "right atrium",
        "5": "anemia",
        "6": "room air",
    }
    assert kept["mended"]["junk"] == mended["mended"]["junk"]
    assert kept["inventory"]["senses"] == mended["inventory"]["senses"] + 1 == kept["inventory"]["senses_read"] == 7
    assert kept["inventory"]["variant_groups"] == 1


def test_adams_scores_of_junk_and_other_senses_are_counted_in_fifths(tmp_path):
    scores = [
        ("RA", "Rheumatoid Arthritis", 1.0),
        ("RA", "right atrium", 0.2),
        ("T3", "after", 0.1999),
        ("X", "x", 0.5),
    ]
    adam = "".join(f"{short}\t{short}:1\t{long}:1:0\t{score}\t1\n" for short, long, score in scores)
    (tmp_path / "adam").write_text("# ADAM\n" + adam)
    account = prepared(tmp_path / "out", table(tmp_path, AFTER), adam=tmp_path / "adam")
    assert account["adam_scores"] == {"junk": [1, 0, 0, 0, 0, 0], "others": [0, 1, 0, 0, 1, 3]}
    assert "ADAM's scores of the senses" in (tmp_path / "out" / "card.html").read_text().replace("&#39;", "'")
    assert prepared(tmp_path / "without", tmp_path / "train.csv")["adam_scores"] is None


def test_bad_rows_are_kept_with_file_and_line_whatever_stage_found_them(tmp_path):
    train = table(tmp_path, [(1, "in RA", 1, "right atrium"), (2, "in RA", 7, "right atrium"), (3, "in RA", 1, "a,b")])
    test = table(tmp_path, [(4, "in RA", 1, "right atrium"), (4, "in RA", 1, "right atrium")], "test.csv")
    account = prepared(tmp_path / "out", train, test, max_bad_rows=0.6)
    rows = [json.loads(line) for line in (tmp_path / "out" / "quarantine.jsonl").read_text().splitlines()]
    assert [(row["file"], row["line"], row["reason"]) for row in rows] == [
        ("train.csv", 4, "5 columns instead of 4"),
        ("train.csv", 3, "LOCATION 7 is outside the text (2 words)"),
        ("test.csv", 3, "duplicate of an earlier row"),
    ]
    assert account["rows_read"] == 5 and sum(account["rows_quarantined"].values()) == 3


def test_too_many_bad_rows_leave_no_corpus_and_a_higher_limit_reads_nothing_again(tmp_path, monkeypatch):
    source = table(tmp_path, [(n, "in RA", n % 2 * 5 + 1, "right atrium") for n in range(10)])
    told = (
        r"^5 of 10 rows are bad \(limit 40%\); the first: train\.csv, row 3: LOCATION 6 is outside .*max-bad-rows\)\.$"
    )
    with pytest.raises(TooManyBadRows, match=told):
        prepared(tmp_path / "out", source, max_bad_rows=0.4)
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(medal_parts, "_stretches", None)
    assert prepared(tmp_path / "out", source, max_bad_rows=0.5)["passages"]["train"] == 5


LINES = ["\n", '"', ",", '"', "1,in RA,1,x\n", '2,"in\nRA",1,x\n', "\r", "a", "\n\n"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(LINES), max_size=25))
def test_a_table_gives_the_same_rows_in_stretches_in_blocks_and_at_once(content):
    def read(table: Table) -> tuple[list[dict[str, Any]], Quarantine]:
        quarantine = Quarantine()
        return [row for batch in medal_rows.read_table(table, quarantine) for row in batch.to_pylist()], quarantine

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path, work = Path(folder) / "train.csv", Path(folder) / "work"
        path.write_text(HEADER + "".join(content), newline="")
        rows, quarantine = read(Table(path))
        patch.setattr(medal_rows, "BLOCK", 20)
        patch.setattr(medal_parts, "STRETCH", 20)
        assert read(Table(path)) == (rows, quarantine)
        [found] = medal_parts.distribute([Table(path)], work, 3, 1)
        parts = [medal_parts.partition(work, 0, part, 3, found).to_pylist() for part in range(3)]
    assert (found["rows"], found["total"]) == (quarantine.rows, quarantine.total)
    homes = {row["abstract"]: number for number, part in enumerate(parts) for row in part}
    assert parts == [[row for row in rows if homes[row["abstract"]] == number] for number in range(3)]


def test_a_folder_that_is_there_is_refused_and_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    source = table(tmp_path, lines([1]))
    with pytest.raises(FileExistsError, match="out exists already: name another with --out, or remove it"):
        prepared(tmp_path / "out", source)
    assert content(tmp_path / "out") == {"notes.txt": b"mine"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "senses.csv", "train.csv"]


@pytest.mark.usefixtures("small_partitions")
def test_datasets_opens_the_corpus_split_by_split(tmp_path):
    import datasets

    prepared(tmp_path / "out", table(tmp_path, lines(range(20))), table(tmp_path, lines([50]), "test.csv"))
    found = datasets.load_dataset("parquet", data_dir=str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(part) for split, part in found.items()} == {"train": 20, "test": 1}
    [row] = found["test"]
    assert (row["id"], row["text"], row["source"]) == ("50", "the RA of fa had CT and T3", "medal")
    assert row["mentions"][0] == {"start": 4, "end": 6, "short_form": "RA", "long_form": "right atrium"}


def test_account_and_card_hold_the_figures(tmp_path):
    rows = [row for row, *_ in MENDED.values()] + AFTER + [(7, "in RA", 9, "right atrium")]
    account = prepared(tmp_path / "out", table(tmp_path, rows), max_bad_rows=0.1)
    assert json.loads((tmp_path / "out" / "corpus.json").read_text()) == account
    found = passages(tmp_path / "out", "train")
    assert account["words"] == sum(len(p.text.split()) for p in found) == 5 * 3 + 10 * 6
    assert account["short_forms"] == [["RA", 13], ["AN", 2]]
    assert account["leaks_in_sample"] == {"mentions": 15, "leaks": 0}
    card = (tmp_path / "out" / "card.html").read_text()
    for part in (
        "<b>17</b><small>rows read",
        "<b>15</b><small>passages",
        "<b>15</b><small>short forms marked",
        "train.csv",
    ):
        assert part in card
    for part in ("Junk senses: 1 mention of 1 label", "␣right␣␣atrium", "LOCATION … is outside the text (… words)"):
        assert part in card


def test_answers_spelt_out_elsewhere_are_counted_on_a_sample(tmp_path):
    rows = [(1, "the right atrium or RA", 4, "right atrium"), (2, "an RA", 1, "right atrium")]
    account = prepared(tmp_path / "out", table(tmp_path, rows))
    assert account["leaks_in_sample"] == {"mentions": 2, "leaks": 1}


NUMBERS = {"train": range(20), "valid": range(20, 24), "test": range(24, 31)}

SLOWLY = """
import sys, time
from pathlib import Path
from medalist.corpora import medal
from medalist.corpora.medal import MedalSettings, prepare_medal

medal.PARTITION_MB = 0.0015
write = medal.write_table
medal.write_table = lambda *shard: (time.sleep(0.1), write(*shard))
out, source = map(Path, sys.argv[1:])
prepare_medal([source], out, MedalSettings(inventory=out.parent / "senses.csv", max_bad_rows=0))
"""


def killed_half_way(out: Path, source: Path) -> Path:
    """The work folder of a program that was killed when its second partition was done."""
    INVENTORY.write(out.parent / "senses.csv")
    environment = os.environ | {"PYTHONPATH": str(Path(medalist.__file__).parents[1])}
    program = subprocess.Popen([sys.executable, "-c", SLOWLY, out, source], env=environment)
    work = out.with_name(f".{out.name}.work")
    until = time.monotonic() + 60
    while not (work / "accounts" / "00001.json").exists():
        assert time.monotonic() < until and program.poll() is None
        time.sleep(0.01)
    program.kill()
    assert program.wait() == -signal.SIGKILL
    # Inside a write, a kill leaves this.
    (work / ".train-00003-of-00009.parquet.x1").write_bytes(b"half")
    (work / "accounts" / ".00003.json.x1").write_bytes(b"half")
    return work


@pytest.mark.usefixtures("small_partitions")
def test_killed_half_way_the_same_call_ends_with_the_same_bytes_and_writes_no_finished_shard_again(tmp_path):
    source = table(tmp_path, lines(range(80)))
    work = killed_half_way(tmp_path / "out", source)
    done = {path.name: path.stat().st_mtime_ns for number in range(2) for path in work.glob(f"train-{number:05}-*")}
    prepared(tmp_path / "whole", source)
    prepared(tmp_path / "out", source)
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    assert len(done) == 2 < len(shards(tmp_path / "out", "train"))
    assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in done} == done
    assert not work.exists()


@pytest.mark.usefixtures("small_partitions")
def test_killed_half_way_other_settings_begin_anew(tmp_path):
    source = table(tmp_path, [(n, f"all AN so {letters(n)}", 1, "anaemia") for n in range(80)])
    killed_half_way(tmp_path / "out", source)
    for name in ("out", "whole"):
        prepared(tmp_path / name, source, as_published=True)
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    assert set(golds(passages(tmp_path / "out", "train"))) == {("AN", "anaemia")}


def test_stopped_at_the_very_end_nothing_is_made_again(tmp_path, monkeypatch):
    source = table(tmp_path, lines(range(5)))
    prepared(tmp_path / "whole", source)
    finish = medal.finish
    monkeypatch.setattr(medal, "finish", None)
    with pytest.raises(TypeError):
        prepared(tmp_path / "out", source)
    monkeypatch.setattr(medal, "finish", finish)
    monkeypatch.setattr(medal, "_build", None)
    prepared(tmp_path / "out", source)
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_a_second_corpus_of_the_same_name_takes_its_own_inventory(tmp_path):
    source = table(tmp_path, [(1, "all AN so", 1, "anaemia")])
    for spelling in ("anemia", "anaemia"):
        inventory = Inventory.of([("AN", spelling, 1, None)])
        prepared(tmp_path / "out", source, inventory=inventory)
        assert golds(passages(tmp_path / "out", "train")) == [("AN", spelling)]
        (tmp_path / "out").rename(tmp_path / spelling)


def test_a_corpus_is_trained_and_evaluated_on_as_it_is(tmp_path, model_folder):
    prepared(tmp_path / "corpus", *(table(tmp_path, lines(n), f"{name}.csv") for name, n in NUMBERS.items()))
    values = {
        "name": "tiny",
        "output": str(tmp_path / "runs"),
        "model": {"base": str(model_folder)},
        "data": {"source": "medal", "path": str(tmp_path / "corpus"), "limit": 8, "substitution": {"distractors": 0}},
        "training": {"max_steps": 2, "evaluate_every": 2},
        "evaluation": {"bootstrap": 100},
    }
    run = train(parse_recipe(values))
    data = open_prepared(run.data_folder)
    assert data.account["passages"] == {"train": 8, "validation": 4, "test": 7}
    assert data.passages("test") == passages(tmp_path / "corpus", "test")
    metrics, _ = evaluate_run(run)
    assert (metrics["counts"]["passages"], metrics["counts"]["choice"]) == (7, 14)
    assert {"base", "tuned"} <= set(metrics["models"])


def test_leaks_are_looked_for_in_every_split(tmp_path, monkeypatch):
    """Of three passages each, one that spells out its answer: in the test split."""
    monkeypatch.setattr(medal, "LEAK_SAMPLE", 9)
    inventory = Inventory.of([("RA", "right atrium", 1, None), ("RA", "room air", 1, None)])
    mention = Mention(start=0, end=2, short_form="RA", long_form="room air")
    for split, text in (("train", "RA seen"), ("validation", "RA seen"), ("test", "RA, on room air")):
        made = [Passage(id=f"{split} {n}", text=text, mentions=(mention,)) for n in range(9)]
        write_shard(made, tmp_path, split, 0, 1)
    assert medal._leaks(tmp_path, inventory) == {"mentions": 9, "leaks": 3}
