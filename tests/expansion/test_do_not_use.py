from __future__ import annotations

import csv
import time

import pytest

from medalist.expansion.do_not_use import _FILE, find_do_not_use, warned
from medalist.expansion.results import Expansion


def found(text: str) -> list[tuple[str, str]]:
    return [(text[w.start : w.end], w.notation) for w in find_do_not_use(text)]


def test_each_notation_of_a_list_of_drugs_is_found():
    text = "warfarin 5 mg QOD; lorazepam 1.0 mg, digoxin .5 mg, insulin qd"
    expected = [("QOD", "QOD"), ("1.0 mg", "trailing zero"), (".5 mg", "missing zero"), ("qd", "QD")]
    assert found(text) == expected


@pytest.mark.parametrize(
    ("text", "notation", "surface"),
    [
        ("insulin 10U nocte", "U", "10U"),
        ("heparin 5,000 u sc", "U", "5,000 u"),
        ("insulin 2U/h", "U", "2U"),
        ("vit D 400 IU", "IU", "400 IU"),
        ("aspirin Q.D., then", "QD", "Q.D."),
        ("aspirin q.d. Then", "QD", "q.d"),
        ("warfarin q.o.d.", "QOD", "q.o.d"),
        ("morphine 10.00mg", "trailing zero", "10.00mg"),
        ("dose 1.0 mg/kg", "trailing zero", "1.0 mg"),
        ("dose .25 mcg", "missing zero", ".25 mcg"),
        ("MS 4 mg IV", "MS", "MS"),
        ("4 mg of MS given", "MS", "MS"),
        ("MS IV push", "MS", "MS"),
        ("MSO4 2 mg", "MSO4", "MSO4"),
        ("MgSO4 2 g", "MgSO4", "MgSO4"),
        ("lidocaine 5 cc", "CC", "5 cc"),
        ("digoxin 125 µg", "µg", "125 µg"),
        ("digoxin 125 μg", "µg", "125 μg"),
        ("heparin SQ", "SQ", "SQ"),
        ("zolpidem 5 mg po hs", "HS", "hs"),
        ("quetiapine qhs", "QHS", "qhs"),
        ("tiw dressing", "TIW", "tiw"),
        ("d/c'd home", "d/c", "d/c'd"),
        ("gtt 1 OD", "OD", "OD"),
        ("drops OU", "OU", "OU"),
        ("midazolam 5 mg IN.", "IN", "IN"),
        ("HCT 25 mg", "HCT", "HCT"),
        ("on AZT", "AZT", "AZT"),
        ("MTX weekly", "MTX", "MTX"),
        ("regular insulin SSI", "SSI", "SSI"),
        ("hep 5000 I.U.", "IU", "5000 I.U."),
        ("lorazepam .5 - 1 mg", "missing zero", ".5 - 1 mg"),
        ("morphine 1.0-2.5 mg", "trailing zero", "1.0-2.5 mg"),
        ("gave MS04 4mg", "MSO4", "MS04"),
        ("ms 2 mg iv for pain", "MS", "ms"),
        ("fentanyl 50ug", "µg", "50ug"),
        ("enoxaparin 40mg sub-q", "SQ", "sub-q"),
        ("epoetin t.i.w.", "TIW", "t.i.w."),
        ("pred forte OS QID", "OS", "OS"),
        ("ofloxacin otic AS", "AS", "AS"),
        ("ramipril 2.5mg od", "OD", "od"),
        ("furosemide 40 mg PO OD", "OD", "OD"),
        ("Tamsulosin MR 400 OD", "OD", "OD"),
        ("Tab Pan 40 OD", "OD", "OD"),
        ("Adcal D3 ii OD, then", "OD", "OD"),
        ("stroke code, TPA at 1430", "tPA", "TPA"),
        ("TPA 0.9 mg/kg", "tPA", "TPA"),
        ("tPA.", "tPA", "tPA"),
        ("metformin QD 500 mg", "QD", "QD"),
        ("heparin sq - 5000", "SQ", "sq"),
        ("salbutamol 2 puffs o.d.", "OD", "o.d."),
        ("vit K 5 mg q6PM", "q6PM", "q6PM"),
        ("heparin 100000 units", "large number", "100000 units"),
        ("feed @ 50 mL/h", "@", "@"),
        ("give if < 10 units", "> and <", "<"),
        ("ZnSO4 220", "ZnSO4", "ZnSO4"),
        ("insulin SSRI", "SSRI", "SSRI"),
        ("nitro drip at 5", "nitro drip", "nitro drip"),
        ("insulin 10  U", "U", "10  U"),
        ("insulin 10\n    U at night", "U", "10\n    U"),
        ("a 10-U bolus", "U", "10-U"),
        ("vit D 5000 IUs", "IU", "5000 IUs"),
        ("ASPIRIN 81 MG PO Q D", "QD", "Q D"),
        ("WARFARIN 1.0 MG", "trailing zero", "1.0 MG"),
        ("warfarin 1,0 mg", "trailing zero", "1,0 mg"),
        ("vancomycin 1,000.0 mg", "trailing zero", "1,000.0 mg"),
        ("a 1.0-mg dose of 1.0 tab", "trailing zero", "1.0 tab"),
        ("DIGOXIN .5 MG", "missing zero", ".5 MG"),
        ("digoxin ,5 mg", "missing zero", ",5 mg"),
        ("take .5 tab, .5 % cream", "missing zero", ".5 %"),
        ("MS: 4 mg", "MS", "MS"),
        ("MS drip", "MS", "MS"),
        ("4 mg IV MS", "MS", "MS"),
        ("MS IV prn", "MS", "MS"),
        ("fluids 10cc/hr", "CC", "10cc"),
        ("5 c.c. of saline", "CC", "5 c.c."),
        ("heparin 5000 units SQ.", "SQ", "SQ"),
        ("enoxaparin s.q. daily", "SQ", "s.q."),
        ("trazodone 1 tab hs", "HS", "hs"),
        ("trazodone po hs", "HS", "hs"),
        ("tobramycin 1 drop od", "OD", "od"),
        ("timolol 1 gtt O.U.", "OU", "O.U."),
        ("on IV vanc", "IV vanc", "IV vanc"),
        ("penicillin 2.4M units", "K or M", "2.4M units"),
        ("gave Inderal40 mg", "no space", "Inderal40 mg"),
    ],
)
def test_a_notation_is_found_where_it_is_dangerous(text, notation, surface):
    assert (surface, notation) in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "known MS since 2004, MS plaques",
        "HCT 38 %, Hct 40",
        "creatinine 1.0 mg/dL, K 4.0 mmol/L, ALT 40 U/L, TSH 2.0 mIU/L",
        "version 1.0, size 1.0 cm, 3.05 mg, 10.5 mg, 0.5 mg, 1 mg",
        "U/A clean, type U, 10Units",
        "OD on paracetamol, OS 12 months, IN the ward, HS dual, SC joint",
        "5 mg IN 100 ml, 5 mg IN THE MORNING",
        "SSI after surgery, PCA running, ccs, qdx, the day",
        "c/d ratio, w/d/c, BIWEEKLY",
        "QTc 480 ms 4 mg ondansetron, 30 ms, ug 4",
        "VA 20/40 OD 20/25 OS, took OD of 20 tabs, od 2 cm, 9 mm OD tube",
        "BP >180, CRT <2 s, -> 5 mg, TSH <0.5 mU/L, glucose > 10 mmol/L, D-dimer < 5 mg/L",
        "a.b@50mlab.org, seen @ 1430, CF @ 2 ft, phone 100000, 10,000 units, on SSRI, insulin",
        "pt with MS IV methylprednisolone 1 g, MS PO intake good, PMH: MS, baclofen 20 mg",
        "5 U.S. states, 10 U waves, lipase 40 U / L, amylase 100 U/dL, hCG 1000 IU/mL, 10 U-shaped",
        "creat 1.0 mg per dL, 1.0 mg %, protein 1.0 g/24h, eGFR 60.0 mL/min, HCT 30 mg/dL",
        "BSA 1.73 sq m, 20 sq. ft, SQ cell ca, age 5 CC: cough, 5 mg hs-CRP, 500 mg OD attempt",
        "1,000 mg, 5,000 units, 2 tabs,5 mg each, ALT 140    U 5, iron deficiency 2 mg",
        "HD: Qb 300 Qd 500, QD: 800 mL/min, MTP sq +, MCP sq neg, seen by TPA. Home",
        "IOP 15 OD 16 OS, BCVA 20 OD, pressures 14 OD, 15 OS, bed 4 OD'd, Goldmann 12 od / 13 os",
        "",
    ],
)
def test_what_only_looks_like_one_is_left_alone(text):
    assert found(text) == []


def test_a_warning_says_why_what_to_write_and_who_says_so():
    [warning] = find_do_not_use("MS 4 mg")
    assert warning.to_dict() == {
        "start": 0,
        "end": 2,
        "notation": "MS",
        "means": "morphine sulfate",
        "why": "can also be magnesium sulfate",
        "instead": "morphine sulfate or magnesium sulfate",
        "source": "Joint Commission; ISMP",
    }


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("warfarin 5.0 mg", "5 mg"),
        ("morphine 10.00mg", "10 mg"),
        ("vancomycin 1,000.0 mg", "1,000 mg"),
        ("warfarin 1,0 mg", "1 mg"),
        ("morphine 1.0-2.5 mg", "1-2.5 mg"),
        ("lorazepam .5 - 1 mg", "0.5 - 1 mg"),
        ("digoxin ,25 mg", "0.25 mg"),
        ("hydrocortisone .5 %", "0.5 %"),
        ("insulin 20u", "20 units"),
        ("insulin 1 U", "1 unit"),
        ("insulin 10\n  U", "10 units"),
        ("vit D 400 I.U.", "400 international units"),
        ("heparin 100000 units", "100,000 units"),
        ("lidocaine 5 c.c.", "5 mL"),
        ("digoxin 125 µg", "125 mcg"),
        ("vit K 5 mg q 8 AM", "daily at 8 am"),
        ("cipro x5d", "for 5 days"),
        ("gave Inderal40mg", "Inderal 40 mg"),
        ("give if < 10 units", "less than"),
    ],
)
def test_what_to_write_is_made_from_what_stands_there(text, instead):
    assert [warning.instead for warning in find_do_not_use(text)] == [instead]


def test_both_warnings_about_one_dose_say_the_same():
    assert [warning.instead for warning in find_do_not_use("insulin .5U")] == ["0.5 units", "0.5 units"]


def test_the_reason_names_only_letters_that_stand_there():
    assert [warning.why for warning in find_do_not_use("heparin 5000 units SC, enoxaparin SQ")] == [
        "read as SL, sublingual",
        "the Q read as every",
    ]


def test_a_notation_that_two_patterns_find_is_named_once():
    assert found("latanoprost 1 drop OU qhs") == [("OU", "OU"), ("qhs", "QHS")]


def test_one_place_can_break_two_rules():
    assert sorted(found("insulin .5U")) == [(".5U", "U"), (".5U", "missing zero")]


def test_every_rule_is_complete_and_names_its_source():
    with _FILE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 30
    for row in rows:
        assert all(row.values()), row
        assert set(row["listed_by"].split("; ")) <= {"Joint Commission", "ISMP"}
    official = {row["notation"] for row in rows if "Joint" in row["listed_by"]}
    assert official == {"U", "IU", "QD", "QOD", "trailing zero", "missing zero", "MS", "MSO4", "MgSO4"}


@pytest.mark.parametrize(
    "part",
    [
        "TPA ",
        "IV ",
        "Tab 1 ",
        "1",
        "1,",
        ".",
        "A.",
        "5 mg ",
        "gtt ",
        "MS ",
        " ",
        "q",
        "x",
        ".5-",
        "@ 5",
        "<5",
        "ms 4",
        " \n",
        "1 \n",
        "ab1",
    ],
)
def test_time_is_linear_whatever_the_text(part):
    began = time.perf_counter()
    find_do_not_use(part * 50_000)
    assert time.perf_counter() - began < 5


def expansion(start, end):
    return Expansion(
        start=start,
        end=end,
        short_form="MS",
        key="MS",
        long_form=None,
        probability=1.0,
        alternatives=(),
        evidence="abstained",
        sure=False,
    )


def test_an_expansion_carries_the_warning_about_its_own_notation_only():
    text = "MS, MS 4 mg, qd MS"
    warnings = find_do_not_use(text)
    first, dangerous, daily, last = warned(
        [expansion(*span) for span in ((0, 2), (4, 6), (13, 15), (16, 18))], warnings
    )
    assert [first.warning, last.warning] == [None, None]
    assert (dangerous.warning.notation, daily.warning.notation) == ("MS", "QD")
