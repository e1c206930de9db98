"""Token trees: one passage, many questions, many candidate answers in one sequence.

N nodes in depth-first order, C candidates, Q questions, P predicted tokens (the candidates' path lengths, summed).
Several trees in one sequence form a forest, which has the same type: no node of one tree sees a node of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenTree:
    """Token sequences that share prefixes, each token stored once; or a forest of such trees."""

    token_ids: Tensor
    """``[N]`` int64."""
    depth: Tensor
    """``[N]`` int64; the position id of each node."""
    subtree_end: Tensor
    """``[N]`` int64; node q sees node k when ``k <= q < subtree_end[k]``."""
    predict_node: Tensor
    """``[P]`` int64; the node whose output predicts the token."""
    predict_token: Tensor
    """``[P]`` int64; the token that it predicts."""
    predict_candidate: Tensor
    """``[P]`` int64, ascending; the candidate that the token belongs to."""
    candidate_question: Tensor
    """``[C]`` int64, ascending; the question that the candidate answers."""

    def __len__(self) -> int:
        return len(self.token_ids)

    @property
    def num_candidates(self) -> int:
        """C."""
        return len(self.candidate_question)

    @property
    def num_questions(self) -> int:
        """Q."""
        return int(self.candidate_question[-1]) + 1 if self.num_candidates else 0


def build_tree(passage: Sequence[int], questions: Sequence[tuple[Sequence[int], Sequence[Sequence[int]]]]) -> TokenTree:
    """Lay out a passage, its questions and their candidates as one tree.

    A candidate's last token is only predicted, never read, so it gets no node. Questions with a common prefix share its
    nodes, and so do the candidates of a question; duplicate candidates cost nothing.

    Args:
        passage: token ids; at least one.
        questions: for each, the token ids of its prompt (at least one) and of each candidate (at least one each).
    """
    assert passage, "a tree needs a passage"
    tokens, depths = list(passage), list(range(len(passage)))
    children: list[dict[int, int]] = [{} for _ in passage]
    root = len(passage) - 1

    def descend(node: int, token: int) -> int:
        if token not in children[node]:
            children[node][token] = len(tokens)
            tokens.append(token)
            depths.append(depths[node] + 1)
            children.append({})
        return children[node][token]

    predictions: list[tuple[int, int, int]] = []
    candidate_question: list[int] = []
    for number, (prompt, candidates) in enumerate(questions):
        assert prompt and candidates, "a question needs a prompt and candidates"
        ask = root
        for token in prompt:
            ask = descend(ask, token)
        for candidate in candidates:
            assert candidate, "a candidate needs a token"
            node = ask
            for step, token in enumerate(candidate):
                predictions.append((node, token, len(candidate_question)))
                if step < len(candidate) - 1:
                    node = descend(node, token)
            candidate_question.append(number)

    order, ends = _depth_first(children, root)
    place = [0] * len(tokens)
    for position, node in enumerate(order):
        place[node] = position
    return TokenTree(
        token_ids=torch.tensor([tokens[node] for node in order]),
        depth=torch.tensor([depths[node] for node in order]),
        subtree_end=torch.tensor(ends),
        predict_node=torch.tensor([place[node] for node, _, _ in predictions], dtype=torch.int64),
        predict_token=torch.tensor([token for _, token, _ in predictions], dtype=torch.int64),
        predict_candidate=torch.tensor([candidate for _, _, candidate in predictions], dtype=torch.int64),
        candidate_question=torch.tensor(candidate_question, dtype=torch.int64),
    )


def _depth_first(children: list[dict[int, int]], root: int) -> tuple[list[int], list[int]]:
    """Node numbers in depth-first order, and the end of the subtree at each position in that order.

    Nodes 0 to root are the passage: a chain that ends at the only branching point.
    """
    order = list(range(root))
    open_nodes = [(root, iter(children[root].values()))]
    order.append(root)
    ends = [len(children)] * (root + 1)
    places = [root]
    while open_nodes:
        _, below = open_nodes[-1]
        child = next(below, None)
        if child is None:
            open_nodes.pop()
            ends[places.pop()] = len(order)
        else:
            places.append(len(order))
            order.append(child)
            ends.append(0)
            open_nodes.append((child, iter(children[child].values())))
    return order, ends


def forest(trees: Sequence[TokenTree]) -> TokenTree:
    """Concatenate trees into one forest: batching without padding."""
    if len(trees) == 1:
        return trees[0]
    nodes = candidates = questions = 0
    parts: dict[str, list[Tensor]] = {f.name: [] for f in fields(TokenTree)}
    offsets = {"token_ids": 0, "depth": 0, "predict_token": 0}
    for tree in trees:
        offsets |= {
            "subtree_end": nodes,
            "predict_node": nodes,
            "predict_candidate": candidates,
            "candidate_question": questions,
        }
        for name, offset in offsets.items():
            parts[name].append(getattr(tree, name) + offset)
        nodes += len(tree)
        candidates += tree.num_candidates
        questions += tree.num_questions
    return TokenTree(**{name: torch.cat(tensors) for name, tensors in parts.items()})


def padded(tree: TokenTree, multiple: int) -> TokenTree:
    """The tree padded to a multiple of `multiple` nodes with nodes that see only themselves and predict nothing."""
    extra = -len(tree) % multiple
    if not extra:
        return tree
    zeros = tree.token_ids.new_zeros(extra)
    alone = torch.arange(len(tree) + 1, len(tree) + extra + 1, device=zeros.device)
    return replace(
        tree,
        token_ids=torch.cat([tree.token_ids, zeros]),
        depth=torch.cat([tree.depth, zeros]),
        subtree_end=torch.cat([tree.subtree_end, alone]),
    )


def visible(subtree_end: Tensor) -> Tensor:
    """The bool attention mask ``[..., N, N]`` of trees or forests: row q is true at q and its ancestors."""
    node = torch.arange(subtree_end.shape[-1], device=subtree_end.device)
    return (node <= node[:, None]) & (node[:, None] < subtree_end[..., None, :])


def sequences(tree: TokenTree) -> list[tuple[list[int], int]]:
    """The separate sequences that the tree stands for, one per candidate: its token ids, and how many are predicted.

    The reference that tree scores are checked against; linear in N per candidate, so for small trees only.
    """
    found = []
    for candidate in range(tree.num_candidates):
        rows = (tree.predict_candidate == candidate).nonzero().flatten()
        last = int(tree.predict_node[rows[-1]])
        ancestors = visible(tree.subtree_end)[last].nonzero().flatten()
        tokens = [*tree.token_ids[ancestors].tolist(), int(tree.predict_token[rows[-1]])]
        found.append((tokens, len(rows)))
    return found
