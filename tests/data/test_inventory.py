"""Inventories: every format read, what is malformed refused, merging, mining.

Covers `inventory_files` too.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marking import marked
from medalist.data.inventory import Inventory, Sense
from medalist.data.inventory_files import adam_scores

SHARED = Path(__file__).parents[3] / "shared" / "data"
MEDAL = (
    "PREFERRED_AB\tVARIANT_AB\tEXPANSION\n"
    "CT\tCT:18|Ct:3\tcomputed tomography\n"
    "CT\tCT:40\tcontraction time \n"
    "CT\tCT:2\tcontraction time\n"
)
ADAM = (
    "####################\n# OVERVIEW\n####################\n"
    "*OH\t*OH:193|-*OH:3\thydroxyl radical:124:0.8791|hydroxyl radicals:72:0.8773\t0.8791\t196\n"
    "Ca:P\tCa:P:9\tratio 1:2 of calcium:9:0.5\t0.5\t9\n"
)
CAMI = (
    "GroupID|RecordID|SF|SFUI|NormSF|LF|LFUI|NormLF|Source|Modified\n"
    "G000001|R000001|RA|S000001|ra|right atrium|L000001|right atrium|UMLS|\n"
    "G000001|R000002|RA|S000001|ra|right atria|L000002|right atrium|Berman|modified\n"
    "G000002|R000003|RA|S000001|ra|room air|L000003||Berman|\n"
    "G000002|R000004|RA|S000001|ra|room air|L000003||Wikipedia|\n"
    "G000003|R000005|µg|S000002|g|microgram|L000004||Berman|\n"
)
CAMI_AUXILIARY = (
    "LF|GroupID|RecordID|UMLS.CUI|SF|SFUI|NormSF|LFUI|NormLF|Source|SFEUI|LFEUI|Type|PrefSF|Score|Count|Frequency\n"
    "right atrium|G1|R1||RA|S1|ra|L1||UMLS|E1|E2|acronym||||\n"
    'room air|G2|R2|"c0000001|c0000002"|RA|S1|ra|L2||Vanderbilt||||||7|0.5\n'
    "room air|G2|R3|null|RA|S1|ra|L2||ADAM||||RA|0.8|12|\n"
    "tenncare|G3|R4|null|TC|S2|tc|L3||Vanderbilt||||||3|0.4\n"
)


def read(folder: Path, content: str | bytes, name: str) -> Inventory:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return Inventory.read(path)


def test_medal_table_gives_counts_of_all_variants_most_frequent_first(tmp_path):
    inventory = read(tmp_path, MEDAL, "valid_adam.txt")
    assert inventory.senses == {
        "CT": (Sense(long_form="contraction time", count=42), Sense(long_form="computed tomography", count=21))
    }
    assert inventory.origin == "valid_adam.txt"


@pytest.mark.parametrize("name", ["adam", "adam.gz"])
def test_adam_gives_the_commonest_variant_of_each_long_form(tmp_path, name):
    inventory = read(tmp_path, gzip.compress(ADAM.encode()) if name.endswith("gz") else ADAM, name)
    assert inventory.senses == {
        "*OH": (Sense(long_form="hydroxyl radical", count=196),),
        "Ca:P": (Sense(long_form="ratio 1:2 of calcium", count=9),),
    }


@pytest.mark.parametrize("name", ["Metainventory_Version1.0.0.csv", "cami.txt", "cami.tsv", "cami.csv.gz"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte order mark"])
def test_meta_inventory_is_known_by_its_header_and_keeps_every_long_form(tmp_path, name, mark):
    content = (mark + CAMI).encode()
    inventory = read(tmp_path, gzip.compress(content) if name.endswith(".gz") else content, name)
    assert {short_form: inventory.long_forms(short_form) for short_form in inventory.senses} == {
        "RA": ("right atrium", "right atria", "room air"),
        "µg": ("microgram",),
    }
    assert all(sense == Sense(long_form=sense.long_form) for senses in inventory.senses.values() for sense in senses)


def test_auxiliary_meta_inventory_gives_counts_and_concepts_whatever_the_order_of_its_columns(tmp_path):
    header, _, rows = CAMI_AUXILIARY.partition("\n")
    quoted = "|".join(f'"{name}"' for name in header.split("|"))
    inventory = read(tmp_path, CAMI_AUXILIARY, "auxiliary.csv")
    assert read(tmp_path, f"{quoted}\n{rows}", "auxiliary.csv").senses == inventory.senses
    assert inventory.senses == {
        "RA": (
            Sense(long_form="room air", count=19, concept="c0000001|c0000002"),
            Sense(long_form="right atrium"),
        ),
        "TC": (Sense(long_form="tenncare", count=3),),
    }


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("own.csv", 'short_form,long_form,count,concept\nRA,"arthritis, rheumatoid",3,C0003873\nRA,right atrium,,\n'),
        (
            "own.csv",
            '\ufefflong_form,short_form,concept,count\n"arthritis,\r\nrheumatoid",RA,C0003873,3\r\nright '
            "atrium,RA,,\r\n",
        ),
        (
            "own.tsv",
            "short_form\tlong_form\tcount\tconcept\nRA\tarthritis, rheumatoid\t3\tC0003873\nRA\tright atrium\t0\t\n",
        ),
        (
            "own.json",
            json.dumps(
                [
                    {"short_form": "RA", "long_form": "right  atrium"},
                    {"short_form": "RA", "long_form": "arthritis, rheumatoid", "count": 3, "concept": "C0003873"},
                ]
            ),
        ),
    ],
    ids=["csv", "spreadsheet's csv", "tsv", "json"],
)
def test_glossary_of_each_kind_gives_the_same_inventory(tmp_path, name, content):
    assert read(tmp_path, content, name).senses == {
        "RA": (
            Sense(long_form="arthritis, rheumatoid", count=3, concept="C0003873"),
            Sense(long_form="right atrium"),
        )
    }


def test_json_object_lists_long_forms_in_order(tmp_path):
    inventory = read(tmp_path, '{"RA": ["right atrium", "room air"], "CT": "computed tomography"}', "own.json")
    assert inventory.long_forms("RA") == ("right atrium", "room air")
    assert inventory.long_forms("CT") == ("computed tomography",)
    assert inventory.long_forms("XY") == ()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("own.csv", "", "it is empty"),
        ("own.csv", "short_form,long_form\nCT,x\n,\nRA, \n", "line 4: no long_form"),
        ("own.csv", "short_form,long_form\n ,x\n", "line 2: no short_form"),
        ("own.json", '{"CT": "x", "RA": ""}', "entry 2: its short form or a long form is empty"),
        ("own.json", '{"CT": "x", "RA": []}', "entry 2: its short form or a long form is empty"),
        ("own.json", '{"CT": "x", "RA": "\\ud800"}', "entry 2: half a character"),
        ("own.csv", "short_form,long_form\n", "lists no senses"),
        ("own.csv", "short_form,long_form\nCT,ok\nRA,arthritis, rheumatoid\n", "line 3: more than 2 columns"),
        ("own.csv", "short_form,long_form,\nRA,arthritis, rheumatoid\n", "line 2: more than 2 columns"),
        ("own.csv", "short_form,long_form\nRA\n", "line 2: no long_form"),
        ("own.csv", 'short_form,long_form\nCT,ok\n"R\nA",\n', "line 3: no long_form"),
        ("own.csv", "short_form,long_form\nroom air of a ward,RA\nright atrium,RAt\n", "are the two columns swapped"),
        ("own.csv", "short_form,long_form,count\nRA,right atrium,3.5\n", "line 2: its count is not a whole number"),
        ("own.csv", "short_form,long_form,count\nRA,right atrium,many\n", "line 2: its count is not a whole number"),
        ("own.csv", b"short_form,long_form\nRA,\x81\n", "not utf-8 or cp1252: see byte 24. Save it as UTF-8"),
        ("own.csv", "short_form,long_form\n°C,é ×\n".encode() + b"RA,\xe9\n", "is UTF-8, but damaged: see byte"),
        (
            "cami.csv",
            CAMI + "G4|R6|CT|S4|ct|scan|head|L5||ADAM|\n",
            "line 7: more than 10 columns; put quotation marks around a cell with a |",
        ),
        ("cami.csv", CAMI + "G4|R6|CT\n", "line 7: no LF"),
        ("cami.csv", CAMI_AUXILIARY + "scan|G|R||CT|S|ct|L||ADAM|||||1|few|\n", "its count is not a whole number"),
        ("cami.csv", CAMI.replace("|LF|", "|Name|"), "SF, SFUI, NormSF, Name, "),
        ("own.json", "{", "line 1, column 2: not JSON"),
        ("own.json", "5", "a JSON glossary must be an object or a list"),
        ("own.json", '{"RA": [["right atrium"]]}', "entry 1: not a list of long forms"),
        ("own.json", '{"RA": null}', "entry 1: not a list of long forms"),
        ("own.json", '{"CT": ["a"], "RA": ["b"], "RA": ["c"]}', "entry 3 of an object has the key of an earlier one"),
        ("own.json", '{"short_form": "RA", "long_form": "room air"}', "it holds a single entry: put square brackets"),
        ("own.json", '[{"short_form": "RA", "long_form": "x", "concept": 1}]', "entry 1: its concept is not text"),
        ("own.csv", "short_form,long_form,count\nRA,x,-4\n", "line 2: its count is not between 0 and"),
        ("own.csv", b"PK\x03\x04" + b"\0" * 90, "own.csv is an Excel or Word file or another ZIP archive"),
        ("own.parquet", b"PAR1" + b"\0" * 90, "own.parquet is Parquet: call it .parquet if these are notes"),
        ("own.csv", "<!DOCTYPE HTML><p>Log in", "own.csv is a web page, whatever its name"),
        ("own.csv", "version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer, not the file itself"),
        ("own.csv.gz", "SECRET,b\n", "own.csv.gz is damaged or truncated (it is not gzipped). Download"),
        ("own.json", '[{"short": "RA"}]', "entry 1: it needs short_form and long_form"),
        (
            "own.json",
            '[{"short_form": "RA", "long_form": "x", "count": [1]}]',
            "entry 1: its count is not a whole number",
        ),
        ("valid_adam.txt", MEDAL + "CT\tCT:1\n", "line 5: 2 columns instead of 3"),
        ("adam", ADAM + "CT\tCT:1\n", "line 6: 2 columns instead of ADAM's 5"),
        ("adam", ADAM + "CT\tCT:1\tx:1:0\t0\tmany\n", "line 6: its count is not a whole number"),
        ("adam.gz", gzip.compress(ADAM.encode(), mtime=0)[:-9], "adam.gz is damaged or truncated"),
        ("adam.gz", b"ADAM", "adam.gz is damaged or truncated"),
    ],
)
def test_glossary_that_cannot_be_read_is_refused_in_one_line_with_its_place(tmp_path, name, content, message):
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as caught:
        read(tmp_path, content, name)
    assert str(tmp_path / name) in str(caught.value)
    assert message in str(caught.value)


def test_a_gzipped_glossary_is_read_whatever_its_name(tmp_path):
    content = gzip.compress(b"short_form,long_form\nRA,room air\n")
    assert read(tmp_path, content, "own.csv").senses == read(tmp_path, content, "own.csv.gz").senses


def test_missing_glossary_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv does not exist"):
        Inventory.read(tmp_path / "nowhere.csv")


CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ROWS = st.tuples(
    st.sampled_from(["RA", "CT"]) | CELLS,
    CELLS,
    st.integers(0, 99),
    st.none() | st.from_regex(r"C\d{3}", fullmatch=True),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ROWS, max_size=6))
def test_inventory_comes_back_from_its_file_as_it_was(rows):
    inventory = Inventory.of([("RA", "right atrium", 1, None), *rows])
    with tempfile.TemporaryDirectory() as folder:
        inventory.write(Path(folder) / "inventory.csv")
        back = Inventory.read(Path(folder) / "inventory.csv")
    assert list(back.senses.items()) == list(inventory.senses.items())


def test_equal_rows_add_up_and_keep_the_concept():
    inventory = Inventory.of(
        [
            (" RA", "right atrium", 2, None),
            ("RA", " right\u00a0 atrium", 2, "C1"),
            ("RA", "right atrium", 1, None),
            ("RA", "", 9, None),
            ("", "x", 9, None),
        ]
    )
    assert inventory.senses == {"RA": (Sense(long_form="right atrium", count=5, concept="C1"),)}
    assert len(inventory) == 1


def test_mined_inventory_counts_gold_answers_only():
    inventory = Inventory.mined([marked("[RA=room air] [RA=right atrium] [CT]"), marked("[RA=right atrium]")])
    assert [(s.long_form, s.count) for s in inventory.senses["RA"]] == [("right atrium", 2), ("room air", 1)]
    assert (inventory.count("RA", "right atrium"), inventory.count("RA", "rash"), inventory.count("CT", "x")) == (
        2,
        0,
        0,
    )
    assert "CT" not in inventory.senses


def listed(inventory: Inventory, short_form: str) -> list[tuple[str, int, str | None]]:
    return [(sense.long_form, sense.count, sense.concept) for sense in inventory.senses[short_form]]


def test_merging_joins_short_forms_and_adds_up_counts_most_frequent_first():
    one = Inventory.of(
        [("RA", "room air", 2, None), ("RA", "right atrium", 5, None), ("CT", "contraction time", 1, None)]
    )
    other = Inventory.of([("RA", "room air", 4, "C1"), ("MS", "mitral stenosis", 0, None)])
    merged = Inventory.merged(iter([one, other]), "both")
    assert list(merged.senses) == ["RA", "CT", "MS"]
    assert listed(merged, "RA") == [("room air", 6, "C1"), ("right atrium", 5, None)]
    assert merged.origin == "both"
    assert Inventory.merged([]).senses == {}


def test_merging_makes_variants_one_sense_under_the_spelling_seen_most_often():
    british = Inventory.of(
        [("Hb", "haemoglobin", 4, None), ("Hb", "Haemoglobins", 1, "C2"), ("Hb", "heart block", 9, None)]
    )
    american = Inventory.of([("Hb", "hemoglobin", 3, "C1"), ("HGB", "hemoglobin", 1, None)])
    merged = Inventory.merged([british, american])
    assert listed(merged, "Hb") == [("heart block", 9, None), ("haemoglobin", 8, "C2")]
    assert listed(merged, "HGB") == [("hemoglobin", 1, None)]
    # A spelling's count is its count in all inventories, not its highest in one.
    assert listed(Inventory.merged([british, american, american]), "Hb")[0][:2] == ("hemoglobin", 11)


def test_merging_keeps_the_first_spelling_and_the_first_place_where_counts_are_equal():
    one = Inventory.of([("RA", "right atrium", 0, None), ("RA", "rheumatoid arthritides", 0, None)])
    other = Inventory.of([("RA", "room-air", 0, None), ("RA", "Right Atrium", 0, None)])
    assert Inventory.merged([one, other]).long_forms("RA") == ("right atrium", "rheumatoid arthritides", "room-air")
    assert Inventory.merged([other, one]).long_forms("RA") == ("room-air", "Right Atrium", "rheumatoid arthritides")


def test_merging_keeps_signs_apart_that_have_no_letters():
    signs = Inventory.of([("x", "+", 1, None), ("x", "-", 1, None), ("x", "- ", 1, None)])
    assert listed(Inventory.merged([signs]), "x") == [("-", 2, None), ("+", 1, None)]


@pytest.mark.parametrize(
    ("surface", "key"),
    [
        ("CT", "CT"),
        ("CTs", "CT"),
        ("CT's", "CT"),
        ("CT’s", "CT"),
        ("copd", "COPD"),
        ("C.T.", "CT"),
        ("NFkB", "NF-kB"),
        ("Pt", "Pt"),
        ("PT", "PT"),
        ("PTs", "PTs"),
        ("pt", "Pt"),
        ("C T S", None),
        ("CTx", None),
        ("-", None),
        ("", None),
    ],
)
def test_key_of_a_short_form_as_written(surface, key):
    names = ["CT", "COPD", "NF-kB", "Pt", "PT", "PTs", "S"]
    assert Inventory.of([(name, "x", 0, None) for name in names]).key(surface) == key


@pytest.mark.skipif(not SHARED.exists(), reason="MeDAL's table and ADAM are not part of the repository")
def test_the_published_inventories_are_read_in_full():
    medal, adam = Inventory.read(SHARED / "valid_adam.txt"), Inventory.read(SHARED / "adam_database.gz")
    assert (len(medal), max(map(len, medal.senses.values()))) == (5_886, 68)
    # 24,005 rows, of which 22 differ from another by white space only
    assert sum(map(len, medal.senses.values())) == 23_983
    assert sum(map(len, adam.senses.values())) == 57_827


def test_adam_scores_are_read_by_pair_and_another_file_is_named(tmp_path):
    line = "AS\tAS:18|As:1\tactivated sludge:19:0.8449|activated sludges:2:0.1\t0.8449\t19\n"
    (tmp_path / "adam").write_text(f"#### ADAM\n{line}")
    assert adam_scores(tmp_path / "adam") == {("AS", "activated sludge"): 0.8449}
    (tmp_path / "other").write_text("a\tb\n")
    with pytest.raises(ValueError, match="other is not ADAM's database: line 1: 2 columns instead of ADAM's 5"):
        adam_scores(tmp_path / "other")


def test_merging_prefers_the_spelling_with_its_words_apart_to_a_fused_one_however_frequent():
    fused = Inventory.of([("AUC", "areaundercurve", 900, None), ("CT", "computed tomography", 2, None)])
    apart = Inventory.of([("AUC", "area under curve", 0, None), ("CT", "Computed Tomography", 5, None)])
    merged = Inventory.merged([fused, apart])
    assert merged.long_forms("AUC") == ("area under curve",)
    assert merged.long_forms("CT") == ("Computed Tomography",)
    assert merged.count("AUC", "area under curve") == 900


@pytest.mark.parametrize(
    "raw",
    [
        b"short_form;long_form\nRA;rest, area\n",
        b"\r\nsep=;\r\nshort_form;long_form\r\nRA;rest, area\r\n",
        b"Short form\tLong form\tWard\nRA\trest, area\t3\n",
        '\ufeffshort_form,long_form\r\nRA,"rest, area"\r\n'.encode(),
        'short_form,long_form,ward,ward\nRA,"rest, area",3,4\n'.encode("utf-16"),
        b"ward|long_form|short_form\n3|rest, area|RA\n",
        'short-form;Long Form;;\r\nRA;"rest, area";;\r\n;;;\r\n'.encode("utf-16-le"),
        'short_form,long_form\r\nRA ,"rest, area",,\r\n'.encode("utf-16-be"),
        'short_form,long_form\nRA,"rest,\xa0area"\n'.encode("cp1252"),
    ],
)
def test_a_glossary_may_be_as_spreadsheets_write_it(tmp_path, raw):
    (tmp_path / "own.csv").write_bytes(raw)
    (tmp_path / "own.csv.gz").write_bytes(gzip.compress(raw))
    for path in tmp_path.iterdir():
        inventory = Inventory.read(path)
        assert {key: inventory.long_forms(key) for key in inventory.senses} == {"RA": ("rest, area",)}


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        (["RA,room air", 'CT,"computed tomography', "MS,multiple sclerosis"], 3),
        (["RA,room air", 'CT,"computed tomography', 'MS,"multiple sclerosis"'], 3),
        (['RA,"room" air'], 2),
        ([*[f"A{n},name" for n in range(99)], '"RA,room air', *["CT,computed tomography"] * 9000], 101),
    ],
)
def test_a_quotation_mark_that_is_not_closed_swallows_nothing(tmp_path, rows, line):
    path = tmp_path / "own.csv"
    path.write_text("\n".join(["short_form,long_form", *rows]) + "\n")
    with pytest.raises(ValueError, match=rf"own\.csv: line {line}: .*a quotation mark (is )?not closed"):
        Inventory.read(path)


def test_a_column_that_stands_twice_is_refused(tmp_path):
    (tmp_path / "own.csv").write_text("short_form,long_form,Long form\nRA,room air,right atrium\n")
    with pytest.raises(ValueError, match=r"own\.csv: line 1: there are two columns long_form; remove one"):
        Inventory.read(tmp_path / "own.csv")


def test_json_that_is_none_names_the_line(tmp_path):
    (tmp_path / "own.json").write_text('{"RA": ["room air"],\n "CT": }')
    with pytest.raises(ValueError, match=r"own\.json: line 2, column 8: not JSON"):
        Inventory.read(tmp_path / "own.json")


def test_counts_may_be_written_as_pandas_writes_them_beside_empty_ones(tmp_path):
    (tmp_path / "own.csv").write_text("short_form,long_form,count\nRA,room air,3.0\nRA,right atrium,\n")
    assert Inventory.read(tmp_path / "own.csv").count("RA", "room air") == 3


@pytest.mark.parametrize("count", ["3.7", "true"])
@pytest.mark.parametrize("name", ["ours.json", "ours.csv"])
def test_a_count_that_is_no_whole_number_is_refused_in_each_format(tmp_path, name, count):
    entry = f'[{{"short_form": "RA", "long_form": "room air", "count": {count}}}]'
    table = f"short_form,long_form,count\nRA,room air,{count}\n"
    (tmp_path / name).write_text(entry if name.endswith("json") else table)
    with pytest.raises(ValueError, match="its count is not a whole number"):
        Inventory.read(tmp_path / name)


def test_a_count_that_pandas_wrote_as_a_float_is_whole(tmp_path):
    (tmp_path / "ours.json").write_text('[{"short_form": "RA", "long_form": "room air", "count": 3.0}]')
    assert Inventory.read(tmp_path / "ours.json").senses["RA"][0].count == 3
