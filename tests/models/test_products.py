"""Products in oneDNN give PyTorch's numbers and gradients, and are what a loaded model trains with."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import linear as reference
from torch.profiler import ProfilerActivity, profile
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

from medalist.models.adapters import add_adapter
from medalist.models.load import load_base
from medalist.models.products import ONEDNN, CPULinear, linear, slow_down, speed_up
from medalist.recipe import TrainingSettings
from medalist.trees.scoring import score_tree
from medalist.trees.tree import build_tree

in_onednn = pytest.mark.skipif(not ONEDNN, reason="products run in oneDNN on x86 only, if PyTorch has it")


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def layer(bias=False, dtype=torch.float32):
    made = nn.Linear(24, 40, bias=bias, dtype=dtype)
    with torch.no_grad():
        made.weight.copy_(drawn(40, 24))
    return made


def test_products_are_exact_in_float32():
    """Not in TF32 or bfloat16, which oneDNN can use too."""
    rows, weight = drawn(70, 300), drawn(90, 300, seed=1)
    assert float((linear(rows, weight).double() - rows.double() @ weight.double().T).abs().max()) < 1e-4


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("laid", ["in a row", "turned", "every second", "none", "repeated", "one row"])
def test_values_and_gradients_are_pytorch_s_however_the_numbers_lie(bias, laid):
    """Gradients arrive as the layers above leave them: transposed views, or one number repeated. 33 rows are padded."""
    rows, above = drawn(3, 11, 24, seed=2), drawn(3, 11, 40, seed=3)
    if laid == "turned":
        rows, above = drawn(10, 3, 24, seed=2).transpose(0, 1), drawn(40, 10, 3, seed=3).permute(2, 1, 0)
    elif laid == "every second":
        rows, above = drawn(3, 20, 24, seed=2)[:, ::2], drawn(3, 20, 40, seed=3)[:, ::2]
    elif laid == "none":
        rows, above = rows[:, :0], above[:, :0]
    elif laid == "repeated":
        rows, above = drawn(1, 24, seed=2).expand(64, 24), torch.ones(()).expand(64, 40)
    elif laid == "one row":
        rows, above = rows[0, :1], above[0, :1]
    plain = layer(bias)
    ours = copy.deepcopy(plain)
    speed_up(ours)
    found = []
    for one in (plain, ours):
        given = rows.detach().requires_grad_()
        result = one(given)
        result.mul_(2).backward(above)  # in place, as layers above may
        found.append([result.detach(), given.grad, *(weight.grad for weight in one.parameters())])
    for theirs, mine in zip(*found, strict=True):
        assert_close(mine, theirs, atol=2e-5, rtol=1e-5)


@in_onednn
def test_few_sizes_occur_and_none_of_the_rows_added_is_seen():
    """For each size, oneDNN would generate code and keep it."""
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        products = [linear(torch.ones(count, 2), torch.ones(3, 2)) for count in range(1, 321)]
    assert all(torch.equal(product, torch.full((count, 3), 2.0)) for count, product in enumerate(products, 1))
    sizes = {event.input_shapes[0][0] for event in profiler.events() if event.name == "mkldnn::_linear_pointwise"}
    assert len(sizes) == 15


def test_a_step_of_the_optimiser_and_a_checkpointed_pass_are_followed():
    """Nothing derived from a weight outlives its change, and a pass computed again has the same bits."""
    ours = layer(bias=True)
    speed_up(ours)
    rows = drawn(33, 24, seed=2).requires_grad_()
    before = ours(rows)
    before.square().sum().backward()
    gradient = rows.grad.clone()
    rows.grad = None
    checkpoint(ours, rows, use_reentrant=False).square().sum().backward()
    assert torch.equal(rows.grad, gradient)
    torch.optim.SGD(ours.parameters(), lr=0.1).step()
    assert not torch.allclose(ours(rows), before)
    assert_close(ours(rows), reference(rows, ours.weight, ours.bias))


def test_only_the_gradients_that_are_wanted_are_computed_and_kept():
    frozen = layer().requires_grad_(False)
    speed_up(frozen)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.shape) or tensor, lambda t: t):
        frozen(drawn(10, 24).requires_grad_()).sum().backward()
    assert frozen.weight.grad is None
    assert kept == [frozen.weight.shape]  # not the input, which only the weight's gradient needs
    assert not frozen(drawn(10, 24)).requires_grad


def test_other_dtypes_autocast_and_compiled_code_compute_as_before():
    ours = layer()
    speed_up(ours)
    rows = drawn(10, 24)
    with torch.autocast("cpu", torch.bfloat16):
        assert ours(rows).dtype == torch.bfloat16
        assert torch.equal(ours(rows), reference(rows, ours.weight))
    half = layer(dtype=torch.bfloat16)
    speed_up(half)
    assert torch.equal(half(rows.bfloat16()), reference(rows.bfloat16(), half.weight))
    assert torch.equal(ours(rows[0]), reference(rows[0], ours.weight))
    seen = []
    torch.compile(ours, backend=lambda graph, _: seen.extend(graph.graph.nodes) or graph.forward)(rows)
    assert [node.target for node in seen if node.op == "call_function"] == [reference]


@in_onednn
def test_a_loaded_base_computes_and_trains_in_onednn_with_the_gradients_of_pytorch(model_folder):
    tree = build_tree(list(range(20, 60)), [([5, 6, 7], [[8, 9, 3], [8, 4, 3]]), ([9, 6], [[11, 3], [12]])])
    found = []
    for plain in (False, True):
        base = load_base(str(model_folder), device="cpu")
        assert {type(part) for part in base.model.modules() if isinstance(part, nn.Linear)} == {CPULinear}
        if plain:
            slow_down(base.model)
        torch.manual_seed(0)
        model = add_adapter(base, TrainingSettings(upper_layers=1))
        model.train()
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(weight)
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            score_tree(model, tree, "sdpa").sum().backward()
        products = sum(event.name == "mkldnn::_linear_pointwise" for event in profiler.events())
        # Forward, seven layers in each of two blocks and the output; backward, the output and four of the upper block:
        # the input of query, key and value is below the lowest adapter.
        assert products == (0 if plain else 15 + 5)
        found.append([weight.grad for weight in model.parameters() if weight.requires_grad])
    assert len(found[0]) == 14
    for ours, theirs in zip(*found, strict=True):
        assert_close(ours, theirs, atol=1e-4 * float(theirs.abs().max()), rtol=0)
