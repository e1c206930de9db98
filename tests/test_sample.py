"""The sample corpus keeps what its datasheet promises."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from functools import cache

from medalist.inventory import Inventory, equivalence_key
from medalist.sources import sample

PASSAGES = sample.passages()
INVENTORY = sample.inventory()
RECORDS = [json.loads(line) for line in (sample.HERE / "passages.jsonl").read_text(encoding="utf-8").splitlines()]


@cache
def occurrences() -> dict[str, Counter[str]]:
    """How often each long form of each short form stands in the corpus, counted word by word."""
    texts = [" ".join(re.findall(r"\w+", p.text.lower())) for p in PASSAGES]
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for short_form, senses in INVENTORY.senses.items():
        for sense in senses:
            words = " ".join(re.findall(r"\w+", sense.long_form.lower()))
            counts[short_form][sense.long_form] = sum(len(re.findall(rf"\b{words}s?\b", text)) for text in texts)
    return counts


def test_there_are_enough_passages_each_with_its_own_id():
    assert len(PASSAGES) >= 120
    assert len({p.id for p in PASSAGES}) == len(PASSAGES) == len(RECORDS)
    assert {p.source for p in PASSAGES} == {"sample"}
    assert not any(p.mentions for p in PASSAGES)


def test_passages_are_of_60_to_110_words():
    lengths = {p.id: len(p.text.split()) for p in PASSAGES}
    assert {identifier: n for identifier, n in lengths.items() if not 60 <= n <= 110} == {}


def test_about_half_are_notes():
    styles = Counter(record["style"] for record in RECORDS)
    assert set(styles) == {"abstract", "note"}
    assert 0.4 <= styles["note"] / len(RECORDS) <= 0.6


def test_many_short_forms_occur_in_several_senses():
    ambiguous = [sf for sf, counts in occurrences().items() if sum(n > 0 for n in counts.values()) >= 2]
    assert len(ambiguous) >= 40


def test_every_sense_occurs_somewhere():
    assert [(sf, name) for sf, counts in occurrences().items() for name, n in counts.items() if not n] == []


def test_no_short_form_stands_in_the_texts_already():
    whole = re.compile("|".join(rf"(?<![^\W_]){re.escape(sf)}s?(?![^\W_])" for sf in INVENTORY.senses))
    assert whole.search("given for RA.")
    assert [(p.id, match.group()) for p in PASSAGES for match in whole.finditer(p.text)] == []


def test_no_two_passages_share_a_run_of_ten_words():
    seen: dict[tuple[str, ...], str] = {}
    shared = []
    for passage in PASSAGES:
        words = re.findall(r"\w+", passage.text.lower())
        for run in zip(*(words[n:] for n in range(10)), strict=False):
            if seen.setdefault(run, passage.id) != passage.id:
                shared.append((seen[run], passage.id, " ".join(run)))
    assert shared == []


def test_texts_are_tidy():
    assert [p.id for p in PASSAGES if p.text != " ".join(p.text.split())] == []


def test_senses_of_a_short_form_are_different_things():
    for short_form, senses in INVENTORY.senses.items():
        keys = [equivalence_key(sense.long_form) for sense in senses]
        assert len(set(keys)) == len(keys), short_form


def test_each_long_form_has_one_short_form():
    names = Counter(sense.long_form for senses in INVENTORY.senses.values() for sense in senses)
    assert [name for name, n in names.items() if n > 1] == []


def test_each_short_form_is_found_under_its_own_name():
    assert INVENTORY.origin == "sample"
    assert isinstance(INVENTORY, Inventory)
    assert [sf for sf in INVENTORY.senses if INVENTORY.key(sf.lower()) != sf] == []
