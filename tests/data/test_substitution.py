from __future__ import annotations

import random
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medalist.data.inventory import Inventory
from medalist.data.passages import Passage
from medalist.data.substitution import LongFormFinder, Match, Substituter, letters

INVENTORY = Inventory.of(
    [
        ("RA", "rheumatoid arthritis", 3, None),
        ("RA", "right atrium", 2, None),
        ("JRA", "juvenile rheumatoid arthritis", 2, None),
        ("IL-2", "interleukin-2", 4, None),
        ("CT", "computed tomography", 5, None),
        ("LN", "lymph node", 1, None),
        ("LND", "lymph node dissection", 1, None),
    ]
)


def found(text: str, inventory: Inventory = INVENTORY) -> list[tuple[str, str]]:
    return [(text[m.start : m.end], m.long_form) for m in LongFormFinder(inventory).find(text)]


def substituted(text: str, *, mode="mended", probability=1.0, seed=0, identifier="p", inventory=INVENTORY) -> Passage:
    substitute = Substituter(inventory, mode=mode, probability=probability, seed=seed)
    return substitute(Passage(id=identifier, text=text, source="tests"))


def restored(passage: Passage) -> str:
    """The text with the long forms put back."""
    text, at = "", 0
    for mention in passage.mentions:
        plural = "s" if passage.surface(mention) != mention.short_form else ""
        text, at = text + passage.text[at : mention.start] + mention.long_form + plural, mention.end
    return text + passage.text[at:]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Rheumatoid Arthritis, seen", [("Rheumatoid Arthritis", "rheumatoid arthritis")]),
        ("lymph nodes", [("lymph nodes", "lymph node")]),
        ("lymph nodess", []),
        ("lymph nodeses", []),
        ("alymph node", []),
        ("(lymph node)", [("lymph node", "lymph node")]),
        ("a lymph node dissection", [("lymph node dissection", "lymph node dissection")]),
        ("a juvenile rheumatoid arthritis", [("juvenile rheumatoid arthritis", "juvenile rheumatoid arthritis")]),
        ("interleukin-2 not interleukin-23", [("interleukin-2", "interleukin-2")]),
        ("İ lymph node", [("lymph node", "lymph node")]),
        ("", []),
    ],
)
def test_long_forms_are_found_as_whole_words_in_any_case_longest_first(text, expected):
    assert found(text) == expected


def test_a_letter_whose_lower_case_differs_from_its_folded_case_is_found():
    inventory = Inventory.of([("SS", "Straßen syndrome", 0, None)])
    assert found("the Straßen syndrome", inventory) == [("Straßen syndrome", "Straßen syndrome")]


def test_a_long_form_of_two_short_forms_goes_to_the_commoner_one():
    inventory = Inventory.of([("RhA", "rheumatoid arthritis", 2, None), ("RA", "rheumatoid arthritis", 3, None)])
    assert [m.short_form for m in LongFormFinder(inventory).find("rheumatoid arthritis")] == ["RA"]


@pytest.mark.parametrize("reverse", [False, True])
def test_a_listed_plural_is_no_plural_of_another_long_form(reverse):
    rows = [("LN", "lymph node", 9, None), ("LNS", "lymph nodes", 1, None)]
    finder = LongFormFinder(Inventory.of(rows[::-1] if reverse else rows))
    assert finder.find("lymph nodes") == [Match(0, 11, "LNS", "lymph nodes", plural=False)]


def test_an_empty_inventory_finds_nothing():
    assert LongFormFinder(Inventory.of([])).find("rheumatoid arthritis") == []


def test_mended_text_keeps_everything_but_the_long_forms():
    passage = substituted("Rheumatoid arthritis (1990–95) of the RIGHT ATRIUM; 3 lymph nodes, Rheumatoid Arthritis.")
    assert passage.text == "RA (1990–95) of the RA; 3 LNs, RA."
    assert [(passage.surface(m), m.short_form, m.long_form) for m in passage.mentions] == [
        ("RA", "RA", "rheumatoid arthritis"),
        ("RA", "RA", "right atrium"),
        ("LNs", "LN", "lymph node"),
        ("RA", "RA", "rheumatoid arthritis"),
    ]
    assert (passage.id, passage.source) == ("p", "tests")


def test_mended_replaces_every_mention_of_a_long_form_or_none():
    text = "rheumatoid arthritis, computed tomography. " * 4
    outcomes = {
        tuple(sorted({m.long_form for m in passage.mentions}))
        for passage in (substituted(text, probability=0.5, identifier=str(n)) for n in range(60))
        if all(m.long_form not in passage.text for m in passage.mentions)
    }
    assert outcomes == {
        (),
        ("computed tomography",),
        ("rheumatoid arthritis",),
        ("computed tomography", "rheumatoid arthritis"),
    }


def test_medal_text_is_lower_case_letters_only():
    text = "In 1990–95, 34% had Rheumatoid arthritis (follow-up) with\n interleukin-2: Computed Tomography!"
    passage = substituted(text, mode="medal")
    assert passage.text == "in had RA followup with IL-2 CT"
    assert [m.long_form for m in passage.mentions] == ["rheumatoid arthritis", "interleukin-2", "computed tomography"]


def test_medal_finds_a_long_form_that_loses_a_word_with_its_digits():
    inventory = Inventory.of([("Tc", "technetium 99m", 0, None), ("IL", "6 interleukin", 0, None)])
    passage = substituted("given technetium 99m then 6 interleukin", mode="medal", inventory=inventory)
    assert passage.text == "given Tc then IL"


def test_medal_leaves_other_mentions_of_the_answer_spelt_out():
    passage = substituted("rheumatoid arthritis " * 200, mode="medal", probability=0.15)
    assert 10 < len(passage.mentions) < 60
    assert passage.text.count("rheumatoid arthritis") == 200 - len(passage.mentions)


def test_medal_leaves_plurals_spelt_out():
    assert substituted("lymph nodes and a lymph node", mode="medal").text == "lymph nodes and a LN"


@pytest.mark.parametrize("mode", ["medal", "mended"])
def test_substitution_follows_from_seed_and_id_alone(mode):
    text = "Rheumatoid arthritis, right atrium, lymph node, computed tomography. " * 5
    alone = substituted(text, mode=mode, probability=0.5, seed=3, identifier="a")
    substitute = Substituter(INVENTORY, mode=mode, probability=0.5, seed=3)
    random.seed(1)
    substitute(Passage(id="b", text=text))
    assert substitute(Passage(id="a", text=text, source="tests")) == alone
    others = [substituted(text, mode=mode, probability=0.5, seed=3, identifier=str(n)).text for n in range(8)]
    seeds = [substituted(text, mode=mode, probability=0.5, seed=n, identifier="a").text for n in range(8)]
    assert len(set(others)) > 1
    assert len(set(seeds)) > 1


@pytest.mark.parametrize("mode", ["medal", "mended"])
def test_marks_that_a_passage_had_are_dropped_with_its_old_text(mode):
    again = Substituter(INVENTORY, mode=mode, probability=1, seed=0)(substituted("rheumatoid arthritis of lymph nodes"))
    assert again.mentions == ()


LONG_FORMS = [sense.long_form for senses in INVENTORY.senses.values() for sense in senses]
TEXTS = st.lists(
    st.sampled_from(LONG_FORMS) | st.sampled_from(LONG_FORMS).map(str.title) | st.text("aS s.-(2İß", max_size=4),
    max_size=10,
).map(" ".join) | st.text(max_size=20)


@settings(deadline=None)
@given(TEXTS, st.sampled_from(["medal", "mended"]), st.floats(0.1, 1), st.integers(0, 3))
def test_every_mention_reads_as_its_short_form_or_the_plural(text, mode, probability, seed):
    passage = substituted(text, mode=mode, probability=probability, seed=seed)
    for mention in passage.mentions:
        assert passage.surface(mention) in (mention.short_form, f"{mention.short_form}s")
        assert mention.long_form in INVENTORY.long_forms(mention.short_form)


@settings(deadline=None)
@given(TEXTS, st.floats(0.1, 1), st.integers(0, 3))
def test_mended_text_with_its_long_forms_put_back_is_the_text_before(text, probability, seed):
    assert restored(substituted(text, probability=probability, seed=seed)).lower() == text.lower()


@settings(deadline=None)
@given(TEXTS)
def test_medal_text_with_its_long_forms_put_back_is_the_letters_before(text):
    passage = substituted(text, mode="medal")
    assert letters(restored(passage)) == " ".join(letters(text).split())


def test_a_long_form_of_several_short_forms_takes_the_commonest_or_where_it_is_the_commoner_sense():
    counted = Inventory.of([("HT", "hypertension", 2, None), ("HTN", "hypertension", 9, None)])
    assert LongFormFinder(counted).find("hypertension")[0].short_form == "HTN"
    rows = [("HT", "height", 0, None), ("HT", "hypertension", 0, None), ("HTN", "hypertension", 0, None)]
    assert LongFormFinder(Inventory.of(rows)).find("hypertension")[0].short_form == "HTN"
    assert LongFormFinder(Inventory.of(rows[1:])).find("hypertension")[0].short_form == "HT"


def test_a_wrapped_long_form_is_found_and_its_offsets_are_those_of_the_text():
    inventory = Inventory.of([("CHF", "congestive heart failure", 1, None)])
    text = "A note:\n congestive heart\n  failure, congestive\theart failures."
    found = LongFormFinder(inventory).find(text)
    assert [text[match.start : match.end] for match in found] == [
        "congestive heart\n  failure",
        "congestive\theart failures",
    ]
    made = Substituter(inventory, mode="mended", probability=1, seed=0)(Passage(id="1", text=text))
    assert made.text == "A note:\n CHF, CHFs."


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_long_form_is_found_however_its_accents_were_typed(form):
    inventory = Inventory.of([("F", unicodedata.normalize("NFD", "fièvre élevée"), 1, None)])
    text = unicodedata.normalize(form, "Répétée, Fièvre\n élevée, né")
    (match,) = LongFormFinder(inventory).find(text)
    assert text[match.start : match.end] == unicodedata.normalize(form, "Fièvre\n élevée")
