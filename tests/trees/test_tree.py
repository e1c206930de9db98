"""Token trees: layout, sharing, masks, forests."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from medalist.trees.tree import build_tree, forest, padded, sequences, visible

PASSAGE = [1, 2, 3]
QUESTIONS = [([4, 5], [[6, 7, 8], [6, 9]]), ([4, 10], [[11]])]
tokens = st.lists(st.integers(0, 5), min_size=1, max_size=5)
questions = st.lists(st.tuples(tokens, st.lists(tokens, min_size=1, max_size=5)), min_size=1, max_size=4)


def test_nodes_stand_in_depth_first_order_and_share_prefixes():
    tree = build_tree(PASSAGE, QUESTIONS)
    assert tree.token_ids.tolist() == [1, 2, 3, 4, 5, 6, 7, 10]
    assert tree.depth.tolist() == [0, 1, 2, 3, 4, 5, 6, 4]
    assert tree.subtree_end.tolist() == [8, 8, 8, 8, 7, 7, 7, 8]


def test_a_last_token_is_predicted_but_gets_no_node():
    tree = build_tree([1], [([2], [[3]])])
    assert tree.token_ids.tolist() == [1, 2]
    assert (tree.predict_node.tolist(), tree.predict_token.tolist()) == ([1], [3])


def test_a_node_sees_its_ancestors_and_itself_and_nothing_else():
    tree = build_tree(PASSAGE, QUESTIONS)
    seen = [row.nonzero().flatten().tolist() for row in visible(tree.subtree_end)]
    assert seen[6] == [0, 1, 2, 3, 4, 5, 6]
    assert seen[7] == [0, 1, 2, 3, 7], "the second question does not see the words of the first"


def test_duplicate_candidates_cost_no_nodes():
    once = build_tree(PASSAGE, [([4], [[5, 6, 7]])])
    twice = build_tree(PASSAGE, [([4], [[5, 6, 7], [5, 6, 7]])])
    assert len(once) == len(twice)
    assert twice.num_candidates == 2


@given(passage=tokens, asked=questions)
def test_a_tree_stands_for_exactly_the_separate_sequences(passage, asked):
    tree = build_tree(passage, asked)
    expected = [(passage + prompt + candidate, len(candidate)) for prompt, choices in asked for candidate in choices]
    assert sequences(tree) == expected
    assert tree.num_questions == len(asked)


@given(passage=tokens, asked=questions)
def test_depth_counts_the_ancestors_and_predictions_hang_on_them(passage, asked):
    tree = build_tree(passage, asked)
    assert torch.equal(visible(tree.subtree_end).sum(1) - 1, tree.depth)
    assert (tree.subtree_end > torch.arange(len(tree))).all()


@given(trees=st.lists(st.tuples(tokens, questions), min_size=1, max_size=4))
def test_a_forest_is_its_trees_side_by_side(trees):
    built = [build_tree(passage, asked) for passage, asked in trees]
    together = forest(built)
    assert sequences(together) == [sequence for tree in built for sequence in sequences(tree)]
    expected = torch.block_diag(*[visible(tree.subtree_end).int() for tree in built]).bool()
    assert torch.equal(visible(together.subtree_end), expected)
    assert together.num_questions == sum(tree.num_questions for tree in built)


def test_a_deep_tree_needs_no_recursion():
    tree = build_tree(list(range(3000)), [([1] * 3000, [[2] * 3000])])
    assert len(tree) == 8999


def test_padding_sees_only_itself_and_is_seen_by_nobody():
    tree = build_tree(PASSAGE, QUESTIONS)
    longer = padded(tree, 6)
    assert len(longer) == 12
    expected = torch.block_diag(visible(tree.subtree_end).int(), torch.eye(4, dtype=torch.int32)).bool()
    assert torch.equal(visible(longer.subtree_end), expected)
    assert sequences(longer) == sequences(tree)
    assert padded(tree, 4) is tree
