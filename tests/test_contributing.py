"""CONTRIBUTING.md is right: its paths exist, each law has its tests, and its map is that of the code."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src/medalist"
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
LAWS = {
    int(number): body
    for number, body in re.findall(
        r"^(\d+)\. (.*?)(?=^\d+\. |\Z)",
        PAGE.partition("## The laws")[2].partition("\n## ")[0],
        re.MULTILINE | re.DOTALL,
    )
}
CHANGES = re.findall(
    r"^\| (?!to change|---)(.+?) \| (.+?) \| (.+?) \|$", PAGE.partition("## Where do I")[2], re.MULTILINE
)


def code(text):
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", text)


def paths(text):
    """Those of them that are paths."""
    return [
        word for word in code(text) if re.fullmatch(r"[\w./-]+(/|\.(py|md|yaml|html|toml))|[\w.-]+(/[\w.-]+)+", word)
    ]


def found(path):
    return next((place / path for place in (ROOT, PACKAGE) if (place / path).exists()), None)


def folders(page):
    """The first column of the table of folders."""
    rows = page.partition("\n| folder |")[2].partition("\n\n")[0]
    return re.findall(r"^\| `([\w./]+)` \|", rows, re.MULTILINE)


def defined(path):
    return {node.name for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if hasattr(node, "name")}


def test_every_path_exists():
    named = {*paths(PAGE), *re.findall(r"tests/[\w/]+\.py", PAGE)}
    assert len(named) > 60
    assert [path for path in sorted(named) if found(path) is None] == []


def test_there_are_twelve_laws():
    assert list(LAWS) == list(range(1, 13))


@pytest.mark.parametrize("number", range(1, 13))
def test_every_law_has_its_tests(number):
    tests = [name.split("::") for name in code(LAWS[number]) if "::" in name]
    assert tests
    assert [name for path, name in tests if name not in defined(ROOT / path)] == []


def test_every_change_names_files_that_hold_what_it_names():
    assert len(CHANGES) >= 20
    for change, where, tests in CHANGES:
        files = [found(path) for path in paths(where)]
        assert files, change
        assert paths(tests), change
        text = "\n".join(file.read_text(encoding="utf-8") for file in files if file.is_file())
        words = [word for word in code(where) if word not in paths(where) and re.fullmatch(r"[\w.]+", word)]
        names = [name for word in words for name in word.split(".")]
        missing = [name for name in names if not re.search(rf"\b{name}\b", text)]
        assert missing == [], change


def test_the_map_is_that_of_the_code_in_the_order_of_the_contract():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")[::-1]
    assert f"    {' -> '.join(layer.replace(' | ', ', ') for layer in layers)}\n" in PAGE
    ordered = [name for layer in layers for name in layer.split(" | ")]
    listed = folders(PAGE)
    assert [Path(name).stem for name in listed] == [*ordered, "templates"]
    assert sorted(PACKAGE / name for name in listed if name.endswith("/")) == sorted(
        path for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"
    )


def test_make_help_says_what_every_target_is_for():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)[1].split())
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert targets - set(re.findall(r"^make ([\w-]+)   ", shown, re.MULTILINE)) == set()
