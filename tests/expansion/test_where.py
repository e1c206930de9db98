"""Covers `options` too."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from medalist.expansion import where
from medalist.expansion.where import engine_for, find_gguf, find_run, is_hub_id, weights_of


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

    monkeypatch.setattr("medalist.sharing.pull.pull", pull)
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
    with pytest.raises(FileNotFoundError, match=r"^There is no folder runs/none$"):
        find_run("runs/none")


def test_a_gguf_file_belongs_to_the_run_in_whose_folder_or_export_folder_it_is(tiny_run, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("checkpoint-*", "export"))
    with pytest.raises(FileNotFoundError, match=r"run has no GGUF file yet: run `medalist export .*run --to gguf`"):
        find_gguf(run)
    inside, moved, outside = run / "export/run-q8_0.gguf", run / "moved.gguf", tmp_path / "alone.gguf"
    (run / "export").mkdir()
    for path in (inside, moved, outside):
        path.write_bytes(b"GGUF" + path.name.encode())
    monkeypatch.chdir(run / "export")
    for named, path in ((run, inside), (inside, inside), (moved, moved), ("run-q8_0.gguf", Path("run-q8_0.gguf"))):
        found, of = find_gguf(named)
        assert found == path
        assert of.folder.resolve() == run
    assert find_gguf(outside) == (outside, None)
    assert weights_of(run, engine="llama.cpp") == weights_of(inside) != weights_of(moved)
    (run / "export/run-f16.gguf").write_bytes(b"GGUF")
    with pytest.raises(ValueError, match=r"several GGUF files: name one of .*f16\.gguf, .*q8_0\.gguf"):
        find_gguf(run)
    with pytest.raises(FileNotFoundError, match=r"no\.gguf is neither a GGUF file nor a run"):
        find_gguf(tmp_path / "no.gguf")
    with pytest.raises(ValueError, match=r"llama\.cpp needs a GGUF file"):
        find_gguf(None)


def test_the_engine_follows_from_the_name(tmp_path):
    assert [engine_for(name, None) for name in (None, "me/shorthand", "x.gguf", tmp_path / "y.gguf")] == [
        "transformers",
        "transformers",
        "llama.cpp",
        "llama.cpp",
    ]
    assert engine_for("runs/demo", "llama.cpp") == "llama.cpp"
    with pytest.raises(ValueError, match=r"x\.gguf is a GGUF file, which only the engine llama\.cpp reads"):
        engine_for("x.gguf", "transformers")
    with pytest.raises(ValueError, match=r"engine is 'onnx'; it must be one of transformers, llama\.cpp, glance"):
        engine_for(None, "onnx")
