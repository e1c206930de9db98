"""Files are written whole, opened plain or gzipped, and named when they are missing.

Covers `number_formats` and `own_folders` too.
"""

from __future__ import annotations

import errno
import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

from medalist.tools.files import must_exist, open_text, put_in_place, read_bytes, replacing, writing_folder
from medalist.tools.locks import alone_in


def test_file_keeps_its_old_content_when_writing_the_new_one_fails(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("old")

    def write_in_part() -> None:
        with replacing(path) as file:
            file.write("new")
            file.write(None)

    with pytest.raises(TypeError):
        write_in_part()
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"notes.txt": "old"}


def test_file_is_replaced_at_once_when_writing_ends_well(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("old")
    with replacing(path) as file:
        file.write("new é\n")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text(encoding="utf-8") == "new é\n"


@pytest.mark.skipif(os.name == "nt", reason="file modes")
def test_file_has_the_mode_that_the_user_asks_for(tmp_path):
    before = os.umask(0o027)
    try:
        with replacing(tmp_path / "deep" / "notes.txt") as file:
            file.write("new")
    finally:
        after = os.umask(before)
    assert after == 0o027
    assert (tmp_path / "deep" / "notes.txt").stat().st_mode & 0o777 == 0o640


def test_plain_and_gzipped_files_read_alike(tmp_path):
    content = "\ufeffRA\tré\r\n".encode()
    plain, packed = tmp_path / "notes.txt", tmp_path / "notes.txt.gz"
    plain.write_bytes(content)
    packed.write_bytes(gzip.compress(content))
    for path in (plain, packed):
        assert read_bytes(path) == content
        with open_text(path, encoding="utf-8-sig", newline="") as file:
            assert file.read() == "RA\tré\r\n"


def test_a_gzipped_file_that_is_cut_short_is_named(tmp_path):
    path = tmp_path / "notes.txt.gz"
    path.write_bytes(gzip.compress(b"rheumatoid arthritis")[:-6])
    with pytest.raises(ValueError, match=r"notes\.txt\.gz is damaged or truncated"):
        read_bytes(path)


def test_what_does_not_exist_is_named_with_what_asked_for_it(tmp_path):
    must_exist(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"^nowhere/x\.csv does not exist$"):
        must_exist(Path("nowhere/x.csv"))
    with pytest.raises(FileNotFoundError, match=r"^nowhere does not exist \(key data\.path\)$"):
        must_exist(Path("nowhere"), "key data.path")


def test_a_folder_gets_its_name_only_when_it_is_complete(tmp_path):
    target = tmp_path / "deep" / "model"
    with writing_folder(target) as folder:
        (folder / "weights").write_text("new")
        assert not target.exists()
    assert (target / "weights").read_text() == "new"
    assert list(target.parent.iterdir()) == [target]


def test_an_older_folder_stays_when_writing_the_new_one_fails(tmp_path):
    target = tmp_path / "model"
    target.mkdir()

    def write_in_part() -> None:
        with writing_folder(target) as folder:
            (folder / "half").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_in_part()
    assert [*tmp_path.rglob("*")] == [target]


@pytest.mark.parametrize("write", [replacing, writing_folder, alone_in])
def test_folders_that_were_made_for_what_failed_are_removed_and_others_stay(write, tmp_path):
    (tmp_path / "before").mkdir()

    def fail() -> None:
        with write(tmp_path / "before/new/deep/notes"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fail()
    assert [*tmp_path.rglob("*")] == [tmp_path / "before"]
    with write(tmp_path / "before/new/deep/notes"):
        pass
    assert (tmp_path / "before/new/deep").exists()


@pytest.fixture
def new_cannot_be_renamed(monkeypatch):
    rename = Path.rename

    def fails(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)


@pytest.mark.usefixtures("new_cannot_be_renamed")
def test_an_older_folder_stays_when_the_new_one_cannot_take_its_place(tmp_path):
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "whose").write_text(name)
    with pytest.raises(OSError, match="Input/output error"):
        put_in_place(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old/whose").read_text() == "old"


@pytest.mark.usefixtures("new_cannot_be_renamed")
def test_a_folder_of_which_only_the_older_is_left_comes_back_before_anything_else(tmp_path):
    """A process was killed between the two renames that replace a folder, and the next one fails."""
    for name in (".made.old-a1b2c3d4/made", "new"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / ".made.old-a1b2c3d4/made/whose").write_text("old")
    with pytest.raises(OSError, match="Input/output error"):
        put_in_place(tmp_path / "new", tmp_path / "made")
    assert (tmp_path / "made/whose").read_text() == "old"


def test_a_user_s_own_folder_beside_the_one_that_is_replaced_stays(tmp_path):
    theirs = [tmp_path / name / "letter" for name in (".made.old", ".made.old-a1b2c3d4", ".made.old-mine/made")]
    for path in theirs:
        path.parent.mkdir(parents=True)
        path.write_text("the user's own")
    for whose in ("old", "new"):
        with writing_folder(tmp_path / "made") as folder:
            (folder / "whose").write_text(whose)
    assert {path.read_text() for path in theirs} == {"the user's own"}
    assert len(list(tmp_path.iterdir())) == 4 and (tmp_path / "made/whose").read_text() == "new"


@pytest.mark.parametrize("kept", [True, False])
def test_a_folder_that_another_process_has_put_in_place_meanwhile_is_replaced_unless_it_is_as_good(tmp_path, kept):
    target = tmp_path / "model"
    with writing_folder(target, keep_if=Path.exists if kept else None) as folder:
        (folder / "whose").write_text("ours")
        target.mkdir()
        (target / "whose").write_text("theirs")
    assert (target / "whose").read_text() == ("theirs" if kept else "ours")
    assert list(tmp_path.iterdir()) == [target]


def test_what_is_in_the_way_of_a_folder_and_not_to_be_kept_is_an_error(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/other").touch()
    with pytest.raises(OSError, match="not empty"), writing_folder(tmp_path / "model", keep_if=lambda _: False):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "other"]


@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_a_killed_process_left_is_removed_by_the_next_and_nothing_else_is(tmp_path, what):
    target = tmp_path / "notes [a]"
    program = (
        "import sys, pathlib\nfrom medalist.tools.files import replacing, writing_folder\n"
        "with (writing_folder if sys.argv[2] == 'folder' else replacing)(pathlib.Path(sys.argv[1])) as place:\n"
        "    file = (place / 'text').open('w') if sys.argv[2] == 'folder' else place\n"
        "    file.write('private')\n    file.flush()\n    print(flush=True)\n    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", program, str(target), what]
    killed = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    at_work = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for process in (killed, at_work):
        process.stdout.readline()
    killed.kill()
    killed.wait()
    (tmp_path / f".{target.name}.begun-mine").mkdir()
    theirs = [tmp_path / f".{target.name}.begun-mine/letter", tmp_path / f".{target.name}.begun-list"]
    theirs.append(tmp_path / f".{target.name}.a1b2c3d4")
    for path in theirs:
        path.write_text("the user's own")
    (tmp_path / f".{target.name}.begun-link").symlink_to(tmp_path / f".{target.name}.begun-mine")
    for left in tmp_path.iterdir():
        os.utime(left, (1, 1))
    before = len(list(tmp_path.iterdir()))
    with writing_folder(target) if what == "folder" else replacing(target):
        assert len(list(tmp_path.iterdir())) == before, "one is removed, this one is new"
    at_work.communicate(b"")
    assert at_work.returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        target.name, *(f".{target.name}.{end}" for end in ("begun-mine", "begun-list", "begun-link", "a1b2c3d4")),
    }  # fmt: skip
    assert {path.read_text() for path in theirs} == {"the user's own"}


def test_folders_and_files_are_for_the_user_alone_under_a_umask_that_says_so(tmp_path):
    before = os.umask(0o077)
    try:
        with writing_folder(tmp_path / "run") as folder, replacing(folder / "deep/text") as file:
            file.write("private")
    finally:
        os.umask(before)
    assert not [path for path in tmp_path.rglob("*") if path.stat().st_mode & 0o077]


def test_the_umask_is_never_lifted_where_other_threads_make_files(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "umask", lambda _: pytest.fail("sets the umask"))
    with replacing(tmp_path / "text") as file:
        file.write("x")


def test_a_large_folder_is_searched_for_what_was_abandoned_once(tmp_path, monkeypatch):
    for number in range(4):
        (tmp_path / f"{number}").touch()
    monkeypatch.setattr("medalist.tools.files._MANY", 5)
    searched, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: searched.append(str(path)) or scandir(path))
    for number in range(4, 10):
        with replacing(tmp_path / f"{number}") as file:
            file.write("text")
    assert searched.count(str(tmp_path)) == 3, "with four, five and six files"
