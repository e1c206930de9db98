from __future__ import annotations

import os

import pytest

from medalist.tools.files import replacing


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
