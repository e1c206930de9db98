"""Compares a run's tuned model with a model exported from it, on the same questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ..data.inventory import Inventory
from ..data.items import ChoiceItem, Item, make_choice_items, make_items, passage_numbers
from ..data.passages import Passage
from ..data.quizzes import Quiz, Text
from .metrics import Estimate, PassageBootstrap, softmax
from .predictions import Scores


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Accuracy of a run's tuned model and of the exported model on the same questions."""

    before: Estimate
    after: Estimate
    difference: Estimate
    """After minus before, paired."""
    p: float
    passages: int
    changed: int
    """Number of questions whose answer changed."""
    largest_shift: float
    """Largest change in a candidate's probability, including "none of these"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Export:
    """An exported model, and how it differs from the run's tuned model."""

    path: Path
    form: Literal["merged", "gguf"]
    type: str
    """"bfloat16", "float16" or "float32"; for a GGUF file "f16", "q8_0" or "q4_k_m"."""
    comparison: Comparison
    other_tokens: int = 0
    """Number of passages that llama.cpp tokenizes differently from the run's tokenizer."""

    def record(self) -> dict[str, object]:
        """The export as JSON values."""
        return asdict(self) | {"path": str(self.path)}


def compare_scores(
    texts: Sequence[Text], inventory: Inventory, before: Scores, after: Scores, *, resamples: int
) -> Comparison:
    """Compare two models' scores on choice questions, and on mentions with a listed gold and a second candidate.

    Raises:
        ValueError: there are no such questions.
    """
    passages = [text for text in texts if isinstance(text, Passage)]
    quizzes = [text for text in texts if isinstance(text, Quiz)]
    asked: list[Item | ChoiceItem] = [*make_items(passages, inventory), *make_choice_items(quizzes)]
    items = [item for item in asked if item.kind == "choice" and item.key in before and item.key in after]
    if not items:
        raise ValueError("No mention has a listed gold answer and a second candidate, so there is nothing to measure")
    answers = [np.array([item.best(found[item.key]) for item in items]) for found in (before, after)]
    gold = np.array([item.gold for item in items])
    bootstrap = PassageBootstrap(passage_numbers(items), resamples=resamples)
    shares = [bootstrap.share(answer == gold) for answer in answers]
    difference = bootstrap.difference(*(answer == gold for answer in answers))
    assert shares[0] and shares[1] and difference, "there are mentions"
    return Comparison(
        before=shares[0],
        after=shares[1],
        difference=difference[0],
        p=difference[1],
        passages=len({item.key[0] for item in items}),
        changed=int((answers[0] != answers[1]).sum()),
        largest_shift=max(float(abs(softmax(before[i.key]) - softmax(after[i.key])).max()) for i in items),
    )
