"""Tuning further: a run that begins with the weights of another, its parent, and what else it takes from it.

That is the parent's candidates, so that there remains something to choose, and some of its training passages, so that it
forgets less (replay: Robins 1995; as a fixed share of what is trained on: Ibrahim et al. 2024).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypedDict

from ..data.inventory import Inventory
from ..data.kinds import listed_spelling
from ..data.passages import Passage
from ..data.splits import shared_passages
from ..models.base import BaseIdentity, weights_sha256
from ..recipe import Recipe, RecipeError, dump_recipe, load_recipe, parse_recipe
from ..tools.progress import say
from .prepared import open_prepared
from .run import Run, open_run

RATE = 0.5
"""Of the parent's learning rate. Its schedule ended at zero, and rising to the full rate again forgets more (Gupta et al.
2023, Ibrahim et al. 2024)."""


def further_recipe(
    parent: Path | str,
    *,
    data: Path | str,
    inventory: Path | str | None = None,
    overrides: Sequence[str] = (),
) -> Recipe:
    """The recipe that tunes a run further on a file: the parent's, with that file for data and half its learning rate.

    How the parent's data was read, split and limited says nothing of the file, so those settings are the defaults.

    Args:
        parent: folder of a trained run.
        data: marked passages; or plain texts, with the override `data.substitution.mode=mended`.
        inventory: a glossary, whose senses are offered beside the parent's.
        overrides: such as `name=mine`; without that, the name is made of the parent's and the file's.

    Raises:
        FileNotFoundError: the parent is no run.
        RecipeError: an override is wrong.
    """
    run = open_run(Path(parent))
    values = dump_recipe(run.recipe)
    stem = re.sub(r"[^\w-]+", "-", Path(data).name.split(".")[0])
    values["name"] = f"{run.folder.resolve().name}-{stem}"
    values["model"] |= {"base": run.base.source, "revision": run.base.revision, "parent": str(parent)}
    values["data"] = {"source": "table", "path": str(data), "inventory": None if inventory is None else str(inventory)}
    values["training"] |= {"learning_rate": RATE * run.recipe.training.learning_rate, "max_steps": None}
    return parse_recipe(values, overrides, origin=f"the recipe of {parent}")


def requested_recipe(
    recipe: str | None,
    overrides: Sequence[str],
    *,
    parent: Path | None = None,
    data: Path | None = None,
    inventory: Path | None = None,
) -> Recipe:
    """What `medalist train` is asked for: a recipe's file, a run to tune further, or both; then the file decides.

    Args:
        recipe: the file; what holds "=" and is no file is the first of the overrides.
        overrides: of either.
        parent: the run whose weights to begin with.
        data: as for `further_recipe`; sets `data.source` and `data.path`.
        inventory: likewise; sets `data.inventory`.

    Raises:
        RecipeError: the request does not say what to train on.
    """
    if recipe is not None and "=" in recipe and not Path(recipe).exists():
        overrides, recipe = [recipe, *overrides], None
    if parent is None:
        if recipe is None:
            raise RecipeError("Name a recipe; or with --from RUN --data FILE a run to tune further, and on what")
        if data is not None or inventory is not None:
            raise RecipeError(
                "--data and --inventory go with --from RUN; with a recipe set data.path and data.inventory"
            )
        return load_recipe(Path(recipe), overrides)
    if recipe is not None:
        values = dump_recipe(load_recipe(Path(recipe)))
        values["model"]["parent"] = str(parent)
        if data is not None:
            values["data"] |= {"source": "table", "path": str(data)}
        if inventory is not None:
            values["data"]["inventory"] = str(inventory)
        return parse_recipe(values, overrides, origin=recipe)
    if data is None:
        raise RecipeError(
            "--data FILE is missing: what to tune further on. A glossary alone teaches nothing; to offer its senses without "
            f"training, merge it: medalist inventory {parent}/inventory.csv GLOSSARY --out SENSES.csv"
        )
    return further_recipe(parent, data=data, inventory=inventory, overrides=overrides)


def with_parent(recipe: Recipe, parent: Path | str) -> Recipe:
    """The recipe, beginning with another run's weights."""
    return recipe.model_copy(update={"model": recipe.model.model_copy(update={"parent": str(parent)})})


def parent_run(recipe: Recipe) -> Run | None:
    """The run that the recipe begins with, fit to be gone on from; None where it names none.

    Raises:
        FileNotFoundError: it is no run.
        RecipeError: it is not trained to its end, was tuned in another way than the recipe says, or one is about choice questions.
    """
    if recipe.model.parent is None:
        return None
    parent = open_run(Path(recipe.model.parent))
    if parent.tuned is None:
        raise RecipeError(
            f"{parent.folder} is not trained to its end; finish it with `medalist train {parent.folder}/recipe.yaml --resume`"
        )
    for whose, settings in ((str(parent.folder), parent.recipe.data), ("the recipe", recipe.data)):
        if settings.source == "choices":
            raise RecipeError(
                f"{whose} is about choice questions; only runs on short forms are tuned further, on short forms. "
                "Train on choice questions from a base: medalist train RECIPE data.source=choices data.path=FILE"
            )
    ours, theirs = recipe.training, parent.recipe.training
    for key in ("method", *(("rank", "alpha", "upper_layers") if ours.method == "lora" else ())):
        if getattr(ours, key) != getattr(theirs, key):
            wanted = "null" if getattr(theirs, key) is None else getattr(theirs, key)
            raise RecipeError(
                f"training.{key} is {getattr(ours, key)}, but {parent.folder} was tuned with {wanted}: what goes on from its "
                f"weights keeps their size and place. Set training.{key}={wanted}"
            )
    return parent


def check_base(parent: Run, base: BaseIdentity) -> None:
    """Raise `RecipeError` unless the parent was tuned on this base."""
    if parent.base.sha256 != base.sha256:
        raise RecipeError(
            f"{parent.folder} was tuned on {parent.base.id} ({parent.base.sha256[:12]}…), not on {base.id} "
            f"({base.sha256[:12]}…): set model.base={parent.base.source}"
        )


class ParentRecord(TypedDict):
    """What a run records of its parent."""

    name: str
    sha256: str
    """Of its weights."""
    sources: list[str]
    """What it and its own parents were made of."""


def parent_record(parent: Run) -> ParentRecord:
    """What a run records of its parent: its name, its weights, and which sources it and its own parents were made of."""
    assert parent.tuned is not None, "checked by parent_run"
    before = parent.record.get("parent", {}).get("sources", [])
    return {
        "name": parent.folder.resolve().name,
        "sha256": weights_sha256(parent.tuned),
        "sources": sorted({*before, parent.recipe.data.source}),
    }


def check_same(run: Run, parent: Run) -> None:
    """Raise `ValueError` if the parent was trained anew since the run was started."""
    if parent_record(parent)["sha256"] != run.record["parent"]["sha256"]:
        raise ValueError(
            f"{parent.folder} has other weights than when {run.folder} was started; set name=... for a new run."
        )


def parent_of(run: Run) -> Run | None:
    """The run that a run began with; None where there was none, or it is gone or was trained anew since."""
    if run.recipe.model.parent is None or not (Path(run.recipe.model.parent) / "recipe.yaml").exists():
        return None
    parent = open_run(Path(run.recipe.model.parent))
    found = parent.tuned is not None and parent_record(parent)["sha256"] == run.record["parent"]["sha256"]
    return parent if found else None


def candidates(parent: Run, own: Inventory | None) -> Inventory:
    """What a run further on offers: the parent's senses and its own."""
    if own is None:
        return parent.inventory
    return Inventory.merged([parent.inventory, own], f"{parent.folder.resolve().name} + {own.origin}")


def senses_as_listed(counted: Iterable[Inventory], inventory: Inventory) -> Inventory:
    """Counted senses of several inventories, added up, in the spelling in which another lists them."""
    return Inventory.of(
        (
            (short_form, listed_spelling(short_form, sense.long_form, inventory), sense.count, sense.concept)
            for one in counted
            for short_form, senses in one.senses.items()
            for sense in senses
        ),
        "training split",
    )


def training_passages(run: Run) -> list[Passage] | None:
    """The passages that a run was trained on, replayed ones too; None if its prepared data is gone."""
    folder = Path(run.record["data"]["folder"])
    if not (folder / "data.json").exists():
        return None
    prepared = open_prepared(folder)
    return [*prepared.passages("train"), *prepared.replayed()]


def all_training_passages(run: Run) -> list[Passage] | None:
    """Those of a run and of its parents, as far as their data is still there; each once."""
    found: dict[tuple[str, str], Passage] | None = None
    current: Run | None = run
    while current is not None:
        own = training_passages(current)
        if own is not None:
            found = {(p.source, p.id): p for p in own} | (found or {})
        current = parent_of(current)
    return None if found is None else list(found.values())


def replayed(parent: Run, count: int, *, seed: int, avoid: Iterable[Passage]) -> list[Passage]:
    """Training passages of the parent: the first so many by a hash of (seed, id).

    Args:
        parent: its training split is drawn from, and what itself replayed; never its validation or test split.
        count: how many; fewer where there are fewer. Of two with one id, that of its own split.
        seed: with the id, decides.
        avoid: held-out passages; those of the parent that share id or words with one are not taken.
    """
    pool = training_passages(parent)
    if pool is None:
        say(f"The data of {parent.folder} is gone, so none of it is replayed (data.replay)")
        return []
    shared = shared_passages(avoid, pool)
    once = {passage.id: passage for passage in reversed(pool) if passage.id not in shared}
    return sorted(once.values(), key=lambda passage: _place(seed, passage.id))[:count]


def _place(seed: int, identifier: str) -> bytes:
    return hashlib.sha256(f"{seed}:replay:{identifier}".encode()).digest()
