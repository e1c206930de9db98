"""The commands of README and docs/, run as written on a tiny model in place of the embedded one.

A block marked `bash` is run here, each page in a folder of its own beside one run of the demo; one marked `sh` is not,
and says why (`NOT_RUN` in docs/site.py); `text` is output, and `text output` is that of the `python` block before it,
word for word. Covers `cli.demo` too.
"""

import re
import shlex
import shutil
from pathlib import Path

import pytest
import typer

from medalist.cli import demo
from medalist.cli.app import app, main
from medalist.cli.demo import demo_recipe
from medalist.data.embedded import reader
from medalist.expansion import expander
from medalist.models import base as models
from medalist.models.base import BaseIdentity, weights_sha256
from medalist.recipe import dump_recipe, load_recipe, parse_recipe
from medalist.trees.decisions import CALIBRATION_FILE, Calibration
from site_hook import site

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted(path for path in (ROOT / "docs").glob("*.md") if path.name != "cli.md")]
RUN_BY_CI = {"make demo", "make test", "source .venv/bin/activate"}
COMMAND = re.compile(r"^(medalist|pip|make|python3?|torchrun|accelerate|curl|docker|git|hf|openssl) ", re.MULTILINE)


def blocks(page):
    """(language, what stands behind it, body) of each fenced block."""
    fence = re.compile(r"^```(\w+)(?: ([^\n]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return fence.findall(page.read_text(encoding="utf-8"))


def commands(page, *languages):
    """The lines of the blocks in these languages, as words; a line that ends in a backslash goes on in the next."""
    bodies = [body.replace("\\\n", " ") for language, _, body in blocks(page) if language in languages]
    lines = [shlex.split(line, comments=True) for body in bodies for line in body.splitlines()]
    return [words for words in lines if words]


def page_name(page):
    return page.name


@pytest.fixture(scope="module")
def after_the_demo(tmp_path_factory, model_folder):
    """A folder like a clone in which the demo was run, with a tiny model under the embedded one's name."""
    identity = BaseIdentity(
        id="HuggingFaceTB/SmolLM2-135M-Instruct",
        revision=None,
        source="smollm2-135m",
        sha256=weights_sha256(model_folder),
    )
    folder = tmp_path_factory.mktemp("clone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "_embedded", lambda: (model_folder, identity))
        loading = expander.load_scorer
        # the reader's adapter is of the real model's size
        patch.setattr(expander, "load_scorer", lambda source, _, **options: loading(source, **options))
        patch.chdir(folder)
        (folder / "recipes").symlink_to(ROOT / "recipes")
        values = dump_recipe(demo_recipe(Path("runs")))
        recipe = parse_recipe(values, ["training.upper_layers=1"])  # the tiny model has two, not the demo's 15
        patch.setattr(demo, "demo_recipe", lambda _: recipe)
        assert exit_code(["demo"]) == 0
        yield folder


@pytest.fixture
def stranger(after_the_demo, tmp_path, monkeypatch):
    """A copy of that folder for one page."""
    folder = tmp_path / "clone"
    shutil.copytree(after_the_demo, folder, symlinks=True)
    monkeypatch.chdir(folder)
    return folder


def exit_code(arguments):
    try:
        main(arguments)
    except SystemExit as stop:
        return stop.code or 0
    return 0


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_command_runs(page, stranger, capsys):
    for _, name, body in blocks(page):
        if name and name.endswith((".csv", ".jsonl")):
            (stranger / name).write_text(body, encoding="utf-8")
    for words in commands(page, "bash"):
        if " ".join(words) in RUN_BY_CI:
            continue
        assert words[0] == "medalist", words
        assert exit_code(words[1:]) == 0, f"{words}\n{capsys.readouterr().err}"
    names, printed = {}, ""
    for language, behind, body in blocks(page):
        if language == "python":
            capsys.readouterr()
            exec(compile(body, page.name, "exec"), names)
            printed = capsys.readouterr().out
        elif behind == "output":
            assert body == printed


def test_the_readme_and_the_first_pages_hold_commands_that_are_run():
    run = [words[1] for page in PAGES for words in commands(page, "bash") if words[0] == "medalist"]
    assert {"demo", "expand", "train", "evaluate", "report", "claims", "prepare", "plan", "export", "task"} <= set(run)
    assert ["make", "demo"] in commands(README, "bash")
    assert len(run) > 25


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_a_block_that_is_not_run_says_why(page):
    for language, reason, body in blocks(page):
        if language == "sh":
            assert reason in site.NOT_RUN, body
        if language == "text":
            assert not COMMAND.search(body), body
    outside = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert not re.search(r"^    (medalist|torchrun|pip) ", outside, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_commands_that_are_not_run_name_verbs_and_options_that_there_are(page):
    for words in commands(page, "sh"):
        if "medalist" not in words[:-1] or words[0] in ("pip", "docker", "git"):
            continue
        command, rest = typer.main.get_command(app), words[words.index("medalist") + 1 :]
        while hasattr(command, "commands"):
            assert rest[0] in command.commands or command.name == "prepare", words
            if rest[0] not in command.commands:
                break
            command, rest = command.commands[rest[0]], rest[1:]
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        assert [word for word in rest if word.startswith("--") and word.partition("=")[0] not in known] == [], words


def test_the_demo_ends_with_a_report_and_a_command_that_works_as_pasted(after_the_demo, monkeypatch, capsys, tmp_path):
    assert (after_the_demo / "runs/demo/report.html").exists()
    scripts = after_the_demo / ".venv/bin"
    scripts.mkdir(parents=True)
    script = scripts / "medalist"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setattr(demo, "get_path", lambda _: str(scripts))
    monkeypatch.chdir(after_the_demo)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert exit_code(["demo"]) == 0
    last = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert last[:4] == ["Next:", ".venv/bin/medalist", "expand", "runs/demo"]
    assert shutil.which(last[1]) is not None
    assert exit_code(last[2:]) == 0
    assert "MRI" in capsys.readouterr().out
    monkeypatch.setenv("PATH", f"{tmp_path}:{scripts}")
    assert demo._typed() == "medalist"


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=page_name)
def test_every_recipe_parses_and_opens_with_the_command_that_runs_it(path):
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith(f"# medalist train recipes/{path.name}")
    load_recipe(path, shlex.split(first)[4:])
    assert f"[{recipe.name}](../recipes/{path.name})" in (ROOT / "docs/recipes.md").read_text(encoding="utf-8")


def test_the_demo_is_the_sample_recipe_under_another_name():
    recipe = load_recipe(ROOT / "recipes/smollm2-135m-sample.yaml", ["name=demo"])
    assert recipe == demo_recipe(Path("runs"))


def test_help_and_pages_name_the_readers_threshold():
    shown = f"{Calibration.read(reader.HERE / CALIBRATION_FILE).offered_from:.2f}"
    for path, words in (("docs/expand.md", "for the reader {}"), ("docs/cli.md", "({} for the reader, 97 %)")):
        assert words.format(shown) in (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_into_the_repository_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)|<img src=\"([^\"]+)\"", page.read_text(encoding="utf-8"))
    for target in [link or picture for link, picture in targets]:
        assert "://" in target or (page.parent / target).exists(), target


def test_the_readme_is_short():
    prose = re.sub(r"^```.*?^```$", "", README.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert len(re.findall(r"[A-Za-z]\w+", prose)) < 750
