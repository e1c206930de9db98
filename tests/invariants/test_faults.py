"""One training, one prepare, one evaluation and one export, failing and killed at each step on the disk in turn.

Whatever the step, the same command run again ends where an undisturbed one ends (law 6), and no error is a traceback.
"""

from __future__ import annotations

import json
import os
import re
import shutil

import pytest

from faults import contents, count_steps, disturbed, forked
from marking import marked
from medalist.data.passage_files import write_jsonl
from medalist.recipe import parse_recipe
from medalist.runs.evaluate import evaluate_run
from medalist.runs.held_out import HeldOut
from medalist.runs.prepare import prepare
from medalist.runs.run import open_run
from medalist.runs.train import start_run, train
from medalist.sharing.export import export_merged
from medalist.tools import files

EVERY = int(os.environ.get("MEDALIST_FAULTS_EVERY", "1"))
"""1: every step; a larger number leaves some out of the long walks."""
SOME = int(os.environ.get("MEDALIST_FAULTS_EVERY", "9"))
"""Of a training, whose every step takes a quarter of an hour."""
QUICK = int(os.environ.get("MEDALIST_FAULTS_EVERY", "5"))
"""Of a prepare in every run of the tests: a file takes six steps, and each of the six is met at one file or another."""

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")

PASSAGES = [
    marked(f"Case {n}: [RA=rheumatoid arthritis] was seen and [CT=computed tomography] was made on ward {n}.", str(n))
    for n in range(12)
]
GLOSSARY = (
    "short_form,long_form\nRA,rheumatoid arthritis\nRA,right atrium\nCT,computed tomography\nCT,contraction time\n"
)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    write_jsonl(PASSAGES, folder / "notes.jsonl")
    (folder / "glossary.csv").write_text(GLOSSARY)
    return folder


@pytest.fixture(scope="module")
def recipe_in(source, model_folder):
    def made(folder):
        values = {
            "name": "mine",
            "output": str(folder / "runs"),
            "model": {"base": str(model_folder)},
            "data": {
                "source": "table",
                "path": str(source / "notes.jsonl"),
                "inventory": str(source / "glossary.csv"),
                "substitution": {"distractors": 0},
            },
            "training": {"max_steps": 2, "evaluate_every": 1, "rank": 2, "keep_checkpoints": 1},
            "evaluation": {"bootstrap": 100},
        }
        return parse_recipe(values)

    return made


@pytest.fixture(scope="module")
def trained(recipe_in, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    train(recipe_in(folder))
    return folder


def comparable(folder):
    """What a command left, without times and the names of folders that differ each time."""
    found = {}
    for name, content in contents(folder).items():
        if name.endswith(("log.jsonl", "trainer_state.json", ".pth", "training_args.bin")):
            content = re.sub(rb'"(train_runtime|\w+_per_second)": [\d.e-]+', b"", content)
        if name.endswith((".json", ".jsonl", ".yaml", ".md")):
            content = content.replace(str(folder).encode(), b"")
            content = re.sub(rb"[0-9.,]+ (s|seconds|minutes)\b|git_revision: \S+", b"", content)
        if name.endswith("log.jsonl"):  # the last line sums up since the last resume
            content = b"".join(line for line in content.splitlines(True) if b"train_loss" not in line)
        if name.endswith(("training_args.bin", "data.json", "optimizer.pt")):  # its pickle depends on a resume
            content = b""
        found[re.sub(r"table-\w{10}", "table", name)] = content
    return found


def walk(command, start, tmp_path, *, every):
    """Disturb a command at every so many steps, run it again, and compare with an undisturbed run."""
    whole = tmp_path / "whole"
    shutil.copytree(start, whole) if start else whole.mkdir()
    count = count_steps(command, whole)
    assert count > 5
    expected = comparable(whole)
    assert expected
    ended = []
    for step in range(1, count + 1, every):
        for kill in (True, False):
            folder = tmp_path / "whole"  # the same name, which some files hold
            shutil.rmtree(folder)
            shutil.copytree(start, folder) if start else folder.mkdir()
            code = disturbed(command, folder, step, kill=kill)
            assert code in ((137, 0) if kill else (0, 1)), f"step {step}, {kill=}: {code}"
            ended.append(code)

            def again() -> int:
                files._SETTLED = -1  # what was killed a moment ago counts as abandoned
                command(folder)  # noqa: B023
                return 0

            assert forked(again) == 0, f"step {step} of {count}, {kill=}: it does not go on"
            left = [path for path in folder.rglob("*") if "begun-" in path.parent.name and path.name != ".lock"]
            assert not left, f"step {step} of {count}, {kill=}: {left}"
            found = comparable(folder)
            assert found.keys() == expected.keys(), f"step {step} of {count}, {kill=}"
            for name in expected:
                assert found[name] == expected[name], f"{name}, step {step} of {count}, {kill=}"
    assert 137 in ended and 1 in ended


def test_a_prepare_that_fails_or_is_killed_anywhere_ends_well_when_it_is_run_again(recipe_in, tmp_path):
    walk(lambda folder: prepare(recipe_in(folder)), None, tmp_path, every=QUICK)


@pytest.mark.slow
def test_a_training_that_fails_or_is_killed_anywhere_ends_with_the_same_bits_when_resumed(recipe_in, tmp_path):
    begun, whole = tmp_path / "begun", tmp_path / "whole"
    start_run(recipe_in(whole))  # its steps are those of a prepare; it names its folder, so it is made where it is used
    whole.rename(begun)
    walk(lambda folder: train(recipe_in(folder), resume=True), begun, tmp_path, every=SOME)


@pytest.mark.slow
def test_a_start_that_fails_or_is_killed_anywhere_can_be_started_again(recipe_in, tmp_path):
    walk(lambda folder: start_run(recipe_in(folder)), None, tmp_path, every=SOME)


@pytest.mark.slow
def test_an_evaluation_that_fails_or_is_killed_anywhere_ends_well_when_it_is_run_again(trained, source, tmp_path):
    on = HeldOut(data=source / "notes.jsonl")
    walk(lambda folder: evaluate_run(open_run(folder / "runs/mine"), on), trained, tmp_path, every=EVERY)


@pytest.mark.slow
def test_an_export_that_fails_or_is_killed_anywhere_is_whole_or_not_there(trained, source, tmp_path):
    on = HeldOut(data=source / "notes.jsonl")

    def export(folder):
        export_merged(open_run(folder / "runs/mine"), folder / "merged", on=on, max_drop=1, force=True)

    walk(export, trained, tmp_path, every=EVERY)


def test_the_walk_sees_what_is_not_whole(tmp_path):
    """A command that writes under the final name is found out."""

    def careless(folder):
        if not (folder / "a.json").exists():
            with (folder / "a.json").open("w") as file:
                json.dump([1] * 10_000, file)
            (folder / "b.json").write_text("{}")
            (folder / "c").mkdir()
            (folder / "d").mkdir()
            (folder / "c").rmdir()
            (folder / "d").rmdir()
            (folder / "e.json").write_text("{}")

    with pytest.raises(AssertionError, match="step 2"):
        walk(careless, None, tmp_path, every=1)
