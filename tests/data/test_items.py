from __future__ import annotations

import numpy as np
import pytest

from marking import marked
from medalist.data.inventory import Inventory
from medalist.data.items import make_choice_items, make_items
from medalist.data.quizzes import Choice, Quiz

INVENTORY = Inventory.of(
    [
        ("RA", "rheumatoid arthritis", 5, None),
        ("RA", "right atrium", 2, None),
        ("CT", "computed tomography", 9, None),
        ("CT", "contractions", 3, None),
        ("MR", "mitral regurgitation", 4, None),
    ]
)


@pytest.mark.parametrize(
    ("text", "kind", "gold", "leak"),
    [
        ("the [RA=right atrium]", "choice", 1, False),
        ("the [MR=mitral regurgitation]", "single", 0, False),
        ("the [RA=radium]", "absent", None, False),
        ("the [XY=something]", "unlisted", None, False),
        ("the [ra|RA=none of these]", "distractor", None, False),
        ("the right atrium or [RA=right atrium]", "choice", 1, True),
        ("Right Atriums: [RA=right atrium]", "choice", 1, True),
        ("in rheumatoid arthritis the [RA=right atrium]", "choice", 1, False),
        ("the radium or [RA=radium]", "absent", None, False),
    ],
)
def test_mention_is_of_a_kind_and_leaks_or_not(text, kind, gold, leak):
    [item] = make_items([marked(text)], INVENTORY)
    assert (item.kind, item.gold, item.leak) == (kind, gold, leak)
    assert item.candidates == INVENTORY.long_forms(item.mention.short_form)


def test_mention_without_gold_is_no_item_and_does_not_shift_the_numbers():
    [item] = make_items([marked("[RA] and [CT=contractions]", "p7")], INVENTORY)
    assert item.key == ("p7", 1)
    assert item.mention.short_form == "CT"


def test_the_null_candidate_does_not_compete_for_the_best_answer():
    [item] = make_items([marked("the [RA=right atrium]")], INVENTORY)
    assert item.best(np.array([-3.0, -2.0, -1.0])) == item.listed_gold == 1
    assert item.gold_answer == "right atrium"
    [question] = make_choice_items([Quiz(id="q", text="?", choices=(Choice(question="", options=("a", "b"), gold=0),))])
    assert question.best(np.array([-3.0, -2.0])) == 1, "which has none"


@pytest.mark.parametrize(("scores", "declined"), [([-2.0, -0.5, -1.0], True), ([-0.7, -0.5, -1.0], False)])
def test_a_model_declines_when_the_null_candidate_is_best_once_the_gold_is_hidden(scores, declined):
    [item] = make_items([marked("the [RA=right atrium]")], INVENTORY)
    assert item.declined_without_gold(np.array(scores)) is declined
