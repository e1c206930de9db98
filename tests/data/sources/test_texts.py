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
        ("t.txt", b"canary \xff", "not UTF-8: invalid start byte at byte 7"),
    ],
)
def test_a_record_without_a_text_is_set_aside_without_its_content(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    quarantine = Quarantine()
    read(tmp_path / name, quarantine)
    [row] = quarantine.rows
    assert row["reason"].startswith(reason)
    assert "canary" not in json.dumps(row)


def test_what_cannot_be_a_source_is_one_line(tmp_path):
    with pytest.raises(FileNotFoundError, match="none does not exist"):
        text_files([tmp_path / "none"])
    (tmp_path / "a.docx").write_bytes(b"")
    with pytest.raises(ValueError, match=r"a\.docx has an unknown format\. Known: \.jsonl"):
        text_files([tmp_path / "a.docx"])
    with pytest.raises(ValueError, match="has no file of texts"):
        text_files([tmp_path])
    (tmp_path / "b.csv").write_bytes("text\nfi\xe8vre\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"b\.csv is not UTF-8"):
        read(tmp_path / "b.csv")
