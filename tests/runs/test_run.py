"""The run folder: the contract on disk, opening, resuming, evaluating.

Covers `held_out` and `train` too.
"""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
import torch
import yaml
from peft import AutoPeftModelForCausalLM, PeftConfig, PeftModel
from torch.testing import assert_close

from marking import marked
from medal_csv import write_medal_csv
from medalist.data.embedded import clinical, sample
from medalist.data.inventory import Inventory
from medalist.data.passage_files import read_passages, write_jsonl
from medalist.data.shards import write_shard
from medalist.recipe import RecipeError, load_recipe
from medalist.runs.evaluate import evaluate_base, evaluate_run
from medalist.runs.held_out import HeldOut, held_out, read_marked
from medalist.runs.prepared import open_prepared
from medalist.runs.report import write_report
from medalist.runs.run import load_run_base, load_tuned, open_run
from medalist.runs.train import train


def test_the_folder_holds_what_the_contract_says(tiny_run):
    for name in (
        "recipe.yaml",
        "log.jsonl",
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
        "adapter/tokenizer.json",
        "evaluation/test/metrics.json",
        "evaluation/test/predictions.parquet",
    ):
        assert (tiny_run / name).is_file(), name
    recorded = yaml.safe_load((tiny_run / "recipe.yaml").read_text())["record"]
    assert set(recorded["base"]) == {"id", "revision", "source", "sha256"}
    assert recorded["data"]["fingerprint"]["train"]
    assert {"torch", "transformers", "peft", "medalist"} <= set(recorded["versions"])
    assert not list(tiny_run.rglob("*.part")), "nothing half-written"


def test_the_recorded_recipe_opens_as_a_recipe(tiny_run):
    assert load_recipe(tiny_run / "recipe.yaml") == open_run(tiny_run).recipe


def test_the_adapter_names_no_local_path_and_loads_in_peft(tiny_run, model_folder, tmp_path):
    config = json.loads((tiny_run / "adapter/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny-llama"
    for file in (tiny_run / "adapter").iterdir():
        assert str(model_folder).encode() not in file.read_bytes(), file.name
    # a reader has the base under its Hub id; here it lies in a folder of that name
    shutil.copytree(tiny_run / "adapter", tmp_path / "adapter")
    moved = PeftConfig.from_pretrained(str(tmp_path / "adapter"))
    moved.base_model_name_or_path = str(model_folder)
    moved.save_pretrained(str(tmp_path / "adapter"))
    assert AutoPeftModelForCausalLM.from_pretrained(str(tmp_path / "adapter")).active_adapter == "default"


def test_predictions_hold_no_text(tiny_run):
    table = pl.read_parquet(tiny_run / "evaluation/test/predictions.parquet")
    assert set(table.columns) == {"model", "passage", "mention", "start", "end", "kind", "gold", "scores"}
    assert set(table["model"]) == {"base", "tuned"}


def test_a_finished_run_is_not_trained_again_and_another_recipe_is_refused(tiny_run):
    run = open_run(tiny_run)
    weights = (tiny_run / "adapter/adapter_model.safetensors").stat().st_mtime_ns
    assert train(run.recipe, resume=True).folder == tiny_run
    assert (tiny_run / "adapter/adapter_model.safetensors").stat().st_mtime_ns == weights
    other = load_recipe(tiny_run / "recipe.yaml", ["training.learning_rate=0.1"])
    with pytest.raises(RecipeError, match=r"training\.learning_rate differs"):
        train(other, resume=True)


def test_base_and_tuned_differ_and_answer_the_same_questions(tiny_run):
    table = pl.read_parquet(tiny_run / "evaluation/test/predictions.parquet")
    base, tuned = (table.filter(pl.col("model") == name) for name in ("base", "tuned"))
    assert base.drop("scores", "model").equals(tuned.drop("scores", "model"))
    assert not base["scores"].equals(tuned["scores"])


def test_a_base_that_changed_since_is_refused(tiny_run, tmp_path):
    shutil.copytree(tiny_run, tmp_path / "run")
    values = yaml.safe_load((tmp_path / "run/recipe.yaml").read_text())
    values["record"]["base"]["sha256"] = "f" * 64
    (tmp_path / "run/recipe.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(ValueError, match="but the run was trained on weights with ffff"):
        load_run_base(open_run(tmp_path / "run"))


def test_a_run_loads_its_base_with_the_attention_of_its_recipe(tiny_run, tmp_path, monkeypatch):
    loaded = []

    def load_base(source, **given):
        loaded.append(given["attention"])
        raise NotImplementedError

    monkeypatch.setattr("medalist.runs.run.load_base", load_base)
    monkeypatch.setattr("medalist.runs.train.load_base", load_base)
    shutil.copytree(tiny_run, tmp_path / "run")
    values = yaml.safe_load((tmp_path / "run/recipe.yaml").read_text())
    values["model"]["attention"] = "flex"
    (tmp_path / "run/recipe.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(NotImplementedError):
        load_run_base(open_run(tmp_path / "run"))
    with pytest.raises(NotImplementedError):
        train(load_recipe(tiny_run / "recipe.yaml", [f"output={tmp_path / 'runs'}", "model.attention=sdpa"]))
    assert loaded == ["flex", "sdpa"]


def test_a_medal_csv_is_evaluated_with_any_inventory(tiny_run, tmp_path):
    prepared = open_prepared(
        tiny_run.parent.parent / "data" / open_run(tiny_run).record["data"]["folder"].split("/")[-1]
    )
    write_medal_csv(prepared.passages("test")[:6], tmp_path / "medal.csv")
    sample.inventory().write(tmp_path / "glossary.csv")
    metrics, folder = evaluate_run(
        open_run(tiny_run), HeldOut(data=tmp_path / "medal.csv", inventory=tmp_path / "glossary.csv")
    )
    assert folder == tiny_run / "evaluation/medal"
    assert metrics["counts"]["passages"] == 6
    assert metrics["counts"]["passages_in_training_data"] == 0


def test_evaluation_on_training_passages_is_reported(tiny_run, tmp_path):
    run = open_run(tiny_run)

    write_jsonl(open_prepared_of(run).passages("train")[:4], tmp_path / "seen.jsonl")
    metrics, _ = evaluate_run(run, HeldOut(data=tmp_path / "seen.jsonl"))
    assert metrics["counts"]["passages_in_training_data"] == 4
    assert "passage not in training data" not in metrics["slices"], "there are none"


def open_prepared_of(run):
    return open_prepared(run.data_folder)


def test_a_bare_base_gives_the_scores_that_it_has_inside_a_run(tiny_run, model_folder, tmp_path):

    run = open_run(tiny_run)
    write_jsonl(open_prepared_of(run).passages("test")[:5], tmp_path / "few.jsonl")
    inside, _ = evaluate_run(run, HeldOut(data=tmp_path / "few.jsonl"))
    bare, folder = evaluate_base(str(model_folder), data=tmp_path / "few.jsonl", output=tmp_path / "evaluation")
    assert folder == tmp_path / "evaluation/tiny-llama/few"
    accuracies = [m["models"]["base"]["accuracy"]["value"] for m in (bare, inside)]
    assert accuracies[0] == accuracies[1]
    assert bare["models"]["base"]["nll"] == pytest.approx(inside["models"]["base"]["nll"], abs=1e-6)


def test_the_tuned_model_is_the_base_with_its_adapter_merged(tiny_run):
    run = open_run(tiny_run)
    loaded, beside = load_tuned(run), PeftModel.from_pretrained(load_run_base(run).model, run.tuned)
    assert not any("lora_" in name for name, _ in loaded.model.named_parameters())
    ids = torch.arange(3, 23)[None]
    with torch.inference_mode():
        merged, apart = loaded.model(ids).logits, beside(ids).logits
        with beside.disable_adapter():
            untuned = beside(ids).logits
    assert_close(merged, apart, atol=1e-4, rtol=0)
    assert (merged - untuned).abs().max() > 1e-3


def test_the_inventory_of_a_run_reads_back_and_its_counts_are_of_training_only(tiny_run):
    run = open_run(tiny_run)
    train_passages = open_prepared_of(run).passages("train")
    expected = sum(m.long_form == "heart rate" for p in train_passages for m in p.mentions)
    assert run.trained.count("HR", "heart rate") == expected > 0
    assert len(run.inventory) == len(sample.inventory())


def test_the_clinical_notes_are_evaluated_by_name_with_the_inventory_that_they_were_marked_with(
    tiny_run, tmp_path, capsys
):
    sample.inventory().write(tmp_path / "other.csv")
    held = held_out(open_run(tiny_run), HeldOut(data=Path("clinical-development")))
    assert held.folder == tiny_run / "evaluation/clinical-development"
    assert held.passages == read_passages(clinical.NOTES["clinical-development"], sample.inventory())
    assert held.inventory.senses == sample.inventory().senses
    assert "locked" not in capsys.readouterr().err
    held = held_out(open_run(tiny_run), HeldOut(data=Path("clinical-locked"), inventory=tmp_path / "other.csv"))
    assert held.inventory.origin == "other.csv"
    assert "score this once" in " ".join(capsys.readouterr().err.split())
    held_out(open_run(tiny_run), HeldOut(data=Path("clinical-ordinary")))
    assert "clinical-ordinary is locked" in " ".join(capsys.readouterr().err.split())


def test_a_report_shows_what_became_of_clinical_notes(tiny_run):
    evaluate_run(open_run(tiny_run), HeldOut(data=Path("clinical-development"), limit=6))
    try:
        page = write_report(open_run(tiny_run)).read_text()
        part = page.partition("<h2>Clinical notes, development half</h2>")[2].partition("<h2>")[0]
        for shown in ("<h3>Expanding the text</h3>", "sense not listed", "no short form", "<h3>Examples</h3>"):
            assert shown in part, shown
    finally:
        shutil.rmtree(tiny_run / "evaluation/clinical-development")
        write_report(open_run(tiny_run))


def test_a_corpus_folder_is_evaluated_by_its_test_split_and_golds_are_spelt_as_listed(tmp_path):
    inventory = Inventory.of([("RA", "rheumatoid arthritis", 1, None), ("RA", "room air", 1, None)])
    folder = tmp_path / "defined"
    write_shard([marked("on [RA=Room Airs]", "1")], folder, "test", 0, 2)
    write_shard([marked("known [RA=rheumatoid factor]", "2")], folder, "test", 1, 2)
    write_shard([marked("some [RA=room air]", "3")], folder, "train", 0, 2)
    passages, _ = read_marked(folder, inventory)
    assert [(p.id, p.mentions[0].long_form) for p in passages] == [("1", "room air"), ("2", "rheumatoid factor")]
    assert [p.id for p in read_marked(folder, inventory, 1)[0]] == ["1"]
    with pytest.raises(ValueError, match="has no shards of the test split"):
        read_marked(tmp_path, inventory)
