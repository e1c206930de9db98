"""Two commands do not work in one folder at once, and a killed one is in nobody's way."""

from __future__ import annotations

import subprocess
import sys

import pytest

from medalist.tools.locks import BusyError, alone_in, lock_file

HOLD = "import sys; from pathlib import Path; from medalist.tools.locks import alone_in\n"


def holder(folder, then):
    """A process that holds the lock of a folder, says so, and goes on."""
    code = HOLD + f"with alone_in(Path(sys.argv[1])):\n    print('held', flush=True)\n    {then}"
    return subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True)


def test_another_process_is_told_in_one_line_and_gets_the_folder_once_the_first_is_killed(tmp_path):
    first = holder(tmp_path / "runs/mine", "__import__('time').sleep(60)")
    try:
        assert first.stdout.readline() == "held\n"
        with (
            pytest.raises(BusyError, match=r"^Another command is working in .*mine: [^\n]+$"),
            alone_in(tmp_path / "runs/mine"),
        ):
            pass
        with alone_in(tmp_path / "runs/other"):
            pass
    finally:
        first.kill()
        first.wait()
    with alone_in(tmp_path / "runs/mine"):
        assert lock_file(tmp_path / "runs/mine").exists()


def test_calls_nest_and_nothing_is_left(tmp_path):
    with alone_in(tmp_path / "mine"):
        with alone_in(tmp_path / "mine"):
            pass
        other = holder(tmp_path / "mine", "pass")
        assert other.wait() == 1 and other.stdout.read() == ""
    assert holder(tmp_path / "mine", "pass").communicate()[0] == "held\n"
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_to_is_not_locked_but_can_be_used(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with alone_in(tmp_path / "mine"):
        pass


@pytest.mark.parametrize("there", ["file", "folder", "link"])
def test_what_is_no_lock_stays_and_is_named_in_one_line(tmp_path, there):
    path = lock_file(tmp_path / "mine")
    if there == "folder":
        path.mkdir()
    else:
        (tmp_path / "letter" if there == "link" else path).write_text("the user's own")
    if there == "link":
        path.symlink_to(tmp_path / "letter")
    with pytest.raises(FileExistsError, match=r"mine\.lock is where .* is locked, but"), alone_in(tmp_path / "mine"):
        pass
    assert path.is_dir() if there == "folder" else path.read_text() == "the user's own"
