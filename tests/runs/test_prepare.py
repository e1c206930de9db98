"""Preparing: from every source to three splits and an account that holds.

Covers `prepared` and `reading` too.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from marking import marked
from medalist.cli.data_tables import prepared_table
from medalist.corpora.pubmed import PubmedSettings, prepare_pubmed
from medalist.corpora.text_corpus import TextSettings, prepare_text
from medalist.data.embedded import reader
from medalist.data.embedded import sample as corpus
from medalist.data.inventory import Inventory, Sense
from medalist.data.passage_files import write_jsonl
from medalist.data.passages import NONE_OF_THESE, fingerprint
from medalist.data.quizzes import read_quizzes
from medalist.data.rows import TooManyBadRows
from medalist.data.splits import shared_passages
from medalist.recipe import Recipe, parse_recipe
from medalist.runs.prepare import data_folder, prepare
from medalist.runs.prepared import Prepared, open_prepared

INVENTORY = Inventory.of(
    [
        ("RA", "rheumatoid arthritis", 3, None),
        ("RA", "right atrium", 2, None),
        ("CT", "computed tomography", 5, None),
        ("AS", "aortic stenosis", 1, None),
        ("ALL", "acute lymphoblastic leukemia", 1, None),
    ]
)
SPLITS = ("train", "validation", "test")


def recipe(folder: Path, *overrides: str, **data: Any) -> Recipe:
    """A recipe whose runs and data go below the folder; the inventory is there in own.csv."""
    if not (folder / "own.csv").exists():
        INVENTORY.write(folder / "own.csv")
    if data.get("source", "sample") != "sample":
        data.setdefault("inventory", str(folder / "own.csv"))
    return parse_recipe({"output": str(folder / "runs"), "data": data}, overrides)


def table(folder: Path, number: int = 40) -> str:
    """Marked passages as JSON Lines, every third without a mark."""
    texts = ["pain in [RA=right atrium] and computed tomography", "swelling in [RAs|RA=rheumatoid arthritis]", "cough"]
    write_jsonl((marked(f"{texts[n % 3]} {'x' * n}", str(n)) for n in range(number)), folder / "table.jsonl")
    return str(folder / "table.jsonl")


def abstracts(folder: Path, *sections: list[str]) -> str:
    path = folder / "abstracts.jsonl"
    path.write_text("".join(json.dumps({"pmid": n, "sections": part}) + "\n" for n, part in enumerate(sections)))
    return str(path)


def left(folder: Path) -> list[str]:
    """What there is beside the data: nothing half-written, hidden or not."""
    return sorted(path.name for path in (folder / "data").glob("*")) if (folder / "data").exists() else []


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return prepare(recipe(tmp_path_factory.mktemp("sample")))


def test_sample_is_prepared_into_three_splits_with_an_account_that_holds(sample):
    parts = {split: sample.passages(split) for split in SPLITS}
    assert sum(sample.account["passages"].values()) + sample.account["passages_without_mentions"] == len(
        corpus.passages()
    )
    for split, part in parts.items():
        assert part
        mentions = [m for p in part for m in p.mentions]
        assert sample.account["passages"][split] == len(part)
        assert sample.account["mentions"][split] == len(mentions)
        assert sample.account["distractors"][split] == sum(m.long_form == NONE_OF_THESE for m in mentions) > 0
        assert sample.account["fingerprint"][split] == fingerprint(part)
    assert sample.account["rows_quarantined"] == {}
    assert sorted(path.name for path in sample.folder.iterdir()) == [
        "data.json",
        "inventory.csv",
        "quarantine.jsonl",
        "test.parquet",
        "train.parquet",
        "validation.parquet",
    ]


def test_sample_gold_answers_are_listed_and_no_longer_spelt_out(sample):
    for split in SPLITS:
        for passage in sample.passages(split):
            for mention in passage.mentions:
                if mention.long_form != NONE_OF_THESE:
                    assert mention.long_form in sample.inventory.long_forms(mention.short_form)
                    assert passage.surface(mention) in (mention.short_form, f"{mention.short_form}s")


def test_preparing_elsewhere_from_the_same_seed_gives_the_same_data(sample, tmp_path):
    again = prepare(recipe(tmp_path))
    assert again.account == sample.account
    assert again.folder.name == sample.folder.name
    other = prepare(recipe(tmp_path, "seed=1"))
    assert other.account["fingerprint"] != sample.account["fingerprint"]


def test_prepared_folder_is_opened_again_for_equal_settings(tmp_path):
    settings = recipe(tmp_path, source="table", path=table(tmp_path))
    folder = prepare(settings).folder
    account = json.loads((folder / "data.json").read_text())
    (folder / "data.json").write_text(json.dumps(account | {"mark": "kept"}))
    again = prepare(parse_recipe({**settings.model_dump(mode="json"), "name": "another", "training": {"rank": 4}}))
    assert again.account["mark"] == "kept"
    assert again.folder == folder == tmp_path / "data" / folder.name
    assert folder.name.startswith("table-")


def test_other_settings_or_a_changed_file_get_a_folder_of_their_own(tmp_path):
    path = table(tmp_path)
    folders = [
        data_folder(recipe(tmp_path, *overrides, source="table", path=path))
        for overrides in ([], ["seed=1"], ["data.limit=5"], ["data.test=0.5"], ["data.substitution.distractors=0"])
    ]
    table(tmp_path, 41)
    folders.append(data_folder(recipe(tmp_path, source="table", path=path)))
    INVENTORY.write(tmp_path / "other.csv")
    folders.append(data_folder(recipe(tmp_path, source="table", path=path, inventory=str(tmp_path / "other.csv"))))
    assert len(set(folders)) == 7


def test_marked_table_stays_as_it_is_and_unmarked_passages_are_counted(tmp_path):
    prepared = prepare(recipe(tmp_path, source="table", path=table(tmp_path)))
    found = {p.id: p for split in SPLITS for p in prepared.passages(split)}
    assert found["0"] == marked("pain in [RA=right atrium] and computed tomography ", "0")
    assert found["1"].mentions == marked("swelling in [RAs|RA=rheumatoid arthritis] x").mentions
    assert (len(found), prepared.account["passages_without_mentions"], prepared.account["rows_read"]) == (27, 13, 40)


def test_short_form_written_in_another_way_survives_being_prepared(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("ABSTRACT_ID,TEXT,LOCATION,LABEL\n1,C-T of the chest,0,computed tomography\n")
    prepared = prepare(recipe(tmp_path, "data.test=0", "data.validation=0", source="medal", path=str(path)))
    [passage] = prepared.passages("train")
    [mention] = passage.mentions
    assert (passage.surface(mention), mention.short_form) == ("C-T", "CT")
    assert prepared.passages("test") == []


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["data.kinds.shares={medal: 1}"], "after days RA RA"),
        (["data.kinds.shares={medal: 1}", "data.kinds.all_sections=true"], "after days RA RA a lymph node ln ln"),
        (["data.kinds.shares={substituted: 1}"], "After 3 days, RA (RA). A lymph node (LN): LN."),
        (["data.kinds.shares={defined: 1}"], "After 3 days, rheumatoid arthritis (right atrium). A LN: LN."),
    ],
    ids=["medal", "medal, all sections", "substituted", "defined"],
)
def test_abstracts_become_passages_of_the_kind_asked_for(tmp_path, overrides, text):
    path = abstracts(tmp_path, ["After 3 days, rheumatoid arthritis (right atrium).", "A lymph node (LN): LN."])
    certain = ["data.kinds.probability={medal: 1, substituted: 1}", "data.test=0", "data.validation=0"]
    prepared = prepare(recipe(tmp_path, *certain, *overrides, source="pubmed", path=path))
    [passage] = prepared.passages("train")
    assert passage.text == text
    assert sorted(path.name for path in prepared.folder.iterdir()) == [
        "data.json",
        "inventory.csv",
        "quarantine.jsonl",
    ] + [f"{split}.parquet" for split in sorted(SPLITS)]


def test_an_abstract_that_comes_again_under_another_number_is_taken_once(tmp_path):
    text = "Rheumatoid arthritis, right atrium, computed tomography, aortic stenosis"
    path = abstracts(tmp_path, *[[text + "."]] * 30, *([f"{text} {'x' * n}"] for n in range(1, 30)))
    kinds = ["data.kinds.shares={medal: 1, substituted: 1}", "data.kinds.probability={medal: 1, substituted: 1}"]
    prepared = prepare(recipe(tmp_path, *kinds, source="pubmed", path=path))
    homes = {p.id: split for split in SPLITS for p in prepared.passages(split)}
    assert sorted(homes, key=int) == ["0", *map(str, range(30, 59))]
    assert set(homes.values()) == set(SPLITS)
    assert shared_passages(prepared.passages("train"), prepared.passages("test")) == set()


@pytest.mark.parametrize(
    ("key", "split"), [("limit", "train"), ("limit_validation", "validation"), ("limit_test", "test")]
)
def test_each_limit_shortens_its_own_split_from_behind(tmp_path, key, split):
    settings = recipe(tmp_path, "data.validation=0.3", source="table", path=table(tmp_path))
    whole = prepare(settings)
    limited = prepare(parse_recipe(settings.model_dump(mode="json"), [f"data.{key}=3"]))
    assert whole.account["passages"][split] > 3
    assert limited.account["passages"] == whole.account["passages"] | {split: 3}
    assert limited.passages(split) == whole.passages(split)[:3]


@pytest.mark.parametrize("what", ["senses", "short_forms"])
def test_what_a_recipe_holds_out_is_in_the_test_split_alone_and_nothing_else_is(tmp_path, what):
    rows = [(f"S{n}", f"{kind} structure {n}", 1, None) for n in range(20) for kind in ("simple", "second")]
    inventory = Inventory.of([*rows, ("AS", "aortic stenosis", 1, None), ("ALL", "acute leukemia", 1, None)])
    inventory.write(tmp_path / "own.csv")
    texts = (
        f"{'as' if n % 3 else 'all'} {'x' * n} [{short}={long}] of [{rows[n % 7][0]}={rows[n % 7][1]}]"
        for n, (short, long, *_) in enumerate(rows * 4)
    )
    write_jsonl((marked(text, str(n)) for n, text in enumerate(texts)), tmp_path / "table.jsonl")
    overrides = [f"data.hold_out={what}", "data.hold_out_share=0.4", "data.substitution.distractors=1"]
    prepared = prepare(recipe(tmp_path, *overrides, source="table", path=str(tmp_path / "table.jsonl")))
    found = {
        split: {(m.short_form, m.long_form) for p in prepared.passages(split) for m in p.mentions} for split in SPLITS
    }
    train, test = found["train"] | found["validation"], found["test"]
    if what == "short_forms":
        train, test = ({short_form for short_form, _ in part} for part in (train, test))
    else:
        assert ("AS", NONE_OF_THESE) in train & test  # what is no sense is in all of them
        train, test = ({sense for sense in part if sense[1] != NONE_OF_THESE} for part in (train, test))
    assert train and test
    assert not train & test
    assert prepared.account["passages_without_mentions"] > 0


def test_several_inventories_become_one(tmp_path):
    INVENTORY.write(tmp_path / "own.csv")
    more = Inventory.of([("RA", "Right-atrium", 1, None), ("RA", "room air", 4, None), ("XX", "two of them", 1, None)])
    more.write(tmp_path / "more.csv")
    names = [str(tmp_path / name) for name in ("own.csv", "more.csv")]
    prepared = prepare(recipe(tmp_path, source="table", path=table(tmp_path), inventory=names))
    assert prepared.inventory.long_forms("RA") == ("room air", "rheumatoid arthritis", "right atrium")
    assert prepared.inventory.long_forms("XX") == ("two of them",)
    assert prepared.account["inventory"]["origin"] == "own.csv + more.csv"


def test_a_file_that_changes_inside_a_folder_is_other_data(tmp_path):
    (tmp_path / "files").mkdir()
    paths = [tmp_path / "files" / name for name in ("a.jsonl", "b.jsonl")]
    for path in paths:
        path.write_text("{}\n")
    settings = recipe(tmp_path, source="pubmed", path=str(tmp_path / "files"))
    folders = [data_folder(settings), data_folder(settings)]
    paths[1].write_text("{}\n{}\n")
    folders.append(data_folder(settings))
    paths[0].rename(tmp_path / "files" / "c.jsonl")
    folders.append(data_folder(settings))
    assert folders[0] == folders[1]
    assert len(set(folders)) == 3


def test_bad_rows_within_the_limit_are_kept_beside_the_data(tmp_path):
    path = table(tmp_path)
    with Path(path).open("a") as file:
        file.write("{\n")
    prepared = prepare(recipe(tmp_path, source="table", path=path))
    [row] = map(json.loads, (prepared.folder / "quarantine.jsonl").read_text().splitlines())
    assert (row["file"], row["line"]) == ("table.jsonl", 41)
    assert sum(prepared.account["rows_quarantined"].values()) == 1
    assert "rows that cannot be read, 1 of 41 (" in prepared.left_out()


def test_too_many_bad_rows_leave_no_data_behind(tmp_path):
    path = table(tmp_path)
    with Path(path).open("a") as file:
        file.write("{\n" * 20)
    with pytest.raises(TooManyBadRows, match="20 of 60 rows are bad"):
        prepare(recipe(tmp_path, source="table", path=path))
    assert left(tmp_path) == []
    assert prepare(recipe(tmp_path, "data.max_bad_rows=0.5", source="table", path=path)).account["rows_read"] == 60


def test_too_many_malformed_abstracts_leave_no_data_behind(tmp_path):
    path = abstracts(tmp_path, *map(report, range(8)), [], ["a line\u2028separator", ""])
    with pytest.raises(
        TooManyBadRows, match=r"2 of 10 rows are bad \(limit 5%\); the first: abstracts\.jsonl, row 9: no text"
    ):
        prepare(recipe(tmp_path, source="pubmed", path=path))
    assert left(tmp_path) == []
    overrides = ["data.max_bad_rows=0.2", "data.kinds.shares={medal: 1}", "data.kinds.probability={medal: 1}"]
    prepared = prepare(recipe(tmp_path, *overrides, source="pubmed", path=path))
    assert (prepared.account["rows_read"], sum(prepared.account["rows_quarantined"].values())) == (10, 2)
    rows = map(json.loads, (prepared.folder / "quarantine.jsonl").read_text().split("\n")[:-1])
    assert [row["line"] for row in rows] == [9, 10]


def test_data_without_a_marked_short_form_is_refused_and_leaves_nothing(tmp_path):
    path = abstracts(tmp_path, ["nothing of the kind"])
    with pytest.raises(
        ValueError,
        match=(
            r"^No abstract in .*abstracts\.jsonl has anything to mark for the chosen kinds; is own\.csv the "
            r"right inventory\?$"
        ),
    ):
        prepare(recipe(tmp_path, source="pubmed", path=path))
    write_jsonl([marked("nothing of the kind")], tmp_path / "table.jsonl")
    with pytest.raises(
        ValueError,
        match=r"^No passage in .*table\.jsonl has a marked short form\. Is own\.csv the right .* medal or mended\?$",
    ):
        prepare(recipe(tmp_path, source="table", path=str(tmp_path / "table.jsonl")))
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("data", "error", "told"),
    [
        ({"source": "medal", "path": "nowhere.csv"}, FileNotFoundError, "nowhere.csv does not exist (key data.path)"),
        (
            {"source": "sample", "inventory": "nowhere.csv"},
            FileNotFoundError,
            "nowhere.csv does not exist (key data.inventory)",
        ),
        ({"source": "table"}, ValueError, "data.path is not set: source table reads a file"),
        (
            {"source": "medal", "inventory": None, "path": "own.csv"},
            ValueError,
            "data.inventory is not set: source medal needs a sense inventory",
        ),
    ],
)
def test_missing_file_or_setting_is_named_and_leaves_nothing(tmp_path, monkeypatch, data, error, told):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error) as caught:
        prepare(recipe(tmp_path, **data))
    assert str(caught.value) == told
    assert left(tmp_path) == []


def test_folder_that_was_never_prepared_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no prepared data; run `medalist prepare`"):
        open_prepared(tmp_path)


CERTAIN = {"medal": 1.0, "substituted": 1.0}


def report(number: int, *, defines: bool = True) -> list[str]:
    """An abstract, unlike the others by a word, that has something to mark in every way, or in all but `defined`."""
    word = "".join("abcdefghij"[int(digit)] for digit in str(number))
    definition = "A lymph node (LN) was seen, the LN was large." if defines else "None was seen."
    return [f"Case {word}: Rheumatoid arthritis on computed tomography.", definition]


@pytest.fixture(scope="module")
def pubmed(tmp_path_factory) -> Path:
    """A corpus of 400 abstracts as `medalist prepare pubmed` makes it; every fourth defines nothing."""
    folder = tmp_path_factory.mktemp("pubmed")
    INVENTORY.write(folder / "own.csv")
    path = abstracts(folder, *(report(n, defines=n % 4 > 0) for n in range(400)))
    settings = PubmedSettings(inventories=(folder / "own.csv",), probability=CERTAIN, validation=0.1, test=0.2)
    prepare_pubmed([Path(path)], folder / "corpus", settings)
    return folder / "corpus"


def kinds_of(prepared: Prepared) -> dict[str, str]:
    """The kind of each abstract's passage, over all splits; none comes twice."""
    found = [(p.id, p.source.removeprefix("pubmed-")) for split in SPLITS for p in prepared.passages(split)]
    assert len(dict(found)) == len(found)
    return dict(found)


def test_a_corpus_of_abstracts_is_taken_each_once_in_kinds_by_the_shares(pubmed, tmp_path):
    prepared = prepare(recipe(tmp_path, source="pubmed", path=str(pubmed), inventory=None))
    kinds = kinds_of(prepared)
    assert len(kinds) == 400
    definers = Counter(kind for identifier, kind in kinds.items() if int(identifier) % 4)
    assert {kind: count / 300 for kind, count in definers.items()} == {
        "medal": pytest.approx(0.25, abs=0.06),
        "substituted": pytest.approx(0.25, abs=0.06),
        "defined": pytest.approx(0.5, abs=0.06),
    }
    assert {kind for identifier, kind in kinds.items() if int(identifier) % 4 == 0} == {"medal", "substituted"}
    account = json.loads((pubmed / "corpus.json").read_text())
    assert prepared.account["passages"] == account["abstracts"]
    assert prepared.inventory.senses == Inventory.read(pubmed / "inventory.csv").senses
    assert prepared.inventory.long_forms("LN") == ("lymph node",)


def test_an_abstract_that_lacks_the_kind_drawn_comes_in_another(pubmed, tmp_path):
    shares = "data.kinds.shares={substituted: 1, defined: 1000}"
    kinds = kinds_of(prepare(recipe(tmp_path, shares, source="pubmed", path=str(pubmed), inventory=None)))
    assert len(kinds) == 400
    assert {kind for identifier, kind in kinds.items() if int(identifier) % 4 == 0} == {"substituted"}
    only = prepare(
        recipe(tmp_path, "data.kinds.shares={defined: 1}", source="pubmed", path=str(pubmed), inventory=None)
    )
    assert len(kinds_of(only)) == 300


def test_kinds_follow_from_the_seed_and_splits_from_the_corpus(pubmed, tmp_path):
    settings = recipe(tmp_path, source="pubmed", path=str(pubmed), inventory=None)
    one = prepare(settings)
    again = prepare(parse_recipe(settings.model_dump(mode="json"), [f"output={tmp_path / 'elsewhere' / 'runs'}"]))
    other = prepare(parse_recipe(settings.model_dump(mode="json"), ["seed=1", "data.test=0.5"]))
    assert again.folder != one.folder
    assert again.account["fingerprint"] == one.account["fingerprint"]
    assert kinds_of(other) != kinds_of(one)
    assert other.account["passages"] == one.account["passages"]


def test_files_of_abstracts_give_what_a_corpus_made_of_them_gives(pubmed, tmp_path):
    overrides = ["data.validation=0.1", "data.test=0.2", "data.kinds.probability={medal: 1, substituted: 1}"]
    path, inventory = str(pubmed.parent / "abstracts.jsonl"), str(pubmed.parent / "own.csv")
    from_files = prepare(recipe(tmp_path, *overrides, source="pubmed", path=path, inventory=inventory))
    from_corpus = prepare(recipe(tmp_path, source="pubmed", path=str(pubmed), inventory=None))
    assert from_files.account["fingerprint"] == from_corpus.account["fingerprint"]
    assert from_files.inventory == from_corpus.inventory
    assert (from_files.account["rows_read"], from_corpus.account["rows_read"]) == (400, 0)


@pytest.mark.parametrize("source", ["medal", "table", "sample"])
def test_a_corpus_of_another_source_is_refused(pubmed, tmp_path, source):
    with pytest.raises(ValueError, match=rf"^{pubmed} was prepared from pubmed, but data\.source is {source}$"):
        prepare(recipe(tmp_path, source=source, path=str(pubmed)))
    assert left(tmp_path) == []


def test_a_kind_that_cannot_be_had_is_named_with_those_that_can(tmp_path):
    INVENTORY.write(tmp_path / "own.csv")
    path = abstracts(tmp_path, report(1, defines=False))
    told = r"^{} has no passages of kind {}; remove it from data\.kinds\.shares\. Available: {}\.$"
    certain = "data.kinds.probability={medal: 1, substituted: 1}"
    with pytest.raises(ValueError, match=told.format(path, "defined", "medal, substituted")):
        prepare(recipe(tmp_path, certain, source="pubmed", path=path))
    settings = PubmedSettings(inventories=(tmp_path / "own.csv",), kinds=("medal",), probability=CERTAIN)
    prepare_pubmed([Path(path)], tmp_path / "corpus", settings)
    with pytest.raises(ValueError, match=told.format(tmp_path / "corpus", "substituted or defined", "medal")):
        prepare(recipe(tmp_path, source="pubmed", path=str(tmp_path / "corpus")))
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (
            ["data.substitution.mode=medal"],
            r"^data\.substitution\.mode does not apply to source pubmed: use data\.kinds",
        ),
        (["data.inventory=null"], r"^data\.inventory is not set: kinds medal and substituted need a sense inventory$"),
    ],
)
def test_a_setting_that_abstracts_cannot_do_with_or_without_is_named(tmp_path, overrides, told):
    path = abstracts(tmp_path, report(1))
    with pytest.raises(ValueError, match=told):
        prepare(recipe(tmp_path, *overrides, source="pubmed", path=path))
    assert left(tmp_path) == []


def test_abstracts_that_define_their_short_forms_need_no_inventory(tmp_path):
    overrides = ["data.kinds.shares={defined: 1}", "data.validation=0", "data.test=0"]
    prepared = prepare(
        recipe(tmp_path, *overrides, source="pubmed", path=abstracts(tmp_path, report(1)), inventory=None)
    )
    assert dict(prepared.inventory.senses) == {"LN": (Sense(long_form="lymph node", count=1),)}


def test_without_an_inventory_some_training_abstract_must_define_a_short_form(tmp_path):
    settings = recipe(
        tmp_path,
        "data.kinds.shares={defined: 1}",
        source="pubmed",
        path=abstracts(tmp_path, report(1, defines=False)),
        inventory=None,
    )
    with pytest.raises(
        ValueError, match=r"^No training abstract in .*abstracts\.jsonl defines a short form; provide an inv"
    ):
        prepare(settings)
    assert left(tmp_path) == []


def test_short_forms_that_only_a_test_abstract_defines_are_read_back(tmp_path):
    texts = [
        [f"{report(n)[0]} Heart rate {chr(97 + n)} (HR{chr(65 + n)}): HR{chr(65 + n)}’s, HR{chr(65 + n)}s."]
        for n in range(20)
    ]
    overrides = ["data.kinds.shares={defined: 1}", "data.test=0.6"]
    prepared = prepare(recipe(tmp_path, *overrides, source="pubmed", path=abstracts(tmp_path, *texts), inventory=None))
    test = prepared.passages("test")
    assert not {m.short_form for p in test for m in p.mentions} & set(prepared.inventory.senses)
    assert {p.surface(p.mentions[0])[3:] for p in test} == {"’s"}


def test_an_account_of_another_shape_is_refused_in_one_line(tmp_path):
    folder = prepare(parse_recipe({"output": str(tmp_path / "runs"), "data": {"limit": 4}})).folder
    account = json.loads((folder / "data.json").read_text())
    assert open_prepared(folder).account == account
    (folder / "data.json").write_text(json.dumps(account | {"passages": 4}))
    with pytest.raises(
        ValueError, match=r"data\.json does not have the format .*passages.*Remove the folder and run"
    ) as error:
        open_prepared(folder)
    assert "\n" not in str(error.value)


def letters(folder: Path, text: str, number: int = 60) -> str:
    """Plain texts that differ in a name."""
    names = ["".join(chr(ord("a") + int(digit)) for digit in str(n)) for n in range(number)]
    lines = ({"id": f"l{n}", "text": text.format(name)} for n, name in enumerate(names))
    path = folder / "letters.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


LETTER = (
    "Letter {0} about ward {0}. The right atrium was large on computed tomography. He slept well and ate his "
    "breakfast, and nothing else of note was found when we looked again that day."
)


def test_plain_texts_are_typed_as_passages_with_the_look_alikes_that_they_have(tmp_path):
    prepared = prepare(recipe(tmp_path, source="text", path=letters(tmp_path, LETTER), test=0.2, validation=0.1))
    found = {split: prepared.passages(split) for split in SPLITS}
    assert all(found.values())
    golds = Counter(m.long_form for part in found.values() for p in part for m in p.mentions)
    assert {"right atrium", "computed tomography"} <= set(golds)
    assert not (prepared.folder / "corpus").exists()
    with pytest.raises(ValueError, match=r"substitution\.mode does not apply to source text"):
        prepare(recipe(tmp_path, "data.substitution.mode=mended", source="text", path=letters(tmp_path, LETTER)))


def test_without_an_inventory_plain_texts_are_read_with_the_note_reader_s(tmp_path, monkeypatch):
    monkeypatch.setattr("medalist.runs.reading.TextSettings", partial(TextSettings, written=False))
    prepared = prepare(recipe(tmp_path, source="text", path=letters(tmp_path, LETTER), inventory=None))
    assert prepared.inventory.senses.keys() == reader.inventory().senses.keys()


def test_another_version_prepares_anew(tmp_path, monkeypatch):
    settings = recipe(tmp_path, source="table", path=table(tmp_path))
    before = data_folder(settings)
    monkeypatch.setattr("medalist.runs.prepare.__version__", "99")
    assert data_folder(settings) != before


def test_a_damaged_file_of_choices_is_named(tmp_path):
    (tmp_path / "test.parquet").write_bytes(b"PAR1 cut")
    with pytest.raises(ValueError, match=r"test\.parquet is not a Parquet file, or is truncated"):
        read_quizzes(tmp_path / "test.parquet")


def test_folders_beside_are_taught_with_the_candidates_of_their_own(tmp_path):
    own = Inventory.of([("RA", "right atrium", 1, None), ("LV", "left ventricle", 1, None)])
    own.write(tmp_path / "beside.csv")
    path = letters(tmp_path, LETTER.replace("computed tomography", "this view of the left ventricle"))
    prepare_text([Path(path)], tmp_path / "corpus", TextSettings(inventory=tmp_path / "beside.csv", validation=0))
    settings = recipe(tmp_path, source="table", path=table(tmp_path), beside=[str(tmp_path / "corpus")])
    prepared = prepare(settings)
    [(passages, inventory)] = prepared.beside()
    assert inventory.senses.keys() == {"RA", "LV"}
    assert prepared.inventory.senses.keys() == INVENTORY.senses.keys()
    assert len(passages) == prepared.account["beside"][0]["passages"] > 5
    assert fingerprint(passages) == prepared.account["fingerprint"]["beside-1"]
    assert prepared.folder != data_folder(recipe(tmp_path, source="table", path=table(tmp_path)))
    assert prepare(recipe(tmp_path, source="table", path=table(tmp_path))).beside() == []
    with pytest.raises(ValueError, match=r"own\.csv was not made by `medalist prepare"):
        prepare(recipe(tmp_path, source="table", path=table(tmp_path), beside=[str(tmp_path / "own.csv")]))


def table_recipe(folder, long_forms, distractors=0):
    """A recipe of a table whose notes have these long forms for RA in turn."""
    notes = [
        {"id": str(n), "text": f"On RA now, {n}.", "mentions": [{"start": 3, "end": 5, "long_form": name}]}
        for n, name in enumerate(long_forms)
    ]
    (folder / "notes.jsonl").write_text("".join(json.dumps(note) + "\n" for note in notes))
    (folder / "senses.csv").write_text("short_form,long_form\nRA,room air\nRA,rheumatoid arthritis\n")
    overrides = [
        *("data.source=table", f"data.path={folder}/notes.jsonl", f"data.inventory={folder}/senses.csv"),
        *("data.test=0", "data.validation=0", f"data.substitution.distractors={distractors}", f"output={folder}/runs"),
    ]
    return parse_recipe({}, overrides)


def test_golds_of_a_table_match_in_any_case_and_the_rest_is_counted_with_the_nearest(tmp_path):
    prepared = prepare(table_recipe(tmp_path, ["Room Air", "Rheumatoid Arthritis", "rheumatoid artritis", "x"] * 3))
    golds = [m.long_form for p in prepared.passages("train") for m in p.mentions]
    assert golds == ["room air", "rheumatoid arthritis", "rheumatoid artritis", "x"] * 3
    assert prepared.account["unusable_mentions"] == 6
    assert (
        prepared.left_out()
        == f"Not trained on: marks whose long form is not listed, 6 (data.json). The files are in {prepared.folder}"
    )
    assert prepared.account["unusable"][0] == {
        "short_form": "RA",
        "long_form": "rheumatoid artritis",
        "mentions": 3,
        "nearest": "RA: rheumatoid arthritis",
    }
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(prepared_table(prepared.account))
    shown = console.export_text()
    assert "6 marks of the training split teach nothing" in shown and "nearest: RA: rheumatoid arthritis" in shown


def test_a_table_without_a_mark_that_can_be_learnt_from_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"None of the 3 marks to train on .* RA has no rheumatoid artritis, the near"):
        prepare(table_recipe(tmp_path, ["rheumatoid artritis"] * 3))


def test_a_table_without_any_mark_is_not_trained_on_its_look_alikes_alone(tmp_path):
    recipe = table_recipe(tmp_path, ["room air"] * 3, distractors=3)
    notes = [{"id": str(n), "text": f"They were on it now {n}, as a rule, for all."} for n in range(9)]
    (tmp_path / "notes.jsonl").write_text("\n".join(map(json.dumps, notes)))
    (tmp_path / "senses.csv").write_text("short_form,long_form\nAS,aortic stenosis\nALL,leukaemia\nAS,x\nALL,y\n")
    with pytest.raises(ValueError, match=r"None of the \d passages to train on in .* has a mark with a long form"):
        prepare(recipe)
