from __future__ import annotations

import pytest

from marking import marked
from medalist.data.inventory import Inventory, Sense
from medalist.data.items import make_items, text_around
from medalist.data.spelling import plain_words, spelt_out
from medalist.evaluation.baselines import BagOfWords, copy_else_majority, inventory_baselines, majority

SENSES = ("rheumatoid arthritis", "right atrium", "room air")


def counted(**counts):
    return Inventory.of(("RA", name.replace("_", " "), count, None) for name, count in counts.items())


# An inventory sorts by count, so the first listed sense differs from the most counted one only if it is built by hand.
TIED = Inventory(
    senses={"RA": tuple(Sense(long_form=name, count=count) for name, count in zip(SENSES, (1, 4, 4), strict=True))}
)


def copied(text, candidates, *counts):
    """The answer of the copy baseline for the one mention of a marked text."""
    passage = marked(text)
    words = plain_words(text_around(passage, passage.mentions[0]))
    return candidates[copy_else_majority(words, passage.mentions[0].short_form, candidates, *counts)]


def test_the_prior_alone_is_the_most_counted_sense_and_the_first_listed_of_equals():
    items = make_items([marked("[RA=right atrium] and [RA=room air] and [RA=none of these]")], TIED)
    found = inventory_baselines(items, TIED)
    assert {name: values.tolist() for name, values in found.items()} == {
        "first listed sense": [0, 0, 0],
        "prior alone": [1, 0, 0],
    }


def test_majority_is_the_sense_counted_most_often():
    assert majority("RA", SENSES, counted(rheumatoid_arthritis=3, room_air=5, right_atrium=1)) == 2


def test_majority_takes_the_first_of_equals():
    assert majority("RA", SENSES, counted(room_air=4, right_atrium=4)) == 1


def test_majority_asks_the_next_inventory_only_where_the_first_saw_none_of_the_candidates():
    first, second = counted(right_atrium=1), counted(room_air=100)
    assert majority("RA", SENSES, first, second) == 1
    assert majority("RA", ("rheumatoid arthritis", "room air"), first, second) == 1
    assert majority("RA", SENSES, counted(radium=9), counted()) == 0


@pytest.mark.parametrize(
    ("text", "candidate"),
    [
        ("Right atrium, or [RA], was wide.", "right atrium"),
        ("Both right atria... the right atriums; [RA] too.", "right atrium"),
        ("Haemorrhage and oedema: [RA].", "hemorrhage"),
        ("Leukemias ([RA]) were seen.", "leukaemia"),
        ("The anti-bodies of [RA] rose.", "antibody"),
        ("An antibody of [RA] rose.", "anti-bodies"),
        ("Given 3,4-dihydroxyphenylalanine ([RA]).", "3,4-dihydroxyphenylalanine"),
        ("The head/neck [RA] was scanned.", "head/neck"),
    ],
    ids=["case", "plural", "UK spelling", "US spelling", "hyphen", "hyphen in the list", "comma", "slash"],
)
def test_copy_finds_the_candidate_that_the_text_spells_out(text, candidate):
    assert copied(text, ("something frequent", candidate), counted(something_frequent=9)) == candidate


def test_copy_takes_whole_words_only():
    assert spelt_out(plain_words("a pretest of the rat"), ["test", "rat", "pretest of"]) == [1, 2]


def test_copy_takes_the_more_frequent_of_several():
    text = "The right atrium is seen in rheumatoid arthritis. [RA] again."
    assert copied(text, SENSES, counted(rheumatoid_arthritis=1, right_atrium=2, room_air=50)) == "right atrium"


def test_copy_falls_back_to_the_majority():
    assert copied("Nothing is spelt out beside [RA].", SENSES, counted(room_air=2)) == "room air"


def test_copy_never_takes_the_mention_itself():
    assert copied("[AS] was seen.", ("aortic stenosis", "as"), counted()) == "aortic stenosis"
    assert copied("[AS] was seen as well.", ("aortic stenosis", "as"), counted()) == "as"


def test_bag_of_words_picks_the_sense_whose_training_contexts_share_words():
    train = [
        marked("joints swollen and stiff in [RA=rheumatoid arthritis]", "1"),
        marked("saturation low on [RA=room air]", "2"),
        marked("oxygen saturation normal on [RA=room air]", "3"),
    ]
    bag = BagOfWords(train, {"RA"})
    joints, oxygen = marked("stiff joints: [RA]?"), marked("saturation 92 % on [RA]")
    assert bag.answer(joints, joints.mentions[0], SENSES) == 0
    assert bag.answer(oxygen, oxygen.mentions[0], SENSES) == 2


def test_bag_of_words_answers_among_the_candidates_only():
    train = [marked("on [RA=room air]", "1"), marked("on [RA=room air]", "2"), marked("of [RA=right atrium]", "3")]
    passage = marked("on [RA]")
    assert BagOfWords(train, {"RA"}).answer(passage, passage.mentions[0], ("rheumatoid arthritis", "right atrium")) == 1


def test_bag_of_words_does_not_answer_what_training_never_saw():
    bag = BagOfWords([marked("on [RA=room air] after [CT=computed tomography]")], {"RA"})
    passage = marked("the [RA] and the [CT] and the [MR]")
    ra, ct, mr = passage.mentions
    assert bag.answer(passage, ra, ("right atrium", "rheumatoid arthritis")) is None
    assert bag.answer(passage, ct, ("computed tomography",)) is None  # not among the short forms asked for
    assert bag.answer(passage, mr, ("magnetic resonance",)) is None


def test_bag_of_words_does_without_training_contexts_that_hold_no_words():
    bag = BagOfWords([marked("[RA=room air] 21 %"), marked("wide [MR=mitral regurgitation]")], {"RA", "MR"})
    passage = marked("on [RA], wide [MR]")
    assert bag.answer(passage, passage.mentions[0], SENSES) is None
    assert bag.answer(passage, passage.mentions[1], ("mitral regurgitation",)) == 0
