"""Plain medical text becomes chunks that cover the listed senses, shortened and marked."""

from collections import Counter

from marking import marked
from medalist.corpora.text import (
    Chunk,
    Shortener,
    chunks,
    covering,
    cut,
    different,
    lower_case_words,
    once,
    styled,
    thinned,
    typed,
)
from medalist.data.inventory import Inventory
from medalist.data.passages import NONE_OF_THESE, Mention, Passage
from medalist.data.sources.texts import PlainText

INVENTORY = Inventory.of(
    [
        ("RA", "rheumatoid arthritis", 100, None),
        ("RA", "right atrium", 50, None),
        ("AT", "atrial tachycardia", 10, None),
        ("AT", "anaerobic threshold", 1, None),
        ("ON", "optic neuritis", 10, None),
        ("tds", "three times daily", 10, None),
        ("D", "dextrose", 10, None),
    ]
)
EQUIVALENTS = {"three times a day": "three times daily"}
SHORTENER = Shortener(INVENTORY, EQUIVALENTS, seed=0)


def chunk(text, name="c"):
    return Chunk(id=name, text=text, source="made", matches=SHORTENER.find(text))


def read_back(passage):
    return [(passage.text[m.start : m.end], m.long_form) for m in passage.mentions]


def test_long_forms_and_other_wordings_become_marked_short_forms_everywhere_in_a_chunk():
    made = SHORTENER(
        chunk("Rheumatoid arthritis again; naproxen three times a day for rheumatoid arthritis."), probability=1
    )
    assert made.text == "RA again; naproxen tds for RA."
    assert read_back(made) == [
        ("RA", "rheumatoid arthritis"),
        ("tds", "three times daily"),
        ("RA", "rheumatoid arthritis"),
    ]


def test_chunks_cover_their_text_in_order_within_the_length_and_only_once():
    sentences = [f"Sentence number {n} says that the right atrium was seen again on this view." for n in range(60)]
    text = " ".join(sentences)
    parts = list(cut(text, "t", seed=0))
    assert " ".join(parts) == text
    assert all(len(part.split()) <= 120 for part in parts)
    assert len({len(part.split()) for part in parts}) > 2
    twice = list(chunks([PlainText("a", text, "s"), PlainText("b", text, "s")], SHORTENER, seed=0))
    assert {one.id.split("#")[0] for one in twice} == {"a", "b"}
    assert {one.id.split("#")[0] for one in different(twice)} == {"a"}


def test_rare_senses_are_covered_first_and_common_ones_only_so_often():
    common = [chunk(f"Case {n} had rheumatoid arthritis.", f"c{n}") for n in range(50)]
    rare = [chunk("He passed the anaerobic threshold with rheumatoid arthritis.", "r")]
    chosen = covering([*common, *rare], INVENTORY, times=5, seed=0)
    assert sum("rheumatoid arthritis" in one.long_forms for one in chosen) == 5
    assert "r" in {one.id for one in chosen}


def test_look_alikes_are_marked_as_none_and_true_short_forms_never_are():
    words = lower_case_words(["he sat at home on a chair " * 200])
    passage = Passage(id="p", text="He was at home on vitamin D. NOT ON LEFT ARM. RA was seen at 5.")
    made = SHORTENER.mark_look_alikes(passage, rate=10, common=words)
    assert {m.long_form for m in made.mentions} == {NONE_OF_THESE}
    surfaces = Counter(passage.text[m.start : m.end] for m in made.mentions)
    assert surfaces["at"] == 2
    assert surfaces["on"] == 1
    assert surfaces["D"] == 1
    assert "RA" not in surfaces


def test_a_passage_is_the_same_every_time_and_another_one_at_the_next_turn():
    one = chunk("The patient has rheumatoid arthritis and the right atrium is large. " * 3)
    words = Counter({"at": 1000})
    first = [typed(SHORTENER, one, turn=turn, seed=0, common=words) for turn in range(12)]
    assert first == [typed(SHORTENER, one, turn=turn, seed=0, common=words) for turn in range(12)]
    assert len({p.text for p in first}) > 3
    assert len({p.id for p in first}) == 12


def test_marks_of_a_common_sense_are_thinned_and_rare_ones_kept():
    def passage(number, short_form, long_form):
        return Passage(
            id=str(number),
            text=short_form,
            mentions=(Mention(start=0, end=2, short_form=short_form, long_form=long_form),),
        )

    found = thinned(
        [passage(n, "RA", "right atrium") for n in range(1000)] + [passage("x", "ON", "optic neuritis")],
        most=100,
        seed=0,
    )
    kept = Counter(m.short_form for p in found for m in p.mentions)
    assert 70 < kept["RA"] < 130
    assert kept["ON"] == 1
    assert len(found) == 1001


def test_only_the_first_mark_of_a_sense_is_kept_and_every_look_alike():
    passage = marked(
        "[RA=right atrium], [RA=rheumatoid arthritis], [RA=right atrium], [at|AT=none of these] [at|AT=none of these]"
    )
    kept = [(m.short_form, m.long_form) for m in once(passage).mentions]
    assert kept == [
        ("RA", "right atrium"),
        ("RA", "rheumatoid arthritis"),
        ("AT", NONE_OF_THESE),
        ("AT", NONE_OF_THESE),
    ]


def test_a_mark_whose_style_makes_it_another_short_form_has_that_one_s_senses_or_goes():
    listed = Inventory.of(
        [
            ("pre-op", "preoperative", 1, None),
            ("preop", "preoperative", 1, None),
            ("Ab", "antibody", 1, None),
            ("ab", "abortion", 1, None),
        ]
    )
    passage = marked("Seen [PreOp|pre-op=preoperative] for [Ab=antibody] of the kind that was known.", "p")
    found = {m.short_form for seed in range(40) for m in styled(passage, listed, seed=seed).mentions}
    notes = [styled(passage, listed, seed=seed) for seed in range(40)]
    assert found == {"pre-op", "preop", "Ab"}
    assert all(listed.key(p.surface(m)) == m.short_form for p in notes for m in p.mentions)
    assert all(m.long_form in listed.long_forms(m.short_form) for p in notes for m in p.mentions)
