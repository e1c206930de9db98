"""The run folder: what a run records about itself, and how to open it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from ..data.inventory import NO_SENSES, Inventory
from ..evaluation.privacy import Privacy, read_privacy
from ..models.adapters import load_adapter
from ..models.base import BaseIdentity, weights_sha256
from ..models.load import LoadedModel, load_base
from ..models.model_folder import check_tokenizer
from ..models.scorer import load_scorer
from ..recipe import Recipe, dump_recipe
from ..tools.files import replacing
from ..tools.number_formats import DType
from ..trees.decisions import CALIBRATION_FILE, Calibration
from .prepared import Prepared, is_prepared, open_prepared
from .records import recorded_recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A run folder, opened."""

    folder: Path
    recipe: Recipe
    record: dict[str, Any]
    """What the run recorded in addition to its recipe: versions, base, data, counts."""
    inventory: Inventory
    """The candidates that it was trained with; empty for choice questions, which have their own options."""
    trained: Inventory
    """Sense counts of its training mentions and its parent's; empty for a pulled run published without them."""

    calibration: Calibration | None
    """How the tuned model's scores become answers; None if none was fitted (see `calibrate`)."""

    @property
    def base(self) -> BaseIdentity:
        """The base model that the run was trained from."""
        return BaseIdentity(**self.record["base"])

    @property
    def any_case(self) -> bool:
        """Whether it reads "copd" as COPD unless told otherwise: yes if it was tuned from the reader, which does."""
        return bool(self.record.get("parent", {}).get("any_case"))

    @property
    def tuned(self) -> Path | None:
        """The folder of the adapter or of the fully tuned model; None until training has finished."""
        folders = (self.folder / name for name in ("adapter", "model"))
        return next((folder for folder in folders if folder.exists()), None)

    def trained_to_end(self, *, recorded: bool = False) -> Path:
        """As `tuned`, but raise an error if there is none; with `recorded`, also if the run lacks a training record.

        Raises:
            FileNotFoundError: training has not finished.
        """
        if self.tuned is None or (recorded and "training" not in self.record):
            raise FileNotFoundError(f"{self.folder} holds no tuned model yet; run `medalist train --resume`")
        return self.tuned

    @property
    def data_folder(self) -> Path:
        """The folder that the run's data was prepared in."""
        return Path(self.record["data"]["folder"])

    def prepared(self) -> Prepared | None:
        """The run's prepared data; None if it no longer exists."""
        return open_prepared(self.data_folder) if is_prepared(self.data_folder) else None

    @property
    def is_adapter(self) -> bool:
        """Whether the tuned model is an adapter, not a whole model (fully tuned, or pulled as merged weights)."""
        return self.tuned is not None and self.tuned.name == "adapter"


def is_run(path: Path) -> bool:
    """Whether a folder is a run folder."""
    return (path / "recipe.yaml").exists()


def not_a_run(folder: Path | str) -> FileNotFoundError:
    """The error for something that is named as a run's folder and is none."""
    if not Path(folder).exists():
        return FileNotFoundError(f"There is no folder {folder}")
    return FileNotFoundError(f"{folder} is not a run: it has no recipe.yaml")


def open_run(folder: Path | str) -> Run:
    """Open a run folder.

    Raises:
        FileNotFoundError: it is not a run folder.
        ValueError: one of its files is damaged.
    """
    folder = Path(folder)
    if not is_run(folder):
        raise not_a_run(folder)
    recipe, record = recorded_recipe(folder / "recipe.yaml")
    listed = recipe.data.source != "choices"
    trained, calibration = folder / "trained_senses.csv", folder / CALIBRATION_FILE
    return Run(
        folder=folder,
        recipe=recipe,
        record=record,
        inventory=Inventory.read(folder / "inventory.csv") if listed else NO_SENSES,
        trained=Inventory.read(trained) if trained.exists() else NO_SENSES,
        calibration=Calibration.read(calibration) if calibration.exists() else None,
    )


def privacy_of(run: Run) -> Privacy | None:
    """The result of `medalist privacy` for the run's current weights; None if there is none.

    Raises:
        ValueError: the file is damaged.
    """
    found = read_privacy(run.folder / "evaluation")
    return found if found and run.tuned and found["tuned"] == weights_sha256(run.tuned) else None


def use_threads(recipe: Recipe) -> None:
    """Set the number of CPU threads to the recipe's; PyTorch's default is one per core."""
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)


def write_recipe(folder: Path, recipe: Recipe, record: Mapping[str, object]) -> None:
    """Write a run's `recipe.yaml`: the recipe with all defaults included, and what the run records about itself."""
    with replacing(folder / "recipe.yaml") as file:
        yaml.safe_dump(dump_recipe(recipe) | {"record": record}, file, sort_keys=False, allow_unicode=True)


def load_run_base(run: Run, *, place: bool = True) -> LoadedModel:
    """Load the run's base from its recorded source; refuse it if its weights are not the recorded ones.

    Args:
        run: the opened run.
        place: as for `load_base`.
    """
    identity = run.base
    return load_base(
        identity.source,
        revision=identity.revision,
        dtype=run.recipe.model.dtype,
        quantization=run.recipe.model.quantization,
        attention=run.recipe.model.attention,
        place=place,
        expected_sha256=identity.sha256,
    )


def load_tuned(run: Run, base: LoadedModel | None = None) -> LoadedModel:
    """Load a run's tuned model; `base`, if given, is reused and modified.

    Raises:
        FileNotFoundError: training has not finished.
    """
    tuned = run.trained_to_end()
    if not run.is_adapter:
        settings = run.recipe.model
        return load_base(str(tuned), dtype=settings.dtype, attention=settings.attention)
    return load_adapter(base or load_run_base(run), tuned)


def tuned_tokenizer(run: Run) -> Any:
    """The tokenizer in the folder of a run's tuned model, without loading the model; None if there is none.

    Raises:
        ModelError: the tokenizer is too large, or may lengthen a text too much.
        ValueError: the file is damaged.
    """
    from transformers import AutoTokenizer  # slow to import

    if run.tuned is None or not (run.tuned / "tokenizer_config.json").exists():
        return None
    check_tokenizer(run.tuned)
    return AutoTokenizer.from_pretrained(run.tuned, trust_remote_code=False)


def load_run_scorer(run: Run, dtype: DType | None = None) -> LoadedModel:
    """Load a run's tuned model for scoring only, as fast as possible.

    Args:
        run: the opened run.
        dtype: dtype of computation; None: the recipe's.

    Raises:
        FileNotFoundError: training has not finished.
    """
    tuned, identity, settings = run.trained_to_end(), run.base, run.recipe.model
    if not run.is_adapter:
        return load_scorer(str(tuned), dtype=dtype or settings.dtype, attention=settings.attention)
    return load_scorer(
        identity.source,
        tuned,
        revision=identity.revision,
        dtype=dtype or settings.dtype,
        quantization=settings.quantization,
        attention=settings.attention,
        expected_sha256=identity.sha256,
    )
