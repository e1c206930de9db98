"""Recipes: reading, overrides, mistakes.

Covers `tools.wrong_settings` too.
"""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from medalist.recipe import Recipe, RecipeError, dump_recipe, load_recipe, parse_recipe


def written(folder: Path, content: str | bytes, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def message(values: dict[str, object] | None = None, overrides: tuple[str, ...] = ()) -> str:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(values or {}, overrides, origin="mine.yaml")
    return str(caught.value)


def test_empty_recipe_is_all_defaults(tmp_path):
    assert load_recipe(written(tmp_path, "# nothing yet\n")) == Recipe()


def test_recipe_sets_what_it_names_and_leaves_the_rest(tmp_path):
    recipe = load_recipe(written(tmp_path, "name: trial\ntraining:\n  learning_rate: 5e-4\n  report_to: [wandb]\n"))
    assert (recipe.training.learning_rate, recipe.training.report_to) == (5e-4, ("wandb",))
    assert recipe.training.rank == Recipe().training.rank
    assert recipe.folder == Path("runs/trial")


@pytest.mark.parametrize("attention", ["auto", "sdpa", "flex"])
def test_attention_is_the_recipes_to_say(attention):
    assert parse_recipe({}, [f"model.attention={attention}"]).model.attention == attention
    assert "Known: 'auto', 'sdpa' or 'flex'" in message(overrides=("model.attention=eager",))


def test_overrides_win_over_the_file_and_later_ones_over_earlier(tmp_path):
    path = written(tmp_path, "training:\n  epochs: 3\n  rank: 8\n")
    recipe = load_recipe(
        path,
        ["training.epochs=1", "training.epochs=2", "data.substitution.mode=medal", "threads=null", "data.path=a=b.csv"],
    )
    assert (recipe.training.epochs, recipe.training.rank) == (2, 8)
    assert (recipe.data.substitution.mode, recipe.threads, recipe.data.path) == ("medal", None, "a=b.csv")


def test_overrides_leave_the_values_given_as_they_are():
    values = {"training": {"rank": 8}}
    before = copy.deepcopy(values)
    assert parse_recipe(values, ["training.rank=4", "data.limit=5"]).training.rank == 4
    assert values == before
    assert parse_recipe(values).training.rank == 8


def test_what_a_run_recorded_beside_its_recipe_is_not_a_setting(tmp_path):
    assert load_recipe(written(tmp_path, "seed: 3\nrecord: {torch: 2.13.0}\n")) == Recipe(seed=3)


def test_recipe_spelt_out_reads_back_as_itself(tmp_path):
    recipe = parse_recipe({"seed": 4}, ["training.report_to=[tensorboard]", "data.limit=9", "model.dtype=bfloat16"])
    path = written(tmp_path, yaml.safe_dump(dump_recipe(recipe)))
    assert load_recipe(path) == recipe
    assert dump_recipe(recipe)["data"]["substitution"]["mode"] == "auto"


def test_recipe_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        Recipe().training.rank = 4


@pytest.mark.parametrize(
    ("values", "overrides", "expected"),
    [
        ({"sede": 1}, (), "Unknown key sede in mine.yaml. Did you mean seed?"),
        (
            {"data": {"substitution": {"mdoe": "medal"}}},
            (),
            "Unknown key data.substitution.mdoe in mine.yaml. Did you mean data.substitution.mode?",
        ),
        (
            {"model": {"colour": 4}},
            (),
            "Unknown key model.colour in mine.yaml. Known: base, revision, dtype, quantization, attention, parent.",
        ),
        ({}, ("training.epoch=2",), "Unknown key training.epoch in mine.yaml. Did you mean training.epochs?"),
        (
            {"data": {"source": "pubmd"}},
            (),
            'Unknown value "pubmd" in mine.yaml, key data.source. '
            "Known: 'sample', 'medal', 'pubmed', 'text', 'table' or 'choices'.",
        ),
        (
            {},
            ("training.report_to=[mlflow]",),
            'Unknown value "mlflow" in mine.yaml, key training.report_to.0. '
            "Known: 'tensorboard', 'wandb' or 'trackio'.",
        ),
        (
            {"training": {"rank": 0}},
            (),
            "mine.yaml, key training.rank: input should be greater than or equal to 1 (found 0)",
        ),
        (
            {"training": {"rank": "many"}},
            (),
            "mine.yaml, key training.rank: input should be a valid integer, unable to parse string as an integer "
            "(found 'many')",
        ),
        (
            {"training": 5},
            (),
            "mine.yaml, key training: this is a section of keys, not a value (found 5)",
        ),
        (
            {"name": "../elsewhere"},
            (),
            "mine.yaml, key name: letters, digits, _, - and . are allowed, beginning with a letter, a digit or _ "
            "(found '../elsewhere')",
        ),
        (
            {"data": {"kinds": {"shares": {"medal": 1, "defined": 0}}}},
            (),
            "mine.yaml, key data.kinds: shares must be above 0; leave out a kind that you do not want",
        ),
        (
            {},
            ("data.kinds.shares.medal=.inf",),
            "mine.yaml, key data.kinds.shares.medal: input should be a finite number (found inf)",
        ),
        (
            {},
            ("data.kinds.shares={}",),
            "mine.yaml, key data.kinds.shares: dictionary should have at least 1 item after validation, not 0 "
            "(found {})",
        ),
        (
            {},
            ("data.kinds.shares.mended=1",),
            'Unknown value "mended" in mine.yaml, key data.kinds.shares.mended. '
            "Known: 'medal', 'substituted' or 'defined'.",
        ),
        (
            {},
            ("data.kinds.probability.medal=0.3",),
            "mine.yaml, key data.kinds: probability is missing for substituted",
        ),
        (
            {},
            ("data.kinds.probability.medal=15", "data.kinds.probability.substituted=1"),
            "mine.yaml, key data.kinds.probability.medal: input should be less than or equal to 1 (found 15)",
        ),
        (
            {},
            ("data.kinds.min_count=0",),
            "mine.yaml, key data.kinds.min_count: input should be greater than or equal to 1 (found 0)",
        ),
        (
            {},
            ("data.validation=0.5", "data.test=0.5"),
            "mine.yaml, key data: validation 0.5 and test 0.5 leave nothing to train on",
        ),
        ({}, ("training.epochs",), 'Override "training.epochs" is not key.sub=value, such as training.epochs=2'),
        ({}, ("=2",), 'Override "=2" is not key.sub=value, such as training.epochs=2'),
        ({"seed": 1}, ("seed.sub=2",), 'Override "seed.sub=2": seed is a value, not a section'),
    ],
)
def test_mistake_is_one_line_with_the_key_and_what_would_be_right(values, overrides, expected):
    assert message(values, overrides) == expected


def test_several_mistakes_are_reported_at_once():
    told = message({"sede": 1, "training": {"rank": 0}})
    assert "Unknown key sede" in told
    assert "key training.rank" in told
    assert "\n" not in told


def test_override_that_is_not_yaml_is_reported_in_one_line():
    told = message({}, ("training.report_to=[wandb",))
    assert told.startswith('Override "training.report_to=[wandb": line 1: not valid YAML (expected')
    assert "\n" not in told


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a: [1\nb: 2\n", ", line 2: not valid YAML (expected ',' or ']'"),
        (b"name: caf\x81\n", " is not utf-8 or cp1252: see byte 9. Save it as UTF-8"),
        ("- a\n- b\n", " holds no keys"),
        ("hello\n", " holds no keys"),
    ],
)
def test_file_that_is_not_a_recipe_is_reported_in_one_line(tmp_path, content, expected):
    path = written(tmp_path, content)
    with pytest.raises(RecipeError, match=r"\A[^\n]+\Z") as caught:
        load_recipe(path)
    assert str(caught.value).startswith(f"{path}{expected}")


def test_missing_recipe_lists_those_that_exist(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match=r"^No recipe recipes/mine\.yaml\.$"):
        load_recipe(Path("recipes/mine.yaml"))
    (tmp_path / "recipes").mkdir()
    for name in ("b", "a"):
        written(tmp_path / "recipes", "", f"{name}.yaml")
    with pytest.raises(RecipeError, match=r"^No recipe recipes/mine\.yaml\. Here: recipes/a\.yaml, recipes/b\.yaml\.$"):
        load_recipe(Path("recipes/mine.yaml"))


KEYS = st.sampled_from(["seed", "data", "path", "training", "rank", "report_to", "0", "", "threads"])


@given(st.lists(KEYS, max_size=3).map(".".join), st.text("a1=.[]{}:,-'\"#&* \t\n", max_size=8))
def test_any_override_is_accepted_or_refused_in_one_line(key, value):
    override, told = f"{key}={value}", ""
    try:
        parse_recipe({}, [override])
    except RecipeError as error:
        told = str(error)
    assert "\n" not in told.replace(override, "")


def test_shares_need_a_probability_for_every_kind_that_draws_and_for_no_other():
    assert parse_recipe({}, ["data.kinds.shares={defined: 1}", "data.kinds.probability={}"]).data.kinds.shares == {
        "defined": 1
    }
    kinds = parse_recipe({}, ["data.kinds.shares={medal: 2}", "data.kinds.probability={medal: 0.3}"]).data.kinds
    assert (kinds.shares, kinds.probability) == ({"medal": 2}, {"medal": 0.3})


@pytest.mark.parametrize(
    ("inventory", "expected"),
    [("null", ()), ("one.csv", ("one.csv",)), ("[]", ()), ("[one.csv, two.txt]", ("one.csv", "two.txt"))],
)
def test_inventories_are_none_one_or_several(inventory, expected):
    assert parse_recipe({}, [f"data.inventory={inventory}"]).data.inventories == expected


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("data.path=notes #2.jsonl", "notes #2.jsonl"),
        ("data.path=null", None),
        ("name=2024", "2024"),
        ("name=no", "no"),
        ('name="quoted"', "quoted"),
        ("model.revision=0123456", "0123456"),
        ("data.inventory=[a.csv, b.csv]", ("a.csv", "b.csv")),
        ("data.inventory=a: b.csv", "a: b.csv"),
    ],
)
def test_an_override_of_a_string_is_that_string(override, value):
    found = parse_recipe({}, [override])
    for key in override.partition("=")[0].split("."):
        found = getattr(found, key)
    assert found == value


def test_a_name_in_a_file_stays_a_name_and_a_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    path = tmp_path / "mine.yaml"
    path.write_text("name: no\noutput: ~/runs\nmodel: {base: ~/m}\ndata: {path: ~/x.jsonl, beside: [~/y]}\n")
    found = load_recipe(path)
    assert (found.name, found.output, found.model.base) == ("no", "/home/me/runs", "/home/me/m")
    assert (found.data.path, found.data.beside) == ("/home/me/x.jsonl", ("/home/me/y",))
    path.write_text("name: 2024\n")
    assert load_recipe(path).name == "2024"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epochs=.inf", "training.epochs: input should be a finite number"),
        ("training.epochs=inf", "training.epochs: input should be a finite number"),
        ("training.epochs=1e9", "training.epochs: input should be less than or equal to 10000"),
        ("training.learning_rate=.nan", "training.learning_rate: input should be a finite number"),
        ("seed=123456789012345678901234567890", "seed: input should be less than or equal to 4294967295"),
        ("seed=-1", "seed: input should be greater than or equal to 0"),
        ("training.alpha=" + "9" * 400, "training.alpha: input should be less than or equal to 4294967295"),
        ("training.max_steps=1" + "0" * 30, "training.max_steps: input should be less than or equal to 4294967295"),
        ("training.learning_rate=1e300", "training.learning_rate: input should be less than or equal to 1 "),
        ("training.passages_per_pass=1000000", "training.passages_per_pass: input should be less than or equal to 10"),
        ("threads=1000000", "threads: input should be less than or equal to 1024"),
        ("evaluation.bootstrap=10000000", "evaluation.bootstrap: input should be less than or equal to 100000"),
        ("prompt.window=1" + "0" * 30, "prompt.window: input should be less than or equal to 1000000"),
    ],
)
def test_a_number_out_of_range_is_refused_with_the_range(override, message):
    with pytest.raises(RecipeError, match=message):
        parse_recipe({}, [override])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.report_to=wandb", r"key training.report_to: several values stand in a list, such as \[a, b\]"),
        ("training=3", "key training: this is a section of keys, not a value"),
        ("name=../mine", "key name: letters, digits, _, - and . are allowed, beginning with a letter"),
        ("training.rank=" + "x" * 10_000, r"key training.rank: input should be a valid integer.*'x{1,30}\.\.\.x+'"),
    ],
)
def test_what_is_wrong_with_a_value_is_said_briefly_and_without_a_library_s_words(override, message):
    with pytest.raises(RecipeError, match=message) as raised:
        parse_recipe({}, [override])
    assert len(str(raised.value)) < 200


def test_a_section_that_stands_twice_is_refused(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("data:\n  path: a.csv\nname: mine\ndata:\n  test: 0.5\n")
    with pytest.raises(RecipeError, match=r"mine\.yaml, line 4: the key data stands on line 1 already; merge the two"):
        load_recipe(path)
