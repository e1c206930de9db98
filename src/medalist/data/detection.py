"""Finds known short forms in free text; the model's null candidate decides whether each really is a short form.

Ordinary words in training passages are marked too, so that the model learns to decline them.
"""

from __future__ import annotations

import random
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence

import ahocorasick

from .inventory import Inventory
from .passages import NONE_OF_THESE, Mention, Passage, without_overlap
from .spelling import Composed, composed, lower
from .substitution import begins_inside_word, inside_word, is_plural

_DOTTED = re.compile(r"(?<![\w.])(?:(?:[A-Z]\. ){2,}[A-Z]\.(?!\w)|(?:[A-Za-z]\.){2,}(?:[A-Za-z](?![\w.]))?)")
"""Letters with full stops between them: "C.O.P.D.", "p.o", "N.S.". Three or more capitals may be spaced, "C. O. P.
D."; two are too often the end of one sentence and the start of the next ("hepatitis B. C. difficile")."""
_COUNTRY = frozenset({"US", "UK", "USA"})
_MEASURED = frozenset(
    """asa bg bgl bmi bp bs bun ckd crp cvp dbp dm ecog ef esr gcs hb hct hgb hr ht icp inr lvef map peep plt rr sbp
    temp uop wbc wt""".split()
)
"""Short forms often followed directly by a value or a stage."""
_VALUE = re.compile(r"\d{1,3}(?:[./-]\d{1,3})?(?:%|kg|cm|cc|ml|mmHg|bpm|[ab])?(?!\w|[./-]\w)", re.IGNORECASE)
_OF_AN_AGE = frozenset("F M yo yoF yoM YO YOF YOM y yr yrs mo".split())
"""What is often written straight behind an age, in this spelling: "64F", "3yo", "18mo"."""
_AGE = re.compile(r"(?<![\w.,/:+-])(?:1[01]\d|[1-9]?\d)$")
_LOWER_WORD = re.compile(r"(?<!\S)[a-z]{2,}(?!\S)")


_ALIKE = {0xB5: "\u03bc", 0x2019: "'", 0x2010: "-", 0x2011: "-"} | dict.fromkeys(
    [0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000], " "
)
_ALIKE |= {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
"""Full-width letters, as typed on East Asian keyboards, the micro sign, and non-breaking spaces and hyphens match
their plain equivalents."""


class ShortFormFinder:
    """Finds the short forms of an inventory in running text: whole words, optional plural s, leftmost-longest match.

    "C.O.P.D." is COPD unless the inventory lists it with its full stops; its letters are never short forms themselves.

    Args:
        inventory: the short forms to look for.
        any_case: also match "copd" for "COPD"; lower-case notes need this, but it also matches words ("as", "all").
    """

    def __init__(self, inventory: Inventory, *, any_case: bool = False) -> None:
        self._senses, self._any_case = inventory.senses, any_case
        self._automaton = ahocorasick.Automaton()
        for short_form in inventory.senses:
            pattern = self._plain(composed(short_form))
            if pattern not in self._automaton:
                self._automaton.add_word(pattern, (len(pattern), short_form))
        self._automaton.make_automaton()
        self._any_case_keys: dict[str, str] = {}
        for short_form in inventory.senses:
            self._any_case_keys.setdefault(lower(composed(short_form)), short_form)

    def find(self, text: str) -> tuple[Mention, ...]:
        """Find the short forms in a text, in order and without overlap; their long forms are None."""
        if not len(self._automaton):
            return ()
        whole = Composed.of(text)
        return tuple(
            Mention(start=start, end=end, short_form=mention.short_form)
            for mention in self._find(whole.text)
            for start, end in (whole.span(mention.start, mention.end),)
        )

    def _find(self, text: str) -> list[Mention]:
        """The mentions of a text whose accents are composed."""
        dotted = list(_DOTTED.finditer(text))
        found = [mention for match in dotted if (mention := self._dotted(text, match))]
        inside = _spans(dotted)
        for last, (length, short_form) in self._automaton.iter(self._plain(text)):
            start, end = last + 1 - length, last + 1
            if begins_inside_word(text, start) and not _after_age(text, start, end):
                continue
            if _clitic(text, start) or inside(start, end):
                continue
            if not _ends(text, end) and not _before_value(text, end, short_form):
                continue
            if ". " in short_form and _mixed(text[start:end].translate(_ALIKE), short_form):
                continue
            if text[start:end] in self._senses:  # exact case wins: "Pt" is not "PT" if the inventory has both
                short_form = text[start:end]
            if text[end : end + 1] == "s":
                end += 1
            found.append(Mention(start=start, end=end, short_form=short_form))
        # If a string has several readings, prefer the one in the text's own case: "TMs" is the plural of TM, not TMS.
        found.sort(key=lambda m: (m.start, -m.end, not text.startswith(m.short_form, m.start), -len(m.short_form)))
        return without_overlap(found)

    def _plain(self, text: str) -> str:
        """A text of the same length, in which characters that look alike are the same."""
        return (lower(text) if self._any_case else text).translate(_ALIKE)

    def _dotted(self, text: str, match: re.Match[str]) -> Mention | None:
        """The mention of a short form that is written with full stops but listed without them, or None."""
        letters = match[0].replace(".", "").replace(" ", "")
        if letters[-1] == "s" and letters[:-1].isupper():  # "C.T.s"
            letters = letters[:-1]
        if letters in _COUNTRY or not _ends(text, match.end()):
            return None
        key = letters if letters in self._senses else None
        if key is None and self._any_case and (len(letters) > 2 or letters.isupper()):  # "i.e." is not IE
            key = self._any_case_keys.get(letters.lower())
        if key is None:
            return None
        # The last full stop may also end the sentence; it is then not part of the mention.
        ends_sentence = match[0].endswith(".") and re.match(r"\s*(?:$|[\r\n]|[A-Z])", text[match.end() :][:20])
        return Mention(start=match.start(), end=match.end() - bool(ends_sentence), short_form=key)


def _spans(matches: Sequence[re.Match[str]]) -> Callable[[int, int], bool]:
    """A test of whether a span lies inside one of the matches and is shorter, disregarding a final full stop."""
    starts = [match.start() for match in matches]

    def inside(start: int, end: int) -> bool:
        at = bisect_right(starts, start) - 1
        if at < 0 or end > matches[at].end():
            return False
        return start > starts[at] or end < matches[at].end() - matches[at][0].endswith(".")

    return inside


def _clitic(text: str, start: int) -> bool:
    """Whether what begins here continues a word after an apostrophe: the s of "CVA's", the t of "don't"."""
    return text[max(0, start - 1) : start] in ("'", "’") and begins_inside_word(text, start - 1)


def _mixed(surface: str, short_form: str) -> bool:
    """Whether a match such as "m. CAT" for M. cat is really the end of one sentence and the start of the next."""
    return surface != short_form and not surface.islower() and not surface.isupper()


def _after_age(text: str, start: int, end: int) -> bool:
    """Whether what begins here belongs to an age that stands before it without a space."""
    return text[start:end] in _OF_AN_AGE and _AGE.search(text, max(0, start - 4), start) is not None


def _before_value(text: str, end: int, short_form: str) -> bool:
    """Whether what ends here is a measurement whose value follows without a space: "BP120/80", "wt70kg"."""
    return lower(short_form) in _MEASURED and _VALUE.match(text, end) is not None


def _ends(text: str, end: int) -> bool:
    return not inside_word(text[end : end + 1]) or is_plural(text, end)


def mark_distractors(passage: Passage, inventory: Inventory, *, rate: float, seed: int) -> Passage:
    """Mark lower-case words that look like a short form in the inventory ("as", "all"), with gold `NONE_OF_THESE`.

    Args:
        passage: the passage, with its short forms already marked.
        inventory: the short forms that the words look like.
        rate: average number of words to mark per passage, if there are enough.
        seed: together with the passage's id, determines which words.
    """
    draw = random.Random(f"{seed}:distractors:{passage.id}")
    count = int(rate) + (draw.random() < rate % 1)
    found = []
    for word in _LOWER_WORD.finditer(passage.text):
        key = inventory.key(word.group())
        if key is not None and key.lower() == word.group() and key != word.group():
            found.append(Mention(start=word.start(), end=word.end(), short_form=key, long_form=NONE_OF_THESE))
    taken = [(mention.start, mention.end) for mention in passage.mentions]
    free = [m for m in found if all(m.end <= start or end <= m.start for start, end in taken)]
    chosen = draw.sample(free, min(count, len(free)))
    mentions = sorted((*passage.mentions, *chosen), key=lambda mention: mention.start)
    return Passage(id=passage.id, text=passage.text, mentions=tuple(mentions), source=passage.source)
