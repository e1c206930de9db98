"""Rows are grouped and marked column by column as if they were read one by one.

Covers `medal_words` too.
"""

from __future__ import annotations

import csv
import re
import tempfile
from collections import Counter
from pathlib import Path

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from medalist.data.inventory import Inventory
from medalist.data.passages import Mention, Passage
from medalist.data.rows import Quarantine
from medalist.data.sources.medal import read_rows
from medalist.data.sources.medal_marks import Marker
from medalist.data.sources.medal_rows import CELLS, SCHEMA

INVENTORY = Inventory.of(
    [
        ("RA", "rheumatoid arthritis", 3, None),
        ("RA", "right atrium", 2, None),
        ("CT", "computed tomography", 1, None),
        ("WAS", "wiskott aldrich syndrome", 1, None),
        ("R,A", "right, atrium", 1, None),
    ]
)
Row = tuple[str, str, str, str]
WORDS = ["RA", "(RA),", "ra", "RAs", "R,A", "CT", "was", "WAS", "fever", "...", "RA\x7f", *[" "] * 7, "   ", " " * 70]
ODD = ["é", "RA\u0301", "RAé", "\ufb01n", "\n", "\u00a0", "\u3000", "\x1c", "\t"]
LABELS = ["right atrium", "computed tomography", "room  air ", " right atrium", "Ra", "a|b", "", "\ufffd"]
PLACES = [
    "0",
    "1",
    "2",
    "3",
    "9",
    "-1",
    " 2",
    "+1",
    "1_0",
    "\u0662",
    "1.5",
    "",
    "x",
    "9" * 30,
    "9" * 5000,
    "10000000000",
]


def reference(rows: list[Row]) -> tuple[list[Passage], list[tuple[int, str]], Counter[tuple[str, str]]]:
    """What rows give one after another: passages, bad rows with their reasons, labels with stray spaces."""
    texts: dict[tuple[str, str], dict[int, Mention]] = {}
    bad, stray = [], Counter[tuple[str, str]]()
    for number, (abstract, text, places, labels) in enumerate(rows):
        known = texts.setdefault((abstract, text), {})
        joined = not abstract.isdigit() and "|" in places + labels
        own_places, own_labels = (places.split("|"), labels.split("|")) if joined else ([places], [labels])
        reasons = []
        if "\ufffd" in text + labels:
            reasons.append("not UTF-8")
        elif len(own_places) != len(own_labels):
            reasons.append(f"{len(own_places)} LOCATIONs for {len(own_labels)} LABELs")
        else:
            for place, label in zip(own_places, own_labels, strict=True):
                found = reference_mention(text, place, label)
                if isinstance(found, str):
                    reasons.append(found)
                elif (earlier := known.setdefault(found.start, found)) is not found:
                    same = earlier.long_form == found.long_form
                    reasons.append("duplicate of an earlier row" if same else "an earlier row has another LABEL here")
                elif found.long_form != label:
                    stray[found.short_form, label] += 1
        bad += [(number, reason) for reason in reasons[:1]]
    passages, seen = [], Counter[str]()
    for (abstract, text), known in texts.items():
        if known:
            seen[abstract] += 1
            name = abstract if seen[abstract] == 1 else f"{abstract}#{seen[abstract]}"
            mentions = tuple(known[start] for start in sorted(known))
            passages.append(Passage(id=name, text=text, mentions=mentions, source="medal"))
    return passages, bad, stray


def reference_mention(text: str, place: str, label: str) -> Mention | str:
    """The short form that one label is about, or what is wrong."""
    if not label.split():
        return "empty LABEL"
    try:
        index = int(place)
    except ValueError:
        return "LOCATION is not a whole number"
    words = list(re.finditer(r"\S+", text))
    if not 0 <= index < len(words):
        shown = "LOCATION" if abs(index) > 10**9 else f"LOCATION {index:,}"
        return f"{shown} is outside the text ({len(words):,} words)"
    start, word = words[index].start(), words[index][0]
    if word not in INVENTORY.senses:
        bare = word.strip(".,;:()[]'\"")
        if not bare:
            return f"LOCATION {index:,} points at punctuation"
        start, word = start + word.index(bare), bare
    short_form, long_form = INVENTORY.key(word), " ".join(label.split())
    if short_form is None:
        return f"the word at LOCATION {index:,} is not a short form in the inventory"
    if not word.startswith(short_form) and INVENTORY.belongs_elsewhere(short_form, long_form):
        return f"the word at LOCATION {index:,} is not a short form of the LABEL"
    return Mention(start=start, end=start + len(word), short_form=short_form, long_form=long_form)


@st.composite
def tables(draw: st.DrawFn) -> list[Row]:
    """Rows of few texts and abstracts, so that those of one text stand apart, and several mark one word."""
    words = st.one_of(st.sampled_from(WORDS), st.sampled_from(WORDS + ODD) if draw(st.booleans()) else st.nothing())
    texts = draw(st.lists(st.lists(words, max_size=12).map("".join), min_size=1, max_size=3))
    place, label = (st.sampled_from(usual * 6 + every) for usual, every in ((PLACES[:4], PLACES), (LABELS[:1], LABELS)))
    joined = st.tuples(*(st.lists(cell, min_size=1, max_size=3).map("|".join) for cell in (place, label)))
    row = st.tuples(
        st.sampled_from(["1", "2", "t9"]), st.sampled_from(texts), st.one_of(st.tuples(place, label), joined)
    )
    return [(abstract, text, *marks) for abstract, text, marks in draw(st.lists(row, max_size=10))]


def marks_of(rows: list[Row]) -> tuple[list[Passage], list[tuple[int, str]], Counter[tuple[str, str]]]:
    """What this package makes of the rows, written as CSV; of stray spaces, of the rows as they are."""
    lines, quarantine = [], Quarantine()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["ABSTRACT_ID", "TEXT", "LOCATION", "LABEL"])
            for row in rows:
                writer.writerow(row)
                lines.append("".join(row).count("\n") + (lines[-1] if lines else 1) + 1)
        passages = read_rows(path, INVENTORY, quarantine)
    assert quarantine.total == len(rows)
    columns = [range(len(rows)), *([row[n] for row in rows] for n in range(len(CELLS)))]
    table = pa.table([pa.array(cells, kind) for cells, kind in zip(columns, SCHEMA.types, strict=True)], schema=SCHEMA)
    table = table.append_column("table", pa.array([0] * len(rows), pa.int64()))
    Marker(INVENTORY)(table, ["train.csv"], Quarantine(), stray := Counter())
    return passages, [(lines.index(row["line"]), row["reason"]) for row in quarantine.rows], stray


@settings(max_examples=60, deadline=None)
@given(tables())
def test_rows_give_what_they_give_one_by_one(rows):
    assert marks_of(rows) == reference(rows)


def test_each_kind_of_odd_row_gives_what_it_gives_by_itself():
    text = "an RA, CT\n... (RA) in RA\u0301 e\u0301 RAs was"
    rows = [("1", "RA \u3000CT", "1", "computed tomography")]
    rows += [("7", text, place, label) for label in LABELS for place in PLACES]
    rows += [("7", text + " ", "1", "right atrium"), ("t1", text, "1|4|2", "right atrium|right atrium|x"), rows[0]]
    rows += [("t1", text, "1|4", "right atrium")]
    passages, bad, stray = marks_of(rows)
    assert (passages, bad, stray) == reference(rows)
    assert [passage.id for passage in passages] == ["1", "7", "7#2", "t1"]
    assert len({re.sub(r"\d+", "", reason) for _, reason in bad}) == 12 and stray
