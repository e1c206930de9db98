from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from medalist.passages import Passage, Quarantine, TooManyBadRows
from medalist.sources.pubmed import read_abstracts

GOOD = [{"pmid": str(n), "sections": [f"Text {n}."]} for n in range(20)]


def written(folder: Path, *records: object, name: str = "abstracts.jsonl") -> Path:
    content = "".join(json.dumps(record) + "\n" for record in records).encode()
    path = folder / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


@pytest.mark.parametrize("name", ["abstracts.jsonl", "abstracts.jsonl.gz"])
def test_sections_of_an_abstract_become_one_plain_passage(tmp_path, name):
    path = written(tmp_path, {"pmid": 21645374, "year": "2011", "sections": ["Aim: pain.", "Found: RA."]}, name=name)
    assert read_abstracts(path, Quarantine()) == [
        Passage(id="21645374", text="Aim: pain. Found: RA.", source="abstracts")
    ]


def test_records_with_id_and_text_do_as_well_from_number_0_on(tmp_path):
    path = written(tmp_path, {"id": 0, "text": "one"}, {"id": 1, "text": "two", "sections": [], "pmid": None})
    assert [(p.id, p.text) for p in read_abstracts(path, Quarantine(limit=0))] == [("0", "one"), ("1", "two")]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"sections": ["a"]}, "no pmid or id"),
        ({"pmid": "", "sections": ["a"]}, "no pmid or id"),
        ({"pmid": None, "text": "a"}, "no pmid or id"),
        ({"pmid": "x"}, "no text: neither sections nor text"),
        ({"pmid": "x", "sections": ["a", " "]}, "no text: neither sections nor text"),
        ({"pmid": "x", "sections": ["a", None]}, "no text: neither sections nor text"),
        ({"pmid": "x", "sections": "all in one"}, "no text: neither sections nor text"),
        ({"pmid": "x", "sections": {"AIM": "a"}}, "no text: neither sections nor text"),
        ({"pmid": "x", "sections": 5}, "no text: neither sections nor text"),
        ({"pmid": "7", "sections": ["again"]}, "duplicate id '7'"),
        (["7"], "not a JSON object: found a list"),
    ],
)
def test_malformed_abstract_is_quarantined_with_its_line_and_reason(tmp_path, record, reason):
    quarantine = Quarantine()
    found = read_abstracts(written(tmp_path, *GOOD[:10], record, *GOOD[10:]), quarantine)
    assert [p.text for p in found] == [f"Text {n}." for n in range(20)]
    assert [(row["line"], row["reason"]) for row in quarantine.rows] == [(11, reason)]


def test_too_many_malformed_abstracts_stop_the_reading(tmp_path):
    with pytest.raises(TooManyBadRows, match=r"2 of 22 rows are bad \(limit 5%\); the first: abstracts\.jsonl, row 1"):
        read_abstracts(written(tmp_path, {}, {}, *GOOD), Quarantine())


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jsonl does not exist"):
        read_abstracts(tmp_path / "nowhere.jsonl", Quarantine())
