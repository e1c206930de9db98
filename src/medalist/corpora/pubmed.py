"""Prepares PubMed abstracts as a corpus: marked passages of several kinds, and an inventory mined from the text.

Each file is processed independently, so processes or a cluster can share the work; only choosing the valid revision of
each abstract takes all files together. The corpus is byte-identical for any number of workers.
"""

from __future__ import annotations

import shutil
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import polars as pl

from ..data.inventory import Inventory
from ..data.kinds import KINDS, Kind, KindMaker, definition_counts
from ..data.passages import Passage
from ..data.rows import Quarantine
from ..data.shards import write_shard
from ..data.sources.pubmed import Abstract, input_files, read_records
from ..data.splits import SPLITS, Split, split_of
from ..tools.files import write_frame
from ..tools.parallel import run_jobs
from .accounts import PassageCounts, PubmedAccount, Revisions, inventory_counts
from .corpus import (
    ACCOUNT,
    building,
    content_key,
    finish,
    is_corpus,
    read_json,
    work_folder,
    write_account,
    write_json,
)
from .data_card import pubmed_card
from .origins import is_public
from .revisions import READ, ReadFile, choose


@dataclass(frozen=True, kw_only=True)
class PubmedSettings:
    """How to turn abstracts into a corpus."""

    inventories: tuple[Path, ...] = ()
    """Sense inventories, merged to give the candidates. The kind `medal` abbreviates the long forms of the first."""
    kinds: tuple[Kind, ...] = KINDS
    """Kinds of passages to make from every abstract; see `kinds`."""
    probability: dict[Kind, float] = field(default_factory=lambda: {"medal": 0.15, "substituted": 0.4})
    """Probability of abbreviating one occurrence (`medal`; published: 0.15) or all of one long form (`substituted`)."""
    all_sections: bool = False
    """Use the whole abstract for the kind `medal`; the published recipe uses the first section."""
    min_count: int = 1
    """Minimum number of training abstracts that must define a pair of short and long form for it to be mined."""
    validation: float = 0.05
    """Validation share of the abstracts, by a hash of the PMID."""
    test: float = 0.1
    """Test share of the abstracts, likewise."""
    max_bad_rows: float = 0.05
    """Abort if the share of malformed records exceeds this."""
    seed: int = 0
    """Determines splits and substitutions."""


def prepare_pubmed(
    sources: Sequence[Path | str],
    out: Path | str,
    settings: PubmedSettings,
    *,
    workers: int = 1,
    ray: str | None = None,
) -> PubmedAccount:
    """Turn PubMed files or JSON Lines into a corpus, one folder per kind. If interrupted, call it again to resume.

    Args:
        sources: files or folders, the baseline before the updates: if two revisions have the same version, the later
            one is used.
        out: the corpus folder; it must not exist.
        settings: how to prepare the corpus.
        workers: number of processes; the output is byte-identical for any number.
        ray: address of a Ray cluster to run on instead; see `parallel`.

    Returns:
        The account, as stored in `corpus.json`.

    Raises:
        FileNotFoundError: a file is missing.
        FileExistsError: `out` already exists.
        ValueError: a file is damaged (the others are still read, and the results kept), or too many records are
            malformed.
    """
    out, settings = Path(out), replace(settings, inventories=tuple(map(Path, settings.inventories)))
    if not settings.inventories and set(settings.kinds) - {"defined"}:
        raise ValueError("The kinds medal and substituted need an inventory of long forms to look for")
    files = [
        file.absolute() for file in input_files([*map(Path, sources)])
    ]  # workers may have another working directory
    if not files:
        raise ValueError("No PubMed file was given")
    inventories = [Inventory.read(path) for path in settings.inventories]
    recorded = {
        **{name: str(value) for name, value in vars(settings).items() if name != "max_bad_rows"},
        "inventories": [(str(p), zlib.crc32(p.read_bytes())) for p in settings.inventories],
        "files": list(map(str, files)),
    }
    with building(out):
        work = work_folder(out, recorded)
        _forget_changed(work, files)
        if not is_corpus(work):
            _build(work, files, inventories, settings, workers, ray)
        account = finish(work, out, leave_out=("read", "kept", "mined", "marked", "first.csv", "files.json"))
        assert account["source"] == "pubmed"
        return account


def _forget_changed(work: Path, files: list[Path]) -> None:
    """Discard the results of files that have changed since they were read, and everything derived from them."""
    marks = [[file.stat().st_size, file.stat().st_mtime_ns] for file in files]
    noted = work / "files.json"
    before = read_json(noted) if noted.exists() else [None] * len(files)
    if before == marks:
        return
    for number, (old, new) in enumerate(zip(before, marks, strict=True)):
        if old != new:
            (work / "read" / f"{number:05}.json").unlink(missing_ok=True)
    for folder in ("kept", "mined", "marked", *KINDS, *(["read"] if is_corpus(work) else [])):
        shutil.rmtree(work / folder, ignore_errors=True)
    (work / ACCOUNT).unlink(missing_ok=True)
    write_json(marks, noted)


def _build(
    work: Path,
    files: list[Path],
    inventories: list[Inventory],
    settings: PubmedSettings,
    workers: int,
    ray: str | None,
) -> None:
    numbers = range(len(files))

    def stage(function: Any, folder: str, label: str, **fixed: Any) -> None:
        """Run a stage for every file that does not have a result yet."""
        todo = [n for n in numbers if not (work / folder / f"{n:05}.json").exists()]
        job = partial(function, work=work, settings=settings, **fixed)
        for _ in run_jobs(job, todo, workers=workers, ray=ray, label=label, name=lambda n: files[n].name):
            pass

    stage(_read_file, "read", "Reading", files=files)
    read = [read_json(work / "read" / f"{n:05}.json") for n in numbers]
    quarantine = Quarantine(limit=settings.max_bad_rows, total=sum(part["total"] for part in read))
    quarantine.rows.extend(row for part in read for row in part["bad"])
    quarantine.check()
    counts = choose(work, len(files), read)
    mined = Inventory.of([])
    if "defined" in settings.kinds:
        stage(_mine_file, "mined", "Finding definitions")
        mined = _mined([read_json(work / "mined" / f"{n:05}.json") for n in numbers], settings.min_count)
    origin = " + ".join([*(i.origin for i in inventories), *(["mined"] if mined.senses else [])])
    one = len(inventories) == 1 and not mined.senses
    listed = inventories[0] if one else Inventory.merged([*inventories, mined], origin)
    if not listed.senses:
        raise ValueError(
            f"No training abstract in {_named(files)} defines a short form; provide an inventory of long forms"
        )
    listed.write(work / "inventory.csv")
    (inventories[0] if inventories else listed).write(work / "first.csv")
    stage(_mark_file, "marked", "Marking", total=len(files))
    marked = [read_json(work / "marked" / f"{n:05}.json") for n in numbers]
    quarantine.write(work / "quarantine.jsonl")
    account = _account(settings, files, listed, mined, quarantine, counts, marked)
    if not any(n["mentions"] for kind in account["kinds"].values() for n in kind.values()):
        hint = f"; is {origin} the right inventory?" if inventories else ""
        raise ValueError(f"No abstract in {_named(files)} has anything to mark for the chosen kinds{hint}")
    pubmed_card(account, work / "card.html")
    write_account(account, work)


def _account(
    settings: PubmedSettings,
    files: list[Path],
    listed: Inventory,
    mined: Inventory,
    quarantine: Quarantine,
    counts: Revisions,
    marked: list[dict[str, Any]],
) -> PubmedAccount:
    """Sum up the results of all files: what each marked, and what was left out."""
    return {
        "source": "pubmed",
        "settings": {
            name: value if isinstance(value, int | float | dict) else str(value)
            for name, value in vars(settings).items()
        }
        | {"inventories": [str(path) for path in settings.inventories], "kinds": list(settings.kinds)},
        "read": [file.name for file in files],
        "public": all(map(is_public, files)),
        "inventory": {
            **inventory_counts(listed),
            "mined_short_forms": len(mined),
            "mined_senses": mined.num_senses,
        },
        **counts,
        "rows_read": quarantine.total,
        "rows_quarantined": quarantine.summary(),
        "quarantine_examples": quarantine.examples(30),
        "abstracts": {split: sum(part["abstracts"][split] for part in marked) for split in SPLITS},
        "kinds": {
            kind: {split: _added([part["kinds"][kind][split] for part in marked]) for split in SPLITS}
            for kind in settings.kinds
        },
        "short_forms": {
            kind: sum((Counter(dict(part["short_forms"][kind])) for part in marked), Counter()).most_common(20)
            for kind in settings.kinds
        },
    }


def _named(files: list[Path]) -> str:
    return str(files[0]) + (f" and {len(files) - 1:,} more files" if len(files) > 1 else "")


def _added(parts: list[PassageCounts]) -> PassageCounts:
    return {"passages": sum(part["passages"] for part in parts), "mentions": sum(part["mentions"] for part in parts)}


def _read_file(number: int, *, work: Path, settings: PubmedSettings, files: list[Path]) -> None:
    """Stage 1: write a file's abstracts as a table and, last, its deletions and bad records as JSON."""
    quarantine, deleted = Quarantine(limit=1.0), []
    columns: dict[str, list[Any]] = {name: [] for name in READ}
    for record in read_records(files[number], quarantine):
        if isinstance(record, Abstract):
            words = content_key(" ".join(record.sections))
            row = (record.pmid, record.version, record.year, list(record.sections), words)
            for name, value in zip(READ, row, strict=True):
                columns[name].append(value)
        else:
            deleted.append(record)
    write_frame(pl.DataFrame(columns, schema=READ), work / "read" / f"{number:05}.parquet")
    account: ReadFile = {"total": quarantine.total, "bad": quarantine.rows, "deleted": deleted}
    write_json(account, work / "read" / f"{number:05}.json")


def _abstracts(number: int, work: Path, settings: PubmedSettings) -> Iterator[tuple[str, list[str], Split]]:
    """The PMID, sections and split of each row of a file that is kept."""
    rows = pl.read_parquet(work / "kept" / f"{number:05}.parquet")["row"]
    table = pl.read_parquet(work / "read" / f"{number:05}.parquet", columns=["pmid", "sections"])[rows]
    for pmid, sections in table.iter_rows():
        yield pmid, sections, split_of(pmid, validation=settings.validation, test=settings.test, seed=settings.seed)


def _mine_file(number: int, *, work: Path, settings: PubmedSettings) -> None:
    """Stage 2: count the definitions in a file's training abstracts."""
    texts = (" ".join(sections) for _, sections, split in _abstracts(number, work, settings) if split == "train")
    counts = definition_counts(texts)
    write_json([[*pair, count] for pair, count in counts.items()], work / "mined" / f"{number:05}.json")


def _mined(parts: list[list[list[Any]]], min_count: int) -> Inventory:
    """The inventory that all files define together; variants are merged before rare senses are dropped."""
    rows = [(short_form, long_form, count, None) for part in parts for short_form, long_form, count in part]
    united = Inventory.merged([Inventory.of(rows)], "mined")
    kept = {key: tuple(s for s in senses if s.count >= min_count) for key, senses in united.senses.items()}
    return Inventory(senses={key: senses for key, senses in kept.items() if senses}, origin="mined")


def _mark_file(number: int, *, work: Path, settings: PubmedSettings, total: int) -> None:
    """Stage 3: write the passages of a file, one shard for each kind and split, and finally its account."""
    written = (work / "inventory.csv").stat().st_mtime_ns
    maker = _maker(work, written, tuple(sorted(settings.probability.items())), settings.seed)
    made: dict[Kind, dict[Split, list[Passage]]] = {kind: {split: [] for split in SPLITS} for kind in settings.kinds}
    abstracts: Counter[str] = Counter()
    for pmid, sections, split in _abstracts(number, work, settings):
        abstracts[split] += 1
        for kind in settings.kinds:
            whole = kind == "medal" and settings.all_sections
            passage = maker.make(kind, pmid, [" ".join(sections)] if whole else sections)
            if passage.mentions:
                made[kind][split].append(passage)
    for kind, splits in made.items():
        for split, passages in splits.items():
            write_shard(passages, work / kind, split, number, total)
    account = {
        "abstracts": {split: abstracts[split] for split in SPLITS},
        "kinds": {
            kind: {
                split: {"passages": len(part), "mentions": sum(len(p.mentions) for p in part)}
                for split, part in splits.items()
            }
            for kind, splits in made.items()
        },
        "short_forms": {
            kind: Counter(m.short_form for part in splits.values() for p in part for m in p.mentions).most_common()
            for kind, splits in made.items()
        },
    }
    write_json(account, work / "marked" / f"{number:05}.json")


@lru_cache(maxsize=1)
def _maker(work: Path, _written: int, probability: tuple[tuple[Kind, float], ...], seed: int) -> KindMaker:
    listed, first = Inventory.read(work / "inventory.csv"), Inventory.read(work / "first.csv")
    return KindMaker(listed, published=first, probability=dict(probability), seed=seed)
