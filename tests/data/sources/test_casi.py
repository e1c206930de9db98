from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from medalist.data.inventory import Inventory, Sense
from medalist.data.passage_files import read_passages
from medalist.data.passages import NONE_OF_THESE, Mention, Passage
from medalist.data.rows import Quarantine, TooManyBadRows
from medalist.data.sources.casi import read_casi

NOTE = "He is on RA with a rate of 12; RA pressure is high."


def row(text: str = NOTE, **cells: object) -> str:
    named = {"sf": "RA", "lf": "room air", "written": "RA", "start": 9, "end": 10, "section": "EXAM"} | cells
    return "|".join(str(cell) for cell in (*named.values(), text))


GOOD = [row() for _ in range(20)]


def written(folder: Path, *rows: str, name: str = "casi.txt", encoding: str = "cp1252", newline: str = "\n") -> Path:
    content = "".join(f"{line}{newline}" for line in rows).encode(encoding)
    path = folder / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def only(folder: Path, line: str) -> tuple[Passage, Mention]:
    [passage] = read_casi(written(folder, line), Quarantine(limit=0))
    [mention] = passage.mentions
    return passage, mention


@pytest.mark.parametrize("name", ["casi.txt", "casi.txt.gz"])
def test_a_row_becomes_a_passage_with_one_mention(tmp_path, name):
    path = written(
        tmp_path,
        GOOD[0],
        row("CTs of the chest.", sf="CT", lf="computed  tomography", written="CTs", start=0, end=2),
        name=name,
    )
    quarantine = Quarantine(limit=0)
    assert read_casi(path, quarantine) == [
        Passage(
            id="RA-1",
            text=NOTE,
            mentions=(Mention(start=9, end=11, short_form="RA", long_form="room air"),),
            source="casi",
        ),
        Passage(
            id="CT-2",
            text="CTs of the chest.",
            mentions=(Mention(start=0, end=3, short_form="CT", long_form="computed tomography"),),
            source="casi",
        ),
    ]
    assert (quarantine.total, quarantine.rows) == (2, [])


def test_lines_may_end_as_on_windows_and_blank_ones_count_for_the_numbers_only(tmp_path):
    path = written(tmp_path, "", GOOD[0], " ", row("seen on RA", start=8, end=9), newline="\r\n")
    quarantine = Quarantine(limit=0)
    assert [(p.id, p.text) for p in read_casi(path, quarantine)] == [("RA-2", NOTE), ("RA-4", "seen on RA")]
    assert quarantine.total == 2


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8", "utf-8-sig"])
def test_text_is_windows_1252_unless_somebody_saved_it_as_utf_8(tmp_path, encoding):
    text = "café – “5 µg” on RA…"
    path = written(
        tmp_path, row(text, start=text.index("RA"), end=text.index("RA") + 1, lf="régime air"), encoding=encoding
    )
    [passage] = read_casi(path, Quarantine(limit=0))
    assert (passage.id, passage.text) == ("RA-1", text)
    assert passage.surface(passage.mentions[0]) == "RA"
    assert passage.mentions[0].long_form == "régime air"


def test_byte_that_windows_1252_does_not_have_shifts_no_offset(tmp_path):
    path = tmp_path / "casi.txt"
    path.write_bytes(row("\x01\x01 caf\xe9 RA", start=8, end=9).encode("latin-1").replace(b"\x01", b"\x81"))
    [passage] = read_casi(path, Quarantine(limit=0))
    assert passage.text == "\ufffd\ufffd café RA"
    assert passage.mentions[0].start == 8


@pytest.mark.parametrize("end", [10, 11, 99], ids=["inclusive", "exclusive", "wrong"])
def test_mention_is_as_long_as_the_short_form_whatever_the_end_says(tmp_path, end):
    _, mention = only(tmp_path, row(end=end))
    assert (mention.start, mention.end) == (9, 11)


@pytest.mark.parametrize(
    ("start", "found"),
    [(8, 9), (10, 9), (9, 9), (0, 9), (30, 31), (32, 31), (31, 31), (900, 31), (19, 9), (21, 31)],
)
def test_offset_that_misses_is_mended_to_the_nearest_place(tmp_path, start, found):
    _, mention = only(tmp_path, row(start=start, end=start + 1))
    assert (mention.start, mention.end) == (found, found + 2)


def test_mended_offset_is_never_inside_a_word(tmp_path):
    passage, mention = only(tmp_path, row("The RAte, the ERA, a bRAn. RA.", start=5, end=6))
    assert (mention.start, passage.surface(mention)) == (27, "RA")


def test_short_form_with_signs_is_found_as_it_is_written(tmp_path):
    passage, mention = only(tmp_path, row("CxS, then C&S.", sf="C&S", written="C&S", lf="culture", start=0, end=2))
    assert (mention.start, passage.surface(mention)) == (10, "C&S")
    passage, mention = only(tmp_path, row("axb, then a.b", sf="A.B", written="a.b", lf="both", start=0, end=2))
    assert (mention.start, mention.short_form) == (10, "A.B")


def test_text_may_hold_the_separator(tmp_path):
    passage, mention = only(tmp_path, row("BP 120|80 | RA |", start=12, end=13))
    assert passage.text == "BP 120|80 | RA |"
    assert (mention.start, mention.end) == (12, 14)


@pytest.mark.parametrize("label", ["GENERAL ENGLISH", "general english", "NAME", " Name "])
def test_ordinary_words_and_names_are_none_of_the_senses(tmp_path, label):
    _, mention = only(tmp_path, row("OR so he said", sf="OR", written="OR", start=0, end=1, lf=label))
    assert mention == Mention(start=0, end=2, short_form="OR", long_form=NONE_OF_THESE)


@pytest.mark.parametrize(
    ("label", "long_form"),
    [
        ("aspirin:ASA", "aspirin"),
        ("ratio 1:2", "ratio 1:2"),
        ("mistaken identity", "mistaken identity"),
        ("name of the drug", "name of the drug"),
        ("cup:disc ratio", "cup:disc ratio"),
    ],
)
def test_annotators_note_behind_the_colon_is_no_part_of_the_long_form(tmp_path, label, long_form):
    assert only(tmp_path, row(lf=label))[1].long_form == long_form


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("UNSURED SENSE", "unsured sense"),
        ("Unsured  Sense", "unsured sense"),
        ("MISTAKE", "mistake"),
        ("mistake:TIA or so", "mistake"),
    ],
)
def test_rows_that_annotators_were_unsure_of_are_set_aside_and_do_not_stop_the_reading(tmp_path, label, reason):
    path = written(tmp_path, GOOD[0], row(lf=label), row(lf=label), GOOD[1])
    quarantine = Quarantine(limit=0)
    assert [p.id for p in read_casi(path, quarantine)] == ["RA-1", "RA-4"]
    assert [(r["file"], r["line"], r["reason"]) for r in quarantine.rows] == [
        ("casi.txt", line, f"the annotators wrote: {reason}") for line in (2, 3)
    ]
    assert quarantine.total == 4
    assert quarantine.summary() == {f"the annotators wrote: {reason}": 2}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("RA|room air|RA|9|10|EXAM", "6 columns instead of 7"),
        ("RA", "1 columns instead of 7"),
        (row(sf=" "), "empty short form"),
        (row(lf=""), "empty long form"),
        (row(lf=":ASA"), "empty long form"),
        (row(written=""), "empty short form as written"),
        (row(start="x"), "start and end are not both whole numbers"),
        (row(start=-2), "start and end are not both whole numbers"),
        (row(end=""), "start and end are not both whole numbers"),
        (row(""), "the short form stands neither at 9 nor as a word elsewhere in the text"),
        (row("the rate of RAs"), "the short form stands neither at 9 nor as a word elsewhere in the text"),
        (row(written="ra"), "the short form stands neither at 9 nor as a word elsewhere in the text"),
    ],
)
def test_malformed_row_is_quarantined_with_its_line_and_reason(tmp_path, line, reason):
    quarantine = Quarantine()
    passages = read_casi(written(tmp_path, *GOOD[:10], line, *GOOD[10:]), quarantine)
    assert [p.id for p in passages] == [f"RA-{number}" for number in range(1, 22) if number != 11]
    assert quarantine.rows == [{"file": "casi.txt", "line": 11, "reason": reason}]
    assert quarantine.total == 21


def test_too_many_malformed_rows_stop_the_reading_and_the_first_of_them_is_named(tmp_path):
    path = written(tmp_path, row(lf="UNSURED SENSE"), "RA|x", *GOOD[:17], "RA|y")
    with pytest.raises(
        TooManyBadRows, match=r"\A2 of 20 rows are bad \(limit 5%\); the first: casi\.txt, row 2: 2 columns"
    ):
        read_casi(path, Quarantine())


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.txt does not exist"):
        read_casi(tmp_path / "nowhere.txt", Quarantine())
    path = written(tmp_path, *GOOD, name="casi.txt.gz")
    path.write_bytes(path.read_bytes()[:-12])
    for read in (
        lambda: read_casi(path, Quarantine()),
        lambda: read_passages(path, Inventory.of([]), Quarantine(limit=1)),
    ):
        with pytest.raises(ValueError, match=r"casi\.txt\.gz is damaged or truncated"):
            read()


@pytest.mark.parametrize("name", ["casi.txt", "CASI.TXT", "casi.txt.gz"])
def test_read_passages_knows_the_layout_by_the_first_line(tmp_path, name):
    path = written(tmp_path, *GOOD, name=name)
    assert read_passages(path, Inventory.of([])) == read_casi(path, Quarantine())


@pytest.mark.parametrize("first", ["", "hello", "RA|room air|RA|nine|ten|EXAM|on RA", "RA|room air|RA|9|10|EXAM"])
def test_text_of_another_layout_is_of_no_known_format(tmp_path, first):
    with pytest.raises(ValueError, match=r"notes\.txt has an unknown format\. Known: .*\.parquet, .*\.txt \(CASI\)"):
        read_passages(written(tmp_path, first, *GOOD, name="notes.txt"), Inventory.of([]))


@pytest.mark.parametrize("name", ["casi.txt", "casi", "casi.csv.gz"])
@pytest.mark.parametrize("encoding", ["cp1252", "utf-8-sig"])
def test_as_an_inventory_it_gives_its_senses_with_their_counts(tmp_path, name, encoding):
    labels = [
        "right atrium",
        "room air",
        "GENERAL ENGLISH",
        "room  air",
        "UNSURED SENSE",
        "mistake:RN",
        "Name",
        "room air:O2R",
    ]
    rows = [row(lf=label) for label in labels] + [row("n | t", sf="MD", lf="Ménière’s disease"), row(lf="aspirin:ASA")]
    inventory = Inventory.read(written(tmp_path, *rows, name=name, encoding=encoding, newline="\r\n"))
    assert inventory.senses == {
        "RA": (
            Sense(long_form="room air", count=3),
            Sense(long_form="right atrium", count=1),
            Sense(long_form="aspirin", count=1),
        ),
        "MD": (Sense(long_form="Ménière’s disease", count=1),),
    }


def test_senses_of_the_passages_and_of_the_inventory_are_the_same(tmp_path):
    path = written(tmp_path, row(lf="room  air:RA"), row(lf="right atrium "), row(lf="NAME"), row(lf="UNSURED SENSE"))
    inventory = Inventory.read(path)
    golds = {p.mentions[0].long_form for p in read_casi(path, Quarantine())} - {NONE_OF_THESE}
    assert golds == set(inventory.long_forms("RA")) == {"room air", "right atrium"}


def test_inventory_of_a_file_with_a_malformed_row_names_the_line(tmp_path):
    path = written(tmp_path, GOOD[0], "", "RA|x")
    with pytest.raises(ValueError, match=r"casi\.txt: line 3: 2 columns instead of CASI's 7\Z"):
        Inventory.read(path)
