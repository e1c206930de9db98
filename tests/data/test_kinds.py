from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marking import marked
from medalist.data import substitution
from medalist.data.inventory import Inventory
from medalist.data.kinds import KINDS, USES, KindMaker, defined, definition_counts, without_junk
from medalist.data.passage_files import marks
from medalist.data.passages import Passage

INVENTORY = Inventory.of(
    [
        ("RA", "rheumatoid arthritis", 9, None),
        ("RA", "right atrium", 2, None),
        ("IL-2", "interleukin-2", 4, None),
        ("LN", "lymph node", 3, None),
        ("PT", "patient", 3, None),
        ("T3", "after", 8, None),
        ("NG", "nasogastric", 1, None),
    ]
)


def maker(inventory: Inventory = INVENTORY, *, probability: float = 1, seed: int = 0, **others) -> KindMaker:
    return KindMaker(inventory, probability={"medal": probability, "substituted": probability}, seed=seed, **others)


def made(kind: str, *sections: str, **settings) -> Passage:
    return maker(**settings).make(kind, "7", sections)


def taken(text: str, inventory: Inventory | None = None) -> Passage:
    """What the kind `defined` makes of a text."""
    return defined(Passage(id="p1", text=text, source="tests"), inventory)


def marks_of(passage: Passage) -> list[tuple[str, str, str | None]]:
    return [(passage.surface(m), m.short_form, m.long_form) for m in passage.mentions]


@pytest.fixture
def draws(monkeypatch):
    """Makes every random source give these numbers, one after the other."""

    def give(*numbers: float) -> None:
        monkeypatch.setattr(
            substitution, "random", SimpleNamespace(Random=lambda seed: SimpleNamespace(random=iter(numbers).__next__))
        )

    return give


def test_medal_is_the_published_recipe_on_given_draws(draws):
    """First section, lower case, letters only, hyphenated words fused; an occurrence is shortened on a draw below
    0.15."""
    draws(0.149, 0.15, 0.0, 0.9, 0.1)
    passage = made(
        "medal",
        "In 1990–95, 34% of follow-up: Rheumatoid Arthritis (n = 5), lymph nodes;\nrheumatoid arthritis with "
        "Interleukin-2, a lymph node & rheumatoid arthritis.",
        "The second section has rheumatoid arthritis.",
        probability=0.15,
    )
    assert passage == Passage(
        id="7",
        text="in of followup RA n lymph nodes rheumatoid arthritis with IL-2 a lymph node RA",
        mentions=marked(
            "in of followup [RA=rheumatoid arthritis] n lymph nodes rheumatoid arthritis with [IL-2=interleukin-2] a "
            "lymph node [RA=rheumatoid arthritis]"
        ).mentions,
        source="pubmed-medal",
    )


@pytest.mark.parametrize("drawn", [(0.0, 0.9, 0.9), (0.9, 0.0, 0.9), (0.9, 0.9, 0.0)])
def test_medal_draws_anew_for_every_occurrence(draws, drawn):
    draws(*drawn)
    words = ["RA" if number < 0.15 else "rheumatoid arthritis" for number in drawn]
    assert made("medal", "rheumatoid arthritis " * 3, probability=0.15).text == " ".join(words)


def test_medal_shortens_what_the_published_inventory_lists_and_spells_golds_as_the_candidates_do():
    published = Inventory.of([("TM", "tumour marker", 1, None)])
    listed = Inventory.of([("TM", "tumor marker", 1, None), ("RA", "right atrium", 5, None)])
    passage = made("medal", "A tumour marker of the right atrium.", inventory=listed, published=published)
    assert passage.text == "a TM of the right atrium"
    assert marks_of(passage) == [("TM", "TM", "tumor marker")]


def test_substituted_keeps_the_cased_text_of_all_sections_and_replaces_every_mention(draws):
    draws(0.1, 0.9, 0.3)  # for rheumatoid arthritis, lymph node, right atrium, in the order in which they come
    passage = made(
        "substituted",
        "In 1990–95 (n = 5), Rheumatoid Arthritis with lymph nodes:",
        "RIGHT ATRIUM, 3 %; rheumatoid arthritis.",
        probability=0.4,
    )
    assert passage.text == "In 1990–95 (n = 5), RA with lymph nodes: RA, 3 %; RA."
    assert [gold for *_, gold in marks_of(passage)] == ["rheumatoid arthritis", "right atrium", "rheumatoid arthritis"]
    assert (passage.id, passage.source) == ("7", "pubmed-substituted")


def test_substituted_keeps_plurals_and_possessives():
    passage = made("substituted", "Lymph nodes of a patient's lymph node; the patients' and the patient’s.")
    assert passage.text == "LNs of a PT's LN; the PTs' and the PT’s."
    assert [surface for surface, *_ in marks_of(passage)] == ["LNs", "PT", "LN", "PTs", "PT"]


def test_substituted_leaves_words_alone_that_only_chance_made_a_sense():
    assert made("substituted", "After a nasogastric tube").text == "After a NG tube"
    assert made("medal", "After a nasogastric tube").text == "T3 a NG tube"


@pytest.mark.parametrize("kind", ["substituted", "defined"])
def test_only_the_first_uses_of_a_sense_are_marked(kind):
    spelt = "lymph node, rheumatoid arthritis. " * (USES + 2)
    used = "A lymph node (LN), rheumatoid arthritis (RA). " + "LN, RA. " * (USES + 2)
    passage = made(kind, spelt if kind == "substituted" else used)
    assert "lymph node" not in passage.text
    assert [m.short_form for m in passage.mentions] == ["LN", "RA"] * USES


def test_uses_of_several_senses_are_counted_apart():
    passage = made("substituted", "right atrium, rheumatoid arthritis. " * (USES + 1))
    assert [gold for *_, gold in marks_of(passage)] == ["right atrium", "rheumatoid arthritis"] * USES


def test_every_occurrence_is_marked_in_medal():
    assert len(made("medal", "lymph node " * (USES + 2)).mentions) == USES + 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_passage_without_anything_to_mark_has_no_mentions(kind):
    passage = made(kind, "Nothing of it.", "RA.")
    assert passage.mentions == ()
    assert passage.text == ("nothing of it" if kind == "medal" else "Nothing of it. RA.")
    assert (passage.id, passage.source) == ("7", f"pubmed-{kind}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("In rheumatoid arthritis (RA), RA hurts.", "In RA, [RA=rheumatoid arthritis] hurts."),
        ("In RA (rheumatoid arthritis; n = 5) RA hurts.", "In RA [RA=rheumatoid arthritis] hurts."),
        ("The RA was seen. A right atrium [RA].", "The [RA=right atrium] was seen. A RA."),
        (
            "Lymph nodes (LNs): a LN, all LNs, the LN's and LN’s edge.",
            "LNs: a [LN=Lymph node], all [LNs|LN=Lymph node], the [LN's|LN=Lymph node] and LN’s edge.",
        ),
        (
            "Heart rate (HR). HR-like, anti-HR, HR/BP, (HR).",
            "HR. [HR=Heart rate]-like, anti-[HR=Heart rate], [HR=Heart rate]/BP, (HR).",
        ),
        ("Heart rate (HR). HRV, THR, HR2, 3HR, hr, Hr.", "HR. HRV, THR, HR2, 3HR, hr, Hr."),
        (
            "an interleukin (IL) and IL-2 (interleukin 2), IL-2, IL.",
            "an IL and IL-2, [IL-2=interleukin 2], [IL=interleukin].",
        ),
    ],
)
def test_defined_takes_the_definition_out_and_marks_the_uses_as_they_were_written(text, expected):
    assert taken(text) == marked(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Rheumatoid arthritis (RA). RHEUMATOID ARTHRITIS, rheumatoid  arthritis: RA.",
            "RA. RA, RA: [RA=Rheumatoid arthritis].",
        ),
        ("A lymph node (LN). Lymph nodes of the LN, lymph nodess.", "A LN. LNs of the [LN=lymph node], lymph nodess."),
        ("A lymph node (LN); lymph node dissection (LND). A lymph node dissection.", "A LN; LND. A LND."),
        ("lymph node (LN) and lymph node (LN), LN", "LN and LN, [LN=lymph node]"),
    ],
)
def test_defined_shortens_the_answer_wherever_else_it_is_spelt_out_and_marks_nothing_there(text, expected):
    assert taken(text) == marked(expected)


def test_a_short_form_that_is_defined_in_two_ways_stays_as_it_is():
    both = "A right atrium (RA) in rheumatoid arthritis (RA). RA."
    assert taken(both) == marked(both)
    assert taken(f"{both} A lymph node (LN): LN.") == marked(f"{both} A LN: [LN=lymph node].")
    assert marks_of(taken("tumour marker (TM), tumor markers (TM): TM")) == [("TM", "TM", "tumor markers")]


def test_defined_spells_golds_as_the_inventory_does_under_that_short_form():
    text = "Lymph-nodes (LN), Tumour marker (TM). LN, TM."
    inventory = Inventory.of([("LN", "lymph node", 1, None), ("XX", "tumor marker", 1, None)])
    assert [gold for *_, gold in marks_of(taken(text, inventory))] == ["lymph node", "Tumour marker"]
    assert [gold for *_, gold in marks_of(made("defined", text, inventory=inventory))] == [
        "lymph node",
        "Tumour marker",
    ]


def test_defined_drops_marks_that_a_passage_had():
    assert defined(marked("[RA=right atrium] of all")) == marked("RA of all")


def test_junk_is_a_single_word_whose_letters_do_not_fit():
    rows = [("T3", "after", 9, None), ("T3", "triiodothyronine 3", 1, None), ("RA", "acid of rats", 1, None)]
    kept = without_junk(Inventory.of([*rows, ("HTN", "hypertension", 1, None)], "own.csv"))
    assert [kept.long_forms(key) for key in ("T3", "RA", "HTN")] == [
        ("triiodothyronine 3",),
        ("acid of rats",),
        ("hypertension",),
    ]
    assert kept.origin == "own.csv"


def test_definitions_are_counted_once_in_a_text_that_repeats_them_and_not_where_it_contradicts_itself():
    texts = [
        "Lymph nodes (LNs), lymph node (LN), lymph node (LN).",
        "A lymph node (LN), a right atrium (RA).",
        "A right atrium (RA) in rheumatoid arthritis (RA). A heart rate (HR).",
        "None.",
    ]
    assert definition_counts(texts) == {
        ("LN", "lymph node"): 2,
        ("RA", "right atrium"): 1,
        ("HR", "heart rate"): 1,
    }


LONG_FORMS = [sense.long_form for senses in INVENTORY.senses.values() for sense in senses]
PIECES = st.sampled_from(
    [*LONG_FORMS, *map(str.title, LONG_FORMS), *(f"{name}s" for name in LONG_FORMS)]
    + [f"{name} ({short_form})" for short_form in INVENTORY.senses for name in INVENTORY.long_forms(short_form)]
    + ["RA", "RAs", "RA's", "RA’s", "LNs", "xRA", "IL-2", "lymph nodes (LNs)", "RA (right atria)", "of", "(", ")", "’s"]
)
SECTIONS = st.lists(
    st.lists(PIECES | st.text("aS s.-(2İß", max_size=3), min_size=1, max_size=8).map(" ".join), min_size=1, max_size=3
)


@settings(deadline=None)
@given(st.sampled_from(KINDS), SECTIONS, st.floats(0.1, 1), st.integers(0, 3))
def test_every_mark_is_its_short_form_its_plural_or_possessive(kind, sections, probability, seed):
    passage = made(kind, *sections, probability=probability, seed=seed)
    for mention in passage.mentions:
        surface = passage.surface(mention)
        assert surface in {mention.short_form + ending for ending in ("", "s", "'s", "’s")}
        assert marks(surface, mention.short_form)  # else it could not be read back
        assert mention.long_form


@settings(deadline=None)
@given(st.sampled_from(KINDS), SECTIONS, st.sampled_from("abc"), st.integers(0, 3))
def test_a_passage_follows_from_seed_and_id_whatever_was_made_before(kind, sections, identifier, seed):
    one, other = (maker(probability=0.5, seed=seed) for _ in range(2))
    other.make(kind, "before", ["rheumatoid arthritis (RA), lymph node"])
    assert one.make(kind, identifier, sections) == other.make(kind, identifier, sections)


@pytest.mark.parametrize("kind", ["medal", "substituted"])
def test_another_seed_or_id_is_another_draw(kind):
    sections = ["Rheumatoid arthritis, right atrium, lymph node, interleukin-2. " * 3]
    assert len({maker(probability=0.5, seed=seed).make(kind, "a", sections).text for seed in range(9)}) > 1
    assert len({maker(probability=0.5).make(kind, str(n), sections).text for n in range(9)}) > 1


def test_a_definition_and_its_long_form_may_be_wrapped():
    passage = Passage(id="1", text="Congestive heart\nfailure (CHF) is seen. CHF is congestive   heart failure.")
    made = defined(passage)
    assert made.text == "CHF is seen. CHF is CHF." and len(made.mentions) == 1
