"""`metrics.json` and `claims.json` read back: what has their shape is left as it is, what has not is refused in one
line.

Covers `results` and `shares`, and `tools.shapes`.
"""

import json
import shutil

import pytest

from medalist.evaluation.result_files import read_claims, read_metrics
from medalist.evaluation.shares import Slice, answerers, right, short_name, shown_slices, strongest_baseline
from small_results import CHOICES, SHARE


@pytest.fixture
def folder(tiny_run, tmp_path):
    """A copy of an evaluation on short forms by base and tuned model."""
    return shutil.copytree(tiny_run / "evaluation/test", tmp_path / "test")


def rewrite(folder, change):
    metrics = json.loads((folder / "metrics.json").read_text())
    change(metrics)
    (folder / "metrics.json").write_text(json.dumps(metrics))


def test_what_an_evaluation_wrote_is_read_as_it_stands_in_the_order_of_its_keys(folder):
    written = json.loads((folder / "metrics.json").read_text())
    read = read_metrics(folder)
    assert read["kind"] == "short forms"
    assert json.dumps(read) == json.dumps(written)


def test_choice_questions_are_read_too(tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps(CHOICES))
    assert json.dumps(read_metrics(tmp_path)) == json.dumps(CHOICES)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda m: m.pop("expansion"), r"short forms.expansion: Field required"),
        (lambda m: m["counts"].update(choice="many"), r"counts.choice: Input should be a valid integer"),
        (lambda m: m["models"]["tuned"].pop("nll"), r"models.tuned.nll: Field required"),
        (lambda m: m["slices"]["all"].update(tuned=0.8), r"tuned: Input should be an object"),
        (lambda m: m["expansion"]["all"]["base"].pop("low"), r"base.low: Field required"),
        (lambda m: m.update(kind="essays"), r"kind"),
        (lambda m: m.pop("kind"), r"kind"),
        (lambda m: m["models"].update({"<img>": m["models"]["tuned"]}), r"a model without figures"),
        (lambda m: m["models"]["tuned"]["risk_coverage"]["risk"].pop(), r"risk_coverage has lists of different"),
    ],
)
def test_another_shape_is_refused_in_one_line_that_names_the_file_and_the_key(folder, change, key):
    rewrite(folder, change)
    with pytest.raises(
        ValueError, match=rf"metrics\.json does not have the format .*{key}.*Remove it and run `medalist evaluate`"
    ) as error:
        read_metrics(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["{", "[1]", '"words"'])
def test_a_file_that_holds_no_json_object_is_refused(tmp_path, text):
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(
        ValueError,
        match=(
            r"metrics\.json (is damaged or not|does not contain a JSON object).*Remove it and run `medalist "
            r"evaluate`"
        ),
    ):
        read_metrics(tmp_path)


def test_a_label_of_another_shape_is_refused(tmp_path):
    labels = {"yes": {"count": 8, "base": {"answered": 4}}}
    (tmp_path / "metrics.json").write_text(json.dumps(CHOICES | {"labels": labels}))
    with pytest.raises(ValueError, match=r"base.right: Field required"):
        read_metrics(tmp_path)


def test_claims_of_another_shape_are_refused(folder):
    assert read_claims(folder) is None, "there are none"
    keys = read_metrics(folder)["about"]["keys"]
    settings = {"mentions": 1, "new_tokens": 32, "confident": 0.8}
    row = {
        "claim": "accuracy", "metric": "right", "unit": "%", "better": "higher", "base": SHARE, "tuned": SHARE,
        "baseline": None, "difference": SHARE | {"p": 0.5}, "verdict": "not shown",
    }  # fmt: skip
    claims = {"keys": keys, "settings": settings, "texts": ["f"], "rows": [row]}
    (folder / "claims.json").write_text(json.dumps(claims))
    assert read_claims(folder) == claims
    (folder / "claims.json").write_text(json.dumps(claims | {"rows": [row | {"verdict": "splendid"}]}))
    with pytest.raises(
        ValueError, match=r"claims\.json does not have the format .*rows.0.verdict.*Remove it and run `medalist claims`"
    ):
        read_claims(folder)


def test_answerers_are_told_apart_from_comparisons():
    cells: Slice = {"count": 8, "base": SHARE, "majority": SHARE | {"value": 0.6}, "copy": SHARE, "difference": SHARE}
    assert answerers(cells) == ["base", "majority", "copy"]
    assert right(cells, "majority")["value"] == 0.6
    assert strongest_baseline(cells, ["copy", "majority"]) == "majority"


def test_a_slice_that_says_nothing_new_or_has_few_questions_is_not_shown():
    def cells(count, value):
        return {"count": count, "base": {"value": value, "low": 0.0, "high": 1.0, "count": count}}

    slices = {
        "all": cells(3, 0.5),
        "no leak": cells(1, 0.5),
        "one word": cells(9, 0.4),
        "several words": cells(10, 0.6),
        "the same": cells(10, 0.6),
    }
    assert list(shown_slices(slices)) == ["all", "no leak", "several words"]


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("copy, else majority (training counts)", "copy"),
        ("majority (training counts)", "majority"),
        ("bag of words, else majority", "bag of words"),
        ("prior alone (uniform: no counts)", "uniform prior"),
        ("prior alone", "prior alone"),
        ("copy, else prior alone", "copy or prior"),
        ("copy, else first listed sense", "copy"),
        ("base", "base"),
    ],
)
def test_a_baseline_has_a_short_name(name, short):
    assert short_name(name) == short
