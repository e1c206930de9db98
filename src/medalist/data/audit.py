"""Checks evaluation data for overlap with training data, for answers spelt out in the text, and for unseen senses.

Near-duplicates are found by MinHash with banding (Broder 1997; Leskovec, Rajaraman and Ullman, Mining of Massive
Datasets, chapter 3) and confirmed by their exact Jaccard similarity. Only the evaluation data is held in memory; the
training data is streamed.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..tools.files import check_place
from .embedded import sample
from .inventory import Inventory
from .items import make_items
from .passage_files import write_jsonl, write_parquet
from .passages import Passage
from .shards import marked_passages
from .splits import content, shared_key

SHINGLE = 2
"""Words per shingle. Two, so that versions of an abstract with different words abbreviated remain similar."""
BANDS, ROWS = 25, 5
"""A pair with Jaccard similarity s is compared with probability 1 - (1 - s^5)^25: at 0.8, all but 1 in 20,000."""
MOST_ALIKE = 8
"""Most passages of a chunk that are compared with the same evaluation passages in each band: otherwise a form that
thousands of notes fill in would be compared with itself millions of times. Near-duplicates are still found, but with
more candidates than this, the one named may not be the most similar."""
CHUNK = 2_000
"""Training passages compared at a time."""
_DRAW = np.random.default_rng(0)
_FACTORS = _DRAW.integers(1, 2**63, size=BANDS * ROWS, dtype=np.uint64) | np.uint64(1)
_TERMS = _DRAW.integers(0, 2**63, size=BANDS * ROWS, dtype=np.uint64)
_MIXERS = _DRAW.integers(1, 2**63, size=ROWS, dtype=np.uint64) | np.uint64(1)

Hashes = NDArray[np.uint64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """The result of an audit; ids and mentions are those of the evaluation data."""

    train_passages: int
    passages: int
    mentions: int
    """Mentions with a gold long form that the inventory lists."""
    same_id: frozenset[str]
    """Passages whose id also appears in the training data, from the same source."""
    same_words: frozenset[str]
    """Passages whose words also appear there, ignoring case, punctuation and digits."""
    similar: dict[str, tuple[str, float]]
    """Passage -> (most similar training passage, Jaccard similarity), if the similarity reaches the threshold; see
    `MOST_ALIKE` for when it may not be the most similar."""
    answer_leaks: frozenset[tuple[str, int]]
    """Mentions whose gold, or a variant of it, is spelt out elsewhere in the passage: (passage, number)."""
    unseen_senses: int
    """Mentions whose sense does not occur in the training data."""
    unseen_short_forms: int
    """Mentions whose short form does not occur there."""

    @property
    def shared(self) -> frozenset[str]:
        """Passages that overlap with the training data in any of these ways."""
        return self.same_id | self.same_words | self.similar.keys()

    def record(self) -> dict[str, object]:
        """The figures and ids, for JSON."""
        return {
            "train_passages": self.train_passages,
            "passages": self.passages,
            "mentions": self.mentions,
            "same_id": sorted(self.same_id),
            "same_words": sorted(self.same_words),
            "similar": {
                name: {"train": other, "jaccard": value} for name, (other, value) in sorted(self.similar.items())
            },
            "answer_leaks": [{"passage": name, "mention": number} for name, number in sorted(self.answer_leaks)],
            "unseen_senses": self.unseen_senses,
            "unseen_short_forms": self.unseen_short_forms,
        }


def audit(
    train: Iterable[Passage], evaluation: Sequence[Passage], inventory: Inventory, *, threshold: float = 0.8
) -> Audit:
    """Compare evaluation data with the data that a model was trained on.

    Args:
        train: marked training passages; read once and not stored.
        evaluation: marked passages.
        inventory: the candidates; a gold that it does not list is not counted as a mention.
        threshold: minimum Jaccard similarity, over runs of two words, for a near-duplicate.
    """
    ids: set[str] = set()
    contents: set[str] = set()
    senses: set[tuple[str, str]] = set()
    finder = SimilarPassages(evaluation, threshold=threshold)
    own_ids = {shared_key(passage) for passage in evaluation}
    own_contents = {content(passage.text) for passage in evaluation}
    count = 0
    stream = iter(train)
    while chunk := list(islice(stream, CHUNK)):
        count += len(chunk)
        ids |= own_ids & {shared_key(passage) for passage in chunk}
        contents |= own_contents & {content(passage.text) for passage in chunk}
        senses |= {(m.short_form, m.long_form) for passage in chunk for m in passage.mentions if m.long_form}
        finder.compare(chunk)
    items = [item for item in make_items(evaluation, inventory) if item.gold is not None]
    short_forms = {short_form for short_form, _ in senses}
    return Audit(
        train_passages=count,
        passages=len(evaluation),
        mentions=len(items),
        same_id=frozenset(p.id for p in evaluation if shared_key(p) in ids),
        same_words=frozenset(p.id for p in evaluation if content(p.text) in contents),
        similar=finder.found,
        answer_leaks=frozenset(item.key for item in items if item.leak),
        unseen_senses=sum((i.mention.short_form, i.mention.long_form) not in senses for i in items),
        unseen_short_forms=sum(item.mention.short_form not in short_forms for item in items),
    )


def audit_files(
    train: Path, evaluation: Path, inventory: Path | None = None, *, threshold: float = 0.8, out: Path | None = None
) -> Audit:
    """Compare evaluation data on disk with training data on disk, and optionally write the evaluation data cleaned.

    Args:
        train: marked passages: a file, or a folder of shards, of which one at a time is held in memory.
        evaluation: likewise.
        inventory: as for `Inventory.read`; None means the sample's.
        threshold: as for `audit`.
        out: a .jsonl or .parquet file for the cleaned evaluation data; None means that it is not written.

    Raises:
        ValueError: `out` has another file extension or is one of the input files; or as for `marked_passages`.
        FileNotFoundError: a file does not exist.
        OSError: `out` exists, or cannot be written.
    """
    if out is not None and out.suffix not in (".jsonl", ".parquet"):
        raise ValueError(f"--out {out}: must be a .jsonl or .parquet file")
    if out is not None and out.resolve() in (train.resolve(), evaluation.resolve()):
        raise ValueError(f"--out {out} is one of the input files: choose another")
    if out is not None:
        check_place(out)
    senses = sample.inventory() if inventory is None else Inventory.read(inventory)
    passages = list(marked_passages(evaluation, "test", senses))
    found = audit(marked_passages(train, "train", senses), passages, senses, threshold=threshold)
    if out is not None:
        left = list(clean(passages, found))
        (write_jsonl if out.suffix == ".jsonl" else write_parquet)(left, out)
    return found


def clean(evaluation: Iterable[Passage], found: Audit) -> Iterator[Passage]:
    """Yield the non-overlapping passages that still have mentions once those with spelt-out answers are removed."""
    for passage in evaluation:
        if passage.id in found.shared:
            continue
        kept = tuple(m for n, m in enumerate(passage.mentions) if (passage.id, n) not in found.answer_leaks)
        if kept:
            yield replace(passage, mentions=kept)


class SimilarPassages:
    """Finds, for each of its passages, the most similar of the passages given to `compare`.

    Args:
        passages: stored as hashes, with 8 bytes for each run of words and 300 for the bands.
        threshold: minimum Jaccard similarity.
    """

    def __init__(self, passages: Sequence[Passage], *, threshold: float) -> None:
        self._ids = [passage.id for passage in passages]
        self._shingles = [shingles(passage.text) for passage in passages]
        self._threshold = threshold
        keys = _band_keys(self._shingles)
        self._order = [np.argsort(keys[:, band], kind="stable") for band in range(BANDS)]
        self._keys = [keys[order, band] for band, order in enumerate(self._order)]
        self.found: dict[str, tuple[str, float]] = {}
        """Passage id -> (id of the most similar passage, Jaccard similarity)."""

    def compare(self, others: Sequence[Passage]) -> None:
        """Look for near-duplicates among other passages."""
        theirs = [shingles(passage.text) for passage in others]
        keys = _band_keys(theirs)
        pairs: set[tuple[int, int]] = set()
        for band in range(BANDS):
            first = np.searchsorted(self._keys[band], keys[:, band], side="left")
            last = np.searchsorted(self._keys[band], keys[:, band], side="right")
            compared: Counter[int] = Counter()  # by the start of a group of evaluation passages with the same hash
            for other in np.flatnonzero(last > first).tolist():
                begin = int(first[other])
                if compared[begin] < MOST_ALIKE:
                    compared[begin] += 1
                    pairs |= {(own, other) for own in self._order[band][begin : last[other]].tolist()}
        for own, other in sorted(pairs):
            value = jaccard(self._shingles[own], theirs[other])
            _, best = self.found.get(self._ids[own], ("", 0.0))
            if value >= self._threshold and value > best:
                self.found[self._ids[own]] = (others[other].id, value)


def shingles(text: str) -> Hashes:
    """The runs of `SHINGLE` words in a text, ignoring case, as sorted hashes; a shorter text is a single run."""
    words = re.findall(r"\w+", text.lower())
    runs = {" ".join(words[n : n + SHINGLE]) for n in range(max(len(words) - SHINGLE + 1, 1))}
    return np.unique(np.array([zlib.crc32(run.encode()) for run in runs], dtype=np.uint64))


def jaccard(a: Hashes, b: Hashes) -> float:
    """The Jaccard similarity of two texts, given their `shingles`."""
    common = len(np.intersect1d(a, b, assume_unique=True))
    return common / (len(a) + len(b) - common)


def _band_keys(sets: Sequence[Hashes]) -> Hashes:
    """``[N, BANDS]``: a hash of each band of the MinHash signature of each set."""
    keys = np.empty((len(sets), BANDS), dtype=np.uint64)
    for row, hashes in enumerate(sets):
        # Multiply-shift hashing modulo 2^64; the high half is the hash.
        signature = ((hashes[:, None] * _FACTORS + _TERMS) >> np.uint64(32)).min(axis=0)
        keys[row] = (signature.reshape(BANDS, ROWS) * _MIXERS).sum(axis=1, dtype=np.uint64)
    return keys
