from __future__ import annotations

import time

import pytest

from medalist.data.not_prose import in_other_language, outside_prose


def left_alone(test, text, *parts):
    return [part for part in parts if test(text)(text.index(part), text.index(part) + len(part))]


@pytest.mark.parametrize(
    ("text", "left", "read"),
    [
        ("mail s.ed@nhs.example.org re MS", ["s", "ed", "nhs"], ["re", "MS"]),
        ("www.ra.org/er?id=MS then RA", ["ra", "er", "MS"], ["RA"]),
        ("[x] HTN", ["x"], ["HTN"]),
        ("(X) PE", ["X"], ["PE"]),
        ("5 x 3, K+ 45 -> 60, BP >60", ["> 60"[:1]], ["x", "+"]),
        ("T-score <-2.5", [], ["<"]),
        ("a && hr <= 60", ["&", "<"], ["hr"]),
        ('{"dx": "HTN", "pt_id": 3}', ["dx", "pt"], ["HTN"]),
        ('<td class="pt">BP</td>', ["td", "pt"], ["BP"]),
        ("in MDA-MB-231, IL-6 and PT-0091-CR", ["MDA", "MB", "CR"], ["IL-6"]),
        ("BI-RADS-4, COVID-19, L4-L5-S1", [], ["BI-RADS", "COVID-19", "L4"]),
    ],
)
def test_only_a_part_of_what_is_no_prose_is_left_alone(text, left, read):
    assert left_alone(outside_prose, text, *left, *read) == left


@pytest.mark.parametrize(
    ("line", "is_other"),
    [
        ("Pat. in gutem AZ, HF 88, keine ST-Hebung, wurde mit ASS entlassen und bestellt.", True),
        ("Patient de 62 ans avec une TVP du MI gauche, sous AVK", True),
        ("Paciente con HTA. Se realiza TAC por dolor en la fosa.", True),
        ("HTN, DM, CAD, no CP. pt seen", False),
        ("Dr de la Cruz saw Mr van der Berg with MI, HF and RA.", False),
        ("MI per os, in situ, et al., de novo", False),
        ("RA. Post op D1. MET call x1. Pt is NBM. IVF, IV abx. BP 90/60.", False),
        ("Na 138, K 4.1, Cr 1.2. Echo: Ao root 3.7, no effusion. CHF.", False),
        ("GD: LES lax, LA grade B, PAS neg, bx x4.", False),
        ("CAD s/p DES to LAD, LA dilated, LES lax on EGD", False),
        ("RA on MTX. ALS crew gave epi IM. DAS 28 4.2.", False),
        ("na 138, post op, met call, la dilated, les lax, des to lad, para 2", False),
        ("PARA 4h, MHA AO. No. 2, DAS 28, LA DES, SEM, EM, COM, OS, AS", False),
        ("PACIENTE CON HTA, SE REALIZA TAC POR DOLOR EN LA FOSA DESDE AYER, SIN FIEBRE, UNA VEZ.", True),
        ("Pt. met een TIA, is opgenomen op de afdeling en werd niet behandeld.", True),
        ("RX torace: non versamenti, cuore nei limiti della norma, per il resto senza alterazioni.", True),
        ("Paciente com HAS e DM, em uso de AAS, não refere dor. Foi orientada pelo posto.", True),
        ("", False),
    ],
)
def test_a_line_in_another_language_is_known_by_its_function_words(line, is_other):
    assert in_other_language(line)(0, 2) is is_other


def test_each_line_counts_and_one_with_few_words_goes_with_the_whole_text():
    text = "The patient was seen with an MI in May.\nPaciente con HTA, se realiza TAC por la fosa del MI.\nDM 2"
    assert [
        in_other_language(text)(at, at + 2) for at in (text.index("MI in"), text.index("HTA"), text.index("DM"))
    ] == [
        False,
        True,
        False,
    ]
    german = "Der Pat. wurde mit HF 88 und RR 110 aufgenommen, keine Blutung.\nMI 2018"
    assert in_other_language(german)(german.index("MI"), german.index("MI") + 2)


@pytest.mark.parametrize("part", ["a", "a.", "a@", "www.", "A-", "1-", "<a ", '"a', "_a", "-", "\n", "der "])
def test_time_is_linear_whatever_the_text(part):
    began = time.perf_counter()
    outside_prose(part * 30_000)
    in_other_language(part * 30_000)
    in_other_language("seen RA." + part * 30_000)  # with a word in lower case, starts of sentences are looked for
    assert time.perf_counter() - began < 2
