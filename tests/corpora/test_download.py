from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest

from medalist.corpora import download
from medalist.corpora.download import hub_parquet, named_tables, zenodo_file
from medalist.corpora.origins import is_public
from servers import COMMIT, Answer, Hub, Served, Zenodo, direct_connections, serving, use_hub

BODY = random.Random(0).randbytes(3_000_000)
HALF = 1_500_000
REPO = "someone/abstracts"
PARTS = {
    "default/train/0001.parquet": b"second",
    "default/train/0000.parquet": b"first",
    "default/test/0000.parquet": b"other",
    "README.md": b"words",
}


@pytest.fixture(autouse=True, scope="module")
def connections() -> Iterator[None]:
    with direct_connections():
        yield


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch) -> None:
    monkeypatch.setattr(download, "WAITS", (0, 0, 0, 0, 0))


def fetch(server: Served, folder: Path, name: str = "train.csv") -> Path:
    return zenodo_file(name, folder, record="7", api=f"{server.url}/records")


def contents(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".origin.json"))


def test_a_file_arrives_whole_and_under_its_name(tmp_path):
    with serving(Zenodo({"train.csv": BODY, "test.csv": b"x"})) as server:
        path = fetch(server, tmp_path / "new" / "data")
    assert path == tmp_path / "new" / "data" / "train.csv"
    assert path.read_bytes() == BODY
    assert contents(path.parent) == ["train.csv"]
    assert (
        server.asked("/files/")[0].headers["accept-encoding"] == "identity"
    )  # or sizes and ranges would not be the file's


def test_a_file_that_is_there_is_checked_and_not_fetched_again(tmp_path):
    with serving(Zenodo({"train.csv": BODY})) as server:
        fetch(server, tmp_path)
        assert len(server.asked("/files/")) == 1
        assert fetch(server, tmp_path).read_bytes() == BODY
        assert len(server.asked("/files/")) == 1


@pytest.mark.parametrize("other", [BODY[:HALF], bytes(len(BODY))], ids=["shorter", "of the same size"])
def test_another_file_of_that_name_is_left_alone(tmp_path, other):
    (tmp_path / "train.csv").write_bytes(other)
    with (
        serving(Zenodo({"train.csv": BODY})) as server,
        pytest.raises(FileExistsError, match=r"is not train\.csv of Zenodo record 7 .*move it away"),
    ):
        fetch(server, tmp_path)
    assert (tmp_path / "train.csv").read_bytes() == other
    assert not server.asked("/files/")


def test_a_connection_cut_half_way_is_taken_up_where_it_broke(tmp_path):
    with serving(Zenodo({"train.csv": BODY}, faults=[Answer(cut=HALF)])) as server:
        path = fetch(server, tmp_path)
    assert path.read_bytes() == BODY
    first, second = server.asked("/files/")
    assert "range" not in first.headers
    start = int(second.headers["range"].removeprefix("bytes=").removesuffix("-"))
    assert 0 < start <= HALF


def test_a_server_that_ends_early_without_having_said_the_length_is_asked_for_the_rest(tmp_path):
    with serving(Zenodo({"train.csv": BODY}, faults=[Answer(cut=HALF, says_length=False)])) as server:
        assert fetch(server, tmp_path).read_bytes() == BODY
    assert len(server.asked("/files/")) == 2


def test_a_server_that_ignores_ranges_sends_all_of_it_again(tmp_path):
    with serving(Zenodo({"train.csv": BODY}, honours_range=False, faults=[Answer(cut=HALF)])) as server:
        assert fetch(server, tmp_path).read_bytes() == BODY
    assert "range" in server.asked("/files/")[1].headers


def test_breaking_often_is_no_failure_as_long_as_bytes_arrive(tmp_path):
    cuts = [Answer(cut=100_000)] * 12
    with serving(Zenodo({"train.csv": BODY}, faults=cuts)) as server:
        assert fetch(server, tmp_path).read_bytes() == BODY
    assert len(server.asked("/files/")) == 13


def test_always_breaking_at_the_same_place_ends(tmp_path):
    cuts = [Answer(cut=100_000)] * 50
    with (
        serving(Zenodo({"train.csv": BODY}, honours_range=False, faults=cuts)) as server,
        pytest.raises(OSError, match=r"train\.csv could not be downloaded .*later; the first 100 kB are kept"),
    ):
        fetch(server, tmp_path)
    assert 6 <= len(server.asked("/files/")) < 20


def test_a_server_in_trouble_is_asked_again_for_the_record_and_for_the_file(tmp_path):
    zenodo = Zenodo({"train.csv": BODY}, record_faults=[Answer(429)], faults=[Answer(500), Answer(503)])
    with serving(zenodo) as server:
        assert fetch(server, tmp_path).read_bytes() == BODY
    assert (len(server.asked("/records/")), len(server.asked("/files/"))) == (2, 3)


def test_a_server_that_stays_in_trouble_is_given_up_after_five_more_tries(tmp_path):
    with (
        serving(Zenodo({"train.csv": BODY}, faults=[Answer(500)] * 50)) as server,
        pytest.raises(OSError, match=r"could not be downloaded .*500 Internal Server Error.*try again later\."),
    ):
        fetch(server, tmp_path)
    assert len(server.asked("/files/")) == 6
    assert contents(tmp_path) == []


def test_the_waits_between_tries_grow(tmp_path, monkeypatch):
    monkeypatch.undo()
    slept = []
    monkeypatch.setattr("medalist.tools.retrying.time", SimpleNamespace(sleep=slept.append))
    with (
        serving(Zenodo({}, record_faults=[Answer(502)] * 50)) as server,
        pytest.raises(OSError, match="502 Bad Gateway"),
    ):
        fetch(server, tmp_path)
    assert slept == [1, 2, 4, 8, 16]


def test_no_server_at_all_gives_one_line(tmp_path):
    with serving(Zenodo({})) as server:
        pass
    with pytest.raises(OSError, match=r"^the list of files could not be downloaded from http.*ConnectError[^\n]*$"):
        fetch(server, tmp_path)


def test_an_address_that_cannot_be_right_is_not_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr("medalist.tools.retrying.time", None)  # no waiting
    with pytest.raises(
        OSError, match=r"^the list of files could not be downloaded from nowhere/4482922 \(Unsupp[^\n]*\)\.$"
    ):
        zenodo_file("train.csv", tmp_path, api="nowhere")


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_is_final(tmp_path, status):
    with (
        serving(Zenodo({}, record_faults=[Answer(status)] * 50)) as server,
        pytest.raises(OSError, match=rf"/records/7 returned {status} \w+( \w+)?: check that it exists and is publicly"),
    ):
        fetch(server, tmp_path)
    assert len(server.requests) == 1


def test_an_answer_that_is_no_record_says_so(tmp_path):
    with (
        serving(lambda _: Answer(body=b'{"id": 7}')) as server,
        pytest.raises(OSError, match="did not return a Zenodo record with files"),
    ):
        fetch(server, tmp_path)


def test_a_name_that_the_record_does_not_list_shows_those_that_it_does(tmp_path):
    with (
        serving(Zenodo({"train.csv": BODY, "test.csv": b"x"})) as server,
        pytest.raises(ValueError, match=r'no file "tain\.csv"\. Known: test\.csv \(0 kB\), train\.csv \(3\.0 MB\)\.'),
    ):
        fetch(server, tmp_path, "tain.csv")


def test_a_wrong_checksum_leaves_nothing_behind(tmp_path):
    with (
        serving(Zenodo({"train.csv": BODY}, checksums={"train.csv": "0" * 32})) as server,
        pytest.raises(OSError, match=r"train\.csv was damaged in transit .*download it again"),
    ):
        fetch(server, tmp_path)
    assert contents(tmp_path) == []


def test_a_beginning_of_something_else_does_not_get_into_the_file(tmp_path):
    (tmp_path / ".train.csv.part").write_bytes(bytes(HALF))
    with serving(Zenodo({"train.csv": BODY})) as server:
        with pytest.raises(OSError, match="was damaged in transit"):
            fetch(server, tmp_path)
        assert fetch(server, tmp_path).read_bytes() == BODY


def test_a_part_longer_than_the_file_is_thrown_away(tmp_path):
    (tmp_path / ".train.csv.part").write_bytes(bytes(len(BODY) + 1))
    with serving(Zenodo({"train.csv": BODY})) as server:
        assert fetch(server, tmp_path).read_bytes() == BODY
    assert contents(tmp_path) == ["train.csv"]


def test_a_part_that_is_complete_is_only_checked(tmp_path):
    (tmp_path / ".train.csv.part").write_bytes(BODY)
    with serving(Zenodo({"train.csv": BODY})) as server:
        assert fetch(server, tmp_path).read_bytes() == BODY
    assert not server.asked("/files/")


def test_too_little_disk_space_is_said_before_anything_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2_000_000))
    with serving(Zenodo({"train.csv": BODY})) as server:
        with pytest.raises(OSError, match=r"room for .*/train\.csv: it takes up to 3\.0 MB, and 2\.0 MB are free"):
            fetch(server, tmp_path)
        assert not server.asked("/files/")
        (tmp_path / ".train.csv.part").write_bytes(BODY[:HALF])  # what is there already needs no room
        assert fetch(server, tmp_path).read_bytes() == BODY


def test_a_killed_process_leaves_a_part_that_the_next_one_completes(tmp_path):
    part = tmp_path / ".train.csv.part"
    with serving(Zenodo({"train.csv": BODY}, faults=[Answer(cut=HALF, stall=True)])) as server:
        code = (
            "from pathlib import Path; from medalist.corpora.download import zenodo_file;"
            f"zenodo_file('train.csv', Path({str(tmp_path)!r}), record='7', api='{server.url}/records')"
        )
        child = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"OMP_NUM_THREADS": "1"})
        try:
            deadline = time.monotonic() + 30
            while not (part.exists() and part.stat().st_size > HALF // 2):
                assert child.poll() is None and time.monotonic() < deadline
                time.sleep(0.02)
        finally:
            child.kill()
            child.wait()
        assert contents(tmp_path) == [part.name]
        kept = part.stat().st_size
        assert part.read_bytes() == BODY[:kept]
        assert fetch(server, tmp_path).read_bytes() == BODY
    assert server.asked("/files/")[-1].headers["range"] == f"bytes={kept}-"
    assert contents(tmp_path) == ["train.csv"]


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[Served]:
    datasets = {
        REPO: {"refs/convert/parquet": PARTS, "words": {"README.md": b"words"}},
        "someone/shards": {
            "main": {
                "data/train-00001-of-00002.parquet": b"B",
                "data/train-00000-of-00002.parquet": b"A",
                "data/test-00000-of-00001-0a1b2c3d.parquet": b"C",
            },
            "flat": {"train.parquet": b"D", "train/0000.parquet": b"E"},
            "several": {"one/train/0000.parquet": b"1", "two/train/0000.parquet": b"2", "two/test.parquet": b"3"},
        },
        "someone/gated": {"refs/convert/parquet": PARTS},
        "hospital/notes": {"refs/convert/parquet": PARTS},
        "hospital/on-request": {"refs/convert/parquet": PARTS},
        "hospital/unknown": {"refs/convert/parquet": PARTS},
    }
    told = {
        "hospital/notes": {"private": True},
        "hospital/on-request": {"gated": "manual"},
        "hospital/unknown": {"private": None},
    }
    with serving(Hub(datasets, gated=frozenset({"someone/gated"}), told=told)) as server:
        use_hub(server.url, tmp_path, monkeypatch)
        yield server


def read(paths: list[Path]) -> list[bytes]:
    return [path.read_bytes() for path in paths]


def test_a_split_comes_as_its_files_in_order(hub, tmp_path):
    paths = hub_parquet(REPO)
    assert read(paths) == [b"first", b"second"]
    assert all(path.is_relative_to(tmp_path) for path in paths)
    assert read(hub_parquet(REPO, split="test", config="default")) == [b"other"]


def test_only_a_dataset_that_is_open_to_all_counts_as_public(hub):
    """What publishing shows without being asked depends on it."""
    assert all(map(is_public, hub_parquet(REPO)))
    for repo in ("hospital/notes", "hospital/on-request", "hospital/unknown"):
        paths = hub_parquet(repo)  # this user has access
        assert read(paths) == [b"first", b"second"] and not any(map(is_public, paths)), repo


def test_what_another_program_downloaded_from_the_hub_is_not_known_to_be_public(hub):
    path = Path(huggingface_hub.hf_hub_download(REPO, "README.md", repo_type="dataset", revision="words"))
    assert path.read_bytes() == b"words" and not is_public(path)


def test_files_are_of_one_commit_and_fetched_once(hub):
    hub_parquet(REPO)
    asked = hub.asked("/resolve/")
    assert {request.path.split("/resolve/")[1].split("/")[0] for request in asked} == {COMMIT}
    hub_parquet(REPO)
    assert hub.asked("/resolve/") == asked


def test_the_usual_layouts_are_understood(hub):
    assert read(hub_parquet("someone/shards", revision="main")) == [b"A", b"B"]
    assert read(hub_parquet("someone/shards", revision="main", split="test", config="data")) == [b"C"]
    assert read(hub_parquet("someone/shards", revision="flat")) == [b"D", b"E"]
    assert read(hub_parquet("someone/shards", revision="several", config="two")) == [b"2"]
    assert read(hub_parquet("someone/shards", revision="several", config="two", split="test")) == [b"3"]


@pytest.mark.parametrize(
    ("repo", "choice", "message"),
    [
        (
            REPO,
            {"split": "validation"},
            rf'^{REPO}@refs/convert/parquet has no split "validation"\. Known: test, train\.',
        ),
        (REPO, {"config": "large"}, r'has no configuration "large"\. Known: default\.'),
        (REPO, {"revision": "words"}, r"has no Parquet files: choose another revision"),
        (REPO, {"revision": "none"}, r'^someone/abstracts has no revision "none" on the Hub'),
        ("someone/shards", {"revision": "several"}, r"has several configurations; choose one: one, two\."),
        (
            "someone/nothing",
            {},
            r"^someone/nothing does not exist as a dataset on the Hub, or is private: check the name",
        ),
        (
            "someone/gated",
            {},
            r"^someone/gated is gated, and your account does not have access: .*/datasets/someone/gated,",
        ),
    ],
)
def test_what_the_hub_does_not_have_is_said_in_one_line(hub, repo, choice, message):
    with pytest.raises(ValueError, match=message) as caught:
        hub_parquet(repo, **choice)
    assert "\n" not in str(caught.value)
    assert not any(request.method == "GET" for request in hub.asked("/resolve/"))


def test_a_hub_in_trouble_or_out_of_reach_is_said_in_one_line(tmp_path, monkeypatch):
    with serving(lambda _: Answer(500)) as server:
        use_hub(server.url, tmp_path, monkeypatch)
        with pytest.raises(OSError, match=rf"^{REPO}: the Hub returned 500: try again later\.$"):
            hub_parquet(REPO)
    with pytest.raises(
        OSError, match=rf"^{REPO}: the connection to the Hub failed or was lost \(ConnectError[^\n]*\)\.$"
    ):
        hub_parquet(REPO)


def test_a_source_may_be_on_zenodo_or_the_hub(tmp_path, monkeypatch):
    (tmp_path / "train.csv").write_text("ABSTRACT_ID,TEXT,LOCATION,LABEL\n")
    asked = []

    def zenodo_file(name, folder):
        asked.append((name, folder))
        return tmp_path / name

    monkeypatch.setattr("medalist.corpora.download.zenodo_file", zenodo_file)
    monkeypatch.setattr(
        "medalist.corpora.download.hub_parquet", lambda repo, split: [Path(repo, split, "0000.parquet")]
    )
    assert [table.name for table in named_tables("zenodo:train.csv", tmp_path / "kept")] == ["train"]
    assert asked == [("train.csv", tmp_path / "kept")]
    found = named_tables("hub:McGill-NLP/medal", tmp_path)
    assert [(table.name, table.path.parts[-2]) for table in found] == [(s, s) for s in ("train", "validation", "test")]
    assert [table.name for table in named_tables(str(tmp_path / "train.csv"), tmp_path)] == ["train"]
