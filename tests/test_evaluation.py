from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from marking import marked
from medalist.data.inventory import Inventory
from medalist.data.items import make_items
from medalist.data.rows import Quarantine
from medalist.evaluation.predictions import read_scores, score_passages
from medalist.evaluation.short_forms import Knowledge, summarise
from medalist.runs.evaluate import evaluate
from medalist.trees.prompt import PromptSettings

INVENTORY = Inventory.of(
    [
        ("RA", "rheumatoid arthritis", 5, None),
        ("RA", "right atrium", 2, None),
        ("RA", "room air", 0, None),
        ("CT", "computed tomography", 9, None),
        ("CT", "contractions", 3, None),
        ("CT", "contraction", 1, None),
        ("MR", "mitral regurgitation", 4, None),
    ],
    "by hand",
)


PASSAGES = [
    marked("[RA=rheumatoid arthritis] hurts; [RA=rheumatoid arthritis] swells", "1"),
    marked("the right atrium ([RA=right atrium]) is wide", "2"),
    marked("a [CT=computed tomography] was made", "3"),
    marked("strong [CT=contractions] were felt", "4"),
    marked("[RA=radium] shines", "5"),
    marked("[ct|CT=none of these]. was typed", "6"),
    marked("[MR=mitral regurgitation]", "7"),
]
# Probabilities of the listed long forms and of the null; the comments say what the base makes of them.
BASE = {
    ("1", 0): [0.6, 0.2, 0.1, 0.1],  # right
    ("1", 1): [0.8, 0.02, 0.03, 0.15],  # right, and abstains where the gold is hidden
    ("2", 0): [0.5, 0.3, 0.1, 0.1],  # wrong
    ("3", 0): [0.3, 0.1, 0.1, 0.5],  # right, but abstains
    ("4", 0): [0.7, 0.1, 0.1, 0.1],  # wrong
    ("5", 0): [0.2, 0.2, 0.2, 0.4],  # abstains
    ("6", 0): [0.1, 0.1, 0.5, 0.3],  # answers
    ("7", 0): [0.2, 0.8],
}
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
            cells["majority"]["value"],
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
    assert rows["majority (inventory counts)"]["value"] == 3 / 4
    assert rows["copy, else majority (inventory counts)"]["value"] == 3 / 4
    baselines = summary()["baselines"]
    assert baselines["majority (inventory counts)"]["accuracy"]["value"] == 3 / 5
    assert baselines["copy, else majority (inventory counts)"]["accuracy"]["value"] == 4 / 5  # the leak


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
    plain, copy = "majority (inventory counts)", "copy, else majority (inventory counts)"
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
        "majority (inventory counts)": 3 / 5,
        "copy, else majority (inventory counts)": 4 / 5,
        "bag of words, else majority": 4 / 5,  # both CT by their words, RA by the inventory's counts
    }
    slices = {name: rows["count"] for name, rows in result["slices"].items()}
    assert slices["sense seen in training"] == slices["short form seen in training"] == 2
    assert slices["sense unseen"] == slices["short form unseen"] == 3
    assert slices["no leak, sense seen"] == 2
    assert slices["passage not in training data"] == 4


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
        return evaluate(
            {name: (identity, lambda name=name: load(name)) for name, identity in identities.items()},
            passages,
            inventory,
            prompt or PromptSettings(),
            self.folder,
            knowledge=NOTHING,
            max_nodes=4096,
            resamples=100,
            quarantine=self.quarantine,
            about={"data": "by hand"},
        )


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
        scores, encoder = score_passages(loaded, PASSAGES, INVENTORY, PromptSettings(), max_nodes=4096, label="again")
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
        patch.setattr("medalist.runs.evaluate.json.dump", fail)
        with pytest.raises(OSError, match="no space"):
            models.evaluate()
    assert [path.name for path in models.folder.iterdir()] == ["predictions.parquet"]
    models.evaluate()
    assert models.runs == ["base", "base"]


def test_evaluation_stopped_between_its_two_files_is_not_mistaken_for_the_one_before(models, monkeypatch):
    first = models.evaluate()
    changed = [marked("quite another [RA=rheumatoid arthritis] and [RA=rheumatoid arthritis]", "1"), *PASSAGES[1:]]
    with monkeypatch.context() as patch:
        patch.setattr("medalist.runs.evaluate.json.dump", fail)
        with pytest.raises(OSError, match="no space"):
            models.evaluate(changed)
    assert models.evaluate() == first
    assert models.runs == ["base", "base", "base"]


def test_rows_that_could_not_be_read_are_kept_beside_the_metrics(loaded, tmp_path):
    models = Models(loaded, tmp_path / "evaluation")
    models.quarantine.total = 9
    models.quarantine.add(Path("data.csv"), 7, "empty LABEL", ["1", "text", "0", ""])
    metrics = models.evaluate()
    assert metrics["about"]["rows_quarantined"] == {"empty LABEL": 1}
    assert '"line": 7' in (tmp_path / "evaluation/quarantine.jsonl").read_text()
