"""The run folder: what a run records about itself, and how it is opened again."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from .adapters import load_adapter
from .card import write_card
from .files import replacing
from .inventory import Inventory
from .model import BaseIdentity, LoadedModel, identity_record, load_base
from .prepare import prepare
from .recipe import Recipe, RecipeError, dump_recipe, load_recipe

_VERSIONED = ("medalist", "torch", "transformers", "peft", "accelerate", "tokenizers", "numpy")


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A run folder, opened."""

    folder: Path
    recipe: Recipe
    record: dict[str, Any]
    """What the run wrote beside its recipe: versions, base, data, counts."""
    inventory: Inventory
    """The candidates that it was trained with."""
    trained: Inventory
    """The senses of its training mentions, counted."""

    @property
    def base(self) -> BaseIdentity:
        """The base model that it was trained on."""
        return BaseIdentity(**self.record["base"])

    @property
    def tuned(self) -> Path | None:
        """Folder of the adapter, or of the fully tuned model; None before training has ended."""
        found = self.folder / ("adapter" if self.recipe.training.method == "lora" else "model")
        return found if found.exists() else None


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
    return Run(
        folder=folder,
        recipe=load_recipe(folder / "recipe.yaml"),
        record=values.get("record", {}),
        inventory=Inventory.read(folder / "inventory.csv"),
        trained=Inventory.read(folder / "trained_senses.csv"),
    )


def use_threads(recipe: Recipe) -> None:
    """Set the CPU threads that the recipe names; PyTorch's own choice is one per core."""
    if recipe.threads is not None:
        torch.set_num_threads(recipe.threads)


def start_run(recipe: Recipe) -> Run:
    """Prepare the data and make the run folder, ready to be evaluated and trained; or open it if it is there.

    Raises:
        RecipeError: the folder belongs to a run of another recipe.
        ValueError: data or model are wrong; see `prepare`, `load_base`.
    """
    folder = recipe.folder
    if is_run(folder):
        _check_same(recipe, load_recipe(folder / "recipe.yaml"), folder)
        return open_run(folder)
    use_threads(recipe)
    prepared = prepare(recipe)
    settings = recipe.model
    base = load_base(
        settings.base, revision=settings.revision, dtype=settings.dtype, quantization=settings.quantization
    )
    folder.mkdir(parents=True, exist_ok=True)
    prepared.inventory.write(folder / "inventory.csv")
    Inventory.mined(prepared.passages("train"), "training split").write(folder / "trained_senses.csv")
    record = {
        "base": identity_record(base.identity),
        "data": {"folder": str(prepared.folder), "fingerprint": prepared.account["fingerprint"]},
        "versions": {name: importlib.metadata.version(name) for name in _VERSIONED},
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads, {base.model.device.type}",
        "dtype": str(base.model.dtype).removeprefix("torch."),
        "quantization": base.quantization,
        "attention": base.attention,
        "git_revision": _git_revision(),
    }
    _write_recipe(folder, recipe, record)
    return open_run(folder)


def train(recipe: Recipe, *, resume: bool = False) -> Run:
    """Prepare the data, tune the base, and leave a run folder.

    Args:
        recipe: everything that decides the run.
        resume: go on with an existing run of the same recipe from its last complete checkpoint.

    Raises:
        FileExistsError: the run has begun and is not to be resumed.
        RecipeError: the existing run was started with another recipe.
        ValueError: data or model are wrong; see `prepare`, `load_base`, `tune`.
    """
    from .training import tune

    if is_run(recipe.folder) and not resume:
        raise FileExistsError(f"{recipe.folder} exists: --resume goes on with it, name=... starts another.")
    run = start_run(recipe)
    if run.tuned is not None:
        return run
    use_threads(recipe)
    prepared = prepare(recipe)
    if prepared.account["fingerprint"] != run.record["data"]["fingerprint"]:
        raise ValueError(f"The data of {run.folder} has changed since it was started; set name=... for a new run.")
    counts = tune(
        load_run_base(run),
        recipe,
        train=prepared.passages("train"),
        validation=prepared.passages("validation"),
        inventory=prepared.inventory,
        run=run.folder,
        resume=resume,
    )
    _write_recipe(run.folder, recipe, run.record | {"training": counts})
    run = open_run(run.folder)
    write_card(run)
    return run


def _check_same(recipe: Recipe, recorded: Recipe, folder: Path) -> None:
    mine, theirs = dump_recipe(recipe), dump_recipe(recorded)
    different = sorted(_flat(mine).items() ^ _flat(theirs).items())
    if different:
        raise RecipeError(
            f"{folder} was started with another recipe: {different[0][0]} differs. Resume with its own recipe.yaml, or "
            "set name=... for a new run."
        )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: repr(value)}
    return flat


def _write_recipe(folder: Path, recipe: Recipe, record: dict[str, Any]) -> None:
    with replacing(folder / "recipe.yaml") as file:
        yaml.safe_dump(dump_recipe(recipe) | {"record": record}, file, sort_keys=False, allow_unicode=True)


def _git_revision() -> str | None:
    """The checkout that the code runs from; None when it was installed from a wheel."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def load_run_base(run: Run) -> LoadedModel:
    """The base that the run was trained on, from its recorded source, refused if its weights are not the recorded ones."""
    identity = run.base
    return load_base(
        identity.source,
        revision=identity.revision,
        dtype=run.recipe.model.dtype,
        quantization=run.recipe.model.quantization,
        expected_sha256=identity.sha256,
    )


def load_tuned(run: Run, base: LoadedModel | None = None) -> LoadedModel:
    """The tuned model of a run; `base`, if given, is used and changed.

    Raises:
        FileNotFoundError: the run has not been trained to its end.
    """
    if run.tuned is None:
        raise FileNotFoundError(f"{run.folder} holds no tuned model yet; run `medalist train --resume`")
    if run.recipe.training.method == "full":
        return load_base(str(run.tuned), dtype=run.recipe.model.dtype)
    return load_adapter(base or load_run_base(run), run.tuned)
