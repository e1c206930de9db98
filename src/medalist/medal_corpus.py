"""MeDAL at full size: shuffled rows become passages with all their mentions, in little memory, in an interruptible way.

Rows go to partitions on disk by a hash of their abstract's id; each partition is small enough to be grouped at once.
"""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from .corpus import finish, work_folder, write_shard
from .data_card import MENDED, medal_card
from .definitions import fits
from .files import replacing
from .inventory import Inventory, equivalence_key
from .kinds import listed_spelling
from .parallel import run_jobs
from .passages import Mention, Passage, Quarantine
from .predictions import make_items
from .progress import tracking
from .sources.medal import Reasons, Row, Table, group, rows, tables
from .splits import Split, content, split_of

PARTITION_MB = 32
"""Text of one partition, about; grouping it takes some ten times as much memory."""
COMMON_SHARE, COMMON_TEXTS = 0.005, 5
"""A word is common that stands in this share of the texts, and in so many."""
_BUFFER = 512 * 1024
_SPLITS: dict[str, Split] = {
    "train": "train",
    "valid": "validation",
    "val": "validation",
    "validation": "validation",
    "test": "test",
}


@dataclass(frozen=True, kw_only=True)
class MedalSettings:
    """How MeDAL's rows become a corpus."""

    inventory: Path
    """Sense table: MeDAL's own, or another."""
    as_published: bool = False
    """Keep variants of a sense apart and keep junk senses, so that results compare with published ones."""
    validation: float = 0.01
    """Share of the passages of a table that is none of train, valid, test."""
    test: float = 0.02
    """As `validation`."""
    max_bad_rows: float = 0.05
    """More malformed rows than this share stop the work."""
    seed: int = 0
    """Decides the split of passages that MeDAL has not split itself."""


def prepare_medal(
    sources: Sequence[Path | Table], out: Path, settings: MedalSettings, *, workers: int = 1, ray: str | None = None
) -> dict[str, Any]:
    """Turn MeDAL's tables into a corpus; see `corpus` for what it holds. Broken off, the same call goes on.

    Args:
        sources: tables or archives. What train, valid and test hold is the split of that name; others are split by id.
        out: the corpus's folder; it must not exist.
        settings: how.
        workers: processes; the result is the same bytes for any number.
        ray: address of a Ray cluster to work on instead; see `parallel`.

    Returns:
        The account, as `corpus.json` has it.

    Raises:
        FileNotFoundError: a file is missing.
        FileExistsError: `out` is there.
        ValueError: a file is damaged, is none of MeDAL's, or has too many bad rows.
    """
    found = [t for source in sources for t in ([source] if isinstance(source, Table) else tables(source))]
    if not found:
        raise ValueError("No table of MeDAL's is named")
    published = Inventory.read(settings.inventory)
    parts = max(1, math.ceil(sum(_size(table) for table in found) / (PARTITION_MB * 1e6)))
    files = [(str(t.path.resolve()), t.member, t.path.stat().st_size, t.path.stat().st_mtime_ns) for t in found]
    recorded = {
        **{name: str(value) for name, value in vars(settings).items()},
        "inventory_bytes": zlib.crc32(settings.inventory.read_bytes()),
        "files": files,
        "partitions": parts,
    }
    work = work_folder(out, recorded)
    published.write(work / "published.csv")
    (published if settings.as_published else Inventory.merged([published], published.origin)).write(
        work / "inventory.csv"
    )
    read = [_partition(table, number, work, parts) for number, table in enumerate(found)]
    _write_common_words(work, len(found))
    names = [table.name for table in found]
    jobs = [number for number in range(parts) if not _account_path(work, number).exists()]
    job = partial(_group_partition, work=work, total=parts, names=names, settings=settings)
    for _ in run_jobs(job, jobs, workers=workers, ray=ray, label="Grouping"):
        pass
    accounts = [json.loads(_account_path(work, number).read_text(encoding="utf-8")) for number in range(parts)]
    quarantine = Quarantine(limit=settings.max_bad_rows, total=sum(part["total"] for part in read))
    quarantine.rows = [row for part in read for row in part["rows"]]
    quarantine.rows += [row for number in range(parts) for row in _json_lines(_bad_path(work, number))]
    quarantine.check()
    quarantine.write(work / "quarantine.jsonl")
    account = _summary(accounts, quarantine, work, settings, [table.member or table.path.name for table in found])
    medal_card(account, work / "card.html")
    finish(work, out, account, leave_out=("rows", "accounts", "published.csv", "common.json"))
    return account


def _size(table: Table) -> int:
    """Bytes of text, about."""
    if table.member is not None:
        with zipfile.ZipFile(table.path) as archive:
            return archive.getinfo(table.member).file_size
    size = table.path.stat().st_size
    return size * 3 if table.path.suffix in (".gz", ".parquet") else size


def _partition(table: Table, number: int, work: Path, parts: int) -> dict[str, Any]:
    """Distribute a table's rows over the partitions; done before, its record is read again."""
    done = work / "rows" / f"{number}.json"
    if done.exists():
        return json.loads(done.read_text(encoding="utf-8"))  # type: ignore[no-any-return]  # as written below
    folder = work / "rows" / str(number)
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.iterdir():
        left.unlink()
    quarantine = Quarantine(limit=1.0)
    waiting: list[list[str]] = [[] for _ in range(parts)]
    sizes = [0] * parts
    shown, size = 0, _size(table)
    with tracking(f"Reading {table.name}, MB", max(1, size // 1_000_000)) as advance:
        seen = 0
        for row in rows(table, Reasons(table.path, quarantine)):
            part = zlib.crc32(row.abstract.encode()) % parts
            line = "\t".join((str(row.line), row.abstract, row.text, row.locations, row.labels))
            if line.count("\t") != 4 or "\n" in line or "\r" in line:
                line = "J" + json.dumps(row)
            waiting[part].append(line)
            sizes[part] += len(line)
            seen += len(line)
            if sizes[part] > _BUFFER:
                _append(folder, part, waiting, sizes)
            if seen - shown > 20_000_000:
                advance((seen - shown) // 1_000_000)
                shown = seen
        for part in range(parts):
            _append(folder, part, waiting, sizes)
    record = {"total": quarantine.total, "rows": quarantine.rows}
    with replacing(done) as file:
        json.dump(record, file, ensure_ascii=False)
    return record


def _write_common_words(work: Path, tables_read: int) -> None:
    """The words that stand in many of the first partition's texts."""
    texts = {row.text for n in range(tables_read) for row in _rows_of(work / "rows" / str(n) / "00000")}
    counts = Counter(word for text in texts for word in set(text.split()))
    least = max(COMMON_TEXTS, COMMON_SHARE * len(texts))
    with replacing(work / "common.json") as file:
        json.dump(sorted(word for word, count in counts.items() if count >= least), file, ensure_ascii=False)


def _append(folder: Path, part: int, waiting: list[list[str]], sizes: list[int]) -> None:
    if waiting[part]:
        with (folder / f"{part:05}").open("a", encoding="utf-8", newline="") as file:
            file.write("\n".join(waiting[part]) + "\n")
        waiting[part], sizes[part] = [], 0


def _rows_of(path: Path) -> Iterator[Row]:
    if not path.exists():
        return
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            if line.startswith("J"):
                yield Row(*json.loads(line[1:]))
            else:
                number, abstract, text, locations, labels = line.rstrip("\n").split("\t")
                yield Row(int(number), abstract, text, locations, labels)


def _group_partition(number: int, *, work: Path, total: int, names: list[str], settings: MedalSettings) -> int:
    """Group one partition, write its shards and, last, its account; returns the number of passages."""
    published, listed, common = _inventories(work)
    quarantine, mending = Quarantine(limit=1.0), _Mending(published, listed, common, settings.as_published)
    splits: dict[Split, list[Passage]] = {"train": [], "validation": [], "test": []}
    for place, name in enumerate(names):
        reasons = Reasons(Path(name), quarantine)
        passages = group(_rows_of(work / "rows" / str(place) / f"{number:05}"), published, reasons)
        for passage in passages:
            split = _SPLITS.get(name) or split_of(
                passage.id, validation=settings.validation, test=settings.test, seed=settings.seed
            )
            splits[split].append(mending(passage))
    without = sum(not p.mentions for part in splits.values() for p in part)
    splits = {split: [p for p in part if p.mentions] for split, part in splits.items()}
    for split, part in splits.items():
        write_shard(part, work, split, number, total)
    quarantine.write(_bad_path(work, number))
    account = {
        "passages": {split: len(part) for split, part in splits.items()},
        "mentions": {split: sum(len(p.mentions) for p in part) for split, part in splits.items()},
        "passages_without_mentions": without,
        "shared": {split: _shared(splits["train"], splits[split]) for split in ("validation", "test")},
        "per_passage": sorted(Counter(len(p.mentions) for part in splits.values() for p in part).items()),
        "short_forms": Counter(
            m.short_form for part in splits.values() for p in part for m in p.mentions
        ).most_common(),
        "words": sum(p.text.count(" ") + 1 for part in splits.values() for p in part),
        **mending.account(),
    }
    if number == 0:
        account["sample"] = _leaks([p for part in splits.values() for p in part][:2_000], listed)
    with replacing(_account_path(work, number)) as file:
        json.dump(account, file, ensure_ascii=False)
    return sum(map(len, splits.values()))


def _shared(train: list[Passage], other: list[Passage]) -> int:
    ids = {p.id.split("#")[0] for p in train}
    contents = {zlib.crc32(content(p.text).encode()) for p in train} if other else set()
    return sum(p.id.split("#")[0] in ids or zlib.crc32(content(p.text).encode()) in contents for p in other)


def _leaks(passages: list[Passage], inventory: Inventory) -> dict[str, int]:
    """How often the answer is spelt out elsewhere in the passage, on some of them."""
    items = make_items(passages, inventory)
    return {"mentions": len(items), "leaks": sum(item.leak for item in items)}


class _Mending:
    """Respells golds as the inventory lists them and drops junk senses, and counts both."""

    def __init__(self, published: Inventory, listed: Inventory, common: frozenset[str], as_published: bool) -> None:
        self._published, self._listed, self._common, self._keep = published, listed, common, as_published
        self._known: dict[tuple[str, str], tuple[str, str | None]] = {}
        self._counts: Counter[tuple[str, str, str, str]] = Counter()

    def __call__(self, passage: Passage) -> Passage:
        kept: list[Mention] = []
        for mention in passage.mentions:
            assert mention.long_form is not None
            key = mention.short_form, mention.long_form
            spelt, reason = self._known.get(key) or self._known.setdefault(key, self._mended(*key))
            if reason is not None:
                self._counts[reason, *key, spelt] += 1
            if reason != "junk" or self._keep:
                kept.append(mention if spelt == mention.long_form else replace(mention, long_form=spelt))
        return passage if kept == list(passage.mentions) else replace(passage, mentions=tuple(kept))

    def _mended(self, short_form: str, long_form: str) -> tuple[str, str | None]:
        if is_junk(short_form, long_form, self._common):
            return long_form, "junk"
        spelt = listed_spelling(short_form, long_form, self._listed)
        if spelt == long_form:
            return spelt, None if spelt in self._listed.long_forms(short_form) else "not listed"
        if long_form in self._published.long_forms(short_form):
            return spelt, "variant"
        return spelt, "case" if spelt.casefold() == long_form.casefold() else "spelling"

    def account(self) -> dict[str, list[list[Any]]]:
        """Reason -> (short form, label, spelt now, mentions), most frequent first."""
        found: dict[str, list[list[Any]]] = {name: [] for name in MENDED}
        for (reason, short_form, label, spelt), count in sorted(
            self._counts.items(), key=lambda item: (-item[1], item[0])
        ):
            found[reason].append([short_form, label, spelt, count])
        return found


def is_junk(short_form: str, long_form: str, common: frozenset[str]) -> bool:
    """A sense that is one common word whose letters do not fit its short form: "after" for T3, "development" for OD."""
    return long_form in common and not fits(short_form, long_form)


@lru_cache(maxsize=2)
def _inventories(work: Path) -> tuple[Inventory, Inventory, frozenset[str]]:
    """As read, as offered, and the common words."""
    common = json.loads((work / "common.json").read_text(encoding="utf-8"))
    return Inventory.read(work / "published.csv"), Inventory.read(work / "inventory.csv"), frozenset(common)


EXAMPLES = 30
"""Kept in the account of each kind of repair, the most frequent first."""


def _summary(
    accounts: list[dict[str, Any]], quarantine: Quarantine, work: Path, settings: MedalSettings, sources: list[str]
) -> dict[str, Any]:
    """Everything that the partitions report, added up."""
    published, listed, common = _inventories(work)
    mended: dict[str, Counter[tuple[str, str, str]]] = {name: Counter() for name in MENDED}
    short_forms: Counter[str] = Counter()
    per_passage: Counter[int] = Counter()
    for account in accounts:
        for name, counter in mended.items():
            counter.update({(short_form, label, spelt): n for short_form, label, spelt, n in account[name]})
        short_forms.update(dict(account["short_forms"]))
        per_passage.update(dict(account["per_passage"]))
    splits: tuple[Split, ...] = ("train", "validation", "test")

    def total(key: str) -> dict[str, int]:
        return {split: sum(account[key].get(split, 0) for account in accounts) for split in splits}

    return {
        "source": "medal",
        "settings": {name: str(value) if isinstance(value, Path) else value for name, value in vars(settings).items()},
        "read": sources,
        "inventory": {
            "origin": settings.inventory.name,
            "short_forms": len(listed),
            "senses": sum(map(len, listed.senses.values())),
            "senses_read": sum(map(len, published.senses.values())),
            "variant_groups": _variant_groups(published),
            "junk_senses": sum(
                is_junk(key, s.long_form, common) for key, senses in listed.senses.items() for s in senses
            ),
        },
        "passages": total("passages"),
        "mentions": total("mentions"),
        "shared_with_training": total("shared"),
        "passages_without_mentions": sum(account["passages_without_mentions"] for account in accounts),
        "words": sum(account["words"] for account in accounts),
        "rows_read": quarantine.total,
        "rows_quarantined": quarantine.summary(),
        "quarantine_examples": [row | {"row": str(row["row"])[:120]} for row in quarantine.rows[:EXAMPLES]],
        "mended": {
            name: {
                "mentions": counter.total(),
                "labels": len(counter),
                "examples": [[*key, n] for key, n in sorted(counter.items(), key=lambda c: (-c[1], c[0]))[:EXAMPLES]],
            }
            for name, counter in mended.items()
        },
        "leaks_in_sample": next(account["sample"] for account in accounts if "sample" in account),
        "mentions_per_passage": dict(sorted(per_passage.items())),
        "short_forms": short_forms.most_common(EXAMPLES),
    }


def _variant_groups(inventory: Inventory) -> int:
    """Groups of two or more long forms of a short form that differ in spelling, plural or hyphen only."""
    return sum(
        sum(n > 1 for n in Counter(equivalence_key(sense.long_form) for sense in senses).values())
        for senses in inventory.senses.values()
    )


def _account_path(work: Path, number: int) -> Path:
    return work / "accounts" / f"{number:05}.json"


def _bad_path(work: Path, number: int) -> Path:
    return work / "accounts" / f"{number:05}.quarantine.jsonl"


def _json_lines(path: Path) -> Iterator[Any]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)
