"""How well each sense of a mention fits what stands around it in its window."""

import numpy as np
import pytest

from medalist.data.topics import SHRINK, Topics
from medalist.trees.topic import HALF, OTHER_SENTENCE, Spot, topic_fits
from medalist.trees.windows import Window, home_window

TOPICS = Topics(
    senses={"leftatrium": 0, "localanesthetic": 1, "mitralregurgitation": 0, "fissuresealant": 1},
    words={"valve": 0, "gums": 1},
    sense_vectors=np.eye(2, dtype=np.float32),
    word_vectors=np.eye(2, dtype=np.float32),
    usual_sense=np.zeros(2, np.float32),
    usual_word=np.zeros(2, np.float32),
)
LA = ("left atrium", "local anesthetic")


def drawn(seed):
    """A text of words and short forms in no order, and its spots."""
    draw, text, spots = np.random.default_rng(seed), "", []
    senses = {"LA": LA, "MX": ("mitral regurgitation", "fissure sealant"), "FS": ("fissure sealant",)}
    while len(text) < 330:
        name = str(draw.choice(["LA", "MX", "FS", "valve", "gums", "xx", "yy."]))
        if name in senses:
            listed = senses[name]
            spots.append(Spot(len(text), len(text) + 2, listed, np.log(np.full(len(listed), 1 / len(listed))).tolist()))
        text += f"{name} "
    return text, spots


SAMPLES = [drawn(seed) for seed in range(8)]


def fitting(text, *windows, **known):
    """The fits of each "LA" of a text; other spots have one sense, given by name."""
    spots = []
    for at in range(len(text)):
        for name, senses in (("LA", LA), *((name, (sense,)) for name, sense in known.items())):
            if text.startswith(name, at):
                spots.append(Spot(at, at + len(name), senses, np.log(np.full(len(senses), 1 / len(senses))).tolist()))
    found = topic_fits(TOPICS, text, windows or [Window(0, len(text))], spots)
    return [fit for spot, fit in zip(spots, found, strict=True) if spot.senses == LA]


def told(*weights, heart=True):
    """The fits of an "LA" whose context is on one side and weighs so much."""
    fit = sum(weights) / (sum(weights) + SHRINK)
    return pytest.approx((fit, 0.0) if heart else (0.0, fit))


def at(distance):
    """What counts of something so many characters away."""
    return 1 / (1 + distance / HALF)


def test_the_sense_that_belongs_to_the_other_short_forms_fits():
    assert fitting("LA dilated, MR", MR="mitral regurgitation") == [told(at(12))]
    assert fitting("FS under LA", FS="fissure sealant") == [told(at(9), heart=False)]


def test_words_tell_half_as_much_but_not_those_of_a_spot():
    assert fitting("LA by the gums") == [told(at(10) / 2, heart=False)]
    assert fitting("LA by the gums", gums="no such sense") == [(0.0, 0.0)]
    assert fitting("valve valve LA valve valve") == [told(at(12) / 2, at(6) / 2, at(3) / 2, at(9) / 2)]


def test_what_stands_close_by_tells_more():
    (near,), (far,) = fitting("valve LA, which it is by these, gums"), fitting("valve, as I see it by that, LA gums")
    assert near[0] > far[0] > 0


@pytest.mark.parametrize("end", [". ", "; ", "? ", ".\n", " \n"])
def test_what_is_in_another_sentence_or_line_tells_less(end):
    assert fitting("LA   valve") == [told(at(5) / 2)]
    assert fitting(f"LA {end}valve") == [told(at(5) / 2 * OTHER_SENTENCE)]
    assert fitting(f"valve{end}LA") == [told(at(7) / 2 * OTHER_SENTENCE)]


@pytest.mark.parametrize("no_end", ["3.5", "a/b", ", a"])
def test_a_number_or_a_comma_ends_no_sentence(no_end):
    assert fitting(f"LA {no_end} valve") == [told(at(7) / 2)]


def test_a_mention_does_not_speak_for_itself_and_alone_fits_nothing():
    assert fitting("LA") == [(0.0, 0.0)]


def test_neighbours_speak_for_the_senses_that_fit_them():
    """MX is as ambiguous as LA, but has company of its own that says what it means when it speaks for LA."""
    gap, half = " " * 60, np.log([0.5, 0.5]).tolist()
    mx = ("mitral regurgitation", "fissure sealant")

    def fit_of_la(text):
        start = text.index("MX")
        spots = [Spot(start, start + 2, mx, half), Spot(len(text) - 2, len(text), LA, half)]
        return topic_fits(TOPICS, text, [Window(0, len(text))], spots)[1]

    with_company, alone = fit_of_la(f"valve MX{gap}LA"), fit_of_la(f"      MX{gap}LA")
    words = fitting(f"valve xx{gap}LA")[0]
    assert alone[0] == alone[1] > 0 == words[1]
    assert with_company[0] > max(alone[0], words[0]) and with_company[1] < 0.3 * alone[1]


def test_only_what_stands_in_the_window_where_it_is_answered_counts():
    text = "LA and valve, the gums"
    assert fitting(text) != fitting(text, Window(0, 13), Window(13, 22)) == [told(at(7) / 2)]


def test_all_that_is_in_a_window_counts_there_wherever_it_is_answered_itself():
    text = "xx LA xx xx FS xx"
    early = Window(0, 15), Window(9, len(text))  # FS is in both, and more central in the second
    assert fitting(text, *early, FS="fissure sealant") == [told(at(9), heart=False)]
    text = "xx FS xx xx LA xx"
    assert fitting(text, Window(0, 9), Window(2, len(text)), FS="fissure sealant") == [told(at(9), heart=False)]


@pytest.mark.parametrize(("text", "spots"), SAMPLES)
def test_appended_text_changes_no_fit_of_an_earlier_window(text, spots):
    """The last window grows, and what stood in it and the one before is then answered elsewhere."""
    size, step = 60, 30
    windows = [Window(start, start + size) for start in range(0, 10 * step, step)]
    for end in range(100, 290, 7):
        full = [window for window in windows if window.end < end]
        cut = [*full, Window(full[-1].start + step, end)]
        inside = [spot for spot in spots if spot.end <= end]
        short = topic_fits(TOPICS, text[:end], cut, inside)
        whole = topic_fits(TOPICS, text, windows, spots)
        for spot, before, after in zip(inside, short, whole, strict=False):
            here, later = (home_window(found, spot.start, spot.end) for found in (cut, windows))
            if here == later and here in full:
                assert before == after


def test_a_definition_counts_in_the_windows_that_hold_it():
    spots = [Spot(0, 2, LA, np.log([0.5, 0.5]).tolist()), Spot(10, 12, (), (), ("mitral regurgitation", 14, 34))]
    text = "LA normal MR (mitral regurgitation)"
    assert topic_fits(TOPICS, text, [Window(0, 35)], spots)[0] == told(at(10))
    assert topic_fits(TOPICS, text, [Window(0, 13), Window(5, 35)], spots)[0] == (0, 0)
    listed = spots[1]._replace(senses=("fissure sealant",), log_priors=(0.0,))
    assert topic_fits(TOPICS, text, [Window(0, 13), Window(5, 35)], [spots[0], listed])[0] == told(at(10), heart=False)


def test_the_same_short_form_again_confirms_nothing():
    """Else "PT 12.1, PT 13.2, PT 12.8" would be three patients for certain."""
    assert fitting("LA LA LA") == [(0.0, 0.0)] * 3
    once, twice = fitting("MR, LA", MR="mitral regurgitation"), fitting("MR, LA LA", MR="mitral regurgitation")
    assert twice[0] == once[0]


def test_a_mention_that_no_window_holds_gets_nothing():
    assert fitting("valve LA", Window(0, 7)) == [(0.0, 0.0)]
