"""What the expander says about a text: the expansions of its short forms, and the notations that it should not use.

Offsets count characters (Python's, so code points) of the text exactly as it was given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, overload

from .options import Unsure
from .wording import end_in_place, in_place, with_article

Evidence = Literal["defined in text", "glossary", "inventory", "model", "abstained", "unlisted"]
"""Where an answer comes from; see `Expansion.evidence`."""

_OPENS = re.compile(r"""[\s,;:."'“”‘’]*[(\[][\s"'“”‘’]*""")
"""What stands between a long form and its short form, or the other way round, where a text defines it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DoNotUse:
    """A notation in a text that a safety body advises against, found in the text itself without any model."""

    start: int
    end: int
    """Character offsets into the text: of the notation with the number that makes it dangerous, such as "10U"."""
    notation: str
    """Its name on the list: "U", "trailing zero"."""
    means: str
    """What is probably meant."""
    why: str
    """What it can be misread as."""
    instead: str
    """What to write instead."""
    source: str
    """Who advises against it: "Joint Commission; ISMP"."""

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, kw_only=True, slots=True)
class Expansion:
    """What one short form of a text stands for."""

    start: int
    end: int
    """Character offsets into the text."""
    short_form: str
    """As it stands in the text: "RAs", "ra"."""
    key: str
    """As the inventory, the glossary or the definition writes it: "RA"; if nothing lists it, without a plural s."""
    long_form: str | None
    """The answer; None if none of the listed senses fits, or the model is undecided."""
    probability: float
    """Probability of the answer, 0 to 1, or of "none of these" if there is no answer; 1 where the text or the glossary
    gives the answer."""
    alternatives: tuple[tuple[str, float], ...]
    """All listed long forms with their probabilities, most likely first."""
    evidence: Evidence
    """Where the answer comes from, in this order of precedence:

    - `defined in text`: the text itself spells the short form out, here or before.
    - `glossary`: the user's own glossary. Where it lists several long forms, the model chooses among them, or the topic
      of the text where there is no model.
    - `inventory`: it lists only this sense, or no other one is at all usual, and the model did not decline it; or how
      usual its senses are and what the text is about decided, and no model was asked.
    - `model`: the model chose among the listed senses.
    - `abstained`: none of the listed senses fits, or it is not certain enough that it is a short form here
      (`is_undecided`).
    - `unlisted`: it looks like a short form and nothing lists it.
    """
    sure: bool
    """Whether the answer is likely enough to be written into the text (the expander's `min_probability`)."""
    definition: tuple[int, int] | None = None
    """If the text defines the short form: start and end of the long form there."""
    warning: DoNotUse | None = None
    """If the short form is written in a way that a safety body advises against: why, and what to write instead."""

    @property
    def is_undecided(self) -> bool:
        """Whether the model declined although some listed sense is likelier than none of them."""
        return self.evidence == "abstained" and any(share > self.probability for _, share in self.alternatives)

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON; alternatives become objects with `long_form` and `probability`."""
        values = {name: getattr(self, name) for name in self.__slots__}
        values["alternatives"] = [{"long_form": name, "probability": share} for name, share in self.alternatives]
        values["definition"] = self.definition and list(self.definition)
        values["warning"] = self.warning and self.warning.to_dict()
        return values


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpandedText(Sequence[Expansion]):
    """A text with its expansions, of which it is the sequence: ``for expansion in expander(text)``."""

    text: str = field(repr=False)  # a note must not reach a log by way of a repr
    """As given."""
    expansions: tuple[Expansion, ...]
    """In the order of the text, without overlap; `unlisted` and `abstained` ones included."""
    warnings: tuple[DoNotUse, ...] = ()
    """In the order of the text."""

    @property
    def unlisted(self) -> tuple[Expansion, ...]:
        """What looks like a short form and is in no inventory, glossary or definition."""
        return tuple(expansion for expansion in self.expansions if expansion.evidence == "unlisted")

    def surface(self, expansion: Expansion | DoNotUse) -> str:
        """The characters of the text that an expansion or warning is about."""
        return self.text[expansion.start : expansion.end]

    def replaced(self, *, unsure: Unsure = "mark") -> str:
        """The text with each short form replaced by its long form where that is sure, worded for its place (`wording`).

        Args:
            unsure: "mark" turns an answer that is not sure into "RA [right atrium? 74 %]", "leave" leaves the text
                alone. A short form without an answer, and one where the text defines it, is left alone in any case.
        """
        pieces, at = [], 0
        for expansion in self.expansions:
            if (written := _written(self.text, expansion, unsure)) is not None:
                article, instead = written
                pieces += [with_article(self.text[at : expansion.start], article), instead]
                at = _end(self.text, expansion)
        return "".join([*pieces, self.text[at:]])

    def to_dict(self) -> dict[str, Any]:
        """Expansions and warnings, for JSON, without the text."""
        return {
            "expansions": [expansion.to_dict() for expansion in self.expansions],
            "warnings": [warning.to_dict() for warning in self.warnings],
        }

    def __len__(self) -> int:
        return len(self.expansions)

    def __iter__(self) -> Iterator[Expansion]:
        return iter(self.expansions)

    @overload
    def __getitem__(self, index: int) -> Expansion: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Expansion, ...]: ...
    def __getitem__(self, index: int | slice) -> Expansion | tuple[Expansion, ...]:
        return self.expansions[index]


def _written(text: str, expansion: Expansion, unsure: Unsure) -> tuple[str, str] | None:
    """The article before a short form, "" if it stays, and what takes the short form's place; None if that stays."""
    if expansion.long_form is None or defines(text, expansion):
        return None
    if expansion.sure:
        return in_place(text, expansion.start, expansion.end, expansion.key, expansion.long_form)
    if unsure == "leave":
        return None
    end = _end(text, expansion)
    apart = " " if text[end : end + 1].isdigit() else ""
    return "", f"{text[expansion.start : end]} [{expansion.long_form}? {100 * expansion.probability:.0f} %]{apart}"


def _end(text: str, expansion: Expansion) -> int:
    """One past what an answer takes the place of."""
    assert expansion.long_form is not None
    return end_in_place(text, expansion.start, expansion.end, expansion.key, expansion.long_form)


def defines(text: str, expansion: Expansion) -> bool:
    """Whether the text defines the short form right here, as in "right atrium (RA)" and "RA (right atrium)"."""
    if expansion.definition is None:
        return False
    start, end = expansion.definition
    between = text[end : expansion.start] if end <= expansion.start else text[expansion.end : start]
    return _OPENS.fullmatch(between) is not None
