"""Training as a process: what it says when it is stopped or finds its folder taken, and what a failed start leaves."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
import torch

from medalist.cli.app import main
from medalist.tools.files import replacing


@pytest.fixture
def recipe(model_folder, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"name: mine\noutput: {tmp_path}/runs\nmodel: {{base: {model_folder}}}\n"
        "data: {limit: 8, limit_validation: 2, limit_test: 2}\n"
        "training: {max_steps: 5000, epochs: 10000, evaluate_every: 1, rank: 2}\n"
    )
    return path


def told(capsys, *arguments):
    """Exit code and last line of standard error of a command in this process."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return stop.value.code, err.splitlines()[-1]


def test_ctrl_c_says_what_is_kept_and_meanwhile_a_second_training_is_told_in_one_line(recipe, tmp_path, capsys):
    run = tmp_path / "runs/mine"
    command = [sys.executable, "-m", "medalist", "train", str(recipe)]
    first = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        for _ in range(600):
            if list(run.glob("checkpoint-*")) or first.poll() is not None:
                break
            time.sleep(0.1)
        log = (run / "log.jsonl").read_text()
        for more in ([], ["--resume"], ["training.max_steps=3", "--resume"]):
            code, line = told(capsys, "train", recipe, *more)
            assert code == 1 and line.startswith(f"Another command is working in {run}: wait until it has finished")
        assert (run / "log.jsonl").read_text().startswith(log)
        first.send_signal(signal.SIGINT)
        out, err = first.communicate(timeout=60)
    finally:
        first.kill()
        first.wait()
    assert (first.returncode, out) == (130, "")
    kept = max(run.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    assert err.splitlines()[-1] == (
        f"Interrupted. {kept} is kept: run the same command with --resume to go on from there."
    )
    assert "Traceback" not in err
    assert not list(run.parent.glob(".*")), "neither its lock nor what it began is left"


@pytest.mark.parametrize(
    ("notes", "said"),
    [
        (["x is kept."], "Interrupted. x is kept."),
        ([], "Interrupted. What is finished is kept: run the same command again."),
    ],
)
def test_ctrl_c_in_any_command_is_told_in_one_line(notes, said, monkeypatch, capsys):
    def interrupted(_):
        stop = KeyboardInterrupt()
        for note in notes:
            stop.add_note(note)
        raise stop

    monkeypatch.setattr("medalist.runs.run.open_run", interrupted)
    assert told(capsys, "report", "runs/x") == (130, said)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_command_that_is_told_to_end_removes_what_it_began(name, tmp_path, capsys, monkeypatch):
    number = getattr(signal, name)
    signal.signal(number, signal.SIG_DFL)  # the tests themselves may run under nohup

    def ended(_):
        with replacing(tmp_path / "deep/notes"):
            assert len(list(tmp_path.rglob("*"))) > 1
            signal.raise_signal(number)

    monkeypatch.setattr("medalist.runs.run.open_run", ended)
    said = "Interrupted. What is finished is kept: run the same command again."
    assert told(capsys, "report", "runs/x") == (128 + number, said)
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(number) == signal.SIG_DFL
    signal.signal(number, signal.SIG_IGN)  # as under nohup
    try:
        monkeypatch.setattr("medalist.runs.run.open_run", lambda _: signal.raise_signal(number) or 1 / 0)
        with pytest.raises(ZeroDivisionError):
            told(capsys, "report", "runs/x")
    finally:
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["training.upper_layers=3"], "training.upper_layers=3, but tiny-llama has 2 layers: set 1 to 2"),
        (["training.rank=33"], "training.rank=33, but the layers of tiny-llama are 32 wide: set 1 to 32"),
        (["training.epochs=inf"], "training.epochs: input should be a finite number"),
        (["model.base=/nowhere"], 'No model "/nowhere"'),
        (["data.hold_out=senses", "data.hold_out_share=0.999999"], "No passage is left to train on"),
        (["data.source=table", "data.path=/nowhere.jsonl"], "/nowhere.jsonl does not exist"),
    ],
)
def test_a_start_that_fails_on_its_settings_leaves_nothing(recipe, tmp_path, capsys, settings, message):
    code, line = told(capsys, "train", recipe, "training.evaluate_every=100000", *settings)
    assert code == 1 and message in line
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())


def test_a_disk_that_fills_up_ends_a_training_with_what_is_kept_and_no_half_of_a_checkpoint(
    recipe, tmp_path, capsys, monkeypatch
):
    run, save, room = tmp_path / "runs/mine", torch.save, [0]

    def full(*arguments: object, **settings: object) -> None:
        if not room[0]:
            raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 40384 vs 40276")
        room[0] -= 1
        save(*arguments, **settings)

    monkeypatch.setattr(torch, "save", full)
    code, line = told(capsys, "train", recipe)
    begins = "The disk is full: no space left for {}, which takes more than "
    assert code == 1 and line.startswith(begins.format(run / "checkpoint-1"))
    assert line.endswith("Free some space and run the same command again.") and not run.parent.exists()
    room[0] = 3  # optimiser, schedule and random numbers of one checkpoint
    code, line = told(capsys, "train", recipe)
    assert code == 1 and line.startswith(begins.format(run / "checkpoint-2"))
    kept = f"{run}/checkpoint-1 is kept: run the same command with --resume to go on from there."
    assert line.endswith(f"Free some space. {kept}")
    left = {"checkpoint-1", "inventory.csv", "log.jsonl", "recipe.yaml", "trained_senses.csv"}
    assert {path.name for path in run.iterdir()} == left
