"""Glossaries as hospitals keep them: what the columns may be called, and when no header is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from medalist.data.glossaries import LONG_FORM_NAMES, SHORT_FORM_NAMES, glossary_rows

DOCS = Path(__file__).parents[2] / "docs" / "glossary.md"


def pairs(text, separator=","):
    return [(short_form, long_form) for short_form, long_form, _, _ in glossary_rows(text, separator)]


@pytest.mark.parametrize(
    "header",
    [
        "Abbreviation,Expansion,Ward",
        "abbreviation,MEANING,Department",
        "ACRONYM,Definition,Notes",
        "Abbrev,Full form,Notes",
        "Abbr.,Full_Name,x",
        "Term,meaning,x",
        "Short,Long,x",
        "short name,long-name,x",
        "ShortForm,LongForm,Abbreviation",
        "short_form,Meaning,Abbreviation",
        "SF,LF,NormSF",
        "Abbreviations / Acronyms,Expanded  form(s),Source",
        "Initialism,full,long name of ward",
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_the_columns_may_have_any_usual_name_beside_others(header, mark, end):
    lines = [header, "RA,room air,3", ",,", "CT,computed tomography,"]
    assert pairs(end.join(lines).replace(",", mark)) == [("RA", "room air"), ("CT", "computed tomography")]
    swapped = [",".join(reversed(line.split(","))) for line in lines]
    assert pairs(end.join(swapped).replace(",", mark)) == [("RA", "room air"), ("CT", "computed tomography")]


def test_every_name_that_is_read_is_documented_and_named_where_it_is_missing():
    with pytest.raises(ValueError, match="columns are") as caught:
        pairs("a,b\n")
    for names in (SHORT_FORM_NAMES, LONG_FORM_NAMES):
        assert f" | {names} |" in DOCS.read_text(encoding="utf-8")
        assert names.replace(", ", " (or ", 1) in str(caught.value)
    for short in SHORT_FORM_NAMES.split(", "):
        for long in LONG_FORM_NAMES.split(", "):
            assert pairs(f"{short.upper()},{long.title()}\nRA,room air\n") == [("RA", "room air")]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            "Abbreviation,Term,Meaning",
            "line 1: Abbreviation and Term may each be the short form; call the right one short",
        ),
        (
            "Meaning,Acronym,Definition",
            "line 1: Meaning and Definition may each be the long form; call the right one long",
        ),
        (
            "Meaning,Acronym,Meaning",
            "line 1: Meaning and Meaning may each be the long form; call the right one long_form",
        ),
        ("Short form,short_form,Meaning", "line 1: there are two columns short_form; remove one"),
        ("Abbreviation,Meaning,count,Count", "line 1: there are two columns count; remove one"),
    ],
)
def test_two_columns_for_one_form_are_refused(header, message):
    with pytest.raises(ValueError, match=rf"\A{message}"):
        pairs(f"{header}\nRA,room air,right atrium\n")


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_two_columns_need_no_header_where_the_first_row_is_clearly_an_entry(mark):
    text = "RA,room air,,\r\nRx,prescription\r\n\r\n4WT,4 West Tower,,\r\nRA,room air\r\nq.d.,every day"
    assert pairs(text.replace(",", mark)) == [
        ("RA", "room air"),
        ("Rx", "prescription"),
        ("4WT", "4 West Tower"),
        ("RA", "room air"),
        ("q.d.", "every day"),
    ]


def test_without_a_header_the_separator_is_what_follows_the_short_form():
    assert pairs("4W;4, west, or 4 West\n") == [("4W", "4, west, or 4 West")]
    assert pairs("RA,rest; area; or atrium\n") == [("RA", "rest; area; or atrium")]


@pytest.mark.parametrize(
    "text",
    [
        "Abkürzung;Bedeutung\nRA;right atrium\nCT;computed tomography\n",
        "ABK;BEDEUTUNG\nRA;right atrium\nCT;computed tomography\n",
        "Abbreviation,Remark\nRA,right atrium\n",
        "Ward,Meaning\nRA,right atrium\n",
        "Abbreviation,Acronym\nRA,right atrium\n",
        "ID,Indication\n1,asthma\n2,right atrium\n",  # the letters fit by chance, but in no other row
        "rx,radiograph\nRA,right atrium\n",
        "Rx,prescription\n",
        "Pt,patient\nRA,right atrium\n",
        "pain in RA,pain in right atrium\n",
        "RA,right atrium,ICU\nCT,computed tomography,ICU\n",
        "SF,sugar free\nRA,right atrium\n",
        'RA,"right atrium\nCT,computed tomography\n',
        "RA right atrium\n",
        "RA\nCT\n",
    ],
)
def test_a_first_row_that_may_be_a_header_is_never_an_entry(text):
    with pytest.raises(
        ValueError, match=r"\Aline [12]: columns are .*a glossary's first line names .* write a line with"
    ):
        pairs(text)


def test_what_is_refused_says_which_columns_there_are():
    with pytest.raises(
        ValueError, match=r"\Aline 2: columns are Abkürzung, Bedeutung; a glossary's first line names short"
    ):
        pairs("\nAbkürzung;Bedeutung\nRA;Raumluft\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("RA,room air\nCT,computed tomography, scan\n", "line 2: more than 2 columns; put quotation marks"),
        ("RA,room air\nCT\nPT,patient\n", "line 2: no long_form"),
        ("RA,room air\n,computed tomography\nPT,patient\n", "line 2: no short_form"),
        ("RA,room air\nMeaning,Abbreviation\nCT,computed tomography\n", "line 2: a header, which only the first line"),
        ('RA,room air\nCT,"computed tomography\n', "line 2: a quotation mark is not closed"),
        (
            "Acronym,Meaning\nRA,room air\nAcronym,Meaning\n",
            "line 3: the header again, as where tables were joined; rem",
        ),
    ],
)
def test_a_row_that_is_no_entry_is_refused_with_its_line(text, message):
    with pytest.raises(ValueError, match=rf"\A{message}"):
        pairs(text)


def test_an_entry_may_be_about_the_names_of_columns():
    text = "Abbreviation,Meaning,Note\nabbr,abbreviation\nSF,short form\nLF,low frequency,term\n"
    assert pairs(text) == [("abbr", "abbreviation"), ("SF", "short form"), ("LF", "low frequency")]
