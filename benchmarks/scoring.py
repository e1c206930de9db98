"""Mentions per second when a model ranks the candidates of a mention: Medalist against the usual alternatives.

All sides run SmolLM2-135M-Instruct in fp32 on the CPU, on the same passages (194 words, 4 mentions, 15 candidates and
the null candidate each) and the same token ids. Slow sides use only the first passages, and are compared with
Medalist's time on those. The ranking sides must agree to 1e-3 nats, or the benchmark fails.

The alternatives are run at their best: no padding before the prompt, and logits only at positions that predict a
candidate's token. They are transformers' forward passes with PyTorch's own products; Medalist's is its own, with
oneDNN's (docs/speed.md), and its trees in transformers' are a side too, and on CPUs that have it, bfloat16, whose
answers may differ: the text says by how much. The last two sides have these with a LoRA
adapter with random weights, unmerged and merged. The merged one repeats their work, so the difference is the noise of
the machine.

    python benchmarks/scoring.py             # about 5 minutes on 2 cores
    python benchmarks/scoring.py --passages 1 --cache-passages 1 --row-passages 1 --candidates 3 --generate 1
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from common import BASE, CANDIDATES, count_option, machine, medal_shaped, progress, table, timed
from torch import Tensor
from transformers import DynamicCache
from transformers.utils import logging

from medalist.models.adapters import add_adapter
from medalist.models.load import LoadedModel, load_base
from medalist.models.precision import cpu_has_bfloat16
from medalist.models.products import slow_down
from medalist.models.scorer import load_scorer
from medalist.recipe import TrainingSettings
from medalist.trees.prompt import Encoder, Layout, PromptSettings
from medalist.trees.scoring import score_layouts
from medalist.trees.tree import sequences

TOLERANCE = 1e-3
"""The largest difference allowed between two sides on one candidate, in nats."""
TOP, TREES, SHORT = "medalist", "medalist's trees in transformers", "medalist in bfloat16"


@dataclass(frozen=True)
class Side:
    """One row of the table."""

    name: str
    mentions: int
    seconds: float
    medalist_seconds: float
    """Medalist's time for the same number of mentions of the same passages."""

    @property
    def ratio(self) -> float:
        """How many times as fast Medalist is."""
        return self.seconds / self.medalist_seconds

    def row(self) -> list[object]:
        """Its cells."""
        return [
            self.name,
            self.mentions,
            self.seconds / self.mentions,
            self.mentions / self.seconds,
            f"{self.ratio:.2f}x",
        ]


def score_trees(model: Any, layouts: Sequence[Layout]) -> tuple[list[Tensor], list[float]]:
    """Medalist's scores of each layout's candidates, and the seconds per layout."""
    scores, seconds, began = [], [], time.perf_counter()
    for _, values in score_layouts(model, layouts, attention="sdpa", max_nodes=1):
        scores.append(torch.cat(values))
        seconds.append(time.perf_counter() - began)
        began = time.perf_counter()
    return scores, seconds


def score_with_cache(model: Any, candidates: Sequence[tuple[list[int], int]]) -> Tensor:
    """One mention: passage and prompt once, then its candidates as one padded batch that continues from the cache."""
    ids, predicted = candidates[0]
    tails = [ids[-predicted:] for ids, predicted in candidates]
    cache = DynamicCache(config=model.config)
    context = model(
        input_ids=torch.tensor([ids[:-predicted]]), past_key_values=cache, use_cache=True, logits_to_keep=1
    ).logits[0, 0]
    first = context.log_softmax(-1)[torch.tensor([tail[0] for tail in tails])]
    cache.batch_repeat_interleave(len(tails))
    hidden = model.model(
        input_ids=pad([tail[:-1] for tail in tails]), past_key_values=cache, use_cache=True
    ).last_hidden_state
    return first + predicted_scores(model, hidden, [0] * len(tails), [tail[1:] for tail in tails])


def score_rows(model: Any, rows: Sequence[tuple[list[int], int]], batch: int) -> Tensor:
    """Each whole sequence separately, in batches sorted by length, like lm-eval's loglikelihood requests."""
    order = sorted(range(len(rows)), key=lambda number: -len(rows[number][0]))
    scores = torch.zeros(len(rows))
    for at in range(0, len(order), batch):
        chosen = order[at : at + batch]
        hidden = model.model(
            input_ids=pad([rows[number][0][:-1] for number in chosen]), use_cache=False
        ).last_hidden_state
        starts = [len(rows[number][0]) - rows[number][1] - 1 for number in chosen]
        tails = [rows[number][0][-rows[number][1] :] for number in chosen]
        scores[chosen] = predicted_scores(model, hidden, starts, tails)
    return scores


def pad(rows: Sequence[list[int]]) -> Tensor:
    """Rows of token ids as one tensor, padded on the right, where causal attention does not look."""
    longest = max(map(len, rows))
    return torch.tensor([row + [0] * (longest - len(row)) for row in rows])


def predicted_scores(model: Any, hidden: Tensor, starts: Sequence[int], tails: Sequence[list[int]]) -> Tensor:
    """Summed log-probability of each row's tail; the output at a row's start predicts the first token of its tail."""
    row = torch.tensor([number for number, tail in enumerate(tails) for _ in tail])
    place = torch.tensor([start + step for start, tail in zip(starts, tails, strict=True) for step in range(len(tail))])
    token = torch.tensor([token for tail in tails for token in tail])
    logits = model.lm_head(hidden[row, place])
    token_scores = logits[torch.arange(len(token)), token] - logits.logsumexp(-1)
    return torch.zeros(len(tails)).index_add(0, row, token_scores)


def generate(base: LoadedModel, text: str, new_tokens: int) -> int:
    """Generate an answer as the article does, and return how many tokens were generated."""
    given = base.tokenizer(f"<s>[INST] {text} [/INST]", return_tensors="pt")
    settings = {"do_sample": True, "temperature": 0.9, "max_new_tokens": new_tokens}
    written = base.model.generate(input_ids=given.input_ids, attention_mask=given.attention_mask, **settings)
    return int(written.shape[1] - given.input_ids.shape[1])


def add_random_adapter(base: LoadedModel) -> Any:
    """Add a LoRA adapter as in training, with random values that change the scores."""
    model = add_adapter(base, TrainingSettings())
    torch.manual_seed(0)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=1e-2)
    return model


def questions_of(layout: Layout) -> list[list[tuple[list[int], int]]]:
    """For each mention, each candidate's whole sequence and how many of its tokens are predicted."""
    found: list[list[tuple[list[int], int]]] = [[] for _ in layout.questions]
    for question, sequence in zip(layout.tree.candidate_question.tolist(), sequences(layout.tree), strict=True):
        found[question].append(sequence)
    return found


def largest_difference(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """Largest difference between the scores of the layouts that both sides have."""
    return max(float((a - b).abs().max()) for a, b in zip(one, other, strict=False))


def same_first(layouts: Sequence[Layout], one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """Share of the mentions for which two sides rank the same candidate first."""
    same = [
        a.argmax() == b.argmax()
        for layout, mine, theirs in zip(layouts, one, other, strict=True)
        for sizes in [layout.tree.candidate_question.bincount().tolist()]
        for a, b in zip(mine.split(sizes), theirs.split(sizes), strict=True)
    ]
    return sum(map(bool, same)) / len(same)


def demand_same(what: str, difference: float) -> None:
    """Exit if two sides compute different things, since their timings would not be comparable."""
    if not difference <= TOLERANCE:
        raise SystemExit(f"{what} differ by {difference:.3g} nats, more than {TOLERANCE:g}: not the same work")


def main() -> None:
    options = parse()
    logging.set_verbosity_error()
    base = load_base(BASE, dtype="float32", device="cpu")
    slow_down(base.model)
    model, ours = base.model, load_scorer(BASE).model
    passages, inventory = medal_shaped(options.passages, candidates=options.candidates)
    encoder = Encoder(base.tokenizer, PromptSettings(), max_depth=base.max_depth)
    layouts = [layout for passage in passages for layout in encoder.encode(passage, inventory)]
    mentions = [len(layout.questions) for layout in layouts]
    everything = sum(mentions)

    for one in (model, ours):
        score_trees(one, layouts[:1])  # warms up
    progress(f"{TOP}: {everything} mentions")
    scores, each, theirs, plainly, rough, shortly = [], [], [], [], [], []
    turns = [(ours, scores, each), (model, theirs, plainly)]
    if cpu_has_bfloat16():
        turns.append((load_scorer(BASE, dtype="bfloat16").model, rough, shortly))
    for layout in layouts:  # in turn, so that a busy machine is as busy for all
        for one, found, seconds_each in turns:
            values, took = score_trees(one, [layout])
            found += values
            seconds_each += took
    demand_same("Trees here and in transformers", largest_difference(scores, theirs))
    sides = [
        Side(TOP, everything, sum(each), sum(each)),
        Side(TREES, everything, sum(plainly), sum(each)),
    ]
    short = [Side(SHORT, everything, sum(shortly), sum(each))] if rough else []

    with torch.inference_mode():
        part = [questions_of(layout) for layout in layouts[: options.cache_passages]]
        count = sum(mentions[: len(part)])
        progress(f"Row by row, KV cache: {count} mentions")
        seconds, cached = timed(
            lambda: [torch.cat([score_with_cache(model, rows) for rows in asked]) for asked in part]
        )
        sides.append(Side("row by row, KV cache", count, seconds, sum(each[: len(part)])))

        whole = [sequences(layout.tree) for layout in layouts[: options.row_passages]]
        count = sum(mentions[: len(whole)])
        progress(f"Row x candidate: {count} mentions")
        seconds, separate = timed(lambda: [score_rows(model, rows, options.batch) for rows in whole])
        sides.append(Side("row x candidate, as in lm-eval", count, seconds, sum(each[: len(whole)])))

        differences = [largest_difference(scores, cached), largest_difference(scores, separate)]
        demand_same("The ranking sides", max(differences))

        texts = [passage.text for passage in passages[: options.generate]]
        progress(f"Generation: {len(texts)} mentions")
        torch.manual_seed(0)
        seconds, written = timed(lambda: [generate(base, text, options.new_tokens) for text in texts])
        sides.append(Side("generation, as in the article", len(texts), seconds, sum(each) / everything * len(texts)))

    adapted = add_random_adapter(base)
    progress(f"LoRA unmerged: {everything} mentions")
    beside, unmerged = score_trees(adapted, layouts)
    sides.append(Side(f"{TREES}, LoRA unmerged", everything, sum(unmerged), sum(each)))
    model = adapted.merge_and_unload()
    progress(f"LoRA merged: {everything} mentions")
    inside, merged = score_trees(model, layouts)
    sides.append(Side(f"{TREES}, LoRA merged", everything, sum(merged), sum(each)))
    apart = largest_difference(beside, inside)
    demand_same("Scores with the adapter unmerged and merged", apart)

    print(f"## Ranking candidates\n\n{machine()}\n")
    print(
        f"Same work: largest difference {max(differences):.1e} nats (KV cache {differences[0]:.1e}, row x candidate "
        f"{differences[1]:.1e}); between adapter unmerged and merged {apart:.1e}, while the adapter itself changes "
        f"scores by up to {largest_difference(scores, inside):.2g} nats.\n"
    )
    heading = ["side", "mentions", "s/mention", "mentions/s", "speed-up of medalist"]
    print(table(heading, [side.row() for side in sides + short]))
    nodes = sum(len(layout.tree) for layout in layouts)
    print(
        f"\nMedalist ranks a mention {sides[2].ratio:.1f} times as fast as row by row with a KV cache, "
        f"{sides[3].ratio:.1f} times as fast as with each candidate's whole sequence, and "
        f"{sides[4].ratio:.1f} times as fast as the model generates {sum(written) / len(written):.0f} tokens. "
        f"It processes {nodes / everything:.0f} tokens per mention and "
        f"{nodes / sum(each):.0f} tokens/s; {nodes / sum(unmerged):.0f} with the adapter unmerged, "
        f"{nodes / sum(merged):.0f} with it merged (unmerged takes {sum(unmerged) / sum(merged):.2f} times as long)."
    )
    for side in short:
        print(
            f"In bfloat16 it is {1 / side.ratio:.2f} times as fast; its scores differ by up to "
            f"{largest_difference(scores, rough):.2g} nats, and for {same_first(layouts, scores, rough):.1%} of the "
            "mentions it ranks the same candidate first."
        )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    count_option(parser, "--passages", 8, "passages that Medalist ranks")
    count_option(parser, "--candidates", CANDIDATES, "candidates of each mention, not counting the null candidate")
    count_option(parser, "--cache-passages", 3, "passages ranked row by row with a KV cache")
    count_option(parser, "--row-passages", 2, "passages ranked by whole sequences")
    count_option(parser, "--batch", 8, "sequences in one forward pass of that side")
    count_option(
        parser, "--generate", 3, "mentions that the model generates an answer for, each from a different passage"
    )
    count_option(parser, "--new-tokens", 128, "tokens of a generated answer")
    return parser.parse_args()


if __name__ == "__main__":
    main()
