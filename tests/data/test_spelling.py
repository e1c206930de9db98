from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medalist.data.spelling import equivalence_key, tidy

SAME = [
    ("haemodialysis", "hemodialysis"),
    ("Haemodialysis Patients", "hemodialysis patient"),
    ("anaemia", "anemia"),
    ("acute lymphoblastic leukaemia", "acute lymphoblastic leukemia"),
    ("ischaemic stroke", "ischemic strokes"),
    ("paediatric index of mortality", "pediatric index of mortality"),
    ("faecal occult blood", "fecal occult blood"),
    ("general anaesthesia", "general anesthesia"),
    ("gastro-oesophageal reflux", "gastroesophageal reflux"),
    ("oesophageal varices", "esophageal varices"),
    ("angio-oedema", "angioedema"),
    ("lymphoedema", "lymphedema"),
    ("oestrogen receptor", "estrogen receptor"),
    ("foetal haemoglobin", "fetal hemoglobin"),
    ("chronic diarrhoea", "chronic diarrhea"),
    ("amenorrhoea", "amenorrhea"),
    ("obstructive sleep apnoea", "obstructive sleep apnea"),
    ("leucocyte count", "leukocyte count"),
    ("tumour necrosis factor", "tumor necrosis factor"),
    ("dietary fibre", "dietary fiber"),
    ("magnesium sulphate", "magnesium sulfate"),
    ("in situ hybridisation", "in situ hybridization"),
    ("standardised ratios", "standardized ratio"),
    ("differential scanning analyser", "differential scanning analyzer"),
    ("expanded programme", "expanded program"),
    ("nick-end labelling", "nick-end labeling"),
    ("non-steroidal drug", "nonsteroidal drugs"),
    ("alpha-fetoprotein", "alphafetoprotein"),
    ("low-density lipoprotein", "low density lipoproteins"),
    ("interleukin-2", "interleukin 2"),
    ("Crohn's disease", "Crohn disease"),
    ("antibodies", "antibody"),
    ("mass", "masses"),
    ("reflex", "reflexes"),
    ("branch", "branches"),
    ("cluster headaches", "cluster headache"),
    ("prostaglandin E(2)", "Prostaglandin E2"),
]


DIFFERENT = [
    ("rheumatoid arthritis", "right atrium"),
    ("mitral stenosis", "mitral regurgitation"),
    ("hypertension", "hypotension"),
    ("hyperkalaemia", "hypokalaemia"),
    ("vitamin B1", "vitamin B12"),
    ("interleukin-1", "interleukin-2"),
    ("1,2-dichloroethane", "12-dichloroethane"),
    ("phase 1 2 trial", "phase 12 trial"),
    ("left ventricle", "left ventricular"),
    ("malonitrile", "malononitrile"),
    ("intracranial pressure", "intracerebral pressure"),
    ("ileum", "ilium"),
    ("thrombosis", "thrombus"),
    ("gas", "ga"),
    ("rate", "rat"),
    ("mass", "mas"),
    ("thiamine", "thymine"),
    ("sulfate", "sulfite"),
    ("bronchitis", "bronchus"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_spelling_plural_and_hyphen_make_no_new_sense(one, other):
    assert equivalence_key(one) == equivalence_key(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_things_are_not_made_one(one, other):
    assert equivalence_key(one) != equivalence_key(other)


@given(st.text("aehimos- ", max_size=20))
def test_equivalence_ignores_case_and_the_space_around(text):
    assert equivalence_key(f" {text.upper()} ") == equivalence_key(text)


@given(st.text())
def test_tidying_twice_changes_nothing_more(text):
    tidied = tidy(text)
    assert tidy(tidied) == tidied
    assert tidied == tidied.strip()
    assert "".join(tidied.split()) == "".join(text.split())
