"""Measures the shipped reader on a half of the clinical notes, as `Expander` answers: accuracy, what it declines, what
it offers.

    python benchmarks/reader_test.py clinical-development
    python benchmarks/reader_test.py clinical-locked     # once per reported reader; log it in benchmarks/LOG.md

Intervals are bootstrapped over notes (2,000 resamples, 95 %).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from medalist.data.embedded import clinical, reader
from medalist.data.items import Item, make_items
from medalist.data.passage_files import read_passages
from medalist.data.passages import NONE_OF_THESE, Passage
from medalist.data.spelling import equivalence_key
from medalist.data.surroundings import surroundings
from medalist.models.adapters import load_adapter
from medalist.models.base import EMBEDDED
from medalist.models.load import load_base
from medalist.tools.progress import tracking
from medalist.trees.decisions import Calibration, decide
from medalist.trees.prompt import Encoder, PromptSettings
from medalist.trees.scoring import score_layouts

RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One mention and what was answered."""

    item: Item
    gold: int | None
    """As the item's; an equivalent wording counts."""
    sense: int | None
    """The likeliest listed sense; None where none is listed."""
    short_form: float
    probability: float
    """Of that sense being meant."""
    calibration: Calibration

    @property
    def answered(self) -> bool:
        """Whether the reader gives an answer."""
        return self.sense is not None and self.short_form >= self.calibration.short_form_from

    @property
    def offered(self) -> bool:
        """Whether it gives it without a question mark."""
        return self.answered and self.probability >= self.calibration.offered_from

    @property
    def right(self) -> bool:
        """Whether the sense is the gold."""
        return self.gold is not None and self.sense == self.gold


def rows_of(passages: Sequence[Passage]) -> list[Row]:
    """Every marked mention, answered by the reader."""
    inventory = reader.inventory()
    calibration = Calibration.read(reader.HERE / "calibration.json")
    base = load_adapter(load_base(EMBEDDED), reader.ADAPTER)
    encoder = Encoder(
        base.tokenizer,
        PromptSettings(window=reader.WINDOW, max_nodes=reader.MAX_NODES),
        max_depth=base.max_depth,
    )
    items = {item.key: item for item in make_items(passages, inventory)}
    layouts = [layout for passage in passages for layout in encoder.encode(passage, inventory)]
    rows: dict[tuple[str, int], Row] = {}
    with tracking("Reading", len(items)) as advance:
        scored = score_layouts(base.model, layouts, attention=base.attention, max_nodes=4096, progress=advance)
        for layout, found in scored:
            for number, scores in zip(layout.mentions, found, strict=True):
                item = items[layout.text_id, number]
                if not item.candidates:
                    continue
                log_priors = inventory.log_priors(item.mention.short_form)
                decision = decide(scores, log_priors, surroundings(item.passage.text, item.mention), calibration)
                sense = int(np.argmax(decision.senses))
                rows[item.key] = Row(
                    item=item,
                    gold=gold_of(item),
                    sense=sense,
                    short_form=decision.short_form,
                    probability=decision.short_form * decision.senses[sense],
                    calibration=calibration,
                )
    nothing = {"gold": None, "sense": None, "short_form": 0.0, "probability": 0.0, "calibration": calibration}
    return [rows.get(key) or Row(item=item, **nothing) for key, item in items.items()]


def gold_of(item: Item) -> int | None:
    """The item's gold; where it is not listed word for word, a listed wording with the same meaning."""
    long_form = item.mention.long_form
    if item.gold is not None or long_form in (None, NONE_OF_THESE):
        return item.gold
    own = reader.equivalents().get(long_form or "")
    key = equivalence_key(own or long_form or "")
    return next((n for n, name in enumerate(item.candidates) if equivalence_key(name) == key), None)


def figure(rows: Sequence[Row], keep: Callable[[Row], bool], good: Callable[[Row], bool]) -> str:
    """A share in per cent with its interval and count."""
    notes = sorted({row.item.passage.id for row in rows})
    place = {name: number for number, name in enumerate(notes)}
    hits, counts = np.zeros(len(notes)), np.zeros(len(notes))
    for row in rows:
        if keep(row):
            counts[place[row.item.passage.id]] += 1
            hits[place[row.item.passage.id]] += good(row)
    draw = np.random.default_rng(0).integers(0, len(notes), (RESAMPLES, len(notes)))
    drawn = hits[draw].sum(1) / np.maximum(counts[draw].sum(1), 1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{100 * hits.sum() / counts.sum():.1f} % ({100 * low:.1f}-{100 * high:.1f}), n = {int(counts.sum())}"


def better(rows: Sequence[Row], one: Callable[[Row], bool], other: Callable[[Row], bool]) -> str:
    """How far one answerer is ahead of another, paired, with interval and a two-sided p from the bootstrap over
    notes.
    """
    notes = sorted({row.item.passage.id for row in rows})
    place = {name: number for number, name in enumerate(notes)}
    gain, counts = np.zeros(len(notes)), np.zeros(len(notes))
    for row in rows:
        gain[place[row.item.passage.id]] += int(one(row)) - int(other(row))
        counts[place[row.item.passage.id]] += 1
    draw = np.random.default_rng(0).integers(0, len(notes), (RESAMPLES, len(notes)))
    drawn = gain[draw].sum(1) / counts[draw].sum(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    below = (np.sum(drawn <= 0) + 1) / (RESAMPLES + 1)
    return (
        f"{100 * gain.sum() / counts.sum():+.1f} points ({100 * low:+.1f} to {100 * high:+.1f}), p = "
        f"{min(1, 2 * below):.3f}"
    )


def usual(row: Row) -> bool:
    """Always the commonest listed sense by the prior, which is the first listed too."""
    return row.gold == 0


def main() -> None:
    """Answer and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("half", choices=sorted(clinical.NOTES))
    parser.add_argument("--limit", type=int, help="notes")
    options = parser.parse_args()
    rows = rows_of(read_passages(clinical.NOTES[options.half], reader.inventory())[: options.limit])
    choices = [row for row in rows if row.gold is not None and len(row.item.candidates) > 1]
    real = [row for row in rows if row.item.kind != "distractor"]
    alike = [row for row in rows if row.item.kind == "distractor"]
    offered = [row for row in rows if row.offered]

    def everything(_: Row) -> bool:
        return True

    print("among the listed senses of ambiguous forms:", figure(choices, everything, lambda r: r.right))
    print("  first listed = prior alone:", figure(choices, everything, usual))
    print("  ahead of it:", better(choices, lambda r: r.right, usual))
    kept_apart = [row for row in choices if not row.item.leak]
    print("  no answer leak:", figure(kept_apart, everything, lambda r: r.right))
    print("right over all mentions, free to decline:", figure(rows, everything, lambda r: correct(r)))
    print("  always the usual sense:", figure(rows, everything, usual))
    print("look-alikes left alone:", figure(alike, everything, lambda r: not r.answered))
    print("needless declines:", figure(real, lambda r: r.gold is not None, lambda r: not r.answered))
    print("offered:", figure(rows, everything, lambda r: r.offered))
    print("  of them right:", figure(offered, everything, lambda r: r.right))
    listed = [row for row in real if row.gold is not None]
    print(f"short forms listed with their sense: {len(listed)} of {len(real)}")


def correct(row: Row) -> bool:
    """A listed sense answered right, or rightly declined."""
    return row.answered and row.right if row.gold is not None else not row.answered


if __name__ == "__main__":
    main()
