"""Passages made for tuning, and how the tests tune on them."""

from __future__ import annotations

import json

import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from medalist.data.inventory import Inventory
from medalist.data.passages import Mention, Passage
from medalist.models.load import load_base
from medalist.recipe import Recipe, TrainingSettings
from medalist.training.tune import TuningData, tune

INVENTORY = Inventory.of(
    [
        ("RA", "rheumatoid arthritis", 0, None),
        ("RA", "right atrium", 0, None),
        ("RA", "room air", 0, None),
        ("CT", "computed tomography", 0, None),
        ("CT", "contraction time", 0, None),
    ]
)
SENSES = {"RA": ["rheumatoid arthritis", "right atrium", "room air"], "CT": ["computed tomography", "contraction time"]}


def passage(number):
    """One to four mentions and a length that differs from its neighbours'."""
    words, mentions = [f"case {number}"], []
    for place in range(1 + number % 4):
        short_form = ("RA", "CT")[(number + place) % 2]
        gold = SENSES[short_form][(number + place) % len(SENSES[short_form])]
        words.append("seen " * (number % 3 + 1) + short_form)
        end = len(" ".join(words))
        mentions.append(Mention(start=end - 2, end=end, short_form=short_form, long_form=gold))
    return Passage(id=str(number), text=" ".join(words), mentions=tuple(mentions), source="made")


PASSAGES = [passage(number) for number in range(11)]


def settings(**changes):
    return TrainingSettings(**{"rank": 4, "learning_rate": 1e-2, "passages_per_step": 8, "evaluate_every": 2} | changes)


def run_tune(loaded, folder, *, validation=(), **changes):
    folder.mkdir(parents=True, exist_ok=True)
    recipe = Recipe(name="t", output=str(folder.parent), training=settings(**changes))
    return tune(loaded, recipe, TuningData(train=PASSAGES, validation=validation, inventory=INVENTORY), folder)


def log_lines(folder, key):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line[key] for line in lines if key in line]


def run_on_disk(folder, model_folder, **changes):
    run_tune(load_base(str(model_folder)), folder, **{"epochs": 2, **changes})


def losses_and_weights(folder):
    return torch.tensor(log_lines(folder, "loss")), load_file(folder / "adapter/adapter_model.safetensors")


def assert_same_run(one, other):
    assert_close(one[0], other[0], atol=1e-5, rtol=1e-5)
    for name, weight in one[1].items():
        assert_close(weight, other[1][name], atol=2e-5, rtol=1e-4)
