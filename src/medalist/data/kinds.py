"""Three ways to make marked passages of an abstract: `medal`, `substituted` and `defined`.

`medal` is the published recipe, so that results compare: the first section, lower case, letters only, each spelt-out long
form shortened on its own draw. `substituted` is the same idea mended: the whole cased text, every mention of a chosen long
form shortened. `defined` has the short forms that the authors wrote: their definitions are taken out, and what the short
form stands for further on is known from them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from typing import Literal, get_args

from .definitions import Definition, find_definitions, fits
from .inventory import Inventory
from .passages import Mention, Passage
from .spelling import equivalence_key
from .substitution import Substituter, lower

Kind = Literal["medal", "substituted", "defined"]
KINDS: tuple[Kind, ...] = get_args(Kind)
USES = 3
"""Uses of one sense that are marked in a passage (`substituted`, `defined`); more of the same would teach little."""


class KindMaker:
    """Makes passages of a kind from an abstract, the same ones every time for a (seed, id).

    Args:
        listed: the candidates: what `substituted` shortens, and how every gold is spelt.
        published: what `medal` shortens; None: the same.
        probability: of an occurrence (`medal`; published: 0.15) or of a long form of an abstract (`substituted`).
        seed: with the abstract's id, decides every draw.
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
        """A marked passage; without mentions where the abstract has nothing to mark in this way."""
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
    """Take the authors' definitions out and mark the later uses of the short forms; their golds are known.

    Where "rheumatoid arthritis (RA)" stood, "RA" is left, unmarked; what is marked is text as it was written. Long forms
    that stay spelt out elsewhere are shortened too, unmarked, so that the answer is not in the text.

    Args:
        passage: plain; marks that it has are dropped.
        inventory: a gold is spelt as it lists it, if it lists an equivalent.
    """
    definitions = _consistent(find_definitions(passage.text))
    if not definitions:
        return replace(passage, mentions=())
    golds = {d.short_form: listed_spelling(d.short_form, d.long_form, inventory) for d in definitions}
    text, natural = _without_definitions(passage.text, definitions)
    mentions = [
        Mention(start=start, end=end, short_form=short_form, long_form=golds[short_form])
        for short_form, start, end in _uses(text, golds)
        if all(natural[start:end])
    ]
    return Passage(id=passage.id, text=text, mentions=_first_uses(mentions), source=passage.source)


def _first_uses(mentions: Iterable[Mention]) -> tuple[Mention, ...]:
    """At most `USES` of each sense."""
    seen: Counter[tuple[str, str | None]] = Counter()
    kept = []
    for mention in mentions:
        seen[mention.short_form, mention.long_form] += 1
        if seen[mention.short_form, mention.long_form] <= USES:
            kept.append(mention)
    return tuple(kept)


def without_junk(inventory: Inventory) -> Inventory:
    """The inventory without senses that are one word whose letters do not fit the short form: "after" for T3."""
    return Inventory(
        senses={
            short_form: tuple(s for s in senses if len(s.long_form.split()) > 1 or fits(short_form, s.long_form))
            for short_form, senses in inventory.senses.items()
        },
        origin=inventory.origin,
    )


def definition_counts(texts: Iterable[str]) -> dict[tuple[str, str], int]:
    """How many texts define each pair (short form, long form), in their last spelling; what an inventory is mined from."""
    counts: dict[tuple[str, str], int] = {}
    for text in texts:
        for pair in {d.short_form: d.long_form for d in _consistent(find_definitions(text))}.items():
            counts[pair] = counts.get(pair, 0) + 1
    return counts


def listed_spelling(short_form: str, long_form: str, inventory: Inventory | None) -> str:
    """The long form as the inventory spells it under that short form; unchanged where it lists no equivalent."""
    if inventory is None:
        return long_form
    listed = inventory.long_forms(short_form)
    if long_form in listed:
        return long_form
    wanted = equivalence_key(long_form)
    return next((name for name in listed if equivalence_key(name) == wanted), long_form)


def as_listed(passage: Passage, inventory: Inventory) -> Passage:
    """The passage with its golds spelt as the inventory lists them, where it lists an equivalent."""
    return replace(
        passage,
        mentions=tuple(
            m if m.long_form is None else replace(m, long_form=listed_spelling(m.short_form, m.long_form, inventory))
            for m in passage.mentions
        ),
    )


def _consistent(definitions: Iterable[Definition]) -> list[Definition]:
    """Those whose short form the text does not define as something else too."""
    meanings: dict[str, set[str]] = {}
    definitions = list(definitions)
    for definition in definitions:
        meanings.setdefault(definition.short_form, set()).add(equivalence_key(definition.long_form))
    return [d for d in definitions if len(meanings[d.short_form]) == 1]


def _without_definitions(text: str, definitions: Sequence[Definition]) -> tuple[str, list[bool]]:
    """The text with short forms where it defined or spelt them out, and which of its characters the author wrote there."""
    cuts = [(d.start, d.end, text[d.short[0] : d.short[1]]) for d in definitions]
    folded = lower(text)
    for definition in sorted(definitions, key=lambda d: -len(d.long_form)):
        words = r"\s+".join(map(re.escape, lower(definition.long_form).split()))
        for match in re.finditer(rf"(?<!\w){words}(s?)(?!\w)", folded):
            if all(match.end() <= start or end <= match.start() for start, end, _ in cuts):
                cuts.append((match.start(), match.end(), definition.short_form + match[1]))
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


def _uses(text: str, short_forms: Iterable[str]) -> list[tuple[str, int, int]]:
    """(short form, start, end) of each use, plural s included; of two that begin together, the longer."""
    names = sorted(short_forms, key=lambda name: (-len(name), name))
    pattern = re.compile(rf"(?<![^\W_])({'|'.join(map(re.escape, names))})(?:['’]?s)?(?![^\W_])")
    return [(match[1], match.start(), match.end()) for match in pattern.finditer(text)]
