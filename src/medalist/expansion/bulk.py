"""Expands a file or folder of notes, shard by shard, so that stopping loses no more than the shards in progress.

Shards always contain the same notes, so the result of a run that was stopped and resumed is byte-identical to that of
an uninterrupted one. While there is work to do, a work folder exists next to the result, readable only by its owner. It
contains expansions and short forms, and the notes' text only if the result will (`Reading.replaced`).
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

from .. import __version__
from ..tools.counts import counted
from ..tools.failures import FINISHED_IS_KEPT, writing
from ..tools.files import check_place, replacing
from ..tools.locks import alone_in
from ..tools.number_formats import FloatType
from ..tools.own_folders import clear_work
from ..tools.parallel import run_jobs
from ..tools.progress import say, tracking
from ..tools.shapes import write_object
from ..trees.scoring import NonFiniteScoresError
from .evidence import read_glossary
from .expander import Expander
from .notes import Note, NoteFile
from .options import Engine, Format, Unsure
from .outputs import Record, check_brat_ids, count_foreign_ids, with_whole_id, write_records
from .results import ExpandedText
from .set_aside import check_list, write_list
from .where import weights_of

SHARD = 8
"""Notes per shard: a kill loses at most these, which take the reader half a minute on a CPU."""
SHARD_AT_A_GLANCE = 64
"""The same for the engine glance (no model), which takes a second or two for them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How notes are read; the options of `Expander.load`."""

    run: str | None = None
    engine: Engine | None = None
    dtype: FloatType | None = None
    inventory: Path | None = None
    glossary: Path | None = None
    any_case: bool | None = None
    min_probability: float | None = None
    one_sense_per_text: bool = False
    replaced: Unsure | None = None
    """Also return the text with its short forms replaced, as `ExpandedText.replaced` does; None: do not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """A summary of what was done."""

    notes: int
    expansions: int
    """Short forms with an answer."""
    sure: int
    abstained: int
    """Short forms of which no listed sense fits, or about which the model is undecided."""
    not_read: int
    """Short forms that the model could not read: the question did not fit into its window."""
    unlisted: int
    warnings: int
    set_aside: Path | None
    """The list of records that are not notes, by place, id and reason; None if there are none."""
    num_set_aside: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shard:
    part: Path
    """The file for its records."""
    notes: tuple[Note, ...]


class _Shards(Sequence[_Shard]):
    """The remaining shards, read on demand; ascending access is cheapest."""

    def __init__(self, source: NoteFile, parts: Sequence[Path], size: int) -> None:
        self._source, self._parts, self._size = source, parts, size
        self._to_do = [number for number, part in enumerate(parts) if not _is_finished(part)]
        self._notes, self._next = iter(source), 0

    def sizes(self, count: int) -> list[int]:
        """The number of notes in each remaining shard, of `count` notes in all."""
        return [min(self._size, count - number * self._size) for number in self._to_do]

    def __len__(self) -> int:
        return len(self._to_do)

    def __getitem__(self, index: Any) -> Any:
        number = self._to_do[index]
        if number < self._next:
            self._notes, self._next = iter(self._source), 0
        skipped = (number - self._next) * self._size
        notes = tuple(islice(self._notes, skipped, skipped + self._size))
        self._next = number + 1
        return _Shard(part=self._parts[number], notes=notes)


def expand_notes(
    source: NoteFile, out: Path, reading: Reading, kind: Format, *, workers: int = 1, ray: str | None = None
) -> Account:
    """Expand each note of a file and write the results to `out`.

    If it is stopped, call it again with the same arguments: finished shards are kept. If anything that determines the
    result has changed since (the notes, the model, the glossary, an option), it starts over.

    Args:
        source: the notes.
        out: the file, or for BRAT the folder, to create.
        reading: the model and how it is used.
        kind: the format of `out`.
        workers: number of processes, each of which loads the model.
        ray: a Ray cluster to use instead, as for `tools.parallel.run_jobs`.

    Raises:
        FileExistsError: `out` exists, or something that is not ours stands where its list or work folder belongs.
        ValueError: there are no notes, or one of the arguments is wrong.
        BusyError: another command is writing `out`.
    """
    check_place(out, folder=kind == "brat")
    check_list(_list_of(out))
    with writing(out, FINISHED_IS_KEPT), alone_in(out):
        return _expand_alone(source, out, reading, kind, workers, ray)


def expand_in_turn(source: NoteFile, reading: Reading) -> Iterator[Record]:
    """Expand each note of a file and yield its record as soon as it is read, for standard output; nothing is stored.

    Raises:
        ValueError: there are no notes, or one of the arguments is wrong.
    """
    count = sum(1 for _ in source)
    if not count:
        raise ValueError(f"{source.path} holds no notes{_aside_in_words(source)}")
    expander, notes, whole_ids = _expander(reading), iter(source), source.whole_ids
    with tracking("Notes", count) as advance:
        while batch := tuple(islice(notes, SHARD)):
            records = _shard_records(expander, batch, reading)
            yield from map(with_whole_id, records) if whole_ids else records
            advance(len(batch))


def _expand_alone(
    source: NoteFile, out: Path, reading: Reading, kind: Format, workers: int, ray: str | None
) -> Account:
    if kind == "brat" and source.path.is_dir() and out.resolve().is_relative_to(source.path.resolve()):
        raise ValueError(f"{out} lies in {source.path}: its texts would be read as notes next time. Name another --out")
    if reading.replaced and kind != "jsonl":
        raise ValueError(f"Only .jsonl holds whole texts with their short forms replaced, not {kind}")
    for lists in filter(None, (reading.inventory, reading.glossary)):
        read_glossary(lists)
    settings, count = _settings(source, reading)
    if not count:
        raise ValueError(f"{source.path} holds no notes{_aside_in_words(source)}")
    set_aside, whole_ids = list(source.set_aside), source.whole_ids
    if kind == "brat":
        check_brat_ids(source)
    if kind == "note-nlp" and (foreign := count_foreign_ids(source)):
        of = f"of {count:,} ids"
        foreign_ids = counted(foreign, f"{of} is not a whole number", f"{of} are not whole numbers")
        say(f"{foreign_ids}, which note_id is in OMOP's NOTE_NLP: see --id-column")
    work = out.with_name(f".{out.name}.work")
    day = _open_work(work, settings)
    size = _size(reading)
    parts = [work / f"{number:06d}.jsonl" for number in range(-(-count // size))]
    shards = _Shards(source, parts, size)
    sizes = shards.sizes(count)
    if done := count - sum(sizes):
        say(counted(done, f"of {count:,} notes is finished already", f"of {count:,} notes are finished already"))
    work_on = partial(_expand_shard, reading)
    for _ in run_jobs(work_on, shards, workers=workers, ray=ray, label="Notes", sizes=sizes, name=_name):
        pass
    totals = dict.fromkeys(("expansions", "sure", "abstained", "not_read", "unlisted", "warnings"), 0)
    write_list(set_aside, _list_of(out))  # before the result: a result in place is a finished one
    write_records(_records(parts, totals), out, kind, notes=source, day=day, whole_ids=whole_ids)
    shutil.rmtree(work)
    listed = _list_of(out) if set_aside else None
    return Account(notes=count, set_aside=listed, num_set_aside=len(set_aside), **totals)


def _list_of(out: Path) -> Path:
    """The list of bad records beside a result."""
    return out.with_name(f"{out.name}.set-aside.jsonl")


def _size(reading: Reading) -> int:
    return SHARD_AT_A_GLANCE if reading.engine == "glance" else SHARD


def _name(shard: _Shard) -> str:
    return shard.part.name


def _aside_in_words(source: NoteFile) -> str:
    if not source.set_aside:
        return ""
    first = source.set_aside[0]
    return f"; the first of {counted(len(source.set_aside), 'bad record')}: {first.place}: {first.reason}"


def _settings(source: NoteFile, reading: Reading) -> tuple[dict[str, Any], int]:
    """Everything that determines the result, and the number of notes."""
    digest, count = hashlib.sha256(), 0
    for note in source:
        digest.update(json.dumps([note.id, note.text]).encode())
        count += 1
    files = {"inventory": reading.inventory, "glossary": reading.glossary}
    given = {key: path and hashlib.sha256(path.read_bytes()).hexdigest() for key, path in files.items()}
    options = {key: value for key, value in asdict(reading).items() if key not in ("run", *files)}
    settings = {"medalist": __version__, "shard": _size(reading), "notes": digest.hexdigest(), **given}
    return settings | {"model": weights_of(reading.run, engine=reading.engine)} | options, count


def _open_work(work: Path, settings: dict[str, Any]) -> str:
    """Create the work folder, readable only by its owner, or reuse an earlier one; return the day of its creation."""
    manifest = work / "settings.json"
    try:
        found = json.loads(manifest.read_text(encoding="utf-8"))
        day = str(found.pop("day"))
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        found = None
    if found == settings:
        return day
    clear_work(work, keys=("medalist", "notes", "day"), parts=r"\d{6,}\.jsonl")
    work.mkdir(parents=True)
    work.chmod(0o700)
    day = date.today().isoformat()
    write_object(manifest, settings | {"day": day})
    return day


def _expander(reading: Reading) -> Expander:
    """The expander of this process, loaded for its first shard."""
    return _loaded(reading, tuple(_stamp(path) for path in (reading.run, reading.inventory, reading.glossary)))


def _stamp(path: str | Path | None) -> tuple[str, int, int] | None:
    """Identifies a file or folder and its state, to detect another of the same relative name or a change."""
    if path is None or not Path(path).exists():
        return None
    status = Path(path).stat()
    return str(Path(path).resolve()), status.st_size, status.st_mtime_ns


@lru_cache(maxsize=1)
def _loaded(reading: Reading, _stamps: object) -> Expander:
    return Expander.load(
        reading.run,
        engine=reading.engine,
        dtype=reading.dtype,
        inventory=reading.inventory,
        glossary=reading.glossary,
        any_case=reading.any_case,
        min_probability=reading.min_probability,
        one_sense_per_text=reading.one_sense_per_text,
    )


def _expand_shard(reading: Reading, shard: _Shard) -> None:
    """Write the records of one shard; runs in a worker."""
    records = _shard_records(_expander(reading), shard.notes, reading)
    lines = [json.dumps(record, allow_nan=False) + "\n" for record in records]
    with replacing(shard.part) as file:
        file.writelines([*lines, _seal(lines)])


def _seal(lines: Iterable[str]) -> str:
    """The last line of a part: a hash of those before it."""
    return json.dumps({"sha256": hashlib.sha256("".join(lines).encode()).hexdigest()}) + "\n"


def _is_finished(part: Path) -> bool:
    """Whether the records of a shard are written, and still as they were written."""
    try:
        *lines, seal = part.read_text(encoding="utf-8").splitlines(keepends=True)
    except (OSError, ValueError):
        return False
    return seal == _seal(lines)


def _shard_records(expander: Expander, notes: Sequence[Note], reading: Reading) -> list[Record]:
    try:
        expanded = expander([note.text for note in notes])
    except NonFiniteScoresError as error:  # names the text by its number
        raise NonFiniteScoresError(notes[int(error.text_id)].id) from None
    return [_record(note, one, reading.replaced) for note, one in zip(notes, expanded, strict=True)]


def _record(note: Note, expanded: ExpandedText, replaced: Unsure | None) -> Record:
    record: Record = {
        "id": note.id,
        "expansions": [one.to_dict() for one in expanded],
        "warnings": [one.to_dict() | {"surface": expanded.surface(one)} for one in expanded.warnings],
    }
    return record if replaced is None else record | {"expanded_text": expanded.replaced(unsure=replaced)}


def _records(parts: Sequence[Path], totals: dict[str, int]) -> Iterator[Record]:
    """The records of all parts, in order; their counts are added to the totals."""
    for part in parts:
        with part.open(encoding="utf-8") as file:
            for record in list(map(json.loads, file))[:-1]:  # without the seal
                found = record["expansions"]
                totals["expansions"] += sum(one["long_form"] is not None for one in found)
                totals["sure"] += sum(one["sure"] for one in found)
                for evidence in ("abstained", "not read", "unlisted"):
                    totals[evidence.replace(" ", "_")] += sum(one["evidence"] == evidence for one in found)
                totals["warnings"] += len(record["warnings"])
                yield record
