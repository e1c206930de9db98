"""What is asked of a model and what it answered: the marked mentions or the choice questions of an evaluation, and its
predictions on disk.

A mention counts towards accuracy when its gold is listed and there is a choice: two candidates or more. The others are
told apart by kind: `single` (nothing to choose), `absent` (the gold is not listed), `unlisted` (the short form is not),
`distractor` (no short form at all).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from ..data.inventory import Inventory
from ..data.passages import Mention, Passage
from ..data.quizzes import Choice, Quiz
from ..trees.prompt import NONE_OF_THESE
from .baselines import plain_words, spelt_out, text_around
from .metrics import Floats

Scores = dict[tuple[str, int], Floats]
"""(passage id, number of the mention) -> score of each candidate, the null candidate last; of a choice question there is
none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One mention to be answered."""

    passage: Passage
    number: int
    """Of the mention in its passage."""
    candidates: tuple[str, ...]
    """Without the null candidate."""
    gold: int | None
    kind: str
    """`choice`, `single`, `absent`, `unlisted` or `distractor`."""
    leak: bool
    """The gold, or an equivalent of it, stands elsewhere in the passage."""

    @property
    def mention(self) -> Mention:
        """The mention itself."""
        return self.passage.mentions[self.number]

    @property
    def key(self) -> tuple[str, int]:
        """Where its scores are found."""
        return self.passage.id, self.number

    def place(self) -> dict[str, Any]:
        """Where it stands, for the predictions."""
        return {"start": self.mention.start, "end": self.mention.end, "kind": self.kind, "gold": self.gold}


@dataclass(frozen=True, kw_only=True, slots=True)
class ChoiceItem:
    """One choice question to be answered."""

    passage: Quiz
    number: int
    """Of the choice in its quiz."""

    kind: str = "choice"
    """As of an `Item`: it always has a gold among two candidates or more."""

    @property
    def choice(self) -> Choice:
        """The question itself."""
        return self.passage.choices[self.number]

    @property
    def candidates(self) -> tuple[str, ...]:
        """The options."""
        return self.choice.options

    @property
    def gold(self) -> int:
        """Index of the right one."""
        return self.choice.gold

    @property
    def key(self) -> tuple[str, int]:
        """Where its scores are found."""
        return self.passage.id, self.number

    def place(self) -> dict[str, Any]:
        """What the predictions say of it beside its key."""
        return {"kind": self.kind, "gold": self.gold}


def make_items(passages: Sequence[Passage], inventory: Inventory) -> list[Item]:
    """All mentions that have a gold answer."""
    items = []
    for passage in passages:
        for number, mention in enumerate(passage.mentions):
            if mention.long_form is None:
                continue
            candidates = inventory.long_forms(mention.short_form)
            gold = candidates.index(mention.long_form) if mention.long_form in candidates else None
            if mention.long_form == NONE_OF_THESE:
                kind = "distractor"
            elif gold is None:
                kind = "absent" if candidates else "unlisted"
            else:
                kind = "choice" if len(candidates) > 1 else "single"
            words = plain_words(text_around(passage, mention))
            leak = gold is not None and bool(spelt_out(words, [candidates[gold]]))
            items.append(Item(passage=passage, number=number, candidates=candidates, gold=gold, kind=kind, leak=leak))
    return items


def make_choice_items(quizzes: Sequence[Quiz]) -> list[ChoiceItem]:
    """All choice questions."""
    return [ChoiceItem(passage=quiz, number=number) for quiz in quizzes for number in range(len(quiz.choices))]


def passage_numbers(items: Sequence[Item | ChoiceItem]) -> list[int]:
    """Which passage each item is about, as a number: what the bootstrap resamples."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(item.passage.id, len(numbers)) for item in items]


def write_predictions(items: Sequence[Item | ChoiceItem], scores: dict[str, Scores], path: Path) -> None:
    """Ids, offsets and scores, never text: `gold` counts candidates in the order of the scores, of which a mention's last is
    the null's.
    """
    rows = [
        {
            "model": name,
            "passage": item.key[0],
            "mention": item.number,
            **item.place(),
            "scores": found[item.key].tolist(),
        }
        for item in items
        for name, found in scores.items()
        if item.key in found
    ]
    partial = path.with_name(f".{path.name}.part")
    pl.DataFrame(rows, schema_overrides={"gold": pl.Int64}, infer_schema_length=None).write_parquet(partial)
    partial.replace(path)


def read_predictions(folder: Path, name: str, key: str) -> Scores | None:
    """The scores of a model if the folder holds them under this key (weights, data, inventory, wording); else None."""
    path = folder / "predictions.parquet"
    if not (folder / "metrics.json").exists() or not path.exists():
        return None
    about = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["about"]
    if about["keys"].get(name) != key:
        return None
    rows = pl.read_parquet(path).filter(pl.col("model") == name)
    return {(row["passage"], row["mention"]): np.array(row["scores"]) for row in rows.iter_rows(named=True)}


def read_scores(folder: Path) -> dict[str, Scores]:
    """The predictions of an evaluation folder, by model."""
    found: dict[str, Scores] = {}
    for row in pl.read_parquet(folder / "predictions.parquet").iter_rows(named=True):
        found.setdefault(row["model"], {})[row["passage"], row["mention"]] = np.array(row["scores"])
    return found
