"""Reads a recipe's sources: the candidates, and the marked passages of each split."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import polars as pl

from ..corpora.corpus import corpus_inventory, is_corpus, mixed, read_account
from ..corpora.pubmed import PubmedSettings, prepare_pubmed
from ..corpora.text_corpus import TextSettings, prepare_text
from ..data.embedded import reader, sample
from ..data.inventory import Inventory
from ..data.kinds import KINDS
from ..data.passage_files import read_passages
from ..data.passages import Passage
from ..data.rows import Quarantine
from ..data.shards import corpus_passages, shards
from ..data.sources.choices import is_choices
from ..data.splits import SPLITS, Split, split_passages
from ..data.substitution import Substituter
from ..recipe import DataSettings, Recipe
from .parents import candidates, parent_run


def load_inventory(settings: DataSettings) -> Inventory:
    """The inventory given in the settings, or else that of the prepared corpus or of the sample."""
    if settings.inventories:
        found = [Inventory.read(Path(name)) for name in settings.inventories]
        return found[0] if len(found) == 1 else Inventory.merged(found, " + ".join(i.origin for i in found))
    if settings.source == "sample":
        return sample.inventory()
    if settings.path is not None and is_corpus(Path(settings.path)):
        return corpus_inventory(Path(settings.path))
    if settings.source == "text":
        return reader.inventory()
    raise ValueError(f"data.inventory is not set: source {settings.source} needs a sense inventory")


def _offered(recipe: Recipe, own: Inventory | None = None) -> Inventory:
    """The candidates: those of the settings, or `own` instead of them, plus those of the parent if there is one."""
    settings, parent = recipe.data, parent_run(recipe)
    if parent is None or not settings.parent_senses:
        return load_inventory(settings) if own is None else own
    if own is None and (settings.source != "table" or settings.inventories):
        own = load_inventory(settings)
    return candidates(parent, own)


def read_sources(
    recipe: Recipe, folder: Path, quarantine: Quarantine
) -> tuple[Inventory, Mapping[Split, Iterable[Passage]]]:
    """The candidates, and the marked passages of each split; the passages of a corpus on disk are read lazily."""
    settings = recipe.data
    if settings.source != "sample" and settings.path is None:
        raise ValueError(f"data.path is not set: source {settings.source} reads a file")
    path = Path(settings.path or "")
    if settings.source in ("pubmed", "text") and settings.substitution.mode in ("medal", "mended"):
        instead = ": use data.kinds.shares to choose what is made from abstracts, such as {medal: 1}"
        raise ValueError(
            f"data.substitution.mode does not apply to source {settings.source}"
            + (instead if settings.source == "pubmed" else ", whose long forms are always replaced")
        )
    if settings.path is not None and is_corpus(path):
        account = read_account(path)
        if account["source"] != settings.source:
            raise ValueError(f"{path} was prepared from {account['source']}, but data.source is {settings.source}")
        return _corpus(recipe, path, _offered(recipe))
    if settings.source in ("pubmed", "text"):
        built = folder / "corpus"
        if settings.source == "pubmed":
            read = prepare_pubmed([path], built, _pubmed_settings(recipe))["rows_read"]
        else:
            read = prepare_text([path], built, _text_settings(recipe))["rows_read"]
        quarantine.total = read
        # Not `splitlines`, which would also split at U+2028 and the like.
        with (built / "quarantine.jsonl").open(encoding="utf-8") as file:
            quarantine.rows = [json.loads(line) for line in file]
        return _corpus(recipe, built, _offered(recipe, corpus_inventory(built)))
    if settings.source == "table" and is_choices(path):
        raise ValueError(f"{path} holds choice questions, not marked passages: set data.source=choices")
    inventory = _offered(recipe)
    passages = sample.passages() if settings.source == "sample" else read_passages(path, inventory, quarantine)
    # Split before substitution: duplicates are recognisable only in their original text.
    splits = split_passages(passages, validation=settings.validation, test=settings.test, seed=recipe.seed)
    mode = settings.substitution.mode
    if mode == "auto":
        mode = "mended" if settings.source == "sample" else "none"
    if mode == "none":
        return inventory, splits
    own = settings.source == "sample" and settings.inventory is None
    shortened = sample.usual_short_forms() if own else inventory
    substitute = Substituter(shortened, mode=mode, probability=settings.substitution.probability, seed=recipe.seed)
    return inventory, {split: [substitute(passage) for passage in part] for split, part in splits.items()}


def _pubmed_settings(recipe: Recipe) -> PubmedSettings:
    settings, kinds = recipe.data, recipe.data.kinds
    if not settings.inventories and set(kinds.shares) - {"defined"}:
        raise ValueError("data.inventory is not set: kinds medal and substituted need a sense inventory")
    return PubmedSettings(
        inventories=tuple(map(Path, settings.inventories)),
        kinds=tuple(kinds.shares),
        probability=kinds.probability,
        all_sections=kinds.all_sections,
        min_count=kinds.min_count,
        validation=settings.validation,
        test=settings.test,
        max_bad_rows=settings.max_bad_rows,
        seed=recipe.seed,
    )


def _text_settings(recipe: Recipe) -> TextSettings:
    settings = recipe.data
    if len(settings.inventories) > 1:
        raise ValueError("data.inventory names several files: source text takes one")
    return TextSettings(
        inventory=Path(settings.inventories[0]) if settings.inventories else None,
        validation=settings.validation,
        test=settings.test,
        max_bad_rows=settings.max_bad_rows,
        seed=recipe.seed,
    )


def read_beside(recipe: Recipe) -> Iterator[tuple[Inventory, Iterable[Passage]]]:
    """The inventory and the training passages of each folder of `data.beside`; passages are read lazily.

    Raises:
        ValueError: a folder was not made by `medalist prepare`.
    """
    for path in map(Path, recipe.data.beside):
        if not is_corpus(path):
            raise ValueError(f"{path} was not made by `medalist prepare medal`, `pubmed` or `text` (key data.beside)")
        inventory = corpus_inventory(path)
        there = [kind for kind in KINDS if (path / kind).exists()]
        if there:
            shares = {kind: recipe.data.kinds.shares.get(kind, 1.0) for kind in there}
            yield inventory, mixed(path, "train", inventory, shares, seed=recipe.seed)
        else:
            yield inventory, corpus_passages(path, "train", inventory)


def beside_count(path: Path) -> int:
    """How many passages `read_beside` reads from a folder, without reading them."""
    files = [file for folder in (path, *(path / kind for kind in KINDS)) for file in shards(folder, "train")]
    return int(pl.scan_parquet(files).select(pl.col("id").n_unique()).collect().item()) if files else 0


def _corpus(recipe: Recipe, path: Path, inventory: Inventory) -> tuple[Inventory, Mapping[Split, Iterable[Passage]]]:
    shares = recipe.data.kinds.shares if recipe.data.source == "pubmed" else None
    there = [kind for kind in KINDS if (path / kind).exists()]
    if shares and (missing := [kind for kind in shares if kind not in there]):
        raise ValueError(
            f"{recipe.data.path} has no passages of kind {' or '.join(missing)}; remove it from data.kinds.shares. "
            f"Available: {', '.join(there)}."
        )
    if shares is None:
        return inventory, {split: corpus_passages(path, split, inventory) for split in SPLITS}
    return inventory, {split: mixed(path, split, inventory, shares, seed=recipe.seed) for split in SPLITS}
