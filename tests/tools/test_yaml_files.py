"""YAML is read strictly: no key twice, no aliases without bound, one line for what is wrong."""

from __future__ import annotations

import tracemalloc

import pytest

from medalist.tools.yaml_files import YamlError, parse_yaml, read_yaml


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data:\n  path: a\ntraining: {}\ndata:\n  test: 0", "line 4: the key data stands on line 1 already"),
        ("data:\n  path: a\n  path: b", "line 3: the key path stands on line 2 already"),
        ("a: [b", "line 1: not valid YAML"),
        ("a: &x [*x]", r"an alias \(\*\) stands inside what it names"),
        ("[a, b]: c", "line 1: a key must be a word"),
        ("a: \x07", "a character that is not allowed"),
        ("[" * 5_000, "nested too deeply"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text, message, tmp_path):
    with pytest.raises(YamlError, match=message):
        parse_yaml(text)
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(YamlError, match=rf"mine\.yaml, .*{message}"):
        read_yaml(tmp_path / "mine.yaml")


def test_aliases_may_be_used_but_not_to_unfold_gigabytes():
    assert parse_yaml("a: &x {b: 1}\nc: *x") == {"a": {"b": 1}, "c": {"b": 1}}
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    tracemalloc.start()
    with pytest.raises(YamlError, match=r"its aliases \(\*\) unfold to [\d,]+ values, more than 100,000"):
        parse_yaml(bomb)
    assert tracemalloc.get_traced_memory()[1] < 10e6
    tracemalloc.stop()


def test_what_looks_like_a_name_stays_a_name():
    assert parse_yaml("[no, on, y, 2024-01-02, true, False, 1, null]") == [
        *("no", "on", "y", "2024-01-02"),
        *(True, False, 1, None),
    ]


def test_a_file_that_holds_no_keys_or_no_text_is_refused(tmp_path):
    path = tmp_path / "mine.yaml"
    for content, message in ((b"- a", "holds no keys"), (b"a: \x81", "is not utf-8 or cp1252: see byte 3")):
        path.write_bytes(content)
        with pytest.raises(YamlError, match=message):
            read_yaml(path)
    path.write_bytes(b"")
    assert read_yaml(path) == {}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_a_file_is_read_as_windows_programs_write_it(tmp_path, encoding):
    (tmp_path / "mine.yaml").write_bytes("name: été\r\noutput: runs\r\n".encode(encoding))
    assert read_yaml(tmp_path / "mine.yaml") == {"name": "été", "output": "runs"}
