"""DDP and FSDP2 on two processes, against one: same losses, same weights, checkpoints that either can resume from."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch.testing import assert_close
from transformers import AutoModelForCausalLM, LlamaForCausalLM

import many_ranks
from launching import launch
from many_ranks import CASES, FULL, LORA, tuned
from medalist.recipe import TrainingSettings
from medalist.training.ranks import Ranks
from medalist.training.sharding import shard

ALONE = {
    "lora": LORA,
    "lora, 16-bit base": LORA | {"dtype": "bfloat16"},
    "lora, stopped": LORA | {"stop_after": 3},
    "full": FULL,
    "full, stopped": FULL | {"stop_after": 3},
}


@pytest.fixture(scope="module")
def tied_folder(model_folder, tmp_path_factory):
    """A tiny model whose output layer is its embedding, like SmolLM2's."""
    folder = tmp_path_factory.mktemp("models") / "tied"
    shutil.copytree(model_folder, folder)
    config = AutoModelForCausalLM.from_pretrained(model_folder).config
    config.tie_word_embeddings = True
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def runs(model_folder, tied_folder, tmp_path_factory):
    """Runs of one process in `alone/`, of two in `two/`; some of the latter resume a stopped run of one process."""
    folder = tmp_path_factory.mktemp("runs")
    for name, values in ALONE.items():
        model = tied_folder if name.startswith("full") else model_folder
        seen = tuned(folder / "alone" / name, str(model), Ranks(), **values)
        (folder / "alone" / name / "seen-0.json").write_text(json.dumps(seen))
    for name, case in CASES.items():
        if case.get("resume"):
            shutil.copytree(folder / "alone" / f"{kind(name)}, stopped", folder / "two" / name)
    done = launch(many_ranks.__file__, folder / "two", model_folder, tied_folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def kind(case):
    return "full" if "full" in case else "lora"


def seen(folder):
    return [json.loads(path.read_text()) for path in sorted(folder.glob("seen-*.json"))]


def logged(folder, key):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return torch.tensor([line[key] for line in lines if key in line])


def weights(folder):
    (file,) = [*folder.glob("adapter/*.safetensors"), *folder.glob("model/*.safetensors")]
    return load_file(file)


def assert_same_run(found, expected, tolerance=2e-5):
    for key in ("loss", "grad_norm", "learning_rate"):
        assert_close(logged(found, key), logged(expected, key), atol=tolerance, rtol=tolerance)
    assert_close(weights(found), weights(expected), atol=tolerance, rtol=1e-4)


def by_step(*ranks):
    """The passages of each step, whichever rank they went to."""
    steps = ranks[0]["passages"]
    return {step: sorted(name for rank in ranks for name in rank["passages"].get(step, [])) for step in steps}


@pytest.mark.parametrize("case", ["ddp", "fsdp", "fsdp, activations checkpointed"])
def test_two_processes_give_the_losses_and_weights_of_one(case, runs):
    assert_same_run(runs / "two" / case, runs / "alone/lora")
    assert logged(runs / "alone/lora", "grad_norm").min() > LORA["clip"], "so that clipping is compared too"
    assert by_step(*seen(runs / "two" / case)) == by_step(*seen(runs / "alone/lora"))


def test_a_frozen_16_bit_base_is_sharded_with_its_32_bit_adapter(runs):
    assert_same_run(runs / "two/fsdp, 16-bit base", runs / "alone/lora, 16-bit base", tolerance=2e-2)
    assert {weight.dtype for weight in weights(runs / "two/fsdp, 16-bit base").values()} == {torch.float32}


@pytest.mark.parametrize("case", [case for case in CASES if "fsdp" in case])
def test_under_fsdp_every_parameter_is_a_slice_and_nothing_is_wrapped_in_ddp(case, runs):
    model = "FSDPLlamaForCausalLM" if "full" in case else "FSDPPeftModelForCausalLM"
    for rank in seen(runs / "two" / case):
        assert (rank["world"], rank["wrappers"], rank["parameters"]) == (2, [model], ["DTensor"])
        assert rank["units"] == 3, "two blocks, and everything outside them"


def test_ddp_wraps_whole_parameters_and_the_ranks_share_out_the_passages(runs):
    first, second = seen(runs / "two/ddp")
    for rank in (first, second):
        assert (rank["world"], rank["wrappers"], rank["parameters"]) == (2, ["DistributedDataParallel"], ["Parameter"])
    assert all(set(first["passages"][step]).isdisjoint(names) for step, names in second["passages"].items())


@pytest.mark.parametrize("case", ["ddp, stopped", "fsdp, stopped", "full fsdp, stopped"])
def test_one_process_resumes_what_two_stopped(case, runs, model_folder, tied_folder, tmp_path):
    shutil.copytree(runs / "two" / case, tmp_path / "run")
    model = tied_folder if "full" in case else model_folder
    found = tuned(tmp_path / "run", str(model), Ranks(), **(CASES[case] | {"stop_after": None, "resume": True}))
    expected = by_step(*seen(runs / "alone" / kind(case)))
    assert by_step(found) == {step: expected[step] for step in ("3", "4")}
    assert_same_run(tmp_path / "run", runs / "alone" / kind(case))


@pytest.mark.parametrize("case", ["one, then ddp", "one, then fsdp", "one, then full fsdp"])
def test_two_processes_resume_what_one_stopped(case, runs):
    expected = by_step(*seen(runs / "alone" / kind(case)))
    assert by_step(*seen(runs / "two" / case)) == {step: expected[step] for step in ("3", "4")}
    assert_same_run(runs / "two" / case, runs / "alone" / kind(case))


def test_a_sharded_run_leaves_its_best_checkpoint(runs):
    state = json.loads((runs / "two/fsdp/checkpoint-4/trainer_state.json").read_text())
    best = load_file(Path(state["best_model_checkpoint"]) / "adapter_model.safetensors")
    assert_close(weights(runs / "two/fsdp"), best, atol=0, rtol=0)
    assert len(logged(runs / "two/fsdp", "eval_nll")) == 2


def test_sharded_checkpoints_are_whole_and_open_in_plain_peft_and_transformers(runs, model_folder):
    ids = torch.arange(3, 23)[None]
    base = AutoModelForCausalLM.from_pretrained(model_folder)
    alone, two = (
        PeftModel.from_pretrained(base, runs / run) for run in ("alone/lora/adapter", "two/fsdp/checkpoint-4")
    )
    assert_close(two(ids).logits, alone(ids).logits, atol=1e-4, rtol=0)
    alone, two = (
        AutoModelForCausalLM.from_pretrained(runs / run)
        for run in ("alone/full/model", "two/one, then full fsdp/model")
    )
    assert two.config.tie_word_embeddings and two.config.architectures == ["LlamaForCausalLM"]
    assert_close(two(ids).logits, alone(ids).logits, atol=1e-4, rtol=0)


def test_a_quantised_base_is_not_sharded(loaded):
    loaded.quantization = "nf4"
    with pytest.raises(
        ValueError, match=r"does not work with model\.quantization=nf4: set .*none, or training\.parallel=ddp"
    ):
        shard(loaded, loaded.model)


def test_one_process_trains_whole_parameters_whatever_the_recipe_says(runs, model_folder, tmp_path):
    found = tuned(tmp_path / "run", str(model_folder), Ranks(), parallel="fsdp", max_steps=1)
    assert found["parameters"] == ["Parameter"]
    assert TrainingSettings().parallel == "ddp"
