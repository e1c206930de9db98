from __future__ import annotations

import json
from pathlib import Path

import pytest

from medalist.data.rows import Quarantine, TooManyBadRows, json_records, shown_names


def test_summary_counts_reasons_whatever_their_figures():
    quarantine = Quarantine()
    for line, reason in enumerate(
        ["empty LABEL", "LOCATION 1,204 is outside the text (87 words)", "LOCATION 9 is outside the text (5 words)"], 2
    ):
        quarantine.add(Path("train.csv"), line, reason)
    assert list(quarantine.summary().items()) == [("LOCATION … is outside the text (… words)", 2), ("empty LABEL", 1)]


def test_quarantine_is_written_with_place_and_reason_alone(tmp_path):
    quarantine = Quarantine()
    quarantine.add(Path("a.parquet"), 3, "empty text")
    quarantine.write(tmp_path / "quarantine.jsonl")
    [row] = map(json.loads, (tmp_path / "quarantine.jsonl").read_text(encoding="utf-8").splitlines())
    assert row == {"file": "a.parquet", "line": 3, "reason": "empty text"}


def test_rows_that_several_workers_set_aside_count_together_but_not_those_of_no_use():
    parts = [Quarantine(limit=1) for _ in range(2)]
    for part in parts:
        part.add(Path("rows.csv"), 2, "empty text")
        part.add(Path("rows.csv"), 3, "unsure", bad=False)
    rows = json.loads(json.dumps([row for part in parts for row in part.rows]))
    Quarantine(limit=0.1, total=20, rows=rows).check()
    with pytest.raises(TooManyBadRows, match="2 of 20 rows are bad"):
        Quarantine(limit=0.09, total=20, rows=rows).check()


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["pid", "ward_2", "Note-Text"], "pid, ward_2, Note-Text"),
        (["Note text", "NOTE ID"], "Note text, NOTE ID"),
        (["17", "HIV"], "(2, not shown, since they may be text)"),
        (["n17", "John Smith HIV"], "(2, not shown, since they may be text)"),
        ([f"c{n}" for n in range(5000)], ", ".join(f"c{n}" for n in range(20)) + " and 4,980 more"),
        ([], "none"),
    ],
)
def test_columns_are_named_unless_they_may_be_the_cells_of_a_first_row(names, shown):
    assert shown_names(names) == shown


def test_a_number_with_thousands_of_digits_is_told_in_the_user_s_words(tmp_path):
    (tmp_path / "a.jsonl").write_text(f'{{"id": {"1" * 5000}}}\n')
    quarantine = Quarantine()
    assert list(json_records(tmp_path / "a.jsonl", quarantine)) == []
    assert [row["reason"] for row in quarantine.rows] == ["not a JSON object: a number has too many digits"]
