"""Splits by passage: a function of the passage's id alone, so they stay put when data is added."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal, TypeVar

from .passages import Mention, Passage
from .quizzes import Text
from .spelling import equivalence_key

_NO_LETTERS = bytes(code for code in range(128) if not chr(code).isalpha())
Split = Literal["train", "validation", "test"]
AnyText = TypeVar("AnyText", bound=Text)


def split_of(identifier: str, *, validation: float, test: float, seed: int = 0) -> Split:
    """The split of a passage id; shares are fractions, 0 to 1, and the rest is for training.

    Ids that differ only behind a "#" (versions of one abstract) share their split.
    """
    root = identifier.split("#")[0]
    position = _position(f"{seed}:{root}")
    if position < test:
        return "test"
    return "validation" if position < test + validation else "train"


def _position(name: str) -> float:
    """A place between 0 and 1 that follows from a name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64


def split_passages(
    texts: Iterable[AnyText], *, validation: float, test: float, seed: int = 0
) -> dict[Split, list[AnyText]]:
    """Texts by split, in their order. Those that share words or id go together, where the first belongs."""
    texts = list(texts)
    parent: dict[str, str] = {}  # ids and contents, each pointing towards the first of its group

    def group(key: str) -> str:
        while parent.setdefault(key, key) != key:
            key = parent[key]
        return key

    names = [f"id {text.id.split('#')[0]}" for text in texts]
    for name, text in zip(names, texts, strict=True):
        by_name, by_content = group(name), group(f"content {content(text.text)}")
        parent[by_content] = by_name
    parts: dict[Split, list[AnyText]] = {"train": [], "validation": [], "test": []}
    home: dict[str, Split] = {}
    for name, text in zip(names, texts, strict=True):
        own = split_of(text.id, validation=validation, test=test, seed=seed)
        parts[home.setdefault(group(name), own)].append(text)
    return parts


def hold_out(
    passage: Passage, split: Split, what: Literal["senses", "short_forms"], *, share: float, seed: int = 0
) -> Passage:
    """Marks of held-out senses or short forms taken away, or in the test split those of all others.

    Args:
        passage: marked.
        split: where it belongs.
        what: whether whole short forms are held out, or senses of them. Spelling variants of a sense go together.
        share: of them that are held out, 0 to 1.
        seed: decides which, by a hash of their names.
    """

    def held(mention: Mention) -> bool:
        name = mention.short_form
        if what == "senses":
            name += f"|{equivalence_key(mention.long_form or '')}"
        return _position(f"{seed}:{what}:{name}") < share

    return replace(passage, mentions=tuple(m for m in passage.mentions if held(m) == (split == "test")))


def shared_passages(train: Iterable[Text], evaluation: Iterable[Text]) -> set[str]:
    """Ids of evaluation texts that stand in the training data too: same id, or same words."""
    ids: set[str] = set()
    contents: set[str] = set()
    for text in train:
        ids.add(shared_key(text))
        contents.add(content(text.text))
    return {text.id for text in evaluation if shared_key(text) in ids or content(text.text) in contents}


def shared_key(text: Text) -> str:
    """What versions of one abstract have in common: its source and its id before any "#".

    Every kind of passage that is made of PubMed's abstracts, and PubMedQA, counts as one source: the id is the PMID.
    """
    source = "pubmed" if text.source.startswith("pubmed-") else text.source
    return f"{source}:{text.id.split('#')[0]}"


def content(text: str) -> str:
    """A text up to case, punctuation, digits and white space."""
    if text.isascii():  # nearly all are, and this is much faster
        return text.lower().encode().translate(None, _NO_LETTERS).decode()
    return "".join(character for character in text.lower() if character.isalpha())
