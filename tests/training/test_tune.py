"""Training: what is learnt, how the loss is normalised, stopping and resuming, refusing non-finite values.

Covers `batches`, `checkpoints` and `trainer` too.
"""

import json
import math
import os
import shutil
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

import medalist.training.tune as tuning
from made_passages import (
    INVENTORY,
    PASSAGES,
    assert_same_run,
    log_lines,
    losses_and_weights,
    run_on_disk,
    run_tune,
    settings,
)
from medalist.data.inventory import Inventory
from medalist.data.passages import NONE_OF_THESE, Mention, Passage
from medalist.models.load import load_base
from medalist.recipe import Recipe, RecipeError
from medalist.tools.files import put_in_place
from medalist.training.batches import Lesson, TreeDataset, collate
from medalist.training.checkpoints import last_checkpoint
from medalist.training.trainer import NonFiniteError
from medalist.trees.prompt import Encoder, PromptSettings
from tune_made_passages import tune_apart


def test_tuning_learns_the_training_passages_and_leaves_an_adapter(loaded, tmp_path):
    run_tune(loaded, tmp_path / "run", epochs=15, validation=PASSAGES)
    accuracy = log_lines(tmp_path / "run", "eval_accuracy")
    assert accuracy[-1] > 0.9 > accuracy[0]
    config = json.loads((tmp_path / "run/adapter/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tests/tiny-llama"
    assert config["modules_to_save"] is None
    names = set(load_file(tmp_path / "run/adapter/adapter_model.safetensors"))
    assert all("lora_" in name for name in names)
    assert not any("embed" in name or "lm_head" in name for name in names)


def test_the_best_checkpoint_on_validation_is_what_the_run_leaves(loaded, tmp_path):
    run = tmp_path / "run"
    found = run_tune(loaded, run, epochs=4, validation=PASSAGES[:4], evaluate_every=1, keep_checkpoints=20)
    nll = log_lines(run, "eval_nll")
    best = run / f"checkpoint-{1 + nll.index(min(nll))}"
    assert found["best_checkpoint"] == best.name
    kept = load_file(run / "adapter/adapter_model.safetensors")
    for name, weight in load_file(best / "adapter_model.safetensors").items():
        assert torch.equal(weight, kept[name])


def test_early_stopping_ends_a_run_that_no_longer_improves(loaded, tmp_path):
    found = run_tune(loaded, tmp_path / "run", epochs=50, validation=PASSAGES[:2], evaluate_every=1, patience=2)
    assert found["steps"] < 100


# Law 5: one pass of 8 passages equals 8 passes of 1, with passages of unequal size and a partial last step: 11 = 8 + 3.


def test_accumulated_passes_give_the_loss_and_weights_of_one_large_pass(loaded, model_folder, tmp_path):
    run_on_disk(tmp_path / "small", model_folder, passages_per_pass=1)
    run_on_disk(tmp_path / "large", model_folder, passages_per_pass=8)
    assert_same_run(losses_and_weights(tmp_path / "small"), losses_and_weights(tmp_path / "large"))


def test_the_loss_of_a_step_is_the_mean_over_its_questions(loaded, tmp_path):
    """The logged loss of the first step is compared with the question losses of its passages, computed one by one."""
    from medalist.trees.losses import question_losses
    from medalist.trees.scoring import score_tree

    made = TreeDataset(
        PASSAGES, Encoder(loaded.tokenizer, PromptSettings(), max_depth=2048), INVENTORY, settings(), seed=0
    )
    every = []
    for index in range(8):
        batch = collate([made[index]])
        tree = made[index].layouts[0].tree
        losses = question_losses(
            score_tree(loaded.model, tree, "sdpa"),
            tree.candidate_question,
            batch["gold"],
            batch["null"],
            likelihood_weight=0.1,
            hidden_gold_weight=0.1,
        )
        every += losses.tolist()
    run_tune(loaded, tmp_path / "run", epochs=1)
    assert log_lines(tmp_path / "run", "loss")[0] == pytest.approx(sum(every) / len(every), rel=1e-4)


# Law 6: a run that is killed and resumed ends with the same bits as an uninterrupted one.


@pytest.fixture(scope="module")
def unbroken(model_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "unbroken"
    assert tune_apart(folder, model_folder) == 0
    return folder


@pytest.mark.parametrize("kill", [{"kill_after_step": 3}, {"kill_in_save": 4}], ids=["after a step", "in a save"])
def test_a_killed_run_resumes_to_the_bits_of_an_unbroken_one(kill, unbroken, model_folder, tmp_path):
    folder = tmp_path / "broken"
    assert tune_apart(folder, model_folder, **kill) == -signal.SIGKILL
    assert not (folder / "adapter").exists()
    assert last_checkpoint(folder).name == "checkpoint-2", "one that was still being saved does not count"
    assert tune_apart(folder, model_folder, resume=True) == 0
    for name in ("adapter/adapter_model.safetensors", "adapter/adapter_config.json"):
        assert (folder / name).read_bytes() == (unbroken / name).read_bytes(), name
    assert log_lines(folder, "loss") == log_lines(unbroken, "loss")
    assert log_lines(folder, "eval_nll") == log_lines(unbroken, "eval_nll")


def test_a_folder_appears_under_its_name_whole_and_replaces_an_older_one(tmp_path):
    for content in ("old", "new"):
        source = tmp_path / "making"
        source.mkdir()
        (source / "file").write_text(content)
        put_in_place(source, tmp_path / "made")
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    assert (tmp_path / "made/file").read_text() == "new"


def test_candidates_and_order_are_functions_of_seed_and_epoch_alone(loaded):
    encoder = Encoder(loaded.tokenizer, PromptSettings(), max_depth=2048)

    def drawn(seed, epoch, *, warm=()):
        made = TreeDataset(PASSAGES, encoder, INVENTORY, settings(candidates=2), seed=seed)
        for earlier in warm:
            made.set_epoch(earlier)
            made[0]
        made.set_epoch(epoch)
        return [[(x.text_id, x.questions) for x in made[i].layouts] for i in range(len(made))]

    assert drawn(0, 2) == drawn(0, 2, warm=(0, 1))
    assert drawn(0, 2) != drawn(0, 1)
    assert drawn(0, 2) != drawn(1, 2)


# Law 7: nothing non-finite reaches the weights.


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_non_finite_loss_stops_the_run_and_keeps_the_last_good_checkpoint(bad, loaded, tmp_path, monkeypatch):
    import medalist.training.trainer as training

    real, calls = training.question_losses, []

    def losses(*args, **kwargs):
        calls.append(1)
        return real(*args, **kwargs) * (bad if len(calls) > 15 else 1.0)

    monkeypatch.setattr(training, "question_losses", losses)
    run = tmp_path / "run"
    with pytest.raises(NonFiniteError, match=r"at step 3, passages \d+.*checkpoint-2; resume with --resume"):
        run_tune(loaded, run, epochs=3)
    assert last_checkpoint(run).name == "checkpoint-2"
    weights = load_file(run / "checkpoint-2/adapter_model.safetensors")
    assert all(torch.isfinite(weight).all() for weight in weights.values())
    assert not (run / "adapter").exists()


def test_a_non_finite_gradient_stops_the_run_before_the_weights_change(loaded, tmp_path, monkeypatch):
    import medalist.training.trainer as training

    real = training.score_pass

    def scores(*arguments):
        found = real(*arguments)
        found.register_hook(lambda gradient: gradient * float("nan"))
        return found

    monkeypatch.setattr(training, "score_pass", scores)
    with pytest.raises(NonFiniteError, match="Gradient norm became nan at step 1"):
        run_tune(loaded, tmp_path / "run")
    for name, weight in loaded.model.named_parameters():
        assert torch.isfinite(weight).all(), name


# What a GPU gets


@pytest.mark.parametrize(
    ("device", "cpus", "workers"), [("cuda", 16, 12), ("cuda", 4, 2), ("cuda", 1, 0), ("cpu", 16, 0)]
)
def test_a_gpu_gets_batches_from_workers_in_pinned_memory_and_a_fused_optimiser(device, cpus, workers, monkeypatch):
    monkeypatch.setattr(tuning, "TrainingArguments", lambda **given: SimpleNamespace(n_gpu=1, **given))
    monkeypatch.setattr(os, "cpu_count", lambda: cpus)
    model = SimpleNamespace(device=torch.device(device), dtype=torch.bfloat16)
    recipe = Recipe(name="t", output="runs", training=settings())
    found = tuning._arguments(recipe, Path("runs/t"), SimpleNamespace(model=model), per_pass=1, validated=False)
    on_gpu = device == "cuda"
    assert (found.dataloader_num_workers, found.dataloader_prefetch_factor) == (workers, 4 if workers else None)
    assert (found.dataloader_pin_memory, found.accelerator_config) == (on_gpu, {"non_blocking": on_gpu})
    assert (found.optim, found.logging_steps) == (("adamw_torch_fused", 10) if on_gpu else ("adamw_torch", 1))


# The data


def test_mentions_without_an_offered_gold_are_not_trained_on(loaded):
    text = "RA CT as RA"
    odd = Passage(
        id="odd",
        text=text,
        mentions=(
            Mention(start=0, end=2, short_form="RA", long_form="renal artery"),
            Mention(start=3, end=5, short_form="CT", long_form="contraction time"),
            Mention(start=6, end=8, short_form="CT", long_form=NONE_OF_THESE),
            Mention(start=9, end=11, short_form="RA"),
        ),
    )
    encoder = Encoder(loaded.tokenizer, PromptSettings(), max_depth=2048)
    made = TreeDataset([odd], encoder, INVENTORY, settings(), seed=0)
    assert made.num_mentions == 2
    batch = collate([made[0]])
    assert batch["gold"].tolist() == [1, 5], "the second sense of CT, then the null candidate of the last question"
    assert batch["null"].tolist() == [2, 5]


def test_texts_of_an_epoch_are_all_that_are_trained_on_and_no_others(loaded):
    encoder = Encoder(loaded.tokenizer, PromptSettings(), max_depth=2048)

    def text(name, gold):
        mention = Mention(start=0, end=2, short_form="RA", long_form=gold)
        return Passage(id=name, text="RA", mentions=(mention,))

    own, known = text("own", INVENTORY.long_forms("RA")[0]), text("none", "renal artery")
    more = Lesson(texts=[replace(own, id=f"more {n}") for n in range(3)], inventory=INVENTORY)
    made = TreeDataset([own, known], encoder, INVENTORY, settings(), beside=[more], seed=0, multiple=3)
    assert (made.num_texts, made.num_mentions, len(made)) == (4, 4, 6)


def test_nothing_to_train_on_is_one_clear_line(loaded):
    encoder = Encoder(loaded.tokenizer, PromptSettings(), max_depth=2048)
    bare = Passage(id="bare", text="no short form")
    with pytest.raises(ValueError, match="No training passage has a question"):
        TreeDataset([bare], encoder, INVENTORY, settings(), seed=0)


def test_padding_for_other_ranks_adds_no_questions(loaded):
    encoder = Encoder(loaded.tokenizer, PromptSettings(), max_depth=2048)
    made = TreeDataset(PASSAGES, encoder, INVENTORY, settings(), seed=0, multiple=4)
    assert len(made) == 12
    assert made[11].layouts == ()
    assert "gold" not in collate([made[11]])
    both = collate([made[10], made[11]])
    assert len(both["gold"]) == sum(len(layout.questions) for layout in made[10].layouts)


def test_full_tuning_saves_a_whole_model(loaded, tmp_path):
    run_tune(loaded, tmp_path / "run", method="full", max_steps=2, learning_rate=1e-3)
    names = set(load_file(tmp_path / "run/model/model.safetensors"))
    assert "model.layers.0.self_attn.q_proj.weight" in names


def test_activation_checkpointing_gives_the_same_run(model_folder, tmp_path):
    run_on_disk(tmp_path / "plain", model_folder, max_steps=2)
    run_on_disk(tmp_path / "checkpointed", model_folder, max_steps=2, activation_checkpointing=True)
    assert_same_run(losses_and_weights(tmp_path / "plain"), losses_and_weights(tmp_path / "checkpointed"))


def test_the_lower_layers_of_an_upper_adapter_keep_no_graph(loaded, tmp_path):
    seen = []
    loaded.model.model.layers[0].register_forward_hook(lambda _m, _i, out: seen.append(out.requires_grad))
    run_tune(loaded, tmp_path / "run", upper_layers=1, max_steps=2)
    assert seen
    assert not any(seen), "the backward pass would go through a layer in which nothing is learnt"
    weights = load_file(tmp_path / "run/adapter/adapter_model.safetensors")
    assert {name.split("layers.")[1].split(".")[0] for name in weights} == {"1"}
    assert {name.split(".")[-3] for name in weights} == {
        *("q_proj", "k_proj", "v_proj", "o_proj"),
        *("gate_proj", "up_proj", "down_proj"),
    }
    assert any(weight.abs().sum() > 0 for name, weight in weights.items() if "lora_B" in name)


def test_more_upper_layers_than_there_are_are_refused(loaded, tmp_path):
    with pytest.raises(RecipeError, match=r"upper_layers=3, but tests/tiny-llama has 2 layers: set 1 to 2, or null"):
        run_tune(loaded, tmp_path / "run", upper_layers=3)
    assert not (tmp_path / "run/adapter").exists()


# The prior of the training split, and texts with candidates of their own


def test_the_prior_of_a_question_is_how_often_training_taught_each_candidate(loaded):
    encoder = Encoder(loaded.tokenizer, PromptSettings(), max_depth=2048)
    made = TreeDataset(PASSAGES, encoder, INVENTORY, settings(prior_offset=True), seed=0)
    taught = Counter((m.short_form, m.long_form) for p in PASSAGES for m in p.mentions)
    batch = collate([made[index] for index in range(len(made))])
    questions = [
        (q, "RA" if "RA means" in q.prompt else "CT")
        for i in range(len(made))
        for x in made[i].layouts
        for q in x.questions
    ]
    expected = [
        math.log(taught[short_form, name] + 2) for q, short_form in questions for name in (*q.long_forms, NONE_OF_THESE)
    ]
    assert batch["prior"].tolist() == pytest.approx(expected)
    assert len(set(expected)) > 3
    assert "prior" not in collate([TreeDataset(PASSAGES, encoder, INVENTORY, settings(), seed=0)[0]])


def test_a_prior_changes_the_loss_that_is_trained_on(loaded, tmp_path):
    first = {}
    for offset in (False, True):
        run_tune(loaded, tmp_path / str(offset), max_steps=1, prior_offset=offset, log_every=1)
        first[offset] = log_lines(tmp_path / str(offset), "loss")[0]
        loaded.model = loaded.model.unload()
    assert first[True] != pytest.approx(first[False], abs=1e-3)


def test_texts_beside_are_asked_with_their_own_candidates(loaded):
    encoder = Encoder(loaded.tokenizer, PromptSettings(), max_depth=2048)
    other = Inventory.of([("RA", "rheumatoid arthritis", 0, None), ("RA", "reactive astrocyte", 0, None)])
    lesson = Lesson(texts=[replace(p, id=f"other-{p.id}") for p in PASSAGES], inventory=other)
    made = TreeDataset(PASSAGES, encoder, INVENTORY, settings(), beside=[lesson], seed=0)
    offered = {}
    for index in range(len(made)):
        for layout in made[index].layouts:
            for question in layout.questions:
                if "RA means" in question.prompt:
                    offered.setdefault(layout.text_id.startswith("other"), set()).update(question.long_forms)
    assert offered[True] == set(other.long_forms("RA"))
    assert offered[False] == set(INVENTORY.long_forms("RA"))


def test_a_passage_that_surely_fits_is_not_encoded_to_find_out(loaded, monkeypatch):
    encoder = Encoder(loaded.tokenizer, PromptSettings(), max_depth=2048)
    made = TreeDataset(PASSAGES, encoder, INVENTORY, settings(), seed=0)
    monkeypatch.setattr(encoder, "encode", lambda *_: pytest.fail("encoded"))
    assert len(TreeDataset(PASSAGES, encoder, INVENTORY, settings(), seed=0)) == len(made) == len(PASSAGES)
    assert not Encoder(loaded.tokenizer, PromptSettings(), max_depth=200).surely_fits(PASSAGES[3], INVENTORY)


# Damage: what a kill or a bad disk has cut short is passed over, and the run goes on to the same bits.


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "adapter_model.safetensors", "trainer_state.json"])
@pytest.mark.parametrize("cut", [0, 0.5])
def test_a_checkpoint_with_a_cut_file_is_passed_over_for_the_one_before(name, cut, unbroken, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(unbroken, folder)
    newest = last_checkpoint(folder)
    before = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))[-2]
    path = newest / name
    path.write_bytes(path.read_bytes()[: int(cut * path.stat().st_size)])
    assert last_checkpoint(folder) == before
    said = "".join(capsys.readouterr().err.split())
    assert f"{newest.name}ispassedover" in said and f"{name}isdamaged" in said


def test_a_run_with_a_cut_checkpoint_and_a_torn_log_resumes_to_the_same_bits(unbroken, model_folder, tmp_path, capfd):
    folder = tmp_path / "broken"
    assert tune_apart(folder, model_folder, kill_after_step=5) == -signal.SIGKILL
    path = last_checkpoint(folder) / "optimizer.pt"
    path.write_bytes(path.read_bytes()[:-1_000])
    with (folder / "log.jsonl").open("a") as log:
        log.write('{"step": 5, "epo')
    assert tune_apart(folder, model_folder, resume=True) == 0
    assert "is passed over" in " ".join(capfd.readouterr().err.split())
    assert_same_adapter(folder, unbroken)


def assert_same_adapter(one, other):
    for name in ("adapter/adapter_model.safetensors", "adapter/adapter_config.json"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    assert log_lines(one, "loss") == log_lines(other, "loss")


@pytest.mark.parametrize("changes", [{"max_steps": 2}, {"epochs": 1.5}, {"epochs": 2}])
def test_a_run_killed_after_its_last_checkpoint_trains_no_further_when_resumed(changes, model_folder, tmp_path):
    def tuned(*, resume):
        made = settings(**{"passages_per_step": 2, "evaluate_every": 1, **changes})
        recipe = Recipe(name="t", output=str(tmp_path), training=made)
        run = tmp_path / "run"
        run.mkdir(exist_ok=True)
        counts = tuning.tune(
            load_base(str(model_folder)),
            recipe,
            tuning.TuningData(train=PASSAGES, validation=PASSAGES[:3], inventory=INVENTORY),
            run,
            resume=resume,
        )
        return counts["steps"], (run / "adapter/adapter_model.safetensors").read_bytes()

    unbroken = tuned(resume=False)
    shutil.rmtree(tmp_path / "run/adapter")
    assert tuned(resume=True) == unbroken
