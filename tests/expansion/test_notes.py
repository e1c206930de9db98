"""Covers `note_formats` too."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from pathlib import Path
from threading import Thread

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medalist.expansion import note_formats as module
from medalist.expansion.note_formats import holds_many, piped, read_text
from medalist.expansion.notes import NoteFile

NOTES = [("a", 'Pt "on" RA,\nnow; 37 °C'), ("b", ""), ("c", "x" * 200_000)]
QUOTED = [(name, '"' + text.replace('"', '""') + '"') for name, text in NOTES]


def csv_text(mark=","):
    return f"note_id{mark}ward{mark}note_text\r\n" + "".join(f"{i}{mark}3{mark}{t}\r\n" for i, t in QUOTED)


def read(path, **options):
    source = NoteFile(path=path, **options)
    return [(note.id, note.text) for note in source], [(s.place, s.id, s.reason) for s in source.set_aside]


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_table_is_read_whatever_its_separator_and_encoding(tmp_path, mark, encoding):
    path = tmp_path / "notes.csv"
    path.write_bytes(csv_text(mark).encode(encoding))
    assert read(path) == (NOTES, [])
    path.with_suffix(".csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert read(path.with_suffix(".csv.gz")) == (NOTES, [])


def test_json_lines_and_parquet_are_read(tmp_path):
    rows = [{"id": name, "text": text, "ward": 3} for name, text in NOTES]
    for name in ("notes.jsonl", "notes.ndjson"):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert read(tmp_path / name) == (NOTES, [])


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary(), pa.dictionary(pa.int32(), pa.string())])
def test_parquet_is_read_whatever_its_type_of_text(tmp_path, kind):
    ids, texts = (pa.array(column).cast(kind) for column in zip(*NOTES, strict=True))
    pq.write_table(pa.table({"id": ids, "text": texts, "codes": [["a"], None, []]}), tmp_path / "notes.parquet")
    assert read(tmp_path / "notes.parquet") == (NOTES, [])


def test_a_damaged_byte_costs_the_note_that_holds_it_and_leaves_the_others_as_they_are(tmp_path):
    for mark in ("", "\ufeff"):
        (tmp_path / "notes.csv").write_bytes(
            f"{mark}id,text\n1,37 °C, 5 µg\n".encode().replace(b"C,", b"C") + b"2,\xe9\n"
        )
        assert read(tmp_path / "notes.csv") == (
            [("1", "37 °C 5 µg")],
            [("line 3", "2", "its text is not UTF-8, or holds half a character")],
        )


def test_empty_columns_and_rows_of_a_spreadsheet_are_passed_over(tmp_path):
    rows = "id;text;;\r\n1;on RA;;\r\n;;;\r\n2;;;\r\n"
    for table in (rows, rows.replace("text;;", "text")):
        (tmp_path / "notes.csv").write_text(table, newline="")
        assert read(tmp_path / "notes.csv") == ([("1", "on RA"), ("2", "")], [])
    (tmp_path / "notes.csv").write_text(
        "ward;text\n;\n3;on RA\n"
    )  # the rows are numbered, so that they keep their numbers
    assert read(tmp_path / "notes.csv")[0] == [("1", ""), ("2", "on RA")]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252"])
def test_a_table_that_comes_through_a_pipe_is_read_as_its_file_is(tmp_path, encoding):
    content = csv_text("\t").encode(encoding)
    for piped_as in (content, gzip.compress(content)):
        given = piped(io.BytesIO(piped_as), "tsv")
        assert read(tmp_path / "Standard input", content=given, table_format="tsv") == (NOTES, [])
    lines = "".join(json.dumps({"id": name, "text": text}) + "\n" for name, text in NOTES) + "[]"
    found, [aside] = read(tmp_path / "no file", content=lines.encode(), table_format="jsonl")
    assert (found, aside[0]) == (NOTES, "line 4")
    assert not list(tmp_path.iterdir())


def test_what_cannot_come_through_a_pipe_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="Parquet cannot be read from standard input"):
        piped(io.BytesIO(b"PAR1"), "parquet")
    monkeypatch.setattr(module, "MOST_BYTES", 4)
    assert piped(io.BytesIO(b"1234"), "csv") == b"1234"
    with pytest.raises(ValueError, match="Standard input holds more than"):
        piped(io.BytesIO(b"12345"), "csv")


def test_a_format_can_be_given_where_the_name_says_another_or_none(tmp_path):
    (tmp_path / "notes.txt").write_text(csv_text("|"), newline="")
    assert read(tmp_path / "notes.txt", table_format="csv") == (NOTES, [])
    with pytest.raises(ValueError, match=r"is a folder, whose \.txt files are read: it is not csv"):
        read(tmp_path, table_format="csv")


def test_a_folder_is_read_in_order_with_its_line_ends(tmp_path):
    (tmp_path / "ward").mkdir()
    (tmp_path / "b.txt").write_bytes(b"on RA\r\n")
    (tmp_path / "ward" / "a.TXT").write_bytes("37 °C".encode("cp1252"))
    (tmp_path / "c.txt").write_bytes(b"secret \x81")
    (tmp_path / "other.md").write_text("no note")
    found, aside = read(tmp_path)
    assert found == [("b", "on RA\r\n"), ("ward/a", "37 °C")]
    assert [place for place, _, _ in aside] == ["c.txt"]
    assert "secret" not in aside[0][2]


def test_columns_can_be_named_and_rows_without_ids_are_numbered(tmp_path):
    path = tmp_path / "notes.csv"
    path.write_text("text,body,key\none,two,k\nthree,four,l\n")
    assert read(path)[0] == [("1", "one"), ("2", "three")]
    assert read(path, text_column="body", id_column="key")[0] == [("k", "two"), ("l", "four")]
    with pytest.raises(ValueError, match=r"has no column nope; it has text, body, key$"):
        read(path, text_column="nope")
    with pytest.raises(ValueError, match="has no column nope"):
        read(path, id_column="nope")
    with pytest.raises(ValueError, match="has no column ;"):
        read(path, text_column="")
    path.write_text("body,key\ntwo,k\n")
    with pytest.raises(ValueError, match=r"text or note_text; it has body, key\. Name it with --text-column$"):
        read(path)
    with pytest.raises(ValueError, match="name the same column, body"):
        read(path, text_column="body", id_column="body")
    path.write_text("id,text,text\n1,one,two\n")
    pq.write_table(pa.Table.from_arrays([pa.array(["a"])] * 2, ["text", "text"]), tmp_path / "notes.parquet")
    for twice in (path, tmp_path / "notes.parquet"):
        with pytest.raises(ValueError, match="has two columns text: rename or remove one"):
            read(twice)
    with pytest.raises(ValueError, match=r'^Unknown encoding "klingon"'):
        read(path, encoding="klingon")


@pytest.mark.parametrize(
    "header",
    [
        'id,text,"a;b;c;d"',
        "\n\nid,text,x",
        "sep=,\r\nid,text,x",
        'id,text,"a\nb"',
        "NOTE_ID, Text ,x",
        "Note ID,Note Text,x",
        '"id","text","x"',
    ],
)
def test_a_header_is_found_where_it_stands_and_whatever_its_case(tmp_path, header):
    (tmp_path / "notes.csv").write_text(f"{header}\n7,on RA,y\n", newline="")
    assert read(tmp_path / "notes.csv") == ([("7", "on RA")], [])


def test_each_object_of_json_lines_has_its_own_fields(tmp_path):
    path = tmp_path / "notes.jsonl"
    path.write_text('{"id": 1}\n{"note_id": 2, "note_text": "a"}\n{"id": 3, "text": "b", "text": "c"}\n')
    assert read(path) == (
        [("2", "a")],
        [("line 1", "1", "no text"), ("line 3", None, "a field stands twice in an object")],
    )
    path.write_text('{"text": "a"}\n{"id": 7, "text": "b"}\n')
    with pytest.raises(ValueError, match="line 2: it has a field id, which the lines before it lack"):
        read(path)
    for array in ('[{"id": 1, "text": "on RA"}]', "[\n"):
        path.write_text(array)
        assert read(path)[1][0][2].startswith("a JSON array, not an object on each line: convert the file")
    for encoding, given in (("utf-16", None), ("cp1252", "cp1252")):
        path.write_bytes('{"id": 1, "text": "37 °C"}\n'.encode(encoding))
        assert read(path, encoding=given) == ([("1", "37 °C")], [])


def test_an_id_is_what_it_was_before_a_library_made_a_fraction_of_it_and_never_nan(tmp_path):
    path = tmp_path / "notes.parquet"
    pq.write_table(pa.table({"id": [7.0, float("nan"), 1.5], "text": ["a", "b", "c"]}), path)
    assert read(path) == ([("7", "a"), ("1.5", "c")], [("row 2", None, "no id")])


@pytest.mark.parametrize(
    ("ids", "whole"),
    [
        ([1, -2], True),
        ([7.0, None], True),
        ([2**63 - 1], True),
        ([2**63], False),
        ([1, "2"], False),
        (["1"], False),
        ([1.5], False),
        ([None], False),
    ],
)
def test_ids_that_are_numbers_in_the_source_are_known_as_such(tmp_path, ids, whole):
    path = tmp_path / "notes.jsonl"
    path.write_text("".join(json.dumps({"id": one, "text": "x"}) + "\n" for one in ids))
    source = NoteFile(path=path)
    list(source)
    assert source.whole_ids is whole
    path.with_suffix(".csv").write_text("id,text\n7,x\n")  # where 007 is an id, too
    table = NoteFile(path=path.with_suffix(".csv"))
    list(table)
    assert not table.whole_ids


def test_a_row_of_parquet_that_is_not_utf_8_costs_no_other_row(tmp_path):
    path = tmp_path / "notes.parquet"
    text = pa.array([b"on RA", b"secret \xff", b"on CT"]).view(pa.string())
    pq.write_table(pa.table({"id": [1, 2, 3], "text": text}), path)
    assert read(path) == ([("1", "on RA"), ("3", "on CT")], [("row 2", None, "not UTF-8, or a date out of range")])


def test_what_can_be_read_once_only_is_read_once(tmp_path):
    pipe = tmp_path / "notes.csv"
    os.mkfifo(pipe)
    Thread(target=pipe.write_text, args=("id,text\n1,on RA\n",), daemon=True).start()
    source = NoteFile(path=pipe)
    assert list(source) == list(source) != []


def test_a_folder_s_hidden_files_are_no_notes_and_what_is_no_text_is_set_aside(tmp_path):
    for name, content in {".cache/a": b"x", "._b": b"\0", "b": b"on RA", "nul": b"a\0", "pdf": b"%PDF-1.4"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.txt").write_bytes(content)
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nothing")
    (tmp_path / os.fsdecode(b"\xff.txt")).write_text("on CT")
    found, aside = read(tmp_path)
    assert found == [("b", "on RA")]
    reasons = {place: reason for place, _, reason in aside}
    assert set(reasons) == {"nul.txt", "pdf.txt", "link", "gone.txt", r"\udcff.txt"}
    assert reasons["link"] == "links to folders are not followed"
    assert reasons[r"\udcff.txt"] == "its id is not UTF-8"
    json.dumps(aside, ensure_ascii=False).encode()


def test_bad_records_are_set_aside_by_place_id_and_reason_and_never_with_their_text(tmp_path):
    rows = [
        '{"id": 1, "text": "fine"}',
        '{"id": 1, "text": "secret"}',
        '{"id": 2, "text": null}',
        '{"id": 3, "text": ["secret"]}',
        '{"text": "secret"}',
        'secret"',
        '{"id": 4, "text": "fine too"}',
        '["secret"]',
    ]
    (tmp_path / "notes.jsonl").write_text("\n".join(rows))
    found, aside = read(tmp_path / "notes.jsonl")
    assert found == [("1", "fine"), ("4", "fine too")]
    assert [(place, name) for place, name, _ in aside] == [
        ("line 2", "1"),
        ("line 3", "2"),
        ("line 4", "3"),
        ("line 5", None),
        ("line 6", None),
        ("line 8", None),
    ]
    assert "secret" not in json.dumps(aside)


def test_a_row_with_too_many_or_too_few_cells_is_set_aside(tmp_path):
    (tmp_path / "notes.csv").write_text("id,text\n1,a,b\n2\n\n3,c\n")
    found, aside = read(tmp_path / "notes.csv")
    assert found == [("3", "c")]
    # without its id, for what stands there may be text: a line of a note that should have been in quotation marks
    assert aside == [("line 2", None, "3 columns instead of 2"), ("line 3", None, "1 columns instead of 2")]


def test_a_quotation_mark_that_is_not_closed_is_an_error_with_its_line(tmp_path):
    (tmp_path / "notes.csv").write_text('id,text\n1,"a\nb"\n2,"c\n3,d\n')
    with pytest.raises(ValueError, match=r"notes\.csv, line 4: a quotation mark is not closed"):
        read(tmp_path / "notes.csv")


def test_it_can_be_read_again_and_counts_what_it_sets_aside_once(tmp_path):
    (tmp_path / "notes.csv").write_text("id,text\n1,a\n1,b\n")
    source = NoteFile(path=tmp_path / "notes.csv")
    assert list(source) == list(source)
    assert len(source.set_aside) == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("notes.xml", b"<a/>", "has an unknown format"),
        ("notes.parquet", b"x", "is not a Parquet file"),
        ("notes.csv", b'id,text\n1,"on "RA""\n', "line 2: .* inside a quoted cell, write it twice"),
        ("notes.csv", b"id,text\n1,\x81\n", "is not utf-8 or cp1252"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        read(tmp_path / name)
    assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read(tmp_path / "gone.csv")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "a.ndjson",
            '{"resourceType": "Patient", "id": "1", "text": {"div": "canary"}}',
            "line 1: a FHIR resource, not a",
        ),
        ("a.jsonl", '{"resourceType": "DocumentReference", "id": "1", "canary": 1}', "line 1: a FHIR resource, not a"),
        ("a.csv", "MSH|^~\\&|A|B\rOBX|1|TX|||canary\r", "is an HL7 message, whatever its name: save the text in it"),
        ("a.jsonl", "\x0bMSH|^~\\&|A|B\rOBX|1|TX|||canary\r", "is an HL7 message, whatever its name: save"),
    ],
)
def test_messages_and_resources_are_refused_in_one_line_with_what_to_do(tmp_path, name, content, said):
    (tmp_path / name).write_text(content + "\n", newline="")
    with pytest.raises(ValueError, match=said) as error:
        read(tmp_path / name)
    assert "canary" not in str(error.value) and "\n" not in str(error.value)


def test_a_resource_among_notes_is_set_aside_and_a_note_may_have_its_fields(tmp_path):
    fields = {"resourceType": "DocumentReference"}
    lines = [
        fields | {"id": "1", "text": "on RA"},
        fields | {"id": "2", "text": {"div": "x"}},
        {"id": "3", "text": "RA"},
    ]
    (tmp_path / "a.ndjson").write_text("\n".join(map(json.dumps, lines)))
    file = NoteFile(path=tmp_path / "a.ndjson")
    assert [note.id for note in file] == ["1", "3"]
    assert [(one.place, one.reason[:15]) for one in file.set_aside] == [("line 2", "a FHIR resource")]


def test_a_single_text_is_read_and_a_document_is_refused(tmp_path):
    (tmp_path / "note.txt").write_bytes("37 °C\r\n".encode("utf-16"))
    assert read_text(tmp_path / "note.txt") == ("37 °C\r\n", "utf-16")
    for name, content in (("note.docx", b"PK"), ("note.pdf", b"%PDF"), ("note.dat", b"a\0b"), ("note.gz", b"\x1f\x8b")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=r"note\.\w+ is (not plain text: convert|compressed: unpack) it first"):
            read_text(tmp_path / name)
    for content in ("\x0bMSH|^~\\&|A|B\rOBX|1|TX|||on RA\r", '{\n "resourceType": "DocumentReference",\n "id": "1"}'):
        (tmp_path / "message.txt").write_text(content)
        with pytest.raises(ValueError, match=r"message\.txt is an HL7 message or a FHIR resource, not a note: save"):
            read_text(tmp_path / "message.txt")
    assert [holds_many(tmp_path / name) for name in (".", "note.txt", "x.csv", "x.jsonl.gz")] == [
        True,
        False,
        True,
        True,
    ]


def test_long_cells_of_notes_leave_the_limit_of_others_as_it_was(tmp_path):
    path = tmp_path / "notes.csv"
    path.write_text("id,text\n1," + "x" * 200_000 + "\n")
    before = csv.field_size_limit(131_072)
    assert [len(note.text) for note in NoteFile(path=path)] == [200_000]
    assert csv.field_size_limit(before) == 131_072


def test_the_header_of_a_table_that_was_put_behind_another_is_no_note(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfid,text\n1,RA\n\xef\xbb\xbfid,text\n2,CT\n")
    notes, set_aside = read(tmp_path / "a.csv")
    assert notes == [("1", "RA"), ("2", "CT")]
    assert set_aside == [("line 3", None, "the header again, as where tables were joined")]


def test_a_folder_of_tables_names_one_and_a_list_in_json_is_no_text(tmp_path):
    for name in ("part-1.csv", "part-0.parquet", "_SUCCESS"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match=r"it holds 2 tables: name them one by one, as part-0\.parquet"):
        read(tmp_path)
    (tmp_path / "notes.json").write_text('\n[{"id": 1, "text": "canary"}]')
    with pytest.raises(ValueError, match=r"json is JSON, not a note: .* jq -c '\.\[\]' notes\.json > notes\.jsonl"):
        read_text(tmp_path / "notes.json")
    with pytest.raises(FileNotFoundError, match="it is an address; download the file and name it here"):
        read(Path("https://example.org/notes.csv"))


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.csv", "id,text,NOTE_TEXT\n1,,on RA\n"), ("a.jsonl", '{"id": 1, "text": "", "note_text": "on RA"}\n')],
)
def test_of_two_columns_that_may_hold_the_text_one_must_be_named(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=r"(?i)has the columns text and note_text: name one with --text-column"):
        list(NoteFile(path=tmp_path / name))
    assert [note.text for note in NoteFile(path=tmp_path / name, text_column="text")] == [""]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "idna", "punycode"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_table_in_another_encoding_than_the_one_named_is_named(tmp_path, name, encoding):
    (tmp_path / name).write_bytes("id,text\n1,caf\xe9 RA\n".encode("latin-1"))
    with pytest.raises(ValueError, match=rf"(?i){name} is not {encoding}[.:] name its encoding with --encoding"):
        list(NoteFile(path=tmp_path / name, encoding=encoding))
