"""Repairs MeDAL's labels: respells golds as the inventory lists them, drops chance senses, and counts both."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..data.definitions import fits
from ..data.inventory import Inventory
from ..data.inventory_spelling import listed_spelling
from ..data.passage_files import passage_table
from ..data.sources.medal_marks import Marked
from ..data.spelling import equivalence_key, tidy
from .data_card import MENDED


@dataclass(frozen=True, kw_only=True, slots=True)
class Repaired:
    """Passages with at least one mention."""

    passages: pa.Table
    """A table made by `passage_table`."""
    without: int
    """Number of other passages, which lost all their mentions."""
    per_passage: Counter[int]
    """Number of mentions -> passages."""
    short_forms: Counter[str]
    """Mentions of each short form, in the order in which they first appear."""

    @property
    def words(self) -> int:
        """The number of spaces and passages."""
        texts = self.passages["text"].combine_chunks()
        characters = texts.buffers()[2]  # contains these texts and nothing else
        spaces = 0 if characters is None else np.count_nonzero(np.frombuffer(characters, np.uint8) == ord(" "))
        return len(texts) + int(spaces)


class Mending:
    """Respells golds as the inventory lists them, drops junk senses, and counts both.

    Args:
        published: the inventory as read.
        listed: the inventory of candidates, whose spelling is used.
        common: words that are common in these texts.
        as_published: keep junk senses.
    """

    def __init__(self, published: Inventory, listed: Inventory, common: frozenset[str], as_published: bool) -> None:
        self._published, self._listed, self._common, self._keep = published, listed, common, as_published
        self._known: dict[tuple[str, str], tuple[str, str | None]] = {}
        self._counts: Counter[tuple[str, str, str, str]] = Counter()
        self.stray: Counter[tuple[str, str]] = Counter()
        """Labels with stray spaces, by short form; `medal_marks.Marker` removes the spaces and counts them here."""

    def __call__(self, marked: Marked) -> Repaired:
        """Respell golds and drop junk senses, and passages that are left without mentions."""
        counts = np.bincount(marked.meaning, minlength=len(marked.meanings)).tolist()
        spelt = [self._repaired(*pair, count) for pair, count in zip(marked.meanings, counts, strict=True)]
        keep = np.array([name is not None for name in spelt], bool)[marked.meaning]
        meaning = marked.meaning[keep]
        per_passage = np.bincount(marked.passage[keep], minlength=len(marked.ids))
        filled = pa.array(per_passage > 0)
        ids, texts, per_passage = marked.ids.filter(filled), marked.texts.filter(filled), per_passage[per_passage > 0]
        pair = pa.array(meaning)
        mentions = [
            pa.array(marked.start[keep], pa.int32()),
            pa.array(marked.end[keep], pa.int32()),
            pa.array([short_form for short_form, _ in marked.meanings], pa.string()).take(pair),
            pa.array([name or "" for name in spelt], pa.string()).take(pair),
        ]
        ends = pa.array(np.append(0, np.cumsum(per_passage)), pa.int32())
        # The source is not the file name, because an id identifies the same abstract in all of MeDAL's files.
        sources = pa.repeat(pa.scalar("medal"), len(ids))
        different, first, count = np.unique(meaning, return_index=True, return_counts=True)
        short_forms: Counter[str] = Counter()
        for place in np.argsort(first).tolist():
            short_forms[marked.meanings[different[place]][0]] += int(count[place])
        return Repaired(
            passages=passage_table(ids.cast(pa.string()), texts.cast(pa.string()), ends, mentions, sources),
            without=len(marked.ids) - len(ids),
            per_passage=Counter(per_passage.tolist()),
            short_forms=short_forms,
        )

    def _repaired(self, short_form: str, label: str, mentions: int) -> str | None:
        """The label as the inventory lists it, or None if it is dropped; the repair is counted for all `mentions`."""
        key = short_form, label
        spelt, reason = self._known.get(key) or self._known.setdefault(key, self._mended(*key))
        if reason is not None:
            self._counts[reason, *key, spelt] += mentions
        return None if reason == "junk" and not self._keep else spelt

    def _mended(self, short_form: str, long_form: str) -> tuple[str, str | None]:
        spelt = listed_spelling(short_form, long_form, self._listed)
        if is_junk(short_form, spelt, self._common):
            return spelt, "junk"
        if spelt == long_form:
            return spelt, None if spelt in self._listed.long_forms(short_form) else "not listed"
        if long_form in self._published.long_forms(short_form):
            return spelt, "variant"
        return spelt, "case" if spelt.casefold() == long_form.casefold() else "spelling"

    def account(self) -> dict[str, list[tuple[str, str, str, int]]]:
        """Reason -> (short form, label, new spelling, mentions), most frequent first."""
        found: dict[str, list[tuple[str, str, str, int]]] = {name: [] for name in MENDED}
        stray = Counter({("spaces", *key, tidy(key[1])): count for key, count in self.stray.items()})
        for (reason, short_form, label, spelt), count in sorted(
            (self._counts + stray).items(), key=lambda item: (-item[1], item[0])
        ):
            found[reason].append((short_form, label, spelt, count))
        return found


def is_junk(short_form: str, long_form: str, common: frozenset[str]) -> bool:
    """Whether a sense is one common word whose letters do not fit the short form: "after" for T3, for example."""
    return long_form in common and not fits(short_form, long_form)


def variant_groups(inventory: Inventory) -> int:
    """Number of groups of two or more long forms of a short form that differ only in spelling, plural or hyphen."""
    return sum(
        sum(n > 1 for n in Counter(equivalence_key(sense.long_form) for sense in senses).values())
        for senses in inventory.senses.values()
    )
