"""Vectors of senses and words: their file, and what a mention and the words around it tell of the topic."""

import numpy as np
import pytest

from medalist.data.embedded import reader
from medalist.data.topics import Topics, fits

HEART, TOOTH = [1.0, 0.0], [0.0, 1.0]


def made(**changes):
    """The heart along one axis, teeth along the other."""
    values = {
        "senses": {"leftatrium": 0, "mesioocclusal": 1, "anemia": 2},
        "words": {"valve": 0, "gums": 1},
        "sense_vectors": np.array([HEART, TOOTH, [0.6, 0.8]], np.float32),
        "word_vectors": np.array([HEART, TOOTH], np.float32),
        "usual_sense": np.zeros(2, np.float32),
        "usual_word": np.zeros(2, np.float32),
    }
    return Topics(**(values | changes))


def test_a_file_holds_them_to_eight_bits_whatever_the_order_of_an_array_in_memory(tmp_path):
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(128, 3)).astype(np.float32).T  # columns lie beside each other
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    topics = made(sense_vectors=vectors, word_vectors=vectors[:2], usual_sense=vectors[0], usual_word=vectors[1])
    topics.write(tmp_path / "topics.safetensors")
    found = Topics.read(tmp_path / "topics.safetensors")
    assert (found.senses, found.words) == (topics.senses, topics.words)
    assert np.diag(found.sense_vectors @ vectors.T) == pytest.approx(1, abs=1e-3)
    assert found.word_vectors == pytest.approx(vectors[:2], abs=0.01)
    assert np.array_equal([found.usual_sense, found.usual_word], vectors[:2])


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[: len(raw) // 2], lambda raw: raw.replace(b"atrium", b"\\ntrium")], ids=["cut", "names"]
)
def test_a_damaged_file_is_named(tmp_path, damage):
    path = tmp_path / "topics.safetensors"
    made().write(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"topics\.safetensors"):
        Topics.read(path)


def test_a_sense_is_found_however_it_is_spelt_and_an_unknown_one_says_nothing():
    topics = made()
    assert topics.of_senses(["Anaemias", "no such sense", "mesio-occlusal"]).tolist() == [
        pytest.approx([0.6, 0.8]),
        [0, 0],
        TOOTH,
    ]
    assert topics.company(topics.of_senses(["no such sense"]), [1.0]).tolist() == [0, 0]
    assert topics.of_senses([]).shape == (0, 2)


def test_a_mention_speaks_for_its_senses_as_likely_as_they_are_and_beside_what_is_usual():
    topics = made(usual_sense=np.array([0.5, 0.0], np.float32))
    both = topics.of_senses(["left atrium", "mesio-occlusal"])
    assert topics.company(both, [0.75, 0.25]).tolist() == [0.25, 0.25]


def test_words_count_half_of_what_a_mention_counts_and_stand_where_they_begin():
    topics = made()
    starts, rows = topics.words_of("Gums, gum, VALVE and valves")
    assert (starts.tolist(), rows.tolist()) == ([0, 11], [1, 0])
    assert topics.of_words(rows).tolist() == [[0, 0.5], [0.5, 0]]
    assert topics.of_words(rows[:0]).shape == (0, 2)


def test_little_context_says_less_than_much():
    vectors = made().of_senses(["left atrium", "mesio-occlusal"])
    little, much = fits(vectors, np.array([0.5, 0.0])), fits(vectors, np.array([4.5, 0.0]))
    assert little == (0.5, 0.0) and much == (0.9, 0.0)


def test_those_that_ship_know_the_reader_s_senses_and_what_belongs_together():
    topics, listed = reader.topics(), reader.inventory()
    names = [sense.long_form for senses in listed.senses.values() for sense in senses]
    known = np.abs(topics.of_senses(names)).any(1)
    assert known.mean() > 0.99
    left_atrium, near, far = topics.of_senses(["left atrium", "mitral regurgitation", "full upper denture"])
    assert left_atrium @ near > 0.4 > 0.2 > left_atrium @ far
