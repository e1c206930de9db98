"""The README's commands, run as written on a tiny model in place of the embedded one.

Covers `cli.demo` too.
"""

import re
import shlex
from pathlib import Path

import pytest

from medalist.cli.app import main
from medalist.expansion import expander
from medalist.models import base as models
from medalist.models.base import BaseIdentity, weights_sha256
from medalist.recipe import load_recipe

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = [line for language, _, body in BLOCKS if language == "bash" for line in body.splitlines() if line.strip()]
RUN_BY_CI = {"make demo", "make test"}


@pytest.fixture
def stranger(tmp_path, monkeypatch, model_folder):
    """A folder like a fresh clone, with the README's example files, and a tiny model under the embedded one's name."""
    identity = BaseIdentity(
        id="HuggingFaceTB/SmolLM2-135M-Instruct",
        revision=None,
        source="smollm2-135m",
        sha256=weights_sha256(model_folder),
    )
    monkeypatch.setattr(models, "_embedded", lambda: (model_folder, identity))
    monkeypatch.setattr(expander, "load_adapter", lambda base, _: base)  # the reader's is of the real model's size
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    for _, name, body in BLOCKS:
        if name:
            (tmp_path / name).write_text(body, encoding="utf-8")
    return tmp_path


def exit_code(arguments):
    try:
        main(arguments)
    except SystemExit as stop:
        return stop.code or 0
    return 0


def test_every_command_of_the_readme_runs(stranger, capsys):
    for command in COMMANDS:
        words = shlex.split(command, comments=True)
        if " ".join(words) in RUN_BY_CI:
            continue
        assert words[0] == "medalist", command
        assert exit_code(words[1:]) == 0, f"{command}\n{capsys.readouterr().err}"
    assert "medalist demo" in COMMANDS
    assert (stranger / "runs/demo/report.html").exists()
    for _, _, body in (block for block in BLOCKS if block[0] == "python"):
        exec(compile(body, "README.md", "exec"), {})
    assert "BP" in capsys.readouterr().out


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.name)
def test_every_recipe_parses_and_opens_with_the_command_that_runs_it(path):
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith(f"# medalist train recipes/{path.name}")
    load_recipe(path, shlex.split(first)[4:])


def test_the_demo_is_the_sample_recipe_under_another_name():
    from medalist.cli.demo import demo_recipe

    recipe = load_recipe(ROOT / "recipes/smollm2-135m-sample.yaml", ["name=demo"])
    assert recipe == demo_recipe(Path("runs"))


def test_links_into_the_repository_lead_somewhere():
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in target]
    assert targets
    for target in targets:
        assert (ROOT / target).exists(), target
