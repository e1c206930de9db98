"""Evaluating a run, or a bare base model, on held-out passages: which passages, which candidates, which weights."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from .card import write_card
from .corpus import marked_passages
from .evaluation import Knowledge, evaluate
from .inventory import Inventory
from .kinds import as_listed
from .model import LoadedModel, load_base
from .passages import Passage, Quarantine, read_passages
from .precision import Quantization
from .prepare import load_inventory, open_prepared
from .progress import say
from .prompt import PromptSettings
from .recipe import Recipe
from .runs import Run, load_run_base, load_tuned, use_threads
from .sources import clinical, sample


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
    revision: str | None = None,
    quantization: Quantization = "none",
    data: Path,
    inventory: Path | None = None,
    train: Path | None = None,
    limit: int | None = None,
    output: Path = Path("evaluation"),
) -> tuple[dict[str, Any], Path]:
    """Evaluate a bare base model.

    Args:
        source: as for `load_base`.
        revision: as for `load_base`.
        quantization: as for `load_base`.
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
    base = load_base(source, revision=revision, quantization=quantization)
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
