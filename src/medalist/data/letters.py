"""Matches the letters of a short form with the words before it, to find where its long form begins.

Preferred is a match in which each letter begins a word, or a part of a word such as the "venous" of "intravenous",
and only small words are skipped. Otherwise every way of finding the letters in order is scored: letters that begin
words or parts add to the score, skipped words reduce it, and the best score must be at least `ENOUGH` per letter.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from .spelling import lower

SMALL = frozenset("a an and at by de for from in la of on or the to with".split())
"""Words that a match may skip."""
WORD = re.compile(r"[^\W_]+(?:['’]s(?![^\W_]))?")
_UNIT = re.compile(r"\d+|[^\W\d_]")
_OPENING = "([{\"'“‘"

_FIGURES = {"1": ("one", "first"), "2": ("two", "second"), "3": ("three", "third"), "4": ("four", "fourth")}
"""How a figure may be spelt out: "two-dimensional (2D)"."""
_ROMAN = {"1": "i", "2": "ii", "3": "iii", "4": "iv", "5": "v", "6": "vi", "7": "vii", "8": "viii", "9": "ix"}
"""A word of its own that may stand for a figure: "factor VII (F7)"."""
_FORMS = (
    "adeno alveolo amino angio anti apo arterio arthro auto azido bi bio blepharo broncho carboxy cardio cephalo "
    "cerebro chemo cholangio chole cholecysto chondro chrono co colono cortico costo counter cranio cryo cyclo cysto "
    "cyto dacryo deoxy dermato desoxy di dihydro duodeno dys echo electro encephalo endo enol entero epi erythro "
    "esophago extra ferro fibro fluoro galacto gastro genito gluco glyco haemato haemo hemato hemo hepato hetero hexa "
    "histo homo hydro hydroxy hyper hypo hystero immuno infra inter intra iso kerato keto kilo labio laparo laryngo "
    "leuco leuko lipo lymphadeno lymphangio lympho macro mega melano meningo mercapto meta methoxy micro milli mono "
    "morpho muco multi musculo myco myelo myo nano naso nephro neuro nitro non normo nucleo oculo oesophago oligo "
    "onco ophthalmo oro ortho osteo oto over oxy pan pancreato papillo para patho penta peri phospho photo physio "
    "pleuro pneumo poly post pre pro procto pseudo psycho pulmono pyelo pyro radio recto retino retro rhino ribo "
    "sclero semi sero spiro spleno spondylo staphylo strepto sub sulfo super supra sympatho syn tele tetra thermo "
    "thio thoraco thrombo thyro tracheo trans tri tropho ultra under uretero urethro uro utero vaso veno ventriculo "
    "vesico video viscero xantho xeno"
).split()
"""Combining forms: the parts of compound words."""
_PART = re.compile(
    rf"(?:{'|'.join(sorted(_FORMS, key=len, reverse=True))}|[^\W\d_]{{2,12}}?yl(?!en|at))(?=[^\W\d_]{{3}})|"
    r"\d+(?=[^\W\d_])|[^\W\d_]+(?=\d)"
)
"""A part of a word before another: a combining form, a group such as "phosphatidyl", a number or letters before one."""

# Set, up to `ENOUGH`, on halves of two marked corpora.
BEGINS = 1.8
"""What a letter is worth that begins a word."""
PART = 1.4
"""One that begins a part of the word of the letter before it."""
WITHIN = 0.9
"""One that stands in the word of the letter before it."""
INNER = 0.7
"""One that begins a part of a later word."""
LATER = -0.3
"""One that stands in a later word."""
SKIPPED = 0.7
"""What it costs to pass over a word."""
BEHIND = 1.3
"""What it costs to pass over a word at the end."""
COMMA = 0.7
"""What it costs to pass over a comma."""
ALONE = 1.0
"""What it costs to begin with a letter on its own."""
ENOUGH = 0.67
"""Least worth of a letter on average."""
SURE = 1.3
"""The same where a short form may be one of several examples."""


def fits(short_form: str, long_form: str) -> bool:
    """Whether the letters of a short form appear in the long form in order, starting with its first letter.

    The x of "Bx" and "Tx" is a convention, not a letter of the word, and is ignored. A mismatch is not an error in
    itself, but a single word that does not match ("after" for T3) was most likely found by chance.
    """
    letters = "".join(filter(str.isalnum, lower(short_form)))
    if len(short_form) > 1 and short_form.endswith("x"):
        letters = letters[:-1]
    rest = iter(letter for letter in long_form.lower() if letter.isalnum())
    return next(rest, None) == letters[:1] and all(letter in rest for letter in letters[1:]) if letters else False


def long_form_start(short_form: str, before: str, *, initials: bool, enough: float = ENOUGH) -> int | None:
    """The position in `before` where the long form at its end begins; None if the letters do not fit.

    Args:
        short_form: as written.
        before: the words before it.
        initials: accept only letters that each begin a word or a part of one.
        enough: minimum average score per letter, if not all are initials.
    """
    short, lowered = plain(short_form), plain(before)
    if "hydroxy" in lowered:  # 25(OH)D, 17-OHP, 1,25(OH)2D3
        short = re.sub(r"\(?oh\)?(2(?!\d))?", lambda match: "dh" if match[1] else "h", short)
    units = _UNIT.findall(short)
    words = [m.span() for m in WORD.finditer(lowered)]
    if not units or not words or not _in_order(units, lowered):
        return None
    for kept in _with_numbers_left_out(short_form, units, lowered):
        start = _initials_start(kept, lowered, words)
        if start is None and not initials and (kept is units or len(kept) > 2):
            left_out = sum(map(len, units)) - sum(map(len, kept))
            start = _best_start(short_form, kept, lowered, words, enough=enough, figures=left_out)
        if start is not None:
            figures = "".join(unit for unit in units if unit.isdigit())
            return whole(units[0], lowered, start if kept is units else _with_figures(figures, lowered, start))
    return None


def _in_order(units: list[str], text: str) -> bool:
    """Whether the letters appear in the text in order; numbers are not checked, as they may be spelt otherwise."""
    at = len(text)
    for unit in reversed(units):
        if unit.isalpha():
            at = text.rfind(unit, 0, at)
            if at < 0:
                return False
    return True


def _with_numbers_left_out(short_form: str, units: list[str], before: str) -> Iterator[list[str]]:
    """All units of a short form, then without the numbers missing from the text, then without any: N2O, IL-6.

    A number at the beginning is never left out: 5-FU.
    """
    yield units
    if " " in short_form or all(map(str.isalpha, units)):
        return
    given = [unit for unit in units if unit.isalpha() or unit in before]
    bare = [unit for unit in units if unit.isalpha()]
    for kept in (given, bare):
        left_out = sum(map(len, units)) - sum(map(len, kept))
        if kept[:1] == units[:1] and len(kept) > 1 and 0 < left_out <= len(bare):
            yield kept


def whole(letter: str, before: str, start: int) -> int:
    """Where the unspaced string that contains the first letter begins.

    All of it belongs to the long form, "1,3-beta-glucan"; of alternatives, only those with the same first letter:
    "calcium/calmodulin-dependent (CaMK)", "pain/hypertension (HTN)".
    """
    first = start
    while start and not before[start - 1].isspace() and not _opens(before, start - 1):
        start -= 1
    slash = before.rfind("/", start, first)
    return start if slash < 0 or before[start] == letter else slash + 1


_GREEK = str.maketrans("αβγδεζηθικλμµνξοπρςστυφχψω", "abgdezhtiklmmnxoprsstupcpo")


def plain(text: str) -> str:
    """The text in lower case, with Greek letters replaced by the first letters of their names; the length is kept."""
    return lower(text).translate(_GREEK)


def _with_figures(figures: str, before: str, start: int) -> int:
    """The start, moved to the word before it if that gives the figures: "70-kd heat shock protein (HSP70)"."""
    word = re.search(r"(?<!\S)(\d+)-?[^\W\d]+\s+$", before[:start])
    return word.start() if word and word[1] == figures else start


def _opens(text: str, at: int) -> bool:
    """Whether a bracket or quotation mark opens here that is not closed before the next space."""
    if text[at] not in _OPENING or (text[at] == "'" and at and not text[at - 1].isspace()):  # "5'-N-ethyl"
        return False
    together = re.match(r"\S*", text[at:])
    assert together is not None
    closing = {"(": ")", "[": "]"}.get(text[at])
    return closing is None or closing not in together[0].rstrip(",;:.")[:-1]


@lru_cache(maxsize=20_000)
def _parts(word: str) -> tuple[int, ...]:
    """Where the parts of a word after the first begin: "gastrointestinal" -> 6."""
    at, parts = 0, []
    while match := _PART.match(word, at):
        at = match.end()
        parts.append(at)
    return tuple(parts)


def _says(unit: str, text: str, start: int, end: int) -> bool:
    """Whether the word, or part of a word, at `start` begins with the letter or gives the number of a unit."""
    if not unit.isdigit():
        return text[start] == unit
    if text.startswith(unit, start):
        return not text[start + len(unit) : start + len(unit) + 1].isdigit()
    return text[start:end] == _ROMAN.get(unit) or text.startswith(_FIGURES.get(unit, " "), start)


def _initials_start(units: list[str], before: str, words: list[tuple[int, int]]) -> int | None:
    """Where the words begin whose initials, or those of their parts, are the units; only small words may be skipped.

    Each word gives its initial; the match with the most words wins, then the shortest.
    """
    ways = {len(units): 0}  # units still unmatched -> most words, small ones not counted, that match the others
    best: tuple[int, int] | None = None
    for start, end in reversed(words):
        small = before[start:end] in SMALL
        going: dict[int, int] = {}
        for left, number in ways.items():
            if small and left < len(units):
                going[left] = max(number, going.get(left, 0))
            for count in _by_initials(units, left, before, start, end):
                going[left - count] = max(number + (not small), going.get(left - count, 0))
        if 0 in going:
            most = going.pop(0)
            if best is None or most > best[0]:
                best = most, start
        if not going:
            break
        ways = going
    return None if best is None else best[1]


def _by_initials(units: list[str], left: int, before: str, start: int, end: int) -> list[int]:
    """The numbers of final units that a word may match by its initial and those of its parts."""
    counts = []
    if _says(units[left - 1], before, start, end):
        counts.append(1)
    parts = [start + part for part in _parts(before[start:end])]
    for count in range(2, min(len(parts) + 1, left) + 1):
        first, *others = units[left - count : left]
        rest = iter(parts)
        if _says(first, before, start, end) and all(
            any(_says(unit, before, part, end) for part in rest) for unit in others
        ):
            counts.append(count)
    return counts


class _Place(NamedTuple):
    """A place in the text that could match a letter or number of the short form."""

    at: int
    word: int
    begins: bool
    part: bool
    """Whether it begins a part of a word."""


def _best_start(
    short_form: str, units: list[str], before: str, words: list[tuple[int, int]], *, enough: float, figures: int = 0
) -> int | None:
    """Where the highest-scoring match of the units to the end of the text begins; None if its score is too low.

    Figures left unmatched raise the minimum.
    """
    wanted = set(units)
    places: dict[str, list[_Place]] = {unit: [] for unit in wanted}
    for number, (start, end) in enumerate(words):
        parts = [start + part for part in _parts(before[start:end])]
        for at in range(start, end):
            if before[at] in wanted and not before[at].isdigit():
                places[before[at]].append(_Place(at, number, at == start, at in parts))
        for unit in wanted:
            if unit.isdigit():
                for at in (start, *parts):
                    if _says(unit, before, at, end):
                        places[unit].append(_Place(at, number, at == start, at != start))
    last = len(words) - 1
    costs = [SKIPPED * (end - start > 1 and not before[start].isdigit()) for start, end in words]
    for number in range(last):
        costs[number] += COMMA * (", " in before[words[number][1] : words[number + 1][0]])
    passed = list(accumulate(costs, initial=0.0))
    worth = [(place, -BEHIND * (last - place.word)) for place in places[units[-1]]]
    for unit in reversed(units[:-1]):
        worth = _with_letter_before(places[unit], worth, passed)
    # A long form rarely begins with a single letter, "cytochrome c oxidase (COX)", except "T cell leukemia (T-ALL)".
    apart = len(short_form) > 1 and not short_form[1].isalnum()
    starts = [
        (rest - (ALONE if not apart and before[place.at + 1 : place.at + 2].isspace() else 0), place.at)
        for place, rest in worth
        if place.begins and _balanced(before[whole(units[0], before, place.at) :])
    ]
    if not starts:
        return None
    best, at = max(starts)
    return at if best + BEGINS >= enough * (len(units) + figures) else None


def _balanced(text: str) -> bool:
    return text.count("(") == text.count(")")


def _with_letter_before(
    places: list[_Place], worth: list[tuple[_Place, float]], passed: list[float]
) -> list[tuple[_Place, float]]:
    """The best score of the remaining letters for each place of the letter before them, in the order of the text.

    Args:
        places: the places of the letter before, in the order of the text.
        worth: the best score of the rest from each place of its first letter, in the order of the text.
        passed: cumulative cost of skipping the first n words of the text.
    """
    left, better = list(worth), []
    # Best score of the rest: within `word`; of `word`, seen from earlier words; of the words after `word`.
    word, in_word, of_word, behind = -1, -math.inf, -math.inf, -math.inf
    for place in reversed(places):
        while left and left[-1][0].at > place.at:
            later, rest = left.pop()
            if later.word != word:
                word, in_word, of_word, behind = later.word, -math.inf, -math.inf, max(behind, of_word)
            in_word = max(in_word, rest + (PART if later.part else WITHIN))
            gain = BEGINS if later.begins else INNER if later.part else LATER
            of_word = max(of_word, rest + gain - passed[later.word])
        apart = behind if place.word == word else max(behind, of_word)
        most = max(in_word if place.word == word else -math.inf, apart + passed[place.word + 1])
        if most > -math.inf:
            better.append((place, most))
    return better[::-1]
