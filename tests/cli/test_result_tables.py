"""What a terminal shows of expansions and claims.

Covers `expand_tables` and `tables` too.
"""

from __future__ import annotations

import io
import re

from rich.console import Console

from medalist.cli.expand_tables import expansions_table
from medalist.cli.options import show
from medalist.cli.result_tables import claims_tables
from medalist.cli.tables import new_table
from medalist.evaluation.claims_table import make_row
from medalist.expansion.do_not_use import find_do_not_use
from medalist.expansion.results import ExpandedText, Expansion
from medalist.tools.progress import PlainConsole


def printed(text: str, *answers: tuple[str, str, str | None], sure: bool = True) -> str:
    """The table for (surface, short form, long form) in the order of the text."""
    expansions, at = [], 0
    for surface, short_form, long_form in answers:
        at = text.index(surface, at)
        expansions.append(
            Expansion(
                start=at,
                end=at + len(surface),
                short_form=surface,
                key=short_form,
                long_form=long_form,
                probability=0.9,
                alternatives=((long_form or "something", 0.9), ("another", 0.1)),
                evidence="model" if long_form else "abstained",
                sure=sure and long_form is not None,
            )
        )
        at += len(surface)
    return shown(ExpandedText(text=text, expansions=tuple(expansions), warnings=find_do_not_use(text)))


def shown(expanded: ExpandedText) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(expansions_table(expanded))
    return console.file.getvalue()


def test_a_line_does_not_end_between_an_alternative_and_its_probability():
    answer = Expansion(
        start=0,
        end=2,
        short_form="PT",
        key="PT",
        long_form="prothrombin time",
        probability=0.4,
        alternatives=(("prothrombin time", 0.4), ("physical therapy", 0.26), ("physical therapist of the ward", 0.2)),
        evidence="model",
        sure=False,
    )
    for width in range(64, 110):
        console = Console(file=io.StringIO(), width=width)
        console.print(expansions_table(ExpandedText(text="PT", expansions=(answer,))))
        lines = console.file.getvalue().splitlines()
        assert any("ward 20%" in line for line in lines), width
        assert not any(re.search(r"^ +(26|20)%", line) for line in lines), width


def test_a_dangerous_notation_is_pointed_out_once_whatever_the_model_says():
    advice = "Avoid MS: can also be magnesium sulfate. Write: morphine sulfate or magnesium sulfate (Joint Commission"
    assert printed("MS 4 mg, then MS 2 mg; known ms", ("MS", "MS", "multiple sclerosis")).count(advice) == 1
    assert printed("MS 4 mg").count(advice) == 1
    assert "Avoid" not in printed("known MS", ("MS", "MS", "morphine sulfate"))


def test_spellings_of_one_notation_share_a_line_of_advice():
    assert "Avoid 10U, 5 u: read as 0, 4 or cc" in printed("insulin 10U, 5 u, 10U")
    assert "Write: 10 units, 5 units (Joint Commission; ISMP)." in printed("insulin 10U, 5 u, 10U")


def test_a_narrow_terminal_shows_every_answer_with_its_probability():
    answer = Expansion(
        start=0,
        end=2,
        short_form="RA",
        key="RA",
        long_form="room air",
        probability=0.65,
        alternatives=(("room air", 0.65), ("rheumatoid arthritis", 0.3)),
        evidence="model",
        sure=False,
    )
    for width, told in ((40, "RA          room air? 65%"), (0, "rheumatoid arthritis 30%")):  # 0: taken for a mistake
        console = PlainConsole(file=io.StringIO(), width=width)
        console.print(expansions_table(ExpandedText(text="RA", expansions=(answer,))))
        assert told in console.file.getvalue()


def test_markup_in_a_text_or_glossary_is_shown_as_it_is():
    assert "[/b] [red]RA" in printed("[/b] [red]RA", ("RA", "RA", "benzo[a]pyrene"))
    assert "benzo[a]pyrene" in printed("[/b] [red]RA", ("RA", "RA", "benzo[a]pyrene"))


def test_what_nothing_lists_is_shown_without_a_probability():
    unlisted = Expansion(
        start=0,
        end=3,
        short_form="ZQI",
        key="ZQI",
        long_form=None,
        probability=1.0,
        alternatives=(),
        evidence="unlisted",
        sure=False,
    )
    table = shown(ExpandedText(text="ZQI", expansions=(unlisted,)))
    assert "not listed" in table and "unlisted" in table and "%" not in table


def test_an_answer_that_is_not_sure_has_a_question_mark():
    assert "room air?" in printed("on RA", ("RA", "RA", "room air"), sure=False)
    assert "room air?" not in printed("on RA", ("RA", "RA", "room air"))


def test_a_declined_short_form_says_so():
    assert "none of the listed meanings" in printed("on RA", ("RA", "RA", None))
    assert "No short form." in printed("nothing here")


def test_what_the_model_could_not_read_says_so_without_a_probability_of_none():
    unread = Expansion(
        start=0,
        end=2,
        short_form="RA",
        key="RA",
        long_form=None,
        probability=0.0,
        alternatives=(("rheumatoid arthritis", 0.9), ("room air", 0.1)),
        evidence="not read",
        sure=False,
    )
    table = shown(ExpandedText(text="RA", expansions=(unread,)))
    assert "not read: it did not fit into the model's window" in table
    assert "none of" not in table and " 0%" not in table


def test_what_stands_in_place_of_a_long_form_is_explained_once_and_only_if_it_is_there():
    told = printed("RA, PA or RA", ("RA", "RA", None), ("PA", "PA", "pulmonary artery"), ("RA", "RA", None))
    assert told.count("none of the listed meanings: none fits, or it is no short form here") == 1
    assert "likely, but not sure" not in told and "undecided" not in told
    assert "?: likely, but not sure." in printed("on RA", ("RA", "RA", "room air"), sure=False)
    assert "not sure" not in printed("on RA", ("RA", "RA", "room air"))


def test_one_that_the_model_is_undecided_about_is_not_said_to_be_none_of_its_senses():
    declined = Expansion(
        start=0,
        end=3,
        short_form="p/w",
        key="p/w",
        long_form=None,
        probability=0.07,
        alternatives=(("presents with", 0.93),),
        evidence="abstained",
        sure=False,
    )
    table = shown(ExpandedText(text="p/w", expansions=(declined,)))
    assert "undecided" in table and "presents with 93%" in table
    assert "none of the listed" not in table and " 7%" not in table


def test_a_probability_is_green_if_sure_yellow_if_not_red_if_hardly_and_dim_for_no_answer():
    def codes(long_form, probability, sure):
        answer = Expansion(
            start=0,
            end=2,
            short_form="RA",
            key="RA",
            long_form=long_form,
            probability=probability,
            alternatives=(),
            evidence="model" if long_form else "abstained",
            sure=sure,
        )
        console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="standard")
        console.print(expansions_table(ExpandedText(text="RA", expansions=(answer,), warnings=())))
        return re.search(rf"\x1b\[(\d+)m *{probability:.0%}", console.file.getvalue())[1]

    green, yellow, red, dim = "32", "33", "31", "2"
    assert codes("room air", 0.97, True) == green
    assert codes("room air", 0.74, False) == yellow
    assert codes("room air", 0.5, False) == red
    assert codes(None, 0.97, False) == dim


def test_in_80_columns_long_forms_are_wrapped_and_nothing_else_is_broken():
    console = Console(file=io.StringIO(), width=80)
    answer = Expansion(
        start=0,
        end=4,
        short_form="CTPA",
        key="CTPA",
        long_form="computed tomography pulmonary angiography",
        probability=1.0,
        alternatives=(("a long form of several words that nobody means", 0.02), ("another one of this kind", 0.01)),
        evidence="defined in text",
        sure=True,
    )
    console.print(expansions_table(ExpandedText(text="CTPA", expansions=(answer,), warnings=())))
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    assert lines[1].split()[:2] == ["short", "form"] and "probability" in lines[1] and lines[1].endswith("evidence")
    assert "100%" in lines[2] and lines[2].endswith("defined in text")
    assert max(map(len, lines)) <= 80


def test_claims_are_read_in_eighty_columns():
    share = {"value": 0.393, "low": 0.354, "high": 0.428, "count": 808}
    change = {"value": -0.123, "low": -0.171, "high": -0.114, "p": 0.001, "count": 808}
    metric = "another kind of text (embedded clinical notes, development half): right"
    row = make_row("adaptability", metric, change, base=share, tuned=share, baseline="56.9 (first listed sense)")
    other = make_row("cost", "seconds per free answer", change, base=share, tuned=share, unit="s")
    console = Console(file=io.StringIO(), width=80)
    console.print(*claims_tables({"rows": [row, other], "skipped": []}))
    out = console.file.getvalue()
    assert "…" not in out
    figures = ["39.3", "(35.4–42.8)", "-12.3,", "worse", "(-17.1", "56.9", "first", "sense"]
    assert {*metric.split()[:-1], *figures} <= set(out.split())
    assert ", s " not in out, "the unit is in the name"
    assert out.count("baseline") == 1  # the second table has none


def test_an_empty_line_stands_around_tables_and_not_between_remarks():
    table = new_table("", "head")
    table.add_row("cell")
    console = PlainConsole(file=io.StringIO(), width=80)
    show([table, table, "one", "two"], console)
    lines = [line.strip() for line in console.file.getvalue().splitlines()]
    assert lines == ["head", "cell", "", "head", "cell", "", "one", "two"]
