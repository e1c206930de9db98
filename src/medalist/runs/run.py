"""The run folder: what a run records about itself, and how it is opened again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from ..data.inventory import NO_SENSES, Inventory
from ..models.adapters import load_adapter
from ..models.base import BaseIdentity
from ..models.load import LoadedModel, load_base
from ..recipe import Recipe, dump_recipe, load_recipe
from ..tools.files import replacing
from .prepared import Prepared, is_prepared, open_prepared


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A run folder, opened."""

    folder: Path
    recipe: Recipe
    record: dict[str, Any]
    """What the run wrote beside its recipe: versions, base, data, counts."""
    inventory: Inventory
    """The candidates that it was trained with; empty after choice questions, which bring their own."""
    trained: Inventory
    """The senses of its training mentions, counted, and of its parent's; none where a pulled run came without them."""

    @property
    def base(self) -> BaseIdentity:
        """The base model that it was trained on."""
        return BaseIdentity(**self.record["base"])

    @property
    def tuned(self) -> Path | None:
        """Folder of the adapter, or of the fully tuned model; None before training has ended."""
        found = (self.folder / name for name in ("adapter", "model"))
        return next((folder for folder in found if folder.exists()), None)

    def trained_to_end(self, *, recorded: bool = False) -> Path:
        """As `tuned`, where there has to be one; `recorded`: and the run has to say how it was trained.

        Raises:
            FileNotFoundError: the run has not been trained to its end.
        """
        if self.tuned is None or (recorded and "training" not in self.record):
            raise FileNotFoundError(f"{self.folder} holds no tuned model yet; run `medalist train --resume`")
        return self.tuned

    @property
    def data_folder(self) -> Path:
        """Where its data was prepared."""
        return Path(self.record["data"]["folder"])

    def prepared(self) -> Prepared | None:
        """Its prepared data; None where that is gone."""
        return open_prepared(self.data_folder) if is_prepared(self.data_folder) else None

    @property
    def is_adapter(self) -> bool:
        """Whether the tuned model is an adapter; else it is whole, fully tuned or pulled as merged weights."""
        return self.tuned is not None and self.tuned.name == "adapter"


def is_run(path: Path) -> bool:
    """Whether a folder is a run's."""
    return (path / "recipe.yaml").exists()


def open_run(folder: Path) -> Run:
    """Open a run folder.

    Raises:
        FileNotFoundError: it is none.
    """
    if not is_run(folder):
        raise FileNotFoundError(f"{folder} is no run: it holds no recipe.yaml")
    values = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
    recipe = load_recipe(folder / "recipe.yaml")
    listed = recipe.data.source != "choices"
    trained = folder / "trained_senses.csv"
    return Run(
        folder=folder,
        recipe=recipe,
        record=values.get("record", {}),
        inventory=Inventory.read(folder / "inventory.csv") if listed else NO_SENSES,
        trained=Inventory.read(trained) if trained.exists() else NO_SENSES,
    )


def use_threads(recipe: Recipe) -> None:
    """Set the CPU threads that the recipe names; PyTorch's own choice is one per core."""
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)


def write_recipe(folder: Path, recipe: Recipe, record: Mapping[str, object]) -> None:
    """Write `recipe.yaml` of a run folder: the recipe, every default spelt out, and what the run records about itself."""
    with replacing(folder / "recipe.yaml") as file:
        yaml.safe_dump(dump_recipe(recipe) | {"record": record}, file, sort_keys=False, allow_unicode=True)


def load_run_base(run: Run, *, place: bool = True) -> LoadedModel:
    """The base that the run was trained on, from its recorded source, refused if its weights are not the recorded ones.

    Args:
        run: opened.
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
    """The tuned model of a run; `base`, if given, is used and changed.

    Raises:
        FileNotFoundError: the run has not been trained to its end.
    """
    tuned = run.trained_to_end()
    if not run.is_adapter:
        settings = run.recipe.model
        return load_base(str(tuned), dtype=settings.dtype, attention=settings.attention)
    return load_adapter(base or load_run_base(run), tuned)
