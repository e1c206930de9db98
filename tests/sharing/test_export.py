"""Exports: what is merged, what is checked before it gets its name, who opens it.

Covers `gguf`, `merging` and `evaluation.comparison` too.
"""

import json
import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from gguf import GGUFReader
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch.testing import assert_close
from transformers import pipeline

from medalist.cli.app import main
from medalist.data.inventory import Inventory
from medalist.data.passage_files import write_jsonl
from medalist.data.passages import Mention, Passage
from medalist.data.quizzes import Choice, Quiz
from medalist.evaluation.comparison import compare_scores
from medalist.evaluation.predictions import score_texts
from medalist.models.base import ModelError, find_base
from medalist.models.llama_cpp import tokenize
from medalist.models.load import load_base
from medalist.runs.evaluate import evaluate_base
from medalist.runs.held_out import HeldOut, held_out
from medalist.runs.run import load_run_base, load_tuned, open_run
from medalist.sharing import export as exports
from medalist.sharing import gguf as gguf_files
from medalist.sharing import merging
from medalist.sharing.export import MADE, export_gguf, export_merged
from medalist.sharing.merging import write_merged


def changed(run, folder, change):
    """A copy of a run with another recipe or record."""
    shutil.copytree(run.folder, folder)
    values = yaml.safe_load((folder / "recipe.yaml").read_text())
    change(values)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(values))
    return open_run(folder)


def files_naming(folder, *texts):
    return [
        path.name
        for path in folder.rglob("*")
        if path.is_file() and any(text.encode() in path.read_bytes() for text in texts)
    ]


def test_merged_weights_score_as_the_adapter_beside_the_base(known_run, tmp_path):
    export = export_merged(known_run, tmp_path / "merged", dtype="float32", on=HeldOut(limit=3))
    base = load_run_base(known_run).model
    ids = torch.arange(3, 60)[None]
    with torch.inference_mode():
        bare = base(ids).logits
        beside = PeftModel.from_pretrained(base, known_run.tuned)(ids).logits
        merged = load_base(str(export.path)).model(ids).logits
    assert_close(merged, beside, atol=1e-4, rtol=0)
    assert (beside - bare).abs().max() > 0.1, "the adapter does something"
    assert export.comparison.changed == 0
    assert export.comparison.largest_shift < 1e-4


def test_a_run_that_quantised_its_base_is_merged_into_the_base_as_it_came(known_run, tmp_path):
    quantised = changed(known_run, tmp_path / "nf4", lambda values: values["model"].update(quantization="nf4"))
    tuned = load_tuned(quantised).model
    assert any(type(part).__name__ == "Linear4bit" for part in tuned.modules()), "the run's own model is in 4 bits"
    export = export_merged(quantised, tmp_path / "merged", dtype="float32", on=HeldOut(limit=2), max_drop=1)
    assert export.comparison.largest_shift > 1e-3, "it is compared with the model in 4 bits"
    merged = load_file(export.path / "model.safetensors")
    base = load_base(quantised.base.source).model
    plain = PeftModel.from_pretrained(base, quantised.tuned).merge_and_unload().state_dict()
    for name, weight in merged.items():
        assert weight.dtype == torch.float32
        assert_close(weight, plain[name], atol=1e-6, rtol=0)
    assert "quantization_config" not in json.loads((export.path / "config.json").read_text())


def test_the_sum_is_rounded_once(known_run, tmp_path):
    exports.merge_run(known_run, tmp_path / "exact", dtype="float32")
    exports.merge_run(known_run, tmp_path / "rounded", dtype="bfloat16")
    exact, rounded = (load_file(tmp_path / name / "model.safetensors") for name in ("exact", "rounded"))
    assert all(torch.equal(rounded[name], weight.bfloat16()) for name, weight in exact.items())


def test_large_weights_are_written_in_shards(known_run, tmp_path):
    base, _ = find_base(known_run.base.source)
    assert (base / "model.safetensors.index.json").exists(), "read from shards too"
    write_merged(base, known_run.tuned, tmp_path / "whole", dtype="float16")
    write_merged(base, known_run.tuned, tmp_path / "shards", dtype="float16", shard_size=2 * 10**5)
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    whole, shards = (load_base(str(tmp_path / name)).model.state_dict() for name in ("whole", "shards"))
    assert all(torch.equal(shards[name], weight) for name, weight in whole.items())


def test_a_fully_tuned_run_is_only_cast(known_run, tmp_path):
    run = changed(known_run, tmp_path / "full", lambda values: values["training"].update(method="full"))
    (run.folder / "adapter").rename(tmp_path / "unused")
    base, _ = find_base(run.base.source)
    shutil.copytree(base, run.folder / "model")
    exports.merge_run(open_run(run.folder), tmp_path / "merged", dtype="float16")
    plain = load_base(str(base)).model.state_dict()
    for name, weight in load_file(tmp_path / "merged/model.safetensors").items():
        assert torch.equal(weight, plain[name].half())


def test_what_is_no_plain_adapter_of_this_base_is_refused(known_run, tmp_path):
    base, _ = find_base(known_run.base.source)
    for name in ("dora", "more", "other"):
        shutil.copytree(known_run.tuned, tmp_path / name)
    config = json.loads((tmp_path / "dora/adapter_config.json").read_text())
    (tmp_path / "dora/adapter_config.json").write_text(json.dumps(config | {"use_dora": True}))
    tensors = load_file(known_run.tuned / "adapter_model.safetensors")
    save_file(
        tensors | {"base_model.model.lm_head.weight": torch.zeros(2)}, tmp_path / "more/adapter_model.safetensors"
    )
    moved = {name.replace("layers.1.", "layers.7."): weight for name, weight in tensors.items()}
    save_file(moved, tmp_path / "other/adapter_model.safetensors")
    for name, message in (
        ("dora", r"not a plain LoRA adapter \(use_dora\)"),
        ("more", "more than LoRA matrices"),
        ("other", r"changes model\.layers\.7\..*made for another base"),
    ):
        with pytest.raises(ModelError, match=message):
            write_merged(base, tmp_path / name, tmp_path / f"{name}-merged", dtype="float16")


def test_another_base_than_the_recorded_one_is_refused(known_run, tmp_path):
    run = changed(known_run, tmp_path / "run", lambda values: values["record"]["base"].update(sha256="f" * 64))
    with pytest.raises(ModelError, match="but the run was trained on weights with"):
        export_merged(run, tmp_path / "merged", on=HeldOut(limit=2))
    assert not (tmp_path / "merged").exists()


def test_a_merge_that_costs_accuracy_is_refused_and_leaves_nothing(
    known_run, own_answers, tmp_path, monkeypatch, capsys
):
    updates = merging.lora_updates(known_run.tuned)
    wrong = {name: update._replace(scale=-9 * update.scale) for name, update in updates.items()}
    monkeypatch.setattr(merging, "lora_updates", lambda _: wrong)
    with pytest.raises(SystemExit) as stop:
        main(
            [
                "export",
                str(known_run.folder),
                "--to",
                "merged",
                "--out",
                str(tmp_path / "merged"),
                "--data",
                str(own_answers),
            ]
        )
    assert stop.value.code == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(
        r"merged would lose \d+\.\d points of accuracy \(100\.0 to \d+\.\d % of \d+ questions, \d+ answers "
        r"changed\), more than "
        r"--max-drop 0\.01 allows; nothing was written",
        last,
    )
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def own_answers(known_run, tmp_path_factory):
    """Held-out passages with the run's own answers as gold: it is right everywhere, so what a broken export loses
    shows."""
    held = held_out(known_run, HeldOut(limit=3))
    found, _ = score_texts(
        load_tuned(known_run), held.texts, held.inventory, known_run.recipe.prompt, max_nodes=4096, label="Answering"
    )
    passages = []
    for passage in held.passages:
        mentions = []
        for number, mention in enumerate(passage.mentions):
            best = int(found[passage.id, number][:-1].argmax())
            mentions.append(replace(mention, long_form=held.inventory.long_forms(mention.short_form)[best]))
        passages.append(replace(passage, mentions=tuple(mentions)))
    path = tmp_path_factory.mktemp("data") / "own.jsonl"
    write_jsonl(passages, path)
    return path


@pytest.fixture(scope="module")
def merged(known_run, own_answers, tmp_path_factory):
    """The run's merged export in its default dtype."""
    return export_merged(
        known_run, tmp_path_factory.mktemp("exports") / "known", on=HeldOut(data=own_answers), max_drop=0.05
    )


@pytest.fixture
def convert_once(converted, monkeypatch):
    """Exports take the file above: the converter needs seconds each time."""
    monkeypatch.setattr(exports, "convert", lambda _folder, target, _about: shutil.copy(converted / "f16.gguf", target))


def test_a_merged_folder_opens_as_it_is_and_names_no_path(merged, known_run):
    assert {path.name for path in merged.path.iterdir()} == {
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "medalist-export.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    writer = pipeline("text-generation", str(merged.path))
    assert writer.model.dtype == torch.bfloat16
    weights = load_file(merged.path / "model.safetensors")
    name = "model.layers.1.self_attn.q_proj.weight"
    assert torch.equal(writer.model.state_dict()[name], weights[name])
    assert len(writer("RA means", max_new_tokens=3, do_sample=False)[0]["generated_text"]) > len("RA means")
    assert not files_naming(merged.path, str(known_run.folder), known_run.base.source, str(merged.path.parent))
    card = (merged.path / "README.md").read_text()
    assert f"{100 * merged.comparison.after.value:.1f} %" in card
    assert "library_name: transformers" in card


def test_a_merged_folder_is_evaluated_like_any_base(merged, own_answers, tmp_path):
    metrics, folder = evaluate_base(str(merged.path), data=own_answers, output=tmp_path)
    assert folder == tmp_path / "known/own"
    assert metrics["models"]["base"]["accuracy"]["value"] == merged.comparison.after.value


def test_an_export_is_replaced_only_when_asked_to(merged, known_run, capsys):
    before = (merged.path / "model.safetensors").stat().st_ino
    with pytest.raises(FileExistsError, match="exists already: --force replaces it"):
        export_merged(known_run, merged.path, on=HeldOut(limit=2))
    assert (merged.path / "model.safetensors").stat().st_ino == before
    export = ["export", str(known_run.folder), "--to", "merged", "--out", str(merged.path)]
    with pytest.raises(SystemExit) as stop:
        main([*export, "--force", "--limit", "2", "--json"])
    assert stop.value.code == 0
    assert (merged.path / "model.safetensors").stat().st_ino != before
    assert json.loads(capsys.readouterr().out)["comparison"]["passages"] == 2


def test_a_gguf_file_is_scored_with_the_weights_that_it_holds(convert_once, known_run, own_answers, tmp_path):
    export = export_gguf(
        known_run, tmp_path / "known.gguf", file_type="q8_0", on=HeldOut(data=own_answers), max_drop=0.1
    )
    assert export.comparison.before.value == 1
    assert 0.01 < export.comparison.largest_shift < 0.2, "8 bits are what is scored, each weight in its place"
    assert export.other_tokens == 0
    assert [path.name for path in tmp_path.iterdir()] == ["known.gguf"]


def test_a_gguf_file_says_what_it_is_and_names_no_path(converted, known_run, tmp_path):
    path = tmp_path / "q4_k_m.gguf"
    gguf_files.quantize(converted / "f16.gguf", path, "q4_k_m")
    reader = GGUFReader(path)
    said = {name: field.contents() for name, field in reader.fields.items() if name.startswith("general.")}
    assert said["general.name"] == "known"
    assert said["general.base_model.0.repo_url"] == "https://huggingface.co/tests/known"
    assert said["general.tags"][0] == "medical"
    assert "general.license" not in said, "nobody knows what this base's is"
    assert reader.fields["tokenizer.ggml.pre"].contents() == "smollm"
    types = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    assert (types["blk.0.attn_q.weight"], types["token_embd.weight"]) == ("Q4_K", "Q6_K")
    for folder in (tmp_path, converted):
        assert not files_naming(folder, str(known_run.folder), known_run.base.source, str(converted), str(tmp_path))
    tokenizer = load_base(str(converted / "merged")).tokenizer
    texts = ["Pt with RA, SpO2 93% on RA.", "β-blocker 2.5 mg\n\nnaïve 😶"]
    assert tokenize(path, texts) == [tokenizer(text).input_ids for text in texts]


def test_a_file_without_all_weights_is_refused(converted, loaded, monkeypatch):
    weights = loaded.model.state_dict()
    weights.pop("model.layers.1.mlp.up_proj.weight")
    source = "transformers.modeling_gguf_pytorch_utils.load_gguf_checkpoint"
    monkeypatch.setattr(source, lambda *_, **__: {"tensors": weights})
    with pytest.raises(ModelError, match=r"does not hold the model's weights: model\.layers\.1\.mlp\.up_proj"):
        gguf_files.take_weights(loaded, converted / "f16.gguf")


def test_a_file_that_llama_cpp_splits_otherwise_is_refused(convert_once, known_run, tmp_path, monkeypatch):
    monkeypatch.setattr(exports, "tokenize", lambda path, texts: [[1], *tokenize(path, texts[1:])])
    with pytest.raises(ValueError, match="tokenizes 1 of 2 held-out texts differently"):
        export_gguf(known_run, tmp_path / "known.gguf", file_type="f16", on=HeldOut(limit=2))
    assert not list(tmp_path.iterdir())


def test_a_tokenizer_that_llama_cpp_does_not_know_is_refused_in_one_line(tiny_run, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["export", str(tiny_run), "--to", "gguf", "--out", str(tmp_path / "tiny.gguf")])
    assert capsys.readouterr().err.splitlines()[-1].startswith("llama.cpp's converter does not know this tokenizer")
    assert not list(tmp_path.iterdir())


def test_without_llama_cpp_the_extra_is_named_before_any_work(known_run, tmp_path, monkeypatch):
    found = gguf_files.importlib.util.find_spec
    monkeypatch.setattr(gguf_files.importlib.util, "find_spec", lambda name: None if name == "cyllama" else found(name))
    with pytest.raises(RuntimeError, match=r"cyllama is missing\): pip install medalist\[gguf\]"):
        export_gguf(known_run, tmp_path / "known.gguf")


def test_an_untrained_run_is_not_exported(known_run, tmp_path):
    shutil.copytree(known_run.folder, tmp_path / "run", ignore=shutil.ignore_patterns("adapter"))
    with pytest.raises(FileNotFoundError, match="holds no tuned model yet"):
        export_merged(open_run(tmp_path / "run"))


def test_choice_questions_are_compared_by_their_options():
    quiz = Quiz(id="q", text="It rained.", choices=(Choice(question="Was it wet?", options=("yes", "no"), gold=1),))
    right, wrong = ({("q", 0): np.array(scores)} for scores in ([-1.0, 0.0], [0.0, -9.0]))
    found = compare_scores([quiz], Inventory.of([], "none"), right, wrong, resamples=100)
    assert (found.before.value, found.after.value, found.changed) == (1, 0, 1)


def test_a_comparison_counts_only_mentions_with_a_choice():
    inventory = Inventory.of(
        [("RA", "room air", 1, None), ("RA", "right atrium", 1, None), ("BP", "blood pressure", 1, None)]
    )
    text = "RA RA RA BP"
    golds = ["room air", "room air", "right atrium"]
    mentions = [Mention(start=3 * n, end=3 * n + 2, short_form="RA", long_form=gold) for n, gold in enumerate(golds)]
    mentions.append(Mention(start=9, end=11, short_form="BP", long_form="blood pressure"))
    passage = Passage(id="p", text=text, mentions=tuple(mentions))
    candidates = {n: inventory.long_forms("RA") for n in range(3)}
    right = {("p", n): np.array([*(0.0 if c == golds[n] else -9.0 for c in candidates[n]), -9.0]) for n in range(3)}
    right["p", 3] = np.array([0.0, -1.0])
    wrong = right | {("p", 0): right["p", 0][[1, 0, 2]], ("p", 3): np.array([-5.0, 0.0])}
    found = compare_scores([passage], inventory, right, wrong, resamples=100)
    assert (found.before.value, found.after.count, found.changed) == (1, 3, 1)
    assert found.difference.value == pytest.approx(-1 / 3)
    assert found.largest_shift == pytest.approx(1, abs=1e-3)


def test_force_replaces_an_earlier_export_and_nothing_else(known_run, merged, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years")
    model = tmp_path / "model"
    shutil.copytree(merged.path, model)
    (model / MADE).unlink()
    mixed = tmp_path / "mixed"
    shutil.copytree(merged.path, mixed)
    (mixed / "notes").mkdir()
    annotated = tmp_path / "annotated"
    shutil.copytree(merged.path, annotated)
    (annotated / "results.txt").write_text("years")
    note = tmp_path / "note.gguf"
    note.write_text("years")
    linked = tmp_path / "linked"
    linked.symlink_to(mine)
    export_merged(known_run, tmp_path / "again", on=HeldOut(limit=2))
    for target in (known_run.folder, known_run.folder / "adapter", mine, model, mixed, annotated, linked, note):
        with pytest.raises(FileExistsError, match="is not an earlier export, or holds more than that"):
            export_merged(known_run, target, on=HeldOut(limit=2), force=True)
    assert (mine / "thesis.txt").read_text() == note.read_text() == "years"
    assert (annotated / "results.txt").exists()
    export_merged(known_run, tmp_path / "again", on=HeldOut(limit=2), force=True)
    assert (known_run.folder / "recipe.yaml").exists() and (model / "config.json").exists()


def test_an_export_asks_for_room_before_it_begins(known_run, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1_000))
    with pytest.raises(OSError, match=r"too little room for .*merged: it takes up to"):
        export_merged(known_run, tmp_path / "merged", on=HeldOut(limit=2))
    assert not list(tmp_path.iterdir())
