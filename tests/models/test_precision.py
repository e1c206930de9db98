"""Device, dtype and quantised weights: what is chosen and why, what is really stored in few bits, that it still trains.

Covers `adapters` too.
"""

import json
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path

import bitsandbytes
import peft
import pytest
import torch
import yaml
from bitsandbytes.nn import Linear4bit, Linear8bitLt
from peft import PeftModel
from safetensors.torch import load_file
from torch.testing import assert_close
from transformers import AutoModelForCausalLM

from made_passages import INVENTORY, PASSAGES, log_lines, run_tune
from medalist.cli.app import main
from medalist.data.passage_files import write_jsonl
from medalist.models import load
from medalist.models.adapters import add_adapter, load_adapter
from medalist.models.base import ModelError, weights_sha256
from medalist.models.load import load_base
from medalist.models.precision import choose_precision, settle
from medalist.recipe import RecipeError, TrainingSettings, parse_recipe
from medalist.runs.evaluate import evaluate_run
from medalist.runs.held_out import HeldOut
from medalist.runs.run import load_run_base, load_tuned, open_run
from medalist.training.checkpoints import LogWriter
from medalist.trees.attention_check import TreeAttentionError, check_tree_attention, separate_score
from medalist.trees.prompt import Encoder, PromptSettings
from medalist.trees.scoring import score_tree
from medalist.trees.tree import sequences

KINDS = {"nf4": Linear4bit, "int8": Linear8bitLt}


@pytest.fixture(params=KINDS)
def quantized(request, model_folder):
    return load_base(str(model_folder), device="cpu", quantization=request.param)


def pretend_gpu(monkeypatch, *, bfloat16):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bfloat16)


# What is chosen, and why


def test_a_cpu_computes_in_float32(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": False})
    assert choose_precision("cpu").reason == "float32: this CPU has no bfloat16"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    assert choose_precision("cpu").reason == "float32: a CPU computes it exactly"


def test_a_dtype_that_a_cpu_does_not_have_is_used_with_a_warning(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": False})
    slow = choose_precision("cpu", "bfloat16")
    assert slow.dtype == torch.bfloat16
    assert "this CPU has no bfloat16 and is hundreds of times slower" in slow.reason
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    assert choose_precision("cpu", "bfloat16").reason == "bfloat16: as requested"


@pytest.mark.parametrize(
    ("bfloat16", "reason"),
    [(True, "bfloat16: this GPU has it; NF4 weights"), (False, "float16: this GPU has no bfloat16; NF4 weights")],
)
def test_a_gpu_computes_in_bfloat16_if_it_can_and_nf4_follows(bfloat16, reason, monkeypatch):
    pretend_gpu(monkeypatch, bfloat16=bfloat16)
    chosen = choose_precision(quantization="nf4")
    assert chosen.reason == reason
    assert chosen.loading_arguments()["quantization_config"].bnb_4bit_compute_dtype == chosen.dtype


@pytest.mark.parametrize(("rank", "device"), [(None, "cuda:0"), ("3", "cuda:3")])
def test_every_process_takes_its_own_gpu(rank, device, monkeypatch):
    pretend_gpu(monkeypatch, bfloat16=True)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank:
        monkeypatch.setenv("LOCAL_RANK", rank)
    assert choose_precision().device == torch.device(device)
    assert choose_precision(quantization="int8").loading_arguments()["device_map"] == {"": torch.device(device)}


def test_quantising_without_bitsandbytes_names_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"quantization=nf4 needs bitsandbytes: pip install medalist\[quantize\]$"):
        choose_precision("cpu", quantization="nf4")


def test_what_was_chosen_is_said_once(model_folder, capsys):
    load._announce.cache_clear()
    for _ in range(2):
        load_base(str(model_folder), device="cpu", quantization="nf4")
    assert capsys.readouterr().err.count("NF4 weights") == 1


def test_full_tuning_of_quantised_weights_is_refused():
    with pytest.raises(RecipeError, match=r"^the recipe: training\.method=full cannot train quantised weights"):
        parse_recipe({}, ["training.method=full", "model.quantization=nf4"])


def test_a_checkpoint_that_is_quantised_already_is_refused(quantized, tmp_path, tokenizer):
    quantized.model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(
        ModelError, match=r"is already quantised \(bitsandbytes\): give the model that it was made from"
    ):
        load_base(str(tmp_path))


# What is stored in few bits


def test_the_linear_layers_but_the_output_are_quantised(quantized, model_folder):
    kind, model = KINDS[quantized.quantization], quantized.model
    layers = [module for name, module in model.named_modules() if name.endswith("_proj")]
    assert len(layers) == 14
    assert all(type(layer) is kind for layer in layers)
    assert type(model.lm_head) is torch.nn.Linear
    for part in (model.lm_head, model.model.embed_tokens, model.model.norm):
        assert part.weight.dtype == torch.float32
    assert quantized.identity.sha256 == weights_sha256(model_folder), "that of the weights before quantisation"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_quantised_weights_leave_no_file_in_memory(quantized, model_folder, tmp_path):
    """Tensors that are not quantised come from the mapped file, and could keep all its weights in memory."""
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    base = load_base(str(folder), device="cpu", quantization=quantized.quantization)
    assert torch.equal(base.model.get_input_embeddings().weight, quantized.model.get_input_embeddings().weight)
    assert str(folder) not in Path("/proc/self/maps").read_text()


def test_nf4_is_doubly_quantised_normal_float_with_the_dtype_of_the_device(model_folder):
    layer = load_base(str(model_folder), device="cpu", quantization="nf4").model.model.layers[0].mlp.up_proj
    state = layer.weight.quant_state
    assert (state.quant_type, state.nested, layer.weight.dtype) == ("nf4", True, torch.uint8)
    assert layer.compute_dtype == torch.float32
    assert layer.weight.numel() == 32 * 64 / 2


def test_scores_differ_from_those_of_the_whole_weights_and_trees_keep_to_separate_sequences(quantized, loaded):
    [layout] = Encoder(loaded.tokenizer, PromptSettings(), max_depth=2048).encode(PASSAGES[3], INVENTORY)
    with torch.inference_mode():
        together = score_tree(quantized.model, layout.tree, "sdpa")
        alone = [separate_score(quantized.model, ids, count) for ids, count in sequences(layout.tree)]
        whole = score_tree(loaded.model, layout.tree, "sdpa")
    assert_close(together, torch.stack(alone), atol=1e-4, rtol=0)
    assert (together - whole).abs().max() > 0.01
    assert quantized.tree_error < 1e-4


def test_tree_gradients_are_those_of_separate_sequences(quantized):
    model = add_adapter(quantized, TrainingSettings(rank=4))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(0))
    [layout] = Encoder(quantized.tokenizer, PromptSettings(), max_depth=2048).encode(PASSAGES[3], INVENTORY)
    adapter = [weight for weight in model.parameters() if weight.requires_grad]
    model.train()
    score_tree(model, layout.tree, "sdpa").sum().backward()
    together = [weight.grad for weight in adapter]
    model.zero_grad()
    sum(separate_score(model, ids, count) for ids, count in sequences(layout.tree)).backward()
    assert len(adapter) == 28
    for one, other in zip(together, adapter, strict=True):
        assert other.grad.abs().max() > 0
        assert_close(one, other.grad, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_quantised_weights_may_be_a_twentieth_of_a_nat_off(quantization, model_folder, monkeypatch):
    from medalist.trees import attention_check

    base, real = load_base(str(model_folder), device="cpu", quantization=quantization), attention_check.score_tree
    shift = 0.04
    monkeypatch.setattr(attention_check, "score_tree", lambda *given: real(*given) + shift)
    if quantization == "none":
        with pytest.raises(TreeAttentionError, match=r"limit 0\.0001"):
            check_tree_attention(base.model, "sdpa")
        return
    assert check_tree_attention(base.model, "sdpa") == pytest.approx(0.04, abs=1e-3)
    shift = 0.06
    with pytest.raises(TreeAttentionError, match=r"limit 0\.05"):
        check_tree_attention(base.model, "sdpa")


def test_8_bit_answers_do_not_depend_on_what_else_is_in_the_pass(model_folder):
    """As on a GPU, activations are in 8 bits too; some are made as large as in trained models."""
    given = choose_precision("cpu", quantization="int8").loading_arguments()
    model = AutoModelForCausalLM.from_pretrained(model_folder, attn_implementation="sdpa", **given)
    for layer in model.model.layers:
        for norm in (layer.input_layernorm, layer.post_attention_layernorm):
            norm.weight.data.fill_(2.5)
    assert check_tree_attention(model, "sdpa") < 1e-4
    for module in model.modules():
        if isinstance(module, Linear8bitLt):
            module.state.threshold = 6.0  # the default: columns that are large anywhere in the pass are computed apart
    with pytest.raises(TreeAttentionError):
        check_tree_attention(model, "sdpa")


def test_a_cpu_scores_quantised_weights_as_it_trains_them(quantized):
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        scored, trained = quantized.model.eval()(ids).logits, quantized.model.train()(ids).logits
    assert torch.equal(scored, trained)


def test_nf4_on_a_cpu_is_never_packed_for_kernels_without_a_gradient(model_folder, monkeypatch):
    monkeypatch.setattr(bitsandbytes.nn.modules, "has_avx512bf16", lambda: True)
    given = choose_precision("cpu", quantization="nf4").loading_arguments()
    model = AutoModelForCausalLM.from_pretrained(model_folder, **given)
    layers = [module for module in model.modules() if isinstance(module, Linear4bit)]
    assert all(layer.support_avx512bf16_for_cpu for layer in layers), "what bitsandbytes does by default on such a CPU"
    settle(model, torch.device("cpu"))
    assert not any(layer.support_avx512bf16_for_cpu for layer in layers)


# Training


def test_a_quantised_base_learns_and_its_adapter_stays_beside_it(quantized, model_folder, tmp_path):
    run_tune(quantized, tmp_path / "run", epochs=3, passages_per_step=2)
    losses = torch.tensor(log_lines(tmp_path / "run", "loss")).view(3, 6).mean(1)
    assert losses[2] < 0.75 * losses[0]
    layer = quantized.model.base_model.model.model.layers[0].mlp.up_proj
    assert type(layer).__module__ == "peft.tuners.lora.bnb", "quantised layers are found and adapted"
    assert type(layer.base_layer) is KINDS[quantized.quantization]
    again = load_base(str(model_folder), device="cpu", quantization=quantized.quantization)
    again = load_adapter(again, tmp_path / "run/adapter")
    assert isinstance(again.model, PeftModel), "never merged"
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        assert torch.equal(again.model.eval()(ids).logits, quantized.model.eval()(ids).logits)


def test_activation_checkpointing_of_a_quantised_base_gives_the_same_run(model_folder, tmp_path):
    ends = {}
    for checkpointed in (False, True):
        base, run = load_base(str(model_folder), device="cpu", quantization="nf4"), tmp_path / str(checkpointed)
        run_tune(base, run, max_steps=2, activation_checkpointing=checkpointed)
        ends[checkpointed] = load_file(run / "adapter/adapter_model.safetensors")
        assert base.model.base_model.model.is_gradient_checkpointing == checkpointed
    for name, weight in ends[True].items():
        assert_close(weight, ends[False][name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_on_bfloat16_the_adapter_is_float32_and_multiplies_in_bfloat16(quantization, model_folder, tmp_path):
    base = load_base(str(model_folder), device="cpu", dtype="bfloat16", quantization=quantization)
    assert base.model.dtype == torch.bfloat16
    products, linear = set(), torch.nn.Linear.forward

    def forward(self, given):
        product = linear(self, given)
        if self.weight.requires_grad:
            products.add((self.weight.dtype, product.dtype))
        return product

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Linear, "forward", forward)
        run_tune(base, tmp_path / "run", max_steps=2)
    assert products == {(torch.float32, torch.bfloat16)}
    weights = load_file(tmp_path / "run/adapter/adapter_model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    steps = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert all(torch.isfinite(torch.tensor(step["loss"])) for step in steps if "loss" in step)
    frozen = [w for n, w in base.model.named_parameters() if not w.requires_grad and w.is_floating_point()]
    assert {weight.dtype for weight in frozen} == {torch.bfloat16}, "no part of the base is cast to float32"


@pytest.mark.parametrize("quantization", ["none", "nf4"])
@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "recomputed"])
def test_adapters_on_bfloat16_take_their_input_as_it_is_and_learn_the_same_to_the_bit(
    quantization, checkpointing, model_folder, tmp_path, monkeypatch
):
    taken = set()
    linear = torch.nn.Linear.forward

    def forward(self, given):
        if self.weight.requires_grad:
            taken.add((torch.is_autocast_enabled("cpu"), given.dtype))
        return linear(self, given)

    monkeypatch.setattr(torch.nn.Linear, "forward", forward)
    ends = {}
    for spared in (True, False):
        if not spared:
            monkeypatch.setattr("medalist.training.tune.disable_input_dtype_casting", lambda *_, **__: nullcontext())
        run = tmp_path / str(spared)
        base = load_base(str(model_folder), device="cpu", dtype="bfloat16", quantization=quantization)
        taken.clear()
        settings = {"max_steps": 4, "evaluate_every": 2, "activation_checkpointing": checkpointing}
        run_tune(base, run, validation=PASSAGES[:4], **settings)
        # All of it, the looks at the validation passages too, runs under autocast. `lora_B` always gets bfloat16.
        assert {under for under, _ in taken} == {True}
        assert {dtype for _, dtype in taken} == {torch.bfloat16} | (set() if spared else {torch.float32})
        layer = base.model.base_model.model.model.layers[0].mlp.up_proj
        assert layer.cast_input_dtype_enabled, "who scores without autocast needs the copies"
        lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        logged = [{key: value for key, value in line.items() if not key.startswith("train_")} for line in lines]
        ends[spared] = load_file(run / "adapter/adapter_model.safetensors"), logged
    assert ends[True][1] == ends[False][1]
    for name, weight in ends[True][0].items():
        assert torch.equal(weight, ends[False][0][name]), name


@pytest.mark.parametrize(("dtype", "dropout"), [("bfloat16", 0.1), ("float32", 0.0)])
def test_the_copies_stay_where_the_numbers_would_change(dtype, dropout, model_folder, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "medalist.training.tune.disable_input_dtype_casting", lambda _, active: asked.append(active) or nullcontext()
    )
    run_tune(load_base(str(model_folder), device="cpu", dtype=dtype), tmp_path / "run", max_steps=1, dropout=dropout)
    assert asked == [False]


# A run


def train_nf4(folder, model_folder, *extra):
    write_jsonl(PASSAGES, folder / "passages.jsonl")
    INVENTORY.write(folder / "senses.csv")
    data = {"source": "table", "path": str(folder / "passages.jsonl"), "inventory": str(folder / "senses.csv")}
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"data": data | {"validation": 0.3}, "threads": 1}))
    settings = [f"model.base={model_folder}", "model.quantization=nf4", f"output={folder / 'runs'}", "name=nf4"]
    small = [
        "training.max_steps=4",
        "training.passages_per_step=2",
        "training.evaluate_every=2",
        "training.dropout=0.1",
        "evaluation.bootstrap=100",
    ]
    try:
        main(["train", str(folder / "recipe.yaml"), *settings, *small, *extra])
    except SystemExit as ended:
        return ended.code
    return 0


@pytest.fixture(scope="module")
def nf4_run(model_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("nf4")
    assert not train_nf4(folder, model_folder)
    return folder / "runs/nf4"


def test_a_run_records_what_it_was_loaded_in_and_is_evaluated_as_it_was_trained(nf4_run):
    run = open_run(nf4_run)
    assert (run.record["dtype"], run.record["quantization"]) == ("float32", "nf4")
    assert load_run_base(run).quantization == "nf4"
    tuned = load_tuned(run)
    assert isinstance(tuned.model, PeftModel)
    metrics, _ = evaluate_run(run, HeldOut(limit=3))
    assert set(metrics["models"]) == {"base", "tuned"}


def test_its_adapter_loads_in_plain_peft_on_whole_weights(nf4_run, model_folder):
    config = json.loads((nf4_run / "adapter/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny-llama", "the base's name, never a path"
    whole = AutoModelForCausalLM.from_pretrained(model_folder)
    plain = peft.PeftModel.from_pretrained(whole, nf4_run / "adapter")
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        tuned = plain(ids).logits
        with plain.disable_adapter():
            assert (tuned - plain(ids).logits).abs().max() > 1e-3


def test_a_stopped_quantised_run_resumes_to_the_bits_of_an_unbroken_one(nf4_run, model_folder, tmp_path, monkeypatch):
    on_log = LogWriter.on_log

    def die_at_3(self, args, state, control, logs=None, **rest):
        if state.global_step == 3:
            raise RuntimeError("killed")
        on_log(self, args, state, control, logs=logs, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(LogWriter, "on_log", die_at_3)
        assert train_nf4(tmp_path, model_folder) == 1
    broken = tmp_path / "runs/nf4"
    assert (broken / "checkpoint-2").exists()
    assert not (broken / "adapter").exists()
    assert not train_nf4(tmp_path, model_folder, "--resume")
    for name in ("adapter/adapter_model.safetensors", "adapter/adapter_config.json"):
        assert (broken / name).read_bytes() == (nf4_run / name).read_bytes(), name
    assert log_lines(broken, "loss") == log_lines(nf4_run, "loss")
