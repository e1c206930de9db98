from __future__ import annotations

import pytest

from medalist.data.inventory import Inventory
from medalist.data.passage_files import read_passages
from medalist.data.passages import Mention
from medalist.data.rows import Quarantine

INVENTORY = Inventory.of([("RA", "right atrium", 2, None), ("CT", "computed tomography", 5, None)])


def test_a_spreadsheet_has_a_row_for_each_marked_short_form(tmp_path):
    content = (
        "note_id;ward;note_text;short_form;long_form;start;end\n"
        '7;A;"RA 1; RAs";RA;room air;;\n'
        '7;A;"RA 1; RAs";RAs;right atrium;6;9\n'
        '7;A;"RA 1; RAs";RA;;;\n'  # no answer, no mark
        "8;A;a ct today;CT;computed tomography;;\n"
        "9;A;nothing here;;;;\n"
    )
    quarantine = Quarantine(limit=1)
    path = tmp_path / "marked.csv"
    path.write_bytes(content.encode("utf-16"))
    first, second, third = read_passages(path, INVENTORY, quarantine)
    assert [(first.text[m.start : m.end], m.short_form, m.long_form) for m in first.mentions] == [
        ("RA", "RA", "room air"),
        ("RAs", "RA", "right atrium"),
    ]
    assert (second.id, second.mentions) == (
        "8",
        (Mention(start=2, end=4, short_form="CT", long_form="computed tomography"),),
    )
    assert (third.text, third.mentions, quarantine.rows) == ("nothing here", (), [])


@pytest.mark.parametrize(
    ("name", "header", "end", "encoding"),
    [
        ("marked.csv", "Note ID;Note Text;Short form;Long-Form", "", "cp1252"),
        ("marked.csv", "sep=;\r\nNOTE_ID;NOTE_TEXT;SHORT_FORM;LONG_FORM", ";;", "utf-16-le"),
        ("marked.csv", "\r\nid;text;short_form;long_form;;", ";;", "utf-8-sig"),
        ("marked.tsv", "id\ttext\tshort_form\tlong_form", "", "utf-8"),
    ],
)
def test_a_spreadsheet_is_read_however_it_was_saved(tmp_path, name, header, end, encoding):
    mark = "\t" if name.endswith("tsv") else ";"
    row = mark.join(["7", '"37 °C; ""on""\r\nRA"', "RA", "room air"])
    (tmp_path / name).write_bytes(f"{header}\r\n{row}{end}\r\n{end}\r\n".encode(encoding))
    [passage] = read_passages(tmp_path / name, INVENTORY)
    assert (passage.id, passage.text) == ("7", '37 °C; "on"\r\nRA')
    assert [(mention.start, mention.long_form) for mention in passage.mentions] == [(13, "room air")]


def test_columns_without_a_name_are_no_ids(tmp_path):
    path = tmp_path / "marked.csv"
    path.write_text(";;text;short_form;long_form;;\n;;on RA;RA;room air;;\n;x;a CT;CT;computed tomography;;\n")
    assert [(passage.id, len(passage.mentions)) for passage in read_passages(path, INVENTORY)] == [("1", 1), ("2", 1)]


def test_a_damaged_byte_or_a_second_header_costs_only_its_own_row(tmp_path):
    header = b"id,text,short_form,long_form\n"
    notes = b"".join(f"{n},déjà on RA,RA,room air\n".encode() for n in range(3))
    path = tmp_path / "marked.csv"
    path.write_bytes(header + notes + b"8,d\xe9j\xe0 on RA,RA,room air\n" + header + b"9,on RA,RA,room air\n")
    quarantine = Quarantine(limit=1)
    assert [passage.id for passage in read_passages(path, INVENTORY, quarantine)] == ["0", "1", "2", "9"]
    assert [(row["line"], row["reason"]) for row in quarantine.rows] == [
        (5, "not UTF-8"),
        (6, "the header again, as where tables were joined"),
    ]


def test_a_row_of_several_lines_is_named_by_the_first(tmp_path):
    path = tmp_path / "marked.csv"
    path.write_text('id,text,short_form,long_form\n1,"two\nlines",RA,room air\n')
    quarantine = Quarantine(limit=1)
    read_passages(path, INVENTORY, quarantine)
    assert [row["line"] for row in quarantine.rows] == [2]
    path.write_text('id,text,short_form,long_form\n1,on RA,RA,room air\n2,"on RA,RA,room air\n3,on RA,RA,room air\n')
    with pytest.raises(ValueError, match=r"marked\.csv, line 3: a quotation mark is not closed"):
        read_passages(path, INVENTORY)


def test_a_column_that_stands_twice_is_refused(tmp_path):
    (tmp_path / "marked.csv").write_text("id,text,short_form,long_form,Short form\n7,on RA,RA,room air,CT\n")
    with pytest.raises(ValueError, match=r"marked\.csv has two columns short_form: rename or remove one$"):
        read_passages(tmp_path / "marked.csv", INVENTORY)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a,on XA,RA,room air,", "the short form does not stand in the text"),
        ("a,on XA,RA", "3 columns instead of 5"),
        ("a,,RA,room air,", "empty text"),
        ("b0,on CT,CT,computed tomography,", "an earlier row with this id has another text"),
        ("b0,on RA,RA,room air,", "the short form is marked more often than it stands in the text"),
        ("b0,on RA,RA,room air,3", "missing field 'end'"),
    ],
)
def test_a_bad_row_of_a_spreadsheet_is_set_aside_by_itself(tmp_path, row, reason):
    rows = ["id,text,short_form,long_form,start", *(f"b{n},on RA,RA,room air," for n in range(20)), row]
    quarantine = Quarantine()
    path = tmp_path / "marked.csv"
    path.write_text("\n".join(rows))
    passages = read_passages(path, INVENTORY, quarantine)
    assert [(p.id, len(p.mentions)) for p in passages if p.id != "a"] == [(f"b{n}", 1) for n in range(20)]
    assert [(found["line"], found["reason"]) for found in quarantine.rows] == [(22, reason)]


def test_an_offset_with_thousands_of_digits_is_no_whole_number(tmp_path):
    (tmp_path / "marked.csv").write_text(
        f"id,text,short_form,long_form,start,end\n7,on RA,RA,room air,{'1' * 5000},5\n8,on RA,RA,room air,3,5\n"
    )
    quarantine = Quarantine(limit=1)
    found = read_passages(tmp_path / "marked.csv", INVENTORY, quarantine)
    assert [(one.id, len(one.mentions)) for one in found] == [("7", 0), ("8", 1)]
    assert [row["reason"] for row in quarantine.rows] == ["a mention's start and end must be whole numbers"]
