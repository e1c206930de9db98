"""How llama.cpp ranks candidates with an exported run, compared with transformers on the same token ids.

The run is merged once and written as GGUF files with 16-, 8- and about 5-bit weights. transformers scores the merged
weights in fp32; llama.cpp, with its default settings, loads each file and runs the same token trees, one question at a
time. In llama.cpp a token may belong to many sequences, so a tree is one batch. A tree's scores must equal those of
separate sequences in llama.cpp, and its tokenizer must give the run's ids, or the benchmark fails. Needs
`medalist[gguf]`.

    python benchmarks/export.py --run runs/demo                  # 50 mentions, about 10 minutes on 2 cores
    python benchmarks/export.py --run runs/demo --mentions 3 --types q8_0
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from common import count_option, machine, progress, table, timed
from cyllama.llama import llama_cpp

from medalist.data.items import Item, make_items
from medalist.evaluation.metrics import Floats
from medalist.models.load import LoadedModel, load_base
from medalist.runs.held_out import HeldOut, held_out
from medalist.runs.run import open_run
from medalist.sharing.export import gguf_metadata, merge_run
from medalist.sharing.gguf import convert, quantize, tokenize
from medalist.trees.prompt import Encoder, Layout
from medalist.trees.scoring import score_layouts
from medalist.trees.tree import TokenTree, sequences

TYPES = ("f16", "q8_0", "q4_k_m")
SAME = 0.1
"""Nats by which a tree and separate sequences may differ in llama.cpp: its cache has 16 bits, its activations have 8
with 8- and 4-bit weights, and its sums depend on the shape of the batch."""
MAX_SEQUENCES = 256
"""llama.cpp's own limit."""


class Model(llama_cpp.LlamaModel):
    """Adds an attribute that cyllama 0.2.18 itself reads with the logits, but does not define."""

    @property
    def n_vocab(self) -> int:
        """Size of the vocabulary."""
        return self.get_vocab().n_vocab


class LlamaCpp:
    """Log-probabilities of candidates from llama.cpp."""

    def __init__(self, path: Path, threads: int, longest: int) -> None:
        llama_cpp.set_log_callback(lambda _level, _text: None)
        llama_cpp.ggml_backend_load_all()
        self._model = Model(str(path), llama_cpp.LlamaModelParams(), verbose=False)
        settings = llama_cpp.LlamaContextParams()
        settings.n_ctx = settings.n_batch = settings.n_ubatch = longest
        settings.n_seq_max, settings.kv_unified = MAX_SEQUENCES, True
        settings.n_threads = settings.n_threads_batch = threads
        self._context = llama_cpp.LlamaContext(self._model, settings, verbose=False)

    def _logprobs(self, tokens: Sequence[tuple[int, int, list[int]]], wanted: set[int]) -> dict[int, Floats]:
        """``[V]`` log-probabilities after each wanted row of ``(token, position, sequences)``."""
        self._context.kv_cache_clear()
        batch = llama_cpp.LlamaBatch(n_tokens=len(tokens), embd=0, n_seq_max=MAX_SEQUENCES)
        for row, (token, position, members) in enumerate(tokens):
            batch.add(token, position, members, row in wanted)
        self._context.decode(batch)
        found = {}
        for row in wanted:
            logits = np.asarray(self._context.get_logits_ith(row), dtype=np.float64)
            found[row] = logits - (logits.max() + np.log(np.exp(logits - logits.max()).sum()))
        return found

    def tree(self, tree: TokenTree) -> Floats:
        """Summed log-probability of each candidate, ``[C]``: a node belongs to the sequences of all candidates below
        it.
        """
        last = {int(c): int(n) for c, n in zip(tree.predict_candidate, tree.predict_node, strict=True)}
        ends = tree.subtree_end.tolist()
        assert len(last) <= MAX_SEQUENCES
        tokens = [
            (token, depth, [candidate for candidate, leaf in last.items() if node <= leaf < ends[node]])
            for node, (token, depth) in enumerate(zip(tree.token_ids.tolist(), tree.depth.tolist(), strict=True))
        ]
        logprobs = self._logprobs(tokens, set(tree.predict_node.tolist()))
        scores = np.zeros(tree.num_candidates)
        for node, token, candidate in zip(tree.predict_node, tree.predict_token, tree.predict_candidate, strict=True):
            scores[int(candidate)] += logprobs[int(node)][int(token)]
        return scores

    def separate(self, tree: TokenTree) -> Floats:
        """The same, one plain sequence per candidate."""
        scores = []
        for ids, count in sequences(tree):
            rows = range(len(ids) - count - 1, len(ids) - 1)
            logprobs = self._logprobs([(token, place, [0]) for place, token in enumerate(ids[:-1])], set(rows))
            scores.append(sum(logprobs[row][ids[row + 1]] for row in rows))
        return np.array(scores)


def main() -> None:
    arguments = parse()
    run = open_run(arguments.run)
    held = held_out(run, HeldOut(data=arguments.data, inventory=arguments.inventory))
    items = [item for item in make_items(held.passages, held.inventory) if item.kind == "choice"][: arguments.mentions]
    # One mention per passage, so a tree has one question and its candidates stay within llama.cpp's limit.
    passages = [replace(i.passage, id=f"{i.passage.id}:{i.number}", mentions=(i.mention,)) for i in items]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        merge_run(run, folder / "merged", dtype="float16")
        loaded = load_base(str(folder / "merged"), dtype="float32")
        encoder = Encoder(loaded.tokenizer, run.recipe.prompt, max_depth=loaded.max_depth)
        layouts = [layout for passage in passages for layout in encoder.encode(passage, held.inventory)]
        if len(layouts) < len(items):
            raise SystemExit("A mention does not fit the model's window: use other --data")
        progress(f"transformers: {len(layouts)} questions")
        seconds, reference = timed(partial(rank_by_transformers, loaded, layouts))
        rows = [["transformers, fp32", "", *compared(reference, reference, items), seconds]]
        convert(folder / "merged", folder / "f16.gguf", gguf_metadata(run))
        for kind in arguments.types:
            path = folder / f"{kind}.gguf"
            if kind != "f16":
                quantize(folder / "f16.gguf", path, kind)
            texts = sorted({passage.text for passage in passages})
            ids = [list(loaded.tokenizer(text).input_ids) for text in texts]
            others = sum(a != b for a, b in zip(tokenize(path, texts), ids, strict=True))
            if others:
                raise SystemExit(f"llama.cpp splits {others} of {len(texts)} texts into different tokens")
            llama = LlamaCpp(path, arguments.threads, max(len(layout.tree) for layout in layouts) + 64)
            smallest = min((layout.tree for layout in layouts), key=lambda tree: tree.num_candidates)
            gap = float(np.abs(llama.tree(smallest) - llama.separate(smallest)).max())
            if gap > SAME:
                raise SystemExit(f"{kind}: a tree differs by {gap:.3g} nats from separate sequences in llama.cpp")
            progress(
                f"llama.cpp, {kind}: a tree differs by {gap:.2g} nats from separate sequences; {len(layouts)} questions"
            )
            seconds, found = timed(partial(list, map(llama.tree, [layout.tree for layout in layouts])))
            rows.append([f"llama.cpp, {kind}", path.stat().st_size / 1e6, *compared(reference, found, items), seconds])
    print(f"## Exported to GGUF\n\n{machine()}. {len(items)} mentions of {run.folder.name}.\n")
    header = ["", "file, MB", "accuracy, %", "same answer, %", "mean difference of a log-probability", "largest", "s"]
    print(table(header, rows))


def rank_by_transformers(loaded: LoadedModel, layouts: Sequence[Layout]) -> list[Floats]:
    """Scores of each question's candidates."""
    scored = score_layouts(loaded.model, layouts, attention=loaded.attention, max_nodes=4096)
    return [scores.double().numpy() for _, (scores,) in scored]


def compared(one: Sequence[Floats], other: Sequence[Floats], items: Sequence[Item]) -> list[object]:
    """Accuracy of `other`, how often both give the same answer, and how much a candidate's log-probabilities differ."""
    answers = [[int(scores[:-1].argmax()) for scores in side] for side in (one, other)]
    right = [answer == item.gold for answer, item in zip(answers[1], items, strict=True)]
    same = [a == b for a, b in zip(*answers, strict=True)]
    apart = np.concatenate([abs(a - b) for a, b in zip(one, other, strict=True)])
    return [100 * float(np.mean(right)), 100 * float(np.mean(same)), float(apart.mean()), float(apart.max())]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="a trained run's folder")
    parser.add_argument("--data", type=Path, help="marked passages (default: the run's test split)")
    parser.add_argument("--inventory", type=Path, help="sense inventory (default: the run's)")
    count_option(parser, "--mentions", 50, "mentions to rank")
    count_option(parser, "--threads", 2, "threads of llama.cpp")
    parser.add_argument("--types", nargs="+", choices=TYPES, default=TYPES, help="GGUF files to make")
    return parser.parse_args()


if __name__ == "__main__":
    main()
