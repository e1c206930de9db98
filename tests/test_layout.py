"""The tree: every module has its tests where one looks for them, and what needs no torch does not load it.

The order of the folders is a contract in `pyproject.toml`, which `make check` checks.
"""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import medalist

SOURCE = Path(medalist.__file__).parent
TESTS = Path(__file__).parent


def modules() -> list[Path]:
    """Every file with code, from the package's folder; of a package that is more than a folder its own file."""
    named = (path.relative_to(SOURCE) for path in SOURCE.rglob("*.py") if "__main__" not in path.name)
    packages = {Path("data/embedded") / name / "__init__.py" for name in ("sample", "clinical", "probes", "reader")}
    return sorted(path for path in named if path.name != "__init__.py" or path in packages)


@cache
def covered() -> set[str]:
    """The modules that a test file names beside its own: "Covers `shapes` and `cli.share` too"."""
    found = set()
    for path in TESTS.rglob("test_*.py"):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        for name in re.findall(r"`([\w.]+)`", docstring.partition("Covers ")[2]):
            found.add(name if "." in name else ".".join((*path.relative_to(TESTS).parts[:-1], name)))
    return found


@pytest.mark.parametrize("module", modules(), ids=str)
def test_every_module_has_a_test_file_of_its_name_or_is_named_in_the_one_that_covers_it(module):
    place = module.parent if module.name == "__init__.py" else module.with_suffix("")
    mirrored = (TESTS / place).with_name(f"test_{place.name}.py").exists()
    assert mirrored or ".".join(place.parts) in covered()


@pytest.mark.parametrize("folder", ["tools", "data", "corpora"])
def test_no_module_of_these_folders_loads_torch(folder):
    names = [f"medalist.{'.'.join(m.with_suffix('').parts)}" for m in modules() if m.parts[0] == folder]
    program = (
        f"import importlib, sys\nfor name in {names}: importlib.import_module(name)\nprint('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
