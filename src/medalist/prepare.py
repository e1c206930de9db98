"""From a source to a prepared folder: marked passages in three splits, the inventory, and an account of what was read.

    data/<source>-<hash of the settings>/
        train.parquet validation.parquet test.parquet  inventory.csv  quarantine.jsonl  data.json

The folder's name follows from the settings, so equal settings share it and others never overwrite it.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .files import replacing
from .inventory import Inventory
from .passages import Mention, Passage, Quarantine, fingerprint, read_passages, write_parquet
from .prompt import NONE_OF_THESE
from .recipe import DataSettings, Recipe
from .sources import pubmed, sample
from .splits import Split, split_passages
from .substitution import Substituter


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A prepared folder, read back."""

    folder: Path
    inventory: Inventory
    account: dict[str, Any]
    """What `data.json` says: settings, counts, fingerprints."""

    def passages(self, split: Split) -> list[Passage]:
        """The passages of a split."""
        if not self.account["passages"][split]:
            return []
        return read_passages(self.folder / f"{split}.parquet", self.inventory)


def data_folder(recipe: Recipe) -> Path:
    """Where the recipe's data goes."""
    key = json.dumps({"seed": recipe.seed, **recipe.data.model_dump(mode="json"), "files": _file_marks(recipe.data)})
    return Path(recipe.output).parent / "data" / f"{recipe.data.source}-{hashlib.sha256(key.encode()).hexdigest()[:10]}"


def prepare(recipe: Recipe) -> Prepared:
    """Read, mark and split the recipe's data, or open what an earlier call prepared from the same settings.

    Raises:
        ValueError: a setting or a file is wrong, or too many rows are bad; nothing is left half-written.
        FileNotFoundError: a file is missing.
    """
    folder = data_folder(recipe)
    if not (folder / "data.json").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            _write(recipe, partial)
            partial.chmod(0o755)
            try:
                partial.rename(folder)
            except OSError:
                if not (folder / "data.json").exists():  # else another process was first, with the same settings
                    raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return open_prepared(folder)


def open_prepared(folder: Path) -> Prepared:
    """Open a prepared folder.

    Raises:
        FileNotFoundError: it is none.
    """
    if not (folder / "data.json").exists():
        raise FileNotFoundError(f"{folder} holds no prepared data; run `medalist prepare`")
    return Prepared(
        folder=folder,
        inventory=Inventory.read(folder / "inventory.csv"),
        account=json.loads((folder / "data.json").read_text(encoding="utf-8")),
    )


def _write(recipe: Recipe, folder: Path) -> None:
    settings, quarantine = recipe.data, Quarantine(limit=recipe.data.max_bad_rows)
    inventory = load_inventory(settings)
    # Split before anything is replaced: duplicates are alike only as they came.
    splits = split_passages(
        _load(settings, inventory, quarantine), validation=settings.validation, test=settings.test, seed=recipe.seed
    )
    marking, mode = settings.substitution, settings.substitution.mode
    if mode == "auto":
        mode = "mended" if settings.source in ("sample", "pubmed") else "none"
    if mode != "none":
        own = settings.source == "sample" and settings.inventory is None
        shortened = sample.usual_short_forms() if own else inventory
        substitute = Substituter(shortened, mode=mode, probability=marking.probability, seed=recipe.seed)
        splits = {split: [substitute(passage) for passage in part] for split, part in splits.items()}
    without = 0
    for split, part in splits.items():
        marked = [mark_distractors(p, inventory, rate=marking.distractors, seed=recipe.seed) for p in part]
        splits[split] = [passage for passage in marked if passage.mentions]
        without += len(marked) - len(splits[split])
    if not any(splits.values()):
        raise ValueError(
            f"No passage of {settings.path or settings.source} has a marked short form; is {inventory.origin} the "
            "right inventory, and should data.substitution.mode be medal or mended?"
        )
    if settings.limit is not None:
        splits["train"] = splits["train"][: settings.limit]
    for split, part in splits.items():
        write_parquet(part, folder / f"{split}.parquet")
    inventory.write(folder / "inventory.csv")
    quarantine.write(folder / "quarantine.jsonl")
    account = {
        "settings": {"seed": recipe.seed, **settings.model_dump(mode="json")},
        "inventory": {
            "origin": inventory.origin,
            "short_forms": len(inventory),
            "senses": sum(map(len, inventory.senses.values())),
        },
        "passages": {split: len(part) for split, part in splits.items()},
        "mentions": {split: sum(len(p.mentions) for p in part) for split, part in splits.items()},
        "distractors": {
            split: sum(m.long_form == NONE_OF_THESE for p in part for m in p.mentions) for split, part in splits.items()
        },
        "passages_without_mentions": without,
        "rows_read": quarantine.total,
        "rows_quarantined": quarantine.summary(),
        "fingerprint": {split: fingerprint(part) for split, part in splits.items()},
    }
    with replacing(folder / "data.json") as file:
        json.dump(account, file, indent=2, ensure_ascii=False)


def load_inventory(settings: DataSettings) -> Inventory:
    """The inventory that the settings name; the sample's own where they name none."""
    if settings.inventory is not None:
        return Inventory.read(Path(settings.inventory))
    if settings.source == "sample":
        return sample.inventory()
    raise ValueError(f"data.inventory is not set: source {settings.source} needs a sense inventory")


def _load(settings: DataSettings, inventory: Inventory, quarantine: Quarantine) -> list[Passage]:
    if settings.source == "sample":
        return sample.passages()
    if settings.path is None:
        raise ValueError(f"data.path is not set: source {settings.source} reads a file")
    path = Path(settings.path)
    if settings.source == "pubmed":
        return pubmed.read_abstracts(path, quarantine)
    return read_passages(path, inventory, quarantine)


def _file_marks(settings: DataSettings) -> list[tuple[str, int, int]]:
    """Size and time of the files read, so that a changed file is prepared anew."""
    marks = []
    if settings.source == "sample":
        marks = [(path.name, path.stat().st_size, 0) for path in sample.FILES]
    for name in (settings.path, settings.inventory):
        if name is not None:
            if not Path(name).exists():
                key = "path" if name == settings.path else "inventory"
                raise FileNotFoundError(f"{name} does not exist (key data.{key})")
            stat = Path(name).stat()
            marks.append((name, stat.st_size, stat.st_mtime_ns))
    return marks


_LOWER_WORD = re.compile(r"(?<!\S)[a-z]{2,}(?!\S)")


def mark_distractors(passage: Passage, inventory: Inventory, *, rate: float, seed: int) -> Passage:
    """Mark ordinary lower-case words that the inventory would take for a short form ("as", "all"); their gold is none.

    Args:
        passage: marked already.
        inventory: what would take them for short forms.
        rate: how many per passage on average, as far as it has any.
        seed: with the passage's id, decides which.
    """
    draw = random.Random(f"{seed}:distractors:{passage.id}")
    count = int(rate) + (draw.random() < rate % 1)
    found = []
    for word in _LOWER_WORD.finditer(passage.text):
        key = inventory.key(word.group())
        if key is not None and key.lower() == word.group() and key != word.group():
            found.append(Mention(start=word.start(), end=word.end(), short_form=key, long_form=NONE_OF_THESE))
    taken = [(mention.start, mention.end) for mention in passage.mentions]
    free = [m for m in found if all(m.end <= start or end <= m.start for start, end in taken)]
    chosen = draw.sample(free, min(count, len(free)))
    mentions = sorted((*passage.mentions, *chosen), key=lambda mention: mention.start)
    return Passage(id=passage.id, text=passage.text, mentions=tuple(mentions), source=passage.source)
