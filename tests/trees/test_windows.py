from __future__ import annotations

import itertools
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medalist.trees.windows import Window, text_tail, text_windows

WORD = st.text("abc", min_size=1, max_size=9)
TEXT = st.lists(st.tuples(WORD, st.sampled_from([" ", " ", "\n", ". ", "; ", ".\n\n"])).map("".join), max_size=40).map(
    "".join
)


def token_starts(text: str) -> list[int]:
    """Long words are several tokens, as with a model's tokenizer."""
    return [match.start() for match in re.finditer(r"\w{1,3}|[^\w\s]", text)]


def windows(text: str, limit: int) -> list[Window]:
    return text_windows(text, token_starts(text), limit=limit)


def texts(text: str, limit: int) -> list[str]:
    return [text[window.start : window.end] for window in windows(text, limit)]


def size(text: str, window: Window) -> int:
    return sum(window.start <= start < window.end for start in token_starts(text))


def test_text_within_the_limit_is_one_window():
    assert texts("a b c d", 4) == ["a b c d"]
    assert texts("", 4) == [""]


def test_windows_overlap_by_half_and_begin_at_sentences():
    text = "a b. c d. e f. g h. i j. "
    assert texts(text, 6) == ["a b. c d. ", "c d. e f. ", "e f. g h. ", "g h. i j. "]


@pytest.mark.parametrize("end", [". ", "! ", "? ", "; ", "\n", "\n\n  "])
def test_sentence_ends_are_where_windows_begin(end):
    text = f"a b c{end}d e f{end}g h i"
    assert [text[window.start] for window in windows(text, 8)] == ["a", "d"]


def test_sentence_too_long_for_half_a_window_is_cut_between_words():
    assert texts("a b c d e f g", 4) == ["a b c d ", "c d e f ", "e f g"]
    assert texts("aaaa bbbb cccc dddd", 6) == ["aaaa bbbb cccc ", "cccc dddd"]


def test_word_too_long_for_half_a_window_is_cut_between_tokens():
    assert texts("aaabbbcccddd", 2) == ["aaabbb", "bbbccc", "cccddd"]


@given(TEXT, st.integers(2, 12))
def test_windows_cover_the_text_and_stay_within_the_limit(text, limit):
    found = windows(text, limit)
    assert (found[0].start, found[-1].end) == (0, len(text))
    assert all(after.start <= before.end for before, after in itertools.pairwise(found))
    assert all(size(text, window) <= limit for window in found)


@given(TEXT, TEXT, st.integers(2, 12))
def test_appended_text_leaves_all_windows_but_the_last_as_they_were(text, more, limit):
    before, after = windows(text, limit), windows(text + more, limit)
    assert after[: len(before) - 1] == before[:-1]


@given(TEXT, st.integers(2, 12))
def test_neighbouring_windows_overlap(text, limit):
    """So that a short form, wherever it is, has text on both sides in some window."""
    found = windows(text, limit)
    for before, after in itertools.pairwise(found):
        assert before.start < after.start < before.end < after.end


@pytest.mark.parametrize("gap", [" ", "\n", "\r\n", "\u00a0", ". \n"])
def test_time_is_linear_in_white_space(gap):
    for text in ("seen." + gap * 50_000, gap * 50_000, "a " * 10 + gap * 50_000 + "b"):
        began = time.perf_counter()
        text_windows(text, range(0, len(text), 40), limit=32)
        assert time.perf_counter() - began < 3


def test_the_end_of_a_long_text_is_kept_from_the_start_of_a_sentence():
    text = "a b. c d. e f. g h."
    starts = token_starts(text)
    kept = {limit: text[text_tail(text, starts, limit=limit).start :] for limit in (6, 7, 8, 99)}
    assert kept == {6: "e f. g h.", 7: "e f. g h.", 8: "e f. g h.", 99: text}
    assert text_tail("aaaa bbbb cccc", token_starts("aaaa bbbb cccc"), limit=4).start == 5, "otherwise of a word"


@given(TEXT, st.integers(2, 12))
def test_the_end_of_a_text_fits_and_is_never_empty(text, limit):
    window = text_tail(text, token_starts(text), limit=limit)
    assert window.end == len(text)
    assert size(text, window) <= limit
    assert window.start == 0 or size(text, window) > 0


@pytest.mark.parametrize("space", [" ", "\n", "\xa0", "\r\n", "\t \n"])
@pytest.mark.parametrize("end", ["", "on RA"])
def test_a_long_run_of_white_space_takes_no_longer_than_other_text(space, end):
    text = "SpO2 93% on RA." + space * 50_000 + end
    starts = list(range(0, len(text), 5))
    began = time.process_time()
    covered = text_windows(text, starts, limit=1000)
    text_tail(text, starts, limit=1000)
    assert time.process_time() - began < 2  # a quadratic search takes a minute
    assert (covered[0].start, covered[-1].end) == (0, len(text))
