"""What was found out before is taken from its file, and found out again whenever that file is not as it was written."""

from __future__ import annotations

import json

import pytest

from medalist.tools.remembered import cache_folder, remembered

KEY = {"what": "SHA-256", "size": 3}


@pytest.fixture
def find():
    """Finds 1, then 2, and so on."""
    found = iter(range(1, 99))
    return lambda: float(next(found))


def test_a_user_without_a_home_is_told_what_to_set(tmp_path, monkeypatch):
    """As one without a name in a container: `Path.home` raises RuntimeError."""
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    monkeypatch.delenv("MEDALIST_CACHE", raising=False)
    with pytest.raises(ValueError, match="set MEDALIST_CACHE to a folder"):
        cache_folder()
    monkeypatch.setenv("MEDALIST_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path


def test_it_is_found_once_for_a_key(tmp_path, find):
    assert [remembered(tmp_path, KEY, find) for _ in range(2)] == [1.0, 1.0]
    assert remembered(tmp_path, KEY | {"size": 4}, find) == 2.0


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:20],
        lambda text: text.replace('"value": 1.0', '"value": 7.0'),
        lambda text: text.replace('"sum": "', '"sum": "0'),
        lambda _: "[]",
        lambda _: '{"key": {"what": "SHA-256", "size": 3}}',
        lambda _: "\udcff",
    ],
)
def test_a_damaged_file_is_found_again_and_replaced(tmp_path, find, damage):
    remembered(tmp_path, KEY, find)
    (path,) = tmp_path.iterdir()
    path.write_text(damage(path.read_text()), encoding="utf-8", errors="surrogateescape")
    assert remembered(tmp_path, KEY, find) == 2.0
    assert json.loads(path.read_text())["value"] == 2.0


def test_what_fails_is_not_kept(tmp_path, find):
    def fail():
        raise ValueError("not that model")

    with pytest.raises(ValueError, match="not that model"):
        remembered(tmp_path, KEY, fail)
    assert remembered(tmp_path, KEY, find) == 1.0


def test_a_folder_that_cannot_be_made_costs_only_time(tmp_path, find):
    (tmp_path / "file").touch()
    assert [remembered(tmp_path / "file" / "below", KEY, find) for _ in range(2)] == [1.0, 2.0]
