"""Scoring token trees: forward passes, batching, the check on loading.

Covers `attention_check` and `rows` too.
"""

from contextlib import nullcontext
from dataclasses import fields, replace
from functools import partial

import pytest
import torch
from torch._dynamo.testing import CompileCounter
from torch.testing import assert_close
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Gemma3TextConfig,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)
from transformers.integrations.flex_attention import WrappedFlexAttention

from medalist.trees import attention_check, scoring
from medalist.trees.attention_check import TreeAttentionError, check_tree_attention, separate_score, tolerances
from medalist.trees.prompt import Layout, Question
from medalist.trees.rows import SDPA_IN_ROWS, in_rows, know_rows
from medalist.trees.scoring import (
    NonFiniteScoresError,
    probabilities,
    score_layouts,
    score_pass,
    score_tree,
    tree_inputs,
    tree_logits,
    tree_pass,
)
from medalist.trees.tree import build_tree, forest, sequences

SIZES = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}
FAMILIES = {
    "llama": LlamaConfig(**SIZES),
    "qwen2": Qwen2Config(**SIZES),
    "qwen3": Qwen3Config(**SIZES, head_dim=16),
    "gemma3": Gemma3TextConfig(**SIZES | {"num_hidden_layers": 7}, head_dim=16, sliding_window=512),
    "smollm": LlamaConfig(**SIZES | {"num_attention_heads": 9, "num_key_value_heads": 3, "hidden_size": 72}),
}
QUESTION_A = ([10, 11, 12], [[13, 14, 15], [13, 16], [17, 18]])
QUESTION_B = ([10, 19], [[20, 21], [22]])
PASSAGE = [5, 6, 7, 8, 9, 10, 11]


def random_model(config, attention="sdpa"):
    torch.manual_seed(0)
    config.initializer_range = 0.2  # far from uniform, so that a wrong mask shows
    return AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()


@pytest.fixture(params=FAMILIES)
def model(request):
    return random_model(FAMILIES[request.param])


def test_every_family_computes_trees_as_separate_sequences(model):
    assert check_tree_attention(model, "sdpa") <= 1e-4


def test_sibling_questions_do_not_see_each_other(model):
    alone = score_tree(model, build_tree(PASSAGE, [QUESTION_A]), "sdpa")
    together = score_tree(model, build_tree(PASSAGE, [QUESTION_B, QUESTION_A]), "sdpa")
    assert_close(together[2:], alone, atol=1e-5, rtol=0)


def test_scores_are_the_sums_of_log_probabilities_of_separate_sequences(model):
    tree = build_tree(PASSAGE, [QUESTION_A, QUESTION_B])
    expected = torch.stack([separate_score(model, ids, count) for ids, count in sequences(tree)])
    assert_close(score_tree(model, tree, "sdpa"), expected, atol=1e-4, rtol=0)


def test_the_vocabulary_projection_runs_only_at_nodes_that_predict(model):
    tree = build_tree(PASSAGE, [QUESTION_A])
    logits = model(**tree_inputs(tree_pass(tree, "sdpa"), torch.float32)).logits
    assert logits.shape == (1, len(tree.predict_node.unique()), 300)
    assert logits.shape[1] < len(tree)


def test_a_sliding_window_shorter_than_the_tree_is_refused():
    windowed = random_model(MistralConfig(**SIZES, sliding_window=8))
    with pytest.raises(TreeAttentionError, match="sliding window"):
        check_tree_attention(windowed, "sdpa")


def test_a_model_whose_positions_do_not_follow_the_tree_is_refused():
    alibi = random_model(BloomConfig(vocab_size=300, hidden_size=32, n_layer=2, n_head=4), attention="eager")
    with pytest.raises(TreeAttentionError, match="Choose another base model"):
        check_tree_attention(alibi, "sdpa")


def test_flex_attention_scores_as_sdpa_does_and_really_runs():
    tree = forest([build_tree(PASSAGE, [QUESTION_A, QUESTION_B]), build_tree(PASSAGE[:3], [QUESTION_B])])
    sdpa = random_model(FAMILIES["llama"])
    flex = random_model(FAMILIES["llama"], attention="flex_attention")
    inputs = tree_inputs(tree_pass(tree, "flex_attention"), torch.float32)
    assert type(inputs["attention_mask"]).__name__ == "BlockMask"
    assert inputs["input_ids"].shape[1] % 512 == 0, "few different lengths, since each is compiled separately"
    assert flex.config._attn_implementation == "flex_attention"
    # Its compiled CPU kernels crash on some machines; the mask, which is what is tested here, is the same uncompiled.
    with torch.inference_mode(), torch.compiler.set_stance("force_eager"):
        assert_close(score_tree(flex, tree, "flex_attention"), score_tree(sdpa, tree, "sdpa"), atol=1e-4, rtol=0)


def layouts(count):
    question = Question(prompt="", candidates=("", "", ""), gold=0)
    return [
        Layout(
            tree=build_tree([n + 1, *PASSAGE], [QUESTION_A]),
            text_id=str(n),
            text="",
            mentions=(0,),
            questions=(question,),
        )
        for n in range(count)
    ]


class NotCalledCpu(str):
    """A device that PyTorch takes for the CPU, and `score_layouts` for one that scores several trees at once."""

    type = "another"


def test_scores_come_back_in_order_whatever_the_batch(model, monkeypatch):
    alone = [
        scores for one in layouts(5) for _, (scores,) in score_layouts(model, [one], attention="sdpa", max_nodes=1)
    ]
    passes = []
    monkeypatch.setattr(type(model), "device", NotCalledCpu("cpu"))
    monkeypatch.setattr("medalist.trees.scoring.forest", lambda trees: passes.append(len(trees)) or forest(trees))
    nodes = len(layouts(1)[0].tree)
    for max_nodes, expected in ((10_000, [5]), (3 * nodes, [3, 2]), (3 * nodes - 1, [2, 2, 1])):
        passes.clear()
        batched = list(score_layouts(model, layouts(5), attention="sdpa", max_nodes=max_nodes))
        assert passes == expected
        assert [layout.text_id for layout, _ in batched] == list("01234")
        for (_, (scores,)), known in zip(batched, alone, strict=True):
            assert_close(scores, known, atol=1e-5, rtol=0)


def test_a_forest_in_one_pass_scores_as_its_trees_do(model):
    trees = [layout.tree for layout in layouts(3)]
    with torch.inference_mode():
        together = score_tree(model, forest(trees), "sdpa")
        alone = torch.cat([score_tree(model, tree, "sdpa") for tree in trees])
    assert_close(together, alone, atol=1e-5, rtol=0)


def test_probabilities_sum_to_one_and_survive_far_scores():
    found = probabilities(torch.tensor([-1000.0, -1001.0, -5000.0]))
    assert_close(found.sum(), torch.tensor(1.0))
    assert_close(found[0] / found[1], torch.tensor(2.718281), rtol=1e-3, atol=0)


def uneven_forest():
    """One long tree among many short ones, too many for one row of its length."""
    long = build_tree(list(range(5, 95)), [QUESTION_A, QUESTION_B])
    short = [build_tree(PASSAGE[: 1 + n % 7], [(QUESTION_A, QUESTION_B)[n % 2]]) for n in range(24)]
    return forest([*short[:5], long, *short[5:]])


def test_attention_in_rows_has_the_logits_and_gradients_of_one_sequence(model):
    trees = uneven_forest()
    assert 1 < len(in_rows(trees).subtree_end) < 6  # the short ones share rows
    weights = [getattr(model.model.layers[0].self_attn, name).weight for name in ("q_proj", "k_proj", "v_proj")]
    know_rows()
    found = []
    for attention in ("sdpa", SDPA_IN_ROWS):
        model.set_attn_implementation(attention)
        logits = tree_logits(model, tree_pass(trees, attention))
        gradients = torch.autograd.grad(logits.log_softmax(-1)[:, 7].sum(), weights)
        found.append((logits.detach(), *gradients))
    assert_close(found[1], found[0], atol=1e-5, rtol=1e-4)


def test_only_attention_is_computed_in_rows(model):
    """All else sees the nodes alone, though the rows have twice as many places."""
    trees, sizes = uneven_forest(), []
    know_rows()
    model.set_attn_implementation(SDPA_IN_ROWS)
    block = model.model.layers[0]
    for layer in (block.self_attn.q_proj, block.self_attn.o_proj, block.mlp.down_proj):
        layer.register_forward_hook(lambda _, given, made: sizes.append((given[0].shape[:-1], made.shape[:-1])))
    one = tree_pass(trees, SDPA_IN_ROWS)
    score_pass(model, one)
    assert one.subtree_end.numel() > 1.2 * len(trees)
    assert sizes == [((1, len(trees)),) * 2] * 3


def test_without_a_place_it_is_transformers_own_sdpa(model):
    """Plain sequences, alone and padded in a batch, which the check on loading compares trees with."""
    know_rows()
    ids = torch.tensor([PASSAGE, PASSAGE[:4] + [0] * 3])
    expected = model(input_ids=ids, attention_mask=ids.ne(0).long()).logits
    model.set_attn_implementation(SDPA_IN_ROWS)
    found = model(input_ids=ids, attention_mask=ids.ne(0).long()).logits
    assert torch.equal(found[ids.ne(0)], expected[ids.ne(0)])


def test_the_check_on_loading_passes_with_attention_in_rows(model):
    know_rows()
    model.set_attn_implementation(SDPA_IN_ROWS)
    assert check_tree_attention(model, SDPA_IN_ROWS) <= 1e-4


def test_half_precision_is_held_to_what_it_can_hold_and_float32_is_not_excused():
    plain = torch.tensor([-1.0, -80.0])
    assert_close(tolerances(plain, 0.05, torch.bfloat16), torch.tensor([0.05, 80 / 256]))
    assert_close(tolerances(plain, 0.05, torch.float16), torch.tensor([0.05, 0.05]))
    assert_close(tolerances(plain, 1e-4, torch.float32), torch.tensor([1e-4, 1e-4]))


@pytest.mark.parametrize("bad", [1.0, float("nan")])
def test_a_model_in_half_precision_is_still_refused_for_a_wrong_score(bad, monkeypatch):
    half = random_model(FAMILIES["llama"]).bfloat16()
    check_tree_attention(half, "sdpa")
    monkeypatch.setattr(attention_check, "score_tree", lambda *arguments: score_tree(*arguments) + bad)
    with pytest.raises(TreeAttentionError, match=r"away from separate sequences \(limit 0\.|are not finite"):
        check_tree_attention(half, "sdpa")


@pytest.mark.parametrize(("whose", "passes"), [("every tree", True), ("trees with branches", False)])
def test_in_half_precision_a_kernel_may_be_as_far_off_as_it_is_on_plain_sequences(whose, passes, monkeypatch):
    """As on a GPU, where another kernel computes under a mask: 0.3 nats are far over the limit of 0.05."""
    half = random_model(FAMILIES["llama"]).bfloat16()

    def noisy(model, tree, attention):
        branches = tree.num_candidates > 1 or whose == "every tree"
        found = torch.stack([separate_score(model, ids, count) for ids, count in sequences(tree)])
        return found + 0.3 * branches * (-1.0) ** torch.arange(len(found))

    monkeypatch.setattr(attention_check, "score_tree", noisy)
    with nullcontext() if passes else pytest.raises(TreeAttentionError, match=r"0\.3 nats away"):
        assert check_tree_attention(half, "sdpa") == pytest.approx(0.3, abs=0.001)


def long_tree(nodes, number):
    return build_tree([5 + place * number % 290 for place in range(nodes)], [([10, 11], [[12, 13], [14, 15 + number]])])


def test_flex_attention_is_compiled_once_for_a_length_and_once_for_all_others(monkeypatch):
    """Its compiled CPU kernels crash on some machines, so the graph runs as it is; what is counted are the graphs."""
    graphs = CompileCounter()
    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=graphs))
    monkeypatch.setattr(WrappedFlexAttention, "_instance", None)  # it keeps what it compiled
    model, lengths, compiled = random_model(FAMILIES["llama"], attention="flex_attention"), set(), []
    for number, nodes in enumerate((300, 400, 700, 900, 1100, 1600, 300, 900), 1):
        one = tree_pass(long_tree(nodes, number), "flex_attention")
        with torch.no_grad():
            score_pass(model, one)
        lengths.add(one.token_ids.shape[1])
        compiled.append(graphs.frame_count)
    assert lengths == {512, 1024, 1536, 2048}
    assert compiled == [1, 1, 2, 2, 2, 2, 2, 2]


@pytest.mark.parametrize("attention", ["sdpa", "sdpa_in_rows", "flex_attention"])
def test_a_pass_moves_whole_and_its_mask_is_made_where_it_is(attention, monkeypatch):
    made_on = []
    monkeypatch.setattr(
        scoring, "create_block_mask", lambda *_, device, **more: made_on.append((device, more["Q_LEN"]))
    )
    one = tree_pass(uneven_forest(), attention)
    assert devices(one) == {"cpu"}
    there = one.to("meta")
    assert devices(there) == {"meta"}
    inputs = tree_inputs(there, torch.float32)
    assert ("place" in inputs) == (attention == "sdpa_in_rows")
    mask = inputs["attention_mask"]
    if attention == "flex_attention":
        assert made_on == [(torch.device("meta"), 512)]
    else:
        rows, length = one.subtree_end.shape
        assert (mask.device.type, mask.shape) == ("meta", (rows, 1, length, length))


def devices(one):
    """Where the tensors of a pass are."""
    values = (getattr(one, field.name) for field in fields(one))
    return {value.device.type for value in values if isinstance(value, torch.Tensor)}


def test_scores_that_are_no_numbers_stop_with_the_passage():
    model = random_model(FAMILIES["llama"])
    with torch.no_grad():
        model.lm_head.weight[20, 0] = float("nan")
    with pytest.raises(NonFiniteScoresError, match=r"scores for passage p\d are not finite numbers"):
        list(score_layouts(model, named_layouts(), attention="sdpa", max_nodes=1))


def named_layouts():
    """Two passages with a question each."""
    return [replace(one, text_id=f"p{number}") for number, one in enumerate(layouts(2))]
