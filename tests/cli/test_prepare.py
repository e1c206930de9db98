"""`medalist prepare medal` and `prepare pubmed`: what a user sees, above all when something is wrong.

Covers `data_tables` too.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import full_disk
import medalist
from medalist.cli.app import main
from medalist.data.inventory import Inventory
from pubmed_xml import article, pubmed

INVENTORY = Inventory.of([("RA", "right atrium", 1, None), ("BP", "blood pressure", 1, None)])
HEADER = "ABSTRACT_ID,TEXT,LOCATION,LABEL\n"
PROGRESS = re.compile(r"[\w ,]+: [\d,]+/[\d,]+ in \d+ s.*|Resuming from .*")


def run(capsys, *arguments: object) -> tuple[int, str, list[str]]:
    """Exit code, standard output, and the lines of standard error that are no progress."""
    code = 0
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, [line for line in captured.err.splitlines() if not PROGRESS.fullmatch(line)]


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """The current folder, with an inventory in senses.csv."""
    monkeypatch.chdir(tmp_path)
    INVENTORY.write(tmp_path / "senses.csv")
    return tmp_path


def gz(content: str, cut: int = 0) -> bytes:
    return gzip.compress(content.encode(), mtime=0)[: -cut or None]


def zipped(cut: int = 0, **members: str) -> bytes:
    with zipfile.ZipFile("made.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name.replace("_", "."), content)
    content = Path("made.zip").read_bytes()
    Path("made.zip").unlink()
    return content[: -cut or None]


def parquet(**columns: Any) -> bytes:
    pq.write_table(pa.table(columns), "made.parquet")
    content = Path("made.parquet").read_bytes()
    Path("made.parquet").unlink()
    return content


GOOD = HEADER + "".join(f"{n},in RA,1,right atrium\n" for n in range(300))
WRONG = {
    "cut.csv.gz": (lambda: gz(GOOD, 30), "cut.csv.gz is damaged or truncated (Compressed file ended before"),
    "cut.zip": (
        lambda: zipped(30, train_csv=GOOD),
        "cut.zip is damaged or truncated (File is not a zip file). Download it",
    ),
    "readme.zip": (
        lambda: zipped(README_md=GOOD),
        "readme.zip contains no CSV file, so it is not one of MeDAL's archives",
    ),
    "other.zip": (
        lambda: zipped(train_csv="id,body\n1,RA\n"),
        "other.zip, train.csv begins with the columns id, body, not with MeDAL's columns ABSTRACT_ID,TEXT,LOCATION",
    ),
    "other.csv": (lambda: b"id,body\n1,RA\n", "other.csv begins with the columns id, body, not with MeDAL's columns"),
    "empty.csv": (lambda: b"", "empty.csv is empty; a MeDAL table begins with ABSTRACT_ID,TEXT,LOCATION,LABEL"),
    "other.parquet": (
        lambda: parquet(id=[1], body=["in RA"]),
        "other.parquet has the columns id (int64), body (string), not abstract_id, text, location, label as MeDAL",
    ),
    "cut.parquet": (
        lambda: parquet(abstract_id=[1], text=["in RA"], location=[[1]], label=[["right atrium"]])[:-9],
        "cut.parquet is not a Parquet file, or is truncated (",
    ),
    "bad.csv": (
        lambda: (HEADER + "1,in RA,5,right atrium\n").encode(),
        "1 of 1 rows are bad (limit 5%); the first: bad.csv, row 2:",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_damaged_or_other_table_is_one_line_and_leaves_no_corpus(here, capsys, name):
    make, told = WRONG[name]
    Path(name).write_bytes(make())
    code, out, err = run(capsys, "prepare", "medal", name, "--inventory", "senses.csv", "--out", "out")
    assert (code, out, len(err)) == (1, "", 1)
    assert err[0].startswith(told)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("cut.xml.gz", None, "cut.xml.gz is damaged or truncated after line"),
        (
            "page.xml",
            b"<html></html>",
            "page.xml is a web page, whatever its name: perhaps a site's answer to someone who",
        ),
        ("other.xml", b"<set></set>", "other.xml, line 1: found <set> instead of <PubmedArticleSet>; is it one of"),
        (
            "other.jsonl",
            b'{"title": "x"}\n',
            "1 of 1 rows are bad (limit 5%); the first: other.jsonl, row 1: no pmid or id.",
        ),
        ("cut.jsonl.gz", gz('{"pmid": 1, "text": "blood pressure"}\n', 4), "cut.jsonl.gz is damaged or truncated ("),
        ("notes.txt", b"BP", "notes.txt has an unknown format. Known: .xml, .xml.gz, .jsonl, .jsonl.gz, .ndjson"),
    ],
)
def test_a_damaged_or_other_file_of_abstracts_is_one_line_and_leaves_no_corpus(here, capsys, name, content, told):
    path = pubmed(here, *(article(n, f"Blood pressure {n * n}") for n in range(99)), name="cut.xml.gz")
    Path(name).write_bytes(path.read_bytes()[:-900] if content is None else content)
    code, out, err = run(capsys, "prepare", "pubmed", name, "--inventory", "senses.csv", "--out", "out")
    assert (code, out, len(err)) == (1, "", 1)
    assert err[0].removeprefix(f"{here}/").startswith(told)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["medal", "gone.csv", "--inventory", "senses.csv"], "gone.csv does not exist"),
        (["medal", "good.csv", "--inventory", "gone.txt"], "gone.txt does not exist"),
        (
            ["medal", "good.csv", "--inventory", "good.csv"],
            "good.csv: line 1: columns are ABSTRACT_ID, TEXT, LOCATION, LABEL; a",
        ),
        (
            ["medal", "good.csv", "--inventory", "senses.csv", "--validation", "0.5", "--test", "0.5"],
            "validation 0.5 and test 0.5 leave nothing to train on",
        ),
        (
            ["medal", "good.csv", "--inventory", "senses.csv", "--adam", "senses.csv"],
            "senses.csv is not ADAM's database: line 1: 1 columns instead of ADAM's 5",
        ),
        (["pubmed", "gone.xml", "--inventory", "senses.csv"], "gone.xml does not exist"),
        (["text", "senses.csv"], "2 of 2 rows are bad (limit 5%); the first: senses.csv, row 2: no text under"),
        (["pubmed", "good.jsonl"], "The kinds medal and substituted need an inventory of long forms to look for"),
        (
            ["pubmed", "good.jsonl", "--kinds", "defined,natural"],
            "--kinds defined,natural: unknown kind 'natural'. Known:",
        ),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(here, capsys, arguments, told):
    Path("good.csv").write_text(GOOD)
    Path("good.jsonl").write_text('{"pmid": 1, "text": "Blood pressure rose."}\n')
    code, out, err = run(capsys, "prepare", *arguments, "--out", "out")
    assert (code, out, len(err)) == (1, "", 1)
    assert err[0].startswith(told)
    assert sorted(path.name for path in here.iterdir()) == ["good.csv", "good.jsonl", "senses.csv"]


def test_all_broken_files_are_named_at_once(here, capsys):
    names = [f"{n}.xml" for n in range(15)]
    for name in names:
        Path(name).write_text("<other>" if name != "3.xml" else "<PubmedArticleSet></PubmedArticleSet>")
    code, _, err = run(capsys, "prepare", "pubmed", *names, "--inventory", "senses.csv", "--out", "out")
    assert (code, len(err)) == (1, 1)
    assert err[0].startswith(f"{here}/0.xml, line 1: found <other>")
    assert err[0].endswith(
        "13 more of 15 failed: 1.xml, 2.xml, 4.xml, 5.xml, 6.xml, 7.xml, 8.xml, 9.xml, 10.xml, 11.xml, ..."
    )


def test_what_was_made_is_shown_and_its_folder_printed(here, capsys):
    Path("more.csv").write_text(GOOD)
    arguments = ["more.csv", "--inventory", "senses.csv", "--validation", "0", "--test", "0"]
    code, out, err = run(capsys, "prepare", "medal", *arguments, "--out", "made/medal")
    assert (code, out) == (0, "made/medal\n")
    assert "Prepared from medal" in err[0] and re.search(r"train +300 +300", "\n".join(err))
    assert json.loads(Path("made/medal/corpus.json").read_text())["passages"]["train"] == 300
    Path("a.jsonl").write_text('{"pmid": 1, "text": "Blood pressure rose."}\n')
    arguments = ["a.jsonl", "--inventory", "senses.csv", "--kinds", "substituted", "--substituted-probability", "1"]
    code, out, err = run(capsys, "prepare", "pubmed", *arguments, "--out", "made/pubmed")
    assert (code, out) == (0, "made/pubmed\n")
    assert "Prepared from pubmed" in err[0]


@pytest.fixture(scope="module")
def on_a_full_disk(tmp_path_factory) -> dict[str, Any]:
    """What `full_disk.py` found: on a disk that is really full, or where none may be mounted, with writing patched."""
    folder = tmp_path_factory.mktemp("disk")
    INVENTORY.write(folder / "senses.csv")
    rows = [f"{n},in RA {n * n} {'and so on ' * 20},1,right atrium\n" for n in range(600)]
    (folder / "train.csv").write_text(HEADER + "".join(rows))
    for name in "ab":
        texts = (f"Blood pressure of {name} {chr(97 + n % 26) * (n // 26 + 1)}" for n in range(400))
        lines = (json.dumps({"pmid": f"{name}{n}", "text": text}) + "\n" for n, text in enumerate(texts))
        (folder / f"{name}.jsonl").write_text("".join(lines))
    alone = ["unshare", "-rm"]
    try:
        mounting = [*alone, "mount", "-t", "tmpfs", "tmpfs", folder]
        mounted = subprocess.run(mounting, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    program = [sys.executable, Path(full_disk.__file__), folder, "mounted" if mounted else "patched"]
    done = subprocess.run(
        [*(alone if mounted else []), *program],
        env=os.environ | {"PYTHONPATH": str(Path(medalist.__file__).parents[1]), "COLUMNS": "500"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("verb", ["medal", "pubmed"])
def test_a_full_disk_is_one_line_that_says_where_and_how_to_go_on(on_a_full_disk, verb):
    told = on_a_full_disk[verb]["told"]
    assert len(told) > 3
    for code, err in told:
        [line] = [line for line in err.splitlines() if not PROGRESS.fullmatch(line)]
        assert code == 1
        assert re.search(
            rf"The disk is full: no space left for \S+/disk-{verb}/{verb}, which takes more than the \d+ kB", line
        )
        assert line.endswith("Free some space. What is finished is kept: run the same command again.")


@pytest.mark.parametrize("verb", ["medal", "pubmed"])
def test_a_full_disk_leaves_no_corpus_and_no_half_shard_and_with_room_the_same_bytes(on_a_full_disk, verb):
    found = on_a_full_disk[verb]
    assert found["unsound"] == [] and found["same"] is True
    assert found["shards"] > 1
