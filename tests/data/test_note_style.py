"""Prose typed as a note keeps its marks where they belong and is the same every time."""

import pytest

from marking import marked
from medalist.data.note_style import as_note
from medalist.data.passages import Passage

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
