"""The results of expanding a text: its short forms with their expansions, and notations that should not be used.

Offsets count characters (Python's, that is, code points) of the text exactly as given.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, overload

from .options import Unsure
from .wording import end_in_place, in_place, with_article

Evidence = Literal["defined in text", "glossary", "inventory", "model", "abstained", "not read", "unlisted"]
"""Where an answer comes from; see `Expansion.evidence`."""

_OPENS = re.compile(r"""[\s,;:."'“”‘’]*[(\[][\s"'“”‘’]*""")
"""What separates a long form from its short form, or the reverse, where a text defines it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DoNotUse:
    """A notation in a text that a safety body advises against; found without a model."""

    start: int
    end: int
    """Character offsets into the text; they include the number that makes the notation dangerous: "10U"."""
    notation: str
    """Its name in the list: "U", "trailing zero"."""
    means: str
    """What is probably meant."""
    why: str
    """How it can be misread."""
    instead: str
    """What to write instead."""
    source: str
    """Who advises against it: "Joint Commission; ISMP"."""

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, kw_only=True, slots=True)
class Expansion:
    """What one short form in a text stands for."""

    start: int
    end: int
    """Character offsets into the text."""
    short_form: str
    """As written in the text: "RAs", "ra"."""
    key: str
    """As in the inventory, the glossary or the definition: "RA"; if it is not listed, without a plural s."""
    long_form: str | None
    """The answer; None if none of the listed senses fits, the model is undecided or could not read the place."""
    probability: float
    """Probability of the answer, 0 to 1, or of "none of these" if there is no answer; 1 if the text or the glossary
    gives the answer, 0 if the model could not read the place."""
    alternatives: tuple[tuple[str, float], ...]
    """All listed long forms with their probabilities, likeliest first; those of the prior if it was not read."""
    evidence: Evidence
    """Source of the answer, in order of precedence:

    - `defined in text`: the text itself spells the short form out, here or elsewhere.
    - `glossary`: the user's own glossary. If it lists several long forms, the model chooses among them, or without a
      model the topic of the text.
    - `inventory`: it lists only this sense, or all others are rare, and the model did not decline it; or the prior and
      the topic of the text decided, and no model was asked.
    - `model`: the model chose among the listed senses.
    - `abstained`: none of the listed senses fits, or it is too uncertain that it is a short form here
      (`is_undecided`).
    - `not read`: the question did not fit into the model's window, so the model was not asked.
    - `unlisted`: it looks like a short form but is not listed anywhere.
    """
    sure: bool
    """Whether the answer is likely enough to be written into the text (the expander's `min_probability`)."""
    definition: tuple[int, int] | None = None
    """If the text defines the short form: start and end of the long form there."""
    warning: DoNotUse | None = None
    """If a safety body advises against this spelling of the short form: why, and what to write instead."""

    @property
    def is_undecided(self) -> bool:
        """Whether the model declined although some listed sense is likelier than "none of these"."""
        return self.evidence == "abstained" and any(share > self.probability for _, share in self.alternatives)

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON; alternatives become objects with `long_form` and `probability`.

        Probabilities are rounded to 6 digits, since further digits depend on the number of threads.
        """
        values = {name: getattr(self, name) for name in self.__slots__}
        values["probability"] = round(self.probability, 6)
        values["alternatives"] = [
            {"long_form": name, "probability": round(share, 6)} for name, share in self.alternatives
        ]
        values["definition"] = self.definition and list(self.definition)
        values["warning"] = self.warning and self.warning.to_dict()
        return values


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpandedText(Sequence[Expansion]):
    """A text and the sequence of its expansions: ``for expansion in expander(text)``."""

    text: str = field(repr=False)  # so that no note reaches a log through a repr
    """As given."""
    expansions: tuple[Expansion, ...]
    """In text order, without overlap; including those without an answer (`abstained`, `not read`, `unlisted`)."""
    warnings: tuple[DoNotUse, ...] = ()
    """In text order."""

    @property
    def unlisted(self) -> tuple[Expansion, ...]:
        """Strings that look like short forms but are in no inventory, glossary or definition."""
        return tuple(expansion for expansion in self.expansions if expansion.evidence == "unlisted")

    def surface(self, expansion: Expansion | DoNotUse) -> str:
        """The characters of the text that an expansion or warning refers to."""
        return self.text[expansion.start : expansion.end]

    def replaced(self, *, unsure: Unsure = "mark") -> str:
        """The text with each short form replaced by its long form if that is sure, worded to fit in (see `wording`).

        Args:
            unsure: "mark" turns an answer that is not sure into "RA [right atrium? 74 %]", "leave" leaves the text
                alone. A short form without an answer, and one where the text defines it, is left alone in any case.

        Raises:
            ValueError: `unsure` is neither.
        """
        if unsure not in get_args(Unsure):
            raise ValueError(f"unsure is {unsure!r}; it must be one of {', '.join(get_args(Unsure))}")
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
    """New article before a short form ("" keeps the text's) and replacement for the short form; None to keep both."""
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
    """One past the characters that an answer replaces."""
    assert expansion.long_form is not None
    return end_in_place(text, expansion.start, expansion.end, expansion.key, expansion.long_form)


def defines(text: str, expansion: Expansion) -> bool:
    """Whether the text defines the short form at this place, as in "right atrium (RA)" and "RA (right atrium)"."""
    if expansion.definition is None:
        return False
    start, end = expansion.definition
    between = text[end : expansion.start] if end <= expansion.start else text[expansion.end : start]
    return _OPENS.fullmatch(between) is not None
