from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from by_hand import BASE, INVENTORY, PASSAGES
from marking import marked
from medalist.data.inventory import Inventory
from medalist.data.items import make_items
from medalist.evaluation.short_forms import Knowledge, summarise

# The tuned model differs in two: the second is right, the fourth is a variant of the gold.
TUNED = BASE | {("2", 0): [0.3, 0.5, 0.1, 0.1], ("4", 0): [0.1, 0.1, 0.7, 0.1]}
NOTHING = Knowledge()


def scores_of(probabilities):
    return {key: np.log(values) for key, values in probabilities.items()}


def summary(knowledge=NOTHING, **models):
    models = models or {"base": BASE, "tuned": TUNED}
    return summarise(
        make_items(PASSAGES, INVENTORY),
        {name: scores_of(probabilities) for name, probabilities in models.items()},
        INVENTORY,
        knowledge,
        resamples=200,
    )


def test_counts_say_what_was_measured():
    assert summary()["counts"] == {
        "passages": 7,
        "mentions": 8,
        "choice": 5,
        "single": 1,
        "absent": 1,
        "unlisted": 0,
        "distractor": 1,
        "dropped": 0,
        "passages_in_training_data": None,
    }


def test_accuracies_are_over_mentions_with_a_choice():
    base, tuned = summary()["models"].values()
    assert (base["accuracy"]["value"], base["accuracy"]["count"]) == (3 / 5, 5)
    assert tuned["accuracy"]["value"] == 4 / 5
    assert base["macro_accuracy"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert base["lenient_accuracy"]["value"] == 3 / 5
    assert tuned["lenient_accuracy"]["value"] == 5 / 5


def test_likelihood_is_among_the_listed_and_confidence_among_all_candidates():
    base = summary()["models"]["base"]
    gold = [0.6 / 0.9, 0.8 / 0.85, 0.3 / 0.9, 0.3 / 0.5, 0.1 / 0.9]
    assert base["nll"] == pytest.approx(-np.mean(np.log(gold)))
    # Five questions, so a bin each: 0.3 right, 0.5 wrong, 0.6 right, 0.7 wrong, 0.8 right.
    assert base["calibration_error"] == pytest.approx((0.7 + 0.5 + 0.4 + 0.7 + 0.2) / 5)
    assert [row["accuracy"] for row in base["reliability"]] == [1, 0, 1, 0, 1]
    assert base["risk_coverage"]["coverage"] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert base["risk_coverage"]["risk"] == pytest.approx([0, 1 / 2, 1 / 3, 2 / 4, 2 / 5])
    assert base["area_under_risk_coverage"] == pytest.approx((0 + 1 / 2 + 1 / 3 + 2 / 4 + 2 / 5) / 5)


def test_abstention_is_what_happens_when_the_null_candidate_may_win():
    figures = {
        name: (share["value"], share["count"]) for name, share in summary()["models"]["base"]["abstention"].items()
    }
    assert figures == {
        "answered": (4 / 5, 5),
        "accuracy_when_answered": (2 / 4, 4),
        "abstained_when_gold_hidden": (2 / 5, 5),
    }


def test_an_expander_is_right_with_the_gold_or_where_there_is_none_with_declining():
    found = {
        name: (
            cells["count"],
            cells["base"]["value"],
            cells["tuned"]["value"],
            cells["prior alone"]["value"],
        )
        for name, cells in summary()["expansion"].items()
    }
    assert found == {
        "all": (8, 3 / 8, 4 / 8, 4 / 8),
        "sense listed": (6, 2 / 6, 3 / 6, 4 / 6),  # the one with a single sense is declined by both
        "sense not listed": (1, 1, 1, 0),
        "no short form": (1, 0, 0, 0),
    }


def test_slices_part_the_mentions():
    slices = {
        name: (rows["count"], rows["base"]["value"], rows["tuned"]["value"])
        for name, rows in summary()["slices"].items()
    }
    assert slices == {
        "all": (5, 3 / 5, 4 / 5),
        "no leak": (4, 3 / 4, 3 / 4),
        "answer leak": (1, 0, 1),
        "one word": (1, 0, 0),
        "several words": (4, 3 / 4, 1),
    }


def test_every_slice_shows_the_baselines():
    rows = summary()["slices"]["no leak"]
    assert rows["prior alone"]["value"] == rows["first listed sense"]["value"] == 3 / 4
    assert rows["copy, else prior alone"]["value"] == 3 / 4
    baselines = summary()["baselines"]
    assert baselines["prior alone"]["accuracy"]["value"] == 3 / 5
    assert baselines["copy, else prior alone"]["accuracy"]["value"] == 4 / 5  # the leak


def test_the_tuned_model_is_compared_with_every_baseline():
    cells = summary()["slices"]["all"]
    assert cells["from_baselines"].keys() == summary()["baselines"].keys()
    for name, gain in cells["from_baselines"].items():
        assert gain["value"] == pytest.approx(cells["tuned"]["value"] - cells[name]["value"])
        assert gain["low"] <= gain["value"] <= gain["high"] and gain["count"] == 5
    same = {key: value for key, value in cells["from_baseline"].items() if key != "baseline"}
    assert same == cells["from_baselines"][cells["from_baseline"]["baseline"]]
    assert "from_baselines" not in summary(base=BASE)["slices"]["all"], "there is no tuned model"


def test_without_counts_the_prior_is_uniform_and_is_named_so():
    uncounted = Inventory.of(
        [(s, sense.long_form, 0, None) for s, senses in INVENTORY.senses.items() for sense in senses]
    )
    items = make_items(PASSAGES, uncounted)
    found = summarise(items, {"base": scores_of(BASE)}, uncounted, NOTHING, resamples=100)
    choice = [item for item in items if item.kind == "choice"]
    chance = np.mean([1 / len(item.candidates) for item in choice])
    assert found["baselines"]["prior alone (uniform: no counts)"]["accuracy"]["value"] == pytest.approx(chance)
    assert found["baselines"].keys() == {
        "first listed sense",
        "prior alone (uniform: no counts)",
        "copy, else first listed sense",
    }
    # An expander that guesses is never right where no listed sense is.
    assert found["expansion"]["no short form"]["prior alone (uniform: no counts)"]["value"] == 0
    assert found["expansion"]["no short form"]["first listed sense"]["value"] == 0


def test_base_and_tuned_are_compared_question_by_question():
    slices = summary()["slices"]
    assert slices["all"]["difference"]["value"] == pytest.approx(1 / 5)
    assert slices["answer leak"]["difference"]["value"] == 1
    # Wrong on the same questions: no spread at all, though each model's own accuracy has some.
    same = slices["no leak"]["difference"]
    assert (same["value"], same["low"], same["high"], same["p"]) == (0, 0, 0, 1)
    assert slices["no leak"]["base"]["low"] < slices["no leak"]["base"]["high"]


def test_one_model_alone_has_no_difference():
    assert not {"difference", "from_baseline"} & summary(base=BASE)["slices"]["all"].keys()


def test_each_slice_has_its_own_strongest_baseline():
    slices = summary(base=TUNED, tuned=BASE)["slices"]
    found = {
        name: (cells["from_baseline"]["baseline"], cells["from_baseline"]["value"]) for name, cells in slices.items()
    }
    plain, copy = "first listed sense", "copy, else prior alone"
    assert found == {
        "all": (copy, pytest.approx(3 / 5 - 4 / 5)),
        "no leak": (plain, 0),  # as good as copying there, and named first
        "answer leak": (copy, -1),
        "one word": (plain, 0),
        "several words": (copy, pytest.approx(3 / 4 - 1)),
    }


def test_training_data_adds_baselines_and_slices():
    train = [
        marked("strong [CT=contractions] felt", "a"),
        marked("[CT=contractions]", "b"),
        marked("a [CT=computed tomography] made", "c"),
        replace(PASSAGES[2], id="d"),
    ]
    result = summary(Knowledge(trained=Inventory.mined(train[:3]), train=train))
    assert result["counts"]["passages_in_training_data"] == 1
    baselines = {name: rows["accuracy"]["value"] for name, rows in result["baselines"].items()}
    assert baselines == {
        "majority (training counts)": 3 / 5,  # contractions for CT, and the inventory's counts for RA
        "copy, else majority (training counts)": 4 / 5,
        "first listed sense": 3 / 5,
        "prior alone": 3 / 5,
        "copy, else prior alone": 4 / 5,
        "bag of words, else majority": 4 / 5,  # both CT by their words, RA by the inventory's counts
    }
    slices = {name: rows["count"] for name, rows in result["slices"].items()}
    assert slices["sense seen in training"] == slices["short form seen in training"] == 2
    assert slices["sense unseen"] == slices["short form unseen"] == 3
    assert slices["no leak, sense seen"] == 2
    assert slices["passage not in training data"] == 4


def test_the_majority_of_an_expander_goes_by_training_counts_before_the_inventory_s():
    trained = Inventory.of([("CT", "contractions", 1, None), ("RA", "right atrium", 1, None)])
    cells = summary(Knowledge(trained=trained))["expansion"]["all"]
    assert cells["majority"]["value"] == 3 / 8  # passages 2, 4 and 7
    assert cells["prior alone"]["value"] == 4 / 8  # both of passage 1, 3 and 7


def test_intervals_are_over_passages_whatever_the_number_of_mentions():
    """All right in one passage and all wrong in the other: two observations, not forty, so the interval is 0 to 1."""
    passages = [
        marked("; ".join(["[RA=rheumatoid arthritis] hurts"] * 20), "a"),
        marked("; ".join(["[RA=right atrium] is wide"] * 20), "b"),
    ]
    items = make_items(passages, INVENTORY)
    scores = scores_of({item.key: [0.7, 0.1, 0.1, 0.1] for item in items})
    result = summarise(items, {"base": scores}, INVENTORY, NOTHING, resamples=200)
    for share in (
        result["models"]["base"]["accuracy"],
        result["baselines"]["prior alone"]["accuracy"],
        result["slices"]["all"]["base"],
        result["expansion"]["all"]["base"],
    ):
        assert (share["value"], share["low"], share["high"], share["count"]) == (0.5, 0, 1, 40)


def test_short_forms_are_listed_by_frequency():
    assert summary()["short_forms"] == {
        "RA": {"count": 3, "base": 2, "tuned": 3},
        "CT": {"count": 2, "base": 1, "tuned": 1},
    }


def test_confusions_name_what_was_taken_for_what():
    worse = BASE | {("1", 0): [0.2, 0.6, 0.1, 0.1], ("1", 1): [0.1, 0.6, 0.1, 0.2], ("2", 0): [0.1, 0.1, 0.7, 0.1]}
    assert summary(base=worse)["confusions"]["base"] == [
        {"short_form": "RA", "gold": "rheumatoid arthritis", "answer": "right atrium", "count": 2},
        {"short_form": "RA", "gold": "right atrium", "answer": "room air", "count": 1},
        {"short_form": "CT", "gold": "contractions", "answer": "computed tomography", "count": 1},
    ]


def test_mentions_that_one_model_could_not_score_are_left_out_of_both_and_counted():
    some = {key: values for key, values in TUNED.items() if key != ("1", 0)}
    result = summary(base=BASE, tuned=some)
    assert result["counts"]["dropped"] == 1
    assert result["models"]["base"]["accuracy"]["count"] == 4


def test_nothing_to_choose_is_an_error():
    items = make_items(PASSAGES[4:], INVENTORY)
    with pytest.raises(ValueError, match="nothing to measure"):
        summarise(items, {"base": scores_of(BASE)}, INVENTORY, NOTHING, resamples=100)
