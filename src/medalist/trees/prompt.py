"""The wording of texts and questions, and their conversion to tokens; the only module that contains prompt text.

Training, evaluation and serving all encode through `Encoder`, so that a model is asked in the way it was trained.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ..data.inventory import Inventory
from ..data.passages import NONE_OF_THESE, Mention, Passage, words_around
from ..data.quizzes import Choice, Quiz, Text
from .tree import TokenTree, build_tree
from .windows import Window, home_window, text_tail, text_windows

_OPENING = re.compile(r"\s*\w+")
"""A prompt's line breaks and first word. They are encoded together with the preceding text, because some tokenizers
(Llama 3's, for one) merge a full stop and the line breaks after it into one token."""


SCORED_NODES = 3072
"""Default size of a tree, in tokens, and the minimum for scoring."""


class PromptSettings(BaseModel):
    """How a question is worded and laid out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    context_words: int = Field(3, ge=0, le=50)
    """Words quoted on either side of the short form."""
    window: int = Field(512, ge=32, le=10**6)
    """Most text in one tree, in tokens. Longer passages are cut into overlapping windows; of a text with questions
    about the whole of it, only the end is kept."""
    max_nodes: int = Field(SCORED_NODES, ge=256, le=10**7)
    """Target size of a tree, in tokens; more questions are split over several trees. One question may be larger."""

    def for_scoring(self) -> PromptSettings:
        """The settings for inference: larger trees read a text less often and do not change scores (law 1)."""
        return self.model_copy(update={"max_nodes": max(self.max_nodes, SCORED_NODES)})


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A question about a text, and the answers that it offers."""

    prompt: str
    candidates: tuple[str, ...]
    """The last one is the null candidate, unless the question is closed."""
    gold: int | None
    """Index into the candidates; None if the gold is unknown or not offered."""
    closed: bool = False
    """Whether one of the candidates must be right, with no null candidate: yes, no or maybe; the options of an exam."""

    @property
    def long_forms(self) -> tuple[str, ...]:
        """The long forms that a question about a mention offers, without the null candidate."""
        return tuple(candidate[1:-1] for candidate in self.candidates[:-1])


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """One tree and its questions."""

    tree: TokenTree
    text_id: str
    """Id of the passage or quiz."""
    text: str
    """The text in the tree: a window of the passage, or the end of the quiz's text."""
    mentions: tuple[int, ...]
    """For each question, the index of its mention in the passage, or of its choice in the quiz."""
    questions: tuple[Question, ...]


def mention_question(text: str, mention: Mention, long_forms: Sequence[str], settings: PromptSettings) -> Question:
    """Ask what a short form stands for, quoting the words around it."""
    gold = None
    if mention.long_form in long_forms:
        gold = long_forms.index(mention.long_form)
    elif mention.long_form == NONE_OF_THESE:
        gold = len(long_forms)
    return Question(
        prompt=f'\n\nIn "{_around(text, mention, settings.context_words)}", {mention.short_form} means',
        candidates=tuple(f" {long_form}\n" for long_form in (*long_forms, NONE_OF_THESE)),
        gold=gold,
    )


def choice_question(choice: Choice) -> Question:
    """Ask a choice question about the whole text; if the question is empty, it is already in the text."""
    return Question(
        prompt=f"\n\nQuestion: {choice.question}\nAnswer:" if choice.question else "\nAnswer:",
        candidates=tuple(f" {option}\n" for option in choice.options),
        gold=choice.gold,
        closed=True,
    )


def _around(text: str, mention: Mention, words: int) -> str:
    start, end = words_around(text, mention, words, besides_rest=True)
    return " ".join(text[start:end].split())


Choose = Callable[[Passage, int, tuple[str, ...]], Sequence[str]]
"""Chooses the long forms to offer: (passage, index of the mention, all long forms) -> some of them, gold included."""


class Encoder:
    """Turns passages and quizzes into token trees.

    Args:
        tokenizer: the base model's; a BOS that it adds by itself is kept, and no other special token is added.
        settings: wording and sizes.
        max_depth: the model's longest sequence, in tokens; a question whose longest candidate would exceed it is
            dropped and counted, never truncated.
    """

    def __init__(self, tokenizer: Any, settings: PromptSettings, *, max_depth: int) -> None:
        self.settings, self.max_depth = settings, max_depth
        self._tokenizer = tokenizer
        self._continue = lru_cache(maxsize=100_000)(self._encode_continuation)
        self.dropped = 0
        """Number of questions so far that were dropped because they did not fit."""
        self.cut = 0
        """Number of quiz texts so far that were longer than the window."""

    def encode(self, text: Text, inventory: Inventory, choose: Choose | None = None) -> list[Layout]:
        """Lay out a text as token trees.

        A passage becomes one or more trees per window; of a quiz's text, only the end that fits the window is kept.

        Args:
            text: a passage, whose mentions are the questions (one whose short form the inventory does not list offers
                only the null candidate), or a quiz, whose questions offer their own options.
            inventory: lists the candidates of mentions.
            choose: selects among the candidates, for training.
        """
        if isinstance(text, Quiz):
            window = text_tail(text.text, _token_offsets(self._tokenizer, text.text), limit=self.settings.window)
            self.cut += window.start > 0
            questions = enumerate(map(choice_question, text.choices))
            return list(self._laid_out(text.id, text.text[window.start :], questions))
        layouts: list[Layout] = []
        for window, mentions in self._assigned(text):
            numbered = ((n, self._mention_question(text, n, window, inventory, choose)) for n in mentions)
            layouts += self._laid_out(text.id, text.text[window.start : window.end], numbered)
        return layouts

    def windows(self, text: str) -> list[Window]:
        """The overlapping windows in which a passage's text is read, in order."""
        return text_windows(text, _token_offsets(self._tokenizer, text), limit=self.settings.window)

    def surely_fits(self, text: Text, inventory: Inventory) -> bool:
        """Whether no question about a short passage can be dropped, decided without encoding it.

        A token is at least one byte long, and windows are cut between words.
        """
        if isinstance(text, Quiz):
            return False
        size = len(text.text.encode())
        if size > self.settings.window and any(" " in text.text[m.start : m.end] for m in text.mentions):
            return False
        longest = max((len(n.encode()) for m in text.mentions for n in inventory.long_forms(m.short_form)), default=0)
        return 2 * size + longest + 200 <= self.max_depth

    def _mention_question(
        self, passage: Passage, number: int, window: Window, inventory: Inventory, choose: Choose | None
    ) -> Question:
        """The question about a mention, worded from the text in its window."""
        mention = passage.mentions[number]
        listed = inventory.long_forms(mention.short_form)
        offered = choose(passage, number, listed) if choose else listed
        shifted = replace(mention, start=mention.start - window.start, end=mention.end - window.start)
        text = passage.text[window.start : window.end].rstrip()
        return mention_question(text, shifted, offered, self.settings)

    def _laid_out(self, name: str, text: str, questions: Iterable[tuple[int, Question]]) -> Iterator[Layout]:
        """Lay out questions in trees of up to `max_nodes` tokens or one question; one beyond `max_depth` is dropped."""
        text = text.rstrip()
        opening, size = "", 0
        ids: list[int] = []
        pending: list[tuple[int, Question, list[int], list[list[int]]]] = []
        for number, question in questions:
            opens, asks = _opening_and_rest(question.prompt)
            prompt = self._encode_continuation(asks)  # not cached, since it quotes the text
            candidates = [self._continue(candidate) for candidate in question.candidates]
            if opens != opening:  # the first question, or a quiz that mixes questions with and without wording
                if pending:
                    yield _layout(name, text, ids, pending)
                opening, ids = opens, self._encode_passage(text + opens)
                pending, size = [], len(ids)
            cost = len(prompt) + sum(map(len, candidates))
            if len(ids) + len(prompt) + max(map(len, candidates)) > self.max_depth:
                self.dropped += 1
                continue
            if pending and size + cost > self.settings.max_nodes:
                yield _layout(name, text, ids, pending)
                pending, size = [], len(ids)
            pending.append((number, question, prompt, candidates))
            size += cost
        if pending:
            yield _layout(name, text, ids, pending)

    def token_ids(self, text: str, question: Question) -> tuple[list[int], list[list[int]]]:
        """Token ids of text and prompt as one sequence, and those of each candidate, as in a tree over this text."""
        opens, asks = _opening_and_rest(question.prompt)
        asked = [*self._encode_passage(text + opens), *self._encode_continuation(asks)]
        return asked, [self._continue(candidate) for candidate in question.candidates]

    def _assigned(self, passage: Passage) -> Iterator[tuple[Window, list[int]]]:
        """Each window with the mentions answered in it: those for which it is the most central window."""
        windows = self.windows(passage.text)
        homes: dict[Window, list[int]] = {}
        for number, mention in enumerate(passage.mentions):
            home = home_window(windows, mention.start, mention.end)
            if home is None:
                self.dropped += 1
                continue
            homes.setdefault(home, []).append(number)
        return ((window, homes[window]) for window in windows if window in homes)

    def _encode_passage(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text)["input_ids"]
        eos = self._tokenizer.eos_token_id
        return ids[:-1] if ids[-1] == eos and len(ids) > 1 else ids

    def _encode_continuation(self, text: str) -> list[int]:
        """Token ids of a continuation of a text: an anchor before it keeps tokenizers from adding a word start."""
        anchor: list[int] = self._tokenizer("a", add_special_tokens=False)["input_ids"]
        both: list[int] = self._tokenizer("a" + text, add_special_tokens=False)["input_ids"]
        if both[: len(anchor)] == anchor and len(both) > len(anchor):
            return both[len(anchor) :]
        alone: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return alone


def _opening_and_rest(prompt: str) -> tuple[str, str]:
    found = _OPENING.match(prompt)
    assert found, "a prompt must begin with a word"
    return prompt[: found.end()], prompt[found.end() :]


def _layout(
    name: str, text: str, ids: list[int], pending: Sequence[tuple[int, Question, list[int], list[list[int]]]]
) -> Layout:
    return Layout(
        tree=build_tree(ids, [(prompt, candidates) for _, _, prompt, candidates in pending]),
        text_id=name,
        text=text,
        mentions=tuple(number for number, _, _, _ in pending),
        questions=tuple(question for _, question, _, _ in pending),
    )


def sampled_candidates(limit: int, *, seed: int, epoch: int) -> Choose:
    """Offer at most `limit` long forms, in inventory order: the gold, and others drawn by (seed, epoch, mention)."""

    def choose(passage: Passage, number: int, listed: tuple[str, ...]) -> Sequence[str]:
        gold = passage.mentions[number].long_form
        if len(listed) <= limit:
            return listed

        def draw(long_form: str) -> bytes:
            key = f"{seed}:{epoch}:{passage.id}:{number}:{long_form}"
            return hashlib.sha256(key.encode()).digest()

        keep = set(sorted(listed, key=lambda name: (name != gold, draw(name)))[:limit])
        return tuple(long_form for long_form in listed if long_form in keep)

    return choose


class Windows:
    """Returns the windows in which texts are read, like `Encoder.windows`, but loads no tokenizer for short texts.

    Args:
        settings: wording and sizes.
        load_tokenizer: called for the first text that may be longer than one window.
    """

    def __init__(self, settings: PromptSettings, load_tokenizer: Callable[[], Any]) -> None:
        self._limit, self._load = settings.window, cache(load_tokenizer)

    def __call__(self, text: str) -> list[Window]:
        """The windows of a text, in order."""
        if len(text.encode()) <= self._limit:  # a token is at least one byte long
            return [Window(0, len(text))]
        return text_windows(text, _token_offsets(self._load(), text), limit=self._limit)


def _token_offsets(tokenizer: Any, text: str) -> list[int]:
    """The character offset at which each token of the text begins."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return [start for start, _ in encoded["offset_mapping"]]
