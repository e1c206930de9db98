"""Plain texts are read from every format, and what cannot be read is set aside without its content."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from medalist.data.rows import Quarantine
from medalist.data.sources.texts import read_texts, text_files


def read(path, quarantine=None):
    return [tuple(text) for text in read_texts(path, quarantine or Quarantine())]


def test_lines_may_hold_a_text_sections_or_tokens_and_be_gzipped(tmp_path):
    lines = [
        {"id": "a", "text": "One.", "source": "letters"},
        {"pmid": 7, "sections": ["Two.", "Three."]},
        {"tokens": ["Four", "."]},
    ]
    path = tmp_path / "t.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    assert read(path) == [("a", "One.", "letters"), ("7", "Two. Three.", "t"), ("t-3", "Four .", "t")]


def test_tables_may_name_their_columns_in_upper_case(tmp_path):
    (tmp_path / "n.csv").write_text('NOTE_ID,NOTE\n5,"One,\ntwo"\n', encoding="utf-8-sig")
    pq.write_table(pa.table({"id": [1], "text": ["Three"]}), tmp_path / "p.parquet")
    assert read(tmp_path / "n.csv") == [("5", "One,\ntwo", "n")]
    assert read(tmp_path / "p.parquet") == [("1", "Three", "p")]


def test_a_folder_stands_for_its_files_and_a_txt_file_is_one_text(tmp_path):
    (tmp_path / "ward").mkdir()
    (tmp_path / "ward" / "b.txt").write_text("Two\nlines.", encoding="utf-8")
    (tmp_path / "ward" / "a.jsonl").write_text('{"text": "One."}\n')
    (tmp_path / "ward" / "picture.png").write_bytes(b"")
    files = text_files([tmp_path / "ward"])
    assert [file.name for file in files] == ["a.jsonl", "b.txt"]
    assert read(files[1]) == [("b", "Two\nlines.", "ward")]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("t.jsonl", b'{"text": "ok"}\n{"words": "canary"}\n', "no text under text, note"),
        ("t.csv", b"id,words\n1,canary\n", "no text under text, note"),
        ("t.txt", b"canary \x81", "t.txt is not utf-8 or cp1252: see byte 7"),
        ("t.txt", b"PK\x03\x04canary", "t.txt is an Excel or Word file"),
        ("t.csv", b"id,text\n1,ok,canary\n2,fine\n", "3 columns instead of 2"),
        ("t.csv", "id,text\n1,déjà vu\n2,canary".encode() + b"\xff\n", "not UTF-8"),
        ("t.ndjson", b'{"resourceType": "Patient", "text": {"div": "canary"}}\n', "a FHIR resource, not a record"),
        ("t.jsonl", b'{"text": {"div": "canary"}}\n', "no text under text, note"),
    ],
)
def test_a_record_without_a_text_is_set_aside_without_its_content(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    quarantine = Quarantine()
    read(tmp_path / name, quarantine)
    [row] = quarantine.rows
    assert reason in row["reason"]
    assert "canary" not in json.dumps(row)


def test_what_cannot_be_a_source_is_one_line(tmp_path):
    with pytest.raises(FileNotFoundError, match="none does not exist"):
        text_files([tmp_path / "none"])
    (tmp_path / "a.docx").write_bytes(b"")
    with pytest.raises(ValueError, match=r"a\.docx has an unknown format\. Known: \.jsonl"):
        text_files([tmp_path / "a.docx"])
    with pytest.raises(ValueError, match="has no file of texts"):
        text_files([tmp_path])
    (tmp_path / "b.csv").write_bytes(b'text\n"canary\n')
    with pytest.raises(ValueError, match=r"b\.csv, line 2: a quotation mark is not closed"):
        read(tmp_path / "b.csv")


@pytest.mark.parametrize("name", ["n.csv", "n.csv.gz", "n.tsv", "n.txt"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("header", ["id;Note text", "sep=;\r\nid;NOTE_TEXT;", "id\ttext", 'id,"text",kind'])
def test_tables_are_read_as_other_systems_write_them(tmp_path, name, encoding, header):
    mark = next(mark for mark in ("\t", ";", ",") if mark in header)
    cells = ["7", '"fièvre, ""BP"";\nthen 38 °C"', *(["x"] if "kind" in header else [])]
    raw = f"{header}\r\n{mark.join(cells)}\r\n\r\n".encode(encoding)
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    [found] = read(tmp_path / name)
    assert name == "n.txt" or found == ("7", 'fièvre, "BP";\nthen 38 °C', "n")
    assert "fièvre" in found[1]
