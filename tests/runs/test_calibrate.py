"""A run's calibration: fitted once on its validation split, kept beside the weights, used where the run is used."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from medalist.cli.result_tables import metrics_tables
from medalist.cli.tables import gain_text, p_text, share_text
from medalist.data.items import make_items
from medalist.evaluation.calibration import cross_validated, fit, make_cases
from medalist.evaluation.offers import wrong_at
from medalist.evaluation.predictions import REST, REST_FILE, read_scores, score_texts
from medalist.evaluation.reading import decided, with_scores
from medalist.evaluation.result_files import read_metrics
from medalist.expansion.expander import Expander
from medalist.models.base import ModelError
from medalist.recipe import parse_recipe
from medalist.runs import calibrate
from medalist.runs.calibrate import calibrated
from medalist.runs.card import card_text
from medalist.runs.evaluate import evaluate_run
from medalist.runs.figures import offered_curve
from medalist.runs.held_out import HeldOut
from medalist.runs.models import RunModels
from medalist.runs.report import write_report
from medalist.runs.run import load_tuned, open_run, tuned_tokenizer
from medalist.runs.train import train
from medalist.tools.pages import interval, per_cent
from medalist.trees.decisions import CLUES, Calibration, Glance

UNFITTED = shutil.ignore_patterns("checkpoint-*", "evaluation", "calibration.json")


@pytest.fixture(scope="module")
def folder(model_folder, tmp_path_factory):
    """A run of the tiny model with enough validation passages, evaluated."""
    values = {
        "name": "larger",
        "output": str(tmp_path_factory.mktemp("calibrated") / "runs"),
        "model": {"base": str(model_folder)},
        "data": {"validation": 0.2, "test": 0.1},
        "training": {"max_steps": 2},
        "evaluation": {"bootstrap": 100, "precision": 0.6},
    }
    run = train(parse_recipe(values))
    assert run.calibration is None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibrate, "fit_glance", lambda _, **__: None)
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


def test_its_topics_are_of_the_windows_in_which_the_model_reads(folder, tmp_path, monkeypatch):
    class Enough(Exception):
        pass

    def make_cases(_items, _scores, _inventory, windows):
        assert len(windows("RA now. " * 400)) > 1 == len(windows("RA now. "))
        raise Enough

    shutil.copytree(folder, tmp_path / "run", ignore=UNFITTED)
    monkeypatch.setattr(calibrate, "make_cases", make_cases)
    monkeypatch.setattr(calibrate, "score_texts", lambda *_, **__: ({}, None))
    run = open_run(tmp_path / "run")
    with pytest.raises(Enough):
        calibrated(run, lambda: load_tuned(run))


def test_a_run_s_tokenizer_is_looked_at_before_it_is_read_and_need_not_be_there(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "run", ignore=UNFITTED)
    run = open_run(tmp_path / "run")
    assert tuned_tokenizer(run)("RA")["input_ids"] == load_tuned(run).tokenizer("RA")["input_ids"]
    with (run.tuned / "tokenizer.json").open("ab") as file:
        file.truncate(60_000_000)
    with pytest.raises(ModelError, match="tokenizer"):
        tuned_tokenizer(run)
    (run.tuned / "tokenizer_config.json").unlink()
    assert tuned_tokenizer(run) is None


def test_a_run_that_was_opened_before_it_was_fitted_is_not_fitted_again(folder):
    run = replace(open_run(folder), calibration=None)
    assert calibrated(run, lambda: pytest.fail("it is fitted")) == Calibration.read(folder / "calibration.json")


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


def test_a_glance_decides_among_the_run_s_own_senses_alone(folder, tmp_path):
    run = shutil.copytree(folder, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoint-*"))
    weights = {"constant": 20.0} | dict.fromkeys(CLUES, 0.0)
    glance = Glance(prior=1.0, topic=0.0, is_short_form=weights, settled_from=0.0, usual_from=1e-9)
    replace(open_run(run).calibration, glance=glance, short_form_from=0.0).write(run / "calibration.json")
    text = "Seen for RA; on RA, sats 98."
    assert {one.evidence for one in Expander.load(run)(text)} == {"inventory"}
    others = Expander.load(run, inventory=run / "inventory.csv")
    assert {one.evidence for one in others(text)} == {"model"}, "about senses that are given the model is asked"


def test_a_run_with_too_few_validation_passages_says_so_once_and_is_not_calibrated(tiny_run, capsys):
    run = open_run(tiny_run)
    calibrate._say_once.cache_clear()
    evaluate_run(run)
    metrics, _ = evaluate_run(run)
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("is not calibrated, with too little validation data") == 1 and "50 are needed" in said
    assert 'answers stay as they are without a calibration: the most likely of the listed meanings and "none' in said
    assert "calibrated" not in metrics and not (tiny_run / "calibration.json").exists()


def test_a_run_whose_data_is_gone_says_so_and_loads_nothing(folder, tmp_path, capsys):
    run = open_run(shutil.copytree(folder, tmp_path / "run", ignore=UNFITTED))
    gone = replace(run, record=run.record | {"data": run.record["data"] | {"folder": "nowhere"}})
    assert calibrated(gone, lambda: pytest.fail("nothing is there to score")) is None
    assert "no validation data to fit one on" in capsys.readouterr().err


def test_a_precision_out_of_reach_is_said(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("medalist.evaluation.calibration.LEAST_OFFERED", 10**9)  # so many offers nothing has
    copy = shutil.copytree(folder, tmp_path / "run", ignore=UNFITTED)
    run = open_run(copy)
    evaluation = run.recipe.evaluation.model_copy(update={"precision": 0.9999})
    run = replace(run, recipe=run.recipe.model_copy(update={"evaluation": evaluation}))
    found = calibrated(run, lambda: RunModels(run).load("tuned"))
    assert "No threshold reaches a precision of" in capsys.readouterr().err
    assert found == Calibration.read(copy / "calibration.json") and found.offered_from > 1


def half_settled(cases, **_):
    """A glance that settles half of the mentions of validation data, by the prior alone."""
    rule = {"constant": 20.0} | dict.fromkeys(CLUES, 0.0)
    glance = Glance(prior=1.0, topic=0.0, is_short_form=rule, settled_from=0.0, usual_from=1e-9)
    decisions = [case.glanced(glance) for case in cases]
    sure = [max(decision.senses) * decision.short_form for decision in decisions]
    return replace(glance, settled_from=float(np.median(sure))), decisions


@pytest.mark.parametrize(("lost", "kept"), [(4, True), (5, False)])
def test_a_glance_is_used_unless_it_costs_more_than_chance_explains(folder, tmp_path, monkeypatch, lost, kept):
    """Four answers less have a probability of one in sixteen by chance, five of one in thirty-two."""

    def fit_after_glance(cases, _decisions, glance, *, precision):
        decided = cross_validated(cases)
        right = [n for n, (c, d) in enumerate(zip(cases, decided, strict=True)) if c.is_right(d) and len(d.senses) > 1]
        for n in right[:lost]:
            other = (cases[n].item.gold + 1) % len(decided[n].senses)
            decided[n] = replace(decided[n], senses=tuple(float(m == other) for m in range(len(decided[n].senses))))
        return replace(fit(cases, precision=precision), glance=glance), decided

    monkeypatch.setattr(calibrate, "fit_glance", half_settled)
    monkeypatch.setattr(calibrate, "read_rest", lambda *_: {})
    monkeypatch.setattr(calibrate, "fit_after_glance", fit_after_glance)
    run = open_run(shutil.copytree(folder, tmp_path / "run", ignore=UNFITTED))
    found = calibrated(run, lambda: load_tuned(run))
    assert (found.glance is not None) == kept and Calibration.read(run.folder / "calibration.json") == found


def test_a_run_is_asked_about_everything_where_no_glance_can_be_fitted(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(calibrate, "fit_glance", lambda _, **__: None)
    monkeypatch.setattr(calibrate, "read_rest", lambda *_: pytest.fail("nothing is settled"))
    run = open_run(shutil.copytree(folder, tmp_path / "run", ignore=UNFITTED))
    assert calibrated(run, lambda: load_tuned(run)).glance is None


def test_what_a_glance_leaves_is_scored_once_and_kept_beside_the_other_scores(folder, tmp_path, monkeypatch):
    copy = shutil.copytree(folder, tmp_path / "glancing")
    results = copy / "evaluation/test"
    rule, before = Calibration.read(copy / "calibration.json"), read_metrics(results)
    run = open_run(copy)
    first = read_scores(results)["tuned"]
    cases = make_cases(make_items(run.prepared().passages("test"), run.inventory), first, run.inventory)
    glance, _ = half_settled(cases)
    rule = replace(rule, short_form_from=0.0, glance=glance)
    rule.write(copy / "calibration.json")
    metrics, _ = evaluate_run(open_run(copy))
    rest = read_scores(results, REST_FILE)[REST]
    assert 0 < len(rest) < len(first) and any((rest[key] != first[key]).any() for key in rest)
    assert metrics["models"] == before["models"] and metrics["slices"] == before["slices"]
    curve = metrics["calibrated"]["risk_coverage"]
    read = with_scores(cases, rest)
    right = np.mean([case.is_right(found) for case, found in zip(read, decided(read, rule), strict=True)])
    assert curve["risk"][-1] == pytest.approx(1 - right)

    monkeypatch.setattr(RunModels, "load", lambda *_: pytest.fail("it was scored before"))
    assert evaluate_run(open_run(copy))[0] == metrics
    replace(rule, glance=replace(glance, settled_from=0.0)).write(copy / "calibration.json")
    with pytest.raises(pytest.fail.Exception, match="scored before"):
        evaluate_run(open_run(copy))
    replace(rule, glance=None).write(copy / "calibration.json")
    evaluate_run(open_run(copy))
    assert not (results / REST_FILE).exists()


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


@pytest.fixture(scope="module")
def figures(folder):
    return read_metrics(folder / "evaluation/test")["calibrated"]


def test_the_report_draws_the_curve_with_the_chosen_point_and_says_it_in_words(folder, figures):
    page = write_report(open_run(folder)).read_text(encoding="utf-8")
    offered = figures["offered"]["all"]
    assert "chosen threshold" in page and "always the first listed" in page, "both are in the figure's legend"
    assert (folder / "figures/test-offered.png").exists()
    assert (
        f"At its threshold, set for a precision of 60 %, the tuned model offers {per_cent(offered['coverage'])} of all "
        f"mentions as sure; {per_cent(offered['precision'])} of those are right "
        f"(95 % interval {interval(offered['precision'])})."
    ) in page
    assert f"<td>right among those</td><td>{per_cent(offered['precision'])}<small>" in page
    assert f"<td>{offered['precision']['count']:,}</td>" in page
    free = figures["expansion"]["all"]
    table = page[page.index(f"<th>free to decline ({free['count']:,})</th>") :]
    tuned, first, ahead = table[: table.index("</table>")].splitlines()[1:4]
    assert f"<td>{per_cent(free['tuned'])}<small>{interval(free['tuned'])}</small></td></tr>" in tuned
    assert f"<td>{per_cent(free['first listed sense'])}<small>{interval(free['first listed sense'])}</small>" in first
    assert f"<td>{100 * free['from_baselines']['first listed sense']['value']:+.1f}<small>(" in ahead


def test_the_point_is_drawn_where_the_figures_say(figures):
    [axes] = offered_curve(figures).axes
    [bars] = axes.containers
    offered = figures["offered"]["all"]
    x, y = bars.lines[0].get_xydata()[0]
    assert x == pytest.approx(100 * offered["coverage"]["value"])
    assert y == pytest.approx(100 - 100 * offered["precision"]["value"])
    never = figures | {"offered": {"all": offered | {"precision": None}}}
    assert offered_curve(never).axes[0].containers == [], "nothing is offered, so there is no point"


def test_the_card_gives_the_curve_and_the_chosen_point_in_numbers(folder, figures):
    card = card_text(open_run(folder))
    offered = figures["offered"]["all"]
    share = f"{per_cent(offered['precision'])} ({interval(offered['precision'])})".replace(" %", "")
    assert f"| right among those | {share} | {offered['precision']['count']:,} |" in card
    assert f"{per_cent(figures['risk_coverage']['risk'][-1])} if 100 % of the mentions are answered." in card
    assert "| free to decline |" in card and "The\nthreshold was set there for 60 % right" in card


def test_report_and_card_say_whose_thresholds_a_run_keeps(folder, monkeypatch):
    run = open_run(folder)
    parent = {"parent": {"name": "reader", "sha256": "0" * 64, "replayed": 3}}
    kept = replace(run, record=run.record | parent)
    for given, in_report, in_card in (
        (run, "mentions of the validation data", "mentions of the validation data"),
        (kept, "are those of the reader, since", "that of the run it was tuned further from"),
    ):
        for module in ("report", "card"):
            monkeypatch.setattr(f"medalist.runs.{module}.keeps_parents_calibration", lambda _, k=given is kept: k)
        assert in_report in write_report(given).read_text(encoding="utf-8")
        assert in_card in card_text(given)


def test_the_terminal_shows_what_is_offered_beside_the_baselines(folder, figures):
    console = Console(file=io.StringIO(), width=80)
    for table in metrics_tables(read_metrics(folder / "evaluation/test")):
        console.print(table)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    offered = figures["offered"]["all"]
    assert share_text(offered["precision"]) in next(line for line in lines if line.startswith("right among those"))
    free = figures["expansion"]["all"]
    at = lines.index("With its calibration: right, %")
    begin = next(number for number, line in enumerate(lines) if number > at and line.startswith("tuned, calibrated"))
    tuned, first, ahead, p, prior, ahead_of_prior, _ = lines[begin : begin + 7]
    assert prior.startswith("uniform prior")
    assert p.split()[0] == "p" and p.endswith(p_text(free["from_baselines"]["first listed sense"]))
    assert ahead_of_prior.endswith(gain_text(free["from_baselines"]["prior alone (uniform: no counts)"]))
    assert tuned.endswith(share_text(free["tuned"])) and first.endswith(share_text(free["first listed sense"]))
    assert ahead.endswith(gain_text(free["from_baselines"]["first listed sense"]))


def test_the_curve_is_read_at_the_largest_share_that_is_not_above_the_wanted_one():
    figures = {"risk_coverage": {"coverage": [0.2, 0.4, 1.0], "risk": [0.0, 0.1, 0.3]}}
    assert [wrong_at(figures, share) for share in (0.1, 0.2, 0.5, 1.0)] == [0.0, 0.0, 0.1, 0.3]
