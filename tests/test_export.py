"""Exports: what is merged, what is checked before it gets its name, who opens it."""

import json
import shutil

import pytest
import torch
import yaml
from gguf import GGUFReader
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from torch.testing import assert_close
from transformers import LlamaConfig, LlamaForCausalLM, pipeline

from medalist import export as exports
from medalist import gguf_files, merging
from medalist.cli import main
from medalist.export import export_gguf, export_merged
from medalist.model import EMBEDDED, find_base, load_base, weights_sha256
from medalist.predictions import read_scores
from medalist.runs import load_run_base, open_run


@pytest.fixture(scope="module")
def known_run(tiny_run, tmp_path_factory):
    """A run whose tokenizer llama.cpp knows and whose rows are as long as 4-bit blocks; its adapter is drawn, not trained."""
    folder = tmp_path_factory.mktemp("known")
    base = folder / "base"
    embedded, _ = find_base(EMBEDDED)
    shutil.copytree(embedded, base, ignore=shutil.ignore_patterns("*.safetensors"))
    config = LlamaConfig.from_pretrained(embedded)
    config.update({"hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 2, "initializer_range": 0.1})
    config.update({"num_attention_heads": 4, "num_key_value_heads": 2})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
        model.save_pretrained(base, max_shard_size="20MB")
        adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"))
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.1)
    run = folder / "runs" / "known"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("adapter", "evaluation", "checkpoint-*"))
    adapted.save_pretrained(run / "adapter", save_embedding_layers=False)
    values = yaml.safe_load((run / "recipe.yaml").read_text())
    values["record"]["base"] = {
        "id": "tests/known",
        "revision": None,
        "source": str(base),
        "sha256": weights_sha256(base),
    }
    (run / "recipe.yaml").write_text(yaml.safe_dump(values))
    return open_run(run)


def files_naming(folder, *texts):
    return [
        path.name
        for path in folder.rglob("*")
        if path.is_file() and any(text.encode() in path.read_bytes() for text in texts)
    ]


def test_merged_weights_score_as_the_adapter_beside_the_base(known_run, tmp_path):
    export = export_merged(known_run, tmp_path / "merged", dtype="float32", limit=3)
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
