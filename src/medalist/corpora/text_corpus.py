"""Prepares plain medical texts as a corpus of note-like chunks that together cover every listed sense.

Blocks of texts, and then blocks of chunks, are processed independently, so processes or a cluster can share the work.
The corpus is byte-identical for any number of workers.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import polars as pl

from ..data.embedded import reader
from ..data.inventory import Inventory
from ..data.passage_files import read_passages, write_parquet
from ..data.passages import NONE_OF_THESE, Passage
from ..data.rows import Quarantine
from ..data.shards import write_shard
from ..data.sources.texts import PlainText, read_texts, text_files
from ..data.splits import SPLITS, Split, split_of_root, text_root
from ..tools.files import write_frame
from ..tools.parallel import run_jobs
from .accounts import OFTEN, TextAccount, inventory_counts
from .corpus import building, finish, is_corpus, read_json, work_folder, write_account, write_json
from .data_card import text_card
from .kept_apart import measured_runs, word_runs, written_passages
from .origins import is_public
from .text import Chunk, Shortener, chunks, covering, different, lower_case_words, once, styled, thinned, typed

TEXTS_PER_BLOCK, CHUNKS_PER_BLOCK = 1_000, 4_000
WRITTEN_TURNS = 3
"""The reader's own passages and notes are few but valuable: they are rendered this many times as often."""
DOSE = (1, 3, OFTEN, 12)
"""Bin edges of the card's section on how often senses are taught; from `OFTEN` on, most are resolved correctly."""


@dataclass(frozen=True, kw_only=True)
class TextSettings:
    """How to turn texts into a corpus."""

    inventory: Path | None = None
    """Sense inventory; None: the note reader's, with its alternative wordings of each sense."""
    written: bool = True
    """Also train on the note reader's own passages and notes; only with its inventory."""
    times: int = 40
    """Choose chunks so that each sense of an ambiguous short form occurs up to this many times, rare ones first."""
    turns: int = 3
    """Renderings of each chosen chunk, each with other short forms and in another style."""
    most: int = 300
    """Approximate maximum number of marks of one sense; further occurrences stay in the text unmarked."""
    avoid: tuple[Path, ...] = ()
    """Evaluation texts: nothing that shares eight consecutive words with them is trained on. The test sets that come
    with Medalist are always avoided."""
    validation: float = 0.02
    """Share of the texts for validation, by a hash of the id."""
    test: float = 0.05
    """Share of the texts for the test split, likewise."""
    max_bad_rows: float = 0.05
    """Abort if the share of malformed records exceeds this."""
    seed: int = 0
    """Determines splits, chunks and renderings."""

    def with_paths(self) -> TextSettings:
        """The same with paths where files were given as text."""
        own = None if self.inventory is None else Path(self.inventory)
        return replace(self, inventory=own, avoid=tuple(map(Path, self.avoid)))


def prepare_text(
    sources: Sequence[Path | str], out: Path | str, settings: TextSettings, *, workers: int = 1, ray: str | None = None
) -> TextAccount:
    """Turn plain texts into a corpus of marked passages. If interrupted, call it again to resume.

    Args:
        sources: files or folders; see `read_texts` for the formats.
        out: the corpus folder; it must not exist.
        settings: how to prepare the corpus.
        workers: number of processes; the output is byte-identical for any number.
        ray: address of a Ray cluster to run on instead; see `parallel`.

    Returns:
        The account, as stored in `corpus.json`.

    Raises:
        FileNotFoundError: a file is missing.
        FileExistsError: `out` already exists.
        ValueError: a file is damaged or too many records are malformed, or no text has a listed long form.
    """
    given, out, settings = [Path(source) for source in sources], Path(out), settings.with_paths()
    files, avoided = text_files(given), text_files(settings.avoid)
    marks = [[str(p.absolute()), p.stat().st_size, p.stat().st_mtime_ns] for p in (*files, *avoided)]
    own = settings.inventory
    recorded = {name: str(value) for name, value in vars(settings).items() if name != "max_bad_rows"} | {
        "inventory": (str(own), zlib.crc32(own.read_bytes())) if own else reader.fingerprint(),
        "files": marks,
    }
    if inside := next((s for s in given if s.is_dir() and out.resolve().is_relative_to(s.resolve())), None):
        raise ValueError(f"{out} lies in {inside}: its files would be read as texts next time. Name another --out")
    with building(out):
        work = work_folder(out, recorded)
        if not is_corpus(work):
            _build(work, files, avoided, settings, workers, ray)
        account = finish(work, out, leave_out=("texts", "found", "chosen", "typed", "read.json"))
        assert account["source"] == "text"
        return account


def _build(
    work: Path, files: list[Path], avoided: list[Path], settings: TextSettings, workers: int, ray: str | None
) -> None:
    def stage(function: Callable[..., None], jobs: Iterable[str], folder: str, label: str) -> None:
        """Run a stage for every block that does not have a result yet."""
        todo = [name for name in jobs if not (work / folder / name).exists()]
        for _ in run_jobs(partial(function, work=work, settings=settings), todo, workers=workers, ray=ray, label=label):
            pass

    read = _read(work, files, settings)
    blocks = [f"{number:05}.json" for number in range(read["blocks"])]
    stage(_find, blocks, "found", "Finding long forms")
    runs = measured_runs(avoided)
    chosen = _choose(work, blocks, runs, settings)
    parts = [f"{number:05}.parquet" for number in range(chosen["blocks"])]
    stage(_type, parts, "typed", "Typing")
    inventory = _inventory(settings)
    if not inventory.has_counts:
        inventory = _counted(inventory, chosen["long_forms"])
    inventory.write(work / "inventory.csv")
    splits = _splits(work, parts, inventory, runs, settings)
    for split, passages in splits.items():
        write_shard(passages, work, split, 0, 1)
    if not any(splits.values()):
        raise ValueError(f"No text has a long form that {inventory.origin} lists: is it the right inventory?")
    _quarantine(read, settings).write(work / "quarantine.jsonl")
    account = _account(settings, files, avoided, read, chosen, inventory, splits)
    text_card(account, work / "card.html")
    write_account(account, work)


def _account(
    settings: TextSettings,
    files: list[Path],
    avoided: list[Path],
    read: dict[str, Any],
    chosen: dict[str, Any],
    inventory: Inventory,
    splits: dict[Split, list[Passage]],
) -> TextAccount:
    """Sum up what was read (stage 1), chosen (stage 3) and taught (the splits)."""
    quarantine = _quarantine(read, settings)
    ambiguous = {(key, s.long_form) for key, senses in inventory.senses.items() if len(senses) > 1 for s in senses}
    taught = Counter((m.short_form, m.long_form) for p in splits["train"] for m in p.mentions)
    return {
        "source": "text",
        "settings": {
            name: value if isinstance(value, int | float) else str(value) for name, value in vars(settings).items()
        }
        | {"avoid": [path.name for path in avoided], "inventory": str(settings.inventory or "")},
        "read": [file.name for file in files],
        "public": all(map(is_public, files)),
        "inventory": inventory_counts(inventory),
        "rows_read": quarantine.total,
        "rows_quarantined": quarantine.summary(),
        "quarantine_examples": quarantine.examples(30),
        "texts": read["sources"],
        "words": read["words"],
        "chunks": chosen["chunks"],
        "chunks_shared_with_measured": chosen["shared"],
        "chunks_chosen": chosen["chosen"],
        "passages": {split: len(passages) for split, passages in splits.items()},
        "mentions": {split: sum(len(p.mentions) for p in passages) for split, passages in splits.items()},
        "look_alikes": {
            split: sum(m.long_form == NONE_OF_THESE for p in passages for m in p.mentions)
            for split, passages in splits.items()
        },
        "ambiguous_senses": len(ambiguous),
        "taught_at_least": {str(times): sum(taught[sense] >= times for sense in ambiguous) for times in DOSE},
        "coverage": [(key, long_form, taught[key, long_form]) for key, long_form in sorted(ambiguous)],
        "short_forms": Counter(m.short_form for p in splits["train"] for m in p.mentions).most_common(20),
    }


def _quarantine(read: dict[str, Any], settings: TextSettings) -> Quarantine:
    """The records that stage 1 could not read."""
    return Quarantine(limit=settings.max_bad_rows, total=read["total"], rows=read["bad"])


def _read(work: Path, files: list[Path], settings: TextSettings) -> dict[str, Any]:
    """Stage 1: write all texts in blocks and, last, an account; a text whose id occurred before gets a new id."""
    done = work / "read.json"
    if done.exists():
        return dict(read_json(done))
    quarantine = Quarantine(limit=settings.max_bad_rows)
    sources: Counter[str] = Counter()
    seen: set[str] = set()
    pending: list[PlainText] = []
    words = blocks = 0

    def write() -> None:
        nonlocal blocks
        frame = pl.DataFrame(pending, schema=dict.fromkeys(PlainText._fields, pl.String), orient="row")
        write_frame(frame, work / "texts" / f"{blocks:05}.parquet")
        blocks += 1
        pending.clear()

    for file in files:
        for text in read_texts(file, quarantine):
            name = text.id
            while name in seen:  # ids from different files may clash
                name += "'"
            seen.add(name)
            sources[text.source] += 1
            words += len(text.text.split())
            pending.append(text._replace(id=name))
            if len(pending) == TEXTS_PER_BLOCK:
                write()
    if pending:
        write()
    quarantine.check()
    found = {"blocks": blocks, "sources": sources, "words": words, "total": quarantine.total, "bad": quarantine.rows}
    write_json(found, done)
    return found


def _find(name: str, *, work: Path, settings: TextSettings) -> None:
    """Stage 2: cut a block's texts into chunks, find their long forms, and count its lower-case words."""
    texts = list(_texts(work, name))
    found = [chunk.packed() for chunk in chunks(texts, _shortener(settings), seed=settings.seed)]
    write_json({"chunks": found, "words": lower_case_words(text.text for text in texts)}, work / "found" / name)


def _texts(work: Path, name: str) -> Iterator[PlainText]:
    frame = pl.read_parquet(work / "texts" / Path(name).with_suffix(".parquet").name)
    return map(PlainText._make, frame.iter_rows())


def _choose(work: Path, blocks: list[str], runs: frozenset[str], settings: TextSettings) -> dict[str, Any]:
    """Stage 3: choose the chunks, write them in blocks with the words of all texts and, last, the counts."""
    folder = work / "chosen"
    if (folder / "done.json").exists():
        return dict(read_json(folder / "done.json"))
    words: Counter[str] = Counter()
    shortener = _shortener(settings)
    found: list[Chunk] = []
    for name in blocks:
        block = read_json(work / "found" / name)
        words.update(block["words"])
        found += map(Chunk.unpacked, block["chunks"])
    found = list(different(found))
    clean = [chunk for chunk in found if not word_runs(chunk.text) & runs]
    split = {chunk.id: _split(chunk.text_id, settings) for chunk in clean}
    training = [chunk for chunk in clean if split[chunk.id] == "train"]
    long_forms = Counter(name for chunk in training for name in chunk.long_forms)
    chosen = covering(training, shortener.inventory, times=settings.times, seed=settings.seed)
    held = [chunk for chunk in clean if split[chunk.id] != "train"]
    written = [
        Chunk(id=f"{p.id}#0", text=p.text, source=p.source, matches=matches)
        for p in (written_passages() if _taught_too(settings) else [])
        if not word_runs(p.text) & runs and (matches := shortener.find(p.text))
    ]
    jobs = [(chunk.packed(), turn) for turn in range(settings.turns) for chunk in chosen]
    jobs += [
        (chunk.packed(), turn)
        for turn in range(settings.turns * WRITTEN_TURNS)
        for chunk in written
        if turn == 0 or _split(chunk.text_id, settings) == "train"
    ]
    jobs += [(chunk.packed(), 0) for chunk in held]
    parts = range(0, len(jobs), CHUNKS_PER_BLOCK)
    for number, start in enumerate(parts):
        write_json(jobs[start : start + CHUNKS_PER_BLOCK], folder / f"{number:05}.json")
    write_json({word: count for word, count in words.items() if count >= 20}, folder / "words.json")
    counts = {
        "blocks": len(parts),
        "chunks": len(found),
        "shared": len(found) - len(clean),
        "chosen": len(chosen),
        "long_forms": long_forms,
    }
    write_json(counts, folder / "done.json")
    return counts


def _type(name: str, *, work: Path, settings: TextSettings) -> None:
    """Stage 4: render a block of chunks."""
    jobs = read_json(work / "chosen" / Path(name).with_suffix(".json").name)
    common = _common(work)
    made = [
        typed(_shortener(settings), Chunk.unpacked(row), turn=turn, seed=settings.seed, common=common)
        for row, turn in jobs
    ]
    write_parquet(made, work / "typed" / name)


def _splits(
    work: Path, parts: list[str], inventory: Inventory, runs: frozenset[str], settings: TextSettings
) -> dict[Split, list[Passage]]:
    """Stage 5: the passages of each split; in training, marks of the commonest senses are thinned out."""
    splits: dict[Split, list[Passage]] = {split: [] for split in SPLITS}
    for name in parts:
        for passage in read_passages(work / "typed" / name, inventory, Quarantine(limit=0)):
            if not word_runs(passage.text) & runs:  # a rendering may come closer to a note than its chunk
                splits[_split(text_root(passage.id), settings)].append(passage)
    splits["train"] = thinned(splits["train"], most=settings.most, seed=settings.seed)
    for note in reader.notes() if _taught_too(settings) else []:
        split = _split(note.id, settings)
        for turn in range(settings.turns * WRITTEN_TURNS if split == "train" else 1):
            named = replace(note, id=f"{note.id}#{turn}")
            typed_note = styled(named, inventory, seed=turn) if turn else named
            if not word_runs(typed_note.text) & runs:
                splits[split].append(typed_note)
    return {split: [p for p in map(once, passages) if p.mentions] for split, passages in splits.items()}


def _taught_too(settings: TextSettings) -> bool:
    return settings.written and settings.inventory is None


def _split(text_id: str, settings: TextSettings) -> Split:
    return split_of_root(text_id, validation=settings.validation, test=settings.test, seed=settings.seed)


def _inventory(settings: TextSettings) -> Inventory:
    return reader.inventory() if settings.inventory is None else Inventory.read(settings.inventory)


def _counted(inventory: Inventory, long_forms: Mapping[str, int]) -> Inventory:
    """The inventory, which has no counts of its own, with the number of chunks that spell out each sense as counts."""
    rows = (
        (short_form, sense.long_form, long_forms.get(sense.long_form.lower(), 0), sense.concept)
        for short_form, senses in inventory.senses.items()
        for sense in senses
    )
    return Inventory.of(rows, inventory.origin)


@lru_cache(maxsize=1)
def _shortener(settings: TextSettings) -> Shortener:
    equivalents = reader.equivalents() if settings.inventory is None else {}
    return Shortener(_inventory(settings), equivalents, seed=settings.seed)


@lru_cache(maxsize=1)
def _common(work: Path) -> Counter[str]:
    return Counter(read_json(work / "chosen" / "words.json"))
