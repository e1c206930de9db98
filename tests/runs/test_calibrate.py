"""A run's calibration: fitted once on its validation split, kept beside the weights, used where the run is used."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from medalist.data.items import make_items
from medalist.evaluation.calibration import fit, make_cases
from medalist.evaluation.predictions import score_texts
from medalist.evaluation.result_files import read_metrics
from medalist.expansion.expander import Expander
from medalist.recipe import parse_recipe
from medalist.runs.calibrate import calibrated
from medalist.runs.evaluate import RunModels, evaluate_run
from medalist.runs.held_out import HeldOut
from medalist.runs.run import load_tuned, open_run
from medalist.runs.train import train
from medalist.trees.decisions import Calibration


@pytest.fixture(scope="module")
def folder(model_folder, tmp_path_factory):
    """A run of the tiny model with enough validation passages, evaluated."""
    values = {
        "name": "larger",
        "output": str(tmp_path_factory.mktemp("calibrated") / "runs"),
        "model": {"base": str(model_folder)},
        "data": {"validation": 0.3, "test": 0.1},
        "training": {"max_steps": 2},
        "evaluation": {"bootstrap": 100, "precision": 0.6},
    }
    run = train(parse_recipe(values))
    assert run.calibration is None
    evaluate_run(run)
    return run.folder


def test_the_first_evaluation_fits_it_on_the_validation_split(folder):
    run = open_run(folder)
    passages = run.prepared().passages("validation")
    scores, _ = score_texts(
        load_tuned(run), passages, run.inventory, run.recipe.prompt, max_nodes=4096, label="by hand"
    )
    found = fit(make_cases(make_items(passages, run.inventory), scores, run.inventory), precision=0.6)
    assert run.calibration.target == 0.6 and run.calibration.mentions == found.mentions > 300
    assert run.calibration.evidence == found.evidence
    assert run.calibration.is_short_form == pytest.approx(found.is_short_form)
    assert run.calibration.offered_from == pytest.approx(found.offered_from, abs=1e-3)


def test_the_metrics_say_what_the_run_offers_with_it(folder):
    metrics, kept = read_metrics(folder / "evaluation/test"), open_run(folder).calibration
    figures = metrics["calibrated"]
    assert (figures["target"], figures["offered_from"]) == (0.6, kept.offered_from)
    counts = metrics["counts"]
    asked = sum(counts[kind] for kind in ("choice", "single", "absent", "distractor"))
    assert figures["offered"]["all"]["coverage"]["count"] == asked
    assert {"tuned", "first listed sense", "majority", "from_baselines"} <= figures["expansion"]["all"].keys()
    assert metrics["baselines"].keys() <= figures["slices"]["no leak"].keys()


def test_it_is_fitted_once_and_evaluating_again_changes_nothing(folder):
    before, written = read_metrics(folder / "evaluation/test"), (folder / "calibration.json").stat()
    metrics, _ = evaluate_run(open_run(folder))
    assert metrics == before
    assert (folder / "calibration.json").stat().st_mtime_ns == written.st_mtime_ns


def test_expanding_with_the_run_uses_it(folder, tmp_path):
    run = shutil.copytree(folder, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoint-*"))
    text = "Seen for RA; on RA, sats 98. MS stable."
    open_run(run).calibration.write(run / "calibration.json")
    change = {"short_form_from": 0.0, "offered_from": 2.0}
    (run / "calibration.json").write_text(json.dumps(json.loads((run / "calibration.json").read_text()) | change))
    found = Expander.load(run)(text)
    assert len(found) == 3 and all(e.long_form and not e.sure for e in found)
    (run / "calibration.json").unlink()
    plain = Expander.load(run)(text)
    assert [e.probability for e in plain] != [e.probability for e in found]


def test_a_run_with_too_few_validation_passages_says_so_and_is_not_calibrated(tiny_run, capsys):
    run = open_run(tiny_run)
    metrics, _ = evaluate_run(run)
    said = " ".join(capsys.readouterr().err.split())
    assert "is not calibrated, with too little validation data" in said and "50 are needed" in said
    assert 'answers stay as they are without a calibration: the most likely of the listed meanings and "none' in said
    assert "calibrated" not in metrics and not (tiny_run / "calibration.json").exists()


def test_a_run_whose_data_is_gone_says_so_and_loads_nothing(folder, capsys):
    run = open_run(folder)
    gone = replace(run, calibration=None, record=run.record | {"data": run.record["data"] | {"folder": "nowhere"}})
    assert calibrated(gone, lambda: pytest.fail("nothing is there to score")) is None
    assert "no validation data to fit one on" in capsys.readouterr().err


def test_a_precision_out_of_reach_is_said(folder, tmp_path, capsys):
    copy = shutil.copytree(folder, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoint-*"))
    run = open_run(copy)
    evaluation = run.recipe.evaluation.model_copy(update={"precision": 0.9999})
    run = replace(run, calibration=None, recipe=run.recipe.model_copy(update={"evaluation": evaluation}))
    found = calibrated(run, lambda: RunModels(run).load("tuned"))
    assert "No threshold reaches a precision of" in capsys.readouterr().err
    assert found == Calibration.read(copy / "calibration.json") and found.offered_from > 1


def test_a_damaged_calibration_is_refused_in_one_line(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoint-*", "evaluation"))
    (copy / "calibration.json").write_text('{"evidence": "much"}')
    with pytest.raises(ValueError, match=r"calibration\.json is not a calibration"):
        open_run(copy)


def test_notes_are_evaluated_with_the_calibration_of_the_run(folder, tmp_path):
    data = tmp_path / "own.jsonl"
    text = "Seen for RA and on RA today"
    mentions = [{"start": n, "end": n + 2, "long_form": "room air"} for n in (9, 19)]
    data.write_text(json.dumps({"id": "1", "text": text, "mentions": mentions}) + "\n")
    metrics, _ = evaluate_run(open_run(folder), HeldOut(data=data))
    assert metrics["calibrated"]["fitted_on"] == open_run(folder).calibration.mentions
