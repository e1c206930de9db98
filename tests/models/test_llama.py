"""The forward pass of its own for scoring agrees with transformers', and computes no pair that sees nothing."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close
from transformers import LlamaConfig, LlamaForCausalLM

from medalist.models import llama
from medalist.models.llama import Llama, Parts, fits, linear, read_weights
from medalist.models.precision import cpu_has_bfloat16
from medalist.trees.attention_check import check_tree_attention
from medalist.trees.scoring import score_tree
from medalist.trees.tree import build_tree, forest, visible


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same random weights in transformers and here: output not tied, more query than key heads, odd sizes."""
    config = LlamaConfig(
        vocab_size=101,
        hidden_size=48,
        intermediate_size=56,
        num_hidden_layers=3,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=10,
        rope_parameters={"rope_type": "default", "rope_theta": 700.0},
        tie_word_embeddings=False,
        initializer_range=0.2,
        attn_implementation="sdpa",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = LlamaForCausalLM(config).float().eval()
        for name, weight in theirs.named_parameters():
            if name.endswith("norm.weight"):
                weight.data.uniform_(0.5, 1.5)  # all ones would hide that one of them is left out
    folder = tmp_path_factory.mktemp("llama")
    theirs.save_pretrained(folder)
    return theirs, Llama(config.to_dict(), read_weights(folder))


def wide_tree(seed=0):
    """A passage of 40 tokens with 9 questions, five of which begin alike, and 2 to 20 candidates each."""
    draw = torch.Generator().manual_seed(seed)

    def tokens(count):
        return torch.randint(0, 101, (count,), generator=draw).tolist()

    shared = tokens(6)
    questions = [
        ((shared if n < 5 else []) + tokens(3 + n), [tokens(1 + n % 3) + tokens(2) for _ in range(2 + 2 * n)])
        for n in range(9)
    ]
    return build_tree(tokens(40), questions)


@pytest.mark.parametrize("part", [1, 7, 33, 96, 10_000])
def test_it_scores_trees_and_forests_as_transformers_does(both, monkeypatch, part):
    """However many nodes a part takes: with one, most are upper nodes; with very many, none is."""
    theirs, ours = both
    monkeypatch.setattr(llama, "PART", part)
    for tree in (wide_tree(), build_tree([5], [([7], [[9]])]), forest([wide_tree(1), wide_tree(2)])):
        with torch.inference_mode():
            assert_close(score_tree(ours, tree, "sdpa"), score_tree(theirs, tree, "sdpa"), atol=5e-5, rtol=0)


def test_it_reads_plain_sequences_as_transformers_does(both):
    theirs, ours = both
    rows = torch.randint(0, 101, (2, 30), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert_close(ours(input_ids=rows).logits, theirs(input_ids=rows).logits, atol=5e-5, rtol=0)


def test_its_trees_keep_to_its_plain_sequences_and_a_wrong_mask_is_seen(both, monkeypatch):
    ours = both[1]
    assert check_tree_attention(ours, "sdpa") <= 1e-4
    whole = Parts.of
    monkeypatch.setattr(Parts, "of", lambda ends: whole(torch.full_like(ends, len(ends))))
    with pytest.raises(ValueError, match="away from separate sequences"):
        check_tree_attention(ours, "sdpa")


def test_parts_hold_each_node_once_with_all_that_it_sees(monkeypatch):
    monkeypatch.setattr(llama, "PART", 33)
    tree = forest([wide_tree(1), wide_tree(2)])
    parts = Parts.of(tree.subtree_end)
    own = parts.part[parts.real]
    assert sorted([*parts.upper.tolist(), *own.tolist()]) == list(range(len(tree)))
    seen = torch.zeros(len(tree), len(tree), dtype=torch.bool)
    seen[parts.upper[:, None], parts.upper] = parts.upper_mask == 0
    for place, mask, real in zip(parts.part, parts.part_mask[:, 0] == 0, parts.real, strict=True):
        for node, row in zip(place[real], mask[real], strict=True):
            seen[node, torch.cat([parts.upper, place])[row]] = True
    assert torch.equal(seen, visible(tree.subtree_end))


def test_parts_leave_out_most_hidden_pairs():
    tree = wide_tree()
    parts = Parts.of(tree.subtree_end)
    computed = parts.upper_mask.numel() + parts.part_mask.numel()
    assert computed < len(tree) ** 2 / 2


def test_products_have_few_numbers_of_rows(both, monkeypatch):
    """oneDNN keeps the code that it compiles for each: hundreds of megabytes for notes of many lengths."""
    seen, ours = set(), both[1]
    monkeypatch.setattr(llama, "linear", lambda rows, weight: seen.add(len(rows)) or linear(rows, weight))
    for length in range(33, 65):
        tree = build_tree(list(range(length)), [([7], [[9, 5], [11]])])
        with torch.inference_mode():
            score_tree(ours, tree, "sdpa")
            ours(input_ids=torch.arange(length)[None])
    assert seen == {32, 64, 96}


@pytest.mark.skipif(not cpu_has_bfloat16(), reason="this CPU has no instructions for bfloat16")
def test_in_bfloat16_only_the_products_of_the_layers_are_rounded(both):
    """So scores stay close, and the vocabulary's logits, of which bfloat16 keeps eight bits, are float32."""
    theirs, ours = both
    short = Llama(vars(ours.config), dict(theirs.state_dict()), torch.bfloat16)
    assert check_tree_attention(short, "sdpa") <= 0.05
    tree = wide_tree()
    with torch.inference_mode():
        exact, found = score_tree(ours, tree, "sdpa"), score_tree(short, tree, "sdpa")
        logits = short(input_ids=torch.tensor([[5, 6, 7]])).logits
    assert 0 < float((exact - found).abs().max()) < 0.2
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, logits.bfloat16().float())


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "mistral"},
        {"architectures": ["LlamaForSequenceClassification"]},
        {"attention_bias": True},
        {"mlp_bias": True},
        {"hidden_act": "gelu"},
        {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0}},
        {"rope_parameters": None},
    ],
)
def test_a_llama_with_other_options_is_left_to_transformers(change):
    config = LlamaConfig(architectures=["LlamaForCausalLM"]).to_dict()
    assert fits(config)
    assert not fits(config | change)
