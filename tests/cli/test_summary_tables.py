"""What `medalist evaluate` prints without --details."""

import io
import re

import numpy as np
import pytest
from rich.console import Console

from by_hand import BASE, INVENTORY, PASSAGES
from medalist.cli.result_tables import metrics_tables
from medalist.cli.summary_tables import summary_tables
from medalist.data.items import make_choice_items, make_items
from medalist.data.quizzes import Choice, Quiz
from medalist.evaluation.choices import summarise_choices
from medalist.evaluation.short_forms import Knowledge, summarise

TUNED = BASE | {("2", 0): [0.3, 0.5, 0.1, 0.1]}
ABOUT = {"about": {"rows_quarantined": {}}}


@pytest.fixture(scope="module")
def metrics():
    scores = {
        name: {key: np.log(values) for key, values in found.items()}
        for name, found in {"base": BASE, "tuned": TUNED}.items()
    }
    return summarise(make_items(PASSAGES, INVENTORY), scores, INVENTORY, Knowledge(), resamples=200) | ABOUT


def printed(tables, width=80):
    console = Console(file=io.StringIO(), width=width)
    for table in tables:
        console.print(table)
    return console.file.getvalue()


def row(text, name):
    return next(line.rstrip() for line in text.splitlines() if line.strip().startswith(name))


def shown(cell):
    return f"{100 * cell['value']:.1f} ({100 * cell['low']:.1f}–{100 * cell['high']:.1f})"


def test_every_answerer_has_a_row_with_its_intervals_on_all_without_leak_and_where_it_may_decline(metrics):
    text = printed(summary_tables(metrics))
    parts = [metrics["slices"]["all"], metrics["slices"]["no leak"], metrics["expansion"]["all"]]
    for name in ("base", "tuned", "first listed sense"):
        cells = re.findall(r"\d\S* \(\S+\)", row(text, name))
        assert cells == [shown(part[name]) for part in parts]
    gain = parts[0]["difference"]
    assert row(text, "minus base").split()[2:5] == [f"{100 * gain['value']:+.1f},", "p", f"{gain['p']:.2g}"]
    best = parts[2]["from_baseline"]
    assert row(text, "minus best baseline").endswith(f"{100 * best['value']:+.1f}, p {best['p']:.2g}")
    assert max(map(len, text.splitlines())) <= 80


def test_it_says_in_plain_words_when_too_little_was_tested_and_first(metrics):
    first, *_ = summary_tables(metrics)
    assert first.startswith("Only 7 passages were tested. That is too few to compare models.")
    assert "Fewer than 20 mentions: the figures may be chance." in first
    more = metrics | {"counts": metrics["counts"] | {"choice": 20}}
    assert "chance" not in next(summary_tables(more))
    many = metrics | {"counts": metrics["counts"] | {"choice": 20, "passages": 30}}
    assert "tested" not in printed(summary_tables(many))


def test_it_is_less_than_half_of_all_figures(metrics):
    short, long = printed(summary_tables(metrics)), printed(metrics_tables(metrics))
    assert 2 * len(short.splitlines()) < len(long.splitlines())
    assert "calibration error" in long and "calibration error" not in short


def test_choice_questions_get_macro_f1_beside_accuracy():
    quizzes = [
        Quiz(
            id=str(number),
            text=f"Text {number}.",
            choices=(Choice(question="Is it?", options=("yes", "no"), gold=gold, subject=""),),
            source="tests",
        )
        for number, gold in enumerate((0, 1))
    ]
    scores = {"base": {("0", 0): np.log([0.9, 0.1]), ("1", 0): np.log([0.8, 0.2])}}
    found = summarise_choices(make_choice_items(quizzes), scores, [], cut=0, resamples=200)
    text = printed(summary_tables(found | ABOUT))
    assert "2 questions about 2 texts" in text and "may decline" not in text
    assert f"Macro F1, %: base {shown(found['models']['base']['macro_f1'])}" in text
    assert row(text, "base").endswith(shown(found["slices"]["all"]["base"]))
