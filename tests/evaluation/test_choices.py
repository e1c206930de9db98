"""Figures on choice questions, checked by hand on a few.

Covers `results` too.
"""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from marking import marked
from medalist.cli.result_tables import metrics_tables
from medalist.data.items import make_choice_items
from medalist.data.quizzes import Choice, Quiz
from medalist.data.splits import shared_passages
from medalist.evaluation.choices import summarise_choices
from medalist.evaluation.metrics import PassageBootstrap

LABELS = ("yes", "no", "maybe")


def quiz(name, *golds, text=None, options=LABELS, subject=""):
    choices = tuple(
        Choice(question=f"Question {n}?", options=options, gold=gold, subject=subject) for n, gold in enumerate(golds)
    )
    return Quiz(id=name, text=text or f"Text {name}.", choices=choices, source="tests")


QUIZZES = [quiz("a", 0, 1), quiz("b", 0), quiz("c", 2), quiz("d", 0)]
BASE = {
    ("a", 0): [0.7, 0.2, 0.1],  # right
    ("a", 1): [0.6, 0.3, 0.1],  # yes for no
    ("b", 0): [0.5, 0.4, 0.1],  # right
    ("c", 0): [0.8, 0.1, 0.1],  # yes for maybe
    ("d", 0): [0.3, 0.4, 0.3],  # no for yes
}
TUNED = BASE | {("a", 1): [0.1, 0.8, 0.1], ("d", 0): [0.9, 0.05, 0.05]}
TRAIN = [quiz("t", 1, 1, 0)]


def summary(quizzes=QUIZZES, train=(), **models):
    models = models or {"base": BASE, "tuned": TUNED}
    scores = {name: {key: np.log(values) for key, values in found.items()} for name, found in models.items()}
    return summarise_choices(make_choice_items(quizzes), scores, train, cut=1, resamples=200)


def test_accuracy_and_f1_are_those_counted_by_hand():
    found = summary()
    base, tuned = found["models"]["base"], found["models"]["tuned"]
    assert (base["accuracy"]["value"], tuned["accuracy"]["value"]) == (2 / 5, 4 / 5)
    assert base["macro_f1"]["value"] == pytest.approx((2 * 2 / (4 + 3) + 0 + 0) / 3)
    assert tuned["macro_f1"]["value"] == pytest.approx((2 * 3 / (4 + 3) + 2 * 1 / (1 + 1) + 0) / 3)
    assert base["macro_f1"]["low"] < base["macro_f1"]["value"] < base["macro_f1"]["high"]
    assert base["nll"] == pytest.approx(-np.mean(np.log([0.7, 0.3, 0.5, 0.1, 0.3])))
    # Five questions, so a bin each: 0.4 wrong, 0.5 right, 0.6 wrong, 0.7 right, 0.8 wrong.
    assert base["calibration_error"] == pytest.approx((0.4 + 0.5 + 0.6 + 0.3 + 0.8) / 5)


def test_each_answer_has_its_row():
    assert summary()["labels"] == {
        "yes": {
            "count": 3,
            "base": {"answered": 4, "right": 2, "f1": pytest.approx(4 / 7)},
            "tuned": {"answered": 4, "right": 3, "f1": pytest.approx(6 / 7)},
        },
        "no": {
            "count": 1,
            "base": {"answered": 1, "right": 0, "f1": 0},
            "tuned": {"answered": 1, "right": 1, "f1": 1},
        },
        "maybe": {
            "count": 1,
            "base": {"answered": 0, "right": 0, "f1": 0},
            "tuned": {"answered": 0, "right": 0, "f1": 0},
        },
    }


def test_baselines_are_constant_answers_and_chance():
    def values(found):
        return {name: cell["accuracy"]["value"] for name, cell in found["baselines"].items()}

    assert values(summary()) == {"most frequent answer here": 3 / 5, "chance": pytest.approx(1 / 3)}
    assert values(summary(train=TRAIN))["most frequent answer in training"] == 1 / 5, "no, of which there is one"
    assert values(summary(train=[quiz("t", 0, options=("true", "false"))])) == values(summary())
    assert set(summary()["slices"]["all"]) == {
        "count", "base", "tuned", "difference", "from_baseline", "from_baselines", "most frequent answer here", "chance"
    }  # fmt: skip


def test_base_and_tuned_are_compared_question_by_question_over_texts():
    difference = summary()["slices"]["all"]["difference"]
    assert difference["value"] == pytest.approx(2 / 5)
    assert 0 < difference["p"] < 1
    assert "difference" not in summary(base=BASE)["slices"]["all"]


def test_the_tuned_model_is_held_against_the_strongest_baseline():
    found = summary(train=TRAIN)["slices"]["all"]["from_baseline"]
    assert found["baseline"] == "most frequent answer here", "3 of 5; in training 1 of 5, by chance 1 of 3"
    assert found["value"] == pytest.approx(4 / 5 - 3 / 5)
    assert found["low"] < found["value"] < found["high"]
    assert "from_baseline" not in summary(base=BASE)["slices"]["all"]


def test_the_tables_end_the_baselines_with_the_distance_to_the_strongest():
    console = Console(width=200, record=True, file=io.StringIO())
    for table in metrics_tables(summary() | {"about": {"rows_quarantined": {}}}):
        console.print(table)
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    row = next(line for line in lines if line.startswith("tuned minus the strongest baseline"))
    assert re.fullmatch(r".* \+20\.0 (0\.\d+|1)", row)
    for table in metrics_tables(summary(base=BASE) | {"about": {"rows_quarantined": {}}}):
        console.print(table)
    assert "minus" not in console.export_text()


def test_few_questions_are_told_first_and_one_is_not_called_several():
    found = summary(base=BASE) | {"about": {"rows_quarantined": {"no answer": 1}}}
    found["counts"] |= {"choice": 1, "passages": 1, "cut": 1}
    first, accuracy, *_, remarks = metrics_tables(found)
    assert first.startswith("Only one text was tested. That is too few to compare models.")
    assert accuracy.title.endswith("1 question about 1 text")
    assert remarks == "1 text is longer than the window: its beginning was cut off\n1 row quarantined: no answer"


def test_what_did_not_fit_is_left_out_of_every_model_and_counted():
    found = summary(base=BASE, tuned={key: value for key, value in TUNED.items() if key != ("d", 0)})
    assert found["counts"] == {
        "passages": 4,
        "mentions": 5,
        "choice": 4,
        "dropped": 1,
        "cut": 1,
        "passages_in_training_data": None,
    }
    assert found["models"]["base"]["accuracy"]["value"] == 2 / 4
    with pytest.raises(ValueError, match="No question fits"):
        summary(base={})


# An exam: other options in each question.
EXAM = [
    quiz("a", 0, text="The ulnar nerve was cut.", options=("ulnar nerve", "radial nerve"), subject="Anatomy"),
    quiz("b", 1, text="The radial nerve was spared.", options=("radial nerve", "tibial nerve"), subject="Anatomy"),
    quiz("c", 1, text="Which is longest?", options=("femur", "tibia", "ulna"), subject="Bones"),
]
EXAM_BASE = {("a", 0): [0.9, 0.1], ("b", 0): [0.6, 0.4], ("c", 0): [0.1, 0.8, 0.1]}


def test_exams_have_a_slice_without_leak_and_copying_as_a_baseline_but_no_f1():
    found = summary(EXAM, base=EXAM_BASE)
    assert found["labels"] is None
    assert "macro_f1" not in found["models"]["base"]
    shares = {name: (cells["count"], cells["base"]["value"]) for name, cells in found["slices"].items()}
    assert shares == {"all": (3, 2 / 3), "no leak": (2, 1 / 2), "answer leak": (1, 1)}
    assert found["slices"]["all"]["copy, else first option"]["value"] == 1 / 3
    assert found["slices"]["all"]["chance"]["value"] == pytest.approx((1 / 2 + 1 / 2 + 1 / 3) / 3)
    assert found["slices"]["all"]["most frequent place here"]["value"] == 2 / 3


def test_yes_and_no_leak_nothing():
    found = summary([quiz("a", 0, text="Did it help? No, or yes, or maybe.")], base={("a", 0): [0.5, 0.3, 0.2]})
    assert set(found["slices"]) == {"all"}


def test_subjects_of_ten_questions_or_more_are_slices():
    exam = [
        quiz(str(n), 0, options=("left", f"right {n}"), subject="Anatomy" if n < 10 else "Bones") for n in range(19)
    ]
    found = summary(exam, base={(str(n), 0): [0.6, 0.4] if n % 2 else [0.4, 0.6] for n in range(19)})
    assert {name: cells["count"] for name, cells in found["slices"].items()} == {
        "all": 19,
        "no leak": 19,
        "subject: Anatomy": 10,
    }


def test_texts_that_stand_in_the_training_data_are_counted_and_set_apart():
    same_words = quiz("other", 0, text="TEXT b!")
    abstract = marked("Quite another [RA=room air]", "c")  # a passage of the same source and id
    found = summary(train=[same_words, abstract])
    assert found["counts"]["passages_in_training_data"] == 2
    assert found["slices"]["passage not in training data"]["count"] == 3


def test_an_abstract_is_the_same_as_pubmedqas_whatever_kind_of_passage_was_made_of_it():
    asked = replace(quiz("c", 2), source="pubmed")
    made = replace(marked("Shortened to [RA=room air]", "c#2"), source="pubmed-medal")
    elsewhere = replace(made, source="pubmedish")
    assert shared_passages([made], [asked]) == {"c"}
    assert shared_passages([elsewhere], [asked]) == set()


def test_macro_f1_agrees_with_scikit_learn_and_resamples_whole_texts():
    from sklearn.metrics import f1_score

    draw = np.random.default_rng(1)
    gold, answer, text = draw.integers(0, 3, 90), draw.integers(0, 3, 90), np.repeat(np.arange(30), 3)
    found = PassageBootstrap(text, resamples=500).macro_f1(gold, answer, labels=3)
    assert (found.value, found.count) == (pytest.approx(f1_score(gold, answer, average="macro")), 90)
    weights = np.random.default_rng(0).multinomial(30, np.full(30, 1 / 30), size=500)
    again = [f1_score(gold, answer, average="macro", sample_weight=w[text]) for w in weights[:40]]
    assert np.quantile(again, 0.1) > found.low
    assert np.quantile(again, 0.9) < found.high
    single = PassageBootstrap(np.zeros(90, dtype=int), resamples=100).macro_f1(gold, answer, labels=3)
    assert single.low == single.high == pytest.approx(found.value), "one text, resampled, is the same text"


def test_intervals_are_over_texts_whatever_the_number_of_questions():
    """All right on one text and all wrong on the other: two observations, not forty, so the interval is 0 to 1."""
    quizzes = [quiz("a", *[0] * 20), quiz("b", *[1] * 20)]
    yes = {(name, number): [0.8, 0.1, 0.1] for name in "ab" for number in range(20)}
    accuracy = summary(quizzes, base=yes)["models"]["base"]["accuracy"]
    assert (accuracy["value"], accuracy["low"], accuracy["high"], accuracy["count"]) == (0.5, 0, 1, 40)
