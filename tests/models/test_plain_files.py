"""A stranger's model folder runs nothing: no file beside the weights, nothing that a setting names.

Covers `models.adapters` too.
"""

import builtins
import json
import shutil
import time
from contextlib import suppress

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from medalist.models.adapters import load_adapter
from medalist.models.base import ModelError
from medalist.models.load import load_base
from medalist.models.plain_files import check_runs_nothing, lora_settings, plain_settings
from medalist.planning.tree_sizes import find_tokenizer
from medalist.recipe import parse_recipe
from medalist.sharing.gguf import convert


@pytest.fixture
def adapter(loaded, tmp_path):
    """A plain adapter of the tiny model, saved by peft."""
    model = get_peft_model(loaded.model, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"))
    model.save_pretrained(tmp_path / "adapter", save_embedding_layers=False)
    loaded.model = model.unload()
    return tmp_path / "adapter"


@pytest.fixture
def evil(model_folder, tmp_path):
    """A model folder with a file that leaves a trace when it is imported, named by its tokenizer's settings."""
    folder = tmp_path / "evil"
    shutil.copytree(model_folder, folder)
    (folder / "tokenizer_evil.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w')\n"
        "from transformers import PreTrainedTokenizerFast\nclass Evil(PreTrainedTokenizerFast): pass\n"
    )
    change(
        folder / "tokenizer_config.json",
        auto_map={"AutoTokenizer": ["tokenizer_evil.Evil", "tokenizer_evil.Evil"]},
        tokenizer_class="Evil",
    )
    return folder


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize("loader", [load_base, lambda path: find_tokenizer(parse_recipe({"model": {"base": path}}))])
def test_code_beside_a_model_is_not_run_whatever_standard_input_says(loader, evil, tmp_path, monkeypatch):
    monkeypatch.setattr(builtins, "input", lambda *_: "yes")
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    with suppress(ValueError):  # whether it loads without that code is up to the loader
        loader(str(evil))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("architecture", ["DreamModel", "LLaDAModelLM", "LlamaForCausalLM"])
def test_the_converter_is_given_no_folder_with_code(architecture, evil, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    change(evil / "config.json", architectures=[architecture])
    for removed in ((), ("tokenizer_evil.py",)):
        for name in removed:
            (evil / name).unlink()
        with pytest.raises(ValueError, match=r"tokenizer_evil.py could run code|names code of its own \(auto_map\)"):
            convert(evil, tmp_path / "x.gguf", {})
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("named", [["DreamModel"], [], None, ["LlamaForCausalLM", "DreamModel"]])
def test_only_listed_architectures_are_converted(named, model_folder, tmp_path):
    shutil.copytree(model_folder, tmp_path / "model")
    check_runs_nothing(tmp_path / "model")
    change(tmp_path / "model/config.json", architectures=named)
    with pytest.raises(ModelError, match=r"only these architectures are converted: .*LlamaForCausalLM"):
        check_runs_nothing(tmp_path / "model")


def test_settings_keep_their_known_keys_alone(model_folder, tmp_path, loaded):
    shutil.copytree(model_folder, tmp_path / "model")
    for name in ("config.json", "tokenizer_config.json", "generation_config.json"):
        before = plain_settings(tmp_path / "model" / name)
        change(
            tmp_path / "model" / name,
            auto_map={"AutoConfig": "evil.Evil"},
            _attn_implementation="someone/kernel",
            quantization_config={},
            name_or_path="/etc",
        )
        assert plain_settings(tmp_path / "model" / name) == before
        (tmp_path / "model" / name).write_text(json.dumps(before))
    whole = load_base(str(tmp_path / "model"), device="cpu")
    ids = torch.tensor([whole.tokenizer("The patient with RA").input_ids])
    assert torch.equal(whole.model(ids).logits, loaded.model(ids).logits), "nothing that counts is lost"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "dream", "architectures": ["DreamModel"]}, "does not describe a causal language model"),
        ({"architectures": ["DreamModel"]}, "does not describe a causal language model"),
        ({"num_hidden_layers": 10**7}, "num_hidden_layers must be a whole number from 1 to 1,000"),
    ],
)
def test_a_config_of_something_else_is_refused(changes, message, model_folder, tmp_path):
    shutil.copy(model_folder / "config.json", tmp_path)
    change(tmp_path / "config.json", **changes)
    with pytest.raises(ModelError, match=message):
        plain_settings(tmp_path / "config.json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target_modules": "((a+)+)+$"}, "target_modules must be a list of names of layers"),
        ({"target_modules": ["((a+)+)+$"]}, "target_modules must be a list of names of layers"),
        ({"r": 2_000_000}, "r must be a whole number from 1 to 4,096"),
        ({"r": 4_000}, "is not of rank 4000"),
        ({"lora_alpha": float("nan")}, "NaN is not a number of JSON"),
        ({"lora_alpha": -1}, "lora_alpha must be a number above 0"),
        ({"auto_mapping": {"parent_library": "os", "base_model_class": "system"}}, r"not a plain LoRA .*auto_mapping"),
        ({"modules_to_save": ["embed_tokens"]}, r"not a plain LoRA adapter \(modules_to_save\)"),
        ({"layer_replication": [[0, 10**6]]}, r"not a plain LoRA adapter \(layer_replication\)"),
        ({"corda_config": {"cache_file": "/etc/passwd"}}, r"not a plain LoRA adapter \(corda_config\)"),
        ({"peft_type": "PREFIX_TUNING"}, r"not a plain LoRA adapter \(another peft_type\)"),
    ],
)
def test_an_adapter_that_is_not_plain_is_refused_at_once(changes, message, adapter, loaded):
    change(adapter / "adapter_config.json", **changes)
    begun = time.monotonic()
    with pytest.raises(ModelError, match=message):
        load_adapter(loaded, adapter)
    assert time.monotonic() - begun < 5


def test_weights_that_are_no_lora_matrices_are_refused(adapter, loaded):
    path = adapter / "adapter_model.safetensors"
    save_file(load_file(path) | {"base_model.model.lm_head.weight": torch.zeros(2, 2)}, path)
    with pytest.raises(ModelError, match=r"holds more than LoRA matrices \(base_model.model.lm_head.weight\)"):
        load_adapter(loaded, adapter)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ModelError, match=r"adapter_model.safetensors is damaged or cut off"):
        load_adapter(loaded, adapter)


def test_peft_is_given_no_settings_file(adapter, loaded, monkeypatch):
    monkeypatch.setattr("peft.PeftConfig.from_pretrained", lambda *_, **__: pytest.fail("reads the stranger's file"))
    monkeypatch.setattr("peft.LoraConfig.from_pretrained", lambda *_, **__: pytest.fail("reads the stranger's file"))
    assert load_adapter(loaded, adapter).model is not None


def test_settings_that_are_not_there_or_no_file_are_named(tmp_path):
    with pytest.raises(ModelError, match=r"^\S+/adapter_config\.json does not exist\.$"):
        lora_settings(tmp_path)
    (tmp_path / "adapter_config.json").mkdir()
    with pytest.raises(ModelError, match=r"^\S+/adapter_config\.json is a folder, not a file\.$"):
        lora_settings(tmp_path)
