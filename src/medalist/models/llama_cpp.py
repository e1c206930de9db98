"""llama.cpp as a backend: scores token trees on a CPU with a GGUF file. Needs the extra `medalist[gguf]`.

In llama.cpp a token may belong to many sequences, so the trunk of a tree, which contains the passage, is evaluated once
for all of them, followed by its branches, where each candidate is a sequence.
"""

from __future__ import annotations

import importlib
import importlib.util
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.inventory import Inventory
from ..data.passages import Mention, Passage
from ..trees.attention_check import TreeAttentionError
from ..trees.prompt import Encoder, Layout, PromptSettings
from ..trees.scoring import check_finite
from ..trees.tree import TokenTree, build_tree, sequences
from .base import ModelError

LIBRARY = "cyllama"
MOST_SEQUENCES = 256
"""llama.cpp's own limit."""
LARGEST_ERROR = 0.5
"""Maximum difference in nats between a tree and separate sequences: 8- and 4-bit weights are multiplied with 8-bit
activations, and sums depend on the shape of the batch. An ignored mask or position causes larger differences."""
_PROBES = ("Pt w/ RA, SpO2 93% on RA.\n\nPlan: CT 2.5mg bid;\tF/u 10/12.\r\n", "β-blocker 1234567 naïve 😶 don't  STOP")
_SENSES = Inventory.of(("RA", name, 0, None) for name in ("room air", "right atrium", "rheumatoid arthritis"))


class GGUFError(RuntimeError):
    """llama.cpp failed or is not installed; the message says what to do."""


def check_installed(*packages: str) -> None:
    """Raise an error if a package of the extra is missing.

    Raises:
        GGUFError: a package is missing; the message has the command that installs it.
    """
    if missing := [name for name in packages if importlib.util.find_spec(name) is None]:
        raise GGUFError(f"GGUF files need llama.cpp ({', '.join(missing)} is missing): pip install medalist[gguf]")


def library() -> tuple[Any, deque[str]]:
    """llama.cpp, and the end of its log, which is captured to keep it off the terminal.

    Raises:
        GGUFError: the extra is missing.
    """
    check_installed(LIBRARY)
    llama, log = importlib.import_module(f"{LIBRARY}.llama.llama_cpp"), deque[str](maxlen=100)
    llama.set_log_callback(lambda _level, text: log.append(text.strip()))
    llama.ggml_backend_load_all()
    return llama, log


def tokenize(gguf: Path, texts: Sequence[str]) -> list[list[int]]:
    """Tokenize texts in llama.cpp with the file's own tokenizer, including a BOS if the file adds one.

    Raises:
        GGUFError: the extra is missing.
        ModelError: llama.cpp cannot open the file.
    """
    model = _opened(gguf)
    return [_ids(model, text) for text in texts]


def _ids(model: Any, text: str) -> list[int]:
    ids: list[int] = model.get_vocab().tokenize(text, True, True)  # special tokens in a text are parsed, as elsewhere
    return ids


def _opened(gguf: Path) -> Any:
    if not gguf.is_file():
        raise FileNotFoundError(f"{gguf} does not exist")
    llama, log = library()
    # with the logits, cyllama 0.2.18 reads an attribute that its models lack
    model = type("Model", (llama.LlamaModel,), {"n_vocab": property(lambda model: model.get_vocab().n_vocab)})
    try:
        return model(str(gguf), llama.LlamaModelParams(), verbose=False)
    except (ValueError, RuntimeError, OSError) as error:
        said = next((line for line in reversed(log) if "error loading model: " in line), "")
        reason = said.partition("error loading model: ")[2] or str(error).removeprefix(f"{gguf} ")
        raise ModelError(f"llama.cpp cannot open {gguf}: {reason}") from None


class LlamaCpp:
    """A model in llama.cpp, with its tokenizer; it scores one tree at a time, so no text affects another's answers.

    Args:
        gguf: the file.
        tokenizer: transformers' tokenizer of the model.
        max_nodes: size of the trees, in tokens, that memory is allocated for; larger ones are evaluated in pieces.

    Raises:
        GGUFError: the extra is missing.
        FileNotFoundError: there is no such file.
        ModelError: llama.cpp cannot open it, or its tokens are not the tokenizer's.
        TreeAttentionError: the model does not score trees as it scores separate sequences.
    """

    def __init__(self, gguf: Path, tokenizer: Any, *, max_nodes: int) -> None:
        self.tokenizer = tokenizer
        self._model, self._max_nodes, self._alone = _opened(gguf), max_nodes, Lock()
        _check_tokens(gguf, self._model, tokenizer)
        llama, log = library()
        settings = llama.LlamaContextParams()
        settings.n_ctx = settings.n_batch = max_nodes
        settings.n_seq_max, settings.kv_unified = MOST_SEQUENCES, True
        settings.n_threads = settings.n_threads_batch = torch.get_num_threads()
        try:
            self._context = llama.LlamaContext(self._model, settings, verbose=False)
        except (ValueError, RuntimeError, MemoryError) as error:
            raise ModelError(f"llama.cpp cannot use {gguf}: {log[-1] if log else error}") from None
        self._batch = llama.LlamaBatch(n_tokens=max_nodes, embd=0, n_seq_max=MOST_SEQUENCES)
        weakref.finalize(self, _close, self._batch, self._context, self._model)  # in this order, at exit too
        self.max_depth = min(max_nodes, self._model.n_ctx_train)
        self.tree_error = self._check_trees(gguf)
        """The largest difference from separate sequences that the check found, in nats."""

    @property
    def device(self) -> torch.device:
        """The device that computes."""
        return torch.device("cpu")

    def score(
        self, layouts: Iterable[Layout], *, max_nodes: int, progress: Callable[[int], object] = lambda _: None
    ) -> Iterator[tuple[Layout, list[Tensor]]]:
        """Score trees in order, one at a time whatever `max_nodes`; otherwise as `LoadedModel.score`."""
        for layout in layouts:
            scores = self.score_tree(layout.tree)
            check_finite(scores, layout)
            sizes = layout.tree.candidate_question.bincount().tolist()
            yield layout, list(torch.split(scores, sizes))
            progress(len(sizes))

    def score_tree(self, tree: TokenTree) -> Tensor:
        """Summed log-probability of each candidate, ``[C]`` float32."""
        scores = np.zeros(tree.num_candidates)
        predicted: dict[int, list[tuple[int, int]]] = {}
        of_node = (tree.predict_node.tolist(), tree.predict_token.tolist(), tree.predict_candidate.tolist())
        for node, token, candidate in zip(*of_node, strict=True):
            predicted.setdefault(node, []).append((token, candidate))
        trunk, groups = branches(tree, most_leaves=MOST_SEQUENCES, max_nodes=self._max_nodes)
        everyone = list(range(max((1 + max(map(max, group.values())) for group in groups), default=1)))
        with self._alone:
            self._context.kv_cache_clear()
            for members in (dict.fromkeys(range(trunk), everyone), *groups):
                for candidate, logprob in self._logprobs(tree, members, predicted):
                    scores[candidate] += logprob
                for sequence in everyone:
                    self._context.memory_seq_rm(sequence, trunk, -1)
        return torch.from_numpy(scores).float()

    def _logprobs(
        self, tree: TokenTree, members: Mapping[int, Sequence[int]], predicted: dict[int, list[tuple[int, int]]]
    ) -> Iterator[tuple[int, float]]:
        """Evaluate nodes, given with their sequences, and remove from `predicted` what they predict, since a node may
        be in a later group too.

        Yields:
            A candidate and the log-probability of one of its tokens.
        """
        self._batch.clear()
        for node, belongs in members.items():
            self._batch.add(int(tree.token_ids[node]), int(tree.depth[node]), belongs, node in predicted)
        self._context.decode(self._batch)
        for row, node in enumerate(members):
            if node in predicted:
                given = self._context.get_logits_ith(row)
                logits = np.fromiter(given, np.float64, len(given))
                top = logits.max()
                total = top + np.log(np.exp(logits - top).sum())
                for token, candidate in predicted.pop(node):
                    yield candidate, float(logits[token] - total)

    def _check_trees(self, gguf: Path) -> float:
        """Score the candidates of a small text as trees and as separate sequences; refuse the model on a mismatch."""
        mentions = tuple(Mention(start=at, end=at + 2, short_form="RA") for at in (5, 20))
        probe = Passage(id="probe", text=_PROBES[0], mentions=mentions)
        worst = 0.0
        for layout in Encoder(self.tokenizer, PromptSettings(), max_depth=self.max_depth).encode(probe, _SENSES):
            alone = [
                self.score_tree(build_tree(ids[: -count - 1], [(ids[-count - 1 : -count], [ids[-count:]])]))
                for ids, count in sequences(layout.tree)
            ]
            worst = max(worst, float((self.score_tree(layout.tree) - torch.cat(alone)).abs().max()))
        if not worst <= LARGEST_ERROR:
            raise TreeAttentionError(
                f"llama.cpp scores a token tree {worst:.3g} nats away from separate sequences with {gguf} (limit "
                f"{LARGEST_ERROR}), so its results would be wrong. Choose another base model."
            )
        return worst


def _check_tokens(gguf: Path, model: Any, tokenizer: Any) -> None:
    if any(_ids(model, text) != tokenizer(text).input_ids for text in _PROBES):
        raise ModelError(
            f"{gguf} splits text into other tokens than the run's tokenizer: it is not an export of this run"
        )


def _close(*held: Any) -> None:
    for one in held:
        one.close()


def branches(tree: TokenTree, *, most_leaves: int, max_nodes: int) -> tuple[int, list[dict[int, list[int]]]]:
    """Cut a tree into its trunk, which all candidates share, and groups of branches that are small enough.

    Args:
        tree: one tree, not a forest.
        most_leaves: maximum number of leaves in a group.
        max_nodes: maximum number of nodes of the trunk and one group together.

    Returns:
        The number of nodes in the trunk, and the groups: for each node, in ascending order, the numbers of the leaves
        below it, counted from 0 in each group.
    """
    ends = tree.subtree_end.tolist()
    trunk = next((node for node, end in enumerate(ends) if end < len(ends)), len(ends))
    parents, path = [], list[int]()
    for node in range(len(ends)):
        while path and ends[path[-1]] <= node:
            path.pop()
        parents.append(path[-1] if path else -1)
        path.append(node)
    last = dict(zip(tree.predict_candidate.tolist(), tree.predict_node.tolist(), strict=True))
    groups: list[dict[int, list[int]]] = []
    leaves = 0
    for leaf in sorted({node for node in last.values() if node >= trunk}):
        node, above = leaf, list[int]()
        while node >= trunk:
            above.append(node)
            node = parents[node]
        new = sum(node not in groups[-1] for node in above) if groups else 0
        if not groups or leaves == most_leaves or trunk + len(groups[-1]) + new > max_nodes:
            groups.append({})
            leaves = 0
        for node in reversed(above):
            groups[-1].setdefault(node, []).append(leaves)
        leaves += 1
    return trunk, groups
