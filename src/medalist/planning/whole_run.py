"""Estimates how long a whole run takes: download, preparation, training, validation passes, both evaluations.

Parts of unknown duration stay unknown and are left out of the total, which says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import try_to_load_from_cache

from ..data.splits import Split
from ..models.base import local_base
from ..recipe import Recipe
from ..runs.prepare import data_folder
from ..runs.prepared import is_prepared
from .shapes import ModelShape

MBITS = 200.0
"""Assumed speed of a connection, in 10^6 bits per second."""
UTILISATION = 0.38
"""Assumed share of a card's published peak, for operations as the plan counts them, including padding, masked pairs and
recomputation by checkpointing. Measured with Llama 3 8B's shape on an H200 (989 published), as shipped in passes of
4,000 and 8,000 tokens: 0.38 to 0.41 in training, 0.35 and 0.38 on NF4 weights, 0.49 to 0.50 in scoring; 0.06 in
training on one tree at a time."""
COMPILED_UTILISATION = 0.50
"""The same with `training.compile`: 0.50 and 0.51, also on an H200."""
MEDAL_BYTES, MEDAL_ROWS = 5.90e9, 5_000_000
"""Size and rows of MeDAL's tables train.csv, valid.csv and test.csv on Zenodo."""
ROWS_A_SECOND = 42_725
"""Rows per second that `medalist prepare medal` prepares on two cores (docs/benchmarks.md)."""

TRAINING, VALIDATION = "training", "validation passes"
"""Names of the parts that `Plan.within` fits into the hours; the others come before or after training."""

Counts = Callable[[Split, int | None], int | None]
"""Number of texts in a split, given the recipe's limit for it; None: unknown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """A common GPU, with published figures."""

    name: str
    memory: float
    """Bytes."""
    peak: float
    """Dense products in bfloat16, in 10^12 operations per second."""


CARDS = (
    Card(name="L4, 24 GB", memory=24e9, peak=121),
    Card(name="A10, 24 GB", memory=24e9, peak=125),
    Card(name="RTX 4090, 24 GB", memory=24e9, peak=165),
    Card(name="A100, 40 GB", memory=40e9, peak=312),
    Card(name="A100, 80 GB", memory=80e9, peak=312),
    Card(name="H100 SXM, 80 GB", memory=80e9, peak=989),
)


def utilisation(*, compiled: bool) -> float:
    """The share of a card's published peak that training is assumed to sustain, with or without `training.compile`."""
    return COMPILED_UTILISATION if compiled else UTILISATION


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A part of a run."""

    name: str
    seconds: float | None
    """None: unknown."""
    how: str
    """What the estimate is based on, or why it is unknown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Around:
    """What comes before and after training."""

    download: float
    """Bytes still to be downloaded: the base's weights as published in 16 bits, MeDAL's tables."""
    downloaded: tuple[str, ...]
    """Names of the downloads."""
    preparation: Part
    validations: int | None
    """Validation passes during training."""
    validated: float | None
    """Mentions in each."""
    tested: float | None
    """Mentions that each of the two evaluations scores."""
    evaluate_every: int
    """Optimiser steps between two validation passes."""

    def validation_seconds_per_step(self, thousand_seconds: float | None) -> float:
        """A step's share of the validation passes, in seconds; 0 if unknown.

        Args:
            thousand_seconds: seconds to score 1,000 mentions on one device.
        """
        return (self.validated or 0.0) / 1000 * (thousand_seconds or 0.0) / self.evaluate_every


def around(recipe: Recipe, shape: ModelShape, counts: Counts, *, steps: int | None, mentions: float) -> Around:
    """What comes before and after a recipe's training.

    Args:
        recipe: what would be trained.
        shape: its base's sizes.
        counts: the number of texts in a split.
        steps: optimiser steps of the run.
        mentions: average number of mentions per text.
    """
    settings, items = recipe.data, []
    if not _is_here(recipe):
        items.append((f"the base's {shape.parameters / 1e9:,.1f} billion weights", 2.0 * shape.parameters))
    if settings.source == "medal" and not Path(settings.path or "").exists():
        items.append(("MeDAL's tables", MEDAL_BYTES))
    validation, test = counts("validation", settings.limit_validation), counts("test", settings.limit_test)
    return Around(
        download=sum(size for _, size in items),
        downloaded=tuple(name for name, _ in items),
        preparation=_preparation(recipe),
        validations=None if steps is None else max(1, -(-steps // recipe.training.evaluate_every)),
        evaluate_every=recipe.training.evaluate_every,
        validated=None if validation is None else validation * mentions,
        tested=None if test is None else test * mentions,
    )


def _is_here(recipe: Recipe) -> bool:
    """Whether the base's weights are on this machine."""
    base, revision = recipe.model.base, recipe.model.revision
    names = ("model.safetensors", "model.safetensors.index.json")
    return local_base(base) is not None or any(
        isinstance(try_to_load_from_cache(base, name, revision=revision), str) for name in names
    )


def _preparation(recipe: Recipe) -> Part:
    settings = recipe.data
    if settings.source == "sample" or settings.path is None:
        return Part(name="preparation", seconds=0.0, how="the sample is embedded")
    path = Path(settings.path)
    if settings.source == "medal" and (path.is_file() or not path.exists()):
        rows = path.stat().st_size / MEDAL_BYTES * MEDAL_ROWS if path.is_file() else MEDAL_ROWS
        how = f"{rows:,.0f} rows at {ROWS_A_SECOND:,} a second, as measured on two cores"
        return Part(name="preparation", seconds=rows / ROWS_A_SECOND, how=how)
    try:
        if path.is_dir() or is_prepared(data_folder(recipe)):
            return Part(name="preparation", seconds=0.0, how=f"{settings.path} is prepared already")
    except FileNotFoundError:
        pass
    return Part(name="preparation", seconds=None, how=f"not measured for data.source={settings.source}")


def download_part(found: Around, mbits: float) -> Part:
    """The downloads, over a connection of this many 10^6 bits per second."""
    if not found.downloaded:
        return Part(name="download", seconds=0.0, how="everything is here")
    how = f"{' and '.join(found.downloaded)}, {found.download / 1e9:,.1f} GB at {mbits:g} Mbit/s"
    return Part(name="download", seconds=found.download * 8 / (mbits * 1e6), how=how)


def training_part(steps: int | None, step_seconds: float | None) -> Part:
    """Training without its validation passes."""
    if steps is None:
        return Part(name=TRAINING, seconds=None, how="set data.limit or training.max_steps")
    seconds = None if step_seconds is None else steps * step_seconds
    return Part(name=TRAINING, seconds=seconds, how=f"{steps:,} steps" + ("" if step_seconds else " of unknown speed"))


def scoring_part(found: Around, thousand_seconds: float | None) -> tuple[Part, Part]:
    """The validation passes during training, then the evaluation of base and tuned model.

    Args:
        found: the numbers of mentions that they score.
        thousand_seconds: seconds to score 1,000 of them on one device.
    """
    parts = []
    for name, times, mentions, limit in (
        (VALIDATION, found.validations, found.validated, "data.limit_validation"),
        ("both evaluations", 2, found.tested, "data.limit_test"),
    ):
        if times is None or mentions is None:
            how, seconds = f"set {limit}" if mentions is None else "as many as training has steps for", None
        else:
            how = f"{times:,} times {mentions:,.0f} mentions"
            seconds = None if thousand_seconds is None else times * mentions / 1000 * thousand_seconds
        parts.append(Part(name=name, seconds=seconds, how=how))
    return parts[0], parts[1]


def known_total(parts: Sequence[Part]) -> float | None:
    """Seconds of the parts with a known duration; None if training is not among them."""
    if any(part.name == TRAINING and part.seconds is None for part in parts):
        return None
    return sum(part.seconds or 0.0 for part in parts)
