"""Splits passages by id alone, so that the split of a passage does not change when data is added."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal, TypeVar, get_args

from .passages import Mention, Passage
from .quizzes import Text
from .spelling import composed, equivalence_key

_NO_LETTERS = bytes(code for code in range(128) if not chr(code).isalpha())
_CHUNK = re.compile(r"#\d+\.\d+$")
"""The end of the id that `corpora.text` gives to a part of a plain text: "file#3.1"."""
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
AnyText = TypeVar("AnyText", bound=Text)


def split_of(identifier: str, *, validation: float, test: float, seed: int = 0) -> Split:
    """The split of a passage id; the shares are fractions from 0 to 1, and the rest is for training.

    Ids that differ only after a "#" (versions of one abstract) are in the same split.
    """
    return split_of_root(version_root(identifier), validation=validation, test=test, seed=seed)


def split_of_root(root: str, *, validation: float, test: float, seed: int = 0) -> Split:
    """The split of all texts that have this root (`version_root`, `text_root`), in which "#" is a character."""
    position = _position(f"{seed}:{root}")
    if position < test:
        return "test"
    return "validation" if position < test + validation else "train"


def version_root(identifier: str) -> str:
    """The id shared by all versions of a text: the part before the first "#", or the whole id if that part is empty."""
    return identifier.split("#")[0] or identifier


def text_root(identifier: str) -> str:
    """The id of the plain text that a chunk was cut from: "Note #12" of "Note #12#3.1"; other ids as they are."""
    return _CHUNK.sub("", identifier)


def _own_id(text: Text) -> str:
    """What a text is split by. Only sources that number versions themselves have any; elsewhere "#" is a character."""
    numbered = text.source in ("medal", "reader") or text.source.startswith("pubmed-")
    return version_root(text.id) if numbered else text_root(text.id)


def _position(name: str) -> float:
    """A hash of a name as a number from 0 to 1."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64


def split_passages(
    texts: Iterable[AnyText], *, validation: float, test: float, seed: int = 0
) -> dict[Split, list[AnyText]]:
    """Group texts by split, keeping their order. Texts with the same words or the same id go to the same split.

    Ids of a table are taken as they are; in MeDAL's and PubMed's ids, a "#" starts a version number, which is ignored.
    """
    texts = list(texts)
    parent: dict[str, str] = {}  # union-find over ids and contents

    def group(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]  # halves the path; without, many notes alike take quadratic time
            key = parent[key]
        return key

    names = [f"id {_own_id(text)}" for text in texts]
    for name, text in zip(names, texts, strict=True):
        by_name, by_content = group(name), group(f"content {content(text.text)}")
        parent[by_content] = by_name
    parts: dict[Split, list[AnyText]] = {"train": [], "validation": [], "test": []}
    home: dict[str, Split] = {}
    for name, text in zip(names, texts, strict=True):
        own = split_of_root(_own_id(text), validation=validation, test=test, seed=seed)
        parts[home.setdefault(group(name), own)].append(text)
    return parts


def hold_out(
    passage: Passage, split: Split, what: Literal["senses", "short_forms"], *, share: float, seed: int = 0
) -> Passage:
    """Remove the marks of held-out senses or short forms, or, in the test split, the marks of all others.

    Args:
        passage: a marked passage.
        split: the split to which it belongs.
        what: whether to hold out senses or whole short forms. Spelling variants of a sense are held out together.
        share: share of senses or short forms to hold out, 0 to 1.
        seed: determines which are held out, by a hash of their names.
    """

    def held(mention: Mention) -> bool:
        name = mention.short_form
        if what == "senses":
            name += f"|{equivalence_key(mention.long_form or '')}"
        return _position(f"{seed}:{what}:{name}") < share

    return replace(passage, mentions=tuple(m for m in passage.mentions if held(m) == (split == "test")))


def shared_passages(train: Iterable[Text], evaluation: Iterable[Text]) -> set[str]:
    """Ids of evaluation texts that also appear in the training data, with the same id or the same words."""
    ids: set[str] = set()
    contents: set[str] = set()
    for text in train:
        ids.add(shared_key(text))
        contents.add(content(text.text))
    return {text.id for text in evaluation if shared_key(text) in ids or content(text.text) in contents}


def shared_key(text: Text) -> str:
    """A key shared by all versions of an abstract: its source and its id before any "#".

    All kinds of passages made from PubMed abstracts, and PubMedQA, count as one source, because the id is the PMID.
    """
    source = "pubmed" if text.source.startswith("pubmed-") else text.source
    return f"{source}:{_own_id(text)}"


def content(text: str) -> str:
    """The letters of a text in lower case, without punctuation, digits and white space."""
    if text.isascii():  # true of nearly all texts, and much faster
        return text.lower().encode().translate(None, _NO_LETTERS).decode()
    return "".join(character for character in composed(text).lower() if character.isalpha())
