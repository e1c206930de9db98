"""The run folder: what a run records about itself, and how it is opened again."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import subprocess
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import yaml

from .card import write_card
from .corpus import marked_passages
from .evaluation import Knowledge, evaluate
from .files import replacing
from .inventory import Inventory
from .kinds import as_listed
from .model import BaseIdentity, LoadedModel, identity_record, load_adapter, load_base
from .passages import Passage, Quarantine, read_passages
from .prepare import load_inventory, open_prepared, prepare
from .progress import say
from .prompt import PromptSettings
from .recipe import Recipe, RecipeError, dump_recipe, load_recipe
from .sources import clinical, sample

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
    base = load_base(recipe.model.base, revision=recipe.model.revision, dtype=recipe.model.dtype)
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


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOut:
    """What a run is evaluated on."""

    passages: list[Passage]
    inventory: Inventory
    knowledge: Knowledge
    folder: Path
    """Gets the results: `evaluation/<data>/` of the run."""
    quarantine: Quarantine
    about: dict[str, Any]
    """What the metrics should say of the data."""


def held_out(run: Run, *, data: Path | None = None, inventory: Path | None = None, limit: int | None = None) -> HeldOut:
    """The passages and candidates to evaluate a run on; arguments as for `evaluate_run`."""
    name, data, inventory = _named(data, inventory)
    candidates = run.inventory if inventory is None else Inventory.read(inventory)
    prepared = Path(run.record["data"]["folder"])
    train = open_prepared(prepared).passages("train") if (prepared / "data.json").exists() else None
    if data is not None:
        passages, quarantine = read_marked(data, candidates, limit)
        source = str(data)
    else:
        passages, quarantine = open_prepared(prepared).passages("test")[:limit], Quarantine()
        source = f"test split of {prepared}"
        if not passages:
            raise ValueError(f"{run.folder} has no test split; name a file with --data")
    return HeldOut(
        passages=passages,
        inventory=candidates,
        knowledge=Knowledge(trained=run.trained, train=train),
        folder=run.folder / "evaluation" / name,
        quarantine=quarantine,
        about={
            "data": source,
            "file": None if data is None else str(data.resolve()),
            "inventory_file": None if inventory is None else str(inventory.resolve()),
            "run": run.folder.name,
            "base": run.base.id,
        },
    )


class RunModels:
    """Base and tuned model of a run: loaded when first asked for, the base before the tuned one, which changes it."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._base: LoadedModel | None = None
        self.weights = {"base": run.base.sha256}
        """What identifies the weights of each model that there is."""
        if run.tuned is not None:
            self.weights["tuned"] = _folder_sha256(run.tuned)

    def load(self, name: str) -> LoadedModel:
        """The model of that name; after "tuned", "base" is loaded from disk again."""
        if name == "tuned":
            base, self._base = self._base, None
            return load_tuned(self._run, base)
        self._base = self._base or load_run_base(self._run)
        return self._base


def evaluate_run(
    run: Run, *, data: Path | None = None, inventory: Path | None = None, limit: int | None = None
) -> tuple[dict[str, Any], Path]:
    """Evaluate base and tuned model of a run on the same mentions.

    Args:
        run: trained to its end; before that, only its base is evaluated.
        data: marked passages (MeDAL CSV, JSONL, Parquet), or the embedded notes by name, with the sample's inventory if
            none is given: clinical-development, clinical-locked; None: the test split of the run's own data.
        inventory: the candidates; None: the run's.
        limit: take only so many passages.

    Returns:
        The metrics, and the folder that holds them: `evaluation/<data>/` of the run.
    """
    use_threads(run.recipe)
    held = held_out(run, data=data, inventory=inventory, limit=limit)
    models = RunModels(run)
    metrics = evaluate(
        {name: (weights, partial(models.load, name)) for name, weights in models.weights.items()},
        held.passages,
        held.inventory,
        run.recipe.prompt,
        held.folder,
        knowledge=held.knowledge,
        max_nodes=run.recipe.evaluation.max_nodes,
        resamples=run.recipe.evaluation.bootstrap,
        quarantine=held.quarantine,
        about=held.about,
    )
    write_card(run)
    return metrics, held.folder


def evaluate_base(
    source: str,
    *,
    data: Path,
    inventory: Path | None = None,
    train: Path | None = None,
    limit: int | None = None,
    output: Path = Path("evaluation"),
) -> tuple[dict[str, Any], Path]:
    """Evaluate a bare base model.

    Args:
        source: as for `load_base`.
        data: marked passages, or the embedded notes by name.
        inventory: the candidates; None: the sample's.
        train: marked passages that the baselines may learn from.
        limit: take only so many passages.
        output: gets `<model>/<data>/`.

    Returns:
        The metrics, and the folder that holds them.
    """
    settings = Recipe()
    name, file, inventory = _named(data, inventory)
    assert file is not None
    candidates = load_inventory(settings.data) if inventory is None else Inventory.read(inventory)
    passages, quarantine = read_marked(file, candidates, limit)
    known = read_passages(train, candidates) if train is not None else None
    base = load_base(source)
    folder = output / base.identity.id.split("/")[-1] / name
    metrics = evaluate(
        {"base": (base.identity.sha256, lambda: base)},
        passages,
        candidates,
        PromptSettings(),
        folder,
        knowledge=Knowledge(trained=Inventory.mined(known) if known else None, train=known),
        max_nodes=settings.evaluation.max_nodes,
        resamples=settings.evaluation.bootstrap,
        quarantine=quarantine,
        about={"data": str(file), "base": base.identity.id},
    )
    return metrics, folder


def _named(data: Path | None, inventory: Path | None) -> tuple[str, Path | None, Path | None]:
    """The name of the data's results, its file, and its inventory; embedded notes bring their own."""
    if data is None:
        return "test", None, inventory
    if str(data) not in clinical.NOTES:
        return data.name.split(".")[0], data, inventory
    if str(data) == "clinical-locked":
        say("clinical-locked is locked: choose on clinical-development, score this once, and log it")
    return str(data), clinical.NOTES[str(data)], inventory or sample.FILES[1]


def read_marked(data: Path, inventory: Inventory, limit: int | None = None) -> tuple[list[Passage], Quarantine]:
    """Passages to evaluate on, golds spelt as listed: of a file, or of the test split in a corpus's folder."""
    quarantine = Quarantine()
    found = marked_passages(data, "test", inventory, quarantine)
    return [as_listed(passage, inventory) for passage in islice(found, limit)], quarantine


def _folder_sha256(folder: Path) -> str:
    return hashlib.sha256(b"".join(sorted(p.read_bytes() for p in folder.glob("*.safetensors")))).hexdigest()
