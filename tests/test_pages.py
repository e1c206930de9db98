"""The pages on files and on spaCy: each of their blocks runs in an empty folder, on a tiny model in the reader's place.

A block opens with its language: `bash` lines are commands, `python` is run, a file's name behind it makes a file of it,
and `text output` is what the `python` block before it prints.
"""

import re
import shlex
from pathlib import Path

import pytest

from medalist.cli.app import main
from medalist.expansion import expander
from medalist.models import base as models
from medalist.models.base import BaseIdentity, weights_sha256

DOCS = Path(__file__).parent.parent / "docs"
PAGES = ("spacy.md",)
_BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page):
    return _BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))


@pytest.fixture
def newcomer(tmp_path, monkeypatch, model_folder):
    """An empty folder, and a tiny model under the embedded one's name."""
    identity = BaseIdentity(
        id="HuggingFaceTB/SmolLM2-135M-Instruct",
        revision=None,
        source="smollm2-135m",
        sha256=weights_sha256(model_folder),
    )
    monkeypatch.setattr(models, "_embedded", lambda: (model_folder, identity))
    monkeypatch.setattr(expander, "load_adapter", lambda base, _: base)  # the reader's is of the real model's size
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command):
    words = shlex.split(command, comments=True)
    assert words[0] == "medalist", command
    try:
        main(words[1:])
    except SystemExit as stop:
        return stop.code or 0
    return 0


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_a_page_runs_and_prints_what_the_page_says(newcomer, capsys, page):
    names, printed = {}, ""
    for language, argument, body in blocks(page):
        if language == "python":
            capsys.readouterr()
            exec(compile(body, page, "exec"), names)
            printed = capsys.readouterr().out
        elif argument == "output":
            assert printed == body, page
        elif argument:
            Path(argument).parent.mkdir(parents=True, exist_ok=True)
            Path(argument).write_text(body, encoding="utf-8")
        elif language == "bash":
            for command in body.splitlines():
                assert run(command) == 0, f"{command}\n{capsys.readouterr().err}"
        else:
            assert language == "text", f"{page}: a block in {language} that no test runs"


@pytest.mark.parametrize("page", PAGES)
def test_links_of_a_page_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", (DOCS / page).read_text(encoding="utf-8")):
        assert "://" in target or (DOCS / target).exists(), target
