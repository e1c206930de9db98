"""Prepares the full MeDAL data set: groups shuffled rows into passages, in little memory and resumable.

Rows are distributed over partitions on disk by a hash of the abstract's id; each partition fits in memory for grouping.
"""

from __future__ import annotations

import json
import math
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal, TypedDict

import polars as pl
import pyarrow as pa

from ..data.inventory import Inventory
from ..data.inventory_files import adam_scores
from ..data.items import make_items
from ..data.passage_files import read_passages, write_table
from ..data.rows import Quarantine
from ..data.shards import shard_path, shards
from ..data.sources.medal_marks import Marker
from ..data.sources.medal_tables import Table, tables
from ..data.spelling import equivalence_key
from ..data.splits import SPLITS, Split, split_of
from ..tools.files import write_frame
from ..tools.parallel import run_jobs
from .accounts import Leaks, MedalAccount
from .corpus import (
    building,
    content_key,
    finish,
    is_corpus,
    read_json,
    work_folder,
    write_account,
    write_json,
)
from .data_card import MENDED, medal_card
from .medal_parts import ReadTable, by_split, distribute, partition, text_size
from .mending import Mending, Repaired, is_junk, variant_groups
from .origins import is_public

PARTITION_MB = 32
"""Approximate size of the text in a partition; grouping it takes about ten times as much memory."""
LEAK_SAMPLE = 2_000
"""Passages that are looked at for leaks, as many of each split."""
COMMON_SHARE, COMMON_TEXTS = 0.005, 5
"""A word is common if it appears in at least this share of the texts and in at least this many texts."""
_SPLITS: dict[str, Split] = {**{name: name for name in SPLITS}, "valid": "validation", "val": "validation"}

Source = Path | str | Table


@dataclass(frozen=True, kw_only=True)
class MedalSettings:
    """How to turn MeDAL's rows into a corpus."""

    inventory: Path
    """Sense inventory: MeDAL's own table, or another."""
    adam: Path | None = None
    """The ADAM database; if given, the data card shows its scores for junk and other senses."""
    as_published: bool = False
    """Keep variants of a sense separate and keep junk senses, so that results are comparable with published ones."""
    validation: float = 0.01
    """Validation share of the passages from tables other than train, valid and test."""
    test: float = 0.02
    """Test share of the same passages."""
    max_bad_rows: float = 0.05
    """Abort if the share of malformed rows exceeds this."""
    seed: int = 0
    """Determines the split of passages that MeDAL itself does not split."""


def prepare_medal(
    sources: Sequence[Source], out: Path | str, settings: MedalSettings, *, workers: int = 1, ray: str | None = None
) -> MedalAccount:
    """Turn MeDAL's tables into a corpus, laid out as described in `corpus`. If interrupted, call it again to resume.

    Args:
        sources: tables or archives. The train, valid and test tables become the splits of those names; other tables
            are split by id.
        out: the corpus folder; it must not exist.
        settings: how to prepare the corpus.
        workers: number of processes; the output is byte-identical for any number.
        ray: address of a Ray cluster to run on instead; see `parallel`.

    Returns:
        The account, as stored in `corpus.json`.

    Raises:
        FileNotFoundError: a file is missing.
        FileExistsError: `out` already exists.
        ValueError: a file is damaged, is not one of MeDAL's, or has too many bad rows.
    """
    found = [t for source in sources for t in ([source] if isinstance(source, Table) else tables(Path(source)))]
    out, adam = Path(out), None if settings.adam is None else Path(settings.adam)
    settings = replace(settings, inventory=Path(settings.inventory), adam=adam)
    if not found:
        raise ValueError("No MeDAL table was given")
    published = Inventory.read(settings.inventory)
    if settings.adam is not None:
        adam_scores(settings.adam)  # to report a wrong file before the long work
    parts = max(1, math.ceil(sum(text_size(table) for table in found) / (PARTITION_MB * 1e6)))
    files = [(str(t.path.resolve()), t.member, t.path.stat().st_size, t.path.stat().st_mtime_ns) for t in found]
    recorded = {
        **{name: str(value) for name, value in vars(settings).items() if name != "max_bad_rows"},
        "inventory_bytes": zlib.crc32(settings.inventory.read_bytes()),
        "files": files,
        "partitions": parts,
    }
    with building(out):
        work = work_folder(out, recorded)
        if not is_corpus(work):
            _build(work, found, published, parts, settings, workers, ray)
        account = finish(work, out, leave_out=("rows", "accounts", "published.csv", "common.json"))
        assert account["source"] == "medal"
        return account


def _build(
    work: Path,
    found: list[Table],
    published: Inventory,
    parts: int,
    settings: MedalSettings,
    workers: int,
    ray: str | None,
) -> None:
    published.write(work / "published.csv")
    (published if settings.as_published else Inventory.merged([published], published.origin)).write(
        work / "inventory.csv"
    )
    read = distribute(found, work, parts, workers)
    _write_common_words(work, read, parts)
    jobs = [number for number in range(parts) if not _account_path(work, number).exists()]
    job = partial(_group_partition, work=work, total=parts, tables=found, read=read, settings=settings)
    for _ in run_jobs(job, jobs, workers=workers, ray=ray, label="Grouping"):
        pass
    accounts = [read_json(_account_path(work, number)) for number in range(parts)]
    quarantine = Quarantine(limit=settings.max_bad_rows, total=sum(part["total"] for part in read))
    quarantine.rows.extend(row for part in read for row in part["rows"])
    quarantine.rows.extend(row for number in range(parts) for row in _json_lines(_bad_path(work, number)))
    quarantine.check()
    quarantine.write(work / "quarantine.jsonl")
    account = _summary(accounts, quarantine, work, settings, found)
    medal_card(account, work / "card.html")
    write_account(account, work)


class _Part(TypedDict):
    """The result of one partition."""

    passages: dict[Split, int]
    mentions: dict[Split, int]
    passages_without_mentions: int
    per_passage: list[tuple[int, int]]
    short_forms: list[tuple[str, int]]
    words: int
    mended: dict[str, list[tuple[str, str, str, int]]]


def _write_common_words(work: Path, read: list[ReadTable], parts: int) -> None:
    """Write the words that appear in many texts of the first partition."""
    texts = pa.concat_tables(partition(work, number, 0, parts, table) for number, table in enumerate(read))["text"]
    counts: Counter[str] = Counter()
    for text in (different := texts.unique().to_pylist()):
        counts.update(set(text.split()))
    least = max(COMMON_TEXTS, COMMON_SHARE * len(different))
    write_json(sorted(word for word, count in counts.items() if count >= least), work / "common.json")


def _group_partition(
    number: int, *, work: Path, total: int, tables: list[Table], read: list[ReadTable], settings: MedalSettings
) -> int:
    """Group one partition, write its shards and finally its account; return the number of passages."""
    quarantine, mending = Quarantine(limit=1.0), Mending(*_inventories(work), settings.as_published)
    marker = _marker(work)
    files, made = [table.file for table in tables], dict[Split, Repaired]()
    home = partial(split_of, validation=settings.validation, test=settings.test, seed=settings.seed)
    found = [partition(work, place, number, total, one) for place, one in enumerate(read)]
    # By split, not by table, because the rows of an abstract may be spread over several tables of a split.
    for split, rows in by_split(found, [_SPLITS.get(table.name, home) for table in tables]).items():
        made[split] = mending(marker(rows, files, quarantine, mending.stray))
        if made[split].passages.num_rows:
            write_table(made[split].passages, shard_path(work, split, number, total))
    quarantine.write(_bad_path(work, number))
    if not _only_training(tables):
        _write_keys({split: part.passages for split, part in made.items()}, _keys_path(work, number))
    per_passage, short_forms = Counter[int](), Counter[str]()
    for part in made.values():
        per_passage.update(part.per_passage)
        short_forms.update(part.short_forms)
    account: _Part = {
        "passages": {split: made[split].passages.num_rows if split in made else 0 for split in SPLITS},
        "mentions": {split: made[split].short_forms.total() if split in made else 0 for split in SPLITS},
        "passages_without_mentions": sum(part.without for part in made.values()),
        "per_passage": sorted(per_passage.items()),
        "short_forms": short_forms.most_common(),
        "words": sum(part.words for part in made.values()),
        "mended": mending.account(),
    }
    write_json(account, _account_path(work, number))
    return sum(account["passages"].values())


def _only_training(tables: list[Table]) -> bool:
    """Whether no passage can be shared with the training split, because there is no other split."""
    return all(_SPLITS.get(table.name) == "train" for table in tables)


def _write_keys(splits: dict[Split, pa.Table], path: Path) -> None:
    """Write what identifies shared abstracts: split, whether the id is in the training split, and content hash."""
    ids = {split: [name.split("#")[0] for name in part["id"].to_pylist()] for split, part in splits.items()}
    training = set(ids.get("train", ()))
    rows = [
        (split, name in training, content_key(text))
        for split, part in splits.items()
        for name, text in zip(ids[split], part["text"].to_pylist(), strict=True)
    ]
    schema = {"split": pl.String, "by_id": pl.Boolean, "words": pl.UInt64}
    write_frame(pl.DataFrame(rows, schema=schema, orient="row"), path)


def _shared(work: Path, parts: int, tables: list[Table]) -> dict[str, int]:
    """How many passages also appear in the training split, with the same id or word for word."""
    if _only_training(tables):
        return {"validation": 0, "test": 0}
    table = pl.concat([pl.read_parquet(_keys_path(work, number)) for number in range(parts)])
    train = table.filter(pl.col("split") == "train").select("words", known=True).unique()
    found = table.join(train, on="words", how="left").filter(pl.col("by_id") | pl.col("known"))
    return {split: found.filter(pl.col("split") == split).height for split in ("validation", "test")}


def _leaks(work: Path, inventory: Inventory) -> Leaks:
    """How often a passage spells out the answer elsewhere, measured on the first passages of each split."""
    firsts = [path for split in SPLITS for path in shards(work, split)[:1]]
    read = [read_passages(path, inventory, Quarantine(limit=0))[: LEAK_SAMPLE // len(firsts)] for path in firsts]
    items = make_items([passage for passages in read for passage in passages], inventory)
    return {"mentions": len(items), "leaks": sum(item.leak for item in items)}


def _inventories(work: Path) -> tuple[Inventory, Inventory, frozenset[str]]:
    """The inventory as read, the inventory of candidates, and the common words."""
    return _read_inventories(work, (work / "common.json").stat().st_mtime_ns)[:3]


def _marker(work: Path) -> Marker:
    return _read_inventories(work, (work / "common.json").stat().st_mtime_ns)[3]


@lru_cache(maxsize=1)
def _read_inventories(work: Path, _written: int) -> tuple[Inventory, Inventory, frozenset[str], Marker]:
    common = read_json(work / "common.json")
    published = Inventory.read(work / "published.csv")
    return published, Inventory.read(work / "inventory.csv"), frozenset(common), Marker(published)


EXAMPLES = 30
"""How many examples of each kind of repair the account keeps, most frequent first."""


def _summary(
    accounts: list[_Part], quarantine: Quarantine, work: Path, settings: MedalSettings, sources: list[Table]
) -> MedalAccount:
    """Sum up the accounts of all partitions."""
    published, listed, common = _inventories(work)
    mended: dict[str, Counter[tuple[str, str, str]]] = {name: Counter() for name in MENDED}
    short_forms: Counter[str] = Counter()
    per_passage: Counter[int] = Counter()
    for account in accounts:
        for name, counter in mended.items():
            counter.update({(short_form, label, spelt): n for short_form, label, spelt, n in account["mended"][name]})
        short_forms.update(dict(account["short_forms"]))
        per_passage.update(dict(account["per_passage"]))

    def total(key: Literal["passages", "mentions"]) -> dict[Split, int]:
        return {split: sum(account[key][split] for account in accounts) for split in SPLITS}

    return {
        "source": "medal",
        "settings": {name: str(value) if isinstance(value, Path) else value for name, value in vars(settings).items()},
        "read": [table.file for table in sources],
        "public": all(is_public(table.path) for table in sources),
        "inventory": {
            "origin": settings.inventory.name,
            "short_forms": len(listed),
            "senses": sum(map(len, listed.senses.values())),
            "senses_read": sum(map(len, published.senses.values())),
            "variant_groups": variant_groups(published),
            "junk_senses": sum(is_junk(*pair, common) for pair in _pairs(listed)),
        },
        "adam_scores": None if settings.adam is None else _adam_scores(settings.adam, listed, common),
        "passages": total("passages"),
        "mentions": total("mentions"),
        "shared_with_training": _shared(work, len(accounts), sources),
        "passages_without_mentions": sum(account["passages_without_mentions"] for account in accounts),
        "words": sum(account["words"] for account in accounts),
        "rows_read": quarantine.total,
        "rows_quarantined": quarantine.summary(),
        "quarantine_examples": quarantine.examples(EXAMPLES),
        "mended": {
            name: {
                "mentions": counter.total(),
                "labels": len(counter),
                "examples": [(*key, n) for key, n in sorted(counter.items(), key=lambda c: (-c[1], c[0]))[:EXAMPLES]],
            }
            for name, counter in mended.items()
        },
        "leaks_in_sample": _leaks(work, listed),
        "mentions_per_passage": {str(number): n for number, n in sorted(per_passage.items())},
        "short_forms": short_forms.most_common(EXAMPLES),
    }


def _pairs(inventory: Inventory) -> Iterator[tuple[str, str]]:
    return ((short_form, sense.long_form) for short_form, senses in inventory.senses.items() for sense in senses)


def _adam_scores(path: Path, listed: Inventory, common: frozenset[str]) -> dict[str, list[int]]:
    """Counts of junk and other senses by ADAM score, in bins of 0.2: lowest first, senses without a score last."""
    scores = {(short, equivalence_key(long)): score for (short, long), score in adam_scores(path).items()}
    found = {"junk": [0] * 6, "others": [0] * 6}
    for short_form, long_form in _pairs(listed):
        score = scores.get((short_form, equivalence_key(long_form)))
        row = found["junk" if is_junk(short_form, long_form, common) else "others"]
        row[5 if score is None else min(int(5 * score), 4)] += 1
    return found


def _account_path(work: Path, number: int) -> Path:
    return work / "accounts" / f"{number:05}.json"


def _keys_path(work: Path, number: int) -> Path:
    return work / "accounts" / f"{number:05}.parquet"


def _bad_path(work: Path, number: int) -> Path:
    return work / "accounts" / f"{number:05}.quarantine.jsonl"


def _json_lines(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)
