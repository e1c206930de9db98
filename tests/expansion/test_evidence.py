from __future__ import annotations

import unicodedata

import pytest

from medalist.data.inventory import NO_SENSES, Inventory
from medalist.expansion.evidence import Lexicon, read_glossary
from medalist.trees.windows import Window

INVENTORY = Inventory.of(
    [
        ("CHF", "congestive heart failure", 9, None),
        ("RA", "room air", 5, None),
        ("RA", "rheumatoid arthritis", 4, None),
        ("Ra", "room air", 1, None),
        ("Ra", "rheumatoid arthritis", 1, None),
        ("ra", "radium", 1, None),
        ("OR", "operating room", 1, None),
    ]
)


def lexicon(glossary=None, *, any_case=False, skip_words=False):
    own = NO_SENSES if glossary is None else read_glossary(glossary)
    return Lexicon(INVENTORY, own, any_case=any_case, skip_words=skip_words)


def found(text, *arguments, **options):
    """(surface, evidence, long form) of each short form."""
    all_ = lexicon(*arguments, **options).find(text)
    return [(text[one.start : one.end], one.evidence, one.long_form) for one in all_]


def test_the_definition_of_the_text_wins_here_and_behind_it():
    text = "Congestive hepatic fibrosis (CHF) was seen; CHF progressed."
    answer = ("CHF", "defined in text", "Congestive hepatic fibrosis")
    assert found(text) == [answer, answer]
    assert found(text, {"CHF": "something else"}) == [answer, answer]
    spans = {text[slice(*one.definition)] for one in lexicon().find(text)}
    assert spans == {"Congestive hepatic fibrosis"}


def test_a_definition_holds_for_what_stands_before_it_too_and_before_the_glossary():
    text = "CHF worse. Congestive hepatic fibrosis (CHF). Later CHF, chronic heart failure (CHF), and CHF."
    first, second = (
        ("CHF", "defined in text", name) for name in ("Congestive hepatic fibrosis", "chronic heart failure")
    )
    assert found(text) == found(text, {"CHF": "something else"}) == [first, first, first, second, second]


def test_a_definition_reaches_back_within_the_window_of_a_mention_only():
    text = "CHF worse. CHF in May. CHF. Congestive hepatic fibrosis (CHF)."
    cut = [Window(0, 23), Window(11, len(text))]  # both hold the second, which is read in the first
    evidence = [one.evidence for one in lexicon().find(text, lambda _: cut)]
    assert evidence == [None, None, "defined in text", "defined in text"]


def test_the_last_definition_before_a_mention_holds():
    text = "Right atrium (RA), RA. Renal artery (RA), RA."
    assert [name for _, _, name in found(text)] == ["Right atrium"] * 2 + ["Renal artery"] * 2


def test_short_forms_that_nothing_lists_are_known_from_their_definition():
    text = "zonal quality index (ZQI); later ZQIs rose"
    assert [(surface, evidence) for surface, evidence, _ in found(text)] == [
        ("ZQI", "defined in text"),
        ("ZQIs", "defined in text"),
    ]


def test_a_single_entry_of_the_glossary_needs_no_model_and_several_do():
    assert found("CHF", {"CHF": "chronic hydrofracture"}) == [("CHF", "glossary", "chronic hydrofracture")]
    ours = lexicon({"CHF": ["first", "second"]})
    assert [one.evidence for one in ours.find("CHF")] == [None]
    assert ours.senses.long_forms("CHF") == ("first", "second")
    assert ours.in_glossary("CHF") and not ours.in_glossary("RA")


def test_a_glossary_adds_short_forms():
    assert found("seen in ZQI", {"ZQI": "zonal quality index"}) == [("ZQI", "glossary", "zonal quality index")]


def test_the_glossary_takes_over_spellings_that_mean_the_same_and_no_others():
    glossary = {"RA": "reading aid"}
    assert found("RA Ra ra", glossary, any_case=True) == [
        ("RA", "glossary", "reading aid"),
        ("Ra", "glossary", "reading aid"),
        ("ra", None, None),  # radium, a short form of its own
    ]
    assert found("Ra", glossary) == [("Ra", None, None)]


def test_ordinary_words_are_no_glossary_entries_and_can_be_skipped():
    assert found("one or two; OR 3", {"OR": "operating room"}, any_case=True) == [("OR", "glossary", "operating room")]
    assert [surface for surface, _, _ in found("one or two", any_case=True)] == ["or"]
    assert found("one or two", any_case=True, skip_words=True) == []


@pytest.mark.parametrize("surface", ["ZQI", "ZQIs", "eZQI", "ZQ1", "HbZ1c", "zQI"])
def test_what_looks_like_a_short_form_and_is_not_listed_is_shown(surface):
    assert found(f"raised {surface} today") == [(surface, "unlisted", None)]


@pytest.mark.parametrize(
    "text",
    [
        "stage XIV, MON and DEC",
        "patient McDonald",
        "WAS SEEN TODAY WITH ZQI PAIN",
        "id AB123456, a@ZQI.org, x_ZQI, www.ZQI",
        "ABCDEFGHIJ",
        "Zqi zqi Z",
        "THE end",
        "Dr ZQI",
        "stable today\n-ZQI",
        "BEHÇET",
        "ZQÏ ZQI\u0308",
    ],
)
def test_what_does_not_look_like_one_is_not(text):
    assert found(text) == []


def test_nothing_overlaps_and_the_longest_of_those_that_begin_together_wins():
    text = "right atrial index (RA-I); RA-I and RA"
    assert [(surface, evidence) for surface, evidence, _ in found(text)] == [
        ("RA-I", "defined in text"),
        ("RA-I", "defined in text"),
        ("RA", None),
    ]


def test_a_glossary_is_a_file_an_inventory_or_a_mapping(tmp_path):
    path = tmp_path / "ours.csv"
    path.write_text("short_form,long_form,ward\nZQI,zonal quality index,3\n")
    expected = {"ZQI": ("zonal quality index",)}
    for glossary in (path, str(path), {"ZQI": "zonal quality index"}, {"ZQI": ["zonal quality index"]}):
        read = read_glossary(glossary)
        assert {key: read.long_forms(key) for key in read.senses} == expected
    assert read_glossary(INVENTORY) is INVENTORY
    with pytest.raises(ValueError, match="lists no senses"):
        read_glossary({})
    for entries in ({"CT": "x", "RA": None}, {"CT": "x", 5: "y"}, {"CT": "x", "RA": [""]}, {"CT": "x", "RA": {"y": 1}}):
        with pytest.raises(ValueError, match=r"^Entry 2 of the glossary is not a short form with its long form"):
            read_glossary(entries)
    with pytest.raises(TypeError, match="not list"):
        read_glossary(["RA"])
    path.write_text("short_form,long_form\nRA,room air\nRA,Room Air\n")
    assert read_glossary(path).long_forms("RA") == ("room air",)  # one sense, for which no model is asked
    with pytest.raises(FileNotFoundError, match=r"gone\.csv does not exist"):
        read_glossary(tmp_path / "gone.csv")


PARTS = Inventory.of(
    [
        ("A", "assessment", 9, None),
        ("AM", "morning", 9, None),
        ("CAT", "COPD Assessment Test", 9, None),
        ("D", "dextrose", 9, None),
        ("DR", "doctor", 9, None),
        ("HF", "heart failure", 9, None),
        ("M. cat", "Moraxella catarrhalis", 9, None),
        ("N", "normal", 9, None),
        ("PM", "post meridiem", 9, None),
        ("PUs", "pressure ulcers", 9, None),
        ("Y", "year", 9, None),
        ("ed", "emergency department", 9, None),
        ("x", "for", 9, None),
        ("x3", "three times", 9, None),
    ]
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2 A&B overnight, A: stable", ["A"]),
        ("D-shaped, anti-D, D-section, A-P, a C-A, A - well", ["D", "A"]),
        ("smokes [ ] Y [x] N, (x)N, Y - none", ["Y"]),
        ("at 10 pm and 9AM I am well, worse in AM, I: am dose", ["AM", "am"]),
        ("Dr Patel, Dr. Ho and Mr Dr, Dr informed", ["Dr", "Dr"]),
        ("D 5%, mmol/D, 5 HF/ed", ["D", "D", "HF", "ed"]),
        ("CMV D+/R-, D 5%", ["D"]),
        ("SOB x3 days, A&O x3, cough x3/52", ["x3"]),
        ("walked 180 m. CAT 26, grew M. cat and M. CAT", ["CAT", "M. cat", "M. CAT"]),
        ("tonsils red, no pus; PUs on heel", ["PUs"]),
        ("[x] HF [ ] A, write to s.ed@ward.example.org", ["HF", "A"]),
        ("Der Pat. wurde mit HF 88 und RR 110 aufgenommen.\nThe patient was seen with HF on arrival.", ["HF"]),
    ],
)
def test_what_is_only_a_part_of_something_else_is_left_alone(text, expected):
    of = Lexicon(PARTS, NO_SENSES, any_case=True, skip_words=True)
    assert [text[one.start : one.end] for one in of.find(text) if one.evidence is None] == expected


def test_a_short_form_of_the_glossary_is_read_in_any_language():
    text = "Der Pat. wurde mit HF 88 und RR 110 aufgenommen."
    assert [(one.evidence, one.long_form) for one in lexicon({"HF": "Herzfrequenz"}).find(text)] == [
        ("glossary", "Herzfrequenz")
    ]


@pytest.mark.parametrize("listed", ["NFC", "NFD"])
@pytest.mark.parametrize("written", ["NFC", "NFD"])
def test_accents_match_however_they_were_typed_and_offsets_are_those_of_the_text(listed, written):
    glossary = {unicodedata.normalize(listed, "FÉ"): unicodedata.normalize(listed, "fièvre élevée")}
    text = unicodedata.normalize(written, "à 8 h FÉ, fé; échographie cardiaque (ÉC), ÉCs")
    spans = [(one.start, one.end) for one in lexicon(glossary, any_case=True).find(text)]
    surfaces = ("FÉ", "fé", "ÉC", "ÉCs")
    assert [text[slice(*span)] for span in spans] == [unicodedata.normalize(written, name) for name in surfaces]
    answers = [one.long_form for one in lexicon(glossary, any_case=True).find(text)]
    assert answers == ["fièvre élevée", "fièvre élevée", "échographie cardiaque", "échographie cardiaque"]
