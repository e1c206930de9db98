"""Passages with marked short forms, and the files that hold them.

Every source ends here: whatever it counted in (MeDAL counts words), a `Mention` counts characters of the text.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, chain
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from ..tools.files import replacing, undamaged
from .inventory import Inventory, tidy
from .inventory_files import holds_casi

_MENTION_SCHEMA = pa.struct(
    [("start", pa.int32()), ("end", pa.int32()), ("short_form", pa.string()), ("long_form", pa.string())]
)
PARQUET_SCHEMA = pa.schema(
    [("id", pa.string()), ("text", pa.string()), ("mentions", pa.list_(_MENTION_SCHEMA)), ("source", pa.string())]
)
WORD = re.compile(r"\S+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Mention:
    """One marked short form."""

    start: int
    """First character of the short form in the passage's text."""
    end: int
    """One past its last character."""
    short_form: str
    """The inventory's key: the text may read "CTs" where this reads "CT"."""
    long_form: str | None = None
    """The gold answer; None where it is not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Passage:
    """A text and its marked short forms, in order and without overlap."""

    id: str
    text: str
    mentions: tuple[Mention, ...] = ()
    source: str = ""

    def __post_init__(self) -> None:
        last = 0
        for mention in self.mentions:
            if not last <= mention.start < mention.end <= len(self.text):
                raise ValueError(
                    f"passage {self.id}: mention {mention.short_form!r} at {mention.start}-{mention.end} overlaps its "
                    f"neighbour or lies outside the text ({len(self.text):,} characters)"
                )
            last = mention.end

    @property
    def num_questions(self) -> int:
        """How many short forms are marked."""
        return len(self.mentions)

    def surface(self, mention: Mention) -> str:
        """The characters of the text that the mention marks."""
        return self.text[mention.start : mention.end]

    def record(self) -> dict[str, Any]:
        """Its content, for JSON."""
        mentions = [
            {"start": m.start, "end": m.end, "short_form": m.short_form, "long_form": m.long_form}
            for m in self.mentions
        ]
        return {"id": self.id, "text": self.text, "mentions": mentions, "source": self.source}


class Text(Protocol):
    """What a `Passage` and a `quizzes.Quiz` have in common: a text and questions about it."""

    @property
    def id(self) -> str:
        """Its name."""

    @property
    def text(self) -> str:
        """What is asked about."""

    @property
    def source(self) -> str:
        """Where it comes from; ids are unique within a source."""

    @property
    def num_questions(self) -> int:
        """How many questions it holds."""

    def record(self) -> dict[str, Any]:
        """Its content, for JSON."""


class TooManyBadRows(ValueError):
    """More rows were quarantined than the setting allows."""


@dataclass(kw_only=True)
class Quarantine:
    """Rows that could not be read: kept with their place and reason, counted, and limited to a share of all rows."""

    limit: float = 0.05
    """Largest share of bad rows, 0 to 1; `check` raises beyond it."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    total: int = 0
    """Rows seen, good or bad; the reader counts them."""

    def add(self, path: Path, line: int, reason: str, row: object = None, *, bad: bool = True) -> None:
        """Set one row aside. `line` counts from 1 and includes the header, as an editor shows it.

        A row that is sound but of no use, its annotators being unsure, say, is not `bad`: the limit leaves it out.
        """
        sound = {} if bad else {"bad": False}
        self.rows.append({"file": path.name, "line": line, "reason": reason, "row": row, **sound})

    def check(self) -> None:
        """Raise `TooManyBadRows` when the share of bad rows passes the limit."""
        bad = [row for row in self.rows if row.get("bad", True)]
        if len(bad) > self.limit * self.total:
            first = bad[0]
            raise TooManyBadRows(
                f"{len(bad):,} of {self.total:,} rows are bad (limit {self.limit:.0%}); the first: {first['file']}, row "
                f"{first['line']:,}: {first['reason']}. Mend the file or raise the limit (data.max_bad_rows, --max-bad-rows)."
            )

    def summary(self) -> dict[str, int]:
        """Reason -> number of rows, most frequent first; figures in a reason are folded."""
        counts: dict[str, int] = {}
        for row in self.rows:
            reason = re.sub(r"\d[\d,]*|'[^']*'", "…", row["reason"])
            counts[reason] = counts.get(reason, 0) + 1
        return dict(sorted(counts.items(), key=lambda item: -item[1]))

    def write(self, path: Path) -> None:
        """Write the rows as JSON Lines."""
        with replacing(path) as file:
            for row in self.rows:
                file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")


def read_passages(path: Path, inventory: Inventory, quarantine: Quarantine | None = None) -> list[Passage]:
    """Read marked passages from MeDAL's CSV (also `.gz`, `.zip`), JSON Lines (also `.gz`), Parquet or CASI (also `.gz`).

    Args:
        path: the file; its name says the format, and a `.txt` is CASI if its first line is.
        inventory: finds the short form of a mention that does not name its own, from the text that it marks.
        quarantine: collects malformed rows; without one, the default limit of 5 % holds.

    Raises:
        ValueError: the format is unknown, the file is damaged, or `TooManyBadRows`.
        FileNotFoundError: there is no such file.
    """
    from .sources import casi, gladis, medal  # which need this module

    quarantine = quarantine or Quarantine()
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    name = path.name.lower()
    if name.endswith(".parquet"):
        passages = list(_from_records(path, parquet_records(path, quarantine), inventory, quarantine))
    elif name.endswith((".jsonl", ".jsonl.gz")):
        passages = list(_from_records(path, json_records(path, quarantine), inventory, quarantine))
    elif name.endswith((".csv", ".csv.gz", ".csv.zip", ".zip")):
        passages = medal.read_rows(path, inventory, quarantine)
    elif name.endswith((".txt", ".txt.gz")) and holds_casi(path):
        passages = casi.read_casi(path, quarantine)
    elif name.endswith(gladis.ENDINGS):
        passages = gladis.read_gladis(path, quarantine)
    else:
        known = ".csv, .csv.gz, .zip, .jsonl, .jsonl.gz, .parquet, .txt of CASI, .json of GLADIS"
        raise ValueError(f"{path} is of no known format. Known: {known}")
    if not passages and not quarantine.rows:
        raise ValueError(f"{path} holds no passages")
    quarantine.check()
    return passages


def write_jsonl(passages: Iterable[Passage], path: Path) -> None:
    """Write JSON Lines: `{"id", "text", "mentions": [{"start", "end", "short_form", "long_form"}], "source"}`."""
    with replacing(path) as file:
        for passage in passages:
            file.write(json.dumps(passage.record(), ensure_ascii=False) + "\n")


def write_parquet(passages: Iterable[Passage], path: Path) -> None:
    """Write passages as Parquet that `datasets.load_dataset("parquet", ...)` opens; the schema is `PARQUET_SCHEMA`."""
    passages = list(passages)
    mentions = [mention for passage in passages for mention in passage.mentions]
    ends = list(accumulate((len(passage.mentions) for passage in passages), initial=0))
    fields = [pa.array([getattr(mention, field.name) for mention in mentions], field.type) for field in _MENTION_SCHEMA]
    marked = pa.ListArray.from_arrays(
        pa.array(ends, pa.int32()), pa.StructArray.from_arrays(fields, fields=list(_MENTION_SCHEMA))
    )
    table = pa.table(
        [
            pa.array([passage.id for passage in passages], pa.string()),
            pa.array([passage.text for passage in passages], pa.string()),
            marked,
            pa.array([passage.source for passage in passages], pa.string()),
        ],
        schema=PARQUET_SCHEMA,
    )
    with replacing(path, "wb") as file:
        pq.write_table(table, file, compression="zstd")


def fingerprint(texts: Iterable[Text]) -> str:
    """SHA-256 of the texts' content, in order: the dataset fingerprint that runs and evaluations record."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(json.dumps(text.record(), sort_keys=True).encode())
    return digest.hexdigest()


def parquet_records(path: Path, quarantine: Quarantine) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a Parquet file, numbered from 1."""
    try:
        file = pq.ParquetFile(path)
        records = chain.from_iterable(batch.to_pylist() for batch in file.iter_batches(batch_size=2_000))
        for line, record in enumerate(records, 1):
            quarantine.total += 1
            yield line, record
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path} is no Parquet file, or is cut short ({error})") from None


def json_records(path: Path, quarantine: Quarantine) -> Iterator[tuple[int, dict[str, Any]]]:
    """Objects of a JSON Lines file (also `.gz`) with their line numbers; lines that are none are quarantined."""
    opened = gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
    with undamaged(path), opened as file:
        for line, raw in enumerate(file, 1):
            if not raw.strip():
                continue
            quarantine.total += 1
            try:
                record = json.loads(raw.decode("utf-8-sig"))
                json.dumps(record, ensure_ascii=False).encode()  # half a surrogate pair can be read, but not written
                if not isinstance(record, dict):
                    raise ValueError(f"found a {type(record).__name__}")
            except (UnicodeDecodeError, UnicodeEncodeError) as error:
                quarantine.add(path, line, f"not UTF-8: {error.reason}", repr(raw[:200]))
            except ValueError as error:
                quarantine.add(path, line, f"not a JSON object: {error}", raw.decode("utf-8")[:200])
            else:
                yield line, record


def _from_records(
    path: Path, records: Iterable[tuple[int, dict[str, Any]]], inventory: Inventory, quarantine: Quarantine
) -> Iterator[Passage]:
    seen: set[str] = set()
    for line, record in records:
        try:
            text, identifier = record["text"], str(record["id"])
            if record["id"] is None or not identifier:
                raise ValueError("empty id")
            if not isinstance(text, str) or not text.strip():
                raise ValueError("empty text")
            if identifier in seen:
                raise ValueError(f"duplicate id {identifier!r}")
            mentions = sorted(
                (_read_mention(text, raw, inventory) for raw in record.get("mentions") or []), key=lambda m: m.start
            )
            passage = Passage(
                id=identifier, text=text, mentions=tuple(mentions), source=str(record.get("source") or path.stem)
            )
        except KeyError as error:
            quarantine.add(path, line, f"no field {error}", record)
        except (ValueError, TypeError) as error:
            quarantine.add(path, line, str(error), record)
        else:
            seen.add(identifier)
            yield passage


def _read_mention(text: str, raw: dict[str, Any], inventory: Inventory) -> Mention:
    """The offset check: what the offsets mark must be the short form that the record or the inventory names."""
    start, end, short_form, long_form = raw["start"], raw["end"], raw.get("short_form"), raw.get("long_form")
    if not isinstance(start, int) or not isinstance(end, int):
        raise ValueError(f"mention {start!r}-{end!r}: start and end are whole numbers")
    if not all(name is None or isinstance(name, str) for name in (short_form, long_form)):
        raise ValueError(f"mention {start}-{end}: short_form and long_form are text")
    if not 0 <= start < end <= len(text):
        raise ValueError(f"mention {start}-{end} is outside the text ({len(text):,} characters)")
    surface = text[start:end]
    if short_form and not marks(surface, short_form) and inventory.key(surface) != short_form:
        raise ValueError(f"the text at {start}-{end} reads {surface!r}, not the short form {short_form!r}")
    short_form = short_form or inventory.key(surface) or surface
    if long_form is not None and not tidy(long_form):
        raise ValueError("empty long form")
    return Mention(start=start, end=end, short_form=short_form, long_form=tidy(long_form) if long_form else None)


def marks(surface: str, short_form: str) -> bool:
    """Whether a stretch of text is the short form, up to case, plural and surrounding punctuation."""
    wanted, found = short_form.casefold(), surface.casefold()
    return found in (wanted, f"{wanted}s", f"{wanted}'s", f"{wanted}’s") or found.strip(".,;:()[]'\"") == wanted
