from __future__ import annotations

import csv
import json

import pyarrow.parquet as pq
import pytest

from medalist.expansion.notes import Note
from medalist.expansion.outputs import check_brat_ids, count_foreign_ids, format_of, write_records

NOTES = [Note(id="a", text="on RA,\r\nqd"), Note(id="ward/b.1", text=""), Note(id="c", text="XKP")]
WARNING = {"start": 8, "end": 10, "surface": "qd", "notation": "QD", "why": "read as QOD", "instead": "daily"}
RA = {
    "start": 3,
    "end": 5,
    "short_form": "RA",
    "key": "RA",
    "long_form": "room air, indoors",
    "probability": 0.9,
    "sure": True,
    "evidence": "model",
    "alternatives": [{"long_form": "room air, indoors", "probability": 0.9}],
    "definition": None,
    "warning": None,
}
XKP = RA | {"start": 0, "end": 3, "short_form": "XKP", "key": "XKP", "long_form": None, "evidence": "unlisted"}
XKP |= {"sure": False, "probability": 1.0, "alternatives": []}
RECORDS = [
    {"id": "a", "expansions": [RA], "warnings": [WARNING]},
    {"id": "ward/b.1", "expansions": [], "warnings": []},
    {"id": "c", "expansions": [XKP], "warnings": []},
]


def written(tmp_path, kind, name="out"):
    write_records(iter(RECORDS), tmp_path / name, kind, notes=NOTES, day="2026-11-30")
    return tmp_path / name


def test_json_lines_hold_one_record_for_each_note(tmp_path):
    assert [json.loads(line) for line in written(tmp_path, "jsonl").read_text().splitlines()] == RECORDS


def test_a_table_has_a_row_for_each_expansion_and_other_warning_in_the_order_of_the_text(tmp_path):
    table = pq.read_table(written(tmp_path, "parquet")).to_pylist()
    assert [(row["id"], row["short_form"], row["long_form"], row["evidence"], row["warning"]) for row in table] == [
        ("a", "RA", "room air, indoors", "model", None),
        ("a", "qd", None, "do not use", "read as QOD"),
        ("c", "XKP", None, "unlisted", None),
    ]
    assert table[0]["alternatives"] == RA["alternatives"]
    with written(tmp_path, "csv", "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["start"], row["end"], row["long_form"]) for row in rows] == [
        ("a", "3", "5", "room air, indoors"),
        ("a", "8", "10", ""),
        ("c", "0", "3", ""),
    ]


def test_ids_that_are_numbers_stay_numbers_where_the_format_has_them(tmp_path):
    numbered = [record | {"id": str(number)} for number, record in enumerate(RECORDS)]
    for kind in ("parquet", "jsonl", "csv"):
        write_records(iter(numbered), tmp_path / kind, kind, notes=NOTES, day="2026-11-30", whole_ids=True)
    table = pq.read_table(tmp_path / "parquet")
    assert table.schema.types[0] == "int64" and table.column("id").to_pylist() == [0, 0, 2]
    assert [json.loads(line)["id"] for line in (tmp_path / "jsonl").read_text().splitlines()] == [0, 1, 2]
    assert (tmp_path / "csv").read_text().splitlines()[3].startswith("2,0,3,XKP,")


def test_a_warning_about_an_expansion_stands_in_its_row(tmp_path):
    warned = WARNING | {"start": 4, "end": 6, "surface": "A,"}
    record = {"id": "a", "expansions": [RA | {"warning": warned}], "warnings": [warned]}
    write_records([record], tmp_path / "out", "parquet", notes=NOTES, day="2026-11-30")
    [row] = pq.read_table(tmp_path / "out").to_pylist()
    assert (row["evidence"], row["warning"]) == ("model", "read as QOD")


def test_brat_gets_text_and_annotations_side_by_side(tmp_path):
    folder = written(tmp_path, "brat")
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*")) == [
        "a.ann",
        "a.txt",
        "annotation.conf",
        "c.ann",
        "c.txt",
        "ward/b.1.ann",
        "ward/b.1.txt",
    ]
    assert (folder / "a.txt").read_bytes() == b"on RA,\r\nqd"
    assert (folder / "a.ann").read_text().splitlines() == [
        "T1\tShortForm 3 5\tRA",
        "#1\tAnnotatorNotes T1\troom air, indoors (0.90, model)",
        "T2\tDoNotUse 8 10\tqd",
        "#2\tAnnotatorNotes T2\tdo not use; read as QOD",
    ]
    assert (folder / "ward/b.1.ann").read_text() == ""
    types, *others = (folder / "annotation.conf").read_text().split("\n[")
    assert types.splitlines() == ["[entities]", "ShortForm", "DoNotUse"]
    assert [other.partition("]")[0] for other in others] == ["relations", "events", "attributes"], "BRAT needs all four"


def test_brat_gets_a_fragment_for_each_line_and_characters_not_bytes(tmp_path):
    note = Note(id="a", text="\U0001f642 heart\r\nfailure")
    record = {"id": "a", "expansions": [RA | {"start": 2, "end": 16, "short_form": note.text[2:16]}], "warnings": []}
    write_records([record], tmp_path / "out", "brat", notes=[note], day="2026-11-30")
    line = (tmp_path / "out" / "a.ann").read_text().splitlines()[0]
    assert line == "T1\tShortForm 2 7;9 16\theart failure"


@pytest.mark.parametrize("bad", ["/etc/x", "a/../../b", "..", ".", "a//b", "a/", "", "a\0b", "a\nb", "a\\b", "x" * 300])
def test_an_id_that_is_no_name_of_a_file_is_found_before_anything_is_written(bad):
    check_brat_ids([Note(id="ward 7/a.1", text="")])
    with pytest.raises(ValueError, match=r"^Note 2 cannot be written in BRAT's format: its id .* Name another"):
        check_brat_ids([Note(id="a", text=""), Note(id=bad, text="")])


@pytest.mark.parametrize("other", ["A/1", "e\u0301/x"])
def test_two_ids_that_are_one_file_on_some_disks_are_found_before_anything_is_written(other):
    notes = [Note(id=name, text="") for name in ("a/1", "\u00e9/x", "b", other)]
    check_brat_ids(notes[:3])
    with pytest.raises(
        ValueError, match=r"^Note 4 cannot be written in BRAT's format: its id differs from an earlier one"
    ):
        check_brat_ids(notes)


def test_an_id_cannot_lead_out_of_the_folder(tmp_path):
    with pytest.raises(ValueError, match="its id leads out of the folder"):
        write_records([RECORDS[1]], tmp_path / "out", "brat", notes=[Note(id="../../evil", text="")], day="2026-11-30")
    assert not (tmp_path / "out").exists()


def test_note_nlp_has_omop_s_columns_and_only_what_was_answered(tmp_path):
    with written(tmp_path, "note-nlp").open(newline="") as file:
        [row] = csv.DictReader(file)
    assert row["note_id"] == "a"
    assert (row["offset"], row["lexical_variant"], row["nlp_date"], row["snippet"]) == ("3", "RA", "2026-11-30", "")
    assert row["term_modifiers"] == "long_form=room air, indoors,probability=0.9,evidence=model"
    assert len(row) == 14
    assert count_foreign_ids([Note(id=name, text="") for name in ("7", "a", "7.0", "1" * 30)]) == 3
    long = {"id": "a", "expansions": [RA | {"short_form": "R" * 300, "long_form": "x" * 3000}], "warnings": []}
    write_records([long], tmp_path / "long", "note-nlp", notes=NOTES, day="2026-11-30")
    with (tmp_path / "long").open(newline="") as file:
        [row] = csv.DictReader(file)
    assert (len(row["lexical_variant"]), len(row["term_modifiers"]) <= 2000) == (250, True)


def test_the_name_says_the_format_unless_it_is_given(tmp_path):
    assert [format_of(tmp_path / name) for name in ("a.jsonl", "a.CSV", "a.parquet")] == ["jsonl", "csv", "parquet"]
    assert format_of(tmp_path / "a", "brat") == "brat"
    with pytest.raises(ValueError, match="its name says no format"):
        format_of(tmp_path / "a.xlsx")
