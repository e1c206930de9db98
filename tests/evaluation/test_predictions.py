from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from marking import marked
from medalist.data.inventory import Inventory
from medalist.data.items import make_items
from medalist.evaluation.predictions import read_predictions, read_scores, write_predictions
from small_results import CHOICES

INVENTORY = Inventory.of(
    [
        ("RA", "rheumatoid arthritis", 5, None),
        ("RA", "right atrium", 2, None),
        ("CT", "computed tomography", 9, None),
        ("CT", "contractions", 3, None),
        ("MR", "mitral regurgitation", 4, None),
    ]
)
PASSAGES = [marked("[RA] hurts, [RA=right atrium] is wide", "a"), marked("[MR=mitral stenosis]", "b")]
SCORES = {("a", 1): np.array([-1.0, -2.0, -3.5]), ("b", 0): np.array([-4.0, -5.0])}


@pytest.fixture
def written(tmp_path):
    """A folder with the predictions of two models, the second of which had no room for one mention."""
    few = {("a", 1): np.array([-7.0, -8.0, -9.0])}
    write_predictions(make_items(PASSAGES, INVENTORY), {"base": SCORES, "tuned": few}, tmp_path / "predictions.parquet")
    return tmp_path


def test_predictions_are_read_back_by_model(written):
    found = read_scores(written)
    assert {name: {key: values.tolist() for key, values in scores.items()} for name, scores in found.items()} == {
        "base": {("a", 1): [-1.0, -2.0, -3.5], ("b", 0): [-4.0, -5.0]},
        "tuned": {("a", 1): [-7.0, -8.0, -9.0]},
    }


def test_predictions_hold_ids_offsets_and_scores_but_no_text(written):
    table = pl.read_parquet(written / "predictions.parquet")
    assert table.rows() == [
        ("base", "a", 1, 10, 12, "choice", 1, [-1.0, -2.0, -3.5]),
        ("tuned", "a", 1, 10, 12, "choice", 1, [-7.0, -8.0, -9.0]),
        ("base", "b", 0, 0, 2, "absent", None, [-4.0, -5.0]),
    ]
    assert table.columns == ["model", "passage", "mention", "start", "end", "kind", "gold", "scores"]
    assert PASSAGES[0].text[10:12] == "RA"


def test_predictions_are_taken_for_a_model_only_with_the_key_that_the_metrics_record(written):
    assert read_predictions(written, "base", "k1") is None  # stopped before its metrics were written
    about = CHOICES["about"] | {"keys": {"base": "k1", "tuned": "k2"}}
    (written / "metrics.json").write_text(json.dumps(CHOICES | {"about": about}))
    assert read_predictions(written, "base", "k1").keys() == SCORES.keys()
    assert read_predictions(written, "tuned", "k2").keys() == {("a", 1)}
    assert read_predictions(written, "base", "k2") is None
    assert read_predictions(written, "other", "k1") is None
    (written / "predictions.parquet").unlink()
    assert read_predictions(written, "base", "k1") is None


def test_predictions_beside_results_of_another_shape_are_not_taken(written):
    (written / "metrics.json").write_text('{"about": {"keys": {"base": "k1"}}}')
    assert read_predictions(written, "base", "k1") is None


def test_damaged_predictions_are_named_with_what_to_do(written):
    path = written / "predictions.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"predictions\.parquet is damaged .* run `medalist evaluate` again\.$"):
        read_scores(written)
