from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from medalist.data.embedded import reader
from medalist.data.inventory import Inventory
from medalist.models import base as models
from medalist.models.base import BaseIdentity, weights_sha256
from medalist.runs import reader_run
from medalist.runs.calibrate import calibrated, keeps_parents_calibration
from medalist.runs.evaluate import _has_test
from medalist.runs.parents import as_usual, further_recipe, parent_record, training_passages
from medalist.runs.reader_run import FURTHER, READER, TRAINED, is_reader, open_parent
from medalist.runs.train import start_run
from medalist.sharing.terms import terms_of_run


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def ward(model_folder, cached, tmp_path, monkeypatch):
    """A run on two marked notes that begins at the reader, not yet trained; its base is a tiny model."""
    identity = BaseIdentity(id="tiny", revision=None, source="smollm2-135m", sha256=weights_sha256(model_folder))
    monkeypatch.setattr(models, "_embedded", lambda: (model_folder, identity))
    monkeypatch.setattr(reader_run, "cache_folder", lambda: cached)
    monkeypatch.chdir(tmp_path)
    notes = [("1", "SpO2 94% on RA."), ("2", "RA done today.")]
    rows = "".join(f"{name},{text},RA,ration allowance\n" for name, text in notes)
    (tmp_path / "marked.csv").write_text("id,text,short_form,long_form\n" + rows)
    (tmp_path / "glossary.csv").write_text("short_form,long_form\nRA,ration allowance\n")
    override = ["name=ward", "data.test=0", "data.validation=0"]
    return start_run(further_recipe(READER, data="marked.csv", inventory="glossary.csv", overrides=override))


def test_the_reader_is_a_parent_with_its_adapter_senses_and_calibration(ward):
    parent = open_parent(READER)
    assert is_reader(parent) and not is_reader(ward)
    assert weights_sha256(parent.tuned) == weights_sha256(reader.ADAPTER)
    assert ward.record["parent"]["name"] == READER and ward.recipe.model.parent == READER
    assert parent.calibration is not None and ward.calibration == parent.calibration.without_glance()
    assert training_passages(parent) == reader.notes()
    recipe = yaml.safe_load((Path(__file__).parents[2] / "recipes/reader.yaml").read_text(encoding="utf-8"))
    assert TRAINED.items() <= recipe["training"].items()
    assert recipe["prompt"] == {"window": reader.WINDOW, "max_nodes": reader.MAX_NODES}
    config = json.loads((reader.ADAPTER / "adapter_config.json").read_text())
    training = ward.recipe.training
    assert (training.rank, training.alpha) == (config["r"], config["lora_alpha"])
    assert {key: getattr(training, key) for key in FURTHER} == FURTHER


def test_training_says_how_the_notes_are_divided(capsys, ward):
    assert "2 notes to train on, 0 for validation, 0 for the test" in capsys.readouterr().err


def test_its_calibration_is_kept_where_there_is_too_little_to_fit_one(ward, capsys):
    (ward.folder / "adapter").mkdir()
    assert calibrated(ward, lambda: pytest.fail("nothing is there to score")) == ward.calibration
    assert "keeps the reader's calibration" in " ".join(capsys.readouterr().err.split())
    own = replace(ward.calibration, target=0.5)
    assert [keeps_parents_calibration(replace(ward, calibration=one)) for one in (ward.calibration, own)] == [
        True,
        False,
    ]


def test_a_run_tuned_from_it_reads_in_any_case_as_it_does_and_so_does_one_tuned_from_that(ward):
    assert ward.any_case and not open_parent(READER).any_case, "which is read so by name"
    (ward.folder / "adapter").mkdir()
    (ward.folder / "adapter/adapter_model.safetensors").write_bytes(b"x")
    assert parent_record(ward)["any_case"]
    assert not parent_record(replace(ward, record={}))["any_case"]


def test_that_it_has_no_test_data_is_said_with_what_to_do(ward, capsys):
    assert not _has_test(open_parent(READER))
    assert "evaluate with --data clinical-development" in " ".join(capsys.readouterr().err.split())


def test_weights_tuned_further_from_it_on_own_notes_are_not_published_unasked(ward):
    assert terms_of_run(ward).weights is not None


def test_a_glossary_without_counts_is_as_usual_as_what_the_reader_lists(ward):
    assert {sense.long_form: sense.count for sense in ward.inventory.senses["RA"]}["ration allowance"] == 1000
    counted = as_usual(Inventory.of([("RA", "x", 3, None), ("QQ", "y", 0, None)]), reader.inventory())
    assert [counted.senses[key][0].count for key in ("RA", "QQ")] == [3, 0]


def test_a_run_of_that_name_comes_first(ward, tmp_path):
    ward.folder.rename(tmp_path / READER)
    assert open_parent(READER).recipe.name == "ward"
