from __future__ import annotations

import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marking import marked
from medalist.data.passages import Mention, Passage
from medalist.data.splits import hold_out, shared_key, shared_passages, split_of, split_passages

SHARES = {"validation": 0.2, "test": 0.3}
PASSAGES = st.lists(
    st.builds(
        Passage,
        id=st.sampled_from(["1", "2", "3", "4", "1#2", "2#2", "3#2", "3#3"]),
        text=st.sampled_from(["one", "two", "One.", "three", "four", "five"]),
        source=st.just("medal"),
    ),
    max_size=9,
    unique_by=lambda passage: passage.id,
)


def ids(parts: dict[str, list[Passage]]) -> dict[str, str]:
    return {passage.id: split for split, part in parts.items() for passage in part}


def named(split: str, start: int = 0) -> str:
    """An id that belongs to the split."""
    return next(str(n) for n in range(start, start + 1_000) if split_of(str(n), **SHARES) == split)


def test_split_of_an_id_is_the_same_on_every_machine_and_day():
    assert [split_of(str(n), **SHARES) for n in range(8)] == [
        "train",
        "train",
        "train",
        "validation",
        "test",
        "train",
        "train",
        "test",
    ]


def test_shares_are_as_asked_for():
    counts = Counter(split_of(str(n), **SHARES) for n in range(5_000))
    assert counts["test"] / 5_000 == pytest.approx(0.3, abs=0.03)
    assert counts["validation"] / 5_000 == pytest.approx(0.2, abs=0.03)


def test_versions_of_an_abstract_share_its_split():
    for end in ("#2", "#2#3"):
        assert all(split_of(f"{n}{end}", **SHARES) == split_of(str(n), **SHARES) for n in range(50))


def test_chunks_of_a_plain_text_share_its_split_and_other_number_signs_are_characters():
    chunks = [Passage(id=f"Note #{n}#{c}.0", text=f"text {'x' * n} {'y' * c}") for n in range(60) for c in range(2)]
    home = ids(split_passages(chunks, **SHARES))
    assert all(home[f"Note #{n}#0.0"] == home[f"Note #{n}#1.0"] for n in range(60))
    assert set(home.values()) == {"train", "validation", "test"}
    assert shared_key(chunks[0]) == shared_key(chunks[1]) != shared_key(chunks[2])


def test_no_share_means_no_passage():
    assert {split_of(str(n), validation=0, test=0) for n in range(500)} == {"train"}


def test_another_seed_is_another_split():
    assert len({tuple(split_of(str(n), **SHARES, seed=seed) for n in range(50)) for seed in range(5)}) == 5


def test_growing_the_test_share_moves_no_passage_out_of_it():
    small = {n for n in range(500) if split_of(str(n), validation=0.1, test=0.1) == "test"}
    large = {n for n in range(500) if split_of(str(n), validation=0.1, test=0.4) == "test"}
    assert small < large


@given(PASSAGES, st.integers(0, 9))
def test_passages_keep_their_split_whatever_is_added(passages, seed):
    added = [Passage(id=f"new {n}", text=f"new text {'x' * n}") for n in range(3)]
    before = ids(split_passages(passages, **SHARES, seed=seed))
    assert ids(split_passages([*passages, *added], **SHARES, seed=seed)).items() >= before.items()
    assert ids(split_passages([*added, *passages], **SHARES, seed=seed)).items() >= before.items()


@given(PASSAGES, st.integers(0, 9))
def test_passages_that_share_words_or_id_are_never_divided(passages, seed):
    parts = split_passages(iter(passages), **SHARES, seed=seed)
    home = ids(parts)
    assert sorted(home) == sorted(p.id for p in passages)
    for one in passages:
        for other in passages:
            if one.id.split("#")[0] == other.id.split("#")[0] or one.text.lower()[:3] == other.text.lower()[:3]:
                assert home[one.id] == home[other.id]
    assert not any(shared_passages(parts[a], parts[b]) for a in parts for b in parts if a != b)


def test_a_duplicate_goes_where_the_first_one_belongs():
    train, test = named("train"), named("test")
    for first, second, split in ((train, test, "train"), (test, train, "test")):
        parts = split_passages(
            [Passage(id=first, text="Pain, in 3 RA"), Passage(id=second, text="pain in RA.")], **SHARES
        )
        assert [p.id for p in parts[split]] == [first, second]


def test_a_version_that_repeats_another_abstract_draws_both_together():
    """Else "9" and "9#2", two versions of one abstract, would stand in two splits."""
    train, test = named("train"), named("test")
    passages = [
        Passage(id=train, text="pain in RA", source="medal"),
        Passage(id=test, text="cough and CT", source="medal"),
        Passage(id=f"{test}#2", text="pain in RA", source="medal"),
    ]
    assert [p.id for p in split_passages(passages, **SHARES)["train"]] == [train, test, f"{test}#2"]


def test_ids_of_a_table_are_split_as_they_are():
    """ "ward#1" and "ward#2" are two notes, as "#1" and "#2" are: not versions of one abstract."""
    for start in ("#", "ward#"):
        passages = [Passage(id=f"{start}{n}", text=chr(97 + n) * 3, source="notes") for n in range(20)]
        parts = split_passages(passages, **SHARES)
        assert all(parts.values()), "each split has some"
        assert not shared_passages(parts["train"], parts["test"])


@pytest.mark.parametrize(
    ("source", "end", "shared"),
    [
        ("medal", "#2", True),
        ("reader", "#2", True),
        ("pubmed-defined", "#2", True),
        ("letters", "#12.34", True),  # a part of a plain text
        ("letters", "#2", False),
        ("letters", "#12", False),
        ("letters", "#2 1.5", False),
        ("letters", "#2.", False),
        ("letters", "#.1", False),
        ("letters", "#2-1", False),
        ("letters", "#2.1 b", False),
        ("letters", "2.1", False),
        ("on pubmed-defined", "#2", False),
    ],
)
def test_versions_and_parts_share_the_split_of_what_stands_before_the_number(source, end, shared):
    ids = [f"{n}{ending}" for n in range(40) for ending in ("", end)]
    texts = [Passage(id=name, text="x" * (n + 1), source=source) for n, name in enumerate(ids)]
    home = {p.id: split for split, part in split_passages(texts, **SHARES).items() for p in part}
    assert all(home[f"{n}{end}"] == home[str(n)] for n in range(40)) == shared
    assert (shared_key(texts[0]) == shared_key(texts[1])) == shared
    assert {home[str(n)] == split_of(str(n), **SHARES) for n in range(40)} == {True}
    alone = {p.id: split for split, part in split_passages(texts[1::2], **SHARES).items() for p in part}
    assert all(alone[f"{n}{end}"] == split_of(str(n), **SHARES) for n in range(40)) == shared


def test_an_id_that_begins_with_the_sign_is_no_version_of_the_empty_one():
    assert len({split_of(f"#{n}", **SHARES) for n in range(40)}) == 3


def test_another_seed_splits_passages_in_another_way():
    texts = [Passage(id=str(n), text="x" * (n + 1)) for n in range(40)]
    assert len({tuple(ids(split_passages(texts, **SHARES, seed=seed)).items()) for seed in range(4)}) == 4


def test_words_are_the_same_however_their_accents_were_typed():
    train, test = [[Passage(id=name, text=unicodedata.normalize(name, "Fièvre élevée."))] for name in ("NFC", "NFD")]
    assert shared_passages(train, test) == {"NFD"}


def test_order_is_kept_within_a_split():
    passages = [Passage(id=str(n), text=chr(97 + n)) for n in (5, 3, 9, 1, 7)]
    parts = split_passages(passages, validation=0, test=0)
    assert parts == {"train": passages, "validation": [], "test": []}


def test_shared_passages_are_those_with_the_same_id_or_words():
    train = [Passage(id="1", text="pain in RA", source="medal"), Passage(id="2#3", text="cough", source="medal")]
    evaluation = [
        Passage(id="1#2", text="something else", source="medal"),
        Passage(id="2", text="another", source="medal"),
        Passage(id="3", text="Pain in RA (1990).", source="notes"),
        Passage(id="1", text="an unrelated note", source="notes"),
        Passage(id="4", text="pain in CT", source="medal"),
    ]
    assert shared_passages(train, evaluation) == {"1#2", "2", "3"}
    assert shared_passages([], evaluation) == set()


SENSES = [(short_form, f"{short_form} sense {n}") for short_form in map(str, range(100, 130)) for n in "abc"]


def held(
    what: str, *, share: float = 0.3, seed: int = 0, among: list[tuple[str, str]] = SENSES
) -> set[tuple[str, str]]:
    """Which of the senses stay marked in the test split, asked for one by one."""
    return {
        (short_form, long_form)
        for short_form, long_form in among
        if hold_out(marked(f"[{short_form}={long_form}]"), "test", what, share=share, seed=seed).mentions
    }


@given(st.lists(st.sampled_from(SENSES), max_size=9), st.sampled_from(["senses", "short_forms"]), st.integers(0, 3))
def test_what_is_held_out_is_marked_in_the_test_split_and_nowhere_else(senses, what, seed):
    passage = marked(" and ".join(f"[{short_form}={long_form}]" for short_form, long_form in senses))
    train, validation, test = (
        hold_out(passage, split, what, share=0.3, seed=seed) for split in ("train", "validation", "test")
    )
    assert train == validation
    assert sorted((*train.mentions, *test.mentions), key=lambda m: m.start) == list(passage.mentions)
    assert {(m.short_form, m.long_form) for m in test.mentions} == held(what, seed=seed, among=senses)  # as alone
    name = (lambda m: (m.short_form, m.long_form)) if what == "senses" else (lambda m: m.short_form)
    assert not set(map(name, train.mentions)) & set(map(name, test.mentions))
    assert {(p.id, p.text, p.source) for p in (train, test)} == {(passage.id, passage.text, passage.source)}


def test_a_short_form_is_held_out_with_all_its_senses_and_senses_one_by_one():
    by_short_form = Counter(short_form for short_form, _ in held("short_forms"))
    assert set(by_short_form.values()) == {3}
    assert {1, 2} & set(Counter(short_form for short_form, _ in held("senses")).values())


@pytest.mark.parametrize("what", ["senses", "short_forms"])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_about_the_share_asked_for_is_held_out_and_another_seed_holds_out_others(what, share):
    many = [(str(n), f"sense {n}") for n in range(1_000)]
    found = held(what, share=share, among=many)
    assert len(found) / 1_000 == pytest.approx(share, abs=0.04)
    assert len(found & held(what, share=share, seed=1, among=many)) / 1_000 == pytest.approx(share**2, abs=0.04)
    assert found < held(what, share=share + 0.2, among=many)


def test_without_a_seed_the_first_is_meant():
    passage = marked(" and ".join(f"[{short_form}={long_form}]" for short_form, long_form in SENSES))
    for what in ("senses", "short_forms"):
        assert hold_out(passage, "test", what, share=0.3) == hold_out(passage, "test", what, share=0.3, seed=0)
    texts = [Passage(id=str(n), text=f"text {n}", source="medal") for n in range(60)]
    assert split_passages(texts, **SHARES) == split_passages(texts, **SHARES, seed=0)


def test_all_kinds_made_from_pubmed_share_their_ids_and_no_others_do():
    keys = {
        source: shared_key(Passage(id="7", text="text", source=source))
        for source in ("pubmed-medal", "pubmed-defined", "pubmed", "medal")
    }
    assert keys["pubmed-medal"] == keys["pubmed-defined"] == keys["pubmed"] != keys["medal"]


def test_spelling_variants_of_a_sense_are_held_out_together():
    for number in range(40):
        variants = [f"tumour marker {number}", f"Tumor-markers {number}", f"tumor marker {number}"]
        assert len(held("senses", share=0.5, among=[("TM", name) for name in variants])) in (0, 3)


def test_equal_long_forms_of_two_short_forms_are_two_senses():
    found = held("senses", share=0.5, among=[(str(n), "hypertension") for n in range(40)])
    assert 0 < len(found) < 40


def test_a_mark_without_a_gold_can_be_held_out_too():
    passage = Passage(id="1", text="RA", mentions=(Mention(start=0, end=2, short_form="RA"),))
    assert {len(hold_out(passage, "test", what, share=0.999).mentions) for what in ("senses", "short_forms")} == {1}
