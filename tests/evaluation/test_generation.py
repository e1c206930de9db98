"""Free generation: asks what scoring asks, stops where the line ends, and judges answers by sense and not by letter."""

import math

import pytest
import torch

from medalist.data.inventory import Inventory
from medalist.data.items import make_items
from medalist.data.passages import Mention, Passage
from medalist.evaluation.generation import (
    declines,
    generate_answers,
    names_sense,
    question_ids,
    share_of_answer,
    text_nll,
)
from medalist.trees.prompt import Encoder, PromptSettings
from medalist.trees.tree import sequences

INVENTORY = Inventory.of([("RA", "room air", 0, None), ("RA", "right atrium", 0, None)])
PASSAGE = Passage(
    id="p",
    text="Normal on RA. Pacing of the RA was normal.",
    mentions=(
        Mention(start=10, end=12, short_form="RA", long_form="room air"),
        Mention(start=28, end=30, short_form="RA", long_form="right atrium"),
    ),
)
ITEMS = make_items([PASSAGE], INVENTORY)


def encoder(loaded):
    return Encoder(loaded.tokenizer, PromptSettings(), max_depth=loaded.max_depth)


def test_the_question_is_the_one_that_scoring_puts(loaded):
    [layout] = encoder(loaded).encode(PASSAGE, INVENTORY)
    scored = sequences(layout.tree)
    for number, item in enumerate(ITEMS):
        ids, predicted = scored[3 * number]  # room air, right atrium and none of these for each
        assert question_ids(encoder(loaded), item) == ids[:-predicted]


def test_a_mention_that_does_not_fit_has_no_answer(loaded):
    loaded.max_depth = 20
    assert list(generate_answers(loaded, ITEMS, PromptSettings(), new_tokens=3, label="x")) == [None, None]


def test_the_answer_is_what_greedy_decoding_gives(loaded):
    answers = generate_answers(loaded, ITEMS, PromptSettings(), new_tokens=6, label="x")
    for item, answer in zip(ITEMS, answers, strict=True):
        ids = question_ids(encoder(loaded), item)
        written = []
        while len(written) < 6 and "\n" not in loaded.tokenizer.decode(written):
            logits = loaded.model(torch.tensor([ids + written])).logits[0, -1]
            written.append(int(logits.argmax()))
        expected = loaded.tokenizer.decode(written, skip_special_tokens=True).partition("\n")[0].strip()
        assert answer.text == expected
        assert answer.seconds > 0


def test_the_answer_ends_with_its_line(loaded):
    newline = loaded.tokenizer("\n", add_special_tokens=False).input_ids[-1]
    forward = loaded.model.forward
    calls = []

    def always_newline(*args, **kwargs):
        calls.append(1)
        result = forward(*args, **kwargs)
        result.logits[..., newline] = 1e4
        return result

    loaded.model.forward = always_newline
    [answer] = generate_answers(loaded, ITEMS[:1], PromptSettings(), new_tokens=20, label="x")
    assert (answer.text, len(calls)) == ("", 1)


@pytest.mark.parametrize("text", ["room air", "Room air.", '"room air"', "room airs"])
def test_a_sense_counts_up_to_spelling(text):
    assert names_sense(text, ["right atrium", "room air"])


@pytest.mark.parametrize("text", ["", "room", "room air conditioning", "Lebenwelle", "atrium"])
def test_anything_else_is_no_sense(text):
    assert not names_sense(text, ["right atrium", "room air"])


def test_saying_none_of_these_is_no_hallucination_but_declining():
    assert declines("None of these.")
    assert not declines("none of these drugs")


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("room air", 1.0),
        ("room air of the ward", 2 / 5),
        ("it is room air", 2 / 4),
        ("air room", 0.0),
        ("the room", 0.0),
        ("", 0.0),
    ],
)
def test_relevance_is_the_share_of_the_words_that_are_the_answer(text, share):
    assert share_of_answer(text, "room air") == share


def test_perplexity_is_that_of_the_models_own_loss(loaded):
    text = "The patient with rheumatoid arthritis was given methotrexate."
    [nll], [count] = text_nll(loaded, [text])
    ids = loaded.tokenizer(text, return_tensors="pt").input_ids
    assert count == ids.shape[1] - 1
    assert math.isclose(nll / count, loaded.model(ids, labels=ids).loss.item(), rel_tol=1e-5)
