"""Features ("signs") of the surrounding text that a short form is really a word, a number, a place or a name."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields

from .embedded import reader
from .initials import is_named, is_room, is_signature, is_titled
from .passages import Mention

_NUMBERED = re.compile(
    r"(?:vitamins?|hepatitis|groups?|types?|class|factor|stage|grade|phase|level|segment|schedule|part|model|figure|table|"
    r"killip|mallampati|hurley|leads?|fc)\s+(?:[a-z]{1,4}(?:,| and|/| or)\s*)*$",
    re.IGNORECASE,
)
_PLACE = re.compile(r"\b(?:from|in|to|near|outside|visiting)\s+(?:(?:[A-Z][a-z]+ ){0,2}[A-Z][a-z]+,?\s+)?$")
_CITY = re.compile(r"\b([A-Z][a-z]+),\s+$")
_SURNAME = re.compile(r"\.?[ \t]([A-Z][a-z]{2,})\b")
_LETTERED = re.compile(
    r"\b(?:bay|beds?|room|ward|wing|zone|block|building|gate|team|cohort|option|appendix|vol\.?|volume|plan|item|gr\.?)\s+$",
    re.IGNORECASE,
)
"""Nouns that take a letter, but may also precede a longer short form: "bay C", but "ward MO"."""
_ROMAN = re.compile(r"I{2,3}|VI{1,3}|IX|XI{1,3}")
_NUMBER = re.compile(r"\d\s{0,2}$")
_UNITS = frozenset("cc mg g kg mcg µg μg ng ml mL dl dL cm mm kcal kPa mmHg mmol mol mEq Hz Gy s".split())
_PER = frozenset("L l min h hr d day wk mo".split())
"""Short forms that are units in a quotient: "mg/L", "L/min"."""
_QUOTIENT = re.compile(
    rf"(?<![^\W\d])(?:{'|'.join(_UNITS)}|pg|fl|fL|[nµμu]mol|m?I?U|L|l|cells|cfu|copies|beats|breaths|min)/$"
)
_WORD = re.compile(r"[A-Za-z'’-]+")
_REGIONS = frozenset(
    (
        "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK "
        "OR PA RI SC SD TN TX UT VT VA WA WV WI WY DC AB BC MB NB NL NS ON PE QC SK UK US USA EU"
    ).split()
)
"""States of the United States, provinces of Canada, and a few larger places."""
_NEIGHBOURS = 3
_COMMON = 500
"""Minimum count in running text for a word to be taken only as a word."""
_EVERYWHERE = 20_000
"""Minimum count for a word so common that it is hardly ever a short form."""
_ONLY_WORDS = frozenset(
    """ache act add aid aims ala app aspects ass auto bad beam bed blue burp calm camp cape car cars clad cold cuts die
    eat fair fix fret gag gap gas gave got grace grade hale him ice iris led let lift lot maid mart me mid miss musk
    nares nerd net nice nor notes oats odd pans par pass pee pit poems port post pus rat respect rib rice rip rot sac
    sane send sip sit snag snip step ten tic tip top vain wash""".split()
)
"""Rarer words that nobody means as a short form unless in capitals."""
_ORDINARY = 50
"""A word with a higher count in running text than this is ordinary."""
_NO_WORDS = frozenset(
    """ah al au bp c cm co d de dopa e echo et g h heme i kb kg l lab labs ll m mg min ml mm mmol n ng nih nov o p q r
    re s sis sp t v ve vs x y""".split()
)
"""Words in the counts that are really short forms, units, letters or pieces of other words."""
_VALUE = re.compile(r"[ \t]{0,2}[:=]?[ \t]{0,2}[<>~]?[ \t]?[+-]?\.?\d")
"""A value after a quantity: "BP 148/86", "K: 4.2", "MAP >65"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """Numeric features, for a linear classifier, of whether a surface form is a short form or only looks like one."""

    word: float
    """log10(1 + its count as a lower-case word in running text); 0 if it is not a word, such as "bp"."""
    shouted_word: float
    """`word` if it is in capitals, else 0."""
    lower_word: float
    """`word` if it is in lower case, else 0."""
    capitals: float
    """`word`, times the share of the neighbouring words that are ordinary words in capitals: in a text in capitals, a
    word is probably just a word; HTN, which is not a word, is not."""
    numbered: float
    """1 after a word that takes a letter or Roman numeral: stage, vitamin, lead."""
    region: float
    """1 if it is the code of a state, province or country."""
    place: float
    """1 if it is such a code and appears where a place name would: after "from", or after a comma and a word that
    is not in running text ("Tupelo, MS", but not "Asthma, MI")."""
    name: float
    """1 after a title or a word for a relative, and for a single letter before a word that is not in running text:
    "K. Tamihana"."""
    titled: float
    """1 after a title: Dr, Mrs, Prof."""
    signed: float
    """1 if it is a signature, as on a note's last line: "MS/dk", "OS, DDS"."""
    room: float
    """1 after a noun that takes a letter or a name: bay, suite, counter."""
    everyday: float
    """1 if it has a common meaning outside medicine, as a word, a given name, a thing or firm, or a Roman numeral:
    MAT, SAM, TV, GE, III."""
    word_length: float
    """Its number of characters, at most 6, if it is a word of three or more, else 0: US is rarely "us"."""
    value: float
    """1 if a value follows directly, as after a quantity."""
    letter: float
    """1 if it is a single letter."""

    def values(self) -> tuple[float, ...]:
        """All features, in the order of `SIGNS`."""
        return tuple(getattr(self, name) for name in SIGNS)


SIGNS = tuple(field.name for field in fields(Surroundings))


def is_ordinary_word(text: str, mention: Mention, *, own: bool = False) -> bool:
    """Whether a mention is a very common word, not in capitals, and not spelt exactly like the short form.

    When short forms are matched in any case, words such as "to" and "On" can be ruled out without a model. A word as
    common as "in" is ruled out even where it is listed in that spelling, as for inch.

    Args:
        text: the text.
        mention: the mention.
        own: the user or the text itself defines the short form, so its spelling counts for all but the commonest words.
    """
    surface = text[mention.start : mention.end]
    if surface != "a" and not surface[1:].islower():
        return False
    forms = {surface.lower()}
    if surface[-1] == "s" and not mention.short_form.islower():
        forms.add(surface[:-1].lower())  # lips, odds
    count = max(reader.word_counts().get(form, 0) for form in forms)
    if count >= _EVERYWHERE or (not own and not forms.isdisjoint(_ONLY_WORDS)):
        return True
    return (count >= _COMMON or not forms.isdisjoint(_ONLY_WORDS)) and surface != mention.short_form


def is_unit(text: str, mention: Mention) -> bool:
    """Whether a mention is a unit of measurement after a number, "4 mg", or in a quotient, "mmol/L", and spelt as one.

    Units need no expansion; nor does pH, for which this is also true.
    """
    surface, start = text[mention.start : mention.end], mention.start
    numbered = _NUMBER.search(text, max(0, start - 12), start) is not None
    if surface == "pH" or (surface in _UNITS and numbered):
        return True
    if surface not in _UNITS | _PER:
        return False
    return _QUOTIENT.search(text, max(0, start - 12), start) is not None or (
        numbered and text[mention.end : mention.end + 1] == "/"
    )


def surroundings(text: str, mention: Mention) -> Surroundings:
    """Compute the features of a mention in a text."""
    surface = text[mention.start : mention.end]
    before = text[max(0, mention.start - 120) : mention.start]
    word = _commonness(surface)
    region = surface in _REGIONS
    return Surroundings(
        word=word,
        shouted_word=word if surface.isupper() and len(surface) > 1 else 0.0,
        lower_word=word if surface.islower() else 0.0,
        capitals=word * shouting(text, mention),
        numbered=float(bool(_NUMBERED.search(before) or (len(surface) == 1 and _LETTERED.search(before)))),
        region=float(region),
        place=float(region and _is_place(before)),
        name=float(is_named(before) or _is_initial(text, mention)),
        titled=float(is_titled(before)),
        signed=float(is_signature(text, mention.start, mention.end)),
        room=float(is_room(before)),
        everyday=float(is_everyday(surface)),
        word_length=float(min(len(surface), 6)) if word and len(surface) > 2 else 0.0,
        value=float(bool(_VALUE.match(text, mention.end))),
        letter=float(len(surface) == 1 and surface.isalpha()),
    )


def _is_initial(text: str, mention: Mention) -> bool:
    if mention.end - mention.start != 1 or not text[mention.start].isupper():
        return False
    surname = _SURNAME.match(text, mention.end)
    return surname is not None and _count(surname[1]) == 0


def _is_place(before: str) -> bool:
    city = _CITY.search(before)
    return bool(_PLACE.search(before)) or (city is not None and _count(city[1]) == 0)


def shouting(text: str, mention: Mention) -> float:
    """Share of the words around a mention that are ordinary words in capitals, 0 to 1."""
    before, after = text[max(0, mention.start - 120) : mention.start], text[mention.end : mention.end + 120]
    neighbours = [*_WORD.findall(before)[-_NEIGHBOURS:], *_WORD.findall(after)[:_NEIGHBOURS]]
    return sum(map(_is_shouted_word, neighbours)) / len(neighbours) if neighbours else 0.0


def is_everyday(surface: str) -> bool:
    """Whether a form has a common meaning outside medicine, excluding words that are often meant medically."""
    return surface.casefold() in reader.everyday() or bool(_ROMAN.fullmatch(surface))


def _count(word: str) -> int:
    """The count of a word in running text; 0 for strings that only look like words."""
    folded = word.lower()
    return 0 if folded in _NO_WORDS else reader.word_counts().get(folded, 0)


def _commonness(surface: str) -> float:
    return math.log10(_count(surface) + 1)


def _is_shouted_word(word: str) -> bool:
    return word.isupper() and len(word) > 1 and _count(word) > _ORDINARY
