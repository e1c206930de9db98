from __future__ import annotations

import pytest

from marking import marked
from medalist.data.passages import Mention, Passage, fingerprint, without_overlap, words_around


@pytest.mark.parametrize("spans", [[(0, 3), (2, 4)], [(2, 4), (0, 1)], [(3, 3)], [(0, 99)], [(-1, 2)]])
def test_passage_refuses_mentions_that_overlap_or_lie_outside(spans):
    with pytest.raises(ValueError, match="passage p9: the mention at"):
        Passage(id="p9", text="RA RA", mentions=tuple(Mention(start=a, end=b, short_form="RA") for a, b in spans))


def test_passage_takes_mentions_that_touch():
    passage = Passage(
        id="p",
        text="RACT",
        mentions=(Mention(start=0, end=2, short_form="RA"), Mention(start=2, end=4, short_form="CT")),
    )
    assert [passage.surface(m) for m in passage.mentions] == ["RA", "CT"]


def test_fingerprint_tells_texts_answers_and_order_apart():
    first, second = marked("in [RA=right atrium]", "1"), marked("of [CT]", "2")
    variants = [
        [first, second],
        [second, first],
        [first],
        [marked("in [RA=rheumatoid arthritis]", "1"), second],
        [marked("in  [RA=right atrium]", "1"), second],
    ]
    assert len({fingerprint(passages) for passages in variants}) == len(variants)
    assert fingerprint([first, second]) == fingerprint(iter([marked("in [RA=right atrium]", "1"), second]))


def test_of_spans_that_overlap_the_first_stays():
    spans = [Mention(start=a, end=b, short_form="X") for a, b in [(0, 3), (0, 1), (2, 5), (3, 4), (9, 10)]]
    assert [(span.start, span.end) for span in without_overlap(spans)] == [(0, 3), (3, 4), (9, 10)]


@pytest.mark.parametrize(
    ("words", "besides_rest", "expected"),
    [
        (0, False, "RA"),
        (1, False, "(RA),"),
        (1, True, "pain (RA), today"),
        (0, True, "(RA),"),
        (9, True, "joint pain (RA), today"),
    ],
)
def test_words_around_a_span_count_the_rest_of_its_own_word_unless_told_otherwise(words, besides_rest, expected):
    text = "joint pain (RA), today"
    start, end = words_around(text, Mention(start=12, end=14, short_form="RA"), words, besides_rest=besides_rest)
    assert text[start:end] == expected
