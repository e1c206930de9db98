"""What is asked of a model, one item each: the marked mentions of passages, or the choice questions of quizzes.

A mention counts towards accuracy when its gold is listed and there is a choice: two candidates or more. The others are
told apart by kind: `single` (nothing to choose), `absent` (the gold is not listed), `unlisted` (the short form is not),
`distractor` (no short form at all).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from .inventory import Inventory
from .passages import NONE_OF_THESE, Mention, Passage
from .quizzes import Choice, Quiz
from .spelling import plain_words, spelt_out


def text_around(passage: Passage, mention: Mention) -> str:
    """The passage without the mention itself."""
    return f"{passage.text[: mention.start]} {passage.text[mention.end :]}"


class Place(TypedDict, total=False):
    """What the predictions say of an item beside its key."""

    start: int
    end: int
    kind: str
    gold: int | None


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

    @property
    def listed_gold(self) -> int:
        """Index of the gold among the candidates, of an item that lists it."""
        assert self.gold is not None, "the gold is listed"
        return self.gold

    @property
    def gold_answer(self) -> str:
        """The gold long form, of an item that lists it."""
        return self.candidates[self.listed_gold]

    def best(self, scores: NDArray[np.float64]) -> int:
        """The candidate with the best of ``scores[C + 1]``; the null candidate does not compete."""
        return int(scores[:-1].argmax())

    def declined_without_gold(self, scores: NDArray[np.float64]) -> bool:
        """Whether, of ``scores[C + 1]``, the null candidate's is the best once the gold is hidden."""
        return bool(np.delete(scores[:-1], self.listed_gold).max() < scores[-1])

    def place(self) -> Place:
        """Where it stands, for the predictions."""
        return {"start": self.mention.start, "end": self.mention.end, "kind": self.kind, "gold": self.gold}


@dataclass(frozen=True, kw_only=True, slots=True)
class ChoiceItem:
    """One choice question to be answered."""

    quiz: Quiz
    number: int
    """Of the choice in its quiz."""

    kind: str = "choice"
    """As of an `Item`: it always has a gold among two candidates or more."""

    @property
    def choice(self) -> Choice:
        """The question itself."""
        return self.quiz.choices[self.number]

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
        return self.quiz.id, self.number

    def best(self, scores: NDArray[np.float64]) -> int:
        """The option with the best of ``scores[C]``."""
        return int(scores.argmax())

    def place(self) -> Place:
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
    return [ChoiceItem(quiz=quiz, number=number) for quiz in quizzes for number in range(len(quiz.choices))]


def passage_numbers(items: Sequence[Item | ChoiceItem]) -> list[int]:
    """Which passage or quiz each item is about, as a number: what the bootstrap resamples."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(item.key[0], len(numbers)) for item in items]
