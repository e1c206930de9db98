"""What a terminal shows of expansions.

Covers `tables` too.
"""

from __future__ import annotations

import io

from rich.console import Console

from medalist.cli.result_tables import expansions_table
from medalist.expansion.expander import Expansion


def printed(text: str, *answers: tuple[str, str, str | None], sure: bool = True) -> str:
    """The table for (surface, short form, long form) in the order of the text."""
    expansions, at = [], 0
    for surface, short_form, long_form in answers:
        at = text.index(surface, at)
        expansions.append(
            Expansion(
                start=at,
                end=at + len(surface),
                short_form=short_form,
                long_form=long_form,
                probability=0.9,
                alternatives=((long_form or "something", 0.9), ("another", 0.1)),
                evidence="model" if long_form else "abstained",
                sure=sure and long_form is not None,
            )
        )
        at += len(surface)
    console = Console(file=io.StringIO(), width=120)
    console.print(expansions_table(text, expansions))
    return console.file.getvalue()


def test_a_dangerous_notation_is_pointed_out_once_and_only_in_its_dangerous_sense():
    shown = printed(
        "MS 4 mg, then MS 2 mg; known ms", *[("MS", "MS", "morphine sulfate")] * 2, ("ms", "MS", "multiple sclerosis")
    )
    assert shown.count("Avoid writing") == 1
    assert "Avoid writing MS for morphine sulfate: can also be magnesium sulfate; write: morphine sulfate" in shown
    assert "Avoid writing" not in printed("on RA", ("RA", "RA", "room air"))
    assert "Avoid writing" not in printed("on MS", ("MS", "MS", None))


def test_an_answer_that_is_not_sure_has_a_question_mark():
    assert "room air?" in printed("on RA", ("RA", "RA", "room air"), sure=False)
    assert "room air?" not in printed("on RA", ("RA", "RA", "room air"))


def test_a_declined_short_form_says_so():
    assert "none of the listed senses" in printed("on RA", ("RA", "RA", None))
    assert "No known short form." in printed("nothing here")
