"""Baselines that a model must beat: the list's order, the prior, the majority sense, copying, and a bag of words.

Each answers with the index of a candidate, so it is scored like a model; a uniform prior has no single answer, so its
expected accuracy is reported.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence

import numpy as np

from ..data.inventory import Inventory
from ..data.items import Item, text_around
from ..data.passages import Mention, Passage
from ..data.spelling import spelt_out
from .metrics import Floats

_LEARNT = r"\b[^\W\d]{2,}\b"

FIRST_LISTED, PRIOR_ALONE, UNIFORM_PRIOR = "first listed sense", "prior alone", "prior alone (uniform: no counts)"
INVENTORY_ALONE = (FIRST_LISTED, PRIOR_ALONE, UNIFORM_PRIOR)
"""The baselines that use only the inventory; the third replaces the second if there are no counts."""


def inventory_baselines(items: Sequence[Item], inventory: Inventory) -> dict[str, Floats]:
    """By baseline, ``[M]``: the (expected) correctness of each question's answer, using only the inventory.

    "First listed sense" answers with the first of the list; "prior alone" with the most frequent by the inventory's
    counts, or the first listed of several. Without any counts the prior is uniform, and the expected accuracy is 1 /
    the number of candidates. A question whose gold is not listed is never right.
    """
    wanted = np.array([-1 if item.gold is None else item.gold for item in items])
    first: Floats = (wanted == 0).astype(float)
    if not inventory.has_counts:
        uniform = [0.0 if item.gold is None else 1 / len(item.candidates) for item in items]
        return {FIRST_LISTED: first, UNIFORM_PRIOR: np.array(uniform)}
    usual = np.array([majority(item.mention.short_form, item.candidates, inventory) for item in items])
    return {FIRST_LISTED: first, PRIOR_ALONE: (usual == wanted).astype(float)}


def majority(short_form: str, candidates: Sequence[str], *counts: Inventory) -> int:
    """Index of the most frequent candidate, by the first of the inventories that has counts for any candidate."""
    for inventory in counts:
        seen = [inventory.count(short_form, candidate) for candidate in candidates]
        if any(seen):
            return max(range(len(seen)), key=lambda number: (seen[number], -number))
    return 0


def copy_else_majority(words: Container[str], short_form: str, candidates: Sequence[str], *counts: Inventory) -> int:
    """Index of the candidate that the text spells out, the most frequent one of several; else the majority sense."""
    found = spelt_out(words, candidates)
    if not found:
        return majority(short_form, candidates, *counts)
    return found[majority(short_form, [candidates[n] for n in found], *counts)]


class BagOfWords:
    """Multinomial naive Bayes over the words of the passage, one classifier per short form (scikit-learn)."""

    def __init__(self, train: Sequence[Passage], short_forms: set[str]) -> None:
        """Train on marked passages; only the given short forms get a classifier."""
        from sklearn.feature_extraction.text import CountVectorizer  # slow to import
        from sklearn.naive_bayes import MultinomialNB
        from sklearn.pipeline import make_pipeline

        examples: dict[str, tuple[list[str], list[str]]] = {}
        for passage in train:
            for mention in passage.mentions:
                if mention.short_form in short_forms and mention.long_form is not None:
                    texts, labels = examples.setdefault(mention.short_form, ([], []))
                    texts.append(text_around(passage, mention))
                    labels.append(mention.long_form)
        self._models = {
            short_form: make_pipeline(CountVectorizer(token_pattern=_LEARNT), MultinomialNB()).fit(*known)
            for short_form, known in examples.items()
            if any(re.search(_LEARNT, text) for text in known[0])
        }

    def answer(self, passage: Passage, mention: Mention, candidates: Sequence[str]) -> int | None:
        """Index of the likeliest candidate; None if training saw none of them, or no words near the short form."""
        model = self._models.get(mention.short_form)
        if model is None:
            return None
        scores = dict(zip(model.classes_, model.predict_log_proba([text_around(passage, mention)])[0], strict=True))
        known = [number for number, candidate in enumerate(candidates) if candidate in scores]
        return max(known, key=lambda number: scores[candidates[number]], default=None)
