"""What is loaded for scoring alone: the same scores and token ids as what is loaded for training, and checked once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close
from transformers import AutoTokenizer, MistralConfig, MistralForCausalLM

from medalist.models import scorer
from medalist.models.adapters import load_adapter
from medalist.models.base import ModelError
from medalist.models.llama import Llama
from medalist.models.load import load_base
from medalist.models.scorer import PlainTokenizer, load_scorer
from medalist.trees.attention_check import TreeAttentionError
from medalist.trees.scoring import score_tree
from medalist.trees.tree import build_tree

TREE = build_tree([5, 6, 7, 8], [([9, 10], [[11, 12], [11, 13, 14]]), ([9, 15], [[16], [17, 18]])])


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDALIST_CACHE", str(tmp_path / "cache"))


def test_a_forked_process_scores_as_its_parent_does(model_folder):
    """On two threads, PyTorch's own would be waited for in a child that does not have them."""
    code = (
        "import multiprocessing, sys, torch\n"
        "from medalist import Expander, Inventory\n"
        "from medalist.models.scorer import load_scorer\n"
        "torch.set_num_threads(2)\n"
        "torch.ones(2000, 2000) @ torch.ones(2000, 2000)\n"
        "senses = Inventory.of([('RA', 'room air', 1, None), ('RA', 'right atrium', 1, None)])\n"
        "expander = Expander(load_scorer(sys.argv[1]), senses)\n"
        "def read(text): return torch.get_num_threads(), expander(text)[0].alternatives\n"
        "known = read('SpO2 on RA')[1]\n"
        "with multiprocessing.get_context('fork').Pool(1) as pool:\n"
        "    [(threads, found)] = pool.map_async(read, ['SpO2 on RA']).get(60)\n"
        "print(threads, found == known)"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(model_folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == ["1", "True"]


def test_with_an_adapter_it_scores_as_the_model_that_peft_merges(model_folder, tiny_run, tmp_path):
    adapter = tmp_path / "adapter"
    shutil.copytree(tiny_run / "adapter", adapter)
    weights = load_file(adapter / "adapter_model.safetensors")
    draw = torch.Generator().manual_seed(0)
    save_file(
        {name: torch.randn(weight.shape, generator=draw) / 4 for name, weight in weights.items()},
        adapter / "adapter_model.safetensors",
    )
    ours = load_scorer(str(model_folder), adapter)
    theirs = load_adapter(load_base(str(model_folder), device="cpu"), adapter)
    plain = load_scorer(str(model_folder))
    assert isinstance(ours.model, Llama)
    with torch.inference_mode():
        scores, bare = score_tree(ours.model, TREE, "sdpa"), score_tree(plain.model, TREE, "sdpa")
        assert_close(scores, score_tree(theirs.model, TREE, "sdpa"), atol=5e-5, rtol=0)
    assert float((scores - bare).abs().max()) > 0.1
    assert (ours.identity, ours.max_depth) == (theirs.identity, theirs.max_depth)


def test_an_adapter_of_another_base_is_refused_in_one_line(model_folder, tiny_run, tmp_path):
    adapter = tmp_path / "adapter"
    shutil.copytree(tiny_run / "adapter", adapter)
    weights = load_file(adapter / "adapter_model.safetensors")
    save_file(
        {name: weight[:, :16].contiguous() if "lora_A" in name else weight for name, weight in weights.items()},
        adapter / "adapter_model.safetensors",
    )
    with pytest.raises(ModelError, match=r"is an adapter for another base: .* does not fit"):
        load_scorer(str(model_folder), adapter)


def test_what_it_cannot_compute_itself_is_loaded_by_transformers(tokenizer, tmp_path):
    folder = tmp_path / "mistral"
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    MistralForCausalLM(
        MistralConfig(vocab_size=len(tokenizer), num_key_value_heads=2, sliding_window=None, **sizes)
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    assert type(load_scorer(str(folder)).model).__name__ == "MistralForCausalLM"
    assert not (tmp_path / "cache").exists()


def test_other_weights_than_the_recorded_ones_are_refused(model_folder):
    with pytest.raises(ModelError, match="but the run was trained on weights with 000000000000…"):
        load_scorer(str(model_folder), expected_sha256="0" * 64)


def test_weights_without_a_layer_are_refused_in_one_line(model_folder, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    weights = load_file(folder / "model.safetensors")
    weights.pop("model.layers.1.mlp.up_proj.weight")
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(ModelError, match="up_proj"):
        load_scorer(str(folder))


def test_trees_are_checked_once_for_the_same_weights_and_again_for_others(model_folder, tmp_path, monkeypatch):
    checked = []

    def check(model, kernel):
        checked.append(kernel)
        return 1e-6

    monkeypatch.setattr(scorer.attention_check, "check_tree_attention", check)
    first, again = (load_scorer(str(model_folder)).tree_error for _ in range(2))
    assert (first, again, checked) == (1e-6, 1e-6, ["sdpa"])
    folder = tmp_path / "other"
    shutil.copytree(model_folder, folder)
    weights = load_file(folder / "model.safetensors")
    save_file({name: weight * 1.01 for name, weight in weights.items()}, folder / "model.safetensors")
    load_scorer(str(folder))
    assert len(checked) == 2
    monkeypatch.setattr(scorer, "__version__", "9.9.9")
    load_scorer(str(folder))
    assert len(checked) == 3


@pytest.mark.parametrize(("instructions", "ours"), [(True, True), (False, False)])
def test_bfloat16_is_computed_here_where_the_cpu_has_it(model_folder, monkeypatch, instructions, ours):
    monkeypatch.setattr(scorer, "cpu_has_bfloat16", lambda: instructions)
    loaded = load_scorer(str(model_folder), dtype="bfloat16")
    assert (isinstance(loaded.model, Llama), loaded.model.dtype) == (ours, torch.bfloat16)


def test_a_check_in_one_dtype_is_not_taken_for_another(model_folder, monkeypatch):
    checked = []
    monkeypatch.setattr(scorer, "cpu_has_bfloat16", lambda: True)
    monkeypatch.setattr(
        scorer.attention_check, "check_tree_attention", lambda model, _: checked.append(model.dtype) or 0.0
    )
    for dtype in ("float32", "bfloat16", "bfloat16"):
        load_scorer(str(model_folder), dtype=dtype)
    assert checked == [torch.float32, torch.bfloat16]


def test_a_failed_check_refuses_the_model_every_time(model_folder, monkeypatch):
    def check(model, kernel):
        raise TreeAttentionError("does not follow trees")

    monkeypatch.setattr(scorer.attention_check, "check_tree_attention", check)
    for _ in range(2):
        with pytest.raises(TreeAttentionError, match="does not follow trees"):
            load_scorer(str(model_folder))


@pytest.mark.parametrize("text", ["RA 93% on RA.\n\nIn", "naïve \U0001fac0 <|end|> a  b", "", " x" * 3000])
def test_its_tokenizer_encodes_as_transformers_does(model_folder, text):
    ours = PlainTokenizer(model_folder / "tokenizer.json", "<|end|>")
    theirs = AutoTokenizer.from_pretrained(model_folder)
    assert ours.eos_token_id == theirs.eos_token_id
    for special in (True, False):
        encoded = ours(text, add_special_tokens=special, return_offsets_mapping=True)
        expected = theirs(text, add_special_tokens=special, return_offsets_mapping=True)
        assert encoded["input_ids"] == expected["input_ids"]
        assert encoded["offset_mapping"] == expected["offset_mapping"]


def test_settings_that_could_change_the_encoding_are_left_to_transformers(model_folder, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    assert isinstance(load_scorer(str(folder)).tokenizer, PlainTokenizer)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"add_bos_token": False}))
    assert not isinstance(load_scorer(str(folder)).tokenizer, PlainTokenizer)


def test_expanding_a_text_loads_neither_transformers_nor_peft(tiny_run, tmp_path):
    """Their imports take longer than all the rest."""
    code = (
        "import sys\nfrom medalist.cli.app import main\ntry: main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "slow = {'transformers', 'peft', 'bitsandbytes', 'accelerate', 'polars', 'scipy', 'sklearn', 'jinja2'}\n"
        "slow |= {'huggingface_hub'}\n"
        "print(sorted(slow & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "expand", str(tiny_run), "Pt with RA, SpO2 93% on RA."],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "short form" in done.stdout
    assert done.stderr.strip() == "[]"
