from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from medalist.expansion import where
from medalist.expansion.where import find_run, is_hub_id


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("me/shorthand", True),
        ("runs/dmeo", False),
        ("here/demo", False),
        ("./demo", False),
        ("/demo", False),
        ("demo", False),
        ("a/b/c", False),
        ("me/s p", False),
        (Path("me/shorthand"), False),
    ],
)
def test_a_hub_id_is_what_can_be_nothing_else(name, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    assert is_hub_id(name) is expected


def test_a_published_run_is_downloaded_once_per_revision_and_kept(tiny_run, tmp_path, monkeypatch):
    asked = []

    def pull(repo, *, revision, out):
        asked.append((repo, revision))
        shutil.copytree(tiny_run, out)
        return where.open_run(out)

    monkeypatch.setattr(where, "pull", pull)
    monkeypatch.setenv("MEDALIST_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    first, again = find_run("me/shorthand"), find_run("me/shorthand")
    assert first.folder == again.folder
    assert find_run("me/shorthand", revision="v2").folder != first.folder
    assert find_run("you/shorthand").folder != first.folder
    assert asked == [("me/shorthand", None), ("me/shorthand", "v2"), ("you/shorthand", None)]


def test_a_folder_is_opened_where_it_is_and_has_no_revision(tiny_run):
    assert find_run(tiny_run).folder == tiny_run
    assert find_run(str(tiny_run)).folder == tiny_run
    with pytest.raises(ValueError, match="it has no revision v2"):
        find_run(tiny_run, revision="v2")
    with pytest.raises(FileNotFoundError, match="is not a run"):
        find_run("runs/none")
