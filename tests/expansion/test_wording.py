from __future__ import annotations

import pytest

from medalist.expansion.wording import end_in_place, in_place, with_article


def replaced(text: str, short_form: str, long_form: str, key: str | None = None) -> str:
    """The text with the short form replaced, its plural s aside the key if no other one is given."""
    start = text.index(short_form)
    end = start + len(short_form)
    key = key or short_form.removesuffix("s")
    article, written = in_place(text, start, end, key, long_form)
    return with_article(text[:start], article) + written + text[end_in_place(text, start, end, key, long_form) :]


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
        ("with fie\u0300vre FE", "FE", "fièvre élevée", "with fie\u0300vre élevée"),
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
        ("now BP120/80", "BP", "blood pressure", "now blood pressure 120/80"),
        ("Stable. HR 80", "HR", "heart rate", "Stable. Heart rate 80"),
        ("Stable.\xa0HR 80", "HR", "heart rate", "Stable.\xa0Heart rate 80"),
        ("Stable, HR 80", "HR", "heart rate", "Stable, heart rate 80"),
        ("ok\n Pt well", "Pt", "patient", "ok\n Patient well"),
        ("pt well", "pt", "patient", "patient well"),
        ("OK. MRNA", "MRNA", "mRNA", "OK. mRNA"),
        ("Mild MR on TTE. s/p PVI", "s/p", "status post", "Mild MR on TTE. Status post PVI"),
        ("Wound clean. abx stopped", "abx", "antibiotics", "Wound clean. Antibiotics stopped"),
        ("Ward: 1. abx 2. Diet", "abx", "antibiotics", "Ward: 1. Antibiotics 2. Diet"),
        ("wound clean on TTE. abx stopped", "abx", "antibiotics", "wound clean on TTE. antibiotics stopped"),
        ("He had approx. abx then", "abx", "antibiotics", "He had approx. antibiotics then"),
        ("Hx of adm. abx then", "abx", "antibiotics", "Hx of adm. antibiotics then"),
        ("He ate. 2nd day", "2nd", "second", "He ate. second day"),
    ],
)
def test_a_number_stands_apart_and_a_sentence_begins_with_a_capital(text, short_form, long_form, expected):
    assert replaced(text, short_form, long_form) == expected


@pytest.mark.parametrize(
    ("text", "short_form", "long_form", "expected"),
    [
        ("Seen today: pt. looks well.", "pt", "patient", "Seen today: patient looks well."),
        ("Two pts. were sent home.", "pts", "patient", "Two patients were sent home."),
        ("pt. seen, no complaints", "pt", "patient", "patient seen, no complaints"),
        ("seen: pt. and wife. Well", "pt", "patient", "seen: patient and wife. Well"),
        ("ok so far.\npt. seen", "pt", "patient", "ok so far.\npatient seen"),
        ("Hx. of falls", "Hx", "history", "History of falls"),
        ("Wound approx. 5 cm", "approx", "approximately", "Wound approximately 5 cm"),
        ("told by the pt., who left", "pt", "patient", "told by the patient, who left"),
        ("(seen with pt.)", "pt", "patient", "(seen with patient)"),
        ("Well. Seen by the pt. and wife", "pt", "patient", "Well. Seen by the patient and wife"),
    ],
)
def test_the_full_stop_of_a_shortened_word_goes_with_it(text, short_form, long_form, expected):
    assert replaced(text, short_form, long_form) == expected


@pytest.mark.parametrize(
    ("text", "short_form", "long_form", "key", "expected"),
    [
        ("Discussed with pt. Agreed.", "pt", "patient", None, "Discussed with patient. Agreed."),
        ("Discussed with pt.", "pt", "patient", None, "Discussed with patient."),
        ("discussed with pt. agreed. home", "pt", "patient", None, "discussed with patient. agreed. home"),
        ("A walk. " * 15 + "and to pt. agreed", "pt", "patient", None, "A walk. " * 15 + "and to patient agreed"),
        ("a walk, " * 15 + "and to pt. agreed", "pt", "patient", None, "a walk, " * 15 + "and to patient. agreed"),
        ("Known copd. seen", "copd", "lung disease", "COPD", "Known lung disease. seen"),
        ("Known COPD. seen", "COPD", "emphysema", None, "Known emphysema. seen"),
        ("Give p.o. then", "p.o.", "by mouth", "po", "Give by mouth then"),
        ("pt.seen", "pt", "patient", None, "patient.seen"),
    ],
)
def test_a_full_stop_that_may_end_the_sentence_stays(text, short_form, long_form, key, expected):
    assert replaced(text, short_form, long_form, key) == expected


@pytest.mark.parametrize(
    ("text", "short_form", "long_form", "expected"),
    [
        ("seen 90 min later", "min", "minute", "seen 90 minutes later"),
        ("cough x2 d.", "d", "day", "cough x2 days."),
        ("for 6-12 mo for now", "mo", "month", "for 6-12 months for now"),
        ("gave 3 u PRBC", "u", "unit", "gave 3 units PRBC"),
        ("vit D 50,000 IU weekly", "IU", "international unit", "vit D 50,000 international units weekly"),
        ("vit D 1 IU", "IU", "international unit", "vit D 1 international unit"),
        ("drinks 10 u/wk", "u", "unit", "drinks 10 units/wk"),
        ("rest 1.5 h", "h", "hour", "rest 1.5 hours"),
        ("5 h\nthen home", "h", "hour", "5 hours\nthen home"),
        ("rest 1 h", "h", "hour", "rest 1 hour"),
        ("in 6 mo w/ CBC", "mo", "month", "in 6 months w/ CBC"),
        ("in 6 mo without", "mo", "month", "in 6 months without"),
        ("a 6 mo withdrawal", "mo", "month", "a 6 month withdrawal"),
        ("24 h urine", "h", "hour", "24 hour urine"),
        ("71 yr old", "yr", "year", "71 year old"),
        ("a 3 d-old", "d", "day", "a 3 day-old"),
        ("L4 d", "d", "day", "L4 day"),
        ("2 PVC, then", "PVC", "contraction", "2 contraction, then"),
        ("5 d/c", "d", "discharge", "5 discharge/c"),
    ],
)
def test_a_measure_behind_a_number_is_counted(text, short_form, long_form, expected):
    assert replaced(text, short_form, long_form) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3+ BLE edema", "3+ bilateral lower extremity edema"),
        ("BLE warm", "Bilateral lower extremities warm"),
        ("no BLE, edema", "no bilateral lower extremities, edema"),
    ],
)
def test_extremities_before_a_noun_are_singular(text, expected):
    assert replaced(text, "BLE", "bilateral lower extremities") == expected


@pytest.mark.parametrize(
    ("text", "short_form", "expected"),
    [
        ("Seen this PM by them", "PM", "Seen this PM by them"),
        ("Seen in the pm. and well", "pm", "Seen in the pm. and well"),
        ("Seen 4 PM by them", "PM", "Seen 4 post meridiem by them"),
    ],
)
def test_a_part_of_the_day_stays(text, short_form, expected):
    assert replaced(text, short_form, "post meridiem", "PM") == expected
