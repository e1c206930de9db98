"""Finds notations that safety bodies advise against, in the raw text and without a model.

The rules are in `do_not_use.csv`, in our own words, after the Joint Commission's "Do Not Use" list and ISMP's list of
error-prone abbreviations: those entries that can be recognised from the surrounding text. Laboratory results (1.0
mg/dL, 40 U/L) are exempt, as they are for the Joint Commission.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from .results import DoNotUse, Expansion

_FILE = Path(__file__).with_suffix(".csv")
_UNIT = (
    r"(?:(?i:mgs?|mcgs?|micrograms?|milligrams?|grams?|gms?|mls?|cc|units?|iu|meq|mmol|tabs?|tablets?|caps?|capsules?|puffs?)"
    r"|[µμu]g|ng|[gG]|[Uu])"
)
_PARTS = {
    "<number>": r"(?<![\w.,])\.?\d{1,7}(?:[.,]\d{1,6}){0,3}",
    # of a drug dose, not of a laboratory result: 1 mg, 1 mg/kg, but not 1 mg/dL
    "<dose unit>": _UNIT
    + r"(?![\w%])(?!\s?/\s?(?:d|m|µ|μ|f)?[Ll]\b)(?!\s?%|\sper\s[dm]?[Ll]\b|\s?/\s?24|(?<=[mM][lL])\s?/\s?min)",
    "<dose>": r"(?<![\w.,])(?:\d{1,7}(?:[.,-]\d{1,6}){0,3}|\.\d{1,6})\s?" + _UNIT + r"(?![\w%])",
    "<route>": r"(?:IV|IM|SC|SQ|PO|iv|im|sc|po|i\.v\.|p\.o\.)(?:\s?(?:push|bolus|drip|PCA))?(?!\w)",
    "<amount>": r"(?:\d\s?(?:mg|mcg|[µμu]g|micrograms?|g|m[Ll]|units?|tabs?|tablets?|caps?|capsules?|puffs?))",
    "<frequency>": r"(?i:[btq]\.?i\.?d\b|[btq]d[sd]?\b|q\s?\d|qhs|daily|nightly|twice|once|at bedtime)",
    # a name in front of a figure: of a drug, not of an eye's measure, a place or an age; "MR", "D3" may come between
    "<drug>": r"(?!(?i:iops?|\w?\w?\w?va|vision|acuity|pressures?|fingers|axis|sphere|ward|bed|room|bay|days?|weeks?|"
    r"aged?|(?:fe)?male|patient|grade|stage|type)\b)[A-Za-z][A-Za-z-]{2,30}(?:\s(?:[MSELCX][RLAC]|PO|po|[A-Z]\d))?",
    "<thrombolysis>": r"(?i:\b(?:iv|ia|given?|gave|bolus|drip|dose|stroke|cva|nihss|pe|dvt|stemi|lkw|candidate|window|"
    r"(?:receiv|administ|infus|push|infarct|thromb|lys[ei]|lytic|clot|occlu|embol|eligib|cath)\w{0,12}|picc|"
    r"[\d.]{1,6} ?mg)\b)",
    # up to two words may come between: "drops in OD", "gtt 1 OU"
    "<drops>": r"(?i:\b(?:gtts?|drops?|ointment|ung|otic|ophth|ophthalmic)\b)(?:\s[\w%]{1,6}){0,2}\s",
}
"""Placeholders that a pattern may contain."""
_SPACE = r"(?:[^\S\n]{0,2}|[^\S\n]?\n[^\S\n]{0,12})"
r"""Replaces `\s?` in a pattern: at most two spaces, since more separate columns, or the end of a line."""


_UNITS = {"u": "unit", "iu": "international unit"}
_SYMBOLS = {"cc": "mL", "µg": "mcg", "μg": "mcg", "ug": "mcg"}


def _dose(found: str) -> str:
    """A dose as it should be written: "5.0mg" as "5 mg", ".5U" as "0.5 units"."""
    parts = re.fullmatch(r"([\d.,\s-]*\d)[\s-]*(\D*)", found)
    assert parts is not None, "it begins with a number"
    number, unit = " ".join(parts[1].split()), parts[2]
    number = re.sub(r"(?<=\d)(?:\.0+|,0{1,2})(?!\d)", "", number)
    number = re.sub(r"(?<!\d)[.,](?=\d)", "0.", number)
    kind = unit.replace(".", "").lower()
    if name := _UNITS.get(kind.removesuffix("s")):
        unit = name if number == "1" else f"{name}s"
    if re.fullmatch(r"\d{5,}", number):
        number = f"{int(number):,}"
    return f"{number} {_SYMBOLS.get(kind, unit)}"


def _hour(found: str) -> str:
    number, half = re.findall(r"\d+|[AaPp][Mm]", found)
    return f"daily at {number} {half.lower()}"


def _days(found: str) -> str:
    number = re.sub(r"\D", "", found)
    return f"for {number} {'day' if number == '1' else 'days'}"


def _apart(found: str) -> str:
    return re.sub(r"(?<=[a-z])(?=\d)|(?<=\d)(?=[a-z])", " ", found)


_REWRITTEN: dict[str, Callable[[str], str]] = {
    **dict.fromkeys(("U", "IU", "CC", "µg", "trailing zero", "missing zero", "large number"), _dose),
    "q6PM": _hour,
    "x3d": _days,
    "no space": _apart,
}
"""What to write instead of notations that hold a number; for these, `instead` in the table is an example."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rule:
    notation: str
    pattern: re.Pattern[str]
    """Its first group is the notation; the rest is context."""
    means: str
    why: str
    instead: str
    listed_by: str

    def instead_of(self, found: str) -> str:
        """What to write instead of a notation as found in a text."""
        rewritten = _REWRITTEN.get(self.notation)
        return self.instead if rewritten is None else rewritten(found)


@cache
def _rules() -> tuple[_Rule, ...]:
    with _FILE.open(encoding="utf-8", newline="") as file:
        return tuple(_Rule(pattern=re.compile(_spelt_out(row.pop("pattern"))), **row) for row in csv.DictReader(file))


def _spelt_out(pattern: str) -> str:
    for name, part in _PARTS.items():
        pattern = pattern.replace(name, part)
    return pattern.replace(r"\s?", _SPACE)


def find_do_not_use(text: str) -> tuple[DoNotUse, ...]:
    """The notations in a text that the Joint Commission or ISMP advises against, in order; they may overlap.

    Some match two rules: ".5U" lacks a leading zero and abbreviates unit.
    """
    found = {  # several patterns may find the same notation
        DoNotUse(
            start=match.start(1),
            end=match.end(1),
            notation=rule.notation,
            means=rule.means,
            why=rule.why,
            instead=rule.instead_of(match[1]),
            source=rule.listed_by,
        )
        for rule in _rules()
        for match in rule.pattern.finditer(text)
    }
    return tuple(sorted(found, key=lambda warning: (warning.start, warning.end, warning.notation)))


def warned(expansions: Sequence[Expansion], warnings: Sequence[DoNotUse]) -> tuple[Expansion, ...]:
    """The expansions, each with the first warning that overlaps it; both are in text order."""
    result, first = [], 0
    for expansion in expansions:
        while first < len(warnings) and warnings[first].end <= expansion.start:
            first += 1
        overlaps = first < len(warnings) and warnings[first].start < expansion.end
        result.append(replace(expansion, warning=warnings[first]) if overlaps else expansion)
    return tuple(result)
