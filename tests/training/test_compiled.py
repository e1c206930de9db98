"""Covers `training.compiled`: compiled blocks train the same, are compiled once for all lengths, and leave no trace."""

import sys

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.testing import assert_close

import medalist.training.tune as tune
from made_passages import PASSAGES, assert_same_run, losses_and_weights, run_on_disk, run_tune
from medalist.models.adapters import add_adapter
from medalist.models.load import load_base
from medalist.recipe import RecipeError, TrainingSettings, parse_recipe
from medalist.training.compiled import compiled_blocks, uncompiled
from medalist.trees.rows import SDPA_IN_ROWS, know_rows
from medalist.trees.scoring import score_pass, tree_pass
from medalist.trees.tree import build_tree, forest


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


@pytest.mark.slow
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


def test_attention_in_rows_is_compiled_once_for_all_sizes(quickly, tiny_llama):
    know_rows()
    tiny_llama.set_attn_implementation(SDPA_IN_ROWS)
    question = ([10, 11, 12], [[13, 14, 15], [13, 16], [17]])
    forests = [
        forest([build_tree(list(range(5, 5 + size)), [question]) for size in sizes])
        for sizes in ((70, 40, 9, 100), (90, 80), (90, 80, 70, 60), (120, 100, 3, 90))
    ]
    passes = [tree_pass(trees, SDPA_IN_ROWS) for trees in forests]
    assert {len(one.subtree_end) for one in passes} == {2, 3, 4}
    plain = [score_pass(tiny_llama, one) for one in passes]
    with compiled_blocks(tiny_llama, wanted=True):
        found = [score_pass(tiny_llama, one) for one in passes]
    assert compiled_graphs() <= 2
    assert_close(found, plain, atol=1e-5, rtol=0)


def test_without_a_compiler_nothing_is_begun(loaded, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(RecipeError, match="needs a C compiler"):
        run_tune(loaded, tmp_path / "run", max_steps=1, compile=True)
    assert not (tmp_path / "run/adapter").exists()


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_quantised_blocks_share_what_was_compiled_too(kind, deep_model_folder, monkeypatch):
    """Fifteen blocks in two graphs, as above."""
    monkeypatch.setenv("CC", sys.executable)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    base = load_base(str(deep_model_folder), device="cpu", quantization=kind)
    one = tree_pass(build_tree([5, 6, 7, 8], [([10, 11], [[12, 13], [14]])]), "sdpa")
    model = add_adapter(base, TrainingSettings(rank=4)).train()
    with compiled_blocks(model, wanted=True, backend="eager"):
        score_pass(model, one)
    assert compiled_graphs() == 2


def test_blocks_that_are_sharded_are_not_compiled():
    with pytest.raises(RecipeError, match=r"training\.compile=true does not go with training\.parallel=fsdp"):
        parse_recipe({"name": "x", "training": {"compile": True, "parallel": "fsdp"}})
