"""Tables of expansions for the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from ..expansion.results import ExpandedText, Expansion
from ..tools.progress import visible
from .tables import new_table

if TYPE_CHECKING:
    from ..expansion.bulk import Account  # not needed to expand one text


def _answer(expansion: Expansion) -> str:
    """The answer of an expansion, with a question mark if it is not sure."""
    if expansion.long_form is None:
        return _without_answer(expansion)
    return expansion.long_form if expansion.sure else f"{expansion.long_form}?"


def _without_answer(expansion: Expansion) -> str:
    """What is shown in place of an answer; `_EXPLAINED` says what it means."""
    if expansion.evidence == "unlisted":
        return "not listed"
    if expansion.evidence == "not read":
        return "not read"
    return "undecided" if expansion.is_undecided else "none of the listed meanings"


_EXPLAINED = {
    "?": "likely, but not sure",
    "none of the listed meanings": "none fits, or it is no short form here; the percentage is how likely that is",
    "undecided": "it may be no short form here, so no meaning is chosen",
    "not read": "it did not fit into the model's window; the alternatives go by how usual they are",
    "not listed": "it looks like a short form, but no list has it, and nothing is guessed",
}
"""What stands in the column of answers beside long forms, explained."""


def _probability(expansion: Expansion) -> Text:
    """The probability of an answer: green if sure, red if as likely wrong as right, dim if there is no answer."""
    if expansion.evidence in ("unlisted", "not read") or expansion.is_undecided:
        return Text()
    colour = "green" if expansion.sure else "yellow" if expansion.probability > 0.5 else "red"
    return Text(f"{expansion.probability:.0%}", style=colour if expansion.long_form else "dim")


_SHOWN = 0.005
"""Alternatives below this probability, which would be shown as 0 %, are omitted from the table."""

_NARROW = 60
"""Width in columns below which the table has no room for alternatives and evidence."""


_TOGETHER = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class _Alternatives:
    """Long forms with their probabilities: a line may break within a long form, but not before its probability."""

    alternatives: Sequence[tuple[str, float]]

    def _text(self) -> str:
        return visible(", ".join(f"{name}{_TOGETHER}{probability:.0%}" for name, probability in self.alternatives))

    def __rich_measure__(self, _: Console, options: ConsoleOptions) -> Measurement:
        text = self._text()
        return Measurement(max(map(cell_len, text.split(" "))), cell_len(text))

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> Iterator[Text]:
        lines = textwrap.wrap(self._text(), options.max_width, break_on_hyphens=False, break_long_words=False)
        yield Text("\n".join(lines).replace(_TOGETHER, " "), overflow="fold")


@dataclass(frozen=True)
class _ByWidth:
    """One of two tables, depending on the width of the terminal."""

    wide: Table
    narrow: Table

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> Iterator[Table]:
        yield self.narrow if options.max_width < _NARROW else self.wide


def expansions_table(expanded: ExpandedText) -> RenderableType:
    """The text with its short forms marked, a row for each, and notations that should not be used."""
    shown = Text(visible(expanded.text))  # as long as the text, so that offsets stay valid
    for expansion in expanded:
        shown.stylize("bold cyan" if expansion.long_form else "yellow", expansion.start, expansion.end)
    for warning in expanded.warnings:
        shown.stylize("red", warning.start, warning.end)
    parts: list[RenderableType] = [shown]
    if expanded:
        narrow = new_table("", "short form", "stands for")
        narrow.columns[1].justify = "left"
        table = new_table("", "short form", "stands for", "probability", "alternatives", "evidence")
        for column in table.columns[1:]:
            column.justify = "right" if column.header == "probability" else "left"
        for column in table.columns:  # in a narrow table, long forms wrap
            column.no_wrap = column.header in ("short form", "probability", "evidence")
        for expansion in expanded:
            others = [
                (name, share)
                for name, share in expansion.alternatives
                if name != expansion.long_form and share >= _SHOWN
            ][:2]
            answer = Text(visible(_answer(expansion)))
            narrow.add_row(Text(visible(expanded.surface(expansion))), answer + Text(" ") + _probability(expansion))
            table.add_row(
                Text(visible(expanded.surface(expansion))),
                answer,
                _probability(expansion),
                _Alternatives(others),
                expansion.evidence,
            )
        parts += [_ByWidth(table, narrow), *_legend(expanded)]
    else:
        parts += ["", "No short form."]
    return Group(*parts, *(Text(visible(line)) for line in _advice(expanded)))


def _legend(expanded: ExpandedText) -> Iterator[Text]:
    """A line for each word or sign among the answers that is no long form."""
    used = {"?" if one.long_form else _without_answer(one) for one in expanded if not one.sure}
    for name, meaning in _EXPLAINED.items():
        if name in used:
            yield Text(f"{name}: {meaning}.", style="dim")


def _advice(expanded: ExpandedText) -> Iterator[str]:
    """A line for each notation advised against, with all its spellings: "Avoid 10U, 5u: ... Write: 10 units, ..."."""
    alike: dict[tuple[str, str, str], dict[str, str]] = {}
    for warning in expanded.warnings:
        found = " ".join(expanded.surface(warning).split())
        alike.setdefault((warning.notation, warning.why, warning.source), {})[found] = warning.instead
    for (_, why, source), written in alike.items():
        yield f"Avoid {', '.join(written)}: {why}. Write: {', '.join(dict.fromkeys(written.values()))} ({source})."


def account_table(account: Account) -> RenderableType:
    """What was expanded in a file of notes, and what was set aside."""
    table = new_table("", "", "n")
    for name, count in (
        ("notes", account.notes),
        ("short forms expanded", account.expansions),
        ("of these sure", account.sure),
        ("short forms without an answer", account.abstained),
        *([("short forms that did not fit the model's window", account.not_read)] if account.not_read else []),
        ("short forms that nothing lists", account.unlisted),
        ("notations to avoid", account.warnings),
        ("records set aside", account.num_set_aside),
    ):
        table.add_row(name, f"{count:,}")
    return Group(table, *([Text(f"Set aside: see {account.set_aside}")] if account.set_aside else []))
