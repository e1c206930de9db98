from __future__ import annotations

import pytest

from medalist.expansion.wording import in_place, with_article


def replaced(text: str, short_form: str, long_form: str) -> str:
    """The text with the short form replaced, its plural s aside the key."""
    start = text.index(short_form)
    end = start + len(short_form)
    article, written = in_place(text, start, end, short_form.removesuffix("s"), long_form)
    return with_article(text[:start], article) + written + text[end:]


@pytest.mark.parametrize(
    ("text", "short_form", "long_form", "expected"),
    [
        ("had an MI then", "MI", "myocardial infarction", "had a myocardial infarction then"),
        ("needs a U/S", "U/S", "ultrasound", "needs an ultrasound"),
        ("an LSCS, then", "LSCS", "lower segment cesarean section", "a lower segment cesarean section, then"),
        ("has a UTI", "UTI", "urinary tract infection", "has a urinary tract infection"),
        ("a XR and", "XR", "X-ray", "an X-ray and"),
        ("A ICU bed", "ICU", "intensive care unit", "An intensive care unit bed"),
        ("HAD AN MI", "MI", "myocardial infarction", "HAD A myocardial infarction"),
        ("hepatitis A IgG", "IgG", "immunoglobulin G", "hepatitis A immunoglobulin G"),
    ],
)
def test_the_article_agrees_with_what_follows(text, short_form, long_form, expected):
    assert replaced(text, short_form, long_form) == expected


@pytest.mark.parametrize(
    ("text", "short_form", "long_form", "expected"),
    [
        ("2 PVCs seen", "PVCs", "premature ventricular contraction", "2 premature ventricular contractions seen"),
        ("no ROMs", "ROMs", "range of motion", "no ranges of motion"),
        ("two MRIs", "MRIs", "magnetic resonance imaging", "two magnetic resonance imaging scans"),
        ("the bxs", "bxs", "biopsy", "the biopsies"),
        ("with ADLs", "ADLs", "activities of daily living", "with activities of daily living"),
        ("both IVs", "IVs", "intravenous", "both intravenous"),
    ],
)
def test_a_plural_stays_one(text, short_form, long_form, expected):
    assert replaced(text, short_form, long_form) == expected


@pytest.mark.parametrize(
    ("text", "short_form", "long_form", "expected"),
    [
        ("the HIV virus", "HIV", "human immunodeficiency virus", "the human immunodeficiency virus"),
        ("new MRI imaging", "MRI", "magnetic resonance imaging", "new magnetic resonance imaging"),
        ("low BP pressures", "BP", "blood pressure", "low blood pressures"),
        ("with acute AKI", "AKI", "acute kidney injury", "with acute kidney injury"),
        ("with DM, mellitus", "DM", "diabetes mellitus", "with diabetes mellitus, mellitus"),
    ],
)
def test_no_word_is_doubled(text, short_form, long_form, expected):
    assert replaced(text, short_form, long_form) == expected


@pytest.mark.parametrize(
    ("text", "short_form", "long_form", "expected"),
    [
        ("a 45yo man", "yo", "year-old", "a 45 year-old man"),
        ("HR 80", "HR", "heart rate", "Heart rate 80"),
        ("Stable. HR 80", "HR", "heart rate", "Stable. Heart rate 80"),
        ("Stable, HR 80", "HR", "heart rate", "Stable, heart rate 80"),
        ("ok\n Pt well", "Pt", "patient", "ok\n Patient well"),
        ("pt well", "pt", "patient", "patient well"),
        ("OK. MRNA", "MRNA", "mRNA", "OK. mRNA"),
    ],
)
def test_a_number_stands_apart_and_a_sentence_begins_with_a_capital(text, short_form, long_form, expected):
    assert replaced(text, short_form, long_form) == expected
