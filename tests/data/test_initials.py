"""Letters that are somebody's initials, or the name of a room."""

import pytest

from medalist.data.initials import is_named, is_room, is_signature, is_titled


def signs(text, surface):
    start = text.rindex(surface)
    return is_signature(text, start, start + len(surface))


@pytest.mark.parametrize("before", ["by Dr ", "d/w Drs. ", "Mr. ", "SURGEON: DR. ", "Drs. Moya and ", "Prof\t", "Ms "])
def test_a_title_goes_before_initials(before):
    assert is_titled(before) and is_named(before)


@pytest.mark.parametrize("before", ["no DR. ", "mild MR. ", "has MS ", "Dr Moya ", "Dr Moya: ", "quadr "])
def test_what_only_looks_like_a_title_is_none(before):
    assert not is_titled(before)


def test_a_relative_is_named_without_a_title():
    assert is_named("her brother ") and not is_titled("her brother ")
    assert not is_named("brother: ")


@pytest.mark.parametrize("before", ["Room ", "in bay ", "Suite ", "theatre ", "to ward "])
def test_a_room_has_a_name(before):
    assert is_room(before)


@pytest.mark.parametrize("before", ["Dr. Ward ", "the mushroom ", "bed. ", "one unit ", "in clinic "])
def test_what_only_looks_like_a_room_is_none(before):
    assert not is_room(before)


@pytest.mark.parametrize(
    ("text", "surface"),
    [
        ("Had all handouts. -TK", "TK"),
        ("Seen. -TK\r\nLater: worse", "TK"),
        ("call bleep 214 KS\n", "KS"),
        ("phoned ext. 88 TW", "TW"),
        ("Dictated by VR, not read", "VR"),
        ("Pt initials: PT", "PT"),
        ("Stable, continue.\nMS/dk", "MS"),
        ("Stable, continue.\nMS/DK\n", "DK"),
        ("Plan: antibiotics.\nOS, DDS", "OS"),
        ("USS booked.\nCO RM", "CO"),
        ("home by cab.\n\n AC, ST3 \n", "AC"),
        ("nil to do\nDP FY1 bleep 2217", "DP"),
        ("wants update.\nVIP (nights)", "VIP"),
        ("SW following.\nEPT NNP", "EPT"),
        ("to be seen.\nLPV, BScN", "LPV"),
        ("to be seen.\nRPB, OTR/L", "RPB"),
        ("Reviewed.\nED", "ED"),
        ("Reviewed.\n-ED\n\nLater: worse", "ED"),
        ("Reviewed.\nED, RN\n\n14:00 worse", "ED"),
    ],
)
def test_initials_sign_a_note_or_an_entry_in_it(text, surface):
    assert signs(text, surface)


@pytest.mark.parametrize(
    ("text", "surface"),
    [
        ("Seen. -CT chest", "CT"),
        ("No CP. - MI", "MI"),
        ("call 214 KS", "KS"),
        ("Done. -CABG", "CABG"),
        ("Seen. -mi", "mi"),
        ("Problems:\n-SOB\n-CP", "SOB"),
        ("Problems:\n-no SOB\n-CP", "CP"),
        ("Past history of:\nMI", "MI"),
        ("Given at once.\nIV 500\nThen better", "IV"),
        ("PMH: as below\nHTN\nMI", "MI"),
        ("PMH -MI", "MI"),
        ("d/w med reg ICU.", "ICU"),
        ("care by RN ICU\n", "ICU"),
        ("DNR", "DNR"),
        ("\n\nDNR", "DNR"),
        ("Seen today.\nHPI\n\nWell until June", "HPI"),
        ("Seen today.\nHPI\nWell until June", "HPI"),
        ("Plan: rest\nCT head", "CT"),
        ("Plan: rest\nsob", "sob"),
        ("Plan: rest\nOS, DDS", "DDS"),
        ("consent signed. GOC M1.", "GOC"),
        ("Plan: rest\nTURP", "TURP"),
        ("Plan: rest\nIV ABX", "IV"),
        ("Plan: rest\nIV, fluids", "IV"),
    ],
)
def test_what_is_listed_heads_or_only_stands_last_signs_nothing(text, surface):
    assert not signs(text, surface)


def test_a_long_line_is_not_searched():
    text = "seen\n" + "x " * 10**6 + "MS"
    assert not signs(text, "MS")
