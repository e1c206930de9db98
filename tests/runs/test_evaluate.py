"""Evaluating with two tiny models: what is written, what is not done again, what a failure leaves.

Covers `tools.progress` too.
"""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from by_hand import BASE, INVENTORY, PASSAGES
from marking import marked
from medalist.data.inventory import Inventory
from medalist.data.passage_files import write_jsonl
from medalist.data.rows import Quarantine
from medalist.evaluation.predictions import read_scores, score_texts, write_begun
from medalist.evaluation.short_forms import Knowledge
from medalist.recipe import EvaluationSettings
from medalist.runs.claims import check_claims
from medalist.runs.evaluate import EvaluatedModel, evaluate, evaluate_run
from medalist.runs.held_out import HeldOut, Questions
from medalist.runs.run import open_run
from medalist.trees.prompt import PromptSettings


class Models:
    """Evaluates two tiny models, base and tuned, and counts how often each is loaded."""

    def __init__(self, loaded, folder):
        tuned = copy.deepcopy(loaded.model)
        tuned.lm_head.weight.data.mul_(0.5)
        self.base, self.tuned = loaded, replace(loaded, model=tuned)
        self.folder, self.runs, self.quarantine = folder, [], Quarantine()

    def evaluate(self, passages=PASSAGES, inventory=INVENTORY, prompt=None, **identities):
        def load(name):
            self.runs.append(name)
            return getattr(self, name)

        identities = identities or {"base": "1"}
        on = Questions(
            passages=list(passages),
            quizzes=[],
            inventory=inventory,
            knowledge=Knowledge(),
            folder=self.folder,
            quarantine=self.quarantine,
            about={"data": "by hand"},
        )
        models = {
            name: EvaluatedModel(weights=identity, load=lambda name=name: load(name))
            for name, identity in identities.items()
        }
        return evaluate(models, on, prompt or PromptSettings(), EvaluationSettings(bootstrap=100))


@pytest.fixture
def models(loaded, tmp_path):
    return Models(loaded, tmp_path / "evaluation")


def test_evaluation_leaves_metrics_and_predictions_and_nothing_else(models):
    metrics = models.evaluate()
    assert sorted(path.name for path in models.folder.iterdir()) == ["metrics.json", "predictions.parquet"]
    assert json.loads((models.folder / "metrics.json").read_text()) == metrics
    assert metrics["about"]["data"] == "by hand"
    assert metrics["about"]["inventory"] == "by hand"


def test_predictions_hold_every_score_of_each_model(models):
    models.evaluate(base="1", tuned="2")
    found = read_scores(models.folder)
    for name, loaded in {"base": models.base, "tuned": models.tuned}.items():
        scores, encoder = score_texts(loaded, PASSAGES, INVENTORY, PromptSettings(), max_nodes=4096, label="again")
        assert encoder.dropped == 0
        assert found[name].keys() == scores.keys() == BASE.keys()
        for key, values in scores.items():
            assert len(values) == len(BASE[key])
            assert found[name][key] == pytest.approx(values, abs=1e-4)


def test_model_whose_predictions_are_there_is_not_run_again(models):
    first = models.evaluate(base="1", tuned="2")
    second = models.evaluate(base="1", tuned="2")
    assert models.runs == ["base", "tuned"]
    assert second == first


def test_only_the_model_whose_weights_changed_is_run_again(models):
    models.evaluate(base="1", tuned="2")
    models.evaluate(base="1", tuned="3")
    assert models.runs == ["base", "tuned", "tuned"]


@pytest.mark.parametrize(
    "change",
    [
        {"passages": [*PASSAGES[:-1], marked("[MR=mitral regurgitation]!", "7")]},
        {"passages": [marked("[RA=room air] hurts; [RA=rheumatoid arthritis] swells", "1"), *PASSAGES[1:]]},
        {"passages": PASSAGES[:-1]},
        {"inventory": Inventory.of([("RA", "room air", 1, None), ("RA", "right atrium", 0, None)])},
        {"prompt": PromptSettings(context_words=2)},
    ],
    ids=["text", "gold", "fewer passages", "inventory", "wording"],
)
def test_models_are_run_again_when_what_they_answer_changes(models, change):
    models.evaluate()
    models.evaluate(**change)
    assert models.runs == ["base", "base"]


def test_mentions_that_do_not_fit_the_model_are_counted(models, capsys):
    models.base.max_depth = 60
    long = marked("word " * 60 + "[RA=room air]", "8")
    counts = models.evaluate([*PASSAGES, long])["counts"]
    assert (counts["mentions"], counts["dropped"]) == (9, 1)
    assert capsys.readouterr().err.count("9/9") == 1


def test_progress_ends_once(models, capsys):
    models.evaluate()
    assert capsys.readouterr().err.count("8/8") == 1


def fail(*_, **__):
    raise OSError("no space left on device")


def test_failed_write_leaves_no_half_evaluation(models, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("medalist.tools.shapes.json_text", fail)
        with pytest.raises(OSError, match="no space"):
            models.evaluate()
    assert [path.name for path in models.folder.iterdir()] == ["predictions.parquet"]
    models.evaluate()
    assert models.runs == ["base", "base"]


def test_evaluation_stopped_between_its_two_files_is_not_mistaken_for_the_one_before(models, monkeypatch):
    first = models.evaluate()
    changed = [marked("quite another [RA=rheumatoid arthritis] and [RA=rheumatoid arthritis]", "1"), *PASSAGES[1:]]
    with monkeypatch.context() as patch:
        patch.setattr("medalist.tools.shapes.json_text", fail)
        with pytest.raises(OSError, match="no space"):
            models.evaluate(changed)
    assert models.evaluate() == first
    assert models.runs == ["base", "base", "base"]


def test_a_stopped_evaluation_does_not_score_the_first_model_again(models, capsys):
    whole = models.evaluate(base="1", tuned="2")
    shutil.rmtree(models.folder)
    tuned, models.runs = models.tuned, []
    del models.tuned
    with pytest.raises(AttributeError):
        models.evaluate(base="1", tuned="2")
    models.tuned = tuned
    assert models.evaluate(base="1", tuned="2") == whole
    assert models.runs == ["base", "tuned", "tuned"]
    assert {path.name for path in models.folder.iterdir()} == {"metrics.json", "predictions.parquet"}


def test_what_a_stopped_evaluation_left_is_not_taken_for_other_weights_or_if_damaged(models, capsys):
    models.evaluate(base="1", tuned="2")
    begun = models.folder / "predictions-begun.parquet"
    write_begun(models.folder, {"of others": (read_scores(models.folder)["base"], 0)})
    whole = begun.read_bytes()
    for number, left in enumerate((whole, whole[:-40], b"")):
        (models.folder / "metrics.json").unlink()
        begun.write_bytes(left)
        models.evaluate(base="1", tuned="2")
        assert ("is scored again" in capsys.readouterr().err) == (left != whole)
        assert models.runs == ["base", "tuned"] * (number + 2)
        assert not begun.exists()


def test_rows_that_could_not_be_read_are_kept_beside_the_metrics(loaded, tmp_path):
    models = Models(loaded, tmp_path / "evaluation")
    models.quarantine.total = 9
    models.quarantine.add(Path("data.csv"), 7, "empty LABEL")
    metrics = models.evaluate()
    assert metrics["about"]["rows_quarantined"] == {"empty LABEL": 1}
    assert '"line": 7' in (tmp_path / "evaluation/quarantine.jsonl").read_text()


def test_nothing_is_scored_where_there_is_nothing_to_measure(fresh_run, tmp_path, monkeypatch):
    listed = tmp_path / "one.csv"
    listed.write_text("short_form,long_form\nRA,rheumatoid arthritis\n")
    monkeypatch.setattr("medalist.runs.evaluate.score_texts", None)
    with pytest.raises(ValueError, match=r"no mention has a listed gold .* Is one\.csv the right inventory"):
        evaluate_run(open_run(fresh_run), HeldOut(inventory=listed, data=sample_notes(tmp_path)))


def sample_notes(folder):
    path = folder / "notes.jsonl"
    write_jsonl([marked("[RA=rheumatoid arthritis] hurts", "1")], path)
    return path


def test_a_run_that_cannot_be_written_to_is_evaluated_and_left_alone(fresh_run, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    shutil.copytree(fresh_run, run)
    shutil.rmtree(run / "evaluation")
    (run / "calibration.json").unlink(missing_ok=True)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    for module in ("runs.evaluate", "runs.calibrate", "tools.files"):
        monkeypatch.setattr(f"medalist.{module}.can_write", lambda _: False)
    metrics, _ = evaluate_run(open_run(run), HeldOut(limit=8))
    assert metrics["models"]["tuned"]["accuracy"]
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    assert "cannot be written to: the figures are shown, but not kept" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(ValueError, match="cannot be written to, and the claims are kept there"):
        check_claims(open_run(run))


def test_cut_predictions_are_made_again(models, capsys):
    models.evaluate()
    path = models.folder / "predictions.parquet"
    whole = path.read_bytes()
    for damage in (whole[:-40], b"", b"version https://git-lfs.github.com/spec/v1\n"):
        path.write_bytes(damage)
        models.evaluate()
        assert "scored again" in " ".join(capsys.readouterr().err.split())
        assert path.read_bytes() == whole
    assert models.runs == ["base"] * 4
