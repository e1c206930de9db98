"""What a release says of itself agrees: version, citation, conda recipe, release notes, `--version`.

`make dist` tries the wheel itself.
"""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from jinja2 import Template

import medalist
from medalist.cli.app import main

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def script(name):
    """A script of release/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"release/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


release_notes = script("notes")

CONDA = {
    "torch": "pytorch",
    "huggingface-hub": "huggingface_hub",
    "matplotlib": "matplotlib-base",
    "typing-extensions": "typing_extensions",
}
"""Where conda-forge has another name than PyPI."""


def recipe():
    """The conda recipe, rendered."""
    return yaml.safe_load(Template((ROOT / "recipe/meta.yaml").read_text(encoding="utf-8")).render(PYTHON="python"))


def test_one_version_stands_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {PROJECT["version"], citation["version"], recipe()["package"]["version"]} == {medalist.__version__}
    assert citation["license"] == PROJECT["license"] == recipe()["about"]["license"]


def test_the_conda_recipe_asks_for_what_the_package_needs():
    needed = {re.sub(r"^([\w-]+)", lambda name: CONDA.get(name[0], name[0]) + " ", d) for d in PROJECT["dependencies"]}
    found = recipe()
    assert set(found["requirements"]["run"]) - {f"python {PROJECT['requires-python']}"} == needed
    assert f"python >={found['requirements']['host'][0].split()[1]}" == f"python {PROJECT['requires-python']}"
    assert found["build"]["entry_points"] == [f"{name} = {target}" for name, target in PROJECT["scripts"].items()]


def test_the_release_notes_are_the_changelog_s_section():
    changelog = "# Changelog\n\n## 0.2.0 (2027-01-01)\n\n- one\n  goes on;\n- two.\n\n## 0.1.0\n\nFirst.\n"
    assert release_notes.notes("0.2.0", changelog) == "- one goes on;\n- two."
    assert release_notes.notes("0.1.0", changelog) == "First."
    with pytest.raises(ValueError, match=r"no version 0\.3\.0\. It has 0\.2\.0, 0\.1\.0\."):
        release_notes.notes("0.3.0", changelog)
    assert release_notes.notes(medalist.__version__, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("repository", "expected"),
    [
        (None, "See notes, *the page* and [PyPI](https://pypi.org)."),
        (
            "https://example.org/m",
            "See [notes](https://example.org/m/blob/v1.0/docs/notes.md#one), ![the page]"
            "(https://example.org/m/raw/v1.0/docs/page.png) and [PyPI](https://pypi.org).",
        ),
    ],
)
def test_the_long_description_has_no_link_that_leads_nowhere(repository, expected):
    make = script("long_description").long_description
    text = "See [notes](docs/notes.md#one), ![the page](docs/page.png) and [PyPI](https://pypi.org)."
    assert make(text, "1.0", repository) == expected
    readme = make((ROOT / "README.md").read_text(encoding="utf-8"), "1.0", repository)
    assert not re.findall(r"\]\((?!https?:|#)", readme) and "# Medalist" in readme


def test_version_says_what_answers_depend_on(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"medalist {medalist.__version__}"
    assert [line.split()[0] for line in lines[1:]] == [
        "Python",
        "torch",
        "transformers",
        "tokenizers",
        "peft",
        "reader",
    ]
    assert re.fullmatch(r"reader adapter [0-9a-f]{12}, data [0-9a-f]{12}", lines[-1])


def test_the_security_page_names_files_and_commands_that_exist():
    page = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    for path in re.findall(r"`((?:locks|src|tests|release)/[\w./]*)`", page):
        assert (ROOT / path).exists(), path
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"`make (\w+)`", page)
    assert targets and all(f"\n{target}:" in makefile for target in targets)
