"""Which wordings are equivalent, and where the characters of a composed text stand.

Covers `word_forms` too.
"""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medalist.data.spelling import Composed, composed, equivalence_key, tidy
from medalist.data.word_forms import singular

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
    ("arterial blood gases", "arterial blood gas"),
    ("actinic keratoses", "actinic keratosis"),
    ("haem", "heme"),
    ("adrenocorticotrophic hormone", "adrenocorticotropic hormone"),
    ("gonadotrophins", "gonadotropin"),
    ("caesarian section", "cesarean section"),
    ("motor neurone disease", "motor neuron disease"),
    ("visual analogue scale", "visual analog scale"),
    ("leucopenia", "leukopenia"),
    ("aqueous humour", "aqueous humor"),
    ("favourable", "favorable"),
    ("centimetres", "centimeter"),
    ("metabolisable", "metabolizable"),
    ("necrotising", "necrotizing"),
    ("Valsalva manoeuvre", "Valsalva maneuver"),
    ("grey matter", "gray matter"),
    ("abdominal distension", "abdominal distention"),
    ("general practise", "general practice"),
    ("orthopnœa", "orthopnea"),
    ("herniated disk", "herniated disc"),
    ("mental state exam", "mental state examination"),
    ("every six hours", "every 6 hours"),
    ("six-minute walk", "6 minute walk"),
    ("twenty four hours", "24-hour"),
    ("seventy-two hours", "72 hours"),
    ("forced expiratory volume in one second", "forced expiratory volume in 1 second"),
    ("2nd degree", "second-degree"),
    ("21st", "twenty first"),
    ("thirty-second chair stand", "30 second chair stand"),
    ("two-second pause", "2 second pause"),
    ("quinazolin-4-one", "quinazolin 4 one"),
    ("dilation & curettage", "dilation and curettage"),
    ("Calmette-Gue\u0301rin", "calmette guerin"),
    ("Sjögren’s syndrome", "Sjogren syndrome"),
    ("Graves' disease", "Graves disease"),
    ("Ringer's lactate", "Ringer lactate"),
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
    ("antenatal", "antinatal"),
    ("interarticular", "intra-articular"),
    ("perineal", "peroneal"),
    ("mucus", "mucous"),
    ("arthritis", "arthrosis"),
    ("first", "second"),
    ("second", "2"),
    ("twenty-first", "20 first"),
    ("left", "right"),
    ("every 12 hours", "every 21 hours"),
    ("sixteen", "sixty"),
    ("twenty four", "20 4"),
    ("two 5 mg tablets", "25 mg tablets"),
    ("pyran-4-one", "pyran-4-1"),
    ("hypertrophy", "hypertropia"),
    ("neurotrophin", "neurotropin"),
    ("base", "basis"),
    ("diagnose", "diagnosis"),
    ("tests", "testes"),
    ("Mycoplasma pneumonia", "Mycoplasma pneumoniae"),
    ("typhi", "typhus"),
    ("media", "medium"),
    ("emboli", "embolism"),
    ("tonne", "ton"),
    ("analog", "anal"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_spelling_plural_and_hyphen_make_no_new_sense(one, other):
    assert equivalence_key(one) == equivalence_key(other)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_things_are_not_made_one(one, other):
    assert equivalence_key(one) != equivalence_key(other)


@pytest.mark.parametrize(
    "pair",
    "metastasis-metastases diagnosis-diagnoses analysis-analyses prosthesis-prostheses testis-testes "
    "crisis-crises axis-axes psoriasis-psoriases acidosis-acidoses vasculitis-vasculitides fibroma-fibromata "
    "index-indices matrix-matrices bacterium-bacteria ganglion-ganglia vertebra-vertebrae bronchus-bronchi "
    "streptococcus-streptococci virus-viruses lens-lenses disease-diseases dose-doses nose-noses "
    "glucose-glucoses purpose-purposes cheese-cheeses base-bases case-cases phase-phases kinase-kinases "
    "elastase-elastases exercise-exercises cause-causes media-media pylori-pylori influenzae-influenzae "
    "mucus-mucus".split(),
)
def test_a_plural_has_the_singular_of_its_language(pair):
    one, several = pair.split("-")
    assert (singular(one), singular(several)) == (one, one)


@given(st.text("aehimos- ", max_size=20))
def test_equivalence_ignores_case_and_the_space_around(text):
    assert equivalence_key(f" {text.upper()} ") == equivalence_key(text)


@given(st.text())
def test_tidying_twice_changes_nothing_more(text):
    tidied = tidy(text)
    assert tidy(tidied) == tidied
    assert tidied == tidied.strip()
    assert "".join(tidied.split()) == "".join(composed(text).split())


@given(st.text(st.sampled_from("ae\u00ad\u200b\u0301\u0327\u0308 \u1112\u1161\u11abcQ\u2126\u0958\ud83d"), max_size=12))
def test_every_character_of_a_composed_text_stands_where_its_parts_stand(text):
    whole = Composed.of(text)
    assert whole.text == unicodedata.normalize("NFC", re.sub("[\u00ad\u200b]", "", text))
    spans = [whole.span(at, at + 1) for at in range(len(whole.text))]
    covered = [at for start, end in spans for at in range(start, end)]
    assert covered == sorted(set(covered)), "in order, without overlap"
    assert all(text[at] in "\u00ad\u200b" for at in {*range(len(text))} - {*covered}), "nothing else is left out"
    for character, (start, _) in zip(whole.text, spans, strict=True):
        assert character not in "aeQ\u00e9\u00e4 " or text[start] == unicodedata.normalize("NFD", character)[0]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_are_equivalent_however_they_were_typed(form):
    assert equivalence_key(unicodedata.normalize(form, "Fièvre élevée")) == "fievreelevee"
    assert tidy(unicodedata.normalize(form, " é  é")) == "é é"
