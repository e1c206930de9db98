"""The shape of `corpus.json`: what a corpus was made of, and what was kept, repaired and left out."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict  # that of `typing` cannot be checked before Python 3.12

from ..data.kinds import Kind
from ..data.rows import QuarantinedRow
from ..data.splits import Split


class InventoryCounts(TypedDict):
    """The inventory that lies beside the passages."""

    origin: str
    short_forms: int
    senses: int


class CorpusAccount(TypedDict):
    """What all accounts tell."""

    read: list[str]
    """Names of the files."""
    rows_read: int
    rows_quarantined: dict[str, int]
    """Reason -> rows that could not be read."""
    quarantine_examples: list[QuarantinedRow]
    settings: dict[str, object]


class MedalInventory(InventoryCounts):
    """MeDAL's inventory, as offered and as read."""

    senses_read: int
    variant_groups: int
    junk_senses: int


class Mended(TypedDict):
    """One kind of repair."""

    mentions: int
    labels: int
    examples: list[tuple[str, str, str, int]]
    """(short form, label, spelt now, mentions), the most frequent first."""


class Leaks(TypedDict):
    """How often the answer is spelt out elsewhere in the passage."""

    mentions: int
    leaks: int


class MedalAccount(CorpusAccount):
    """Of a corpus made of MeDAL's tables."""

    source: Literal["medal"]
    inventory: MedalInventory
    adam_scores: dict[str, list[int]] | None
    """Junk and other senses by ADAM's score; see `data_card`."""
    passages: dict[Split, int]
    mentions: dict[Split, int]
    shared_with_training: dict[str, int]
    passages_without_mentions: int
    words: int
    mended: dict[str, Mended]
    leaks_in_sample: Leaks
    mentions_per_passage: dict[str, int]
    short_forms: list[tuple[str, int]]
    """The most frequent."""


class PubmedInventory(InventoryCounts):
    """The senses offered, and those that were mined before merging."""

    mined_short_forms: int
    mined_senses: int


class PassageCounts(TypedDict):
    """Of one kind and split."""

    passages: int
    mentions: int


class Revisions(TypedDict):
    """Records that do not count."""

    revisions_replaced: int
    deleted: int
    without_text: int
    duplicates: int


class PubmedAccount(CorpusAccount, Revisions):
    """Of a corpus made of PubMed abstracts."""

    source: Literal["pubmed"]
    inventory: PubmedInventory
    abstracts: dict[Split, int]
    kinds: dict[Kind, dict[Split, PassageCounts]]
    short_forms: dict[Kind, list[tuple[str, int]]]
    """The most frequent of each kind."""


Account = MedalAccount | PubmedAccount
