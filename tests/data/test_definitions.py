"""Definitions as authors write them, and what only looks like one.

Covers `letters`, `cut_words`, `short_forms` and `long_forms` too.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medalist.data.definitions import Definition, find_definitions, fits, is_short_form


def pairs(text: str) -> list[tuple[str, str]]:
    return [(d.short_form, d.long_form) for d in find_definitions(text)]


def pieces(text: str) -> list[tuple[str, str]]:
    """What each definition covers, and its short form as it stands there."""
    return [(text[d.start : d.end], text[d.short[0] : d.short[1]]) for d in find_definitions(text)]


@pytest.mark.parametrize(
    "covered",
    [
        "rheumatoid arthritis (RA)",
        "RA (rheumatoid arthritis)",
        "rheumatoid arthritis [RA]",
        "RA [rheumatoid arthritis]",
        "rheumatoid arthritis(RA)",
        "rheumatoid arthritis ( RA )",
        "rheumatoid arthritis (“RA”)",
        "rheumatoid arthritis (RA, n = 5)",
        "rheumatoid arthritis (RA; see text)",
        "rheumatoid arthritis (RA = 5)",
        "rheumatoid arthritis (RA=5)",
        "rheumatoid arthritis (RA: five)",
        "RA (rheumatoid arthritis, n = 5)",
        "RA (rheumatoid arthritis; see text)",
        "rheumatoid arthritis (RA, 1.2 [95 % CI 1.1-1.3])",
        "RA (rheumatoid arthritis, 12 [5 %] of all)",
    ],
)
def test_a_definition_covers_long_form_and_parenthesis_and_tells_where_its_short_form_stands(covered):
    text = f"Pain in {covered} was treated."
    assert pairs(text) == [("RA", "rheumatoid arthritis")]
    assert pieces(text) == [(covered, "RA")]


def test_definitions_come_in_order_each_with_the_words_behind_the_one_before():
    text = "The heart rate (HR) and blood pressure (BP) rose; MAP (mean arterial pressure) fell."
    assert pairs(text) == [("HR", "heart rate"), ("BP", "blood pressure"), ("MAP", "mean arterial pressure")]
    assert pairs("heart failure (HF) (HF)") == [("HF", "heart failure")]
    assert pairs("the relative (RR) and absolute (RD)") == []
    assert pairs("renal failure (RF) death score (FDS)") == [("RF", "renal failure")]


@pytest.mark.parametrize(
    ("text", "short_form", "long_form", "written"),
    [
        ("lymph nodes (LNs)", "LN", "lymph node", "LNs"),
        ("LNs (lymph nodes)", "LN", "lymph node", "LNs"),
        ("bronchial biopsies (BBs)", "BB", "bronchial biopsy", "BBs"),
        ("pelvic masses (PMs)", "PM", "pelvic mass", "PMs"),
        ("non-small-cell cancers (NSCCs)", "NSCC", "non-small-cell cancer", "NSCCs"),
        ("transient ischaemia (TIs)", "TI", "transient ischaemia", "TIs"),
        ("gall bladder stress (GBS)", "GBS", "gall bladder stress", "GBS"),
        ("lymph nodes (LN)", "LN", "lymph nodes", "LN"),
        ("antinuclear antibodies (ANAs)", "ANA", "antinuclear antibody", "ANAs"),
        ("cerebrovascular accidents (CVA's)", "CVA", "cerebrovascular accident", "CVA's"),
    ],
)
def test_plurals_of_both_become_singular_only_where_the_short_form_is_a_plural(text, short_form, long_form, written):
    [definition] = find_definitions(text)
    assert (definition.key, definition.sense) == (short_form, long_form)
    assert (definition.short_form, definition.long_form) == (written, text[slice(*definition.long)])
    assert pieces(text) == [(text, written)]


@pytest.mark.parametrize(
    ("text", "short_form", "long_form"),
    [
        ("pain on magnetic-resonance imaging (MRI)", "MRI", "magnetic-resonance imaging"),
        ("post-traumatic stress disorder (PTSD)", "PTSD", "post-traumatic stress disorder"),
        ("serum interleukin-2 (IL-2)", "IL-2", "interleukin-2"),
        ("serum IL-2 (interleukin 2)", "IL-2", "interleukin 2"),
        ("given 5-hydroxytryptamine (5-HT)", "5-HT", "5-hydroxytryptamine"),
        ("in type 2 diabetes mellitus (T2DM)", "T2DM", "type 2 diabetes mellitus"),
        ("tumor necrosis factor-alpha (TNF-alpha)", "TNF-alpha", "tumor necrosis factor-alpha"),
        ("of Escherichia coli (E. coli)", "E. coli", "Escherichia coli"),
        ("a raised messenger RNA (mRNA)", "mRNA", "messenger RNA"),
        ("with hypertension (HTN)", "HTN", "hypertension"),
        ("an electrocardiogram (ECG)", "ECG", "electrocardiogram"),
        ("the Straße rho (SR)", "SR", "Straße rho"),
        ("the double  spaced   words (DSW)", "DSW", "double spaced words"),
        ("of non-hypertension (HTN)", "HTN", "non-hypertension"),
        ("of pain/hypertension (HTN)", "HTN", "hypertension"),
        ("with (–)-epicatechin (EC)", "EC", "(–)-epicatechin"),
        ("(for hypertension (HTN))", "HTN", "hypertension"),
        ("(hypertension (HTN))", "HTN", "hypertension"),
        ("positron emission (tomography) (PET)", "PET", "positron emission (tomography)"),
        ("heart failure (HF [n = 5])", "HF", "heart failure"),
        ("heart failure (HF\u200b)", "HF", "heart failure"),
    ],
)
def test_hyphens_digits_and_letters_within_words_fit(text, short_form, long_form):
    assert pairs(text) == [(short_form, long_form)]


@pytest.mark.parametrize(
    ("text", "long_form"),
    [
        ("of sweat stress (SS)", "sweat stress"),
        ("left ventricular volume (LVV)", "left ventricular volume"),
        ("after early effects (EE)", "early effects"),
    ],
)
def test_words_that_begin_with_the_letters_are_preferred_to_a_shorter_stretch_that_holds_them(text, long_form):
    assert [name for _, name in pairs(text)] == [long_form]


def test_full_stops_belong_to_a_short_form_that_is_written_with_them():
    assert pieces("normal saline (N.S.)") == [("normal saline (N.S.)", "N.S.")]
    assert pairs("normal saline (N.S.), then") == [("N.S.", "normal saline")]
    assert pairs("normal saline (NS.)") == [("NS", "normal saline")]


@pytest.mark.parametrize("space", ["\n", "\r\n   ", " \n"])
def test_a_wrapped_line_goes_on_and_a_new_line_does_not(space):
    text = f"congestive heart{space}failure (CHF)"
    assert pairs(text) == [("CHF", "congestive heart failure")]
    assert pairs(f"congestive heart failure{space}(CHF)") == [("CHF", "congestive heart failure")]
    assert pairs(f"congestive heart{space}Failure (CHF)") == []
    [definition] = find_definitions(text)
    assert text[definition.long[0] : definition.long[1]] == f"congestive heart{space}failure"


def test_the_place_of_the_long_form_is_known_in_both_orders():
    for text in ("Two lymph nodes, (LNs) seen", "LNs (lymph nodes; seen)", "LNs ( lymph nodes )"):
        [definition] = find_definitions(text)
        assert text[slice(*definition.long)] == "lymph nodes"


def test_letters_within_words_are_matched_from_the_right():
    assert pairs("the hearing of heart failure patients (HFP)") == [("HFP", "heart failure patients")]
    assert pairs("heat shock and thyrotropin (TT)") == [("TT", "thyrotropin")]


@pytest.mark.parametrize(
    ("text", "long_form"),
    [
        ("the quality of life (QL)", "quality of life"),
        ("a length of the stay (LS)", "length of the stay"),
        ("diseases of head and neck (DHN)", "diseases of head and neck"),
        ("a quality of life (QOL)", "quality of life"),
    ],
)
def test_small_words_may_be_skipped_or_counted(text, long_form):
    assert [name for _, name in pairs(text)] == [long_form]


@pytest.mark.parametrize(
    "text", ["and heart rate (AHR)", "our aim (OA)", "their heart (TH)", "in vitro (IV)", "RA (of rats)"]
)
def test_a_long_form_does_not_begin_with_a_function_word(text):
    assert pairs(f"We saw {text}") == []


@pytest.mark.parametrize(
    ("initials", "letters_only"),
    [
        ("the odds ratio (OR)", "outer lower (OR)"),
        ("an intra-venous (IV)", "an innervation (IV)"),
        ("a chronic myelitis (cm)", "a coma (cm)"),
        ("the serum estrogen excess (SEE)", "the serum electrolytes (SEE)"),
        ("the odds ratio (OR)", "the odds big ratio (OR)"),
        ("the odds in ratio (OR)", "the odds ratio of (OR)"),
        ("the maximal inspiratory number (MIN)", "the minimal dose (MIN)"),
    ],
)
def test_a_short_form_that_is_mostly_something_else_needs_all_its_initials(initials, letters_only):
    assert len(pairs(initials)) == 1
    assert pairs(letters_only) == []


@pytest.mark.parametrize(
    "text",
    [
        "a number of them (n)",
        "the average (mean)",
        "the first (group)",
        "in the first group (group 1)",
        "groups according to age (Group A)",
        "the placebo had a sequel (Phase II)",
        "in mice (wild type)",
        "pain (see Table 1)",
        "of the sample (1995)",
        "we measured (in 12 patients) RA",
        "confidence interval (95% CI)",
        "a mean age (SD)",
        "of RA (RA)",
        "the RA group (RA)",
        "body mass index (kg/m2)",
        "Smith AB (Johns Hopkins)",
        "genes (p53)",
        "RA (juvenile rheumatoid arthritis)",
        "mRNA (a messenger RNA)",
        "In (indium nitrate)",
        "the systolic 120-140 index (SI)",
        "body mass > 30 index (BMI)",
        "(RA)",
        "rheumatoid arthritis ()",
        "rheumatoid arthritis (RA",
        "rheumatoid arthritis RA)",
    ],
)
def test_ordinary_parentheses_define_nothing(text):
    assert pairs(text) == []


@pytest.mark.parametrize("end", [".", "?", "!", ";", ":", ".\n"])
def test_a_long_form_does_not_reach_over_the_end_of_a_sentence(end):
    assert pairs(f"We saw rheumatoid{end} Arthritis (RA) hurts") == []
    assert pairs(f"We saw rats{end} Rheumatoid arthritis (RA) hurts") == [("RA", "Rheumatoid arthritis")]


def test_a_stop_within_a_name_ends_no_sentence():
    assert pairs("against E. coli toxin (ECT)") == [("ECT", "E. coli toxin")]


def test_of_nested_parentheses_the_inner_one_is_read():
    assert pairs("CT (after rheumatoid arthritis [RA] began)") == [("RA", "rheumatoid arthritis")]
    assert pairs("[of rheumatoid arthritis (RA)]") == [("RA", "rheumatoid arthritis")]
    assert pairs("rheumatoid (chronic arthritis (RA))") == []


def test_a_long_form_does_not_begin_within_a_word_however_long_the_text_before():
    before = "p" + "r" * 150 + " "  # the last 200 characters begin with an r
    text = before + "a" * 48 + " (RA)"
    assert pairs(text) == []
    assert pairs(f"{text} rheumatoid arthritis (RA)") == [("RA", "rheumatoid arthritis")]


@pytest.mark.parametrize(
    ("surface", "expected"),
    [
        ("RA", True),
        ("E. coli", True),
        ("p53", True),
        ("5-HT", True),
        ("TNF-α", True),
        ("R", False),
        ("ra", False),
        ("53", False),
        ("5ht", False),
        ("RA ", False),
        ("(RA", False),
        ("RA\nB", False),
        ("A B C", False),
        ("A" * 10, True),
        ("A" * 11, False),
        ("CRISPR-Cas9", True),
        ("A" + "-" * 14 + "A", False),
    ],
)
def test_a_short_form_has_2_to_10_letters_and_figures_at_most_two_words_and_a_capital_or_a_digit(surface, expected):
    assert is_short_form(surface) == expected


@pytest.mark.parametrize(
    ("short_form", "long_form", "expected"),
    [
        ("T3", "after", False),
        ("OD", "development", False),
        ("Bx", "biopsy", True),
        ("Tx", "treatment", True),
        ("Bx", "colonoscopy", False),
        ("HTN", "hypertension", True),
        ("RA", " rheumatoid  arthritis", True),
        ("RA", "juvenile rheumatoid arthritis", False),
        ("IL-2", "interleukin 2", True),
        ("CM", "cardiomyopathy", True),  # though "(CM)" in a text is mostly centimetres
        ("NG", "nasogastric", True),
        ("min", "minute", True),
        ("IV", "intravenous", True),
    ],
)
def test_a_short_form_fits_a_long_form_that_begins_with_its_first_letter_and_holds_the_others(
    short_form, long_form, expected
):
    assert fits(short_form, long_form) == expected


@pytest.mark.parametrize(
    ("text", "short_form", "long_form"),
    [
        ("the amino acid (aa) sequence", "aa", "amino acid"),
        ("at a multiplicity of infection (m.o.i.) of 4", "m.o.i.", "multiplicity of infection"),
        ("given intravenous (i.v.) fluids", "i.v.", "intravenous"),
        ("on the masseter (M) and", "M", "masseter"),
        ("nitrous oxide (N2O) was", "N2O", "nitrous oxide"),
        ("binding of lipoprotein(a) (Lp(a)) to", "Lp(a)", "lipoprotein(a)"),
        ("a rise (graft-versus-host disease, GVHD) was", "GVHD", "graft-versus-host disease"),
        ("of calcium/calmodulin-dependent kinase (CaMK) in", "CaMK", "calcium/calmodulin-dependent kinase"),
        ("the 1,3-beta-glucan synthase (GS) gene", "GS", "1,3-beta-glucan synthase"),
        ("of cytochrome c oxidase (COX) in", "COX", "cytochrome c oxidase"),
        ("after in vitro fertilization (IVF)", "IVF", "in vitro fertilization"),
        ("a dilated cardiomyopathy (CM)", "CM", "cardiomyopathy"),
        ("the five-factor model of personality (FFM)", "FFM", "five-factor model of personality"),
        ("coat protein complex II (COPII) vesicles", "COPII", "coat protein complex II"),
        ("the hormone (of the liver, 5 mg) and DNA-binding domain (DBD)", "DBD", "DNA-binding domain"),
    ],
)  # fmt: skip
def test_where_a_long_form_begins_and_what_may_stand_in_parentheses(text, short_form, long_form):
    assert pairs(text) == [(short_form, long_form)]


@pytest.mark.parametrize(
    ("text", "short_form", "long_form"),
    [
        ("a rheumatoid arthritis (also called RA) was", "RA", "rheumatoid arthritis"),
        ("a rheumatoid arthritis (abbreviated as RA) was", "RA", "rheumatoid arthritis"),
        ("a rheumatoid arthritis (hereafter RA) was", "RA", "rheumatoid arthritis"),
        ("a rheumatoid arthritis (or RA) was", "RA", "rheumatoid arthritis"),
        ("a rheumatoid arthritis (RA or CP) was", "RA", "rheumatoid arthritis"),
        ("of RA (for rheumatoid arthritis) was", "RA", "rheumatoid arthritis"),
        ("of RA (short for rheumatoid arthritis) was", "RA", "rheumatoid arthritis"),
        ("of Cnr (copy number regulation) was", "Cnr", "copy number regulation"),
        ("a two-dimensional (2D) scan", "2D", "two-dimensional"),
        ("of heat shock proteins (HSP70s) in", "HSP70s", "heat shock proteins"),
        ("a 70-kd heat shock protein (HSP70) in", "HSP70", "70-kd heat shock protein"),
        ("of type 1 Charcot-Marie-Tooth disease (CMT1) in", "CMT1", "Charcot-Marie-Tooth disease"),
        ("of human telomerase-associated protein (hTEP-1) in", "hTEP-1", "human telomerase-associated protein"),
        ("given 5'-N-ethylcarboxamidoadenosine (NECA) in", "NECA", "5'-N-ethylcarboxamidoadenosine"),
        ("given oral dexamethasone (dex) in", "dex", "dexamethasone"),
        ("a 15 nucleotide (nt) deletion", "nt", "nucleotide"),
        ("of disease/beige (bg) mice", "bg", "beige"),
        ("the laboratories (labs) of", "labs", "laboratories"),
    ],
)  # fmt: skip
def test_what_may_lead_to_the_other_form_and_what_figures_and_words_cut_off_may_stand_for(text, short_form, long_form):
    assert pairs(text) == [(short_form, long_form)]


@pytest.mark.parametrize(
    ("text", "short_form", "long_form"),
    [
        ("given intravenous (IV) fluids", "IV", "intravenous"),
        ("given intracerebroventricularly (icv) in rats", "icv", "intracerebroventricularly"),
        ("a bronchoscopy and bronchoalveolar lavage (BAL) in", "BAL", "bronchoalveolar lavage"),
        ("pyruvate and phosphoenolpyruvate (PEP) in", "PEP", "phosphoenolpyruvate"),
        ("the plasma pancreatic polypeptide (PP) was", "PP", "pancreatic polypeptide"),
        ("human galactose-1-phosphate uridyltransferase (GALT) in", "GALT", "galactose-1-phosphate uridyltransferase"),
        ("with 3'-azido-3'dideoxythymidine (AZT) in", "AZT", "3'-azido-3'dideoxythymidine"),
        ("the retinoblastoma (RB1) gene", "RB1", "retinoblastoma"),
    ],
)
def test_a_letter_may_stand_for_a_part_of_a_word(text, short_form, long_form):
    assert pairs(text) == [(short_form, long_form)]


@pytest.mark.parametrize(
    ("text", "short_form", "long_form"),
    [
        ("two forms, glutaric acidemia type II (GA2) is", "GA2", "glutaric acidemia type II"),
        ("in transforming growth factor-beta1 (TGF-β1) is", "TGF-β1", "transforming growth factor-beta1"),
        ("the serum 25-hydroxyvitamin D [25(OH)D] level", "25(OH)D", "25-hydroxyvitamin D"),
        ("the 1,25-dihydroxyvitamin D3 [1,25(OH)2D3] was", "1,25(OH)2D3", "1,25-dihydroxyvitamin D3"),
        ("the 17-hydroxyprogesterone (17-OHP) was", "17-OHP", "17-hydroxyprogesterone"),
        ("the 95% confidence interval (95% CI) was", "95% CI", "95% confidence interval"),
        ("15-hydroxy-5c,8c,11c,13t-eicosatetraenoic acid (15-HETE)", "15-HETE",
         "15-hydroxy-5c,8c,11c,13t-eicosatetraenoic acid"),
        ("polyinosinic:polycytidylic acid (poly I:C) was", "poly I:C", "polyinosinic:polycytidylic acid"),
        ("treatments to relieve depression (T*RD) were", "T*RD", "treatments to relieve depression"),
        ("in secondary Sjögren's syndrome (sSS) was", "sSS", "secondary Sjögren's syndrome"),
        ("factors in T cell leukemia (T-CL) and", "T-CL", "T cell leukemia"),
        ("the J paramyxovirus (JPV) genome", "JPV", "J paramyxovirus"),
        ("in transposition of the great arteries (TGA) is", "TGA", "transposition of the great arteries"),
        ("a time to treatment failure (TTF) was", "TTF", "time to treatment failure"),
        ("named the WAS protein (WASP) in", "WASP", "WAS protein"),
        ("blood urea, N-acetyl-glucosaminidase (NAG) was", "NAG", "N-acetyl-glucosaminidase"),
    ],
)  # fmt: skip
def test_what_numbers_greek_letters_and_single_letters_stand_for(text, short_form, long_form):
    assert pairs(text) == [(short_form, long_form)]


@pytest.mark.parametrize(
    ("text", "short_form", "long_form"),
    [
        ("with Clostridium difficile (C. difficile) was", "C. difficile", "Clostridium difficile"),
        ("the RNA polymerase II (RNA pol II) was", "RNA pol II", "RNA polymerase II"),
        ("a lack of alpha-galactosidase A (alpha-Gal A) in", "alpha-Gal A", "alpha-galactosidase A"),
        ("an estrogen receptor-positive (ER-positive) one", "ER-positive", "estrogen receptor-positive"),
        ("the phosphoinositide 3-kinase (PI 3-kinase) in", "PI 3-kinase", "phosphoinositide 3-kinase"),
        ("in atrial fibrillation (a-fib) with", "a-fib", "atrial fibrillation"),
        ("in atrial fibrillation (afib) with", "afib", "atrial fibrillation"),
        ("an insertion/deletion (indel) in", "indel", "insertion/deletion"),
        ("of mouse embryonic fibroblasts (mefs) in", "mefs", "mouse embryonic fibroblasts"),
        ("which is well differentiated (w-d) and", "w-d", "well differentiated"),
        ("the breathing frequency (f) in", "f", "frequency"),
        ("the intracellular Ca2+ concentration ([Ca2+]i) was", "[Ca2+]i", "intracellular Ca2+ concentration"),
        ("and extracellular pH (pHo) was", "pHo", "extracellular pH"),
    ],
)  # fmt: skip
def test_words_may_be_cut_off_and_short_forms_be_in_lower_case(text, short_form, long_form):
    assert pairs(text) == [(short_form, long_form)]


@pytest.mark.parametrize(
    ("text", "short_form", "long_form"),
    [
        ("had BCNU (1,3-bis-(2-chloroethyl)-1-nitrosourea) in", "BCNU", "1,3-bis-(2-chloroethyl)-1-nitrosourea"),
        ("and STAGA [SPT3-TAF(II)31-GCN5L acetylase] in", "STAGA", "SPT3-TAF(II)31-GCN5L acetylase"),
        ("potential duration at 90% recovery (PD(90)) was", "PD(90)", "potential duration at 90% recovery"),
        ("the heart (of rats [and of mice]) failure test (FT) was", "FT", "failure test"),
        ("had EGD (esophagogastroduodenoscopy) at", "EGD", "esophagogastroduodenoscopy"),
        ("a conserved SCF (Skp1-cullin-F-box) complex", "SCF", "Skp1-cullin-F-box"),
        ("with non-SLE (systemic lupus erythematosus) in", "SLE", "systemic lupus erythematosus"),
        ("(of the Wiskott-Aldrich syndrome protein, WASP) in", "WASP", "Wiskott-Aldrich syndrome protein"),
        ("of two (HR = heart rate) and", "HR", "heart rate"),
        ("of two (CHF, congestive heart failure) and", "CHF", "congestive heart failure"),
        ("on magnetic resonance imaging (MRI scan) of", "MRI", "magnetic resonance imaging"),
        ("two upstream open reading frames (uORF1 and uORF2) in", "uORF1", "upstream open reading frames"),
    ],
)  # fmt: skip
def test_parentheses_within_each_other_and_the_two_forms_in_other_orders(text, short_form, long_form):
    assert pairs(text) == [(short_form, long_form)]


@pytest.mark.parametrize(
    "text",
    [
        "in some patients (P = 0.02)",
        "of both drugs, respectively. (R)-methadone",
        "aspartyl-tRNA(Asp) and others",
        "in epithelial cells (A549) and epithelial controls (AEC)",
        "the same amount (as seen before)",
        "as a control (see text)",
        "for biological investigations (i.e., by trials)",
        "of extreme highs (e.g. mania)",
        "with acute myalgia (a.m.) only",
        "with Duchenne or Becker muscular dystrophy (DMD or BMD)",
        "the PDZ (PSD95/DLG/ZO-1) domains",
        "of Arf1 (arf1-3) alleles",
        "of four lysines in the H4 terminus (lysines 5, 8 and 12)",
        "hypothesized that overexpression of Cu/Zn-superoxide dismutase (h-SOD1)",
        "an oral antibiotic (nt)",
        "of one minute (min)",
        "the breast or ovarian cancers on 17q (BRCA1)",
        "with FGF, the receptor kinase (FGFRK)",
        "forms that are designated as type 1 (FDT1)",
        "had not received radiotherapy (HR = 3.3)",
        "the inflammatory biomarkers (IL-1b, IL-8)",
        "some estrogen and progesterone receptors (ER, PR)",
        "with chemokines (CXCL1, CXCL2, CCL2)",
        "a gamma-aminobutyric acid(A) receptor",
        "at normal [Na]o",
        "Na+-H+ and Cl(-)-OH-(HCO3-) exchange",
        "intracellular calcium and potassium ([K+]i)",
        "a short day (SD-12 h photoperiod)",
        "the site SLEVEPTIDE(pT)EAD",
        "protein of about 400-kDa (400 K)",
        "in mutants of H-Ras (Ras)",
        "swine influenza, H1N1 (H1N1pdm)",
        "exons vary from 94 (exon III) to 514 (exon VI)",
        "or cancer. - CT scan (CAT scan): a procedure",
        "a hyperplasia, such as - dutasteride (Avodart) - finasteride (Proscar)",
        "with PT (post-treatment)",
        "given IM (intermittent)",
        "and CT (contrast) today",
        "with HBV (HBsAg-negative)",
        "now (BP, better perfused)",
        "pt (seen 3x), BP (lying), Na (low), CT (abd), MI (2019), MRI (brain), DM (diet-managed)",
    ],
)
def test_what_only_looks_like_a_definition_is_none(text):
    assert pairs(text) == []


TEXTS = st.lists(
    st.sampled_from(
        ["rheumatoid", "arthritis", "lymph", "nodes", "of", "(LNs =", "(RA)", "(LNs)", "[RA; n = 5]", "RA", "(IL-2, x)"]
    )
    | st.sampled_from(
        ["(rheumatoid arthritis)", "interleukin-2", "LNs", "(lymph nodes)", "((", "]", ". The", "İß", "\n"]
    )
    | st.text("aR (s)-.2[]İß’", max_size=6),
    max_size=14,
).map(" ".join) | st.text(max_size=30)


@given(TEXTS)
def test_definitions_of_any_text_are_in_order_without_overlap_and_hold_their_forms(text):
    end = 0
    for definition in find_definitions(text):
        assert isinstance(definition, Definition)
        assert end <= definition.start <= definition.short[0] < definition.short[1] <= definition.end <= len(text)
        end = definition.end
        covered, written = text[definition.start : definition.end], text[slice(*definition.short)]
        assert definition.short_form == written
        assert definition.key in (written, written[:-1], written[:-2])
        assert covered[-1] in ")]" or covered.endswith((f", {written}", text[slice(*definition.long)]))
        assert " ".join(covered.split()).startswith((definition.long_form[:-1], written))
        assert definition.long_form == " ".join(definition.long_form.split()) != ""


@given(st.text(max_size=12), st.text(max_size=30))
def test_whether_any_two_texts_fit_is_told(short_form, long_form):
    assert fits(short_form, long_form) in (True, False)
