"""The schema of `corpus.json`: what a corpus was made from, and what was kept, repaired and left out."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict  # pydantic supports the one in `typing` only from Python 3.12 on

from ..data.inventory import Inventory
from ..data.kinds import Kind
from ..data.rows import QuarantinedRow
from ..data.splits import Split

OFTEN = 6
"""From so many times on that they are taught, most senses are resolved."""


class InventoryCounts(TypedDict):
    """Counts of the inventory stored next to the passages."""

    origin: str
    short_forms: int
    senses: int


def inventory_counts(inventory: Inventory) -> InventoryCounts:
    """Count an inventory."""
    return {"origin": inventory.origin, "short_forms": len(inventory), "senses": inventory.num_senses}


class CorpusAccount(TypedDict):
    """The fields that all accounts share."""

    read: list[str]
    """Names of the files that were read."""
    rows_read: int
    rows_quarantined: dict[str, int]
    """Reason -> rows that could not be read."""
    quarantine_examples: list[QuarantinedRow]
    settings: dict[str, object]
    public: NotRequired[bool]
    """Whether every file was certain to be public when it was read; see `origins`."""


class MedalInventory(InventoryCounts):
    """MeDAL's inventory, as offered for candidates and as read."""

    senses_read: int
    variant_groups: int
    junk_senses: int


class Mended(TypedDict):
    """One kind of repair."""

    mentions: int
    labels: int
    examples: list[tuple[str, str, str, int]]
    """(short form, label, new spelling, mentions), most frequent first."""


class Leaks(TypedDict):
    """How often a passage spells out the answer elsewhere."""

    mentions: int
    leaks: int


class MedalAccount(CorpusAccount):
    """The account of a corpus made from MeDAL's tables."""

    source: Literal["medal"]
    inventory: MedalInventory
    adam_scores: dict[str, list[int]] | None
    """Counts of junk and other senses by ADAM score; see `data_card`."""
    passages: dict[Split, int]
    mentions: dict[Split, int]
    shared_with_training: dict[str, int]
    passages_without_mentions: int
    words: int
    mended: dict[str, Mended]
    leaks_in_sample: Leaks
    mentions_per_passage: dict[str, int]
    short_forms: list[tuple[str, int]]
    """The most frequent short forms."""


class PubmedInventory(InventoryCounts):
    """The senses offered as candidates, and those mined, before merging."""

    mined_short_forms: int
    mined_senses: int


class PassageCounts(TypedDict):
    """Counts for one kind and split."""

    passages: int
    mentions: int


class Revisions(TypedDict):
    """Records that were left out."""

    revisions_replaced: int
    deleted: int
    without_text: int
    duplicates: int


class PubmedAccount(CorpusAccount, Revisions):
    """The account of a corpus made from PubMed abstracts."""

    source: Literal["pubmed"]
    inventory: PubmedInventory
    abstracts: dict[Split, int]
    kinds: dict[Kind, dict[Split, PassageCounts]]
    short_forms: dict[Kind, list[tuple[str, int]]]
    """The most frequent short forms of each kind."""


class TextAccount(CorpusAccount):
    """The account of a corpus made from plain texts."""

    source: Literal["text"]
    inventory: InventoryCounts
    texts: dict[str, int]
    """Source -> texts."""
    words: int
    chunks: int
    """Chunks with a listed long form, excluding those with the same beginning as an earlier one."""
    chunks_shared_with_measured: int
    """Chunks left out because they share words with an evaluation text."""
    chunks_chosen: int
    """Chunks chosen for training."""
    passages: dict[Split, int]
    mentions: dict[Split, int]
    """Marks, including look-alikes."""
    look_alikes: dict[Split, int]
    ambiguous_senses: int
    """Senses of the short forms that have more than one."""
    taught_at_least: dict[str, int]
    """Number of times -> number of ambiguous senses that are marked at least that often in the training split."""
    coverage: list[tuple[str, str, int]]
    """(short form, long form, marks in the training split) of each ambiguous sense."""
    short_forms: list[tuple[str, int]]
    """The most frequent short forms."""


Account = MedalAccount | PubmedAccount | TextAccount
