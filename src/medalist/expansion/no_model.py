"""Expands without a model: every short form is decided at a glance, hundreds of times as fast but less accurately.

A glance decides from priors, topic and features of the text (`trees.decisions`).
"""

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
    """Stands in for a model."""

    tokenizer: Any
    """Divides a text into windows as for a model."""
    max_depth: int = 0
    """0, since no question is asked."""

    @property
    def device(self) -> torch.device:
        """The device of the remaining computation."""
        return torch.device("cpu")


@dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """What an expander needs."""

    model: NoModel
    inventory: Inventory
    prompt: PromptSettings
    calibration: Calibration
    any_case: bool
    """Whether to read short forms in any case unless told otherwise."""


def open_glance(
    name: str | Path | None,
    inventory: Inventory | None = None,
    dtype: FloatType | None = None,
    *,
    revision: str | None = None,
) -> Opened:
    """Open a run, or the reader for None, for expanding without its model.

    The tokenizer is the run's own, or else its base's, which is downloaded if necessary.

    Args:
        name: the run.
        inventory: must be None: the glance was fitted on the run's own senses.
        dtype: must be None: there is no model to compute in it.
        revision: revision of a Hub id.

    Raises:
        ValueError: the run has no glance, or an argument is refused; or as for `find_run`.
        ModelError: the base model, whose tokenizer is needed, is not available.
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
            any_case=True,
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
        any_case=run.any_case,
    )
