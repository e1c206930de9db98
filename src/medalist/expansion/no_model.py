"""Expanding without a model: all that a glance decides, hundreds of times as fast as reading, and right less often."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..data.embedded import reader
from ..data.inventory import Inventory
from ..models.base import EMBEDDED, find_base
from ..models.scorer import load_tokenizer
from ..runs.run import tuned_tokenizer
from ..tools.number_formats import FloatType
from ..trees.decisions import CALIBRATION_FILE, Calibration
from ..trees.prompt import PromptSettings
from .where import find_run, without_model


@dataclass(frozen=True, kw_only=True, slots=True)
class NoModel:
    """What stands in a model's place."""

    tokenizer: Any
    """A text is looked at in windows of as many tokens as a model would read."""
    max_depth: int = 0
    """No question is asked."""

    @property
    def device(self) -> torch.device:
        """Where the rest is computed."""
        return torch.device("cpu")


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """What an expander needs."""

    model: NoModel
    inventory: Inventory
    prompt: PromptSettings
    calibration: Calibration


def open_glance(
    name: str | Path | None,
    inventory: Inventory | None = None,
    dtype: FloatType | None = None,
    *,
    revision: str | None = None,
) -> Opened:
    """What an expander needs to do without the model of a run, or of the reader for None.

    The tokenizer is the run's own, or else its base's, which is fetched if need be.

    Args:
        name: the run.
        inventory: other senses than its own, which are refused.
        dtype: a number format, which is refused.
        revision: of a Hub id.

    Raises:
        ValueError: the run has no glance, or something is refused; and as for `find_run`.
        ModelError: the base model, whose tokenizer is needed, is not there.
    """
    if inventory is not None:
        raise ValueError(
            "The engine glance knows only the senses that it was fitted on: leave the inventory out, or give your "
            "short forms as a glossary"
        )
    if dtype is not None:
        raise ValueError(f"dtype is {dtype}, but the engine glance has no model that computes in it: leave it out")
    if name is None:
        return Opened(
            model=NoModel(tokenizer=load_tokenizer(find_base(EMBEDDED)[0])),
            inventory=reader.inventory(),
            prompt=PromptSettings(window=reader.WINDOW, max_nodes=reader.MAX_NODES),
            calibration=Calibration.read(reader.HERE / CALIBRATION_FILE).without_model(),
        )
    run = find_run(name, revision=revision)
    calibration = without_model(run)
    tokenizer = tuned_tokenizer(run)
    if tokenizer is None:
        tokenizer = load_tokenizer(find_base(run.base.source, run.base.revision)[0])
    return Opened(
        model=NoModel(tokenizer=tokenizer),
        inventory=run.inventory,
        prompt=run.recipe.prompt,
        calibration=calibration,
    )
