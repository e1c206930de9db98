"""llama.cpp beside transformers on the same trees, and what is refused in one line."""

import importlib.util
from itertools import islice

import pytest
import torch

from medalist.data.embedded.clinical import NOTES
from medalist.data.passage_files import read_passages
from medalist.models import llama_cpp
from medalist.models.base import ModelError
from medalist.models.llama_cpp import GGUFError, LlamaCpp, branches
from medalist.models.load import load_base
from medalist.trees.attention_check import TreeAttentionError
from medalist.trees.prompt import Encoder, PromptSettings
from medalist.trees.scoring import NonFiniteScoresError
from medalist.trees.tree import build_tree

NEAR = 0.05
"""Nats: llama.cpp's cache and its activations have 16 bits."""


@pytest.fixture(scope="module")
def beside(converted):
    """The same 16-bit weights in transformers, which computes in 32 bits."""
    return load_base(str(converted / "merged"), dtype="float32")


@pytest.fixture(scope="module")
def model(converted, beside):
    return LlamaCpp(converted / "f16.gguf", beside.tokenizer, max_nodes=2048)


@pytest.fixture(scope="module")
def layouts(known_run, beside):
    """Two clinical notes: several questions in each tree, with two to forty candidates."""
    inventory = known_run.inventory
    notes = list(islice(read_passages(NOTES["clinical-development"], inventory), 2))
    encoder = Encoder(beside.tokenizer, PromptSettings(max_nodes=1024), max_depth=2048)
    return [layout for note in notes for layout in encoder.encode(note, inventory)]


def test_trees_are_scored_as_by_transformers(model, beside, layouts):
    ours, theirs = (list(one.score(layouts, max_nodes=4096)) for one in (model, beside))
    assert [layout for layout, _ in ours] == layouts
    assert model.tree_error < NEAR
    for (_, found), (_, expected) in zip(ours, theirs, strict=True):
        assert [len(scores) for scores in found] == [len(scores) for scores in expected]
        assert len(expected) > 1 and float(torch.cat(expected).std()) > 1, "the model tells candidates apart"
        torch.testing.assert_close(torch.cat(found), torch.cat(expected), atol=NEAR, rtol=0)


def test_a_tree_with_more_branches_than_llama_cpp_takes_is_evaluated_in_parts_after_one_trunk(
    model, layouts, monkeypatch
):
    tree = layouts[0].tree
    whole, decoded = model.score_tree(tree), []
    evaluate = LlamaCpp._logprobs
    monkeypatch.setattr(llama_cpp, "MOST_SEQUENCES", 7)
    monkeypatch.setattr(LlamaCpp, "_logprobs", lambda *given: decoded.append(len(given[2])) or evaluate(*given))
    parts = model.score_tree(tree)
    trunk = int((tree.subtree_end == len(tree)).cumprod(0).sum())
    assert decoded[0] == trunk and len(decoded) > 3 and max(decoded[1:]) < trunk
    torch.testing.assert_close(parts, whole, atol=NEAR, rtol=0)


@pytest.mark.parametrize(("most_leaves", "max_nodes"), [(99, 99), (2, 99), (99, 9), (1, 7)])
def test_groups_of_branches_hold_every_node_below_the_trunk_with_the_leaves_below_it(most_leaves, max_nodes):
    #                      4 5 (a question) and its candidates; the last token of a candidate has no node
    tree = build_tree([1, 2, 3], [([4, 5], [[6, 7], [6, 8, 9], [7]]), ([5], [[1, 2], [1, 2]])])
    trunk, groups = branches(tree, most_leaves=most_leaves, max_nodes=max_nodes)
    assert trunk == 3
    held = set().union(*groups)
    assert held == set(range(trunk, len(tree)))
    ends = tree.subtree_end.tolist()
    for group in groups:
        assert list(group) == sorted(group) and trunk + len(group) <= max_nodes
        leaves = {leaf for members in group.values() for leaf in members}
        assert leaves == set(range(len(leaves))) and len(leaves) <= most_leaves
        for node, members in group.items():
            below = {leaf for other, leaves in group.items() if node <= other < ends[node] for leaf in leaves}
            assert set(members) == below


def test_a_mask_that_is_not_followed_is_refused_at_load(converted, beside, monkeypatch):
    def crossed(tree, **limits):
        """Two candidates take each other's token where they first differ."""
        trunk, groups = branches(tree, **limits)
        if not groups:  # a separate sequence
            return trunk, groups
        single = [node for node, members in groups[0].items() if len(members) == 1]
        one, other = next((n, k) for n in single for k in single if n < k and tree.depth[n] == tree.depth[k])
        groups[0][one], groups[0][other] = groups[0][other], groups[0][one]
        return trunk, groups

    monkeypatch.setattr(llama_cpp, "branches", crossed)
    with pytest.raises(TreeAttentionError, match=r"nats away from separate sequences with .*f16\.gguf"):
        LlamaCpp(converted / "f16.gguf", beside.tokenizer, max_nodes=512)


def test_scores_that_are_no_numbers_are_not_ranked(model, layouts, monkeypatch):
    monkeypatch.setattr(LlamaCpp, "score_tree", lambda _, tree: torch.full((tree.num_candidates,), torch.nan))
    with pytest.raises(NonFiniteScoresError, match="are not finite numbers"):
        next(model.score(layouts, max_nodes=1))


def test_what_is_no_gguf_file_is_refused_in_one_line(converted, beside, tmp_path):
    (tmp_path / "text.gguf").write_text("SpO2 93% on RA, secretphrase")
    (tmp_path / "cut.gguf").write_bytes((converted / "f16.gguf").read_bytes()[:-10_000_000])
    for name, message in (
        ("text.gguf", r"llama.cpp cannot open .*text.gguf: does not look like a valid GGUF model file"),
        ("cut.gguf", r"llama.cpp cannot open .*cut.gguf: tensor .* is not within the file bounds"),
    ):
        with pytest.raises(ModelError, match=message) as caught:
            LlamaCpp(tmp_path / name, beside.tokenizer, max_nodes=512)
        assert "\n" not in str(caught.value) and "secret" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r"nothing\.gguf does not exist"):
        LlamaCpp(tmp_path / "nothing.gguf", beside.tokenizer, max_nodes=512)


def test_another_tokenizer_than_the_file_s_own_is_refused(converted, tokenizer):
    with pytest.raises(ModelError, match="splits text into other tokens than the run's tokenizer"):
        LlamaCpp(converted / "f16.gguf", tokenizer, max_nodes=512)


def test_without_llama_cpp_the_extra_is_named(converted, beside, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "cyllama" else found(name))
    with pytest.raises(GGUFError, match=r"cyllama is missing\): pip install medalist\[gguf\]"):
        LlamaCpp(converted / "f16.gguf", beside.tokenizer, max_nodes=512)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (b"blk.1.ffn_down.weight", b"blk.1.ffn_dowx.weight", "is missing from its weights"),
        (b"tokenizer.ggml.merges", b"tokenizer.ggml.nerges", "Download or train it again"),
    ],
)
def test_a_file_that_lacks_a_weight_or_half_of_its_tokenizer_is_refused(before, after, message, converted, tmp_path):
    """transformers alone takes random numbers for the weight."""
    whole = (converted / "f16.gguf").read_bytes()
    assert before in whole
    (tmp_path / "x.gguf").write_bytes(whole.replace(before, after))
    with pytest.raises(ModelError, match=message):
        load_base(str(tmp_path / "x.gguf"))
