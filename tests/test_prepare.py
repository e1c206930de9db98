from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from marking import marked
from medalist.inventory import Inventory
from medalist.passages import Passage, TooManyBadRows, fingerprint, write_jsonl
from medalist.prepare import data_folder, mark_distractors, open_prepared, prepare
from medalist.prompt import NONE_OF_THESE
from medalist.recipe import Recipe, parse_recipe
from medalist.sources import sample as corpus
from medalist.splits import shared_passages

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


def abstracts(folder: Path, *texts: str) -> str:
    path = folder / "abstracts.jsonl"
    path.write_text("".join(json.dumps({"id": str(n), "text": text}) + "\n" for n, text in enumerate(texts)))
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
        (["data.substitution.probability=1"], "After 3 days, RA (RA)."),
        (["data.substitution.probability=1", "data.substitution.mode=medal"], "after days RA RA"),
    ],
    ids=["mended by default", "medal on demand"],
)
def test_abstracts_get_their_short_forms_by_substitution(tmp_path, overrides, text):
    path = abstracts(tmp_path, "After 3 days, rheumatoid arthritis (right atrium).")
    settings = recipe(tmp_path, "data.test=0", "data.validation=0", *overrides, source="pubmed", path=path)
    [passage] = prepare(settings).passages("train")
    assert passage.text == text


def test_duplicate_abstracts_are_not_divided_though_they_are_marked_differently(tmp_path):
    text = "Rheumatoid arthritis, right atrium, computed tomography, aortic stenosis."
    path = abstracts(tmp_path, *[text] * 30, *(f"{text} {'x' * n}" for n in range(1, 30)))
    prepared = prepare(
        recipe(
            tmp_path, "data.substitution.probability=0.5", "data.substitution.distractors=0", source="pubmed", path=path
        )
    )
    homes = {p.id: split for split in SPLITS for p in prepared.passages(split)}
    texts = {p.text for split in SPLITS for p in prepared.passages(split) if int(p.id) < 30}
    assert len(texts) > 1
    assert len({homes[str(n)] for n in range(30) if str(n) in homes}) == 1
    assert set(homes.values()) == set(SPLITS)
    assert shared_passages(prepared.passages("train"), prepared.passages("test")) == set()


def test_limit_shortens_the_training_split_only(tmp_path):
    path = table(tmp_path)
    whole = prepare(recipe(tmp_path, source="table", path=path)).account["passages"]
    assert prepare(recipe(tmp_path, "data.limit=3", source="table", path=path)).account["passages"] == whole | {
        "train": 3
    }
    assert whole["train"] > 3


def test_bad_rows_within_the_limit_are_kept_beside_the_data(tmp_path):
    path = table(tmp_path)
    with Path(path).open("a") as file:
        file.write("{\n")
    prepared = prepare(recipe(tmp_path, source="table", path=path))
    [row] = map(json.loads, (prepared.folder / "quarantine.jsonl").read_text().splitlines())
    assert (row["file"], row["line"]) == ("table.jsonl", 41)
    assert sum(prepared.account["rows_quarantined"].values()) == 1


def test_too_many_bad_rows_leave_no_data_behind(tmp_path):
    path = table(tmp_path)
    with Path(path).open("a") as file:
        file.write("{\n" * 20)
    with pytest.raises(TooManyBadRows, match="20 of 60 rows are bad"):
        prepare(recipe(tmp_path, source="table", path=path))
    assert left(tmp_path) == []
    assert prepare(recipe(tmp_path, "data.max_bad_rows=0.5", source="table", path=path)).account["rows_read"] == 60


def test_data_without_a_marked_short_form_is_refused_and_leaves_nothing(tmp_path):
    path = abstracts(tmp_path, "nothing of the kind")
    with pytest.raises(
        ValueError, match=r"No passage of .*abstracts\.jsonl has a marked short form; is own\.csv the right"
    ):
        prepare(recipe(tmp_path, source="pubmed", path=path))
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


def surfaces(passage: Passage) -> list[tuple[str, str, str | None]]:
    return [(passage.surface(m), m.short_form, m.long_form) for m in passage.mentions]


def test_distractors_are_ordinary_words_that_look_like_short_forms():
    passage = marked("as [AS=aortic stenosis] was all, All. In al as-is")
    assert surfaces(mark_distractors(passage, INVENTORY, rate=9, seed=0)) == [
        ("as", "AS", NONE_OF_THESE),
        ("AS", "AS", "aortic stenosis"),
    ]
    assert surfaces(mark_distractors(marked("all as"), INVENTORY, rate=9, seed=0)) == [
        ("all", "ALL", NONE_OF_THESE),
        ("as", "AS", NONE_OF_THESE),
    ]


def test_a_marked_word_is_no_distractor():
    passage = marked("seen as [as|AS=aortic stenosis] such")
    assert surfaces(mark_distractors(passage, INVENTORY, rate=9, seed=0)) == [
        ("as", "AS", NONE_OF_THESE),
        ("as", "AS", "aortic stenosis"),
    ]


def test_a_word_that_the_inventory_lists_in_lower_case_is_no_distractor():
    inventory = Inventory.of([("as", "atherosclerosis", 1, None)])
    assert mark_distractors(marked("as such"), inventory, rate=9, seed=0).mentions == ()


def test_distractors_come_at_the_rate_asked_for_and_follow_from_seed_and_id():
    texts = [marked("as all as all as", str(n)) for n in range(400)]
    found = [mark_distractors(p, INVENTORY, rate=1.5, seed=2) for p in texts]
    counts = [len(p.mentions) for p in found]
    assert set(counts) == {1, 2}
    assert sum(counts) / 400 == pytest.approx(1.5, abs=0.1)
    assert [mark_distractors(p, INVENTORY, rate=1.5, seed=2) for p in reversed(texts)] == found[::-1]
    assert [mark_distractors(p, INVENTORY, rate=1.5, seed=3) for p in texts] != found
    assert all(mark_distractors(p, INVENTORY, rate=0, seed=2) == p for p in texts)
