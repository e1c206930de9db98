"""The plan: its sizes, memory and work are compared with what is loaded and measured.

Covers `compute`, `devices`, `memory`, `result`, `shapes`, `tree_sizes`, `whole_run` and `cli.plan_tables` too.
"""

import io
import json
import math
import re
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from peft.helpers import disable_input_dtype_casting
from rich.console import Console
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from medalist.cli.app import main
from medalist.cli.plan_tables import plan_tables
from medalist.corpora.text_corpus import TextSettings, prepare_text
from medalist.data.embedded import sample
from medalist.data.inventory import Inventory
from medalist.data.splits import split_passages
from medalist.models.adapters import add_adapter
from medalist.models.base import ModelError, local_base
from medalist.models.load import load_base, longest_sequence
from medalist.planning.compute import scoring_work, training_work
from medalist.planning.devices import device_memory, parse_memory
from medalist.planning.memory import (
    GPU_LIBRARIES,
    Pass,
    Place,
    adapted_layers,
    mask,
    saved_by_block,
    scoring_peak,
    stored,
    trainable,
    training_peaks,
)
from medalist.planning.plan import make_plan
from medalist.planning.result import Plan
from medalist.planning.shapes import KNOWN, Linear, ModelShape, find_shape
from medalist.planning.tree_sizes import CANDIDATES, MENTIONS, EstimatedTokenizer, TreeSource, typical_passages
from medalist.planning.whole_run import utilisation
from medalist.recipe import TrainingSettings, parse_recipe
from medalist.runs.prepare import prepare
from medalist.training.compiled import compiled_blocks
from medalist.trees.rows import SDPA_IN_ROWS, know_rows
from medalist.trees.scoring import score_pass, tree_inputs, tree_logits, tree_pass
from medalist.trees.tree import build_tree, forest

ON_CPU = Place(device="cpu", dtype="float32")
LLAMA = "meta-llama/Meta-Llama-3-8B"
SPLIT = "aot_eager_decomp_partition"
"""PyTorch's backend that splits what it compiles into forward and backward pass as on a GPU, and generates no code."""
CHECKPOINTED, COMPILED = {"activation_checkpointing": True}, {"compile": True}
TREE = build_tree(list(range(5, 105)), [(list(range(7)), [[1, 2, 3], [1, 4], [5, 6, 7]]), ([9, 8], [[7], [6, 5]])])


def config_of(shape: ModelShape) -> PretrainedConfig:
    """Of the family that is built so."""
    kinds = {(2, False): Qwen2Config if shape.attention_bias else LlamaConfig, (2, True): Qwen3Config}
    return kinds.get((shape.norms, shape.head_norms), Gemma3TextConfig)(
        head_dim=shape.head,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        vocab_size=shape.vocab,
        tie_word_embeddings=shape.tied,
        attn_implementation="sdpa",
    )


def small(layers: int = 2, **more: Any) -> ModelShape:
    return ModelShape(name="small", hidden=64, intermediate=176, layers=layers, heads=8, kv_heads=2, vocab=200, **more)


QWEN_3 = {"head_norms": True, "head_dim": 16}
GEMMA_3 = QWEN_3 | {"norms": 4}


@pytest.mark.parametrize("shape", {shape.parameters: shape for shape in KNOWN.values()}.values(), ids=lambda s: s.name)
def test_the_table_has_as_many_parameters_as_the_model(shape):
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config_of(shape))
    assert model.num_parameters() == shape.parameters


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("mistralai/Mistral-7B-v0.3", 7.25),
        ("Qwen/Qwen2.5-0.5B", 0.49),
        ("Qwen/Qwen2.5-7B-Instruct", 7.62),
        ("Qwen/Qwen2.5-72B", 72.7),
        ("Qwen/Qwen3-0.6B", 0.6),
        ("Qwen/Qwen3-8B-Base", 8.2),
        ("Qwen/Qwen3-32B", 32.8),
        ("google/gemma-3-1b-it", 1.0),
    ],
)
def test_a_known_shape_has_the_weights_that_its_model_card_names(name, billions):
    assert KNOWN[name].parameters / 1e9 == pytest.approx(billions, rel=0.01)


def test_a_config_and_a_gguf_file_give_the_shape_of_the_model(model_folder, tmp_path):
    assert find_shape(str(model_folder)).parameters == load_base(str(model_folder)).model.num_parameters()
    gguf = find_shape(str(local_base("smollm2-135m")))
    assert gguf.parameters == find_shape("smollm2-135m").parameters == 134_515_008
    assert find_shape("some/model", config=model_folder).hidden == 32
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(ModelError, match="llama, mistral, qwen2, qwen3, gemma3_text, not gpt2"):
        find_shape(str(tmp_path))


@pytest.mark.parametrize("family", [LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config, Gemma3TextConfig])
def test_a_config_of_every_family_gives_the_parameters_of_its_model(family, tmp_path):
    sizes = {"hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = family(**sizes, num_key_value_heads=2, head_dim=32, vocab_size=200, sliding_window=100)
    config.save_pretrained(tmp_path)
    shape = find_shape(str(tmp_path))
    with torch.device("meta"):
        assert AutoModelForCausalLM.from_config(config).num_parameters() == shape.parameters
    assert shape.max_positions == longest_sequence(config)


def test_an_unknown_id_gets_an_error_that_says_what_to_give():
    with pytest.raises(ModelError, match=r"give --config PATH .*\. Known by name: SmolLM2, .* and Gemma 3 up to 1b\.$"):
        find_shape("nobody/knows-this")
    with pytest.raises(ModelError, match=r"Known and alike: Qwen/Qwen3-8B-Base, .*\.$"):
        find_shape("Qwen/Qwen3-8B-base")


@pytest.mark.parametrize("settings", [{"rank": 4}, {"rank": 8, "upper_layers": 1}])
def test_the_adapter_has_as_many_parameters_as_pefts(loaded, settings):
    wanted = TrainingSettings(**settings)
    config = loaded.model.config
    shape = ModelShape(
        name="tiny",
        hidden=config.hidden_size,
        intermediate=config.intermediate_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        vocab=config.vocab_size,
    )
    model = add_adapter(loaded, wanted)
    assert trainable(shape, wanted) == sum(p.numel() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_a_quantised_layer_has_the_bytes_that_bitsandbytes_allocates(kind):
    import bitsandbytes

    linear = Linear(name="up_proj", inputs=192, outputs=330)
    plain = torch.nn.Linear(linear.inputs, linear.outputs, bias=False)
    if kind == "nf4":
        layer = bitsandbytes.nn.Linear4bit(192, 330, bias=False, compress_statistics=True, quant_type="nf4")
        layer.load_state_dict(plain.state_dict())
        weight = layer.to("cpu").weight
        state = weight.quant_state
        tensors = [weight, state.absmax, state.state2.absmax, state.offset]
    else:
        layer = bitsandbytes.nn.Linear8bitLt(192, 330, bias=False, has_fp16_weights=False)
        layer.load_state_dict(plain.state_dict())
        weight = layer.to("cpu").weight
        tensors = [weight, weight.SCB]
    place = Place(device="cpu", dtype="float32", quantization=kind)
    assert stored(linear, place) == sum(tensor.numel() * tensor.element_size() for tensor in tensors)


ONE = Pass(nodes=len(TREE), kept=1)
"""`TREE` as one sequence."""


def autograd_keeps(shape, settings, dtype, loaded, trees=(TREE,), attention="sdpa"):
    """Bytes of the tensors that autograd saves in a forward pass over `TREE`, not counting weights."""
    model = AutoModelForCausalLM.from_config(config_of(shape)).to(getattr(torch, dtype))
    loaded.model = model
    know_rows()
    loaded.model.set_attn_implementation(attention)
    model = add_adapter(loaded, settings).train()
    if settings.activation_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    saved = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = tensor  # keep a reference, so that its address is not reused
        return tensor

    # Autocast and inputs as in `tune`.
    mixed = torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16", cache_enabled=False)
    without_copies = disable_input_dtype_casting(model, active=dtype == "bfloat16" and not settings.dropout)
    saving = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with mixed, without_copies, compiled_blocks(model, wanted=settings.compile, backend=SPLIT), saving:
        held = model(**tree_inputs(tree_pass(forest(trees), attention), model.dtype)).logits
    assert held.requires_grad
    return sum(tensor.untyped_storage().nbytes() for tensor in saved.values())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("settings", [{}, {"dropout": 0.1}, {"method": "full"}], ids=["lora", "dropout", "full"])
@pytest.mark.parametrize("family", [{}, QWEN_3, GEMMA_3], ids=["llama", "qwen3", "gemma3"])
def test_the_plan_counts_what_autograd_keeps_of_a_block_to_the_byte(family, settings, dtype, loaded):
    wanted = TrainingSettings(rank=4, **settings)
    more, less = (autograd_keeps(small(layers, **family), wanted, dtype, loaded) for layers in (3, 2))
    assert more - less == saved_by_block(small(**family), ONE, wanted, Place(device="cpu", dtype=dtype))


@pytest.mark.parametrize(
    ("settings", "dtype"), [({}, "bfloat16"), ({"method": "full"}, "float32")], ids=["lora", "full"]
)
def test_the_plan_counts_what_a_compiled_block_keeps(settings, dtype, loaded):
    torch._dynamo.reset()
    wanted = TrainingSettings(rank=4, compile=True, **settings)
    more, less = (autograd_keeps(small(layers), wanted, dtype, loaded) for layers in (3, 2))
    planned = saved_by_block(small(), ONE, wanted, Place(device="cpu", dtype=dtype))
    assert planned == pytest.approx(more - less, rel=0.05)


@pytest.mark.parametrize("settings", [{}, {"method": "full"}], ids=["lora", "full"])
@pytest.mark.parametrize("family", [{}, QWEN_3, GEMMA_3], ids=["llama", "qwen3", "gemma3"])
def test_the_plan_counts_attention_in_rows_to_the_byte(family, settings, loaded):
    wanted = TrainingSettings(rank=4, **settings)
    trees = [TREE, *[build_tree(list(range(5, 5 + size)), [([3], [[4, 5], [6]])]) for size in (20, 60, 9)]]
    more, less = (autograd_keeps(small(n, **family), wanted, "float32", loaded, trees, SDPA_IN_ROWS) for n in (3, 2))
    place = Place(device="cuda", dtype="float32")
    one = place.padded(Pass(nodes=sum(map(len, trees)), kept=1, trees=tuple(map(len, trees))))
    assert one.laid > one.nodes
    assert more - less == saved_by_block(small(**family), one, wanted, place)


def work_of(settings: TrainingSettings, loaded, shape: ModelShape) -> tuple[int, int]:
    """Operations of a forward and a backward pass over `TREE`, as PyTorch counts them: without attention on a CPU."""
    from torch.utils.flop_counter import FlopCounterMode

    loaded.model = LlamaForCausalLM(config_of(shape))
    model = add_adapter(loaded, settings).train()
    if settings.activation_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    with FlopCounterMode(display=False) as forward:
        loss = score_pass(model, tree_pass(TREE, "sdpa")).sum()
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    return forward.get_total_flops(), backward.get_total_flops()


@pytest.mark.parametrize(
    "settings",
    [{}, {"upper_layers": 1}, {"method": "full"}, {"activation_checkpointing": True}],
    ids=["lora", "upper", "full", "checkpointing"],
)
def test_the_work_is_what_pytorch_counts(settings, loaded):
    wanted = TrainingSettings(rank=4, **settings)
    shape = small(layers=3)
    forward, backward = work_of(wanted, loaded, shape)
    kept = len(torch.unique(TREE.predict_node))
    planned = training_work(shape, wanted, ON_CPU, Pass(nodes=len(TREE), kept=kept))
    attention = 4 * len(TREE) ** 2 * shape.attention_width
    through = adapted_layers(shape, wanted) if not wanted.activation_checkpointing else shape.layers
    again = shape.layers * attention if wanted.activation_checkpointing else 0
    assert planned.forward - shape.layers * attention == pytest.approx(forward, rel=0.02)
    assert planned.backward - 2.5 * through * attention - again == pytest.approx(backward, rel=0.02)


def test_a_validation_pass_costs_less_than_a_training_pass():
    one = Pass(nodes=400, kept=100)
    planned = training_work(small(), TrainingSettings(), ON_CPU, one)
    assert scoring_work(small(), ON_CPU, one) < planned.forward


def test_logits_of_a_large_vocabulary_are_planned_for():
    small_vocabulary, large = (
        ModelShape(name="x", hidden=64, intermediate=176, layers=2, heads=8, kv_heads=2, vocab=vocab)
        for vocab in (1000, 128_256)
    )
    one = Pass(nodes=400, kept=100)
    more = [
        max(peak.total for peak in training_peaks(shape, TrainingSettings(), ON_CPU, one, accumulates=False))
        - 2 * 4 * shape.embedding
        for shape in (small_vocabulary, large)
    ]
    assert more[1] - more[0] > 0.9 * 4 * 4 * 100 * 127_256
    assert scoring_peak(large, TrainingSettings(), ON_CPU, one).parts["logits"] == 4 * 100 * 128_256


def test_on_a_gpu_the_plan_takes_the_rows_and_the_mask_that_sdpa_gets(tiny_llama):
    sizes = (101, 20, 33, 47, 90)
    trees = forest([build_tree(list(range(5, 5 + size)), [([3], [[4, 5], [6]])]) for size in sizes])
    seen = {}
    know_rows()
    tiny_llama.set_attn_implementation(SDPA_IN_ROWS)
    hook = tiny_llama.model.register_forward_pre_hook(lambda *inputs: seen.update(inputs[2]), with_kwargs=True)
    tree_logits(tiny_llama, tree_pass(trees, SDPA_IN_ROWS))
    hook.remove()
    one = Pass(nodes=len(trees), kept=10, trees=tuple(size + 2 for size in sizes))
    place = Place(device="cuda", dtype="float32")
    computed = place.padded(one)
    assert place.attention == SDPA_IN_ROWS and computed.rows > 1
    assert seen["input_ids"].shape == (1, computed.nodes)
    assert len(seen["attention_mask"]) * seen["attention_mask"].shape[-1] == computed.laid
    assert mask(computed, place) == seen["attention_mask"].nbytes
    assert computed.seen * computed.nodes**2 == pytest.approx(one.seen * one.nodes**2)


@pytest.mark.parametrize("attention", ["auto", "sdpa", "flex"])
def test_the_plan_is_for_the_attention_that_the_recipe_wants(attention):
    place = gpu(f"model.attention={attention}", "training.passages_per_pass=4", memory="80GB").place
    assert place.attention == ("flex_attention" if attention == "flex" else SDPA_IN_ROWS)
    on_cpu = make_plan(recipe(f"model.attention={attention}"), device="cpu", memory=1e12, with_probe=False)
    assert on_cpu.place.attention == "sdpa" and on_cpu.place.padded(on_cpu.largest) == on_cpu.largest


@pytest.mark.parametrize(
    ("attention", "nodes", "kept", "checkpointing", "copied_layers", "measured"),
    [
        ("flex", 4096, 978, False, 0, 43_031_766_016),
        ("flex", 4096, 978, False, 32, 47_225_666_560),
        ("sdpa", 3960, 950, False, 32, 48_757_308_416),
        ("flex", 8192, 1913, True, 0, 22_844_182_528),  # none are there while the logits are
        ("sdpa", 512, 137, False, 32, 20_794_019_328),
        ("flex", 512, 137, False, 32, 20_575_888_384),
    ],
)
def test_the_peak_of_llama_3_8b_is_within_a_twentieth_of_what_an_h200_allocated(
    attention, nodes, kept, checkpointing, copied_layers, measured
):
    """Measured by benchmarks/gpu.py, see the log; all but the first with peft's float32 copies, which training makes no
    more."""
    shape = KNOWN[LLAMA]
    copies = 2 * (
        sum(linear.inputs for linear in shape.linears) - 2 * shape.hidden - shape.intermediate
    )  # in bfloat16 again
    settings = TrainingSettings(rank=16, alpha=32, activation_checkpointing=checkpointing)
    place = Place(device="cuda", dtype="bfloat16", wanted=attention)
    one = Pass(nodes=nodes, kept=kept, seen=0.05)
    peak = max(peak.total for peak in training_peaks(shape, settings, place, one, accumulates=False))
    assert peak + copied_layers * nodes * copies == pytest.approx(measured, rel=0.05)


@pytest.mark.parametrize(
    ("quantization", "nodes", "rows", "kept", "options", "measured"),
    [
        ("none", 4608, 8, 935, {}, 47_717_908_992),
        ("none", 9600, 15, 1913, {}, 81_489_425_920),
        ("none", 4608, 8, 935, CHECKPOINTED, 19_900_296_704),
        ("none", 9600, 15, 1913, CHECKPOINTED, 23_253_874_176),
        ("none", 512, 1, 89, {}, 20_240_893_440),
        ("none", 4608, 8, 935, COMPILED, 41_111_880_192),
        ("none", 9600, 15, 1913, COMPILED, 67_489_456_128),
        ("none", 512, 1, 89, COMPILED, 19_493_912_064),
        ("nf4", 4608, 8, 935, {}, 37_360_135_680),
        ("nf4", 9600, 15, 1913, CHECKPOINTED, 12_894_763_520),
        ("nf4", 512, 1, 89, {}, 9_881_078_272),
        ("nf4", 512, 1, 89, CHECKPOINTED, 6_700_063_232),
    ],
)
def test_so_is_that_of_trees_side_by_side_and_of_weights_in_4_bits(quantization, nodes, rows, kept, options, measured):
    """Measured by benchmarks/gpu.py as shipped then, runs 2 and 3 of the log; sizes of the largest pass as computed.

    Then all was computed in rows, not attention alone."""
    settings = TrainingSettings(rank=16, alpha=32, **options)
    place = Place(device="cuda", dtype="bfloat16", quantization=quantization)
    peaks = training_peaks(KNOWN[LLAMA], settings, place, Pass(nodes=nodes, rows=rows, kept=kept), accumulates=False)
    assert max(peak.total for peak in peaks) == pytest.approx(measured, rel=0.02)


def test_fsdp_divides_what_ddp_repeats():
    shape, settings, one = KNOWN[LLAMA], TrainingSettings(method="full"), Pass(nodes=512, kept=150)

    def step(parallel: str, devices: int) -> float:
        place = Place(device="cuda", dtype="bfloat16", parallel=parallel, devices=devices)
        return max(peak.total for peak in training_peaks(shape, settings, place, one, accumulates=False))

    assert step("ddp", 8) > step("ddp", 1) > 4 * 2 * shape.parameters
    assert step("fsdp", 8) < step("ddp", 1) / 3


def recipe(*overrides: str, base: str = LLAMA):
    values = {"model": {"base": base}, "data": {"source": "table", "path": "not-there.jsonl", "inventory": "x.csv"}}
    return parse_recipe(values, overrides)


def gpu(*overrides: str, memory: str = "24GB", devices: int = 1) -> Plan:
    return make_plan(recipe(*overrides), device="cuda", memory=parse_memory(memory), devices=devices, with_probe=False)


def test_llama_3_8b_in_16_bits_does_not_fit_24_gb_and_the_advice_makes_it_fit():
    before = gpu("model.dtype=bfloat16")
    assert before.verdict == "does not fit" and before.total > 2 * 8.03e9
    assert any(one.devices == 1 and one.verdict == "fits" for one in before.advice)
    for advice in before.advice:
        after = gpu("model.dtype=bfloat16", *advice.overrides, devices=advice.devices)
        assert after.total == pytest.approx(advice.total) and before.total - after.total == pytest.approx(advice.saved)
        assert after.verdict == advice.verdict
    assert any(one.overrides == ("model.quantization=nf4",) for one in before.advice)
    assert any("training.parallel=fsdp" in one.overrides and one.devices == 8 for one in before.advice)


def test_advice_saves_a_hundredth_at_least_and_stands_in_eighty_columns():
    checkpointed = recipe("model.quantization=nf4", "training.activation_checkpointing=true")
    for device in ("cpu", "cuda"):
        plan = make_plan(checkpointed, device=device, memory=8e9, with_probe=False)
        assert min(one.saved for one in plan.advice) > 0.01 * plan.total
        out = io.StringIO()
        Console(file=out, width=80).print(*plan_tables(plan))
        shown = out.getvalue().partition("What would save memory")[2]
        assert "…" not in shown and "may not\n" not in shown
        assert {"saves", "leaving", *(name for one in plan.advice for name in one.overrides)} <= set(shown.split())


def test_what_fits_gets_no_advice():
    assert gpu(memory="80GB").verdict == "fits" and gpu(memory="80GB").advice == ()


def test_a_peak_just_below_the_memory_may_not_fit():
    total = gpu(memory="80GB").total
    assert gpu(memory=f"{1.1 * total / 1e9}GB").verdict == "may not fit"


def test_the_plan_refuses_what_training_refuses():
    with pytest.raises(ValueError, match="not a multiple"):
        gpu(devices=3)
    with pytest.raises(ValueError, match=r"fsdp does not work with model\.quantization=nf4"):
        gpu("training.parallel=fsdp", "model.quantization=nf4", devices=2)


def test_data_that_is_not_read_is_assumed_to_be_like_medals():
    passages, _, inventory = typical_passages()
    for passage in passages:
        assert len(passage.text.split()) == 194 and len(passage.mentions) == MENTIONS
        for mention in passage.mentions:
            assert passage.text[mention.start : mention.end] == mention.short_form
            assert len(inventory.long_forms(mention.short_form)) == CANDIDATES
    assert "assumed" in gpu(memory="80GB").trees


def test_the_recipes_own_passages_are_laid_out_with_the_models_tokenizer(model_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mine = parse_recipe({"model": {"base": str(model_folder)}}, ["data.limit=5"])
    source = TreeSource(mine, find_shape(str(model_folder)))
    assert source.origin == "5 texts from sample; tokens counted by the model's tokenizer"
    sizes = source.sizes(mine)
    assert len(sizes.training) == 5 and sizes.largest(1).nodes == max(size.nodes for size, _ in sizes.training)
    assert sizes.largest(2).nodes > sizes.largest(1).nodes
    fewer = source.sizes(
        parse_recipe({"model": {"base": str(model_folder)}}, ["data.limit=5", "training.candidates=2"])
    )
    assert fewer.mean()[0].nodes < sizes.mean()[0].nodes
    assert not list(tmp_path.iterdir()), "a plan leaves nothing behind"


def test_passages_beside_and_those_replayed_are_trained_on_too(tiny_run, tmp_path, monkeypatch):
    """Both before and after the data is prepared."""
    monkeypatch.chdir(tmp_path)
    Inventory.of([("RA", "right atrium", 1, None), ("RA", "room air", 1, None)]).write(tmp_path / "senses.csv")
    filler = "The nurse wrote down what he had told her about his knee on that day."
    lines = [
        {"id": f"t{n}", "text": f"{'abcdefghij'[n % 10]}{'x' * n}: the right atrium. {filler * 3}"} for n in range(90)
    ]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    settings = TextSettings(inventory=tmp_path / "senses.csv", validation=0, test=0)
    more = prepare_text([tmp_path / "texts.jsonl"], tmp_path / "more", settings)["passages"]["train"]
    base = {"training": {"passages_per_step": 10}}
    alone, mixed = parse_recipe(base, []), parse_recipe(base, [f"data.beside=[{tmp_path / 'more'}]"])
    own, both = (make_plan(r, device="cuda", memory=80e9, with_probe=False, tflops=10.0) for r in (alone, mixed))
    count = len(split_passages(sample.passages(), validation=alone.data.validation, test=0.25)["train"])
    assert more > 50 and (own.steps, both.steps) == (math.ceil(count / 10), math.ceil((count + more) / 10))
    assert "data.beside" in both.trees and "data.beside" not in own.trees
    assert own.within(1.0).passages and not both.within(1.0).passages, "data.limit does not bound it"
    prepare(mixed)
    assert make_plan(mixed, device="cuda", memory=80e9, with_probe=False).steps == both.steps
    further = parse_recipe(base, [f"model.parent={tiny_run}", "data.replay=0.5"])
    source = TreeSource(further, find_shape(further.model.base))
    assert source.trained_on(further) == 2 * source.counts("train", None)


def test_the_estimate_cuts_text_into_pieces_that_make_it_up():
    text = 'In "the rheumatoid arthritis", RA means'
    encoded = EstimatedTokenizer()(text)
    spans = encoded["offset_mapping"]
    assert "".join(text[start:end] for start, end in spans) == text
    assert len(encoded.input_ids) == len(spans) == 11


def test_memory_is_read_in_both_kinds_of_units():
    assert parse_memory("24GB") == 24e9 and parse_memory("1.5 GiB") == 1.5 * 2**30
    for wrong in ("much", "0GB", "0.0 MB", "1.2.3GB", ".GB", "1e400GB"):
        with pytest.raises(ValueError, match="write 24GB"):
            parse_memory(wrong)
    here = device_memory()
    assert here is not None and here > 1e9


def test_the_probe_gives_times(model_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = make_plan(
        parse_recipe({"model": {"base": str(model_folder)}}, ["data.limit=3", "model.quantization=nf4"]), device="cpu"
    )
    assert found.rates is not None and found.rates.forward > found.rates.backward / 100 > 0
    assert found.training_seconds is not None and found.training_seconds > found.scoring_seconds * 0.1 > 0


def shown_plan(capsys, *arguments):
    with pytest.raises(SystemExit, match="0"):
        main(["plan", "recipes/llama3-8b-lora.yaml", "--device", "cuda", "--memory", "80GB", *arguments])
    return " ".join(capsys.readouterr().out.split())


def test_at_a_rate_that_it_is_told_the_plan_says_how_long_and_what_fits(capsys):
    found = json.loads(shown_plan(capsys, "--tflops", "300", "--json"))
    work = found["work"]["forward"] + found["work"]["backward"]
    assert found["step_seconds"] == pytest.approx(work / 300e12) and found["steps"] == 60000 // 16
    shown = shown_plan(capsys, "--tflops", "300", "--hours", "0.5")
    hours = 3750 * found["step_seconds"] / 3600
    assert "seconds at 300 TFLOP/s" in shown and f"training {hours:,.2f} 3,750 steps" in shown
    assert "say --tflops" in shown_plan(capsys, "--hours", "2")
    shared = json.loads(shown_plan(capsys, "--tflops", "300", "--devices", "2", "--json"))
    assert shared["step_seconds"] == pytest.approx(found["step_seconds"] / 2)


def test_what_fits_into_some_hours_leaves_room_for_the_rest_of_the_run(capsys):
    found = json.loads(shown_plan(capsys, "--tflops", "300", "--json"))
    parts = {part["name"]: part["seconds"] for part in found["parts"]}
    rest = parts["download"] + parts["preparation"] + parts["both evaluations"]
    look = parts["validation passes"] / 15  # one pass after each 250 steps
    hours = (rest + 1000 * (found["step_seconds"] + look / 250)) / 3600 + 1e-6
    assert f"training.max_steps=1000, or data.limit={1000 * 16} " in shown_plan(
        capsys, "--tflops", "300", "--hours", str(hours)
    )
    assert f"data.limit={500 * 16} " in shown_plan(
        capsys, "--tflops", "300", "--hours", str(hours), "training.epochs=2", "training.max_steps=2000"
    )
    assert "hours: the whole run." in shown_plan(capsys, "--tflops", "300", "--hours", "1000")
    alone = f"not one step; download, preparation and evaluations alone take {rest / 3600:,.2f}."
    assert alone in shown_plan(capsys, "--tflops", "300", "--hours", "0.01")


def test_the_whole_run_is_the_sum_of_its_parts(capsys):
    found = json.loads(shown_plan(capsys, "--tflops", "300", "--json", "--mbits", "100"))
    parts = {part["name"]: part for part in found["parts"]}
    assert list(parts) == ["download", "preparation", "training", "validation passes", "both evaluations"]
    assert found["whole_seconds"] == pytest.approx(sum(part["seconds"] for part in parts.values()))
    assert parts["download"]["seconds"] == pytest.approx((2 * KNOWN[LLAMA].parameters + 5.9e9) * 8 / 100e6)
    assert parts["preparation"]["seconds"] == pytest.approx(5_000_000 / 42_725)
    assert parts["training"]["seconds"] == pytest.approx(3750 * found["step_seconds"])
    scored = found["scoring_seconds_per_1000_mentions"]
    assert parts["validation passes"]["seconds"] == pytest.approx(15 * 500 * MENTIONS / 1000 * scored)
    assert parts["both evaluations"]["seconds"] == pytest.approx(2 * 2000 * MENTIONS / 1000 * scored)
    shown = shown_plan(capsys, "--tflops", "300")
    assert "data/medal is not there yet; assumed: typical MeDAL passages" in shown
    assert "22.0 GB at 200 Mbit/s" in shown and "preparation 0.03 5,000,000 rows" in shown


def test_what_is_not_known_is_left_out_of_the_total_and_named(capsys):
    limits = ("data.limit_test=null", "data.limit_validation=null")
    shown = shown_plan(capsys, "--tflops", "300", *limits)
    assert "both evaluations ? set data.limit_test" in shown
    assert "total" in shown and "without validation passes, both evaluations" in shown
    untimed = shown_plan(capsys, "data.limit=null")
    assert "training ? set data.limit or training.max_steps" in untimed
    assert "total ? without training, validation passes, both evaluations" in untimed


def test_the_embedded_sample_needs_no_download_and_its_texts_are_counted():
    mine = parse_recipe({}, [])
    found = make_plan(mine, device="cuda", memory=80e9, with_probe=False, tflops=10.0)
    shares = {"validation": mine.data.validation, "test": mine.data.test}
    whole = split_passages(sample.passages(), **shares, seed=mine.seed)
    assert found.steps == math.ceil(len(whole["train"]) / mine.training.passages_per_step)
    assert (found.around.download, found.parts[0].how, found.parts[1].seconds) == (0, "everything is here", 0)
    assert found.around.tested == pytest.approx(len(whole["test"]) * found.mentions / mine.training.passages_per_step)


def test_common_cards_are_planned_at_the_assumed_share_of_their_published_peak(capsys):
    found = gpu("data.limit=1600", "data.limit_test=10", "data.limit_validation=10", memory="80GB")
    cards = {card.name: card for card in found.cards}
    assert {card.memory for card in found.cards} == {24e9, 40e9, 80e9}
    a100 = cards["A100, 80 GB"]
    share = utilisation(compiled=False)
    told = replace(found, tflops=share * 312)
    assert found.tflops is None and a100.step_seconds == pytest.approx(told.step_seconds)
    assert a100.seconds == pytest.approx(sum(part.seconds for part in told.parts[2:]))
    assert (a100.verdict, a100.total) == (gpu(memory="80GB").verdict, found.total)
    assert cards["L4, 24 GB"].verdict == gpu(memory="24GB").verdict == "does not fit"
    on_cpu = make_plan(recipe("data.limit=1600"), device="cpu", memory=1e12, with_probe=False)
    assert [card.total for card in on_cpu.cards] == [card.total for card in found.cards], "cards are planned as GPUs"
    shown = shown_plan(capsys)
    assert "A100, 80 GB 156" in shown and "50% of their published peak" in shown, "this recipe compiles"
    shown = shown_plan(capsys, "training.compile=false")
    assert f"A100, 80 GB {share * 312:,.0f}" in shown and "38% of their published peak" in shown


@pytest.mark.parametrize(
    ("nodes", "rows", "kept", "options", "measured"),
    [
        (4576, 8, 942, {}, 0.360),
        (9312, 16, 1882, {}, 0.715),
        (4576, 8, 942, {"activation_checkpointing": True}, 0.528),
        (9312, 16, 1882, {"activation_checkpointing": True}, 1.023),
        (4576, 8, 942, {"compile": True}, 0.277),
        (9312, 16, 1882, {"compile": True}, 0.552),
    ],
)
def test_a_step_on_the_card_that_was_measured_takes_what_the_assumed_share_says(nodes, rows, kept, options, measured):
    """Llama 3 8B's shape on an H200 (benchmarks/LOG.md): mean sizes of the passes as computed, seconds of a step."""
    place = Place(device="cuda", dtype="bfloat16")
    one = Pass(nodes=nodes, kept=kept, rows=rows)
    work = training_work(KNOWN[LLAMA], TrainingSettings(rank=16, alpha=32, **options), place, one)
    share = utilisation(compiled="compile" in options)
    assert (work.forward + work.backward) / (share * 989e12) == pytest.approx(measured, rel=0.1)


def test_the_steps_are_those_of_training():
    assert gpu("training.max_steps=7", memory="80GB").steps == 7
    assert gpu("data.limit=9", "training.epochs=2", memory="80GB").steps == 6
    assert gpu(memory="80GB").steps is None


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_without_bitsandbytes_a_quantised_recipe_is_planned_without_times(
    kind, model_folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(f"model: {{base: {model_folder}, quantization: {kind}}}\ndata: {{limit: 3}}\n")
    with pytest.raises(SystemExit, match="0"):
        main(["plan", "mine.yaml", "--device", "cpu", "--json"])
    with_it = json.loads(capsys.readouterr().out)
    assert with_it["rates"] is not None and with_it["untimed"] is None
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(SystemExit, match="0"):
        main(["plan", "mine.yaml", "--device", "cpu", "--json"])
    without = json.loads(capsys.readouterr().out)
    assert without["rates"] is without["training_seconds_per_1000_mentions"] is None
    assert without["peaks"] == with_it["peaks"]
    with pytest.raises(SystemExit, match="0"):
        main(["plan", "mine.yaml", "--device", "cpu"])
    shown = " ".join(capsys.readouterr().out.split())
    assert f"No times: model.quantization={kind} needs bitsandbytes: pip install medalist[quantize]" in shown


def test_a_build_for_gpus_takes_more_memory_before_anything_is_loaded(monkeypatch):
    found: dict[str | None, dict[str, float]] = {}
    for version in (None, "13.0"):
        monkeypatch.setattr("torch.version.cuda", version)
        plans = {at: make_plan(recipe(), device=at, memory=1e12, with_probe=False) for at in ("cpu", "cuda")}
        found[version] = {at: plan.baseline for at, plan in plans.items()}
    assert found["13.0"]["cpu"] - found[None]["cpu"] == GPU_LIBRARIES
    assert found["13.0"]["cuda"] == found[None]["cuda"]


def test_the_command_prints_tables_and_figures(capsys):
    main_arguments = ["plan", "recipes/smollm2-135m-medal.yaml", "model.base=" + LLAMA, "--device", "cuda"]
    with pytest.raises(SystemExit, match="0"):
        main([*main_arguments, "--memory", "24GB", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "does not fit" and found["shape"]["hidden"] == 4096
    assert math.isclose(found["total"], found["baseline"] + found["peaks"][0]["total"], rel_tol=0.2)
    with pytest.raises(SystemExit, match="0"):
        main([*main_arguments, "--memory", "24GB"])
    shown = capsys.readouterr().out
    assert "does not fit" in shown and "model.quantization=nf4" in shown and "optimiser (AdamW)" in shown


def test_the_table_says_what_the_peak_is_made_of():
    console = Console(width=120, record=True, file=io.StringIO())
    for part in plan_tables(gpu(memory="80GB")):
        console.print(part)
    text = console.export_text()
    for word in ("weights of the blocks (bfloat16)", "before loading a model", "TFLOP forward", ": fits."):
        assert word in text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"devices": 0}, "devices is 0; it must be a whole number and at least 1"),
        ({"devices": -1}, "devices is -1; it must be a whole number and at least 1"),
        ({"devices": 1.5}, "devices is 1.5; it must be a whole number and at least 1"),
        ({"memory": -1}, "memory is -1; it must be a number above 0"),
        ({"memory": float("nan")}, "memory is nan; it must be a number above 0"),
        ({"memory": "24GB"}, "memory is '24GB'; it must be a number above 0"),
        ({"tflops": 0}, "tflops is 0; it must be a number above 0"),
        ({"mbits": float("inf")}, "mbits is inf; it must be a number above 0"),
        ({"device": "x"}, "device is 'x'; it must be one of auto, cpu, cuda"),
    ],
)
def test_a_place_that_cannot_be_is_refused(given, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make_plan(recipe(), **given)
