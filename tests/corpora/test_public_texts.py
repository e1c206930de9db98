"""Public texts come from the commit that is named, once, and nothing in them is run."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from medalist.corpora import public_texts
from medalist.corpora.public_texts import PUBLIC, PublicTexts, named_texts, public_file
from medalist.data.rows import Quarantine
from medalist.data.sources.texts import read_texts

ANSWERS = """<?xml version="1.0"?>
<Document id="0000003" source="GARD"><QAPairs>
<QAPair pid="1"><Question>What is it?</Question><Answer>A disease of the right atrium.</Answer></QAPair>
<QAPair pid="2"><Question>Why?</Question><Answer></Answer></QAPair>
</QAPairs></Document>
"""


def git(folder: Path, *arguments: str) -> str:
    named = {f"GIT_{who}_{what}": "a@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(["git", "-C", folder, *arguments], env=os.environ | named, check=True, capture_output=True)
    return done.stdout.decode().strip()


@pytest.fixture
def repository(tmp_path) -> tuple[Path, str, str]:
    """A repository with answers and notes, its first commit, and a later one that changes them."""
    folder = tmp_path / "there"
    (folder / "3_GARD").mkdir(parents=True)
    (folder / "data").mkdir()
    (folder / "3_GARD" / "0000003.xml").write_text(ANSWERS)
    (folder / "data" / "train.csv").write_text(
        'encounter_id,dialogue,note\nD1,"[doctor] hi","Known asthma,\nstable."\n'
    )
    (folder / "data" / "meta.csv").write_text("encounter_id,age\nD1,50\n")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    first = git(folder, "rev-parse", "HEAD")
    (folder / "3_GARD" / "0000003.xml").write_text(ANSWERS.replace("atrium", "ventricle"))
    git(folder, "commit", "-qam", "second")
    return folder, first, git(folder, "rev-parse", "HEAD")


def texts(repository: Path, commit: str, *patterns: str) -> PublicTexts:
    return PublicTexts(name="here", repository=f"file://{repository}", parts=((commit, patterns),), terms="CC0")


def test_answers_and_notes_of_the_commit_that_is_named_become_texts(repository, tmp_path):
    folder, first, second = repository
    path = public_file(texts(folder, first, "**/*.xml", "data/*.csv"), tmp_path / "downloads")
    assert path.name == f"here-{first[:8]}.jsonl"
    assert [tuple(text) for text in read_texts(path, Quarantine())] == [
        ("here-0000003-1", "A disease of the right atrium.", "here-GARD"),
        ("here-train-D1", "Known asthma,\nstable.", "here"),
    ]
    later = public_file(texts(folder, second, "**/*.xml"), tmp_path / "downloads")
    assert json.loads(later.read_text())["text"] == "A disease of the right ventricle."
    assert sorted(p.name for p in (tmp_path / "downloads").glob("[!.]*")) == sorted([path.name, later.name])


def test_what_is_there_is_not_downloaded_again(repository, tmp_path, monkeypatch):
    folder, first, _ = repository
    wanted = texts(folder, first, "**/*.xml")
    path = public_file(wanted, tmp_path)
    monkeypatch.setattr(public_texts, "_git", lambda *_: pytest.fail("asked the network"))
    assert public_file(wanted, tmp_path) == path


@pytest.mark.parametrize("commit", ["0" * 40, "1" * 40])
def test_a_commit_that_is_not_there_is_one_line_and_leaves_nothing(repository, tmp_path, commit):
    with pytest.raises(OSError, match=r"^git fetch failed: .+ Check the connection and try again\.$"):
        public_file(texts(repository[0], commit, "**/*.xml"), tmp_path / "downloads")
    assert not (tmp_path / "downloads").exists()


def test_a_commit_without_the_files_is_one_line(repository, tmp_path):
    with pytest.raises(OSError, match=r"git archive failed: .*no/such"):
        public_file(texts(repository[0], repository[1], "no/such/*.csv"), tmp_path)


def test_hooks_and_settings_of_the_user_are_not_used(repository, tmp_path, monkeypatch):
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("post-checkout", "reference-transaction"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        (hooks / name).chmod(0o755)
    (tmp_path / ".gitconfig").write_text(f"[core]\n\thooksPath = {hooks}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    public_file(texts(repository[0], repository[1], "**/*.xml"), tmp_path)
    assert not (tmp_path / "ran").exists()


def test_names_are_known_or_named(tmp_path, monkeypatch):
    assert named_texts("letters", tmp_path) == Path("letters")
    with pytest.raises(ValueError, match=r"public:pile: unknown name\. Known: public:medquad, public:mts-dialog"):
        named_texts("public:pile", tmp_path)
    monkeypatch.setattr(public_texts, "public_file", lambda texts, folder: folder / texts.name)
    assert named_texts("public:aci-bench", tmp_path) == tmp_path / "aci-bench"
    assert all(len(commit) == 40 for found in PUBLIC.values() for commit, _ in found.parts)


def test_without_git_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OSError, match="not installed: install git"):
        public_file(PUBLIC["medquad"], tmp_path)
