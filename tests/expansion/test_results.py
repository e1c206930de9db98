from __future__ import annotations

import json
from dataclasses import replace

import pytest

from medalist.expansion.results import DoNotUse, ExpandedText, Expansion


def expansion(start, end, long_form, *, sure=True, evidence="model", definition=None, warning=None):
    return Expansion(
        start=start,
        end=end,
        short_form="RA",
        key="RA",
        long_form=long_form,
        probability=0.74,
        alternatives=(("room air", 0.74), ("right atrium", 0.2)),
        evidence=evidence if long_form else "abstained",
        sure=sure and long_form is not None,
        definition=definition,
        warning=warning,
    )


def replaced(text, *expansions, **options):
    return ExpandedText(text=text, expansions=expansions).replaced(**options)


def test_what_is_sure_is_replaced_and_what_has_no_answer_stays():
    text = "RA, RA; RA."
    expansions = [expansion(0, 2, "room air"), expansion(4, 6, None), expansion(8, 10, "right atrium")]
    assert replaced(text, *expansions) == "Room air, RA; right atrium."
    assert replaced(text) == text


def test_there_are_two_ways_with_what_is_not_sure_and_another_is_an_error():
    with pytest.raises(ValueError, match="unsure is 'drop'; it must be one of mark, leave"):
        replaced("RA", unsure="drop")


def test_what_is_not_sure_is_marked_or_left():
    unsure = expansion(3, 6, "right atrium", sure=False)
    assert replaced("on RAs.", unsure) == "on RAs [right atrium? 74 %]."
    assert replaced("on RAs.", unsure, unsure="leave") == "on RAs."


def test_what_sticks_to_a_short_form_is_kept():
    assert replaced("RA+ (RA)/RA-x, 2RA", expansion(0, 2, "room air"), expansion(5, 7, "right atrium")) == (
        "Room air+ (right atrium)/RA-x, 2RA"
    )


@pytest.mark.parametrize(
    ("text", "short", "long"),
    [
        ("right atrium (RA) wide", (14, 16), (0, 12)),
        ("RA (right atrium) wide", (0, 2), (4, 16)),
        ("right atrium [ RA ] wide", (15, 17), (0, 12)),
        ("right atrium, (“RA”) wide", (16, 18), (0, 12)),
    ],
)
def test_a_definition_stays_as_it_is_and_later_mentions_are_replaced(text, short, long):
    assert text[slice(*long)] == "right atrium"
    here = expansion(*short, "right atrium", evidence="defined in text", definition=long)
    at = len(text) + 2
    later = expansion(at, at + 2, "right atrium", evidence="defined in text", definition=long)
    assert replaced(f"{text}; RA.", here, later) == f"{text}; right atrium."


def test_a_text_is_the_sequence_of_its_expansions_and_shows_no_text_in_its_repr():
    first, second = expansion(0, 2, "room air"), expansion(4, 6, None)
    expanded = ExpandedText(text="RA, RA secretphrase", expansions=(first, second))
    assert list(expanded) == [first, second] == [expanded[0], expanded[-1]]
    assert (len(expanded), expanded[1:], bool(ExpandedText(text="x", expansions=()))) == (2, (second,), False)
    assert expanded.surface(second) == "RA"
    assert "secretphrase" not in repr(expanded)


def test_unlisted_ones_are_told_apart():
    other = Expansion(
        start=0,
        end=3,
        short_form="XQZ",
        key="XQZ",
        long_form=None,
        probability=1.0,
        alternatives=(),
        evidence="unlisted",
        sure=False,
    )
    assert ExpandedText(text="XQZ RA", expansions=(other, expansion(4, 6, None))).unlisted == (other,)


def test_the_record_is_plain_json_with_every_field_and_without_the_text():
    warning = DoNotUse(start=0, end=2, notation="MS", means="m", why="w", instead="i", source="ISMP")
    one = expansion(0, 2, "room air", definition=(5, 9), warning=warning)
    record = ExpandedText(text="RA secretphrase", expansions=(one,), warnings=(warning,)).to_dict()
    assert json.loads(json.dumps(record)) == {
        "expansions": [
            {
                "start": 0,
                "end": 2,
                "short_form": "RA",
                "key": "RA",
                "long_form": "room air",
                "probability": 0.74,
                "alternatives": [
                    {"long_form": "room air", "probability": 0.74},
                    {"long_form": "right atrium", "probability": 0.2},
                ],
                "evidence": "model",
                "sure": True,
                "definition": [5, 9],
                "warning": warning.to_dict(),
            }
        ],
        "warnings": [warning.to_dict()],
    }
    assert expansion(0, 2, None).to_dict()["warning"] is None


def test_probabilities_in_a_record_have_six_digits():
    shares = (("room air", 2 / 3), ("right atrium", 1 / 3))
    record = replace(expansion(0, 2, "room air"), probability=2 / 3, alternatives=shares).to_dict()
    assert [record["probability"], *(one["probability"] for one in record["alternatives"])] == [
        0.666667,
        0.666667,
        0.333333,
    ]
