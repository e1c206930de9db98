"""What is only a part of something else is told from the text."""

from __future__ import annotations

import pytest

from medalist.data.parts import is_part
from medalist.data.passages import Mention


@pytest.mark.parametrize(
    "text",
    [
        "saw {Dr} Patel",
        "{St} Mary's called",
        "seen at 10 {pm}",
        "seen at 9{AM}",
        "i {am} fine",
        "{I} do not think so",
        "{I}'ve seen him",
        "{I} discussed it",
        "please let {us} know",
        "on 2 {L} NC",
        "on 2-3 {L}, then",
        "drank 1.5 {L}",
        "{Para} 2+1",
        "in {4/12} cores",
        "{i/c}/o pain",
        "i/c/{o} pain",
        "smokes [ ] {Y}",
        "smokes (x){N}",
        "2 A&{B} overnight",
        "2 {A}&B overnight",
        "CMV D+/{R}-",
        "anti-{D} given",
        "a {C}-arm",
        "no {ST}-T changes",
        "ill {x3} days",
        "ill {x3}/52",
        "abx x {5d}",
        "last dose {6h} ago",
        "review in 3-{5d}",
        "abx x {5D}",
        "toco {q3}-4",
        "HC {10/5}/5",
        "HC 10/{5/5}",
        "J. {Diaz} notified",
        "TTE {1/24} showed EF 60",
    ],
)
def test_a_part_of_something_else(text):
    assert is_part(*mention_in(text))


@pytest.mark.parametrize(
    "text",
    [
        "saw {Dr} today",
        "{ST} Elevation",
        "worse in {AM}",
        "{am} dose",
        "the {am} dose",
        "{I} with transfers",
        "{I} mobility indoors",
        "HS {I}+II",
        "{I}: well",
        "abd {us} neg",
        "ordered {us} today",
        "{L} knee",
        "tap: {para} today",
        "back in {4/12} please",
        "{c/o} pain",
        "R/{l} leg",
        "day #3 {L} knee",
        "HD2 {L} arm",
        "{Y} - none",
        "{A} and B",
        "{C}-spine",
        "had {CT} - fine",
        "{ER}-positive",
        "{IBS}-D+",
        "seen {x3}, well",
        "{24h} urine",
        "review in {4/24} please",
        "for {6/24}, then stop",
        "on {5D} drip",
        "given {q3} today",
        "power {5/5} throughout",
        "E. {Coli} grown",
        "H. {Pylori} neg",
    ],
)
def test_a_short_form_of_its_own(text):
    assert not is_part(*mention_in(text))


def mention_in(text: str) -> tuple[str, Mention]:
    """A text without its braces, and the mention between them."""
    before, _, rest = text.partition("{")
    surface, _, after = rest.partition("}")
    start = len(before)
    return before + surface + after, Mention(start=start, end=start + len(surface), short_form=surface)
