"""Training batches: texts laid out as trees, with an order and candidates that depend only on (seed, epoch)."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..data.inventory import Inventory
from ..data.passages import NONE_OF_THESE, Passage
from ..data.quizzes import Quiz, Text
from ..recipe import TrainingSettings
from ..trees.prompt import Encoder, Layout, sampled_candidates
from ..trees.scoring import Attention, TreePass, tree_pass
from ..trees.tree import forest


@dataclass(frozen=True, kw_only=True, slots=True)
class Lesson:
    """Training texts, with the inventory that lists the candidates of their mentions."""

    texts: Sequence[Text]
    inventory: Inventory


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingItem:
    """One text of one epoch, laid out as trees; questions without a gold answer are left out."""

    layouts: tuple[Layout, ...]
    priors: tuple[tuple[float, ...], ...] = ()
    """For each question, in the order of the layouts, the log prior of each of its candidates; empty: uniform."""


class TrainingPrior:
    """How often each sense of a short form, and "none of these", is the gold answer in the training texts.

    Args:
        texts: the training split, of which only the passages count.
        smoothing: added to each count, so that no sense gets probability 0.
    """

    def __init__(self, texts: Iterable[Text], *, smoothing: float = 2.0) -> None:
        self._counts = Counter(
            (mention.short_form, mention.long_form)
            for text in texts
            if isinstance(text, Passage)
            for mention in text.mentions
        )
        self._smoothing = smoothing

    def log_priors(self, short_form: str, long_forms: Sequence[str]) -> tuple[float, ...]:
        """Log prior, up to a constant, of each long form offered and, last, of the null candidate."""
        return tuple(
            math.log(self._counts[short_form, name] + self._smoothing) for name in (*long_forms, NONE_OF_THESE)
        )


class TreeDataset(Dataset[TrainingItem]):
    """Training texts, with an order and candidates that depend only on (seed, epoch, mention).

    Args:
        texts: passages, or quizzes, whose options are all offered; texts without a question that fits are dropped.
        encoder: lays out the texts.
        inventory: lists the candidates of mentions.
        settings: maximum number of candidates per mention.
        beside: further texts to mix in, with candidates of their own.
        seed: determines order and candidates.
        multiple: pad with empty items to a multiple of this, so that every rank gets the same number of items.
    """

    def __init__(
        self,
        texts: Sequence[Text],
        encoder: Encoder,
        inventory: Inventory,
        settings: TrainingSettings,
        *,
        beside: Sequence[Lesson] = (),
        seed: int,
        multiple: int = 1,
    ) -> None:
        self._encoder, self._settings, self._seed = encoder, settings, seed
        lessons = [Lesson(texts=texts, inventory=inventory), *beside]
        self._texts: list[tuple[Text, Inventory]] = []
        self._priors: dict[int, TrainingPrior] = {}
        for lesson in lessons:
            golds = [with_gold(text, lesson.inventory) for text in lesson.texts]
            fitting = [text for text in golds if text.num_questions and self._fits(text, lesson.inventory)]
            self._texts += [(text, lesson.inventory) for text in fitting]
            if settings.prior_offset:
                self._priors[id(lesson.inventory)] = TrainingPrior(fitting)
        if not self._texts:
            raise ValueError("No training passage has a question whose gold answer is offered and fits the window")
        self._length = math.ceil(len(self._texts) / multiple) * multiple
        self.set_epoch(0)

    def _fits(self, text: Text, inventory: Inventory) -> bool:
        return self._encoder.surely_fits(text, inventory) or bool(self._layouts(text, inventory, epoch=0))

    def set_epoch(self, epoch: int) -> None:
        """Reshuffle; called by the data loader."""
        self._epoch = epoch
        self._order = list(range(len(self._texts)))
        random.Random(f"{self._seed}:order:{epoch}").shuffle(self._order)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> TrainingItem:
        if index >= len(self._order):
            return TrainingItem(layouts=())
        text, inventory = self._texts[self._order[index]]
        layouts = self._layouts(text, inventory, epoch=self._epoch)
        prior = self._priors.get(id(inventory))
        if prior is None or isinstance(text, Quiz):
            return TrainingItem(layouts=layouts)
        priors = (
            prior.log_priors(text.mentions[number].short_form, question.long_forms)
            for layout in layouts
            for number, question in zip(layout.mentions, layout.questions, strict=True)
        )
        return TrainingItem(layouts=layouts, priors=tuple(priors))

    def _layouts(self, text: Text, inventory: Inventory, *, epoch: int) -> tuple[Layout, ...]:
        choose = sampled_candidates(self._settings.candidates, seed=self._seed, epoch=epoch)
        return tuple(self._encoder.encode(text, inventory, choose))

    @property
    def num_texts(self) -> int:
        """Texts in an epoch: those with a question that fits."""
        return len(self._texts)

    @property
    def num_mentions(self) -> int:
        """Number of questions in an epoch."""
        return sum(text.num_questions for text, _ in self._texts)


def with_gold(text: Text, inventory: Inventory) -> Text:
    """The passage with only the mentions whose gold the inventory lists or is the null answer; quizzes unchanged."""
    if isinstance(text, Quiz):
        return text
    kept = tuple(
        m for m in text.mentions if m.long_form == NONE_OF_THESE or m.long_form in inventory.long_forms(m.short_form)
    )
    return Passage(id=text.id, text=text.text, mentions=kept, source=text.source)


def collate(
    items: Sequence[TrainingItem], *, attention: Attention = "sdpa"
) -> dict[str, TreePass | Tensor | list[str]]:
    """Collate a batch on the CPU: the pass, ``gold[Q]`` and ``null[Q]`` as candidate indices, and the texts' ids.

    ``prior[C]`` is added if the items have priors. A closed question has no null candidate; its null index is its
    gold's, which drops its hidden-gold loss.

    Args:
        items: items of the training set.
        attention: the kernel for which the pass is laid out.
    """
    layouts = [layout for item in items for layout in item.layouts]
    batch: dict[str, TreePass | Tensor | list[str]] = {"text_ids": [layout.text_id for layout in layouts]}
    if not layouts:
        return batch
    trees = forest([layout.tree for layout in layouts])
    batch["trees"] = tree_pass(trees, attention)
    sizes = trees.candidate_question.bincount()
    first = sizes.cumsum(0) - sizes
    questions = [question for layout in layouts for question in layout.questions]
    golds = [question.gold for question in questions]
    assert None not in golds, "training questions have a gold answer"
    gold = first + torch.tensor(golds)
    batch["gold"] = gold
    if any(item.priors for item in items):
        batch["prior"] = torch.tensor([value for item in items for prior in item.priors for value in prior])
    batch["null"] = torch.where(torch.tensor([q.closed for q in questions]), gold, first + sizes - 1)
    return batch
