"""The items that a model answers: marked mentions in passages, or choice questions about texts.

A mention counts towards accuracy if its gold is listed among at least two candidates (kind `choice`). The
other kinds are `single` (only one candidate), `absent` (the gold is not listed), `unlisted` (the short form is not
listed) and `distractor` (not a short form at all).
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
from .spelling import WordsOf, spelt_out


def text_around(passage: Passage, mention: Mention) -> str:
    """The passage's text without the mention itself."""
    return f"{passage.text[: mention.start]} {passage.text[mention.end :]}"


class Place(TypedDict, total=False):
    """The fields that the predictions record for an item besides its key."""

    start: int
    end: int
    kind: str
    gold: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One mention to be answered."""

    passage: Passage
    number: int
    """Index of the mention in its passage."""
    candidates: tuple[str, ...]
    """The candidates, without the null candidate."""
    gold: int | None
    kind: str
    """`choice`, `single`, `absent`, `unlisted` or `distractor`."""
    leak: bool
    """Whether the gold, or an equivalent of it, appears elsewhere in the passage."""

    @property
    def mention(self) -> Mention:
        """The mention itself."""
        return self.passage.mentions[self.number]

    @property
    def key(self) -> tuple[str, int]:
        """The key of its scores."""
        return self.passage.id, self.number

    @property
    def listed_gold(self) -> int:
        """Index of the gold among the candidates; the gold must be listed."""
        assert self.gold is not None, "the gold is listed"
        return self.gold

    @property
    def gold_answer(self) -> str:
        """The gold long form; it must be listed."""
        return self.candidates[self.listed_gold]

    def best(self, scores: NDArray[np.float64]) -> int:
        """Index of the candidate with the highest of ``scores[C + 1]``, ignoring the null candidate."""
        return int(scores[:-1].argmax())

    def declined_without_gold(self, scores: NDArray[np.float64]) -> bool:
        """Whether the null candidate scores highest of ``scores[C + 1]`` once the gold is removed."""
        return bool(np.delete(scores[:-1], self.listed_gold).max() < scores[-1])

    def place(self) -> Place:
        """The fields recorded in the predictions besides the key."""
        return {"start": self.mention.start, "end": self.mention.end, "kind": self.kind, "gold": self.gold}


@dataclass(frozen=True, kw_only=True, slots=True)
class ChoiceItem:
    """One choice question to be answered."""

    quiz: Quiz
    number: int
    """Index of the choice in its quiz."""

    kind: str = "choice"
    """As for `Item`; always `choice`, since the gold is one of at least two options."""

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
        """Index of the correct option."""
        return self.choice.gold

    @property
    def key(self) -> tuple[str, int]:
        """The key of its scores."""
        return self.quiz.id, self.number

    def best(self, scores: NDArray[np.float64]) -> int:
        """Index of the option with the highest of ``scores[C]``."""
        return int(scores.argmax())

    def place(self) -> Place:
        """The fields recorded in the predictions besides the key."""
        return {"kind": self.kind, "gold": self.gold}


def make_items(passages: Sequence[Passage], inventory: Inventory) -> list[Item]:
    """Make an item of every mention that has a gold answer (`NONE_OF_THESE` included)."""
    items = []
    for passage in passages:
        words = WordsOf(passage.text)
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
            leak = gold is not None and bool(spelt_out(words.without(mention.start, mention.end), [candidates[gold]]))
            items.append(Item(passage=passage, number=number, candidates=candidates, gold=gold, kind=kind, leak=leak))
    return items


def make_choice_items(quizzes: Sequence[Quiz]) -> list[ChoiceItem]:
    """Make an item of every choice question."""
    return [ChoiceItem(quiz=quiz, number=number) for quiz in quizzes for number in range(len(quiz.choices))]


def passage_numbers(items: Sequence[Item | ChoiceItem]) -> list[int]:
    """The number of the passage or quiz of each item, which is the unit that the bootstrap resamples."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(item.key[0], len(numbers)) for item in items]
