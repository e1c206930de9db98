"""Three ways of making marked passages from an abstract: `medal`, `substituted` and `defined`.

`medal` is the published recipe, for comparable results: the first section, in lower case, letters only, with an
independent draw for abbreviating each occurrence of a long form. `substituted` improves on it: it keeps the whole cased
text and abbreviates every mention of a chosen long form. `defined` uses the short forms that the authors wrote: their
definitions give the gold answers and are removed from the text.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from typing import Literal, get_args

import ahocorasick

from .definitions import Definition, find_definitions, fits
from .inventory import Inventory
from .inventory_spelling import listed_spelling
from .passages import Mention, Passage
from .spelling import PLURAL_S, composed, equivalence_key, lower
from .substitution import Substituter, single_spaced

Kind = Literal["medal", "substituted", "defined"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_LETTER = re.compile(r"\w")
_PLURAL = re.compile(r"s?(?!\w)")
_PLURAL_OF_SHORT_FORM = re.compile(rf"(?:{PLURAL_S})?(?![^\W_])")
USES = 3
"""Maximum number of marked uses per sense and passage (`substituted`, `defined`); more would teach little."""


class KindMaker:
    """Makes passages of the given kind from an abstract, deterministically for each (seed, id).

    Args:
        listed: the candidates; `substituted` abbreviates their long forms, and every gold is spelt as they are.
        published: the inventory whose long forms `medal` abbreviates; None means `listed`.
        probability: of abbreviating one occurrence (`medal`; published: 0.15) or one long form of an abstract
            (`substituted`).
        seed: together with the abstract's id, determines every draw.
    """

    def __init__(
        self, listed: Inventory, *, published: Inventory | None = None, probability: Mapping[Kind, float], seed: int
    ) -> None:
        self._listed, self._published = listed, published or listed
        self._probability, self._seed = probability, seed
        self._spelt = lru_cache(maxsize=200_000)(partial(listed_spelling, inventory=listed))

    @cached_property
    def _medal(self) -> Substituter:
        return Substituter(self._published, mode="medal", probability=self._probability["medal"], seed=self._seed)

    @cached_property
    def _mended(self) -> Substituter:
        inventory, probability = without_junk(self._listed), self._probability["substituted"]
        return Substituter(inventory, mode="mended", probability=probability, seed=self._seed)

    def make(self, kind: Kind, identifier: str, sections: Sequence[str]) -> Passage:
        """Make a marked passage; it has no mentions if the abstract has nothing to mark for this kind."""
        text = sections[0] if kind == "medal" else " ".join(sections)
        plain = Passage(id=identifier, text=text, source=f"pubmed-{kind}")
        if kind == "defined":
            return defined(plain, self._listed)
        made = self._medal(plain) if kind == "medal" else self._mended(plain)
        marked = made.mentions if kind == "medal" else _first_uses(made.mentions)
        return replace(
            made, mentions=tuple(replace(m, long_form=self._spelt(m.short_form, m.long_form)) for m in marked)
        )


def defined(passage: Passage, inventory: Inventory | None = None) -> Passage:
    """Remove the authors' definitions and mark the other uses of the short forms with the golds that these define.

    "rheumatoid arthritis (RA)" is replaced by an unmarked "RA"; only text as the authors wrote it is marked. Long forms
    that are spelt out elsewhere are abbreviated too, unmarked, so that the text does not contain the answer.

    Args:
        passage: the plain passage; existing marks are dropped.
        inventory: if it lists an equivalent of a gold, the gold takes its spelling.
    """
    passage = replace(passage, text=composed(passage.text))
    definitions = _consistent(find_definitions(passage.text))
    if not definitions:
        return replace(passage, mentions=())
    golds = {d.key: listed_spelling(d.key, d.sense, inventory) for d in definitions}
    text, natural = _without_definitions(passage.text, definitions)
    mentions = [
        Mention(start=start, end=end, short_form=short_form, long_form=golds[short_form])
        for short_form, start, end in _uses(text, golds)
        if all(natural[start:end])
    ]
    return Passage(id=passage.id, text=text, mentions=_first_uses(mentions), source=passage.source)


def _first_uses(mentions: Iterable[Mention]) -> tuple[Mention, ...]:
    """The first mentions of each sense, at most `USES`."""
    seen: Counter[tuple[str, str | None]] = Counter()
    kept = []
    for mention in mentions:
        seen[mention.short_form, mention.long_form] += 1
        if seen[mention.short_form, mention.long_form] <= USES:
            kept.append(mention)
    return tuple(kept)


def without_junk(inventory: Inventory) -> Inventory:
    """Drop the senses that are a single word whose letters do not fit the short form, such as "after" for T3."""
    return Inventory(
        senses={
            short_form: tuple(s for s in senses if len(s.long_form.split()) > 1 or fits(short_form, s.long_form))
            for short_form, senses in inventory.senses.items()
        },
        origin=inventory.origin,
    )


def definition_counts(texts: Iterable[str]) -> dict[tuple[str, str], int]:
    """Count the texts that define each (short form, long form), as spelt last in each; used to mine inventories."""
    counts: dict[tuple[str, str], int] = {}
    for text in texts:
        for pair in {d.key: d.sense for d in _consistent(find_definitions(text))}.items():
            counts[pair] = counts.get(pair, 0) + 1
    return counts


def _consistent(definitions: Iterable[Definition]) -> list[Definition]:
    """Keep the definitions whose short form has only one meaning in the text."""
    meanings: dict[str, set[str]] = {}
    definitions = list(definitions)
    for definition in definitions:
        meanings.setdefault(definition.key, set()).add(equivalence_key(definition.sense))
    return [d for d in definitions if len(meanings[d.key]) == 1]


def _without_definitions(text: str, definitions: Sequence[Definition]) -> tuple[str, list[bool]]:
    """Put short forms in place of definitions and long forms; also say which characters the author wrote in place."""
    cuts = [(d.start, d.end, text[d.short[0] : d.short[1]]) for d in definitions]
    for cut in _spelt_out(text, definitions):
        at = bisect_left(cuts, cut)
        if (at == 0 or cuts[at - 1][1] <= cut[0]) and (at == len(cuts) or cut[1] <= cuts[at][0]):
            cuts.insert(at, cut)
    pieces: list[str] = []
    natural: list[bool] = []
    at = 0
    for start, end, short_form in sorted(cuts):
        pieces += [text[at:start], short_form]
        natural += [True] * (start - at) + [False] * len(short_form)
        at = end
    pieces.append(text[at:])
    natural += [True] * (len(text) - at)
    return "".join(pieces), natural


def _spelt_out(text: str, definitions: Iterable[Definition]) -> list[tuple[int, int, str]]:
    """(start, end, short form) of each long form spelt out in the text, with its plural s; the longest first.

    They may overlap. Any run of white space counts as one space.
    """
    by_words: dict[str, Definition] = {}
    for definition in sorted(definitions, key=lambda d: -len(d.sense)):
        by_words.setdefault(" ".join(lower(definition.sense).split()), definition)
    whole, places = single_spaced(lower(text))
    starts = range(len(text)) if places is None else places
    found = []
    for start, end, words in _occurrences(whole, by_words):
        plural = _PLURAL.match(whole, end)
        if plural is not None and not (start and _LETTER.match(whole, start - 1)):
            definition = by_words[words]
            order = -len(definition.sense)
            cut = starts[start], starts[plural.end() - 1] + 1, definition.key + plural[0]
            found.append((order, cut))
    return [cut for _, cut in sorted(found, key=lambda item: (item[0], item[1][0]))]


def _occurrences(text: str, names: Iterable[str]) -> Iterator[tuple[int, int, str]]:
    """(start, end, name) of each occurrence of a name, in one pass over the text."""
    automaton = ahocorasick.Automaton()
    for name in names:
        automaton.add_word(name, name)
    if not len(automaton):
        return
    automaton.make_automaton()
    for last, name in automaton.iter(text):
        yield last + 1 - len(name), last + 1, name


def _uses(text: str, short_forms: Iterable[str]) -> list[tuple[str, int, int]]:
    """(short form, start, end) of each use, including a plural s; at the same start, the longer short form wins."""
    found = []
    for start, end, name in _occurrences(text, short_forms):
        rest = _PLURAL_OF_SHORT_FORM.match(text, end)
        if rest is not None and not (start and text[start - 1].isalnum()):
            found.append((start, -len(name), rest.end(), name))
    kept: list[tuple[str, int, int]] = []
    for start, _, end, name in sorted(found):
        if not kept or start >= kept[-1][2]:
            kept.append((name, start, end))
    return kept
