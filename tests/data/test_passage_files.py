from __future__ import annotations

import csv
import gzip
import io
import json
import tempfile
import unicodedata
import zipfile
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marking import marked
from medal_csv import write_medal_csv
from medalist.data.inventory import Inventory
from medalist.data.passage_files import read_passages, write_jsonl, write_parquet
from medalist.data.passages import Mention, Passage
from medalist.data.rows import Quarantine, TooManyBadRows

SHARED = Path(__file__).parents[3] / "shared" / "data"
INVENTORY = Inventory.of(
    [
        ("RA", "rheumatoid arthritis", 3, None),
        ("RA", "right atrium", 2, None),
        ("CT", "computed tomography", 5, None),
        ("NF-kB", "nuclear factor kappa b", 1, None),
    ]
)
HEADER = "ABSTRACT_ID,TEXT,LOCATION,LABEL\n"
GOOD = [f"{number},pain in RA was seen,2,rheumatoid arthritis\n" for number in range(20)]
RECORD = {"id": "a", "text": "pain in RA", "mentions": [{"start": 8, "end": 10, "long_form": "right atrium"}]}


def written(folder: Path, content: str | bytes, name: str = "rows.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read_csv(folder: Path, *rows: str) -> list[Passage]:
    return read_passages(written(folder, HEADER + "".join(f"{row}\n" for row in rows)), INVENTORY, Quarantine(limit=0))


def test_word_index_becomes_character_offsets(tmp_path):
    [passage] = read_csv(tmp_path, "5,pain in RA was seen,2,rheumatoid arthritis")
    assert passage == Passage(
        id="5",
        text="pain in RA was seen",
        mentions=(Mention(start=8, end=10, short_form="RA", long_form="rheumatoid arthritis"),),
        source="medal",
    )


def test_rows_of_one_abstract_become_one_passage_in_text_order(tmp_path):
    [passage] = read_csv(tmp_path, "5,CT of the RA,3,right atrium", "5,CT of the RA,0,computed tomography")
    assert [(passage.surface(m), m.long_form) for m in passage.mentions] == [
        ("CT", "computed tomography"),
        ("RA", "right atrium"),
    ]


def test_an_abstract_substituted_in_two_ways_becomes_two_versions(tmp_path):
    passages = read_csv(
        tmp_path, "5,RA and computed tomography,0,right atrium", "5,right atrium and CT,3,computed tomography"
    )
    assert [(p.id, p.text) for p in passages] == [
        ("5", "RA and computed tomography"),
        ("5#2", "right atrium and CT"),
    ]


@pytest.mark.parametrize(
    ("text", "surface", "short_form"),
    [
        ("CTs were made", "CTs", "CT"),
        ('"(RA), then"', "RA", "RA"),
        ("RA.", "RA", "RA"),
        ("ra was seen", "ra", "RA"),
        ("NFkB was seen", "NFkB", "NF-kB"),
    ],
    ids=["plural", "brackets", "full stop", "lower case", "hyphen"],
)
def test_mention_marks_the_short_form_without_the_punctuation_around_it(tmp_path, text, surface, short_form):
    [passage] = read_csv(tmp_path, f"5,{text},0,some long form")
    [mention] = passage.mentions
    assert (passage.surface(mention), mention.short_form) == (surface, short_form)


def test_stray_spaces_in_a_label_are_dropped(tmp_path):
    [passage] = read_csv(tmp_path, "5,RA,0,  right  atrium ")
    assert passage.mentions[0].long_form == "right atrium"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("90,pain in RA,3,right atrium", "LOCATION 3 is outside the text (3 words)"),
        ("90,pain in RA,-1,right atrium", "LOCATION -1 is outside the text (3 words)"),
        ("90,pain in RA,two,right atrium", "LOCATION is not a whole number"),
        ("90,pain in RA," + "9" * 40 + ",right atrium", "LOCATION is outside the text (3 words)"),
        ("90,pain in RA,1,right atrium", "the word at LOCATION 1 is not a short form in the inventory"),
        ("90,pain in -- RA,2,right atrium", "the word at LOCATION 2 is not a short form in the inventory"),
        ("90,pain in ... RA,2,right atrium", "LOCATION 2 points at punctuation"),
        ("90,pain in RA,2, ", "empty LABEL"),
        ("90,pain in RA,2", "3 columns instead of 4"),
        ("90,pain, in RA,2,right atrium", "5 columns instead of 4"),
        ("0,pain in RA was seen,2,rheumatoid arthritis", "duplicate of an earlier row"),
        ("0,pain in RA was seen,2,right atrium", "an earlier row has another LABEL here"),
    ],
)
def test_malformed_row_is_quarantined_with_its_line_and_reason(tmp_path, row, reason):
    path = written(tmp_path, HEADER + "".join(GOOD[:10]) + row + "\n" + "".join(GOOD[10:]))
    quarantine = Quarantine()
    passages = read_passages(path, INVENTORY, quarantine)
    assert [p.id for p in passages] == [str(number) for number in range(20)]
    assert [p.mentions[0].long_form for p in passages] == ["rheumatoid arthritis"] * 20
    assert quarantine.total == 21
    assert quarantine.rows == [{"file": "rows.csv", "line": 12, "reason": reason}]


def test_row_that_is_not_utf_8_is_quarantined_and_its_neighbours_are_read(tmp_path):
    bad = "90,pain in RA of the caf\xe9,2,right atrium\n".encode("latin-1")
    path = written(tmp_path, HEADER.encode() + bad + "".join(GOOD).encode())
    quarantine = Quarantine()
    assert len(read_passages(path, INVENTORY, quarantine)) == 20
    assert [(row["line"], row["reason"]) for row in quarantine.rows] == [(2, "not UTF-8")]


def test_line_of_a_bad_row_is_the_one_an_editor_shows(tmp_path):
    path = written(tmp_path, HEADER + '1,"pain\nin RA",2,right atrium\n2,pain in RA,9,right atrium\n')
    quarantine = Quarantine(limit=1)
    read_passages(path, INVENTORY, quarantine)
    assert [row["line"] for row in quarantine.rows] == [4]


def test_one_bad_row_in_twenty_is_read_past_and_two_stop_the_reading(tmp_path):
    bad = "90,pain in RA,two,right atrium\n"
    assert len(read_passages(written(tmp_path, HEADER + bad + "".join(GOOD[:19])), INVENTORY)) == 19
    with pytest.raises(TooManyBadRows) as caught:
        read_passages(written(tmp_path, HEADER + bad * 2 + "".join(GOOD[:18])), INVENTORY)
    message = str(caught.value)
    assert message.startswith(
        "2 of 20 rows are bad (limit 5%); the first: rows.csv, row 2: LOCATION is not a whole number."
    )
    assert "\n" not in message


def test_a_file_of_only_bad_rows_is_too_many(tmp_path):
    with pytest.raises(TooManyBadRows, match="1 of 1 rows are bad"):
        read_passages(written(tmp_path, HEADER + "90,pain in RA,two,right atrium\n"), INVENTORY)


def test_blank_lines_and_a_byte_order_mark_are_no_bad_rows(tmp_path):
    path = written(tmp_path, ("\ufeff" + HEADER + GOOD[0] + "\n" + GOOD[1] + "\n\n").encode())
    assert [p.id for p in read_passages(path, INVENTORY, Quarantine(limit=0))] == ["0", "1"]
    path = written(tmp_path, ("\ufeff" + json.dumps(RECORD) + "\n\n").encode(), "rows.jsonl")
    assert [p.id for p in read_passages(path, INVENTORY, Quarantine(limit=0))] == ["a"]


def test_packed_files_read_like_plain_ones(tmp_path):
    content = (HEADER + "".join(GOOD)).encode()
    plain = read_passages(written(tmp_path, content), INVENTORY)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("full/rows.csv", content)
        file.writestr("__MACOSX/._rows.csv", b"\0")
        file.writestr("README.txt", b"hello")
    assert len(plain) == 20
    assert read_passages(written(tmp_path, gzip.compress(content), "rows.csv.gz"), INVENTORY) == plain
    assert read_passages(written(tmp_path, archive.getvalue(), "rows.csv.zip"), INVENTORY) == plain


def test_archive_of_two_tables_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "rows.zip", "w") as file:
        file.writestr("train.csv", HEADER)
        file.writestr("test.csv", HEADER)
    with pytest.raises(ValueError, match="contains 2 CSV files; unpack it and choose one"):
        read_passages(tmp_path / "rows.zip", INVENTORY)


@pytest.mark.parametrize("name", ["rows.csv.gz", "rows.jsonl.gz", "rows.zip", "rows.parquet"])
def test_file_that_was_cut_short_is_named(tmp_path, name):
    path = tmp_path / name
    if name == "rows.zip":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("rows.csv", HEADER + "".join(GOOD))
    elif name == "rows.parquet":
        write_parquet([marked("pain in [RA=right atrium]")], path)
    else:
        path.write_bytes(gzip.compress((HEADER + "".join(GOOD)).encode()))
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(ValueError, match=rf"{name} is .*truncated"):
        read_passages(path, INVENTORY, Quarantine(limit=1))


def test_open_quotation_mark_swallows_what_follows_but_not_the_whole_file(tmp_path):
    swallowed = "".join(f"{number},pain in RA was seen,2,rheumatoid arthritis\n" for number in range(100, 4_000))
    path = written(tmp_path, HEADER + GOOD[0] + '1,"pain' + swallowed + "".join(GOOD[2:]))
    quarantine = Quarantine(limit=1)
    passages = read_passages(path, INVENTORY, quarantine)
    assert [row["reason"] for row in quarantine.rows] == [
        "not CSV: a cell is longer than 131,072 characters; is a quotation mark not closed?"
    ]
    assert {p.id for p in passages} > {"0", "2", "3"}
    assert len(passages) + 1 == quarantine.total


def test_stray_carriage_return_costs_its_row_only(tmp_path):
    path = written(tmp_path, HEADER + GOOD[0] + "1,pain\rin RA,2,right atrium\n" + GOOD[2])
    quarantine = Quarantine(limit=1)
    assert [p.id for p in read_passages(path, INVENTORY, quarantine)] == ["0", "2"]
    assert [row["line"] for row in quarantine.rows] == [3]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "rows.xlsx",
            "x",
            "rows.xlsx has an unknown format. Known: .csv, .csv.gz, .zip, .jsonl, .jsonl.gz, .ndjson, .ndjson.gz, .par",
        ),
        ("rows.csv", "id,text\n1,RA\n", "not with MeDAL's columns ABSTRACT_ID,TEXT,LOCATION,LABEL"),
        ("rows.csv", "", "rows.csv is empty; a MeDAL table begins with ABSTRACT_ID"),
        ("rows.csv", HEADER, "rows.csv contains no passages"),
        ("rows.jsonl", "\n", "rows.jsonl contains no passages"),
    ],
)
def test_file_of_another_kind_is_refused_in_one_line(tmp_path, name, content, message):
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as caught:
        read_passages(written(tmp_path, content, name), INVENTORY)
    assert message in str(caught.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv does not exist"):
        read_passages(tmp_path / "nowhere.csv", INVENTORY)


def test_json_lines_need_only_offsets(tmp_path):
    record = {
        "id": 7,
        "text": "CTs of the RA and the XY",
        "mentions": [
            {"start": 11, "end": 13, "long_form": " right  atrium"},
            {"start": 0, "end": 3},
            {"start": 22, "end": 24},
        ],
    }
    [passage] = read_passages(written(tmp_path, json.dumps(record), "notes.jsonl"), INVENTORY)
    assert passage == Passage(
        id="7",
        text=record["text"],
        mentions=(
            Mention(start=0, end=3, short_form="CT"),
            Mention(start=11, end=13, short_form="RA", long_form="right atrium"),
            Mention(start=22, end=24, short_form="XY"),
        ),
        source="notes",
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"id": }', "not JSON from column 8 on"),
        (b"[1]", "not a JSON object: found a list"),
        (b'{"id": "b", "text": "caf\xe9"}', "not UTF-8: invalid continuation byte"),
        (b'{"id": "b", "text": "RA \\ud83d"}', "not UTF-8: surrogates not allowed"),
        (RECORD | {"id": "a0"}, "duplicate id"),
        (RECORD | {"id": None}, "empty id"),
        ({"text": "RA"}, "missing field 'id'"),
        ({"id": "b"}, "missing field 'text'"),
        ({"id": "b", "text": " "}, "empty text"),
        ({"id": "b", "text": 5}, "empty text"),
        ({"id": "b", "text": "RA", "mentions": [{"start": 0}]}, "missing field 'end'"),
        (
            {"id": "b", "text": "RA", "mentions": [{"start": 0, "end": 3}]},
            "mention 0-3 is outside the text (2 characters)",
        ),
        (
            {"id": "b", "text": "RA", "mentions": [{"start": 0, "end": "2"}]},
            "a mention's start and end must be whole numbers",
        ),
        (
            {"id": "b", "text": "RA", "mentions": [{"start": 0, "end": 2, "long_form": 5}]},
            "mention 0-2: short_form and long_form must be strings",
        ),
        ({"id": "b", "text": "RA", "mentions": [{"start": 0, "end": 2, "long_form": " "}]}, "empty long form"),
        (
            {"id": "b", "text": "RA", "mentions": [[0, 2]]},
            "mentions must be a list of objects with start, end and long_form",
        ),
        (
            {"id": "b", "text": "RA", "mentions": {"start": 0}},
            "mentions must be a list of objects with start, end and long_form",
        ),
        (
            {"id": "b", "text": "RA", "mentions": [{"start": False, "end": 2}]},
            "a mention's start and end must be whole numbers",
        ),
        ({"id": float("nan"), "text": "RA"}, "its id is neither text nor a number"),
        ({"id": ["b"], "text": "RA"}, "its id is neither text nor a number"),
        (b'{"id": "b", "text": "RA", "text": "CT"}', "a field stands twice in an object"),
        (
            {"id": "b", "text": "in RA", "mentions": [{"start": 2, "end": 4, "short_form": "RA"}]},
            "the text at 2-4 is not the short form that is given for it",
        ),
        (
            {"id": "b", "text": "in RA", "mentions": [{"start": 0, "end": 5}, {"start": 3, "end": 5}]},
            "passage b: the mention at 3-5 overlaps its neighbour or lies outside the text (5 characters)",
        ),
    ],
)
def test_malformed_json_line_is_quarantined_with_its_line_and_reason(tmp_path, line, reason):
    lines = [json.dumps(RECORD | {"id": f"a{number}"}).encode() for number in range(20)]
    lines.insert(10, line if isinstance(line, bytes) else json.dumps(line).encode())
    quarantine = Quarantine()
    passages = read_passages(written(tmp_path, b"\n".join(lines), "rows.jsonl"), INVENTORY, quarantine)
    assert [p.id for p in passages] == [f"a{number}" for number in range(20)]
    assert [(row["file"], row["line"], row["reason"]) for row in quarantine.rows] == [("rows.jsonl", 11, reason)]


def test_a_row_of_parquet_that_python_cannot_hold_costs_no_other_row(tmp_path):
    dates = pa.array([0, 5_000_000], pa.date32())
    pq.write_table(pa.table({"id": [7.0, 8.0], "text": ["RA", "RA"], "seen": dates}), tmp_path / "rows.parquet")
    quarantine = Quarantine(limit=1)
    assert [one.id for one in read_passages(tmp_path / "rows.parquet", INVENTORY, quarantine)] == ["7"]
    assert [(row["line"], row["reason"]) for row in quarantine.rows] == [(2, "not UTF-8, or a date out of range")]


def test_a_mark_without_offsets_is_the_next_place_of_its_short_form():
    text = "RA at rest, RAs seen, ra again; CTRA"
    rows = [{"short_form": "RA", "long_form": name} for name in ("room air", "right atrium")]
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), json.dumps({"id": "a", "text": text, "mentions": rows}), "notes.jsonl")
        [passage] = read_passages(path, INVENTORY)
    assert [(m.start, m.end, m.long_form) for m in passage.mentions] == [(0, 2, "room air"), (12, 15, "right atrium")]


def test_parquet_without_the_columns_names_the_missing_one(tmp_path):
    pl.DataFrame({"id": ["a"], "body": ["pain in RA"]}).write_parquet(tmp_path / "rows.parquet")
    with pytest.raises(TooManyBadRows, match=r"rows\.parquet, row 1: missing field 'text'"):
        read_passages(tmp_path / "rows.parquet", INVENTORY)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("RA in RA"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "text", "mentions", "start", "end", "short_form", "long_form"]), inner)
    ),
    max_leaves=12,
)
MARK = st.fixed_dictionaries(
    {"start": st.integers(-1, 9) | JSON, "end": st.integers(-1, 9)}, optional={"short_form": JSON, "long_form": JSON}
)
LINE = st.fixed_dictionaries({"id": JSON, "text": st.just("RA in RA") | JSON, "mentions": st.lists(MARK, max_size=2)})


@settings(max_examples=50, deadline=None)
@given(st.lists(JSON | LINE, min_size=1, max_size=4))
def test_any_json_line_is_either_read_or_quarantined(records):
    quarantine = Quarantine(limit=1)
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), "\n".join(map(json.dumps, records)), "rows.jsonl")
        passages = read_passages(path, INVENTORY, quarantine)
        quarantine.write(Path(folder) / "quarantine.jsonl")
    assert len(passages) + len(quarantine.rows) == quarantine.total == len(records)


@settings(deadline=None)
@given(st.binary(max_size=80) | st.text('a",\n1RA é', max_size=80).map(str.encode))
def test_any_row_of_a_table_is_either_read_or_quarantined(content):
    quarantine = Quarantine(limit=1)
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), HEADER.encode() + content + b"\n9,pain in RA,2,right atrium\n")
        passages = read_passages(path, INVENTORY, quarantine)
    assert sum(len(p.mentions) for p in passages) + len(quarantine.rows) == quarantine.total


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
PIECES = st.lists(
    st.tuples(WORDS, st.sampled_from(["RA", "CTs", "ra", "NFkB", "NF-kB"]), st.none() | st.sampled_from(["x", "α, β"])),
    max_size=4,
)


@st.composite
def passage(draw, number: int = 0, joint: str = "") -> Passage:
    """A passage with short forms between words; `joint` stands on either side of each short form."""
    text, mentions = draw(WORDS), []
    for before, surface, long_form in draw(PIECES):
        start = len(text) + len(before) + len(joint)
        text += before + joint + surface + joint
        mentions.append(
            Mention(start=start, end=start + len(surface), short_form=INVENTORY.key(surface), long_form=long_form)
        )
    return Passage(id=f"p{number}", text=text + "end", mentions=tuple(mentions), source="made")


@settings(max_examples=40, deadline=None)
@given(st.tuples(passage(1), passage(2)))
def test_passages_come_back_from_json_lines_and_parquet_as_they_were(passages):
    with tempfile.TemporaryDirectory() as folder:
        for name, write in (("p.jsonl", write_jsonl), ("p.parquet", write_parquet)):
            write(passages, Path(folder) / name)
            assert tuple(read_passages(Path(folder) / name, INVENTORY, Quarantine(limit=0))) == passages


@settings(max_examples=40, deadline=None)
@given(passage(joint=" "))
def test_gold_answers_come_back_from_medal_csv_as_they_were(passage):
    passage = Passage(
        id=passage.id,
        text=passage.text.replace("\0", " "),  # which no CSV holds
        mentions=tuple(m for m in passage.mentions if m.long_form is not None),
        source="medal",
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        write_medal_csv([passage], path)
        if passage.mentions and "\ufffd" not in passage.text:
            assert read_passages(path, INVENTORY, Quarantine(limit=0)) == [passage]
        with path.open(encoding="utf-8", newline="") as file:
            assert len(list(csv.reader(file))) == 1 + len(passage.mentions)


def test_parquet_opens_as_a_dataset(tmp_path):
    import datasets

    write_parquet([marked("pain in [RA=right atrium]")], tmp_path / "train.parquet")
    [row] = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "train.parquet"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert row["text"] == "pain in RA"
    assert row["mentions"] == [{"start": 8, "end": 10, "short_form": "RA", "long_form": "right atrium"}]


@pytest.mark.skipif(not SHARED.exists(), reason="the MeDAL sample is not part of the repository")
def test_the_official_sample_is_read_without_a_bad_row():
    quarantine = Quarantine()
    passages = read_passages(SHARED / "medal_sample.csv", Inventory.read(SHARED / "valid_adam.txt"), quarantine)
    assert (len(passages), sum(len(p.mentions) for p in passages), quarantine.rows) == (38, 151, [])


def test_ordinary_word_at_location_is_no_short_form_though_the_inventory_has_it_in_capitals(tmp_path):
    inventory = Inventory.of([("WAS", "wiskott aldrich syndrome", 1, None), ("RA", "room air", 1, None)])
    path = tmp_path / "medal.csv"
    rows = [
        "1,it was RA then,1,room air",
        "2,seen on ra then,2,room air",
        "3,it was WAS then,2,wiskott aldrich syndrome",
    ]
    path.write_text("ABSTRACT_ID,TEXT,LOCATION,LABEL\n" + "\n".join(rows) + "\n")
    quarantine = Quarantine(limit=1)
    passages = read_passages(path, inventory, quarantine)
    assert [passage.id for passage in passages] == ["2", "3"]
    assert quarantine.rows[0]["reason"] == "the word at LOCATION 1 is not a short form of the LABEL"


@pytest.mark.parametrize(
    ("text", "mention", "cause"),
    [
        ("On RA now.", {"start": 3, "end": 4}, "the last character seems to be counted in"),
        ("On RA now.", {"start": 4, "end": 6}, "the first character seems to be counted as 1"),
        ("\U0001f600 on RA now.", {"start": 6, "end": 8}, "UTF-16 units"),
        ("\u00e9\u00e9\u00e9\u00e9 on RA now.", {"start": 12, "end": 14}, "seem to count bytes"),
        ("\u00e9\u00e9 on RA now.", {"start": 8, "end": 10, "short_form": "RA"}, "seem to count bytes"),
        ("e\u0301 on RA now.", {"start": 5, "end": 7}, "accents composed (NFC)"),
        ("\u00e9\u00df on RA now.", {"start": 7, "end": 9}, "accents apart (NFD)"),
        ("Radiology", {"start": 0, "end": 3}, "begins or ends inside a word"),
    ],
)
def test_a_mark_inside_a_word_is_set_aside_with_the_likely_cause(text, mention, cause, tmp_path):
    path = written(tmp_path, json.dumps({"id": "a", "text": text, "mentions": [mention]}).encode(), "rows.jsonl")
    quarantine = Quarantine(limit=1)
    assert not read_passages(path, INVENTORY, quarantine)
    assert cause in quarantine.rows[0]["reason"]


def test_a_mark_without_its_plural_s_is_none_inside_a_word(tmp_path):
    line = {"id": "a", "text": "Both RAs.", "mentions": [{"start": 5, "end": 7}]}
    path = written(tmp_path, json.dumps(line).encode(), "rows.jsonl")
    assert read_passages(path, INVENTORY)[0].mentions[0].short_form == "RA"


@pytest.mark.parametrize(("typed", "key"), [("Pt", "PT"), ("DTRs", "DTR"), ("XYZ", "XYZ")])
def test_a_mark_may_name_its_short_form_as_it_is_typed(tmp_path, typed, key):
    inventory = Inventory.of([("PT", "patient", 1, None), ("DTR", "deep tendon reflex", 1, None)])
    mark = {"start": 0, "end": len(typed), "short_form": typed, "long_form": "whatever"}
    line = json.dumps({"id": "a", "text": f"{typed} here", "mentions": [mark]})
    assert read_passages(written(tmp_path, line, "notes.jsonl"), inventory)[0].mentions[0].short_form == key


@pytest.mark.parametrize("listed", ["NFC", "NFD"])
@pytest.mark.parametrize("written_as", ["NFC", "NFD"])
@pytest.mark.parametrize("marked_as", ["NFC", "NFD"])
def test_a_mark_matches_however_its_accents_were_typed(tmp_path, listed, written_as, marked_as):
    inventory = Inventory.of([(unicodedata.normalize(listed, name), "échographie", 1, None) for name in ("ÉC", "É")])
    text, short_form, long_form = (
        unicodedata.normalize(form, name)
        for form, name in ((written_as, "né, ÉCs"), (marked_as, "ÉC"), (marked_as, "échographie"))
    )
    start = text.index(",") + 2
    marks = [
        {"short_form": short_form, "long_form": long_form},
        {"short_form": short_form, "long_form": long_form, "start": start, "end": len(text)},
        {"long_form": long_form, "start": start, "end": len(text)},
    ]
    lines = [json.dumps({"id": str(n), "text": text, "mentions": [mark]}) for n, mark in enumerate(marks)]
    for passage in read_passages(written(tmp_path, "\n".join(lines), "notes.jsonl"), inventory, Quarantine(limit=0)):
        assert passage.mentions == (Mention(start=start, end=len(text), short_form="ÉC", long_form="échographie"),)


def test_offsets_may_be_written_as_pandas_writes_them_beside_empty_ones(tmp_path):
    record = {"id": "a", "text": "pain in RA", "mentions": [{"start": 8.0, "end": 10.0, "long_form": "room air"}]}
    [by_line] = read_passages(written(tmp_path, json.dumps(record), "notes.jsonl"), INVENTORY)
    table = "id,text,short_form,long_form,start,end\na,pain in RA,RA,room air,8.0,10.0\n"
    [by_row] = read_passages(written(tmp_path, table), INVENTORY)
    assert by_line.mentions == by_row.mentions == (Mention(start=8, end=10, short_form="RA", long_form="room air"),)
    record["mentions"][0]["start"] = 8.5
    quarantine = Quarantine(limit=1)
    read_passages(written(tmp_path, json.dumps(record), "notes.jsonl"), INVENTORY, quarantine)
    assert quarantine.rows[0]["reason"] == "a mention's start and end must be whole numbers"


@pytest.mark.parametrize(
    "marks",
    [
        {"entities": [[8, 10, "canary"]]},  # spaCy
        {"id": 1, "label": [[8, 10, "canary"]]},  # Doccano
        {"id": 1, "spans": [{"start": 8, "end": 10, "label": "canary"}]},  # Prodigy
        {"id": 1, "annotations": [{"result": []}]},  # Label Studio
        {"tokens": ["canary"], "ner_tags": [0]},  # data sets of the Hub
    ],
)
def test_marks_of_other_tools_are_not_taken_for_notes_without_marks(tmp_path, marks):
    quarantine = Quarantine(limit=1)
    path = written(tmp_path, json.dumps({"text": "pain in RA", **marks}), "notes.jsonl")
    assert not read_passages(path, INVENTORY, quarantine)
    reason = quarantine.rows[0]["reason"]
    assert reason.startswith(f"no mentions, but {list(marks)[-1]}, as in other tools' files: give each note mentions")
    assert "canary" not in reason
