"""MeDAL's tables as passages.

Covers `medal_rows` and `medal_tables` too.
"""

from __future__ import annotations

import csv
import gzip
import io
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medalist.data.inventory import Inventory
from medalist.data.passage_files import read_passages
from medalist.data.passages import Passage
from medalist.data.rows import Quarantine
from medalist.data.sources.medal import read_rows
from medalist.data.sources.medal_rows import read_table
from medalist.data.sources.medal_tables import Table, tables, text_id

INVENTORY = Inventory.of(
    [("RA", "rheumatoid arthritis", 3, None), ("RA", "right atrium", 2, None), ("CT", "x", 1, None)]
)
HEADER = "ABSTRACT_ID,TEXT,LOCATION,LABEL\n"
HUB = {
    "abstract_id": pa.int32(),
    "text": pa.string(),
    "location": pa.list_(pa.int32()),
    "label": pa.list_(pa.string()),
}


def written(folder: Path, content: str | bytes, name: str = "train.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def hub(folder: Path, *found: tuple[Any, ...], types: dict[str, Any] = HUB, name: str = "0000.parquet") -> Path:
    """A table in the Hub's layout."""
    columns = [pa.array([row[n] for row in found], kind) for n, kind in enumerate(types.values())]
    pq.write_table(pa.table(columns, names=list(types)), folder / name)
    return folder / name


def read(path: Path, quarantine: Quarantine | None = None) -> list[Passage]:
    """The passages of a table; without a quarantine, no row may be bad."""
    quarantine = quarantine or Quarantine(limit=0)
    passages = read_rows(path, INVENTORY, quarantine)
    quarantine.check()
    return passages


def rows(table: Table, quarantine: Quarantine) -> list[dict[str, Any]]:
    """The rows of a table."""
    return [row for batch in read_table(table, quarantine) for row in batch.to_pylist()]


def golds(passage: Passage) -> list[tuple[str, str | None]]:
    return [(passage.surface(mention), mention.long_form) for mention in passage.mentions]


def reasons(quarantine: Quarantine) -> list[tuple[str, int, str]]:
    return [(row["file"], row["line"], row["reason"]) for row in quarantine.rows]


@pytest.mark.parametrize(
    ("header", "number"),
    [("TEXT,LOCATION,LABEL", ""), (",TEXT,LOCATION,LABEL", "7,"), ("TEXT,LABEL,LOCATION", "")],
    ids=["as published", "with row numbers", "in another order"],
)
def test_full_data_joins_its_lists_and_has_no_ids(tmp_path, header, number):
    last = ("x|right atrium,0|3" if header.endswith("LOCATION") else "0|3,x|right atrium") + "\n"
    [passage] = read(written(tmp_path, f"{header}\n{number}CT of the RA,{last}", "full_data.csv"))
    assert golds(passage) == [("CT", "x"), ("RA", "right atrium")]
    assert passage.id == text_id("CT of the RA")


def test_the_id_of_a_text_stays_the_same_and_differs_from_others():
    assert text_id("CT of the RA") == "t95f4ec9aec30399"
    assert len({text_id(f"CT of the RA {n}") for n in range(100)}) == 100


@pytest.mark.parametrize(
    ("lists", "reason"),
    [
        ("0|3,x", "2 LOCATIONs for 1 LABELs"),
        ("0,x|right atrium", "1 LOCATIONs for 2 LABELs"),
        ("0|3|3,x|right atrium", "3 LOCATIONs for 2 LABELs"),
    ],
)
def test_lists_of_different_lengths_are_set_aside(tmp_path, lists, reason):
    content = f"TEXT,LOCATION,LABEL\nCT of the RA,{lists}\nin RA,1,right atrium\n"
    quarantine = Quarantine(limit=0.5)
    assert [p.text for p in read(written(tmp_path, content), quarantine)] == ["in RA"]
    assert reasons(quarantine) == [("train.csv", 2, reason)]


def test_one_bad_entry_of_a_list_does_not_cost_the_others(tmp_path):
    content = "TEXT,LOCATION,LABEL\nCT of the RA,0|1|3,x|x|right atrium\n"
    quarantine = Quarantine(limit=1)
    [passage] = read(written(tmp_path, content), quarantine)
    assert golds(passage) == [("CT", "x"), ("RA", "right atrium")]
    assert reasons(quarantine) == [("train.csv", 2, "the word at LOCATION 1 is not a short form in the inventory")]


def test_a_bar_in_a_table_with_ids_is_a_character_like_others(tmp_path):
    [passage] = read(written(tmp_path, HEADER + "5,in RA,1,a|b\n"))
    assert golds(passage) == [("RA", "a|b")]


def test_the_hubs_parquet_is_read_with_ids_and_without(tmp_path):
    path = hub(
        tmp_path,
        (7, "CT of the RA", [3], ["right atrium"]),
        (7, "CT of the RA", [0], ["x"]),
        (-1, "CT of the RA", [0, 3], ["x", "right atrium"]),
        (0, "in RA", [1], ["right atrium"]),
    )
    assert [(p.id, golds(p)) for p in read(path)] == [
        ("7", [("CT", "x"), ("RA", "right atrium")]),
        (text_id("CT of the RA"), [("CT", "x"), ("RA", "right atrium")]),
        ("0", [("RA", "right atrium")]),
    ]


@pytest.mark.parametrize("large", [pa.large_list(pa.int64()), pa.list_(pa.int64())])
def test_wider_types_do_as_well(tmp_path, large):
    types = HUB | {"abstract_id": pa.int64(), "text": pa.large_string(), "location": large}
    assert golds(read(hub(tmp_path, (7, "in RA", [1], ["right atrium"]), types=types))[0]) == [("RA", "right atrium")]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ((7, "CT of the RA", [0, 3], ["x"]), "2 LOCATIONs for 1 LABELs"),
        ((-1, "CT of the RA", [0], ["x", "right atrium"]), "1 LOCATIONs for 2 LABELs"),
        ((7, None, [0], ["x"]), "empty text, location or label"),
        ((7, "", [0], ["x"]), "empty text, location or label"),
        ((7, "CT", [], []), "empty text, location or label"),
        ((7, "CT", None, ["x"]), "empty text, location or label"),
        ((7, "CT", [0], [None]), "empty text, location or label"),
        ((7, "CT", [1], ["x"]), "LOCATION 1 is outside the text (1 words)"),
    ],
)
def test_malformed_row_of_the_hubs_parquet_is_set_aside_with_its_number(tmp_path, row, reason):
    path = hub(tmp_path, (1, "in RA", [1], ["right atrium"]), row, (2, "in RA", [1], ["right atrium"]))
    quarantine = Quarantine(limit=1)
    assert [p.id for p in read(path, quarantine)] == ["1", "2"]
    assert reasons(quarantine) == [("0000.parquet", 2, reason)]
    assert quarantine.total == 3


@pytest.mark.parametrize(
    "types",
    [
        {"id": pa.int32(), "text": pa.string(), "location": pa.list_(pa.int32()), "label": pa.list_(pa.string())},
        HUB | {"abstract_id": pa.string()},
        HUB | {"location": pa.int32()},
        HUB | {"label": pa.string()},
        HUB | {"label": pa.list_(pa.int32())},
    ],
    ids=["another name", "ids as text", "no list of locations", "no list of labels", "labels as numbers"],
)
def test_parquet_of_other_columns_is_refused_with_those_that_it_has(tmp_path, types):
    path = hub(tmp_path, types=types)
    told = ", ".join(f"{name} ({kind})" for name, kind in types.items()).replace("item:", "element:")  # as files say
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as caught:
        read(path)
    assert str(caught.value).startswith(f"{path} has the columns {told}, not abstract_id, text, location, label")


def test_parquet_that_was_cut_short_is_named(tmp_path):
    path = hub(tmp_path, (7, "in RA", [1], ["right atrium"]))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"0000\.parquet is not a Parquet file, or is truncated"):
        read(path)


def archive(folder: Path, name: str = "pretrain_subset.zip", **members: str) -> Path:
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as file:
        for member, content in members.items():
            file.writestr(f"pretrain_subset/{member}.csv", content)
        file.writestr("__MACOSX/._train.csv", "\0")
        file.writestr("README", "hello")
    return folder / name


def test_an_archive_holds_a_table_for_each_split(tmp_path):
    contents = {
        name: HEADER + f"{n},in RA,1,right atrium\n{n},in\n" for n, name in enumerate(["valid", "test", "train"])
    }
    found = tables(archive(tmp_path, **contents))
    assert [(table.name, table.file) for table in found] == [
        ("test", "test.csv"),
        ("train", "train.csv"),
        ("valid", "valid.csv"),
    ]
    quarantine = Quarantine(limit=1)
    assert [[row["abstract"] for row in rows(table, quarantine)] for table in found] == [["1"], ["2"], ["0"]]
    assert [(file, line) for file, line, _ in reasons(quarantine)] == [
        ("test.csv", 3),
        ("train.csv", 3),
        ("valid.csv", 3),
    ]


def test_a_table_is_called_by_its_file_without_endings_or_by_what_the_hub_calls_it(tmp_path):
    assert Table(tmp_path / "Train.csv.gz").name == "train"
    assert Table(tmp_path / "0000.parquet", split="validation").name == "validation"


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("train.csv", "", " is empty; a MeDAL table begins with ABSTRACT_ID,TEXT,LOCATION,LABEL"),
        (
            "train.csv",
            "id,body\n1,RA\n",
            " begins with the columns id, body, not with MeDAL's columns ABSTRACT_ID,",
        ),
        ("train.csv", "TEXT,LOCATION\n", " begins with the columns TEXT, LOCATION, not with MeDAL's columns"),
        ("train.csv", "x" * 10_000 + "\n1\n", " begins with the columns (1, not shown, since they may be text), not"),
        (
            "train.csv",
            b"\x89PNG\r\n\x1a\n\0\0",
            " begins with the columns (1, not shown, since they may be text)",
        ),
        (
            "train.csv",
            '"open\nand never closed',
            " begins with the columns (1, not shown, since they may be text)",
        ),
        (
            "train.csv.gz",
            gzip.compress((HEADER + "5,in RA,1,a\n" * 999).encode(), mtime=0)[:-9],
            " is damaged or truncated (",
        ),
        ("train.csv.gz", HEADER, " is damaged or truncated (it is not gzipped"),
        (
            "train.zip",
            b"PK\x03\x04 and no more",
            " is damaged or truncated (File is not a zip file). Download it again.",
        ),
    ],
)
def test_a_file_that_is_no_table_of_medals_is_told_in_one_short_line(tmp_path, name, content, told):
    path = written(tmp_path, content, name)
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as caught:
        [rows(table, Quarantine()) for table in tables(path)]
    assert str(caught.value).startswith(f"{path}{told}")
    assert len(str(caught.value)) < len(str(path)) + 200


def test_an_archive_of_another_layout_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"other\.zip contains no CSV file, so it is not one of MeDAL's archives"):
        tables(archive(tmp_path, "other.zip"))
    [table] = tables(archive(tmp_path, "columns.zip", train="id,body\n1,RA\n"))
    with pytest.raises(ValueError, match=r"columns\.zip, pretrain_subset/train\.csv begins with the columns id, body"):
        rows(table, Quarantine())


def test_a_damaged_member_of_an_archive_is_named(tmp_path):
    path = archive(tmp_path, train=HEADER + "".join(f"{n * n},in RA,1,right atrium\n" for n in range(2_000)))
    content = bytearray(path.read_bytes())
    content[2_000:2_010] = b"\xff" * 10
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"pretrain_subset\.zip is damaged or truncated \(.*\)\. Download it again\."):
        rows(tables(path)[0], Quarantine())


CELL = st.text('a1 ,"\n\r', max_size=6)
RECORDS = st.lists(st.lists(CELL, min_size=1, max_size=5), max_size=6)


def by_the_csv_module(content: str) -> list[tuple[int, list[str]]]:
    """What the standard library reads below the header, with the line that each record ends on: rows of four cells,
    and of the others how many they have."""
    reader = csv.reader(io.StringIO(content, newline="\n"))
    read = [(reader.line_num, record) for record in reader if record][1:]
    return sorted((line, cells if len(cells) == 4 else [f"{len(cells)} columns instead of 4"]) for line, cells in read)


def by_rows(content: str) -> list[tuple[int, list[str]]]:
    """The same by this package: rows of four cells, and the others from the quarantine."""
    quarantine = Quarantine()
    with tempfile.TemporaryDirectory() as folder:
        found = rows(Table(written(Path(folder), content)), quarantine)
    good = [(line, cells) for line, *cells in (row.values() for row in found)]
    assert quarantine.total == len(found) + len(quarantine.rows)
    return sorted(good + [(row["line"], [row["reason"]]) for row in quarantine.rows])


@settings(max_examples=150, deadline=None)
@given(RECORDS, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_records_and_lines_are_those_of_the_csv_module_whatever_is_in_quotes(records, end, blank):
    file = io.StringIO(newline="")
    file.write(HEADER)
    for record in records:
        quoting = csv.QUOTE_ALL if "\r" in "".join(record) else csv.QUOTE_MINIMAL
        csv.writer(file, lineterminator=end, quoting=quoting).writerow(record)
        file.write(end * blank)
    assert by_rows(file.getvalue()) == by_the_csv_module(file.getvalue())


@settings(max_examples=150, deadline=None)
@given(st.text('a,"\n', max_size=30))
def test_records_and_lines_are_those_of_the_csv_module_where_quotes_are_astray(content):
    assert by_rows(HEADER + content) == by_the_csv_module(HEADER + content)


def test_a_file_of_one_table_is_read_at_once(tmp_path):
    path = archive(tmp_path, train=HEADER + "5,in RA,1,right atrium\n")
    assert [golds(p) for p in read_passages(path, INVENTORY)] == [[("RA", "right atrium")]]
