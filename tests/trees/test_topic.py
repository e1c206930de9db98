"""How well each sense of a mention fits what stands around it in its window."""

import numpy as np
import pytest

from medalist.data.topics import Topics
from medalist.trees.topic import Spot, topic_fits
from medalist.trees.windows import Window

TOPICS = Topics(
    senses={"leftatrium": 0, "localanesthetic": 1, "mitralregurgitation": 0, "fissuresealant": 1},
    words={"valve": 0, "gums": 1},
    sense_vectors=np.eye(2, dtype=np.float32),
    word_vectors=np.eye(2, dtype=np.float32),
    usual_sense=np.zeros(2, np.float32),
    usual_word=np.zeros(2, np.float32),
)
LA = ("left atrium", "local anesthetic")


def fitting(text, *windows, **known):
    """The fits of each "LA" of a text; other spots have one sense, given by name."""
    spots = []
    for at in range(len(text)):
        for name, senses in (("LA", LA), *((name, (sense,)) for name, sense in known.items())):
            if text.startswith(name, at):
                spots.append(Spot(at, at + len(name), senses, np.log(np.full(len(senses), 1 / len(senses))).tolist()))
    found = topic_fits(TOPICS, text, windows or [Window(0, len(text))], spots)
    return [fit for spot, fit in zip(spots, found, strict=True) if spot.senses == LA]


def test_the_sense_that_belongs_to_the_other_short_forms_fits():
    assert fitting("LA dilated, MR", MR="mitral regurgitation") == [(0.5, 0.0)]
    assert fitting("FS under LA", FS="fissure sealant") == [(0.0, 0.5)]


def test_words_tell_too_but_not_those_of_a_spot():
    assert fitting("LA by the gums") == [pytest.approx((0.0, 1 / 3))]
    assert fitting("LA by the gums", gums="no such sense") == [(0.0, 0.0)]
    assert fitting("valve valve LA valve valve") == [pytest.approx((2 / 3, 0.0))]


def test_a_mention_does_not_speak_for_itself_and_alone_fits_nothing():
    assert fitting("LA") == [(0.0, 0.0)]
    first, second = fitting("LA, LA")
    assert first == second == pytest.approx((np.sqrt(0.5) / (1 + np.sqrt(0.5)) * np.sqrt(0.5),) * 2)


def test_only_what_stands_in_the_window_where_it_is_answered_counts():
    text = "LA and valve. The gums."
    assert fitting(text) != fitting(text, Window(0, 13), Window(13, 23)) == [pytest.approx((1 / 3, 0.0))]


def test_what_is_answered_in_a_later_window_does_not_count_in_an_earlier_one():
    text = "xx LA xx xx FS xx"
    early = Window(0, 15), Window(9, len(text))  # FS is in both, and more central in the second
    assert fitting(text, *early, FS="fissure sealant") == [(0.0, 0.0)]
    assert fitting(text, Window(0, 15), FS="fissure sealant") == [(0.0, 0.5)]
    text = "xx FS xx xx LA xx"
    assert fitting(text, Window(0, 9), Window(2, len(text)), FS="fissure sealant") == [(0.0, 0.5)]


def test_a_mention_that_no_window_holds_gets_nothing():
    assert fitting("valve LA", Window(0, 7)) == [(0.0, 0.0)]
