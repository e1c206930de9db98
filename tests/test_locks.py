"""The lock files hold all that pyproject.toml asks for, with hashes, and nothing is installed past them.

Covers `locks/write.py` by what it wrote.
"""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
LOCKS = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "locks").glob("*.txt"))}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS, GROUPS = PROJECT["project"]["optional-dependencies"], PROJECT["dependency-groups"]
CORE = PROJECT["project"]["dependencies"] + GROUPS["setup"] + PROJECT["build-system"]["requires"]
ASKED = {
    "core": CORE,
    "serve": CORE + EXTRAS["serve"],
    "bench": CORE + EXTRAS["bench"],
    "dev": CORE + GROUPS["test"] + [name for extra in EXTRAS.values() for name in extra],
    "release": GROUPS["release"],
}


def entries(text):
    """(requirement, its hashes) for each entry of a lock file."""
    blocks = re.split(r"^(?=[\w])", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE), flags=re.MULTILINE)
    return [
        (Requirement(block.partition(" \\")[0]), re.findall(r"--hash=sha256:([0-9a-f]{64})\b", block))
        for block in blocks
        if block
    ]


def versions(name):
    found = {}
    for requirement, _ in entries(LOCKS[name]):
        (pin,) = requirement.specifier
        found.setdefault(canonicalize_name(requirement.name), set()).add(pin.version)
    return found


@pytest.mark.parametrize("name", LOCKS)
def test_every_distribution_is_pinned_with_hashes(name):
    assert entries(LOCKS[name])
    for requirement, hashes in entries(LOCKS[name]):
        assert [pin.operator for pin in requirement.specifier] == ["=="], requirement
        assert hashes, requirement


@pytest.mark.parametrize("name", ASKED)
def test_what_pyproject_asks_for_is_locked_at_a_version_that_it_allows(name):
    locked = versions(name) | versions("torch")
    for asked in map(Requirement, ASKED[name]):
        there = locked.get(canonicalize_name(asked.name), set())
        assert there, f"{asked} is not in locks/{name}.txt: run `make lock`"
        assert all(asked.specifier.contains(version) for version in there), f"{asked}, locked {there}: run `make lock`"


def test_the_files_agree_on_versions():
    everything = versions("dev")
    for name in ("core", "serve", "bench"):
        assert {key: found for key, found in versions(name).items() if not found <= everything[key]} == {}


@pytest.mark.parametrize("file", ["Makefile", "Dockerfile"])
def test_nothing_is_installed_without_its_hash(file):
    """But Medalist itself, from its folder and with nothing else."""
    text = (ROOT / file).read_text(encoding="utf-8").replace("$(LOCKED)", "pip install --no-deps --require-hashes")
    installs = re.findall(r"(?:pip|\$\(PIP\)|--disable-pip-version-check) install ([^\n&|;]*)", text)
    assert len(installs) >= 3
    for install in installs:
        own = re.search(r"--no-deps .*(-e \.|dist/\*\.whl| \.)$", install.strip().rstrip("\\").strip())
        assert own or "--require-hashes" in install, install
