"""Turns plain medical text into note-like training passages that together cover every listed sense.

Texts are cut at lines and sentences into chunks of 30 to 120 words, in which listed long forms are found.
Chunks are chosen so that each sense of an ambiguous short form appears up to a given number of times, rare ones first.
Then long forms are abbreviated, some chunks are rendered as notes, and look-alikes are marked as such.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from ..data.detection import ShortFormFinder
from ..data.inventory import Inventory, Sense
from ..data.note_style import as_note
from ..data.passages import NONE_OF_THESE, Mention, Passage
from ..data.sources.texts import PlainText
from ..data.substitution import LongFormFinder, Match

_UNIT = re.compile(r"[^\n]*?(?:[.!?](?=\s+[A-Z0-9(\"'•-])|\n+|$)", re.DOTALL)
_LABELLED = re.compile(
    r"\b(?:[Vv]itamins?|[Hh]epatitis|[Gg]roup|[Tt]ype|[Cc]lass|[Ff]actor|[Ss]tage|[Gg]rade|[Pp]hase|[Ll]evel|"
    r"[Ss]egment|[Bb]lood type|[Ll]eads?|[Ss]chedule|[Pp]art|[Mm]odel|[Ff]igure|[Tt]able) ((?:[A-E]|K|[IVX]{1,4})\b)"
)
"""A letter or Roman numeral that is only a label or number: vitamin D, stage II."""

_SMALL_WORDS = frozenset(
    "to for at and after before with without no from of in on as or is are was than per by until".split()
)
"""Long forms of symbols such as "@", "c̄" or "→" that occur in nearly every sentence.

They are abbreviated only an eighth as often; otherwise they would crowd out everything else.
"""
_CHUNK_WORDS = 30, 120
"""Target range of a chunk's length, in words."""
_MOST_WORDS = 130
"""Maximum number of words in a chunk; a longer sentence is cut."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A chunk of a text and the long forms in it."""

    id: str
    text: str
    source: str
    matches: tuple[Match, ...]

    @property
    def text_id(self) -> str:
        """The id of the text that the chunk is part of."""
        return self.id.rpartition("#")[0]

    @property
    def long_forms(self) -> frozenset[str]:
        """The long forms that the chunk spells out."""
        return frozenset(match.long_form for match in self.matches)

    def packed(self) -> list[Any]:
        """The chunk as JSON values, for `unpacked`."""
        return [self.id, self.text, self.source, [[m.start, m.end, m.long_form, m.plural] for m in self.matches]]

    @classmethod
    def unpacked(cls, row: list[Any]) -> Chunk:
        """Restore a chunk from `packed`."""
        name, text, source, matches = row
        found = tuple(Match(start, end, "", long_form, plural) for start, end, long_form, plural in matches)
        return cls(id=name, text=text, source=source, matches=found)


def cut(text: str, identifier: str, *, seed: int) -> Iterator[str]:
    """Cut a text into chunks at lines and sentences, with lengths drawn at random; a short remainder is dropped."""
    draw = random.Random(f"{seed}:cut:{identifier}")
    shortest, longest = _CHUNK_WORDS
    units = [unit for match in _UNIT.finditer(text) if (unit := match[0]).strip()]
    pending: list[str] = []
    words, target = 0, draw.randint(shortest, longest - 20)
    for unit in units:
        size = len(unit.split())
        if pending and words + size > longest:
            yield _joined(pending)
            pending, words, target = [], 0, draw.randint(shortest, longest - 20)
        pending.append(unit)
        words += size
        if words >= target:
            yield _joined(pending)
            pending, words, target = [], 0, draw.randint(shortest, longest - 20)
    if words >= shortest // 2:
        yield _joined(pending)


def _joined(units: Sequence[str]) -> str:
    """Join units into one chunk of at most `_MOST_WORDS`, keeping line breaks and collapsing runs of white space."""
    text = re.sub(r"\s*\n\s*", "\n", "".join(units).strip())
    text = re.sub(r"[ \t]+", " ", text)
    words = list(re.finditer(r"\S+", text))
    return text if len(words) <= _MOST_WORDS else text[: words[_MOST_WORDS - 1].end()]


class Shortener:
    """Replaces the long forms in a chunk with short forms, in proportion to their frequency in an inventory.

    Args:
        inventory: short forms and senses; the counts say how common a short form is for a sense.
        equivalents: alternative wording of a long form -> the inventory's own wording.
        seed: together with a chunk's id, determines every draw.
    """

    def __init__(self, inventory: Inventory, equivalents: Mapping[str, str], *, seed: int) -> None:
        self.inventory, self._seed = inventory, seed
        self._own = {wording.lower(): own.lower() for wording, own in equivalents.items()}
        wordings = Inventory(senses={"": tuple(Sense(long_form=w) for w in {*equivalents, *self._usual})})
        self._finder = LongFormFinder(wordings)
        self._surfaces = ShortFormFinder(inventory, any_case=True)

    @cached_property
    def _usual(self) -> dict[str, list[tuple[str, str, float]]]:
        """Lower-case long form -> (short form, long form as listed, weight) for each short form that lists it."""
        found: dict[str, list[tuple[str, str, float]]] = {}
        for short_form, senses in self.inventory.senses.items():
            for sense in senses:
                weight = float(max(sense.count, 1)) ** 0.5
                found.setdefault(sense.long_form.lower(), []).append((short_form, sense.long_form, weight))
        return found

    def find(self, text: str) -> tuple[Match, ...]:
        """Find the long forms in a text, as matches with the inventory's wording in lower case and no short form."""
        found = []
        for match in self._finder.find(text):
            name = match.long_form.lower()
            own = name if name in self._usual else self._own.get(name, "")
            if own in self._usual:
                found.append(Match(match.start, match.end, "", own, match.plural))
        return tuple(found)

    def __call__(self, chunk: Chunk, *, probability: float, turn: int = 0) -> Passage:
        """Return the chunk with long forms abbreviated and marked; each `turn` is a new draw for the same chunk."""
        draw = random.Random(f"{self._seed}:shorten:{chunk.id}:{turn}")
        chosen: dict[str, tuple[str, str]] = {}
        for name in dict.fromkeys(match.long_form for match in chunk.matches):
            ways = self._usual[name]
            short_form, listed, _ = draw.choices(ways, [weight for *_, weight in ways])[0]
            if draw.random() < (probability / 8 if name in _SMALL_WORDS else probability):
                chosen[name] = (short_form, listed)
        pieces: list[str] = []
        mentions: list[Mention] = []
        length = copied = 0
        for match in chunk.matches:
            if match.long_form not in chosen:
                continue
            short_form, listed = chosen[match.long_form]
            surface = short_form + ("s" if match.plural and short_form.isalpha() else "")
            pieces += [chunk.text[copied : match.start], surface]
            start = length + match.start - copied
            length, copied = start + len(surface), match.end
            mentions.append(Mention(start=start, end=length, short_form=short_form, long_form=listed))
        pieces.append(chunk.text[copied:])
        return Passage(id=f"{chunk.id}.{turn}", text="".join(pieces), mentions=tuple(mentions), source=chunk.source)

    def mark_look_alikes(self, passage: Passage, *, rate: float, common: Counter[str]) -> Passage:
        """Mark words that only look like a short form, with the gold `NONE_OF_THESE`.

        Labels such as the numeral in "stage II" are all marked and ordinary words in capitals usually are; of the other
        ordinary words, `rate` are marked per passage on average, preferably rarer ones.

        Args:
            passage: the rendered passage.
            rate: average number of ordinary words to mark per passage.
            common: how often each word appears in lower case in the whole text; decides whether a word is ordinary.
        """
        draw = random.Random(f"{self._seed}:alike:{passage.id}")
        taken = [(mention.start, mention.end) for mention in passage.mentions]
        marked, ordinary = [], []
        labels = {match.span(1) for match in _LABELLED.finditer(passage.text)}
        for found in self._surfaces.find(passage.text):
            if any(found.start < end and start < found.end for start, end in taken):
                continue
            surface = passage.text[found.start : found.end]
            word = surface.lower()
            none = replace(found, long_form=NONE_OF_THESE)
            if (found.start, found.end) in labels:
                marked.append(none)
            elif common[word] >= 100 and word not in self.inventory.senses and word.isalpha() and len(word) > 1:
                if surface.isupper() and draw.random() < 0.7:
                    marked.append(none)
                elif not surface.isupper():
                    ordinary.append((draw.random() ** (1 + 3000 / common[word]), none))
        count = int(rate) + (draw.random() < rate % 1)
        marked += [none for _, none in sorted(ordinary, key=lambda pair: pair[0])[:count]]
        mentions = tuple(sorted((*passage.mentions, *marked), key=lambda mention: mention.start))
        return replace(passage, mentions=mentions)


def chunks(texts: Iterable[PlainText], shortener: Shortener, *, seed: int) -> Iterator[Chunk]:
    """Yield the chunks that contain a listed long form."""
    for identifier, text, source in texts:
        for number, part in enumerate(cut(text, identifier, seed=seed)):
            if matches := shortener.find(part):
                yield Chunk(id=f"{identifier}#{number}", text=part, source=source, matches=matches)


def different(found: Iterable[Chunk]) -> Iterator[Chunk]:
    """Leave out chunks that share their first 25 words with an earlier one."""
    seen: set[bytes] = set()
    for chunk in found:
        key = hashlib.md5(" ".join(re.findall(r"[a-z]+", chunk.text.lower())[:25]).encode()).digest()
        if key not in seen:
            seen.add(key)
            yield chunk


def covering(found: Sequence[Chunk], inventory: Inventory, *, times: int, seed: int) -> list[Chunk]:
    """Choose chunks so that each long form of an ambiguous short form appears up to `times` times, rare ones first.

    If the inventory has no ambiguous short form, every long form counts.
    """
    several = [senses for senses in inventory.senses.values() if len(senses) > 1]
    wanted = {sense.long_form.lower() for senses in several or inventory.senses.values() for sense in senses}
    where: dict[str, list[int]] = {}
    for number, chunk in enumerate(found):
        for name in chunk.long_forms & wanted:
            where.setdefault(name, []).append(number)
    rank = [hashlib.sha256(f"{seed}:{chunk.id}".encode()).digest() for chunk in found]
    seen: Counter[str] = Counter()
    chosen: set[int] = set()
    for name in sorted(where, key=lambda name: (len(where[name]), name)):
        free = [number for number in where[name] if number not in chosen]
        free.sort(key=lambda number: (-_wanted(found[number].long_forms & wanted, seen, times), rank[number]))
        for number in free[: max(times - seen[name], 0)]:
            chosen.add(number)
            seen.update(found[number].long_forms & wanted)
    return [found[number] for number in sorted(chosen)]


def _wanted(names: frozenset[str], seen: Counter[str], times: int) -> int:
    return sum(seen[name] < times for name in names)


def thinned(passages: Sequence[Passage], *, most: int, seed: int) -> list[Passage]:
    """Randomly remove marks of senses that are marked more than `most` times, leaving about that many."""
    counts = Counter((m.short_form, m.long_form) for passage in passages for m in passage.mentions)

    def kept(passage: Passage, number: int, mention: Mention) -> bool:
        share = most / counts[mention.short_form, mention.long_form]
        return share >= 1 or random.Random(f"{seed}:thin:{passage.id}:{number}").random() < share

    return [
        replace(p, mentions=tuple(m for number, m in enumerate(p.mentions) if kept(p, number, m))) for p in passages
    ]


def styled(passage: Passage, inventory: Inventory, *, seed: int) -> Passage:
    """Render a passage as a note; a mark that now reads as another short form is kept if that also lists its sense."""
    note = as_note(passage, seed=seed)
    kept = []
    for mention in note.mentions:
        key = inventory.key(note.surface(mention))
        if key is not None and mention.long_form in (NONE_OF_THESE, *inventory.long_forms(key)):
            kept.append(replace(mention, short_form=key))
    return replace(note, mentions=tuple(kept))


def once(passage: Passage) -> Passage:
    """Keep only the first mark of each sense; every look-alike stays marked."""
    seen: set[tuple[str, str | None]] = set()
    kept = []
    for mention in passage.mentions:
        key = (mention.short_form, mention.long_form)
        if key not in seen or mention.long_form == NONE_OF_THESE:
            kept.append(mention)
        seen.add(key)
    return replace(passage, mentions=tuple(kept))


def typed(shortener: Shortener, chunk: Chunk, *, turn: int, seed: int, common: Counter[str]) -> Passage:
    """Make one training passage from a chunk: abbreviated, possibly rendered as a note, with look-alikes marked."""
    draw = random.Random(f"{seed}:typed:{chunk.id}:{turn}")
    passage = shortener(chunk, probability=draw.choice((0.6, 0.95, 0.95)), turn=turn)
    note = styled(passage, shortener.inventory, seed=seed)
    return shortener.mark_look_alikes(note, rate=0.8, common=common)


def lower_case_words(texts: Iterable[str]) -> Counter[str]:
    """Count how often each word appears in lower case."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(re.findall(r"\b[a-z]+\b", text))
    return counts
