from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marking import marked
from medalist.data.detection import ShortFormFinder, mark_distractors
from medalist.data.inventory import Inventory
from medalist.data.passages import NONE_OF_THESE, Passage

NAMES = ["RA", "RAD", "CT", "CTs", "AS", "Pt", "PT", "COPD", "TNF-a", "p.o.", "A/C"]
INVENTORY = Inventory.of([(name, "some long form", 0, None) for name in NAMES])


def found(text: str, *, any_case: bool = False, inventory: Inventory = INVENTORY) -> list[tuple[str, str]]:
    mentions = ShortFormFinder(inventory, any_case=any_case).find(text)
    return [(text[m.start : m.end], m.short_form) for m in mentions]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("RA, (CT) and COPD.", [("RA", "RA"), ("CT", "CT"), ("COPD", "COPD")]),
        ("RAs and RA's", [("RAs", "RA"), ("RA", "RA")]),
        ("the RAF, a BRA, RA2, RAsx", []),
        ("RA-positive, anti-RA, RA/CT", [("RA", "RA"), ("RA", "RA"), ("RA", "RA"), ("CT", "CT")]),
        ("TNF-a given p.o. on A/C", [("TNF-a", "TNF-a"), ("p.o.", "p.o."), ("A/C", "A/C")]),
        ("as copd, ra", []),
        ("Pt and PT but not pt", [("Pt", "Pt"), ("PT", "PT")]),
        ("", []),
    ],
)
def test_short_forms_are_found_as_whole_words_as_they_are_written(text, expected):
    assert found(text) == expected


def test_a_value_may_follow_without_a_space_where_something_is_measured():
    inventory = Inventory.of([(name, "x", 0, None) for name in "BP HR wt T CD FEV1 EF MAP CKD".split()])
    text = "BP120/80, HR80-90, wt70kg, EF35%, MAP65. T12 and CD4, FEV1 80, CKD3b"
    expected = ["BP", "HR", "wt", "EF", "MAP", "FEV1", "CKD"]
    assert [surface for surface, _ in found(text, inventory=inventory)] == expected
    assert found("bp120/80", any_case=True, inventory=inventory) == [("bp", "BP")]
    assert found("BP120x, HR80bpmx, EF1234, BP1.2.3, xBP120/80", inventory=inventory) == []


@pytest.mark.parametrize("any_case", [False, True])
def test_signs_that_look_alike_are_alike(any_case):
    inventory = Inventory.of([(name, "x", 0, None) for name in ("C diff", "\u03bcg", "M. cat", "K-wire", "Crohn's")])
    text = "C\xa0diff, 5 \xb5g, M.\u2009cat, K\u2011wire, Crohn\u2019s"
    expected = ["C diff", "\u03bcg", "M. cat", "K-wire", "Crohn's"]
    assert [key for _, key in found(text, inventory=inventory, any_case=any_case)] == expected
    other = Inventory.of([("\xb5g", "x", 0, None)])
    assert found("5 \u03bcg", inventory=other, any_case=any_case) == [("\u03bcg", "\xb5g")]


def test_found_short_forms_have_no_answer_yet():
    [mention] = ShortFormFinder(INVENTORY).find("an RA")
    assert (mention.start, mention.end, mention.long_form) == (3, 5, None)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_listed_plural_is_no_plural_of_another_short_form(reverse):
    names = ["CTs", "CT"] if reverse else ["CT", "CTs"]
    inventory = Inventory.of([(name, "x", 0, None) for name in names])
    assert found("CTs of CT", inventory=inventory) == [("CTs", "CTs"), ("CT", "CT")]


def test_the_longest_of_those_that_begin_together_wins():
    inventory = Inventory.of([(name, "x", 0, None) for name in ("TNF", "TNF-a", "a")])
    assert found("TNF-a", inventory=inventory) == [("TNF-a", "TNF-a")]


def test_any_case_finds_short_forms_in_lower_case_notes_and_ordinary_words():
    assert found("copd, as seen by ct", any_case=True) == [("copd", "COPD"), ("as", "AS"), ("ct", "CT")]


@pytest.mark.parametrize("names", [["Pt", "PT"], ["PT", "Pt"]])
def test_any_case_takes_the_short_form_that_is_written_so_if_there_is_one(names):
    inventory = Inventory.of([(name, "x", 0, None) for name in names])
    assert found("PT Pt pt", any_case=True, inventory=inventory) == [("PT", "PT"), ("Pt", "Pt"), ("pt", names[0])]


def test_offsets_hold_behind_letters_whose_lower_case_is_longer():
    assert found("İİ copd", any_case=True) == [("copd", "COPD")]


def test_an_empty_inventory_finds_nothing():
    assert found("RA", inventory=Inventory.of([])) == []


@settings(deadline=None)
@given(st.lists(st.sampled_from(NAMES) | st.text("RACTs -.", max_size=4), max_size=8).map(" ".join), st.booleans())
def test_every_mention_reads_as_its_key_and_none_overlap(text, any_case):
    last = 0
    for mention in ShortFormFinder(INVENTORY, any_case=any_case).find(text):
        surface = text[mention.start : mention.end]
        assert mention.start >= last
        last = mention.end
        assert INVENTORY.key(surface) == mention.short_form
        if not any_case:
            assert surface in (mention.short_form, f"{mention.short_form}s")


@settings(deadline=None)
@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=6))
def test_short_forms_between_spaces_are_all_found(names):
    assert [key for _, key in found(" ".join(names))] == names


@pytest.mark.parametrize("names", [["TM", "TMS"], ["TMS", "TM"]])
def test_any_case_reads_a_plural_where_the_case_says_so(names):
    inventory = Inventory.of([(name, "x", 0, None) for name in names])
    assert found("TMs TMS tms", any_case=True, inventory=inventory) == [("TMs", "TM"), ("TMS", "TMS"), ("tms", "TMS")]


DOTTED = Inventory.of([(n, "x", 0, None) for n in ["COPD", "CT", "C", "D", "P", "IE", "US", "NS", "p.o.", "bid", "S"]])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Known C.O.P.D., had a C.T. scan.", [("C.O.P.D.", "COPD"), ("C.T.", "CT")]),
        ("C.O.P.D and N.S. 500", [("C.O.P.D", "COPD"), ("N.S.", "NS")]),
        ("Known C. O. P. D., no CT", [("C. O. P. D.", "COPD"), ("CT", "CT")]),
        ("seen by J. C. T. Miller", []),
        ("Given N.S. Then p.o. b.i.d.", [("N.S", "NS"), ("p.o.", "p.o."), ("b.i.d", "bid")]),
        ("two C.T.s", [("C.T.s", "CT")]),
        ("in the U.S. and D.C.P. alone", []),
        ("C. P. and (D)", [("C", "C"), ("P", "P"), ("D", "D")]),
    ],
)
def test_letters_with_full_stops_are_one_short_form_and_never_several(text, expected):
    assert found(text, inventory=DOTTED) == expected


def test_any_case_reads_long_dotted_forms_and_leaves_latin_ones_alone():
    text = "c.o.p.d., i.e. worse, B.I.D., P.O."
    expected = [("c.o.p.d.", "COPD"), ("B.I.D.", "bid"), ("P.O.", "p.o.")]
    assert found(text, any_case=True, inventory=DOTTED) == expected
    assert found(text, inventory=DOTTED) == []


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_nothing_is_found_inside_a_word_whatever_its_normal_form(form):
    inventory = Inventory.of([(name, "x", 0, None) for name in ("ET", "BEHC", "CT")])
    assert found(unicodedata.normalize(form, "BEHÇET, CT́, ÉCT"), inventory=inventory) == []
    assert found("❤️ET", inventory=inventory) == [("ET", "ET")], "an emoji with a variation selector is no word"


@pytest.mark.parametrize("sign", ["\u00ad", "\u200b", "\u200d", "\u2060", "\ufeff", "\u202c"])
def test_characters_without_width_part_no_short_form_and_belong_to_none(sign):
    inventory = Inventory.of([("COPD", "x", 0, None), (f"E{sign}T{sign}", "x", 0, None), ("PD", "x", 0, None)])
    surfaces = [f"CO{sign}PD", f"E{sign}T", "ET"]
    assert found(f"{sign}{surfaces[0]}{sign}, {surfaces[1]}{sign} ET", inventory=inventory) == [
        (surface, key) for surface, key in zip(surfaces, ("COPD", "ET", "ET"), strict=True)
    ]


def test_letters_of_full_width_are_letters():
    assert found("known ＣＯＰＤ", inventory=INVENTORY) == [("ＣＯＰＤ", "COPD")]


def test_what_follows_an_apostrophe_within_a_word_is_no_short_form():
    assert found("the CT's, it’s 's", any_case=True, inventory=DOTTED) == [("CT", "CT"), ("s", "S")]


LOOKALIKES = Inventory.of(
    [
        ("RA", "rheumatoid arthritis", 3, None),
        ("RA", "right atrium", 2, None),
        ("CT", "computed tomography", 5, None),
        ("AS", "aortic stenosis", 1, None),
        ("ALL", "acute lymphoblastic leukemia", 1, None),
    ]
)


def surfaces(passage: Passage) -> list[tuple[str, str, str | None]]:
    return [(passage.surface(m), m.short_form, m.long_form) for m in passage.mentions]


def test_distractors_are_ordinary_words_that_look_like_short_forms():
    passage = marked("as [AS=aortic stenosis] was all, All. In al as-is")
    assert surfaces(mark_distractors(passage, LOOKALIKES, rate=9, seed=0)) == [
        ("as", "AS", NONE_OF_THESE),
        ("AS", "AS", "aortic stenosis"),
    ]
    assert surfaces(mark_distractors(marked("all as"), LOOKALIKES, rate=9, seed=0)) == [
        ("all", "ALL", NONE_OF_THESE),
        ("as", "AS", NONE_OF_THESE),
    ]


def test_a_marked_word_is_no_distractor():
    passage = marked("seen as [as|AS=aortic stenosis] such")
    assert surfaces(mark_distractors(passage, LOOKALIKES, rate=9, seed=0)) == [
        ("as", "AS", NONE_OF_THESE),
        ("as", "AS", "aortic stenosis"),
    ]


def test_a_word_that_the_inventory_lists_in_lower_case_is_no_distractor():
    inventory = Inventory.of([("as", "atherosclerosis", 1, None)])
    assert mark_distractors(marked("as such"), inventory, rate=9, seed=0).mentions == ()


def test_distractors_come_at_the_rate_asked_for_and_follow_from_seed_and_id():
    texts = [marked("as all as all as", str(n)) for n in range(400)]
    found = [mark_distractors(p, LOOKALIKES, rate=1.5, seed=2) for p in texts]
    counts = [len(p.mentions) for p in found]
    assert set(counts) == {1, 2}
    assert sum(counts) / 400 == pytest.approx(1.5, abs=0.1)
    assert [mark_distractors(p, LOOKALIKES, rate=1.5, seed=2) for p in reversed(texts)] == found[::-1]
    assert [mark_distractors(p, LOOKALIKES, rate=1.5, seed=3) for p in texts] != found
    assert all(mark_distractors(p, LOOKALIKES, rate=0, seed=2) == p for p in texts)


def test_the_end_of_a_sentence_and_the_next_word_are_no_short_form_and_do_not_end_the_search():
    inventory = Inventory.of([("M. cat", "Moraxella catarrhalis", 0, None), ("RA", "room air", 0, None)])
    text = "Seen at 5 p.m. CAT fine on RA."
    assert found(text, any_case=True, inventory=inventory) == [("RA", "RA")]


def test_case_counts_unless_asked_otherwise():
    (only,) = ShortFormFinder(INVENTORY).find("ra and RA")
    assert only.start == 7
