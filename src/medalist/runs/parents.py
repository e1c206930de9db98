"""Further tuning: a run that starts from the weights of another run, its parent, and what else it inherits.

It inherits the parent's candidates, so that there is still a choice to make, and some of its training passages, so that
the model forgets less (replay: Robins 1995; as a fixed share of the training data: Ibrahim et al. 2024).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..data.embedded import reader
from ..data.inventory import Inventory
from ..data.inventory_spelling import listed_spelling
from ..data.passages import Passage
from ..data.splits import shared_passages
from ..models.base import BaseIdentity, weights_sha256
from ..recipe import Recipe, RecipeError, dump_recipe, load_recipe, parse_recipe
from ..tools.progress import say
from .reader_run import FURTHER, READER, is_reader, open_parent
from .records import ParentRecord
from .run import Run, is_run

RATE = 0.5
"""The default learning rate, as a fraction of the parent's. The parent's schedule ended at zero, and returning to the
full rate causes more forgetting (Gupta et al. 2023, Ibrahim et al. 2024)."""


def further_recipe(
    parent: Path | str,
    *,
    data: Path | str,
    inventory: Path | str | None = None,
    overrides: Sequence[str] = (),
) -> Recipe:
    """The recipe for tuning a run further on a file: the parent's, with that file as data and half the learning rate.

    Settings for reading, splitting and limiting the parent's data do not apply to the file, so they get their defaults.

    Args:
        parent: folder of a trained run, or `reader`, the one that ships with the package.
        data: marked passages; or plain texts, with the override `data.substitution.mode=mended`.
        inventory: a glossary whose senses are offered alongside the parent's.
        overrides: such as `name=mine`; by default, the name combines those of the parent and the file.

    Raises:
        FileNotFoundError: the parent is not a run.
        RecipeError: an override is invalid.
    """
    run = open_parent(parent)
    values = dump_recipe(run.recipe)
    stem = re.sub(r"[^\w-]+", "-", Path(data).name.split(".")[0])
    values["name"] = f"{run.folder.resolve().name}-{stem}"
    values["model"] |= {"base": run.base.source, "revision": run.base.revision, "parent": str(parent)}
    values["data"] = {"source": "table", "path": str(data), "inventory": None if inventory is None else str(inventory)}
    values["training"] |= {"learning_rate": RATE * run.recipe.training.learning_rate, "max_steps": None}
    values["training"] |= FURTHER if is_reader(run) else {}
    return parse_recipe(values, overrides, origin=f"the recipe of {parent}")


def requested_recipe(
    recipe: str | None,
    overrides: Sequence[str],
    *,
    parent: Path | None = None,
    data: Path | None = None,
    inventory: Path | None = None,
) -> Recipe:
    """The recipe for `medalist train`'s arguments: a recipe file, a run to tune further, or both, with the file's keys.

    Args:
        recipe: the recipe file; an argument that contains "=" and is not a file is taken as the first override.
        overrides: of the file or of the parent's recipe.
        parent: the run whose weights to start from.
        data: as for `further_recipe`; sets `data.source` and `data.path`.
        inventory: as for `further_recipe`; sets `data.inventory`.

    Raises:
        RecipeError: the request does not say what to train on.
    """
    if recipe is not None and "=" in recipe and not Path(recipe).exists():
        overrides, recipe = [recipe, *overrides], None
    if parent is None:
        if recipe is None:
            raise RecipeError("Name a recipe, or use --from RUN --data FILE to tune a run further on that file")
        if data is not None or inventory is not None:
            raise RecipeError(
                "--data and --inventory require --from RUN; with a recipe, set data.path and data.inventory instead"
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
            "--data FILE is missing: the data to tune further on. A glossary alone teaches nothing; to offer its "
            "senses without training, merge it: "
            f"medalist inventory {parent}/inventory.csv GLOSSARY --out SENSES.csv"
        )
    return further_recipe(parent, data=data, inventory=inventory, overrides=overrides)


def with_parent(recipe: Recipe, parent: Path | str) -> Recipe:
    """The recipe, changed to start from another run's weights."""
    return recipe.model_copy(update={"model": recipe.model.model_copy(update={"parent": str(parent)})})


def parent_run(recipe: Recipe) -> Run | None:
    """The run that the recipe starts from, checked to be suitable; None if the recipe names none.

    Raises:
        FileNotFoundError: the parent is not a run.
        RecipeError: its training has not finished, it was tuned with another method than the recipe's, or it or the
            recipe is about choice questions.
    """
    if recipe.model.parent is None:
        return None
    parent = open_parent(recipe.model.parent)
    if parent.tuned is None:
        raise RecipeError(
            f"The training of {parent.folder} has not finished; "
            f"finish it with `medalist train {parent.folder}/recipe.yaml --resume`"
        )
    for whose, settings in ((str(parent.folder), parent.recipe.data), ("the recipe", recipe.data)):
        if settings.source == "choices":
            raise RecipeError(
                f"{whose} is about choice questions; only runs on short forms can be tuned further, on short forms. "
                "To train on choice questions, start from a base: "
                "medalist train RECIPE data.source=choices data.path=FILE"
            )
    ours, theirs = recipe.training, parent.recipe.training
    for key in ("method", *(("rank", "alpha", "upper_layers") if ours.method == "lora" else ())):
        if getattr(ours, key) != getattr(theirs, key):
            wanted = "null" if getattr(theirs, key) is None else getattr(theirs, key)
            raise RecipeError(
                f"training.{key} is {getattr(ours, key)}, but {parent.folder} was tuned with {wanted}. Tuning its "
                f"weights further keeps their shape and layers. Set training.{key}={wanted}"
            )
    return parent


def check_base(parent: Run, base: BaseIdentity) -> None:
    """Raise `RecipeError` unless the parent was tuned on this base."""
    if parent.base.sha256 != base.sha256:
        raise RecipeError(
            f"{parent.folder} was tuned on {parent.base.id} ({parent.base.sha256[:12]}…), not on {base.id} "
            f"({base.sha256[:12]}…): set model.base={parent.base.source}"
        )


def parent_record(parent: Run) -> ParentRecord:
    """What a run records about its parent: its name, its weights, and the sources of its data and of its parents'."""
    assert parent.tuned is not None, "checked by parent_run"
    before = parent.record.get("parent", {}).get("sources", [])
    return {
        "name": parent.folder.resolve().name,
        "sha256": weights_sha256(parent.tuned),
        "sources": sorted({*before, parent.recipe.data.source}),
        "any_case": is_reader(parent) or parent.any_case,
    }


def check_same(run: Run, parent: Run) -> None:
    """Raise `ValueError` if the parent has been retrained since the run was started."""
    if parent_record(parent)["sha256"] != run.record["parent"]["sha256"]:
        raise ValueError(
            f"The weights of {parent.folder} have changed since {run.folder} was started; set name=... for a new run."
        )


def parent_of(run: Run) -> Run | None:
    """The run that a run started from; None if there is none, or if it no longer exists or was retrained since."""
    name = run.recipe.model.parent
    if name is None or not (name == READER or is_run(Path(name))):
        return None
    parent = open_parent(name)
    unchanged = parent.tuned is not None and parent_record(parent)["sha256"] == run.record["parent"]["sha256"]
    return parent if unchanged else None


def candidates(parent: Run, own: Inventory | None) -> Inventory:
    """The candidates of a run that is tuned further: the parent's senses and its own."""
    if own is None:
        return parent.inventory
    if is_reader(parent):
        own = as_usual(own, parent.inventory)
    return Inventory.merged([parent.inventory, own], f"{parent.folder.resolve().name} + {own.origin}")


def as_usual(glossary: Inventory, inventory: Inventory) -> Inventory:
    """A glossary in which senses without counts count as often as the short form's commonest sense in the inventory.

    The reader uses prior frequencies, and would hardly ever choose a sense with count 0.
    """
    usual = {key: max((sense.count for sense in inventory.senses.get(key, ())), default=0) for key in glossary.senses}
    return Inventory.of(
        (
            (key, sense.long_form, sense.count or usual[key], sense.concept)
            for key, senses in glossary.senses.items()
            for sense in senses
        ),
        glossary.origin,
    )


def senses_as_listed(counted: Iterable[Inventory], inventory: Inventory) -> Inventory:
    """The sense counts of several inventories, added up, with long forms spelt as `inventory` lists them."""
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
    """The passages that a run was trained on, replayed ones included; None if its prepared data is gone."""
    if is_reader(run):
        return reader.notes()  # the part of its training passages that ships
    prepared = run.prepared()
    return None if prepared is None else [*prepared.passages("train"), *prepared.replayed()]


def all_training_passages(run: Run) -> list[Passage] | None:
    """The training passages of a run and of its parents, as far as their data still exists, without duplicates."""
    found: dict[tuple[str, str], Passage] | None = None
    current: Run | None = run
    while current is not None:
        own = training_passages(current)
        if own is not None:
            found = {(p.source, p.id): p for p in own} | (found or {})
        current = parent_of(current)
    return None if found is None else list(found.values())


def replayed(parent: Run, count: int, *, seed: int, avoid: Iterable[Passage]) -> list[Passage]:
    """Training passages of the parent: the first `count` in the order of a hash of (seed, id).

    Args:
        parent: only its training split and the passages that it replayed itself are used, not validation or test.
        count: how many to take; fewer if there are not enough. If two have the same id, the one in its own split wins.
        seed: decides the order, together with the id.
        avoid: held-out passages; a passage of the parent that shares its id or words with one of them is not taken.
    """
    pool = training_passages(parent)
    if pool is None:
        say(f"The data of {parent.folder} no longer exists, so none of it is replayed (data.replay)")
        return []
    shared = shared_passages(avoid, pool)
    once = {passage.id: passage for passage in reversed(pool) if passage.id not in shared}
    return sorted(once.values(), key=lambda passage: _replay_order(seed, passage.id))[:count]


def _replay_order(seed: int, identifier: str) -> bytes:
    return hashlib.sha256(f"{seed}:replay:{identifier}".encode()).digest()
