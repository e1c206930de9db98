"""Groups MeDAL's rows into passages and marks their short forms, column by column.

ASCII texts are marked all at once with numpy, and each pair of word and label is looked up only once. Everything else,
above all a row with an error, goes through `word_mention`, which also says what is wrong.

R rows, T different texts, P passages, E entries (a word and its label; a joined row has several), M mentions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..inventory import Inventory
from ..passages import Mention
from ..rows import Quarantine
from .medal_rows import pieces
from .medal_words import Numbers, Words, word_index, word_mention

Bools = NDArray[np.bool_]
Name = TypeVar("Name")
DUPLICATE, OTHER_LABEL = "duplicate of an earlier row", "an earlier row has another LABEL here"
"""Reasons for quarantining a row whose word is already marked."""
_REMEMBERED = 200_000
"""Size of the cache, in pairs of word and label."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Marked:
    """Passages in the order of their first rows, with their mentions in the order of the text."""

    ids: pa.LargeStringArray
    """``[P]``."""
    texts: pa.LargeStringArray
    """``[P]``."""
    passage: Numbers
    """``[M]``; the passage of each mention."""
    start: Numbers
    """``[M]``; the first character of each mention."""
    end: Numbers
    """``[M]``; one past its last."""
    meaning: Numbers
    """``[M]``; indices into `meanings`."""
    meanings: list[tuple[str, str]]
    """Pairs of short form and long form."""


class Marker:
    """Marks the words that rows point at.

    Args:
        inventory: lists the short forms.
    """

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._known = lru_cache(maxsize=_REMEMBERED)(self._word)

    def __call__(
        self, rows: pa.Table, files: Sequence[str], quarantine: Quarantine, stray: Counter[tuple[str, str]]
    ) -> Marked:
        """Group rows into passages, one per (abstract, text), and mark them.

        Malformed rows and duplicates are quarantined. If some of a row's short forms cannot be read, the others are
        kept.

        Args:
            rows: in `medal_rows.SCHEMA`, with a further column `table`, which holds indices into `files`.
            files: the names of the tables' files.
            quarantine: collects the malformed and duplicate rows.
            stray: counts labels with stray spaces, by (short form, label); the spaces themselves are removed.
        """
        ids, texts = _encoded(rows["abstract"]), _encoded(rows["text"])
        first, home = _by_first(_codes(ids) * len(texts.dictionary) + _codes(texts))
        words, reasons = Words(texts.dictionary), dict[int, str]()
        entries = _entries(rows, ids, _codes(texts), words, reasons)
        meanings = _Numbered[tuple[str, str]]()
        found = self._looked_up(entries, words, meanings)
        failed: list[tuple[int, str]] = []
        left = np.flatnonzero(found.start < 0)
        for number in left[np.argsort(entries.text[left], kind="stable")].tolist():
            try:
                found.put(number, self._read(entries, number, words), entries.label_of(number), meanings)
            except ValueError as error:
                failed.append((number, str(error)))
        kept, repeated = _first_on_each_word(home[entries.row], found.start)
        failed += (
            (later, DUPLICATE if found.meaning[later] == found.meaning[earlier] else OTHER_LABEL)
            for earlier, later in repeated
        )
        for number, reason in sorted(failed):
            reasons.setdefault(int(entries.row[number]), reason)
        for row in sorted(reasons):
            quarantine.add(Path(files[rows["table"][row].as_py()]), rows["line"][row].as_py(), reasons[row])
        for number in kept[found.stray[kept]].tolist():
            stray[meanings.names[found.meaning[number]][0], entries.label_of(number)] += 1
        marked, passage = np.unique(home[entries.row[kept]], return_inverse=True)
        its_row = pa.array(first[marked])
        return Marked(
            ids=_told_apart(ids.dictionary.take(ids.indices.take(its_row))),
            texts=texts.dictionary.take(texts.indices.take(its_row)),
            passage=passage,
            start=found.start[kept],
            end=found.end[kept],
            meaning=found.meaning[kept],
            meanings=meanings.names,
        )

    def _looked_up(self, entries: _Entries, words: Words, meanings: _Numbered[tuple[str, str]]) -> _Found:
        """Look up all entries at once, except those in non-ASCII texts and those with errors."""
        found = _Found(len(entries.row))
        index = np.array([word_index(name) for name in entries.places.names], np.int64)[entries.place]
        sure = np.flatnonzero((index >= 0) & (index < words.counts[entries.text]))
        number = words.first[entries.text[sure]] + index[sure]
        different, which = np.unique(number, return_inverse=True)
        begin, end = words.spans(different)
        surfaces = pieces(words.raw, begin, end).dictionary_encode()
        pairs, pair = np.unique(
            _codes(surfaces)[which] * len(entries.labels) + entries.label[sure], return_inverse=True
        )
        names = surfaces.dictionary.to_pylist()
        # Start and end of the short form in the word, its meaning, and whether the label has stray spaces.
        read = np.full((len(pairs), 4), -1, np.int64)
        for n, one in enumerate(pairs.tolist()):
            label = entries.labels.names[one % len(entries.labels)]
            if (mention := self._known(names[one // len(entries.labels)], label)) is not None:
                meaning = meanings[mention.short_form, str(mention.long_form)]
                read[n] = mention.start, mention.end, meaning, label != mention.long_form
        good = read[pair, 0] >= 0
        sure, pair, base = sure[good], pair[good], (begin[which] - words.bounds[entries.text[sure]])[good]
        found.start[sure], found.end[sure] = base + read[pair, 0], base + read[pair, 1]
        found.meaning[sure], found.stray[sure] = read[pair, 2], read[pair, 3]
        return found

    def _word(self, word: str, label: str) -> Mention | None:
        """The short form in a word; None if the word is not a short form of the label."""
        try:
            return word_mention(word, "0", label, self._inventory, [0])
        except ValueError:
            return None

    def _read(self, entries: _Entries, number: int, words: Words) -> Mention:
        """The mention of one entry.

        Raises:
            ValueError: the entry is wrong.
        """
        text = int(entries.text[number])
        place = entries.places.names[entries.place[number]]
        return word_mention(words.text(text), place, entries.label_of(number), self._inventory, words.starts(text))


class _Numbered(dict[Name, int], Generic[Name]):
    """Numbers names in order of first use."""

    def __init__(self, names: Iterable[Name] = ()) -> None:
        super().__init__()
        self.names: list[Name] = []
        for name in names:
            self[name]

    def __missing__(self, name: Name) -> int:
        self[name] = number = len(self.names)
        self.names.append(name)
        return number


@dataclass(frozen=True, slots=True)
class _Entries:
    """Words and labels, in the order of the rows."""

    row: Numbers
    """``[E]``."""
    text: Numbers
    """``[E]``; index of the text."""
    place: Numbers
    """``[E]``; index of the LOCATION."""
    label: Numbers
    """``[E]``; index of the LABEL."""
    places: _Numbered[str]
    labels: _Numbered[str]

    def label_of(self, number: int) -> str:
        """The label of an entry."""
        return str(self.labels.names[self.label[number]])


class _Found:
    """The marks of E entries; `start` is -1 where nothing was found."""

    def __init__(self, count: int) -> None:
        self.start, self.end, self.meaning = (np.full(count, -1, np.int64) for _ in range(3))
        self.stray = np.zeros(count, bool)
        """Whether the label has stray spaces."""

    def put(self, number: int, mention: Mention, label: str, meanings: _Numbered[tuple[str, str]]) -> None:
        """Store the mention of one entry."""
        assert mention.long_form is not None
        self.start[number], self.end[number] = mention.start, mention.end
        self.meaning[number] = meanings[mention.short_form, mention.long_form]
        self.stray[number] = label != mention.long_form


def _entries(rows: pa.Table, ids: pa.DictionaryArray, text: Numbers, words: Words, reasons: dict[int, str]) -> _Entries:
    """The entries of all rows except those that are wrong as a whole, whose reasons are added to `reasons`."""
    cells = [_encoded(rows[name]) for name in ("locations", "labels")]
    places, labels = (_Numbered[str](cell.dictionary.to_pylist()) for cell in cells)
    place, label = map(_codes, cells)
    damaged = np.array(["\ufffd" in name for name in labels.names], bool)[label]
    damaged |= np.isin(text, [number for number in words.odd.tolist() if "\ufffd" in words.text(number)])
    reasons.update(dict.fromkeys(np.flatnonzero(damaged).tolist(), "not UTF-8"))
    # Only tables without ids join lists; in the others, "|" is an ordinary character.
    joined = _with_bar(places)[place] | _with_bar(labels)[label]
    joined[joined] = [not ids[row].as_py().isdigit() for row in np.flatnonzero(joined).tolist()]
    more: list[tuple[int, int, int]] = []
    for row in np.flatnonzero(joined & ~damaged).tolist():
        own_places, own_labels = places.names[place[row]].split("|"), labels.names[label[row]].split("|")
        if len(own_places) == len(own_labels):
            more += ((row, places[p], labels[s]) for p, s in zip(own_places, own_labels, strict=True))
        else:
            reasons[row] = f"{len(own_places)} LOCATIONs for {len(own_labels)} LABELs"
    single = np.flatnonzero(~joined & ~damaged)
    found = np.stack([single, place[single], label[single]], axis=1)
    found = np.concatenate([found, np.array(more, np.int64).reshape(-1, 3)])
    row, place, label = found[np.argsort(found[:, 0], kind="stable")].T
    return _Entries(row, text[row], place, label, places, labels)


def _first_on_each_word(passage: Numbers, start: Numbers) -> tuple[Numbers, list[tuple[int, int]]]:
    """The first entry for each marked word, sorted by passage and start; and pairs (first entry, later duplicate)."""
    good = np.flatnonzero(start >= 0)
    good = good[np.lexsort((start[good], passage[good]))]  # stable: entries for the same word keep their order
    new = np.ones(len(good), bool)
    new[1:] = (np.diff(passage[good]) != 0) | (np.diff(start[good]) != 0)
    first = good[new]
    earlier = first[np.cumsum(new) - 1] if len(good) else good
    return first, list(zip(earlier[~new].tolist(), good[~new].tolist(), strict=True))


def _told_apart(ids: pa.LargeStringArray) -> pa.LargeStringArray:
    """Make passage ids unique: of those that are equal, all but the first get a number."""
    if pc.count_distinct(ids).as_py() == len(ids):
        return ids
    seen: Counter[str] = Counter()
    names = []
    for name in ids.to_pylist():
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return pa.array(names, pa.large_string())


def _by_first(keys: Numbers) -> tuple[Numbers, Numbers]:
    """The index of each distinct key's first occurrence, in order; and the position of each key in that list."""
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return first[order], place[which]


def _encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    return column.dictionary_encode().combine_chunks()


def _codes(encoded: pa.DictionaryArray) -> Numbers:
    return np.asarray(encoded.indices, np.int64)


def _with_bar(names: _Numbered[str]) -> Bools:
    return np.array(["|" in name for name in names.names], bool)
