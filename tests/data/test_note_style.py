"""Prose typed as a note keeps its marks where they belong and is the same every time."""

import re

import pytest

from marking import marked
from medalist.corpora.kept_apart import written_passages
from medalist.data.note_style import as_note, british
from medalist.data.passages import Passage
from medalist.data.word_forms import plain_word

TEXT = (
    "The patient has [CHF=congestive heart failure] and was given three doses of [LASIX=furosemide] because of edema. "
    "She had a hemoglobin below ten. There was no evidence of [PE=pulmonary embolism], and the pediatric tumor "
    "was small."
)


def notes(count=80):
    made = marked(TEXT)
    return [
        as_note(Passage(id=str(n), text=made.text, mentions=made.mentions), seed=0, share=0.6) for n in range(count)
    ]


def test_marks_stay_on_their_short_forms_whatever_is_typed_around_them():
    for note in notes():
        found = [(note.text[m.start : m.end].upper(), m.long_form) for m in note.mentions]
        assert found == [
            ("CHF", "congestive heart failure"),
            ("LASIX", "furosemide"),
            ("PE", "pulmonary embolism"),
        ]


def test_notes_are_typed_in_many_manners_and_each_the_same_way_every_time():
    first = [note.text for note in notes()]
    assert first == [note.text for note in notes()]
    assert len(set(first)) > 20
    assert sum(text == marked(TEXT).text for text in first) < 40  # the others are changed
    assert any(text == text.lower() for text in first)
    assert any("oedema" in text.lower() for text in first)
    assert any("THERE" in text or "PEDIATRIC" in text or "SHE HAD" in text for text in first)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (1.0, 80)])
def test_the_share_decides_how_many_are_terse(share, expected):
    made = marked(TEXT)
    terse = [
        as_note(Passage(id=str(n), text=made.text, mentions=made.mentions), seed=0, share=share) for n in range(80)
    ]
    assert sum("the patient" not in note.text.lower() for note in terse) == expected


@pytest.mark.parametrize(
    ("american", "expected"),
    [
        ("Anemia, anemic", "Anaemia, anaemic"),
        ("hemoglobin in hematuria", "haemoglobin in haematuria"),
        (
            "leukemias, hyperinsulinemic, ischemic, dyslipidemic",
            "leukaemias, hyperinsulinaemic, ischaemic, dyslipidaemic",
        ),
        ("Edema, lymphedema, edematous", "Oedema, lymphoedema, oedematous"),
        ("Esophageal and esophagus", "Oesophageal and oesophagus"),
        ("pediatrician, Orthopedics, gynecology, anesthetic", "paediatrician, Orthopaedics, gynaecology, anaesthetic"),
        ("diarrhea, apnea, fetal, celiac", "diarrhoea, apnoea, foetal, coeliac"),
        ("tumors, discolored, colors, colorless", "tumours, discolored, colours, colourless"),
        ("fibers in the center", "fibres in the centre"),
        ("hospitalized, emphasize, organization, dialyzed", "hospitalised, emphasise, organisation, dialysed"),
    ],
)
def test_american_spelling_becomes_british(american, expected):
    assert british(american) == expected


@pytest.mark.parametrize(
    "text",
    [
        "systemic, endemic, epidemic, academic, polemic, academia",
        "size, sized, sizes, resized, oversized, prize, seized, seizing, maize",
        "colorectal, colorimetric, tumorigenic, fetoscopy",
        "anaemia, hyperinsulinaemic, haemoglobin, oedema, angioedema, oesophagus, Oesophageal, Oedema",
        "paediatric, gynaecology, anaesthesia, diarrhoea, tumour, colour, centre, foetal, coeliac, leucocytes",
    ],
)
def test_what_is_british_already_or_spelled_alike_stays(text):
    assert british(text) == text


def test_british_spelling_changes_no_word_for_another():
    """What brings the forms of a word together takes both spellings for one word."""
    words = {word for passage in written_passages() for word in re.findall(r"[a-z]{4,}", passage.text)}
    apart = {word: british(word) for word in words if plain_word(british(word)) != plain_word(word)}
    assert len(words) > 3000 and not apart
    assert all(british(british(word)) == british(word) for word in words)
