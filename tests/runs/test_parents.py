"""Tuning a run further: it begins with the parent's weights, offers its senses, replays its texts, and leaves it alone.

Covers `adaptation` and `models` too.
"""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from rich.console import Console
from safetensors.torch import load_file
from torch.testing import assert_close

from marking import marked
from medalist.cli.app import main
from medalist.cli.result_tables import metrics_tables
from medalist.data.embedded import probes
from medalist.data.embedded.clinical import NOTES
from medalist.data.inventory import Inventory
from medalist.data.passage_files import read_passages, write_jsonl
from medalist.evaluation.predictions import score_texts
from medalist.models.adapters import add_adapter
from medalist.models.load import load_base
from medalist.recipe import RecipeError, TrainingSettings, dump_recipe, load_recipe, parse_recipe
from medalist.runs import claims
from medalist.runs.adaptation import PARENT_TEST, ParentTest
from medalist.runs.claims import check_claims
from medalist.runs.evaluate import evaluate_run
from medalist.runs.held_out import HeldOut, held_out
from medalist.runs.models import RunModels
from medalist.runs.parents import further_recipe, parent_of, parent_run, replayed, requested_recipe, training_passages
from medalist.runs.prepare import prepare
from medalist.runs.prepared import open_prepared
from medalist.runs.report import write_report
from medalist.runs.run import load_run_base, load_tuned, open_run
from medalist.runs.train import start_run, train
from medalist.training.batches import TreeDataset, collate
from medalist.trees.losses import question_losses
from medalist.trees.prompt import Encoder
from medalist.trees.scoring import score_tree

SENSES = ("rheumatoid arthritis", "right atrium", "room air")
INVENTORY = Inventory.of([("RA", name, 0, None) for name in SENSES] + [("CT", "computed tomography", 0, None)])
GLOSSARY = Inventory.of(
    [("RA", "research assistant", 0, None), ("RA", "Room airs", 0, None), ("CT", "clinical trial", 0, None)]
)
SHARED = "seen twice, in both"


def texts(count, senses, words, *, ids=None):
    """Short passages with two mentions each, every one of another length."""
    return [
        marked(
            f"{words} {n} {'x' * n} on [RA={senses[n % len(senses)]}] and [CT=computed tomography]",
            f"{ids or words}-{n}",
        )
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def parent(model_folder, tmp_path_factory):
    """A run of three steps on forty passages, evaluated."""
    folder = tmp_path_factory.mktemp("parent")
    INVENTORY.write(folder / "own.csv")
    write_jsonl(texts(40, SENSES, "case"), folder / "cases.jsonl")
    values = {
        "name": "first",
        "output": str(folder / "runs"),
        "model": {"base": str(model_folder)},
        "data": {"source": "table", "path": str(folder / "cases.jsonl"), "inventory": str(folder / "own.csv")},
        "training": {"rank": 4, "max_steps": 3, "learning_rate": 0.02, "evaluate_every": 2},
        "evaluation": {"bootstrap": 100},
    }
    run = train(parse_recipe(values))
    evaluate_run(run)
    return run


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    """Notes with a sense of their own, and a glossary that lists it."""
    folder = tmp_path_factory.mktemp("notes")
    write_jsonl(texts(30, ("research assistant", "room airs", "right atrium"), "note"), folder / "my notes.jsonl")
    GLOSSARY.write(folder / "glossary.csv")
    return folder / "my notes.jsonl", folder / "glossary.csv"


def further(parent, notes, output, *overrides):
    settings = [f"output={output}/runs", "training.evaluate_every=2", *overrides]
    return further_recipe(parent.folder, data=notes[0], inventory=notes[1], overrides=settings)


def state(folder):
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def adapted(parent, notes, tmp_path_factory):
    """The run tuned further and evaluated, its metrics, and the parent's files before it all."""
    before = state(parent.folder)
    run = train(further(parent, notes, tmp_path_factory.mktemp("child")))
    metrics, _ = evaluate_run(run)
    return run, metrics, before


# What is asked for


def test_the_recipe_is_the_parents_with_the_file_for_data(parent, notes, tmp_path):
    recipe = further(parent, notes, tmp_path, "training.epochs=3")
    assert recipe.name == "first-my-notes"
    assert (recipe.data.source, recipe.data.path, recipe.data.inventory) == ("table", *map(str, notes))
    assert recipe.model.parent == str(parent.folder)
    assert recipe.training.learning_rate == parent.recipe.training.learning_rate / 2
    assert (recipe.training.rank, recipe.training.max_steps, recipe.training.epochs) == (4, None, 3)


def test_a_first_argument_with_an_equals_sign_is_an_override(parent, notes):
    recipe = requested_recipe("name=mine", ["seed=5"], parent=parent.folder, data=notes[0])
    assert (recipe.name, recipe.seed) == ("mine", 5)


def test_a_recipe_named_with_a_parent_decides(parent, notes, tmp_path):
    (tmp_path / "own.yaml").write_text(
        "name: own\ntraining: {learning_rate: 0.1, rank: 4}\ndata: {replay: 0.5, test: 0.4}\n"
    )
    recipe = requested_recipe(
        str(tmp_path / "own.yaml"), ["seed=1"], parent=parent.folder, data=notes[0], inventory=notes[1]
    )
    assert (recipe.name, recipe.seed, recipe.training.learning_rate, recipe.data.replay) == ("own", 1, 0.1, 0.5)
    assert (recipe.data.source, recipe.data.test, recipe.data.inventory) == ("table", 0.4, str(notes[1]))
    assert recipe.model.parent == str(parent.folder)


def test_the_command_line_tunes_a_run_further(parent, notes, tmp_path, capsys):
    options = ["--from", str(parent.folder), "--data", str(notes[0]), "--inventory", str(notes[1])]
    with pytest.raises(SystemExit, match="0"):
        main(["train", *options, "name=mine", f"output={tmp_path}", "training.max_steps=1"])
    assert capsys.readouterr().out.strip() == str(tmp_path / "mine/adapter")
    assert open_run(tmp_path / "mine").recipe.model.parent == str(parent.folder)
    with pytest.raises(SystemExit, match="0"):
        main(["evaluate", str(tmp_path / "mine"), "--json"])
    assert json.loads(capsys.readouterr().out)["adaptation"]["parent"] == "first"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({}, "Name a recipe, or use --from RUN --data FILE"),
        ({"recipe": "own.yaml", "data": Path("my.csv")}, "--data and --inventory require --from RUN"),
        ({"parent": Path("runs/demo")}, "--data FILE is missing"),
        (
            {"parent": Path("runs/demo"), "inventory": Path("g.csv")},
            "A glossary alone teaches nothing.* medalist inventory",
        ),
        ({"parent": Path("nowhere"), "data": Path("my.csv")}, "There is no folder nowhere"),
    ],
)
def test_an_incomplete_request_is_one_line(asked, message):
    with pytest.raises((ValueError, OSError), match=message) as caught:
        requested_recipe(asked.pop("recipe", None), [], **asked)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.rank=8", r"training\.rank is 8, but .*first was tuned with 4.* Set training\.rank=4"),
        ("training.alpha=8", r"training\.alpha is 8"),
        ("training.upper_layers=1", r"training\.upper_layers is 1, but .* with null"),
        ("training.method=full", r"training\.method is full, but .* with lora"),
    ],
)
def test_another_size_or_place_than_the_parents_is_one_line_before_anything_is_written(
    override, message, parent, notes, tmp_path
):
    with pytest.raises(RecipeError, match=message) as caught:
        train(further(parent, notes, tmp_path, override))
    assert "\n" not in str(caught.value)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_parent_that_is_not_trained_to_its_end_is_one_line(parent, notes, tmp_path):
    shutil.copytree(parent.folder, tmp_path / "begun", ignore=shutil.ignore_patterns("adapter"))
    recipe = further_recipe(tmp_path / "begun", data=notes[0])
    with pytest.raises(
        RecipeError, match=r"The training of .*begun has not finished; finish it with `medalist train .* --resume`"
    ):
        parent_run(recipe)


def test_another_base_than_the_parents_is_one_line(parent, notes, tiny_llama, tokenizer, tmp_path):
    tiny_llama.model.norm.weight.data += 1
    tiny_llama.save_pretrained(tmp_path / "other")
    tokenizer.save_pretrained(tmp_path / "other")
    with pytest.raises(RecipeError, match=r"was tuned on tiny-llama \(.*, not on other \(.*: set model.base="):
        train(further(parent, notes, tmp_path, f"model.base={tmp_path}/other"))
    assert not (tmp_path / "runs").exists()


def test_a_parent_trained_anew_since_is_refused_and_left_out_of_evaluations(parent, notes, tmp_path):
    shutil.copytree(parent.folder, tmp_path / "parent")
    recipe = further(open_run(tmp_path / "parent"), notes, tmp_path)
    run = start_run(recipe)
    weights = tmp_path / "parent/adapter/adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(ValueError, match=r"The weights of .*parent have changed since .* was started; set name="):
        train(recipe, resume=True)
    assert parent_of(run) is None
    assert set(RunModels(run).weights) == {"base"}


def test_an_adapter_of_another_shape_is_never_taken_for_the_parents(loaded, parent):
    with pytest.raises(ValueError, match="has rank 4, alpha 32 and 28 matrices, not rank 8"):
        add_adapter(loaded, TrainingSettings(rank=8), parent.tuned)


# Weights


def first_loss(run, model, base):
    """The loss of the run's first step with these weights, question by question."""
    recipe, prepared = run.recipe, open_prepared(run.data_folder)
    made = TreeDataset(
        [*prepared.passages("train"), *prepared.replayed()],
        Encoder(base.tokenizer, recipe.prompt, max_depth=base.max_depth),
        prepared.inventory,
        recipe.training,
        seed=recipe.seed,
    )
    losses = []
    for index in range(recipe.training.passages_per_step):
        batch, tree = collate([made[index]]), made[index].layouts[0].tree
        weights = {"likelihood_weight": 0.1, "hidden_gold_weight": 0.1}
        scores = score_tree(model, tree, "sdpa")
        losses += question_losses(scores, tree.candidate_question, batch["gold"], batch["null"], **weights).tolist()
    return sum(losses) / len(losses)


def test_the_first_step_has_the_parents_loss_not_the_bases(adapted, parent):
    run, *_ = adapted
    logged = json.loads((run.folder / "log.jsonl").read_text().splitlines()[0])["loss"]
    base, tuned = load_run_base(run), load_tuned(parent)
    assert logged == pytest.approx(first_loss(run, tuned.model, tuned), rel=1e-4)
    assert logged != pytest.approx(first_loss(run, base.model, base), rel=1e-2)


def test_the_adapter_lies_on_the_base_alone_and_scores_in_plain_peft_as_in_medalist(
    adapted, parent, model_folder, tmp_path
):
    run, *_ = adapted
    config = json.loads((run.tuned / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["r"]) == ("tiny-llama", 4)
    ours, theirs = (load_file(r.tuned / "adapter_model.safetensors") for r in (run, parent))
    assert {name: w.shape for name, w in ours.items()} == {name: w.shape for name, w in theirs.items()}
    assert any(not torch.equal(ours[name], theirs[name]) for name in ours)
    plain, passages = (
        load_base(str(model_folder)),
        open_prepared(run.data_folder).passages("test")[:3],
    )
    plain.model = PeftModel.from_pretrained(plain.model, str(run.tuned))
    merged, beside = (
        score_texts(loaded, passages, run.inventory, run.recipe.prompt, max_nodes=512, label="")[0]
        for loaded in (load_tuned(run), plain)
    )
    assert merged
    for key, values in merged.items():
        assert_close(torch.tensor(beside[key]), torch.tensor(values), atol=1e-4, rtol=0)


def test_a_run_further_resumes_to_the_bits_of_an_unbroken_one(adapted, parent, notes, tmp_path, monkeypatch):
    import medalist.training.trainer as training

    unbroken, *_ = adapted
    recipe = further(parent, notes, tmp_path)
    real, calls = training.question_losses, []

    def stop(*args, **kwargs):
        calls.append(1)
        if len(calls) > 13:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(training, "question_losses", stop)
        with pytest.raises(KeyboardInterrupt):
            train(recipe)
    assert not (recipe.folder / "adapter").exists()
    assert (recipe.folder / "checkpoint-2").exists()
    resumed = train(recipe, resume=True)
    name = "adapter/adapter_model.safetensors"
    assert (resumed.folder / name).read_bytes() == (unbroken.folder / name).read_bytes()


def test_the_recorded_recipe_alone_gives_the_run_again(adapted, parent, tmp_path):
    run, *_ = adapted
    again = train(load_recipe(run.folder / "recipe.yaml", [f"output={tmp_path}/runs"]))
    name = "adapter/adapter_model.safetensors"
    assert (again.folder / name).read_bytes() == (run.folder / name).read_bytes()
    digest = hashlib.sha256((parent.tuned / "adapter_model.safetensors").read_bytes()).hexdigest()
    recorded = hashlib.sha256(f"adapter_model.safetensors:{digest}\n".encode()).hexdigest()
    assert run.record["parent"] == {
        "name": "first",
        "sha256": recorded,
        "sources": ["table"],
        "any_case": False,
        "replayed": 7,
    }


def test_a_parent_given_in_python_is_the_recipes(parent, notes, tmp_path):
    recipe = further(parent, notes, tmp_path)
    bare = recipe.model_copy(update={"model": recipe.model.model_copy(update={"parent": None})})
    with pytest.raises(RecipeError, match="keeps their shape"):
        train(bare.model_copy(update={"training": bare.training.model_copy(update={"rank": 2})}), parent=parent)
    assert train(bare, parent=parent.folder).recipe == recipe


def test_a_parent_tuned_in_full_is_gone_on_from_in_full(parent, model_folder, notes, tmp_path):
    values = dump_recipe(parent.recipe) | {"output": f"{tmp_path}/runs"}
    whole = train(parse_recipe(values, ["training.method=full", "training.learning_rate=0.01", "name=whole"]))
    run = train(further(whole, notes, tmp_path, "training.max_steps=1"))
    logged = json.loads((run.folder / "log.jsonl").read_text().splitlines()[0])["loss"]
    tuned, base = load_tuned(whole), load_base(str(model_folder))
    assert logged == pytest.approx(first_loss(run, tuned.model, tuned), rel=1e-4)
    assert logged != pytest.approx(first_loss(run, base.model, base), rel=1e-2)
    assert run.base.sha256 == whole.base.sha256, "the base stays the one that the parent was tuned on"
    assert (run.folder / "model/model.safetensors").exists()


def test_the_parents_folder_is_left_as_it_was(adapted, parent):
    assert state(parent.folder) == adapted[2]


# Candidates and replay


def test_the_senses_of_parent_and_glossary_are_offered_together(adapted, parent, notes, tmp_path):
    run, *_ = adapted
    assert set(run.inventory.long_forms("RA")) == {*SENSES, "research assistant"}, "a spelling variant is no new sense"
    assert set(run.inventory.long_forms("CT")) == {"computed tomography", "clinical trial"}
    golds = {m.long_form for p in training_passages(run) for m in p.mentions if m.short_form == "RA"}
    assert golds <= set(run.inventory.long_forms("RA")), "golds are spelt as they are offered"
    without = prepare(further_recipe(parent.folder, data=notes[0], overrides=[f"output={tmp_path}/a/runs"]))
    assert without.inventory.senses == INVENTORY.senses
    alone = prepare(further(parent, notes, tmp_path / "b", "data.parent_senses=false"))
    assert alone.inventory.senses == GLOSSARY.senses


def test_plain_texts_get_the_short_forms_of_both(parent, notes, tmp_path):
    text = "Given room air, the clinical trial went on"
    write_jsonl([marked(f"{text}, day {n} {'y' * n}", f"plain-{n}") for n in range(12)], tmp_path / "plain.jsonl")
    settings = ["data.substitution.mode=mended", "data.substitution.probability=1"]
    prepared = prepare(further(parent, (tmp_path / "plain.jsonl", notes[1]), tmp_path, *settings))
    passage = prepared.passages("train")[0]
    assert [(m.short_form, m.long_form) for m in passage.mentions] == [("RA", "room air"), ("CT", "clinical trial")]
    assert passage.text.startswith("Given RA, the CT went on")


def test_senses_trained_on_are_those_of_the_parent_too(adapted, parent):
    run, *_ = adapted
    own = Inventory.mined(open_prepared(run.data_folder).passages("train"))
    name = "rheumatoid arthritis"
    assert run.trained.count("RA", name) == parent.trained.count("RA", name) > 0, "replayed ones are not counted twice"
    assert run.trained.count("RA", "research assistant") == own.count("RA", "research assistant") > 0


def test_replay_is_a_share_of_the_training_data_of_the_parents_training_split_only(adapted, parent):
    run, *_ = adapted
    prepared, theirs = (open_prepared(r.data_folder) for r in (run, parent))
    again, own = prepared.replayed(), prepared.passages("train")
    assert len(again) / (len(again) + len(own)) == pytest.approx(0.25, abs=0.02)
    drawn = {passage.text for passage in again}
    assert drawn < {passage.text for passage in theirs.passages("train")}
    assert not drawn & {p.text for split in ("validation", "test") for p in theirs.passages(split)}
    assert run.record["training"]["passages"] == len(own) + len(again), "they are trained on"


def test_replay_follows_from_seed_and_id_and_spares_held_out_texts(parent):
    pool = training_passages(parent)
    first = replayed(parent, 8, seed=0, avoid=[])
    assert replayed(parent, 8, seed=0, avoid=[]) == first
    assert replayed(parent, 5, seed=0, avoid=[]) == first[:5]
    assert replayed(parent, 8, seed=1, avoid=[]) != first
    assert first[0] not in replayed(parent, len(pool), seed=0, avoid=[marked(first[0].text.upper(), "other id")])


def test_replay_of_0_and_of_a_parent_whose_data_is_gone_is_none(parent, notes, tmp_path, capsys):
    assert prepare(further(parent, notes, tmp_path / "a", "data.replay=0")).replayed() == []
    shutil.copytree(parent.folder, tmp_path / "moved")
    text = (tmp_path / "moved/recipe.yaml").read_text()
    (tmp_path / "moved/recipe.yaml").write_text(text.replace(parent.record["data"]["folder"], "gone"))
    prepared = prepare(further(open_run(tmp_path / "moved"), notes, tmp_path / "b"))
    assert prepared.replayed() == []
    assert prepared.account["replay"] == {"passages": 0, "mentions": 0}
    assert "no longer exists, so none of it is replayed" in " ".join(capsys.readouterr().err.split())


def test_the_prepared_folder_follows_from_the_parents_data(parent, notes, tmp_path):
    folder = prepare(further(parent, notes, tmp_path)).folder
    assert prepare(further(parent, notes, tmp_path)).folder == folder
    shutil.copytree(parent.folder, tmp_path / "more")
    with (tmp_path / "more/inventory.csv").open("a") as file:
        file.write("RA,renal artery,0,\n")
    assert prepare(further(open_run(tmp_path / "more"), notes, tmp_path)).folder != folder


def test_a_grandchild_replays_what_its_parent_was_trained_on(adapted, notes, tmp_path):
    run, *_ = adapted
    pool = {passage.text for passage in training_passages(run)}
    assert any("case" in text for text in pool), "its parent replayed passages itself"
    write_jsonl(texts(24, SENSES, "third"), tmp_path / "other.jsonl")
    grandchild = start_run(further(run, (tmp_path / "other.jsonl", notes[1]), tmp_path, "data.replay=0.8"))
    drawn = {p.text for p in open_prepared(grandchild.data_folder).replayed()}
    assert drawn == pool, "all there are, which are fewer than wanted"


def test_of_two_passages_with_one_id_one_is_replayed(parent, tmp_path):
    write_jsonl(texts(20, SENSES, "own", ids="case"), tmp_path / "same ids.jsonl")
    run = start_run(
        further_recipe(parent.folder, data=tmp_path / "same ids.jsonl", overrides=[f"output={tmp_path}/runs"])
    )
    pool = training_passages(run)
    again = replayed(run, 100, seed=0, avoid=[])
    assert len(again) == len({p.id for p in pool}) < len(pool)


# Evaluation


def test_three_models_answer_both_test_splits(adapted, parent):
    run, metrics, _ = adapted
    assert list(metrics["models"]) == ["base", "parent", "tuned"]
    elsewhere = json.loads((run.folder / "evaluation/parent-test/metrics.json").read_text())
    before = json.loads((parent.folder / "evaluation/test/metrics.json").read_text())
    assert elsewhere["models"]["parent"] == before["models"]["tuned"], "the questions of the parent's own evaluation"
    assert elsewhere["models"]["base"] == before["models"]["base"]
    for found in (metrics, elsewhere):
        for cells in (*found["slices"].values(), found["expansion"]["all"]):
            gained = cells["tuned"]["value"] - cells["parent"]["value"]
            assert cells["from_parent"]["value"] == pytest.approx(gained)
            assert 0 < cells["from_parent"]["p"] <= 1
            assert cells["difference"]["value"] == pytest.approx(cells["tuned"]["value"] - cells["base"]["value"])


def test_predictions_of_the_parents_own_evaluation_are_not_made_again(adapted, parent, tmp_path, monkeypatch):
    run, *_ = adapted
    shutil.copytree(run.folder, tmp_path / "run", ignore=shutil.ignore_patterns("evaluation"))
    loaded = []
    real = RunModels.load
    monkeypatch.setattr(RunModels, "load", lambda self, name: loaded.append(name) or real(self, name))
    evaluate_run(open_run(tmp_path / "run"), HeldOut(data=PARENT_TEST))
    assert loaded == ["tuned"]


def test_the_command_line_names_the_parents_test_split_as_if_it_were_a_file():
    asked = HeldOut.named(Path("parent-test"), Path("senses.csv"), 3)
    assert asked == HeldOut(data=PARENT_TEST, inventory=Path("senses.csv"), limit=3)
    assert isinstance(asked.data, ParentTest)
    assert HeldOut.named(Path("notes/parent-test")).data == Path("notes/parent-test")


def test_a_run_without_a_parent_has_no_parents_test_split(parent):
    with pytest.raises(ValueError, match="there is no parent-test"):
        held_out(parent, HeldOut(data=PARENT_TEST))


def test_test_passages_of_the_parent_that_were_trained_on_are_reported_and_not_counted(parent, notes, tmp_path):
    theirs = open_prepared(parent.data_folder).passages("test")
    leaking = [replace(passage, id=f"copy of {passage.id}", source="copies") for passage in theirs[:2]]
    write_jsonl([*texts(20, SENSES, "note"), *leaking], tmp_path / "leaking.jsonl")
    run = train(
        further(
            parent, (tmp_path / "leaking.jsonl", notes[1]), tmp_path, "data.test=0.3", "training.max_steps=1", "seed=2"
        )
    )
    trained = {p.text for p in open_prepared(run.data_folder).passages("train")}
    shared = [p for p in leaking if p.text in trained]
    assert shared, "choose a seed that puts one into the training split"
    metrics, _ = evaluate_run(run)
    [line] = metrics["adaptation"]["shared"]
    assert line.startswith(
        f"{len(shared)} of the {len(theirs)} test passages of first are also in the training data: “right”"
    )
    elsewhere = json.loads((run.folder / "evaluation/parent-test/metrics.json").read_text())
    fresh = elsewhere["slices"]["passage not in training data"]
    row = next(row for row in metrics["adaptation"]["rows"] if (row["place"], row["measure"]) == ("elsewhere", "right"))
    assert row["tuned"] == fresh["tuned"]
    assert fresh["count"] == elsewhere["slices"]["all"]["count"] - len(shared), "of their two mentions one has a choice"


def test_passages_that_the_parent_was_trained_on_are_reported_too(adapted, parent, tmp_path):
    run, *_ = adapted
    seen = open_prepared(parent.data_folder).passages("train")[:4]
    write_jsonl(seen, tmp_path / "seen.jsonl")
    metrics, _ = evaluate_run(run, HeldOut(data=tmp_path / "seen.jsonl"))
    assert metrics["counts"]["passages_in_training_data"] == 4
    shutil.rmtree(run.folder / "evaluation/seen")


def test_a_run_whose_parent_is_gone_is_evaluated_without_it(adapted, tmp_path, capsys):
    run, *_ = adapted
    shutil.copytree(run.folder, tmp_path / "run", ignore=shutil.ignore_patterns("evaluation"))
    text = (tmp_path / "run/recipe.yaml").read_text()
    (tmp_path / "run/recipe.yaml").write_text(text.replace(run.recipe.model.parent, "runs/gone"))
    metrics, _ = evaluate_run(open_run(tmp_path / "run"), HeldOut(limit=4))
    assert list(metrics["models"]) == ["base", "tuned"]
    assert "adaptation" not in metrics
    assert "runs/gone, this run's parent, no longer exists or was retrained" in " ".join(
        capsys.readouterr().err.split()
    )


# Report, tables, claims


def test_the_report_holds_gain_and_loss(adapted):
    run, metrics, _ = adapted
    page = write_report(run).read_text(encoding="utf-8")
    part = page.partition("Adapted from first: gain on the new data, loss elsewhere</h2>")[2].partition("<h2>")[0]
    assert part.count("<svg") == 1
    rows = metrics["adaptation"]["rows"]
    assert {row["place"] for row in rows} == {"sub-domain", "elsewhere"}
    for row in rows:
        assert f"{row['place']}: {row['measure']}</td>" in part
        for model in ("base", "parent", "tuned"):
            assert f"{100 * row[model]['value']:.1f} %" in part
    assert "held-out passages of my notes.jsonl" in part
    assert (
        "Elsewhere: the parent&#39;s held-out passages" in page or "Elsewhere: the parent's held-out passages" in page
    )
    assert (run.folder / "figures/adaptation.png").exists()
    assert "tuned further from the run first" in (run.tuned / "README.md").read_text()


def test_a_terminal_gets_the_same_figures(adapted):
    console = Console(width=120)
    with console.capture() as captured:
        for table in metrics_tables(adapted[1]):
            console.print(table)
    text = captured.get()
    assert "Tuned further from first on my notes.jsonl" in text
    assert "elsewhere: right" in text


def test_the_claim_of_adaptability_is_judged_there_and_elsewhere(adapted, tmp_path, monkeypatch):
    notes, senses = probes.dangerous_pairs()
    monkeypatch.setattr(probes, "dangerous_pairs", lambda: (notes[:2], senses))
    monkeypatch.setattr(probes, "general_english", lambda: ["Rain fell all day.", "The bus was late."])
    monkeypatch.setattr(claims, "read_passages", lambda *_: read_passages(NOTES["clinical-development"], senses)[:2])
    shutil.copytree(adapted[0].folder, tmp_path / "run")
    found, _ = check_claims(open_run(tmp_path / "run"), mentions=2)
    rows = [row for row in found["rows"] if row["claim"] == "adaptability"]
    assert [row["metric"] for row in rows[:2]] == [
        "sub-domain (my notes.jsonl): right",
        "elsewhere (test split of first): right",
    ]
    for row in rows[:2]:
        assert row["before"] == "parent"
        assert row["difference"]["value"] == pytest.approx(row["tuned"]["value"] - row["parent"]["value"])
    page = write_report(open_run(tmp_path / "run")).read_text(encoding="utf-8")
    assert "sub-domain (my notes.jsonl): right</td>" in page
    assert ", parent</small>" in page, "the column says that it is not the base"
