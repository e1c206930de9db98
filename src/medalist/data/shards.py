"""Reads and writes the splits of a folder as Parquet shards, one shard in memory at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from .inventory import Inventory
from .passage_files import read_passages, write_parquet
from .passages import Passage
from .rows import Quarantine
from .splits import Split


def write_shard(passages: list[Passage], folder: Path, split: Split, number: int, total: int) -> None:
    """Write one shard atomically; write nothing if there are no passages."""
    if passages:
        write_parquet(passages, shard_path(folder, split, number, total))


def shard_path(folder: Path, split: Split, number: int, total: int) -> Path:
    """The path of a shard, which may not exist."""
    return folder / f"{split}-{number:05}-of-{total:05}.parquet"


def shards(folder: Path, split: Split) -> list[Path]:
    """The shards of a split, in order."""
    return sorted(folder.glob(f"{split}-*-of-*.parquet"))


def corpus_passages(folder: Path, split: Split, inventory: Inventory, *, kind: str | None = None) -> Iterator[Passage]:
    """Yield the passages of a split, shard by shard; `kind` selects one kind if the corpus has several."""
    for path in shards(folder / kind if kind else folder, split):
        yield from read_passages(path, inventory, Quarantine(limit=0))


def marked_passages(
    path: Path, split: Split, inventory: Inventory, quarantine: Quarantine | None = None
) -> Iterable[Passage]:
    """The passages of a file, or of a split in a corpus folder, read one shard at a time.

    Raises:
        ValueError: the folder has no shards of that split; or as for `read_passages`.
        FileNotFoundError: the file does not exist.
    """
    if not path.is_dir():
        return read_passages(path, inventory, quarantine)
    if not shards(path, split):
        raise ValueError(f"{path} has no shards of the {split} split ({split}-00000-of-...parquet)")
    return corpus_passages(path, split, inventory)
