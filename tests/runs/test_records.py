"""What a run's recipe.yaml records is checked when it is opened."""

import pytest
import yaml

from medalist.recipe import RecipeError
from medalist.runs.records import recorded_recipe


@pytest.fixture
def changed(tiny_run, tmp_path):
    """Write the tiny run's recipe.yaml with another record, and name it."""

    def write(change):
        values = yaml.safe_load((tiny_run / "recipe.yaml").read_text())
        change(values["record"])
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(values))
        return path

    return write


@pytest.mark.parametrize("key", ["base", "data", "versions", "machine", "python", "dtype", "attention"])
def test_a_key_that_is_missing_is_named(changed, key):
    path = changed(lambda record: record.pop(key))
    with pytest.raises(ValueError, match=rf"^{path} .*\({key}: Field required\)\. Restore the file"):
        recorded_recipe(path)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("base", "smollm2-135m"),
        ("base", {"id": "a", "revision": None, "source": 3, "sha256": "0"}),
        ("data", {"folder": "data/x", "fingerprint": "0123"}),
        ("data", {"folder": None, "fingerprint": {}}),
        ("training", {"steps": "four", "passages": 1, "mentions": 1, "best_checkpoint": None}),
        ("training", []),
        ("parent", {"name": "p"}),
    ],
)
def test_a_value_of_another_kind_is_refused(changed, where, value):
    path = changed(lambda record: record.update({where: value}))
    with pytest.raises(ValueError, match=rf"^{path} does not have the format .*\({where}[:.]"):
        recorded_recipe(path)


def test_a_recipe_without_a_record_is_no_run(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("name: mine\n")
    with pytest.raises(RecipeError, match=r"is a recipe, not the record of a run"):
        recorded_recipe(path)


def test_what_else_a_run_records_is_kept(changed):
    path = changed(lambda record: record.update(site={"ward": "7"}))
    assert recorded_recipe(path)[1]["site"] == {"ward": "7"}
