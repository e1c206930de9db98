"""Finds the short forms of a text, and what is known of them without a model: definitions, glossary, inventory.

`Lexicon.find` gives each short form its position and, if no model is needed, its answer, in the order of precedence
documented in `results.Expansion.evidence`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data.definitions import Definition, find_definitions
from ..data.detection import ShortFormFinder
from ..data.inventory import Inventory
from ..data.not_prose import in_other_language, outside_prose
from ..data.parts import is_part
from ..data.passages import Mention, without_overlap
from ..data.surroundings import is_ordinary_word, is_unit, shouting, surroundings
from ..trees.windows import Window, home_window
from .results import Evidence

Glossary = Inventory | str | Path | Mapping[str, str | Sequence[str]]
"""A user's own short forms: an inventory, the path of a CSV, TSV or JSON file, or short form -> long form or forms."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A short form in a text, with its answer if no model is needed."""

    mention: Mention
    evidence: Evidence | None = None
    """None: a model is to choose among the senses in `Lexicon.senses`."""
    long_form: str | None = None
    definition: tuple[int, int] | None = None
    """Position of the long form if the text defines the short form."""

    @property
    def start(self) -> int:
        """Index of the first character of the short form."""
        return self.mention.start

    @property
    def end(self) -> int:
        """One past its last character."""
        return self.mention.end


def _whole(text: str) -> list[Window]:
    return [Window(0, len(text))]


class Lexicon:
    """An inventory and a user's glossary, which takes precedence for the short forms that it lists.

    Args:
        inventory: the senses of short forms that the glossary does not list.
        glossary: the user's own entries.
        any_case: also read "copd" as "COPD".
        skip_words: leave out ordinary lower-case words that only look like a short form of the inventory.
    """

    def __init__(self, inventory: Inventory, glossary: Inventory, *, any_case: bool, skip_words: bool) -> None:
        self._glossary, self._any_case, self._skip_words = glossary, any_case, skip_words
        given_way = self._giving_way(inventory)
        kept = {key: senses for key, senses in inventory.senses.items() if key not in given_way}
        self.senses = Inventory(senses=dict(glossary.senses) | kept, origin=inventory.origin)
        """The long forms offered for each short form."""
        self._finder = ShortFormFinder(self.senses, any_case=any_case)

    def in_glossary(self, short_form: str) -> bool:
        """Whether the user's glossary lists a short form."""
        return short_form in self._glossary.senses

    def find(self, text: str, windows: Callable[[str], Sequence[Window]] = _whole) -> list[Found]:
        """The short forms of a text in order, without overlap; the longest of those that start together.

        Args:
            text: the text.
            windows: returns the windows in which a model reads the text, which limit how far a definition reaches back.
        """
        ranked = [*self._defined(text, windows), *self._listed(text)]
        chosen = without_overlap(sorted(ranked, key=lambda found: (found.start, -found.end)))  # stable: definitions win
        return sorted([*chosen, *_unlisted(text, chosen)], key=lambda found: found.start)

    def _defined(self, text: str, windows: Callable[[str], Sequence[Window]]) -> list[Found]:
        """Short forms that the text spells out: the last definition before a mention applies, or else the next one.

        The next one must be in the window in which the mention is read: text appended to a note changes no answer of an
        earlier full window (law 3).
        """
        definitions: dict[str, list[Definition]] = {}
        for definition in find_definitions(text):
            if len(definition.key) > 1:  # a single letter has other uses in the text: "potassium (K)", "T 38.1"
                definitions.setdefault(definition.key, []).append(definition)
        known = Inventory.of((key, all_[0].sense, 0, None) for key, all_ in definitions.items())
        starts = {key: [definition.start for definition in all_] for key, all_ in definitions.items()}
        found = []
        cut: Sequence[Window] = ()
        for mention in ShortFormFinder(known, any_case=self._any_case).find(text):
            if is_ordinary_word(text, mention, own=True):
                continue
            at = bisect_right(starts[mention.short_form], mention.start) - 1
            definition = definitions[mention.short_form][max(at, 0)]
            if at < 0:
                cut = cut or windows(text)
                home = home_window(cut, mention.start, mention.end)
                if home is None or definition.end > home.end:
                    continue
            long_form, span = definition.sense, definition.long
            found.append(Found(mention=mention, evidence="defined in text", long_form=long_form, definition=span))
        return found

    def _listed(self, text: str) -> list[Found]:
        """Short forms that the glossary or the inventory lists."""
        found, no_prose, foreign = [], outside_prose(text), in_other_language(text)
        for mention in self._finder.find(text):
            if no_prose(mention.start, mention.end) or is_part(text, mention):
                continue
            ours, listed = self.in_glossary(mention.short_form), self.senses.long_forms(mention.short_form)
            if (ours or self._skip_words) and is_ordinary_word(text, mention, own=ours):
                continue
            if not ours and (is_unit(text, mention) or foreign(mention.start, mention.end)):
                continue
            single = ours and len(listed) == 1
            found.append(
                Found(mention=mention, evidence="glossary", long_form=listed[0]) if single else Found(mention=mention)
            )
        return found

    def _giving_way(self, inventory: Inventory) -> set[str]:
        """Keys of the inventory that a glossary entry overrides.

        These are the same key and, if case is ignored, keys that differ from it only in case and have the same senses
        in the
        inventory: "ra" where the glossary has "RA".
        """
        ours = set(self._glossary.senses)
        if not self._any_case:
            return ours
        folded = {key.lower(): set(inventory.long_forms(key)) for key in ours}
        return ours | {key for key in inventory.senses if set(inventory.long_forms(key)) == folded.get(key.lower())}


def read_glossary(glossary: Glossary) -> Inventory:
    """Convert a user's glossary to an inventory.

    Raises:
        FileNotFoundError: the file does not exist.
        TypeError: it is not of a type in `Glossary`.
        ValueError: it is malformed or lists nothing; the message says where.
    """
    if isinstance(glossary, Inventory):
        glossary.check("The glossary")
        return glossary
    if isinstance(glossary, (str, Path)):
        if not str(glossary):
            raise ValueError("The glossary's file name is empty: name a file")
        read = Inventory.read(Path(glossary))
    elif isinstance(glossary, Mapping):
        entries = {key: (names,) if isinstance(names, str) else names for key, names in glossary.items()}
        for number, (key, names) in enumerate(entries.items(), 1):
            whole = (
                isinstance(key, str)
                and key.strip()
                and isinstance(names, Collection)
                and not isinstance(names, Mapping)
                and len(names) > 0
                and all(isinstance(one, str) and one.strip() for one in names)
            )
            if not whole:
                raise ValueError(f"Entry {number:,} of the glossary is not a short form with its long form or forms")
        read = Inventory.of(((key, name, 0, None) for key, names in entries.items() for name in names), "glossary")
        read.check("The glossary")
    else:
        raise TypeError(f"A glossary is a file, an Inventory or a mapping, not {type(glossary).__name__}")
    # "room air" and "Room Air" are one sense, so no model need be asked.
    return Inventory.merged([read], read.origin)


def _unlisted(text: str, taken: Sequence[Found]) -> Iterable[Found]:
    """Strings outside the given spans that look like short forms: short, mostly capitals, and not words."""
    starts, no_prose, foreign = [found.start for found in taken], outside_prose(text), in_other_language(text)
    for match in _LIKE_SHORT_FORM.finditer(text):
        at = bisect_right(starts, match.start()) - 1
        if (at >= 0 and taken[at].end > match.start()) or (at + 1 < len(taken) and starts[at + 1] < match.end()):
            continue
        mention = Mention(start=match.start(), end=match.end(), short_form=match[1])
        left = no_prose(mention.start, mention.end) or foreign(mention.start, mention.end)
        if not left and _looks_like_short_form(text, mention):
            yield Found(mention=mention, evidence="unlisted")


_LIKE_SHORT_FORM = re.compile(
    r"(?<![\w.@'’\u0300-\u036f\u00ad\u200b-\u200d\u2060])([A-Za-z][A-Za-z0-9]{1,7}?)s?"
    r"(?![\w@\u0300-\u036f\u00ad\u200b-\u200d\u2060])"
)
"""A word of two to eight letters and digits, optionally with a plural s."""
_NO_SHORT_FORM = re.compile(
    r"[IVXLC]+|MON|TUES?|WED|THU(?:RS)?|FRI|SAT|SUN|JAN|FEB|MAR|APR|MAY|JUNE?|JULY?|AUG|SEPT?|OCT|NOV|DEC"
)
"""Roman numerals, days and months."""


def _looks_like_short_form(text: str, mention: Mention) -> bool:
    short_form = mention.short_form
    letters, capitals = sum(map(str.isalpha, short_form)), sum(map(str.isupper, short_form))
    if capitals < 2 or 2 * capitals < letters or 2 * letters < len(short_form) or _NO_SHORT_FORM.fullmatch(short_form):
        return False
    signs = surroundings(text, mention)
    return not signs.word and not signs.name and not signs.signed and shouting(text, mention) < 0.5
