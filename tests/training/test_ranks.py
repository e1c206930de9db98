"""`medalist train` under torchrun and accelerate launch: who writes and prints, and how all end when one does."""

import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from torch.testing import assert_close

import many_ranks
from launching import ACCELERATE, launch
from medalist.recipe import load_recipe
from medalist.runs.run import open_run
from medalist.runs.train import train
from medalist.training.ranks import check_launcher, together

FAULTY = Path(many_ranks.__file__)


@pytest.fixture(scope="module")
def recipe(model_folder, tmp_path_factory):
    """Five steps of four passages each, twelve passages in an epoch; checkpoints after steps two, four and five."""
    folder = tmp_path_factory.mktemp("ranks")
    values = {
        "name": "alone",
        "output": str(folder / "runs"),
        "model": {"base": str(model_folder)},
        "data": {"limit": 12, "limit_validation": 2, "limit_test": 4},
        "training": {"max_steps": 5, "evaluate_every": 2, "passages_per_step": 4},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(values))
    return folder / "recipe.yaml"


@pytest.fixture(scope="module")
def alone(recipe):
    """The recipe on one process."""
    return train(load_recipe(recipe)).folder


def losses(run):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return torch.tensor([line["loss"] for line in lines if "loss" in line])


def said(stderr):
    """Only our own lines: not the launcher's log lines and report, nor warnings from libraries."""
    report = stderr.partition("Traceback (most recent call last)")[0]
    return [
        line for line in report.splitlines() if re.match(r"(?![WE]\d{4} )(Loss|Gradient|Rank|The run|Unknown)", line)
    ]


@pytest.mark.slow
def test_a_killed_rank_ends_the_run_with_one_line_and_accelerate_resumes_it_to_the_run_of_one_process(recipe, alone):
    run = alone.parent / "killed"
    words = ["train", recipe, "name=killed", "training.parallel=fsdp"]
    done = launch(FAULTY, "killed", *words)
    assert done.returncode != 0
    assert said(done.stderr) == [
        "Rank 1 stopped (2 processes) after step 2. "
        f"The last good checkpoint is {run}/checkpoint-2; resume with --resume."
    ], done.stderr[-3000:]
    assert sorted(path.name for path in run.iterdir()) == [
        *("checkpoint-2", "inventory.csv", "log.jsonl", "recipe.yaml", "trained_senses.csv")
    ]
    done = launch("-m", "medalist", *words, "--resume", by=ACCELERATE)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == f"{run}/adapter\n"
    assert_close(losses(run), losses(alone), atol=1e-4, rtol=1e-4)
    assert open_run(run).record["training"] == open_run(alone).record["training"] | {
        "processes": 2,
        "best_validation": pytest.approx(open_run(alone).record["training"]["best_validation"], rel=1e-4),
    }
    assert (run / "adapter/README.md").exists()
    assert len(re.findall(r"Training: \d+/5", done.stderr)) == done.stderr.count("Training:") > 0
    assert done.stderr.count("Training: 5/5") == 1, "only one process prints"


@pytest.mark.parametrize(
    ("fault", "parallel"),
    [("not-finite", "ddp"), pytest.param("not-finite-as-on-a-gpu", "fsdp", marks=pytest.mark.slow)],
)
def test_an_error_that_one_rank_has_ends_all_with_its_line(fault, parallel, recipe, alone):
    run = alone.parent / f"{fault}-{parallel}"
    done = launch(FAULTY, fault, "train", recipe, f"name={run.name}", f"training.parallel={parallel}")
    assert done.returncode != 0
    (line,) = said(done.stderr)
    assert re.fullmatch(
        rf"Loss became nan at step 3, passages \S+\. The last good checkpoint is {run}/checkpoint-2; .*", line
    )
    assert not (run / "adapter").exists()


def test_a_mistake_that_all_ranks_make_gets_one_line(recipe):
    done = launch("-m", "medalist", "train", recipe, "training.parralel=fsdp")
    assert done.returncode != 0
    assert said(done.stderr) == [f"Unknown key training.parralel in {recipe}. Did you mean training.parallel?"]
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("ACCELERATE_USE_FSDP", "true", r"set training\.parallel"),
        ("ACCELERATE_MIXED_PRECISION", "bf16", r"set model\.dtype"),
    ],
)
def test_what_the_recipe_decides_is_not_taken_from_the_launcher(name, value, right, monkeypatch):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=right):
        check_launcher()


def test_a_process_alone_is_the_first_of_one_and_agrees_with_itself():
    with together() as ranks, together() as inner:
        assert (ranks.size, ranks.first, inner.first) == (1, True, True)
        ranks.wait_for_first()
        assert (ranks.agreed("mine"), ranks.gathered("mine")) == ("mine", ["mine"])
