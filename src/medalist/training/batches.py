"""Training batches: texts laid out as trees, in an order and with candidates that depend on (seed, epoch) alone."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch.utils.data import Dataset

from ..data.inventory import Inventory
from ..data.passages import NONE_OF_THESE, Passage
from ..data.quizzes import Quiz
from ..recipe import TrainingSettings
from ..trees.prompt import Encoder, Layout, sampled_candidates
from ..trees.tree import TokenTree, forest

TREE_FIELDS = tuple(f.name for f in fields(TokenTree))


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingItem:
    """One text of one epoch, laid out; questions without a gold answer are left out."""

    layouts: tuple[Layout, ...]


class TreeDataset(Dataset[TrainingItem]):
    """Training texts in an order, and with candidates, that are functions of (seed, epoch, mention) alone.

    Args:
        passages: or quizzes, of which every option is offered; those without a question that fits are dropped here.
        encoder: lays them out.
        inventory: lists the candidates of mentions.
        settings: candidates per mention.
        seed: of order and candidates.
        multiple: pad with empty items to a multiple of this, so that every rank gets equally many.
    """

    def __init__(
        self,
        passages: Sequence[Passage | Quiz],
        encoder: Encoder,
        inventory: Inventory,
        settings: TrainingSettings,
        *,
        seed: int,
        multiple: int = 1,
    ) -> None:
        self._encoder, self._inventory, self._settings, self._seed = encoder, inventory, settings, seed
        golds = [with_gold(passage, inventory) for passage in passages]
        self._passages = [p for p in golds if p.num_questions and self._items(p, epoch=0).layouts]
        if not self._passages:
            raise ValueError("No training passage has a question whose gold answer is offered and fits the window")
        self._length = math.ceil(len(self._passages) / multiple) * multiple
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Shuffle anew; the data loader calls this."""
        self._epoch = epoch
        self._order = list(range(len(self._passages)))
        random.Random(f"{self._seed}:order:{epoch}").shuffle(self._order)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> TrainingItem:
        if index >= len(self._order):
            return TrainingItem(layouts=())
        return self._items(self._passages[self._order[index]], epoch=self._epoch)

    def _items(self, passage: Passage | Quiz, *, epoch: int) -> TrainingItem:
        choose = sampled_candidates(self._settings.candidates, seed=self._seed, epoch=epoch)
        return TrainingItem(layouts=tuple(self._encoder.encode(passage, self._inventory, choose)))

    @property
    def num_mentions(self) -> int:
        """Questions in an epoch."""
        return sum(passage.num_questions for passage in self._passages)


def with_gold(passage: Passage | Quiz, inventory: Inventory) -> Passage | Quiz:
    """The passage with only those mentions whose gold the inventory offers, or is the null answer; a quiz as it is."""
    if isinstance(passage, Quiz):
        return passage
    kept = tuple(
        m for m in passage.mentions if m.long_form == NONE_OF_THESE or m.long_form in inventory.long_forms(m.short_form)
    )
    return Passage(id=passage.id, text=passage.text, mentions=kept, source=passage.source)


def collate(items: Sequence[TrainingItem]) -> dict[str, Any]:
    """A batch: the forest's tensors, ``gold[Q]`` and ``null[Q]`` as indices into its candidates, and passage ids.

    A closed question has no null candidate; its null is its gold, which leaves out the loss with the gold hidden.
    """
    layouts = [layout for item in items for layout in item.layouts]
    batch: dict[str, Any] = {"passages": [layout.passage for layout in layouts]}
    if not layouts:
        return batch
    trees = forest([layout.tree for layout in layouts])
    batch |= {name: getattr(trees, name) for name in TREE_FIELDS}
    sizes = trees.candidate_question.bincount()
    first = sizes.cumsum(0) - sizes
    questions = [question for layout in layouts for question in layout.questions]
    golds = [question.gold for question in questions]
    assert None not in golds, "training questions have golds"
    batch["gold"] = first + torch.tensor(golds)
    batch["null"] = torch.where(torch.tensor([q.closed for q in questions]), batch["gold"], first + sizes - 1)
    return batch
