"""PubMed files as a corpus: which revisions are kept, what is marked and mined, the same bytes however it is run.

Covers `revisions` too.
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

import medalist
from medalist.corpora import pubmed as pubmed_corpus
from medalist.corpora.corpus import finish
from medalist.corpora.pubmed import PubmedSettings, prepare_pubmed
from medalist.data.inventory import Inventory
from medalist.data.kinds import KINDS
from medalist.data.passages import Passage
from medalist.data.rows import TooManyBadRows
from medalist.data.shards import corpus_passages
from medalist.data.splits import Split, split_of
from medalist.recipe import parse_recipe
from medalist.runs.evaluate import evaluate_run
from medalist.runs.prepared import open_prepared
from medalist.runs.train import train
from medalist.tools.parallel import ray_cluster
from pubmed_xml import PRESSURE, article, deleted, file

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
INVENTORY = Inventory.of([("BP", "blood pressure", 9, None), ("HR", "heart rate", 5, None), ("T3", "after", 1, None)])
SHARES = {"validation": 0.2, "test": 0.3}
TRAIN, TEST = ([n for n in range(1, 200) if split_of(str(n), **SHARES) == split] for split in ("train", "test"))


def prepared(out: Path, *sources: Path, inventory: Inventory | None = INVENTORY, **how: Any) -> dict[str, Any]:
    """The account of a corpus of these files; the inventory, if there is one, is written beside it."""
    where = {name: how.pop(name) for name in ("workers", "ray") if name in how}
    paths = (out.parent / "senses.csv",) if inventory else ()
    for path in paths:
        assert inventory
        inventory.write(path)
    given = {"probability": {"medal": 1.0, "substituted": 1.0}, "max_bad_rows": 0.0, "inventories": paths, **SHARES}
    return prepare_pubmed(sources, out, PubmedSettings(**given | how), **where)


def passages(out: Path, kind: str, *splits: Split) -> list[Passage]:
    inventory = Inventory.read(out / "inventory.csv")
    return [p for split in splits or SPLITS for p in corpus_passages(out, split, inventory, kind=kind)]


def texts(out: Path, kind: str = "substituted") -> dict[str, str]:
    return {p.id: p.text for p in passages(out, kind)}


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_highest_version_counts_and_of_equal_versions_the_later_file(tmp_path):
    sources = [
        file(tmp_path, 1, article(1, PRESSURE.format("a"), version="10"), article(2, PRESSURE.format("b"))),
        file(tmp_path, 2, article(1, PRESSURE.format("c"), version="9"), article(2, PRESSURE.format("d"))),
        file(tmp_path, 3, article(3, PRESSURE.format("e")), article(3, PRESSURE.format("f"))),
    ]
    account = prepared(tmp_path / "out", *sources)
    assert texts(tmp_path / "out") == {
        n: f"BP rose in {x}, and BP fell." for n, x in (("1", "a"), ("2", "d"), ("3", "f"))
    }
    assert (account["revisions_replaced"], account["rows_read"]) == (3, 6)
    prepared(tmp_path / "turned", *sources[1::-1])
    assert texts(tmp_path / "turned") == {"1": "BP rose in a, and BP fell.", "2": "BP rose in b, and BP fell."}


def test_a_deletion_drops_what_came_before_it_and_nothing_that_comes_later(tmp_path):
    sources = [
        file(tmp_path, 1, *(article(n, PRESSURE.format("xyzvw"[n]), version="3") for n in range(4))),
        file(tmp_path, 2, article(4, PRESSURE.format("w")), deleted(4, 1, 2, 3, 99)),
        file(tmp_path, 3, article(2, PRESSURE.format("u"), version="3"), article(3, PRESSURE.format("t"))),
    ]
    account = prepared(tmp_path / "out", *sources)
    assert texts(tmp_path / "out") == {
        n: f"BP rose in {x}, and BP fell." for n, x in (("0", "x"), ("2", "u"), ("3", "t"))
    }
    assert (account["deleted"], account["revisions_replaced"]) == (2, 2)


def test_abstracts_without_text_and_the_same_words_are_left_out_and_counted(tmp_path):
    sources = [
        file(tmp_path, 1, article(5, PRESSURE.format("a")), article(6), article(7, PRESSURE.format("b"))),
        file(
            tmp_path, 2, article(1, "BLOOD pressure rose: in a 1, and", "blood-pressure fell"), article(7, version="2")
        ),
    ]
    account = prepared(tmp_path / "out", *sources)
    assert list(texts(tmp_path / "out")) == ["5"]
    assert (account["without_text"], account["duplicates"], account["revisions_replaced"]) == (2, 1, 1)
    assert sum(account["abstracts"].values()) == 1


def test_splits_follow_from_the_id_and_stay_when_files_are_added(tmp_path):
    parts = [article(n, f"{PRESSURE.format(words(n))}") for n in range(1, 61)]
    homes = []
    for number, sources in enumerate([[file(tmp_path, 2, *parts[20:40])], [file(tmp_path, 1, *parts[:20])]]):
        prepared(tmp_path / f"out{number}", *sources, tmp_path / "pubmed25n0002.xml.gz")
        out = tmp_path / f"out{number}"
        homes.append({p.id: s for kind in KINDS for s in SPLITS for p in passages_of(out, kind, s)})
    assert homes[0].items() < homes[1].items()
    assert homes[1] == {str(n): split_of(str(n), **SHARES) for n in range(1, 41)}
    assert set(homes[0].values()) == set(SPLITS)


def words(number: int) -> str:
    """A word for a number, for digits do not tell two texts apart."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


def passages_of(out: Path, kind: str, split: Split) -> list[Passage]:
    return passages(out, kind, split) if (out / kind).exists() else []


def defining(number: int, short_form: str, long_form: str) -> str:
    return article(number, f"We saw {long_form} ({short_form}) in {words(number)}. Then {short_form} rose.")


def test_senses_are_mined_from_training_abstracts_only(tmp_path):
    source = file(
        tmp_path,
        1,
        defining(TRAIN[0], "RA", "rheumatoid arthritis"),
        defining(TEST[0], "RA", "right atrium"),
        defining(TEST[1], "CT", "computed tomography"),
    )
    account = prepared(tmp_path / "out", source)
    listed = Inventory.read(tmp_path / "out" / "inventory.csv")
    assert listed.long_forms("RA") == ("rheumatoid arthritis",) and not listed.long_forms("CT")
    assert (account["inventory"]["mined_short_forms"], account["inventory"]["mined_senses"]) == (1, 1)
    assert account["inventory"]["origin"] == "senses.csv + mined"
    assert {p.id for p in passages(tmp_path / "out", "defined", "test")} == {str(n) for n in TEST[:2]}


@pytest.mark.parametrize(("least", "mined"), [(1, ["right atrium", "room air"]), (2, ["right atrium"]), (4, [])])
def test_a_sense_is_mined_when_so_many_training_abstracts_define_it_in_any_spelling_or_file(tmp_path, least, mined):
    spelt = ["right atrium", "Right Atrium", "right atriums"]
    sources = [file(tmp_path, n, defining(TRAIN[n], "RA", name)) for n, name in enumerate([*spelt, "room air"])]
    account = prepared(tmp_path / "out", *sources, min_count=least)
    assert list(Inventory.read(tmp_path / "out" / "inventory.csv").long_forms("RA")) == mined
    assert account["inventory"]["mined_senses"] == len(mined)


def test_mined_senses_join_those_of_the_inventories_given_and_golds_are_spelt_as_listed(tmp_path):
    Inventory.of([("RA", "right atrium", 50, "C0225844"), ("HR", "heart rate", 1, None)]).write(tmp_path / "other.csv")
    INVENTORY.write(tmp_path / "senses.csv")
    sources = [file(tmp_path, 1, defining(TRAIN[0], "RA", "Right Atriums"), defining(TRAIN[1], "RA", "room air"))]
    inventories = (tmp_path / "senses.csv", tmp_path / "other.csv")
    account = prepared(tmp_path / "out", *sources, inventories=inventories)
    listed = Inventory.read(tmp_path / "out" / "inventory.csv")
    assert [(s.long_form, s.count, s.concept) for s in listed.senses["RA"]] == [
        ("right atrium", 51, "C0225844"),
        ("room air", 1, None),
    ]
    assert {s.long_form: s.count for s in listed.senses["HR"]} == {"heart rate": 6}
    assert account["inventory"]["short_forms"] == len(listed) == 4
    assert {m.long_form for p in passages(tmp_path / "out", "defined") for m in p.mentions} == {
        "right atrium",
        "room air",
    }


def test_medal_shortens_the_first_inventory_only_and_substituted_all(tmp_path):
    Inventory.of([("GC", "gastric cancer", 1, None)]).write(tmp_path / "other.csv")
    INVENTORY.write(tmp_path / "senses.csv")
    text = "After gastric cancer, blood pressure fell."
    prepared(
        tmp_path / "out",
        file(tmp_path, 1, article(1, text)),
        inventories=(tmp_path / "senses.csv", tmp_path / "other.csv"),
    )
    assert texts(tmp_path / "out", "medal") == {"1": "T3 gastric cancer BP fell"}
    assert texts(tmp_path / "out", "substituted") == {"1": "After GC, BP fell."}


def test_each_kind_has_its_folder_and_its_counts(tmp_path):
    parts = [article(n, f"Aim: blood pressure of {words(n)}.", "Later, heart rate.") for n in range(1, 13)]
    parts += [defining(n, "RA", "right atrium") for n in (50, 51)]
    account = prepared(tmp_path / "out", file(tmp_path, 1, *parts[:6]), file(tmp_path, 2, *parts[6:]))
    for kind in KINDS:
        for split in SPLITS:
            found = passages(tmp_path / "out", kind, split)
            counted = {"passages": len(found), "mentions": sum(len(p.mentions) for p in found)}
            assert account["kinds"][kind][split] == counted
            assert {p.source for p in found} <= {f"pubmed-{kind}"}
    assert [sum(cell["mentions"] for cell in account["kinds"][kind].values()) for kind in KINDS] == [12, 26, 2]
    assert account["short_forms"] == {
        "medal": [["BP", 12]],
        "substituted": [["BP", 12], ["HR", 12], ["RA", 2]],
        "defined": [["RA", 2]],
    }
    assert sum(account["abstracts"].values()) == 14
    assert json.loads((tmp_path / "out" / "corpus.json").read_text()) == account
    card = (tmp_path / "out" / "card.html").read_text()
    assert "<b>14</b><small>abstracts kept" in card and "<b>26</b><small>short forms marked: substituted" in card
    assert not {"read", "kept", "mined", "marked", "files.json", "settings.json"} & {
        p.name for p in (tmp_path / "out").iterdir()
    }


def test_all_sections_are_for_medal_where_they_are_wanted(tmp_path):
    source = file(tmp_path, 1, article(1, "Aim: blood pressure.", "Heart rate too."))
    account = prepared(tmp_path / "out", source, kinds=("medal",), all_sections=True)
    assert texts(tmp_path / "out", "medal") == {"1": "aim BP HR too"}
    assert list(account["kinds"]) == ["medal"] and account["inventory"]["mined_senses"] == 0
    assert not (tmp_path / "out" / "defined").exists()


SENSES = (
    ("RA", "rheumatoid arthritis"),
    ("RA", "right atrium"),
    ("MI", "myocardial infarction"),
    ("MI", "mitral insufficiency"),
    ("LN", "lymph node"),
    ("QoL", "quality of life"),
)


def abstract(number: int) -> str:
    """An abstract with two definitions and what the inventory lists; its short forms and senses follow from the
    number."""
    (first, one), (second, other) = SENSES[number % 6], SENSES[(number // 6 + number + 2) % 6]
    sections = [f"Of {words(number)}: {one} ({first}), with 12.5% blood pressure after {first}'s and {first}s."]
    sections.append(
        f"{other.capitalize()} ({second}) raised heart rate; no {second}, more {one}. We saw {second} and {first}."
    )
    return article(number, *sections)


def three_files(folder: Path) -> list[Path]:
    """Ninety abstracts in three files, with a revision, a deletion and a repetition."""
    parts = [abstract(n) for n in range(1, 91)]
    revised = article(3, "Blood pressure once more.", version="2")
    return [
        file(folder, 1, *parts[:30]),
        file(folder, 2, *parts[30:60], revised),
        file(folder, 3, *parts[60:], deleted(4), article(91, "BLOOD pressure, once more!")),
    ]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """A corpus of three files, made by this process alone; the files are beside it."""
    folder = tmp_path_factory.mktemp("corpus")
    prepared(folder / "out", *three_files(folder), probability={"medal": 0.5, "substituted": 0.7})
    return folder / "out"


def test_every_mark_is_its_short_form_up_to_plural_and_possessive(corpus):
    found = [(p, m) for kind in KINDS for p in passages(corpus, kind) for m in p.mentions]
    surfaces = {(m.short_form, p.surface(m)) for p, m in found}
    assert all(surface in (key, f"{key}s", f"{key}'s") for key, surface in surfaces)
    assert {("RA", "RA"), ("RA", "RAs"), ("RA", "RA's"), ("BP", "BP")} <= surfaces


def test_every_gold_is_listed(corpus):
    listed = Inventory.read(corpus / "inventory.csv")
    for kind in KINDS:
        golds = {(m.short_form, m.long_form) for p in passages(corpus, kind) for m in p.mentions}
        assert golds and all(long_form in listed.long_forms(key) for key, long_form in golds)


def test_no_definition_of_a_marked_short_form_is_left(corpus):
    for passage in passages(corpus, "defined"):
        for mention in passage.mentions:
            assert f"({mention.short_form}" not in passage.text
            assert mention.long_form is not None and mention.long_form not in passage.text.lower()


def test_ids_are_unique_in_a_kind_and_no_abstract_is_in_two_splits(corpus):
    homes: dict[str, Split] = {}
    for kind in KINDS:
        for split in SPLITS:
            found = [p.id for p in passages(corpus, kind, split)]
            assert found and len(found) == len(set(found))
            assert all(homes.setdefault(identifier, split) == split for identifier in found)
    assert len(homes) == 89
    account = json.loads((corpus / "corpus.json").read_text())
    assert (account["revisions_replaced"], account["deleted"], account["duplicates"]) == (1, 1, 1)


def test_two_processes_write_the_same_bytes_as_one(corpus):
    again = corpus.with_name("two")
    prepared(again, *sorted(corpus.parent.glob("*.gz")), probability={"medal": 0.5, "substituted": 0.7}, workers=2)
    assert content(again) == content(corpus)


def at_work() -> set[int]:
    """The Ray workers of this process that do a job."""
    busy = set()
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has ended meanwhile
            busy |= {child.pid} if child.cmdline()[:1] == ["ray::_attempt"] else set()
    return busy


def waiting(folder: Path, count: int, besides: int | None = None) -> int:
    """The only Ray worker that is at work, and stays so, when so many files have been read."""
    until = time.monotonic() + 60
    before: set[int] = set()
    while time.monotonic() < until:
        busy = at_work() - {besides} if len(list(folder.glob("read/*.json"))) == count else set()
        if len(busy) == 1 and busy == before:
            return busy.pop()
        before = busy
        time.sleep(0.1)
    raise TimeoutError(f"nobody is at work in {folder}")


def test_a_ray_cluster_writes_the_same_bytes_though_a_worker_is_killed(tmp_path, monkeypatch):
    """Two files are quickly read; the third is a pipe, at which a worker waits until it is killed, and then another."""
    rows = "".join(json.dumps({"pmid": n, "text": PRESSURE.format(words(n))}) + "\n" for n in range(100, 160))
    sources = [file(tmp_path, n, *map(abstract, range(n * 20, n * 20 + 20))) for n in (1, 2)]
    (tmp_path / "last.jsonl").write_text(rows)
    prepared(tmp_path / "one", *sources, tmp_path / "last.jsonl")
    (tmp_path / "last.jsonl").unlink()
    os.mkfifo(tmp_path / "last.jsonl")
    workers: list[int] = []

    def kill_and_go_on() -> None:
        work = tmp_path / ".ray.work"
        try:
            workers.append(waiting(work, 2))
            os.kill(workers[0], signal.SIGKILL)
            workers.append(waiting(work, 2, besides=workers[0]))
        finally:
            (tmp_path / "last.jsonl").write_text(rows)

    monkeypatch.setenv("PYTHONPATH", str(Path(medalist.__file__).parents[1]))
    helper = threading.Thread(target=kill_and_go_on, daemon=True)
    with ray_cluster("local", 2):
        monkeypatch.chdir(tmp_path)  # where the workers are not
        helper.start()
        prepared(tmp_path / "ray", *(Path(source.name) for source in (*sources, Path("last.jsonl"))), ray="auto")
    helper.join(timeout=60)
    assert len(set(workers)) == 2
    assert content(tmp_path / "ray") == content(tmp_path / "one")


def break_off(path: Path) -> None:
    """Take the end off a file."""
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-40]))


def times(folder: Path) -> dict[str, int]:
    """When each file of a folder was written."""
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_a_broken_file_costs_no_other_and_once_mended_only_it_is_read_again(tmp_path):
    sources = three_files(tmp_path)
    prepared(tmp_path / "whole", *sources)
    sound = sources[1].read_bytes()
    break_off(sources[1])
    with pytest.raises(
        ValueError, match=r"\A[^\n]*pubmed25n0002\.xml\.gz, line \d+: not well-formed XML \(.*Download it again\.\Z"
    ):
        prepared(tmp_path / "out", *sources)
    work = tmp_path / ".out.work"
    kept = times(work / "read")
    assert set(kept) == {f"{n:05}.{ending}" for n in (0, 2) for ending in ("json", "parquet")}
    assert not (tmp_path / "out").exists()
    sources[1].write_bytes(sound)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pubmed_corpus, "pubmed_card", None)  # stops before the work folder is cleared
        with pytest.raises(TypeError):
            prepared(tmp_path / "out", *sources)
    assert kept.items() < times(work / "read").items()
    marked = times(work / "marked") | times(work / "substituted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pubmed_corpus, "finish", lambda work, out, leave_out: finish(work, out, leave_out=()))
        prepared(tmp_path / "out", *sources)
    assert times(tmp_path / "out" / "marked") | times(tmp_path / "out" / "substituted") == marked
    assert content(tmp_path / "whole").items() <= content(tmp_path / "out").items()


def test_of_several_broken_files_the_first_is_told_and_the_others_are_named(tmp_path):
    sources = three_files(tmp_path)
    for source in sources[1:]:
        break_off(source)
    with pytest.raises(ValueError, match=r"pubmed25n0002\.xml\.gz, line") as caught:
        prepared(tmp_path / "out", *sources)
    assert caught.value.__notes__ == ["1 more of 3 failed: pubmed25n0003.xml.gz"]


def test_a_file_that_changes_after_a_stop_is_read_again_and_what_was_made_of_it_is_made_anew(tmp_path):
    sources = [file(tmp_path, n, article(n, PRESSURE.format(words(n)))) for n in range(1, 5)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pubmed_corpus, "finish", None)  # stopped at the very end
        with pytest.raises(TypeError):
            prepared(tmp_path / "out", *sources)
    file(tmp_path, 2, article(2))
    file(tmp_path, 3, article(7, "No heart rate."))
    account = prepared(tmp_path / "out", *sources)
    assert sorted(texts(tmp_path / "out")) == ["1", "4", "7"]
    assert account["without_text"] == 1
    prepared(tmp_path / "whole", *sources)
    assert content(tmp_path / "whole") == content(tmp_path / "out")


def test_other_settings_begin_anew_but_another_limit_does_not(tmp_path, monkeypatch):
    sources = [file(tmp_path, 1, article(1, PRESSURE.format("a")), article("x", "b"))]
    with pytest.raises(
        TooManyBadRows, match=r"^1 of 2 rows are bad \(limit 0%\); the first: pubmed25n0001\.xml\.gz, row"
    ):
        prepared(tmp_path / "out", *sources)
    assert not (tmp_path / "out").exists()
    prepared(tmp_path / "whole", *sources, max_bad_rows=0.5, seed=5)
    before = times(tmp_path / ".out.work" / "read")
    with pytest.raises(TooManyBadRows):
        prepared(tmp_path / "out", *sources, max_bad_rows=0.1)
    assert times(tmp_path / ".out.work" / "read") == before
    prepared(tmp_path / "out", *sources, max_bad_rows=0.5, seed=5)
    assert content(tmp_path / "whole") == content(tmp_path / "out")
    [row] = map(json.loads, (tmp_path / "out" / "quarantine.jsonl").read_text().splitlines())
    assert row["reason"] == "the PMID is not a number"


@pytest.mark.parametrize("settings", [None, "{}", '{"files": [], "theme": "dark"}', "not JSON"])
def test_a_folder_of_the_user_s_own_in_the_work_folder_s_place_is_named_and_stays(tmp_path, settings):
    source = file(tmp_path, 1, article(1, "Blood pressure rose."))
    theirs = tmp_path / ".out.work"
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("the user's own")
    if settings:
        (theirs / "settings.json").write_text(settings)
    with pytest.raises(FileExistsError, match=r"\.out\.work is where unfinished work is kept, but"):
        prepared(tmp_path / "out", source)
    assert (theirs / "thesis.txt").read_text() == "the user's own"


def test_a_second_corpus_of_the_same_name_takes_its_own_inventory(tmp_path):
    source = file(tmp_path, 1, article(1, "Blood pressure rose."))
    for short_form in ("BP", "BLP"):
        prepared(tmp_path / "out", source, inventory=Inventory.of([(short_form, "blood pressure", 1, None)]))
        assert texts(tmp_path / "out") == {"1": f"{short_form} rose."}
        (tmp_path / "out").rename(tmp_path / short_form)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (
            {},
            r"No abstract in .*n0001\.xml\.gz and 1 more files has anything to mark for the chosen kinds; is "
            r"senses\.csv .*",
        ),
        ({"inventory": None}, "The kinds medal and substituted need an inventory of long forms to look for"),
        (
            {"inventory": None, "kinds": ("defined",)},
            r"No training abstract in .*n0001\.xml\.gz and 1 more files defines a short form; provide an "
            r"inventory of long forms",
        ),
    ],
)
def test_nothing_to_mark_is_told_in_one_line_and_leaves_no_corpus(tmp_path, how, told):
    sources = [file(tmp_path, n, article(n, f"Nothing of {words(n)}.")) for n in (1, 2)]
    with pytest.raises(ValueError, match=rf"\A{told}\Z"):
        prepared(tmp_path / "out", *sources, **how)
    assert not (tmp_path / "out").exists()


def test_definitions_alone_need_no_inventory(tmp_path):
    sources = [file(tmp_path, 1, defining(TRAIN[0], "RA", "right atrium"))]
    account = prepared(tmp_path / "out", *sources, inventory=None, kinds=("defined",))
    assert texts(tmp_path / "out", "defined") == {str(TRAIN[0]): f"We saw RA in {words(TRAIN[0])}. Then RA rose."}
    assert account["inventory"] == {
        "origin": "mined",
        "short_forms": 1,
        "senses": 1,
        "mined_short_forms": 1,
        "mined_senses": 1,
    }


def recipe(folder: Path, base: Path, source: str, path: Path, *overrides: str) -> Any:
    """Two steps of the tiny model on a corpus."""
    values = {
        "name": "tiny",
        "output": str(folder / "runs"),
        "model": {"base": str(base)},
        "data": {"source": source, "path": str(path), "limit": 8, "limit_validation": 4},
        "training": {"max_steps": 2, "evaluate_every": 2},
        "evaluation": {"bootstrap": 100},
    }
    return parse_recipe(values, overrides)


def test_a_corpus_is_trained_and_evaluated_on_as_it_is_its_kinds_mixed(corpus, model_folder, tmp_path):
    shares = "data.kinds.shares={defined: 2, substituted: 1, medal: 1}"
    run = train(recipe(tmp_path, model_folder, "pubmed", corpus, shares))
    data = open_prepared(run.data_folder)
    assert {p.source for p in data.passages("test")} == {f"pubmed-{kind}" for kind in KINDS}
    assert data.account["passages"]["train"] == 8 and run.inventory == Inventory.read(corpus / "inventory.csv")
    metrics, folder = evaluate_run(run)
    ids = {p.id for kind in KINDS for p in passages(corpus, kind, "test")}
    assert metrics["counts"]["passages"] == len(ids) and metrics["counts"]["passages_in_training_data"] == 0
    assert {"base", "tuned"} <= set(metrics["models"]) and (folder / "metrics.json").exists()
