"""From a source to a prepared folder: marked passages in three splits, the inventory, and an account of what was read.

    data/<source>-<hash of the settings>/
        train.parquet validation.parquet test.parquet  inventory.csv  quarantine.jsonl  data.json
        replay.parquet (of a run that is tuned further: training passages of its parent)

Of choice questions the splits hold quizzes, and there is no inventory.

The folder's name follows from the settings, so equal settings share it and others never overwrite it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..corpora.corpus import ACCOUNT, corpus_inventory, corpus_passages, is_corpus, mixed
from ..corpora.pubmed import PubmedSettings, prepare_pubmed
from ..data.detection import mark_distractors
from ..data.embedded import sample
from ..data.inventory import NO_SENSES, Inventory
from ..data.kinds import KINDS, as_listed
from ..data.passage_files import read_passages, write_parquet
from ..data.passages import NONE_OF_THESE, Passage, Text, fingerprint
from ..data.quizzes import Quiz, read_quizzes, write_quizzes
from ..data.rows import Quarantine
from ..data.sources.choices import is_choices, read_choices
from ..data.splits import Split, hold_out, split_passages
from ..data.substitution import Substituter
from ..recipe import DataSettings, Recipe
from ..tools.files import replacing

if TYPE_CHECKING:
    from .run import Run


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A prepared folder, read back."""

    folder: Path
    inventory: Inventory
    account: dict[str, Any]
    """What `data.json` says: settings, counts, fingerprints."""

    def passages(self, split: Split) -> list[Passage]:
        """The passages of a split; none where it holds quizzes."""
        if self._of_choices or not self.account["passages"][split]:
            return []
        return read_passages(self.folder / f"{split}.parquet", self.inventory)

    def quizzes(self, split: Split) -> list[Quiz]:
        """The quizzes of a split; none where it holds passages."""
        return read_quizzes(self.folder / f"{split}.parquet") if self._of_choices else []

    def texts(self, split: Split) -> Sequence[Passage | Quiz]:
        """Whichever it holds."""
        return self.quizzes(split) or self.passages(split)

    @property
    def _of_choices(self) -> bool:
        return bool(self.account["settings"]["source"] == "choices")

    def replayed(self) -> list[Passage]:
        """Passages of the parent that are trained on beside those of the training split; see `parents`."""
        if not self.account.get("replay", {}).get("passages"):
            return []
        return read_passages(self.folder / "replay.parquet", self.inventory)


def data_folder(recipe: Recipe) -> Path:
    """Where the recipe's data goes."""
    settings = {"seed": recipe.seed, **recipe.data.model_dump(mode="json"), "files": _file_marks(recipe.data)}
    if (parent := _parent(recipe)) is not None:
        senses = (parent.folder / "inventory.csv").read_bytes()
        settings["parent"] = [parent.record["data"]["fingerprint"], hashlib.sha256(senses).hexdigest()]
    key = json.dumps(settings)
    return Path(recipe.output).parent / "data" / f"{recipe.data.source}-{hashlib.sha256(key.encode()).hexdigest()[:10]}"


def _parent(recipe: Recipe) -> Run | None:
    from .parents import parent_run  # which needs this module

    return parent_run(recipe)


def prepare(recipe: Recipe) -> Prepared:
    """Read, mark and split the recipe's data, or open what an earlier call prepared from the same settings.

    Raises:
        ValueError: a setting or a file is wrong, or too many rows are bad; nothing is left half-written.
        FileNotFoundError: a file is missing.
    """
    folder = data_folder(recipe)
    if not (folder / "data.json").exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        begun = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            (_write_choices if recipe.data.source == "choices" else _write)(recipe, begun)
            shutil.rmtree(begun / "corpus", ignore_errors=True)
            begun.chmod(0o755)
            try:
                begun.rename(folder)
            except OSError:
                if not (folder / "data.json").exists():  # else another process was first, with the same settings
                    raise
        finally:
            shutil.rmtree(begun, ignore_errors=True)
    return open_prepared(folder)


def open_prepared(folder: Path) -> Prepared:
    """Open a prepared folder.

    Raises:
        FileNotFoundError: it is none.
    """
    if not (folder / "data.json").exists():
        raise FileNotFoundError(f"{folder} holds no prepared data; run `medalist prepare`")
    account = json.loads((folder / "data.json").read_text(encoding="utf-8"))
    listed = account["settings"]["source"] != "choices"
    return Prepared(
        folder=folder, inventory=Inventory.read(folder / "inventory.csv") if listed else NO_SENSES, account=account
    )


def _write_choices(recipe: Recipe, folder: Path) -> None:
    settings, quarantine = recipe.data, Quarantine(limit=recipe.data.max_bad_rows)
    if settings.path is None:
        raise ValueError("data.path is not set: source choices reads a file")
    if settings.inventories or settings.hold_out != "nothing":
        raise ValueError("data.inventory and data.hold_out are about short forms; source choices takes neither")
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
    more: dict[str, Any],
) -> None:
    """Write what was set aside, and last of all `data.json`."""
    quarantine.write(folder / "quarantine.jsonl")
    account = {
        "settings": {"seed": recipe.seed, **recipe.data.model_dump(mode="json")},
        "passages": {split: len(part) for split, part in splits.items()},
        "mentions": {split: sum(text.num_questions for text in part) for split, part in splits.items()},
        **more,
        "rows_read": quarantine.total,
        "rows_quarantined": quarantine.summary(),
        "fingerprint": {split: fingerprint(part) for split, part in splits.items()} | more.get("fingerprint", {}),
    }
    with replacing(folder / "data.json") as file:
        json.dump(account, file, indent=2, ensure_ascii=False)


def _write(recipe: Recipe, folder: Path) -> None:
    settings, quarantine = recipe.data, Quarantine(limit=recipe.data.max_bad_rows)
    inventory, found = _sources(recipe, folder, quarantine)
    limits, parent = _limits(settings), _parent(recipe)
    kept = partial(hold_out, share=settings.hold_out_share, seed=recipe.seed)
    splits: dict[Split, list[Passage]] = {}
    without = 0
    for split, part in found.items():
        splits[split] = []
        for passage in part:
            if parent is not None:  # two inventories may spell a sense in two ways, and one of them is offered
                passage = as_listed(passage, inventory)
            if settings.hold_out != "nothing":
                passage = kept(passage, split, settings.hold_out)
                if not passage.mentions:
                    without += 1
                    continue
            marked = mark_distractors(passage, inventory, rate=settings.substitution.distractors, seed=recipe.seed)
            if settings.hold_out == "short_forms":  # which then are no distractors of the training split either
                marked = kept(marked, split, settings.hold_out)
            if not marked.mentions:
                without += 1
            elif len(splits[split]) == limits[split]:
                break
            else:
                splits[split].append(marked)
    if not any(splits.values()):
        raise ValueError(
            f"No passage of {settings.path or settings.source} has a marked short form; is {inventory.origin} the "
            "right inventory, and should data.substitution.mode be medal or mended?"
        )
    for split, part in splits.items():
        write_parquet(part, folder / f"{split}.parquet")
    inventory.write(folder / "inventory.csv")
    more: dict[str, Any] = {
        "inventory": {
            "origin": inventory.origin,
            "short_forms": len(inventory),
            "senses": sum(map(len, inventory.senses.values())),
        },
        "distractors": {
            split: sum(m.long_form == NONE_OF_THESE for p in part for m in p.mentions) for split, part in splits.items()
        },
        "passages_without_mentions": without,
    }
    if parent is not None:
        again = _replay(recipe, parent, inventory, splits)
        write_parquet(again, folder / "replay.parquet")
        more["replay"] = {"passages": len(again), "mentions": sum(len(p.mentions) for p in again)}
        more["fingerprint"] = {"replay": fingerprint(again)}
    _write_account(recipe, folder, splits, quarantine, more)


def _replay(recipe: Recipe, parent: Run, inventory: Inventory, splits: Mapping[Split, list[Passage]]) -> list[Passage]:
    """The parent's passages that make up the wanted share of the training data; none that stands in a held-out split."""
    from .parents import replayed  # which needs this module

    share, held = recipe.data.replay, [*splits["validation"], *splits["test"]]
    count = round(len(splits["train"]) * share / (1 - share))
    return [as_listed(p, inventory) for p in replayed(parent, count, seed=recipe.seed, avoid=held)] if count else []


def load_inventory(settings: DataSettings) -> Inventory:
    """The inventory that the settings name: a prepared folder's own or the sample's where they name none."""
    if settings.inventories:
        found = [Inventory.read(Path(name)) for name in settings.inventories]
        return found[0] if len(found) == 1 else Inventory.merged(found, " + ".join(i.origin for i in found))
    if settings.source == "sample":
        return sample.inventory()
    if settings.path is not None and is_corpus(Path(settings.path)):
        return corpus_inventory(Path(settings.path))
    raise ValueError(f"data.inventory is not set: source {settings.source} needs a sense inventory")


def _offered(recipe: Recipe, own: Inventory | None = None) -> Inventory:
    """The candidates: of the settings, or `own` in their place, and of the parent if there is one."""
    from .parents import candidates  # which needs this module

    settings, parent = recipe.data, _parent(recipe)
    if parent is None or not settings.parent_senses:
        return load_inventory(settings) if own is None else own
    if own is None and (settings.source != "table" or settings.inventories):
        own = load_inventory(settings)
    return candidates(parent, own)


def _sources(
    recipe: Recipe, folder: Path, quarantine: Quarantine
) -> tuple[Inventory, Mapping[Split, Iterable[Passage]]]:
    """The candidates, and the marked passages of each split; those of a corpus on disk are read as they are asked for."""
    settings = recipe.data
    if settings.source != "sample" and settings.path is None:
        raise ValueError(f"data.path is not set: source {settings.source} reads a file")
    path = Path(settings.path or "")
    if settings.source == "pubmed" and settings.substitution.mode in ("medal", "mended"):
        raise ValueError(
            "data.substitution.mode is not for source pubmed: say with data.kinds.shares what to make of abstracts, such as "
            "{medal: 1}"
        )
    if settings.path is not None and is_corpus(path):
        account = json.loads((path / ACCOUNT).read_text(encoding="utf-8"))
        if account["source"] != settings.source:
            raise ValueError(f"{path} was prepared from {account['source']}, but data.source is {settings.source}")
        return _corpus(recipe, path, _offered(recipe))
    if settings.source == "pubmed":
        built = folder / "corpus"
        account = prepare_pubmed([path], built, _pubmed_settings(recipe))
        quarantine.total = account["rows_read"]
        with (built / "quarantine.jsonl").open(
            encoding="utf-8"
        ) as file:  # not splitlines, which knows other line ends too
            quarantine.rows = [json.loads(line) for line in file]
        return _corpus(recipe, built, _offered(recipe, corpus_inventory(built)))
    if settings.source == "table" and is_choices(path):
        raise ValueError(f"{path} holds choice questions, not marked passages: set data.source=choices")
    inventory = _offered(recipe)
    passages = sample.passages() if settings.source == "sample" else read_passages(path, inventory, quarantine)
    # Split before anything is replaced: duplicates are alike only as they came.
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


def _corpus(recipe: Recipe, path: Path, inventory: Inventory) -> tuple[Inventory, Mapping[Split, Iterable[Passage]]]:
    shares = recipe.data.kinds.shares if recipe.data.source == "pubmed" else None
    there = [kind for kind in KINDS if (path / kind).exists()]
    if shares and (missing := [kind for kind in shares if kind not in there]):
        raise ValueError(
            f"{recipe.data.path} gives no passages of kind {' or '.join(missing)}; leave that out of data.kinds.shares. There "
            f"are: {', '.join(there)}."
        )
    splits: tuple[Split, ...] = ("train", "validation", "test")
    if shares is None:
        return inventory, {split: corpus_passages(path, split, inventory) for split in splits}
    return inventory, {split: mixed(path, split, inventory, shares, seed=recipe.seed) for split in splits}


def _file_marks(settings: DataSettings) -> list[tuple[str, int, int]]:
    """Size and time of the files read, so that a changed file is prepared anew."""
    marks = []
    if settings.source == "sample":
        marks = [(path.name, path.stat().st_size, 0) for path in sample.FILES]
    names = [("path", settings.path)] if settings.path is not None else []
    for key, name in [*names, *(("inventory", name) for name in settings.inventories)]:
        path = Path(name)
        if not path.exists():
            raise FileNotFoundError(f"{name} does not exist (key data.{key})")
        inside = sorted(path.iterdir()) if path.is_dir() and not is_corpus(path) else [path]
        for file in [path / ACCOUNT] if is_corpus(path) else inside:
            stat = file.stat()
            marks.append((str(file), stat.st_size, stat.st_mtime_ns))
    return marks
