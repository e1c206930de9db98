"""The report: self-contained, complete, honest, and safe with any text.

Covers `figures`, `summary` and `tools.pages` too.
"""

import errno
import io
import json
import re
import shutil
from types import SimpleNamespace
from typing import IO

import numpy as np
import pytest
from matplotlib.figure import Figure
from rich.console import Console

from medalist.cli.result_tables import metrics_tables
from medalist.evaluation.result_files import read_metrics
from medalist.evaluation.shares import short_name
from medalist.runs.evaluate import evaluate_run
from medalist.runs.figures import accuracy_by_slice, as_svg, learning_curve
from medalist.runs.held_out import HeldOut
from medalist.runs.report import _example, write_report
from medalist.runs.run import open_run
from medalist.runs.summary import plain_summary
from medalist.tools.shapes import appended_figures


@pytest.fixture(scope="module")
def page(fresh_run):
    return write_report(open_run(fresh_run)).read_text(encoding="utf-8")


def test_a_curve_of_one_step_begins_at_0_and_is_marked_at_whole_steps():
    figure = learning_curve([{"step": 1, "loss": 2.0}, {"step": 1, "eval_accuracy": 1.0}])
    for axes in figure.axes:
        assert axes.get_xlim() == (0, 1)
        assert set(axes.get_xticks()) <= {0, 1}


def test_the_figures_on_top_say_what_they_count_and_data_of_ones_own_is_named_so(fresh_run, tmp_path):
    run = shutil.copytree(fresh_run, tmp_path / "run")
    (run / "evaluation/test").rename(run / "evaluation/ward notes")
    page = write_report(open_run(run)).read_text(encoding="utf-8")
    count = read_metrics(run / "evaluation/ward notes")["slices"]["all"]["count"]
    assert "<h2>Your data: ward notes</h2>" in page
    assert page.index(f"Right answers to {count} questions, with 95 % intervals:") < page.index('<div class="numbers">')


def test_the_report_loads_nothing_from_elsewhere(page):
    assert not re.findall(r'(?:src|href)="(?!#)', page)
    assert "@import" not in page
    assert not re.findall(r"url\((?!#)", page)


def test_every_promised_part_is_there(page, fresh_run):
    for part in (
        "strongest baseline",
        "Before and after, by part of the questions",
        "no leak",
        "most confused",
        "Examples",
        "How to reproduce",
        "Training loss",
        "not a medical device",
    ):
        assert part in page, part
    assert page.count("<svg") == 4
    assert "<mark>" in page
    figures = {path.name for path in (fresh_run / "figures").iterdir()}
    expected = {"learning-curve.png", "test-slices.png", "test-reliability.png", "test-risk-coverage.png"}
    assert figures == expected


def test_an_example_shows_the_true_answer_and_no_other_that_every_model_gives_0_percent():
    question = SimpleNamespace(question="Does it?", text="Does it?")
    item = SimpleNamespace(choice=question, quiz=question, candidates=("no", "maybe", "yes"), gold=2, key="a")
    scores = {"base": {"a": np.array([9.0, 0.0, 0.0])}, "tuned": {"a": np.array([9.0, 8.0, 0.0])}}
    assert [answer[0] for answer in _example("", item, scores).answers] == ["no", "maybe", "yes"]
    assert [answer[0] for answer in _example("", item, {"base": scores["base"]}).answers] == ["no", "yes"]


def test_examples_come_before_figures_and_small_slices_are_only_named(fresh_run, tmp_path):
    run = shutil.copytree(fresh_run, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoint-*"))
    path = run / "evaluation/test/metrics.json"
    metrics = json.loads(path.read_text())
    metrics["slices"]["odd one"] = metrics["slices"]["all"] | {"count": 1}
    path.write_text(json.dumps(metrics))
    page = write_report(open_run(run)).read_text(encoding="utf-8")
    assert page.index("<h3>Examples</h3>") < page.index("<h3>Before and after, by part of the questions</h3>")
    assert "<td>odd one</td>" not in page
    assert "odd one" in re.search(r"fewer than 10 questions: (.*)\.</p>", page)[1]


def test_the_page_compares_the_tuned_model_with_every_baseline(page, fresh_run):
    metrics = json.loads((fresh_run / "evaluation/test/metrics.json").read_text())
    table = page[page.index("<h3>Simple baselines</h3>") :]
    table = table[: table.index("</table>")]
    assert {"first listed sense", "prior alone (uniform: no counts)"} <= metrics["baselines"].keys()
    assert "This inventory has no counts, so its prior is uniform" in table
    for name in metrics["baselines"]:
        row = next(line for line in table.splitlines() if line.startswith(f"<tr><td>{short_name(name)}</td>"))
        for part in ("all", "no leak"):
            gain = metrics["slices"][part]["from_baselines"][name]
            assert f"{100 * gain['value']:+.1f}<small>({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f})" in row


def test_the_figures_in_the_page_are_those_of_the_metrics(page, fresh_run):
    metrics = json.loads((fresh_run / "evaluation/test/metrics.json").read_text())
    for model in ("base", "tuned"):
        assert f"{100 * metrics['slices']['all'][model]['value']:.1f} %" in page


def test_text_with_markup_is_shown_and_not_run(fresh_run, tmp_path):
    text = "<script>alert(1)</script> seen with RA today and MS before"
    mentions = [
        {"start": text.index("RA"), "end": text.index("RA") + 2, "long_form": "room air"},
        {"start": text.index("MS"), "end": text.index("MS") + 2, "long_form": "mental status"},
    ]
    data = tmp_path / "odd.jsonl"
    data.write_text(json.dumps({"id": "1", "text": text, "mentions": mentions}) + "\n")
    run = open_run(fresh_run)
    evaluate_run(run, HeldOut(data=data))
    page = write_report(run).read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "odd" in page


def _printed(tables, width=200):
    console = Console(file=io.StringIO(), width=width)
    for table in tables:
        console.print(table)
    return console.file.getvalue()


def test_the_accuracy_of_three_models_fits_80_columns_with_the_slices_names_whole(fresh_run):
    metrics = read_metrics(fresh_run / "evaluation/test")
    metrics["models"]["parent"] = metrics["models"]["tuned"]
    for cells in metrics["slices"].values():
        cells["parent"] = cells["tuned"]
    accuracy = _printed(list(metrics_tables(metrics))[:2], width=80)
    assert "…" not in accuracy
    assert all(name in accuracy for name in ("no leak", "several words", "sense unseen"))


def cell(value, spread=0.05):
    return {"value": value, "low": value - spread, "high": value + spread, "count": 100}


def evaluation(base, tuned, low, high):
    difference = {"value": tuned - base, "low": low, "high": high, "count": 100, "p": 0.04}
    slices = {
        "all": {"count": 100, "base": cell(base), "tuned": cell(tuned), "majority": cell(0.9), "difference": difference}
    }
    return {
        "kind": "short forms",
        "counts": {"choice": 100, "single": 0, "passages": 30, "passages_in_training_data": 3},
        "models": {"base": {}, "tuned": {}},
        "baselines": {"majority": {}},
        "slices": slices,
    }


@pytest.mark.parametrize(
    ("figures", "verdict"),
    [
        ((0.7, 0.8, 0.05, 0.15), "Tuning gained 10.0 points (95 % interval 5.0 to 15.0"),
        ((0.8, 0.7, -0.15, -0.05), "Tuning lost 10.0 points (95 % interval 5.0 to 15.0"),
        ((0.7, 0.71, -0.02, 0.04), "may be due to chance"),
    ],
)
def test_the_summary_says_gained_lost_or_chance_as_the_interval_does(figures, verdict):
    summary = " ".join(plain_summary(evaluation(*figures)))
    assert verdict in summary
    assert "strongest simple baseline (majority) on 90.0 %" in summary
    assert "Warning: 3 of these passages are also in the training data" in summary


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        ((0.1, 0.02, 0.17), "(majority) on 90.0 %. Tuning gained 10.0 points"),
        (
            (0.1, 0.02, 0.17),
            "The tuned model is 10.0 points (95 % interval 2.0 to 17.0, p = 0.04) above that baseline.",
        ),
        (
            (-0.1, -0.17, -0.02),
            "The tuned model is 10.0 points (95 % interval 2.0 to 17.0, p = 0.04) below that baseline.",
        ),
        (
            (0.1, -0.02, 0.2),
            "difference from that baseline, +10.0 points (95 % interval -2.0 to +20.0, p = 0.04), may be due "
            "to chance.",
        ),
    ],
)
def test_the_summary_says_how_far_the_strongest_baseline_is(interval, verdict):
    metrics = evaluation(0.7, 0.8, 0.05, 0.15)
    value, low, high = interval
    metrics["slices"]["all"]["from_baseline"] = {"value": value, "low": low, "high": high, "count": 100, "p": 0.04}
    assert verdict in " ".join(plain_summary(metrics))


def test_a_run_without_an_evaluation_says_what_to_do(fresh_run, tmp_path):
    shutil.copytree(fresh_run, tmp_path / "bare", ignore=shutil.ignore_patterns("evaluation"))
    with pytest.raises(FileNotFoundError, match=r"has no evaluation yet; run `medalist evaluate"):
        write_report(open_run(tmp_path / "bare"))


def test_a_report_that_cannot_be_kept_is_refused_and_a_full_disk_leaves_no_half_figure(
    fresh_run, tmp_path, monkeypatch
):
    shutil.copytree(fresh_run, tmp_path / "run", ignore=shutil.ignore_patterns("figures", "report.html"))
    run = open_run(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr("medalist.tools.files.can_write", lambda _: False)
        with pytest.raises(ValueError, match="run cannot be written to, and the report is kept there: copy the run"):
            write_report(run)

    def full(_: Figure, file: IO[bytes], **__: object) -> None:
        file.write(b"PNG")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("medalist.runs.figures.as_svg", lambda _: "")
    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(OSError, match=r"No space left on device: .*/run/figures/learning-curve\.png"):
        write_report(run)
    assert not (tmp_path / "run/figures").exists() and not (tmp_path / "run/report.html").exists()


def test_figures_draw_from_little():
    assert "<svg" in as_svg(learning_curve([{"step": 1, "loss": 2.0}]))
    assert "<svg" in as_svg(accuracy_by_slice({"all": {"count": 1, "base": cell(0.5)}}, []))


@pytest.mark.parametrize("line", ['{"step": 1, "loss": "x"}', '{"loss": 1.0}', '{"step": 1, "eval_accuracy": [1]}'])
def test_a_damaged_line_of_the_log_is_named(tmp_path, line):
    log = tmp_path / "log.jsonl"
    log.write_text(f'{{"step": 0, "epoch": null, "loss": 2.0}}\n{line}\n')
    with pytest.raises(ValueError, match=r"log\.jsonl, line 2: (loss|step|eval_accuracy) is not a number\. Remove"):
        learning_curve(appended_figures(log))
