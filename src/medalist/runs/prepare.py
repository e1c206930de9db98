"""Turns a source into a prepared folder: marked passages in three splits, the inventory, and an account of the source.

    data/<source>-<hash of the settings>/
        train.parquet validation.parquet test.parquet  inventory.csv  quarantine.jsonl  data.json
        replay.parquet (only for a run tuned further: training passages of its parent)
        beside-1.parquet beside-1.inventory.csv ... (only with data.beside: more training passages)

For choice questions, the splits hold quizzes and there is no inventory.

The folder's name is derived from the settings: equal settings share a folder, different settings never overwrite it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import cast

from .. import __version__
from ..corpora.accounts import PassageCounts, inventory_counts
from ..corpora.corpus import ACCOUNT, is_corpus
from ..data.detection import mark_distractors
from ..data.embedded import sample
from ..data.inventory import Inventory
from ..data.inventory_spelling import as_listed
from ..data.passage_files import write_parquet
from ..data.passages import NONE_OF_THESE, Passage, fingerprint
from ..data.quizzes import Text, write_quizzes
from ..data.rows import Quarantine
from ..data.sources.choices import read_choices
from ..data.splits import Split, hold_out, split_passages
from ..data.unmatched import nearest, unmatched
from ..recipe import DataSettings, Recipe
from ..tools.files import must_exist, writing_folder
from ..tools.shapes import write_object
from .parents import parent_run, replayed
from .prepared import (
    ACCOUNT_FILE,
    DataAccount,
    Prepared,
    PreparedSettings,
    ShortFormAccount,
    is_prepared,
    open_prepared,
)
from .reading import read_beside, read_sources
from .run import Run

_SHOWN = 20
"""Maximum number of unusable senses in the account."""


def data_folder(recipe: Recipe) -> Path:
    """The folder that the recipe's data is prepared in."""
    settings = {"seed": recipe.seed, **recipe.data.model_dump(mode="json"), "files": _file_marks(recipe.data)}
    settings["medalist"] = __version__  # another one may mark or split texts otherwise
    if (parent := parent_run(recipe)) is not None:
        senses = (parent.folder / "inventory.csv").read_bytes()
        settings["parent"] = [parent.record["data"]["fingerprint"], hashlib.sha256(senses).hexdigest()]
    key = json.dumps(settings)
    return Path(recipe.output).parent / "data" / f"{recipe.data.source}-{hashlib.sha256(key.encode()).hexdigest()[:10]}"


def prepare(recipe: Recipe) -> Prepared:
    """Read, mark and split the recipe's data, or open the folder that an earlier call prepared with the same settings.

    Raises:
        ValueError: a setting or a file is invalid, or too many rows are malformed; no partial folder is left behind.
        FileNotFoundError: a file is missing.
    """
    folder = data_folder(recipe)
    if not is_prepared(folder):
        with writing_folder(folder, keep_if=is_prepared) as begun:
            (_write_choices if recipe.data.source == "choices" else _write)(recipe, begun)
            shutil.rmtree(begun / "corpus", ignore_errors=True)
    return open_prepared(folder)


def _write_choices(recipe: Recipe, folder: Path) -> None:
    settings, quarantine = recipe.data, Quarantine(limit=recipe.data.max_bad_rows)
    if settings.path is None:
        raise ValueError("data.path is not set: source choices reads a file")
    if settings.inventories or settings.hold_out != "nothing":
        raise ValueError("data.inventory and data.hold_out apply to short forms only; source choices takes neither")
    found = read_choices(Path(settings.path), quarantine)
    limits = _limits(settings)
    splits = {
        split: part[: limits[split]]
        for split, part in split_passages(
            found, validation=settings.validation, test=settings.test, seed=recipe.seed
        ).items()
    }
    for split, part in splits.items():
        write_quizzes(part, folder / f"{split}.parquet")
    _write_account(recipe, folder, splits, quarantine, {})


def _limits(settings: DataSettings) -> dict[Split, int | None]:
    return {"train": settings.limit, "validation": settings.limit_validation, "test": settings.limit_test}


def _write_account(
    recipe: Recipe,
    folder: Path,
    splits: Mapping[Split, Sequence[Text]],
    quarantine: Quarantine,
    more: ShortFormAccount,
) -> None:
    """Write the quarantined rows and then, last of all, `data.json`."""
    quarantine.write(folder / "quarantine.jsonl")
    account: DataAccount = {
        "settings": cast("PreparedSettings", {"seed": recipe.seed, **recipe.data.model_dump(mode="json")}),
        "passages": {split: len(part) for split, part in splits.items()},
        "mentions": {split: sum(text.num_questions for text in part) for split, part in splits.items()},
        **more,
        "rows_read": quarantine.total,
        "rows_quarantined": quarantine.summary(),
        "fingerprint": {split: fingerprint(part) for split, part in splits.items()} | more.get("fingerprint", {}),
    }
    write_object(folder / ACCOUNT_FILE, account)


def _marked_splits(
    recipe: Recipe, found: Mapping[Split, Iterable[Passage]], inventory: Inventory
) -> tuple[dict[Split, list[Passage]], int]:
    """The passages of each split as used for training and evaluation, and the number dropped for lack of mentions.

    Golds take the inventory's spelling, held-out senses or short forms are removed, and words that only look like a
    short form are marked.
    """
    settings, limits = recipe.data, _limits(recipe.data)
    # Two inventories, or an annotator and an inventory, may spell a sense differently; only one spelling is offered.
    respelt = recipe.model.parent is not None or settings.source == "table"
    kept = partial(hold_out, share=settings.hold_out_share, seed=recipe.seed)
    splits: dict[Split, list[Passage]] = {}
    without = 0
    for split, part in found.items():
        splits[split] = []
        for passage in part:
            if respelt:
                passage = as_listed(passage, inventory)
            if settings.hold_out != "nothing":
                passage = kept(passage, split, settings.hold_out)
                if not passage.mentions:
                    without += 1
                    continue
            marked = passage
            if settings.source != "text":  # plain texts have their look-alikes marked already
                marked = mark_distractors(passage, inventory, rate=settings.substitution.distractors, seed=recipe.seed)
            if settings.hold_out == "short_forms":  # held-out short forms must not be training distractors either
                marked = kept(marked, split, settings.hold_out)
            if not marked.mentions:
                without += 1
            elif len(splits[split]) == limits[split]:
                break
            else:
                splits[split].append(marked)
    return splits, without


def _write(recipe: Recipe, folder: Path) -> None:
    settings, quarantine = recipe.data, Quarantine(limit=recipe.data.max_bad_rows)
    inventory, found = read_sources(recipe, folder, quarantine)
    splits, without = _marked_splits(recipe, found, inventory)
    if not any(splits.values()):
        raise ValueError(
            f"No passage in {settings.path or settings.source} has a marked short form. Is {inventory.origin} the "
            "right inventory? Should data.substitution.mode be medal or mended?"
        )
    taught = sum(m.long_form not in (None, NONE_OF_THESE) for p in splits["train"] for m in p.mentions)
    if settings.source == "table" and not taught:
        raise ValueError(
            f"None of the {len(splits['train']):,} passages to train on in {settings.path} has a mark with a long form "
            f"(validation and test have {len(splits['validation']) + len(splits['test']):,}): mark short forms with "
            "their meaning, or make marks of long forms with data.substitution.mode=mended"
        )
    missed = unmatched(splits["train"], inventory) if settings.source == "table" else {}
    own = sum(m.long_form is not None for p in splits["train"] for m in p.mentions)
    if missed and sum(missed.values()) == own:
        raise ValueError(
            f"None of the {own:,} marks to train on in {settings.path} has its long form in {inventory.origin}: "
            f"{_in_words(next(iter(missed)), inventory)}. Add the senses to the inventory (data.inventory)"
        )
    for split, part in splits.items():
        write_parquet(part, folder / f"{split}.parquet")
    inventory.write(folder / "inventory.csv")
    more: ShortFormAccount = {
        "inventory": inventory_counts(inventory),
        "distractors": {
            split: sum(m.long_form == NONE_OF_THESE for p in part for m in p.mentions) for split, part in splits.items()
        },
        "passages_without_mentions": without,
    }
    if missed:
        more["unusable_mentions"] = sum(missed.values())
        more["unusable"] = [
            {"short_form": s, "long_form": name, "mentions": count, "nearest": nearest(s, name, inventory)}
            for (s, name), count in list(missed.items())[:_SHOWN]
        ]
    if (parent := parent_run(recipe)) is not None:
        replay = _replay(recipe, parent, inventory, splits)
        write_parquet(replay, folder / "replay.parquet")
        more["replay"] = {"passages": len(replay), "mentions": sum(len(p.mentions) for p in replay)}
        more["fingerprint"] = {"replay": fingerprint(replay)}
    _write_beside(recipe, folder, more)
    _write_account(recipe, folder, splits, quarantine, more)


def _in_words(sense: tuple[str, str], inventory: Inventory) -> str:
    near = nearest(*sense, inventory)
    return f"{sense[0]} has no {sense[1]}" + (f", the nearest is {near}" if near else "")


def _write_beside(recipe: Recipe, folder: Path, more: ShortFormAccount) -> None:
    """Write the passages of `data.beside` with their inventories, and add them to the account."""
    for number, (inventory, passages) in enumerate(read_beside(recipe), 1):
        found = list(passages)
        write_parquet(found, folder / f"beside-{number}.parquet")
        inventory.write(folder / f"beside-{number}.inventory.csv")
        counts: PassageCounts = {"passages": len(found), "mentions": sum(len(p.mentions) for p in found)}
        more["beside"] = [*more.get("beside", []), counts]
        more["fingerprint"] = more.get("fingerprint", {}) | {f"beside-{number}": fingerprint(found)}


def _replay(recipe: Recipe, parent: Run, inventory: Inventory, splits: Mapping[Split, list[Passage]]) -> list[Passage]:
    """The parent's passages that make up the requested share of the training data; none is in a held-out split."""
    share, held = recipe.data.replay, [*splits["validation"], *splits["test"]]
    count = round(len(splits["train"]) * share / (1 - share))
    return [as_listed(p, inventory) for p in replayed(parent, count, seed=recipe.seed, avoid=held)] if count else []


def _file_marks(settings: DataSettings) -> list[tuple[str, int, int]]:
    """Size and modification time of each input file, so that the data is prepared again when a file changes."""
    marks = []
    if settings.source == "sample":
        marks = [(path.name, path.stat().st_size, 0) for path in sample.FILES]
    names = [("path", settings.path)] if settings.path is not None else []
    names += [("beside", name) for name in settings.beside]
    for key, name in [*names, *(("inventory", name) for name in settings.inventories)]:
        path = Path(name)
        must_exist(path, f"key data.{key}")
        inside = sorted(path.iterdir()) if path.is_dir() and not is_corpus(path) else [path]
        for file in [path / ACCOUNT] if is_corpus(path) else inside:
            stat = file.stat()
            marks.append((str(file), stat.st_size, stat.st_mtime_ns))
    return marks
