"""Tables: header, separator and rows, in every spelling that spreadsheets have."""

from __future__ import annotations

import io

import pytest

from medalist.data.rows import Quarantine
from medalist.data.tables import column_names, open_table, read_table, table_records


def table_of(text, **options):
    return read_table(io.StringIO(text, newline=""), **options)


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_header_and_rows_are_told_apart_by_any_usual_separator(mark, end):
    rows = ["", '"a name"_b_', "1_2", "", '"x\nx"_4__', "_", "5_6_7"]
    table = table_of(end.join(row.replace("_", mark) for row in rows))
    assert (table.names, table.separator, table.line) == (["a name", "b"], mark, 2)
    assert list(table.rows) == [(3, ["1", "2"]), (5, ["x\nx", "4"]), (7, ["", ""]), (8, ["5", "6", "7"])]


def test_the_separator_is_the_one_that_gives_the_wanted_columns():
    header = "text; with; semi; colons,b"
    assert table_of(header).names == ["text", " with", " semi", " colons,b"]
    assert table_of(header, wanted=lambda names: "b" in names).names == ["text; with; semi; colons", "b"]
    assert table_of("a;b,c").names == ["a;b", "c"]
    assert table_of("a;b,c", separator=";").names == ["a", "b,c"]
    assert table_of("sep=,\na;b;c,d\n").names == ["a;b;c", "d"]


def test_an_empty_table_has_no_names(tmp_path):
    assert table_of("\n \nsep=;\n").names == []
    (tmp_path / "t.csv").write_bytes(b"\n")
    assert column_names(tmp_path / "t.csv") == []
    with pytest.raises(ValueError, match=r"t\.csv is empty"), open_table(tmp_path / "t.csv"):
        pass


def test_a_row_that_never_ends_is_named_by_the_line_on_which_it_begins(tmp_path):
    text = "a,b\n1,2\n\n" + '3,"4\n' + "5,6\n" * 99_999
    with pytest.raises(ValueError, match=r"\Aline 4: a quotation mark is not closed"):
        list(table_of(text).rows)
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=r"t\.csv, line 4: a quotation mark"), open_table(tmp_path / "t.csv") as table:
        list(table.rows)


def test_a_header_may_hold_as_much_as_a_note():
    assert table_of(f"{'a' * 200_000},b\n").names == ["a" * 200_000, "b"]


def test_rows_of_empty_cells_are_no_bad_rows(tmp_path):
    (tmp_path / "t.csv").write_text("a;b;c\n1;2;3\n;;\n ;\n4;5\n")
    quarantine = Quarantine()
    found = list(table_records(tmp_path / "t.csv", quarantine, lambda names: "b" in names))
    assert found == [(2, {"a": "1", "b": "2", "c": "3"})]
    assert (quarantine.total, [row["line"] for row in quarantine.rows]) == (2, [5])
