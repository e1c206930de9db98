"""Covers `training.compiled`: compiled blocks train the same, are compiled once for all lengths, and leave no trace."""

import sys

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import medalist.training.tune as tune
from made_passages import PASSAGES, assert_same_run, losses_and_weights, run_on_disk, run_tune
from medalist.recipe import RecipeError, parse_recipe
from medalist.training.compiled import compiled_blocks, uncompiled


@pytest.fixture
def quickly(monkeypatch):
    """`torch.compile` without its code generator, which takes a minute: the same graphs, run by PyTorch's operators."""
    monkeypatch.setenv("CC", sys.executable)  # no compiler is needed then
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    real = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self, **options: real(self, **options | {"backend": "aot_eager"}))


def compiled_graphs() -> int:
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def test_a_compiled_run_learns_the_same_and_compiles_once_for_all_lengths(quickly, model_folder, tmp_path, monkeypatch):
    validated, real = [], tune.score_layouts

    def watched(model, *args, **options):
        validated.extend(block._compiled_call_impl for block in model.get_decoder().layers)
        return real(model, *args, **options)

    monkeypatch.setattr(tune, "score_layouts", watched)
    run_on_disk(tmp_path / "plain", model_folder, max_steps=6, validation=PASSAGES[:2])
    assert compiled_graphs() == 0
    validated.clear()
    run_on_disk(tmp_path / "compiled", model_folder, max_steps=6, validation=PASSAGES[:2], compile=True)
    assert 0 < compiled_graphs() <= 2, "one for the first block, whose input needs no gradient, one for all others"
    assert validated and not any(validated), "validation scores as the check on loading did"
    assert_same_run(losses_and_weights(tmp_path / "plain"), losses_and_weights(tmp_path / "compiled"))
    names = set(load_file(tmp_path / "compiled/adapter/adapter_model.safetensors"))
    assert names and not any("_orig_mod" in name for name in names), "the adapter has the usual names"


def test_afterwards_and_while_it_validates_the_blocks_run_as_they_are(quickly, tiny_llama):
    blocks = tiny_llama.model.layers
    with compiled_blocks(tiny_llama, wanted=True):
        assert all(block._compiled_call_impl is not None for block in blocks)
        with uncompiled(tiny_llama):
            tiny_llama(input_ids=torch.ones(1, 4, dtype=torch.int64))
            assert compiled_graphs() == 0
        tiny_llama(input_ids=torch.ones(1, 4, dtype=torch.int64))
        assert compiled_graphs() > 0
    assert all(block._compiled_call_impl is None for block in blocks)


def test_without_a_compiler_nothing_is_begun(loaded, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(RecipeError, match="needs a C compiler"):
        run_tune(loaded, tmp_path / "run", max_steps=1, compile=True)
    assert not (tmp_path / "run/adapter").exists()


def test_blocks_that_are_sharded_are_not_compiled():
    with pytest.raises(RecipeError, match=r"training\.compile=true does not go with training\.parallel=fsdp"):
        parse_recipe({"name": "x", "training": {"compile": True, "parallel": "fsdp"}})
