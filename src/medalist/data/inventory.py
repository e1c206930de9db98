"""The sense inventory: which long forms each short form can stand for.

`inventory_files` reads the file formats; `spelling` determines which long forms are variants of each other.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..tools.decoding import decoded
from ..tools.files import must_exist, read_bytes, replacing
from .glossaries import MOST_COUNT
from .inventory_files import casi_text, inventory_rows, is_casi
from .passages import Passage
from .spelling import PLURAL_S, composed, equivalence_key, folded, tidy
from .tables import csv_fault

LONGEST = 1_000
"""Maximum number of characters of a short form or a long form."""
MOST_SENSES = 1_000
"""Most senses of one short form in a file; MeDAL has at most 68. A question offers all of them in one tree."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sense:
    """One long form of a short form."""

    long_form: str
    count: int = 0
    """How often the sense was seen in the inventory's source; 0 if there are no counts."""
    concept: str | None = None
    """A UMLS CUI, or a SNOMED CT or MeSH id, passed through unchanged."""


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """Short form -> its senses, most frequent first."""

    senses: Mapping[str, tuple[Sense, ...]]
    origin: str = ""
    """A human-readable source: a file name, "sample", "mined from ..."."""
    _folded: dict[str, str] = field(init=False, repr=False, compare=False)
    _listed: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        folded: dict[str, str] = {}
        for short_form in self.senses:
            folded.setdefault(_fold(short_form), short_form)
        object.__setattr__(self, "_folded", folded)
        listed = frozenset(sense.long_form for senses in self.senses.values() for sense in senses)
        object.__setattr__(self, "_listed", listed)

    @classmethod
    def of(cls, rows: Iterable[tuple[str, str, int, str | None]], origin: str = "") -> Inventory:
        """Build from rows (short form, long form, count, concept); duplicates are summed, names made `tidy`."""
        table: dict[str, dict[str, tuple[int, str | None]]] = {}
        for short_form, long_form, count, concept in rows:
            short_form, long_form = tidy(short_form), tidy(long_form)
            if not short_form or not long_form:
                continue
            known = table.setdefault(short_form, {})
            before, old_concept = known.get(long_form, (0, None))
            known[long_form] = (before + count, old_concept or concept)
        return cls(
            senses={
                short_form: tuple(
                    Sense(long_form=long_form, count=count, concept=concept)
                    for long_form, (count, concept) in sorted(known.items(), key=lambda item: -item[1][0])
                )
                for short_form, known in table.items()
            },
            origin=origin,
        )

    @classmethod
    def mined(cls, passages: Iterable[Passage], origin: str = "") -> Inventory:
        """Count the short forms and gold long forms of marked passages. Pass the training split only."""
        return cls.of(
            (
                (mention.short_form, mention.long_form, 1, None)
                for passage in passages
                for mention in passage.mentions
                if mention.long_form is not None
            ),
            origin,
        )

    @classmethod
    def merged(cls, inventories: Iterable[Inventory], origin: str = "") -> Inventory:
        """Merge several inventories; long forms of a short form that share an `equivalence_key` become one sense.

        Args:
            inventories: in order of preference; among equally frequent spellings, the first is kept.
            origin: a human-readable source for the result.

        Returns:
            Senses with summed counts, the first known concept, and the spelling with the most separate words ("area
            under curve", not MeDAL's "areaundercurve"); among those, the most frequent.
        """
        table: dict[str, dict[str, _Merged]] = {}
        for inventory in inventories:
            for short_form, senses in inventory.senses.items():
                known = table.setdefault(short_form, {})
                for sense in senses:
                    # "+" and "-" have an empty key and must stay distinct
                    one = known.setdefault(equivalence_key(sense.long_form) or sense.long_form, _Merged())
                    one.counts[sense.long_form] = one.counts.get(sense.long_form, 0) + sense.count
                    one.concept = one.concept or sense.concept
        return cls.of(
            (
                (
                    short_form,
                    max(one.counts, key=lambda name: _readable(name, one.counts[name])),
                    sum(one.counts.values()),
                    one.concept,
                )
                for short_form, known in table.items()
                for one in known.values()
            ),
            origin,
        )

    @classmethod
    def read(cls, path: Path | str) -> Inventory:
        """Read MeDAL's table, ADAM, the Clinical Abbreviation Meta-Inventory, CASI, or a glossary, plain or `.gz`.

        A glossary is CSV (with commas, semicolons or tabs) or JSON, in UTF-8, UTF-16 or else Windows-1252. A CSV
        glossary has the columns `short_form`, `long_form` (or other usual names, as `glossaries` lists them) and, if
        known, `count` and `concept`; others are ignored.
        A JSON one is `{"RA": ["rheumatoid arthritis", ...]}` or a list of objects with these fields.

        Raises:
            ValueError: the file has none of these formats, is damaged or in another encoding, or lists nothing.
            FileNotFoundError: the file does not exist.
        """
        path = Path(path)
        must_exist(path)
        raw = read_bytes(path)
        first = raw.partition(b"\n")[0].decode("cp1252", errors="replace")
        text = casi_text(raw) if is_casi(first) else decoded(raw, str(path))[0]
        name = path.name.removesuffix(".gz")
        try:
            inventory = cls.of(list(inventory_rows(text, name)), path.name)
        except csv.Error as error:
            raise ValueError(f"{path}: {csv_fault(error)}") from None
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        inventory.check(str(path))
        return inventory

    def check(self, name: str) -> None:
        """Check that the inventory can be used to expand texts: it has senses, and each entry is well-formed.

        Args:
            name: what to call the inventory: "ours.csv", "The glossary".

        Raises:
            ValueError: it lists nothing, too much, or something that is no sense; the message says where.
        """
        if not self.senses:
            raise ValueError(f"{name} lists no senses")
        number = 0
        for short_form, senses in self.senses.items():
            if len(senses) > MOST_SENSES:
                raise ValueError(
                    f"{name}: a short form has {len(senses):,} senses, more than the {MOST_SENSES:,} that one question "
                    "can offer. Is short_form the right column?"
                )
            for sense in senses or (None,):
                number += 1
                if (fault := _fault(short_form, sense)) is not None:
                    raise ValueError(f"{name}, entry {number:,}: {fault}")
        if all(" " in short and len(short) > len(long) for short, long, *_ in self.rows()):
            raise ValueError(f"{name}: each short form is longer than its long form: are the two columns swapped?")

    def write(self, path: Path | str) -> None:
        """Write as a CSV glossary."""
        with replacing(Path(path)) as file:
            writer = csv.writer(file)
            writer.writerow(["short_form", "long_form", "count", "concept"])
            writer.writerows(self.rows())

    def rows(self) -> list[tuple[str, str, int, str | None]]:
        """Short form, long form, count and concept of each sense, as `of` takes them."""
        return [
            (short_form, sense.long_form, sense.count, sense.concept)
            for short_form, senses in self.senses.items()
            for sense in senses
        ]

    def __len__(self) -> int:
        return len(self.senses)

    @property
    def num_senses(self) -> int:
        """Number of senses of all short forms together."""
        return sum(map(len, self.senses.values()))

    @property
    def has_counts(self) -> bool:
        """Whether any sense has a count, so that the prior is not uniform."""
        return any(sense.count for senses in self.senses.values() for sense in senses)

    def long_forms(self, short_form: str) -> tuple[str, ...]:
        """Long forms of a short form, most frequent first; empty if the short form is unknown."""
        return tuple(sense.long_form for sense in self.senses.get(short_form, ()))

    def count(self, short_form: str, long_form: str) -> int:
        """How often a sense was seen."""
        return next((s.count for s in self.senses.get(short_form, ()) if s.long_form == long_form), 0)

    def log_priors(self, short_form: str) -> tuple[float, ...]:
        """Log prior probability of each long form of a short form, from the counts; uniform if there are no counts."""
        counts = [sense.count + 0.5 for sense in self.senses.get(short_form, ())]
        return tuple(math.log(count / sum(counts)) for count in counts)

    def belongs_elsewhere(self, short_form: str, long_form: str) -> bool:
        """Whether a long form is listed, but only under other short forms."""
        return long_form in self._listed and long_form not in self.long_forms(short_form)

    def key(self, surface: str) -> str | None:
        """The inventory's key for a short form as written ("CTs" -> "CT", "copd" -> "COPD"), or None."""
        if surface in self.senses:
            return surface
        surface = composed(surface)
        if surface in self.senses:
            return surface
        singular = re.sub(rf"(?<=\w){PLURAL_S}$", "", surface)
        if singular != surface and singular in self.senses:
            return singular
        return self._folded.get(_fold(surface)) or self._folded.get(_fold(singular))


def _fault(short_form: str, sense: Sense | None) -> str | None:
    """The problem with an entry, without quoting it; None if there is none."""
    if sense is None:
        return "its short form has no senses"
    if not isinstance(short_form, str) or not isinstance(sense.long_form, str):
        return "its short form or its long form is not text"
    if not short_form.strip() or not sense.long_form.strip():
        return "its short form or its long form is empty"
    both = short_form + sense.long_form
    if not both.isprintable() and re.search("[\ud800-\udfff]", both):
        return "half a character (a lone surrogate), which no text holds"
    if max(len(short_form), len(sense.long_form)) > LONGEST:
        return f"a short form or long form of more than {LONGEST:,} characters, for which a question has no room"
    if isinstance(sense.count, bool) or not isinstance(sense.count, int):
        return "its count is not a whole number"
    if not 0 <= sense.count <= MOST_COUNT:
        return f"its count is not between 0 and {MOST_COUNT:,}"
    return None if isinstance(sense.concept, str | None) else "its concept is not text"


@dataclass(kw_only=True, slots=True)
class _Merged:
    """The spellings of one sense, in order of first occurrence."""

    counts: dict[str, int] = field(default_factory=dict)
    concept: str | None = None


def _readable(long_form: str, count: int) -> tuple[int, int]:
    return len(re.findall(r"[\s-]", long_form)), count


def _fold(short_form: str) -> str:
    return folded(re.sub(r"[\s.\-]", "", short_form))


NO_SENSES = Inventory(senses={}, origin="none: choice questions include their answers")
"""The empty inventory that is used for choice questions."""
