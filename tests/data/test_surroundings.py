"""Signs that tell a short form from what only looks like one."""

import csv

import pytest

from medalist.data.embedded import reader
from medalist.data.passages import Mention
from medalist.data.surroundings import SIGNS, is_ordinary_word, is_unit, surroundings


def mention_of(text, surface, short_form=None):
    start = text.index(surface)
    return Mention(start=start, end=start + len(surface), short_form=short_form or surface)


def signs(text, surface):
    return surroundings(text, mention_of(text, surface))


def test_words_are_told_from_letters_that_are_no_word():
    assert signs("seen ON today", "ON").word > 4 > 1 > signs("seen CABG today", "CABG").word
    assert signs("seen ON today", "ON").shouted_word == signs("seen ON today", "ON").word
    assert signs("seen on today", "on").shouted_word == 0 < signs("seen on today", "on").lower_word


def test_neighbours_in_capitals_count_when_they_are_words():
    no = signs("Note: NO KNOWN ALLERGIES TODAY.", "NO")
    assert no.capitals == pytest.approx(3 / 4 * no.word)
    assert signs("Note: HTN KNOWN ALLERGIES TODAY.", "HTN").capitals == 0, "itself no word"
    assert signs("CABG, TAVR, NO, CRRT, ICD.", "NO").capitals == 0


@pytest.mark.parametrize(
    ("text", "surface", "sign"),
    [
        ("takes vitamin D daily", "D", "numbered"),
        ("vitamins C and E daily", "E", "numbered"),
        ("NYHA class II today", "II", "numbered"),
        ("moved here from PA in May", "PA", "place"),
        ("lives near Portland, OR now", "OR", "place"),
        ("lives in Ann Arbor, MI now", "MI", "place"),
        ("back from Tupelo, MS helping", "MS", "place"),
        ("seen by Dr PAT today", "PAT", "name"),
        ("seen by Dr PAT today", "PAT", "titled"),
        ("his brother MS says", "MS", "name"),
        ("Reviewed.\nK. Tamihana RN", "K", "name"),
        ("seen by N Fortuin", "N", "name"),
        ("Seen. -TK\r\nLater: worse", "TK", "signed"),
        ("in bay PC today", "PC", "room"),
        ("bay C today", "C", "letter"),
    ],
)
def test_each_sign_is_seen_where_it_stands_and_not_elsewhere(text, surface, sign):
    assert getattr(signs(text, surface), sign) == 1
    other = surface if sign != "letter" else "CT"
    assert getattr(signs(f"given {other} again", other), sign) == 0


def test_a_region_s_letters_alone_are_no_place():
    assert signs("Asthma, MI in 2019", "MI").place == 0, "a disease is no town"
    assert signs("a brother, MI at 50", "MI").titled == 0


@pytest.mark.parametrize("text", ["R. Shoulder pain", "L Knee swollen", "K 4.2 Tamihana", "K\nTamihana"])
def test_a_letter_before_an_ordinary_word_is_no_initial(text):
    assert signs(text, text[0]).name == 0
    found = signs("main PA is wide", "PA")
    assert (found.region, found.place) == (1, 0)
    assert signs("moved from CABG", "CABG").place == 0


def test_values_are_in_the_order_of_their_names():
    found = signs("moved from PA", "PA")
    assert dict(zip(SIGNS, found.values(), strict=True)) == {name: getattr(found, name) for name in SIGNS}


def test_ordinary_words_are_left_alone_unless_in_capitals_and_not_when_listed_so():
    assert is_ordinary_word("went to bed", mention_of("went to bed", "to", "TO"))
    assert is_ordinary_word("To bed", mention_of("To bed", "To", "TO"))
    assert not is_ordinary_word("TO Dr Pell", mention_of("TO Dr Pell", "TO"))
    assert not is_ordinary_word("bp 120/80", mention_of("bp 120/80", "bp", "BP"))
    assert is_ordinary_word("stayed in bed", mention_of("stayed in bed", "in", "in")), "listed for inch or not"
    assert not is_ordinary_word("seen for exam", mention_of("seen for exam", "exam", "exam"))
    assert is_ordinary_word("had a scan", mention_of("had a scan", "a", "A"))
    assert not is_ordinary_word("t 38.2", mention_of("t 38.2", "t", "T"))


@pytest.mark.parametrize(
    ("text", "surface", "short_form"),
    [
        ("gave fluids", "gave", "GAVE"),
        ("Gave fluids", "Gave", "GAVE"),
        ("dry lips", "lips", "LIP"),
        ("adjusted odds ratio", "odds", "ODD"),
        ("sit to stand", "sit", "sit"),
    ],
)
def test_what_is_only_a_word_is_left_alone_unless_somebody_says_what_it_means(text, surface, short_form):
    mention = mention_of(text, surface, short_form)
    assert is_ordinary_word(text, mention)
    assert is_ordinary_word(text, mention, own=True) == (surface != short_form)
    assert not is_ordinary_word(text.upper(), mention_of(text.upper(), surface.upper(), short_form.upper()))


def test_the_plural_of_a_listed_word_is_no_other_word():
    assert not is_ordinary_word("two exams", mention_of("two exams", "exams", "exam"))


def test_letters_and_short_forms_of_running_text_are_no_words():
    for surface in ("BP", "bp", "T", "vs", "ve", "Echo"):
        found = signs(f"seen {surface} today", surface)
        assert (found.word, found.shouted_word, found.lower_word, found.word_length) == (0, 0, 0, 0)
    assert signs("BP VS NO LAB VE.", "NO").capitals == 0, "nor among the neighbours"


@pytest.mark.parametrize("behind", [" 148/86", ": 4.2", " >65", " = 7", "  .5", " -3", "120"])
def test_a_value_follows_a_quantity(behind):
    assert signs(f"now BP{behind} then", "BP").value == 1


@pytest.mark.parametrize("behind", [" stable", ", 12 h", " in 2019", ". 3 d", "\n2. then", "\n\n5"])
def test_a_later_number_is_no_value(behind):
    assert signs(f"now BP{behind} then", "BP").value == 0


def test_a_place_in_a_building_takes_a_letter_and_no_longer_short_form():
    assert signs("moved to bay C now", "C").numbered == 1
    assert signs("seen by ward MO now", "MO").numbered == 0


@pytest.mark.parametrize("surface", ["MAT", "Sam", "SAM", "TV", "GE", "II", "III", "VIII", "IX", "XII"])
def test_what_also_has_a_meaning_outside_medicine_is_everyday(surface):
    assert signs(f"sat by {surface} today", surface).everyday == 1


@pytest.mark.parametrize("surface", ["CABG", "IV", "X", "I", "V", "IIII", "MSK", "ED", "PTA", "PEG", "PAD", "CD"])
def test_what_is_usual_in_notes_or_means_nothing_else_is_not_everyday(surface):
    assert signs(f"sat by {surface} today", surface).everyday == 0


def test_nothing_that_is_everyday_is_among_the_commonest_short_forms_of_notes():
    with (reader.HERE / "inventory.csv").open(encoding="utf-8", newline="") as file:
        commonest = {row["short_form"].casefold() for row in csv.DictReader(file) if row["general"] == "1"}
    assert len(commonest) > 300
    assert not commonest & reader.everyday()


def test_the_length_of_a_word_tells_and_that_of_other_letters_does_not():
    assert signs("seen AIDS today", "AIDS").word_length == 4
    assert signs("seen STARTED today", "STARTED").word_length == 6
    assert signs("seen CABG today", "CABG").word_length == 0
    assert signs("renal US today", "US").word_length == 0, "us, or is, but hardly ever so in capitals"


def test_a_unit_is_one_behind_a_number_and_in_its_own_case():
    for text in ("4 mg", "4mg", "0.5 mg IV", "10 mg"):
        assert is_unit(text, mention_of(text, "mg"))
    assert is_unit("for 14 s, then", Mention(start=7, end=8, short_form="S"))
    assert not is_unit("S: well", Mention(start=0, end=1, short_form="S"))
    for text in ("mg low", "Mg 0.6", "MG in 2019 and mg"):
        assert not is_unit(text, mention_of(text, "mg" if "mg" in text else "Mg"))
    assert not is_unit("4 MG", mention_of("4 MG", "MG"))
    assert is_unit("pH 7.31", mention_of("pH 7.31", "pH", "PH"))


@pytest.mark.parametrize(
    ("text", "surface", "expected"),
    [
        ("7.5 mmol/L", "L", True),
        ("mcg/kg/min", "kg", True),
        ("mcg/kg/min", "min", True),
        ("25 g/L", "L", True),
        ("2 L/min", "L", True),
        ("40 mL/h", "h", True),
        ("2 L NC", "L", False),
        ("R/L knee", "L", False),
        ("Hb/L", "L", False),
        ("mg/MG", "MG", False),
        ("L/min", "L", False),
    ],
)
def test_a_unit_also_stands_in_a_quotient(text, surface, expected):
    start = text.rindex(surface)
    assert is_unit(text, Mention(start=start, end=start + len(surface), short_form=surface.upper())) == expected
