"""Makes the lessons and question sets that `benchmarks/reader.py` tunes and scores with, from public text.

    python benchmarks/reader_data.py --shared FOLDER --out DATA

FOLDER holds `medical_texts.jsonl.gz`, PubMed abstracts, MeDAL's table and sample, ADAM and GLADIS under the names
below; none of them is in the repository. A lesson is `<name>.parquet` and `<name>.inventory.csv`.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from medalist.corpora.pubmed import PubmedSettings, prepare_pubmed
from medalist.corpora.text import Chunk, Shortener, chunks, covering, lower_case_words, read_texts, thinned, typed
from medalist.data.embedded import clinical, probes, reader, sample
from medalist.data.inventory import Inventory
from medalist.data.kinds import KindMaker
from medalist.data.note_style import as_note
from medalist.data.passage_files import read_passages, write_parquet
from medalist.data.passages import NONE_OF_THESE, Passage
from medalist.data.splits import split_of, split_passages
from medalist.runs.held_out import read_marked
from medalist.tools.progress import say

TEXTS = "medical_texts.jsonl.gz"
ABSTRACTS = ("pubmed_abstracts.jsonl.gz", "pubmed_abstracts_more.jsonl.gz")
PUBLISHED, ADAM, MEDAL, GLADIS = (
    "valid_adam.txt",
    "adam_database.gz",
    "medal_sample.csv",
    "gladis_biomedical_train.json.gz",
)
SPLIT = {"validation": 0.02, "test": 0.2}
"""Of the abstracts, by a hash of the PMID; only the rest is trained on."""
SEED = 0
RUN = 8
"""Words in a row that no training text may share with what is measured."""


def word_runs(text: str) -> set[str]:
    """Every run of `RUN` words."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    return {" ".join(words[n : n + RUN]) for n in range(len(words) - RUN + 1)}


class Abstracts:
    """The abstracts of the training split, and the texts of the others."""

    def __init__(self, shared: Path) -> None:
        self.train: list[tuple[str, list[str]]] = []
        self.others: list[str] = []
        for name in ABSTRACTS:
            with gzip.open(shared / name, "rt", encoding="utf-8") as file:
                for line in file:
                    record = json.loads(line)
                    identifier, sections = str(record["pmid"]), list(map(str, record["sections"]))
                    if split_of(identifier, **SPLIT) == "train":
                        self.train.append((identifier, sections))
                    else:
                        self.others.append(" ".join(sections))


def measured(shared: Path, abstracts: Abstracts) -> set[str]:
    """The word runs of every text that something is measured on."""
    notes = [p.text for half in clinical.NOTES.values() for p in read_passages(half, reader.inventory())]
    kept_apart = split_passages(sample.passages(), validation=0.04, test=0.25, seed=0)
    held = [p.text for split in ("validation", "test") for p in kept_apart[split]]
    with (shared / MEDAL).open(encoding="utf-8", newline="") as file:
        rows = [row["TEXT"] for row in csv.DictReader(file)]
    with gzip.open(shared / GLADIS, "rt", encoding="utf-8") as file:
        sentences = [" ".join(json.loads(line)["tokens"]) for line in file]
    texts = [*notes, *[p.text for p in probes.dangerous_pairs()[0]], *probes.general_english()]
    return {run for text in (*texts, *held, *rows, *sentences, *abstracts.others) for run in word_runs(text)}


def note_lessons(shared: Path, abstracts: Abstracts, avoid: set[str], *, turns: int) -> list[Passage]:
    """Chunks of public text and the written passages, typed as notes several times each, and the notes with
    look-alikes.
    """
    shortener = Shortener(reader.inventory(), reader.equivalents(), seed=SEED)
    texts = list(read_texts(shared / TEXTS))
    common = lower_case_words(text for _, text, _ in texts)
    public = [*texts, *((f"pm{name}", " ".join(sections), "pubmed") for name, sections in abstracts.train)]
    found = [one for one in chunks(public, shortener, seed=SEED) if clean(one.text, avoid)]
    chosen = covering(found, shortener.inventory, times=40, seed=SEED)
    taught = split_passages(sample.passages(), validation=0.04, test=0.25, seed=0)["train"]
    written = [
        Chunk(id=p.id, text=p.text, source=p.source, matches=shortener.find(p.text))
        for p in (*reader.passages(), *taught)
        if clean(p.text, avoid)
    ]
    say(f"{len(found):,} chunks, {len(chosen):,} chosen, {len(written):,} written")
    jobs = [(one, turn) for turn in range(turns) for one in chosen]
    jobs += [(one, turn) for turn in range(3 * turns) for one in written if one.matches]
    with ProcessPoolExecutor() as pool:
        made = list(pool.map(partial(_typed, shortener, common), jobs, chunksize=400))
    made = thinned([p for p in made if clean(p.text, avoid)], most=100 * turns, seed=SEED)
    made += [again for p in reader.look_alikes() for again in _retyped(p, 3 * turns) if clean(p.text, avoid)]
    lessons = [p for p in map(once, made) if p.mentions]
    random.Random(SEED).shuffle(lessons)
    return lessons


def clean(text: str, avoid: set[str]) -> bool:
    """Whether a text shares no run with what is measured."""
    return not word_runs(text) & avoid


def _typed(shortener: Shortener, common: Counter[str], job: tuple[Chunk, int]) -> Passage:
    return typed(shortener, job[0], turn=job[1], seed=SEED, common=common)


def _retyped(passage: Passage, times: int) -> Iterator[Passage]:
    for turn in range(times):
        named = replace(passage, id=f"{passage.id}#{turn}")
        yield named if turn == 0 else as_note(named, seed=turn)


def once(passage: Passage) -> Passage:
    """Only the first mark of each sense."""
    seen: set[tuple[str, str | None]] = set()
    kept = []
    for mention in passage.mentions:
        key = (mention.short_form, mention.long_form)
        if key not in seen or mention.long_form == NONE_OF_THESE:
            kept.append(mention)
        seen.add(key)
    return replace(passage, mentions=tuple(kept))


def abstract_lessons(
    abstracts: Abstracts, listed: Inventory, published: Inventory, avoid: set[str], *, turns: int
) -> tuple[list[Passage], list[Passage]]:
    """Training abstracts as MeDAL makes passages of them, and in the other two kinds."""
    as_medal, others = [], []
    for turn in range(turns):
        maker = KindMaker(listed, published=published, probability={"medal": 0.3, "substituted": 0.4}, seed=turn)
        for name, sections in abstracts.train:
            whole = [" ".join(sections)]
            for kind in ("medal", "substituted", "defined") if turn == 0 else ("medal", "substituted"):
                made = maker.make(kind, f"{name}#{turn}", whole)
                if made.mentions and clean(made.text, avoid):
                    (as_medal if kind == "medal" else others).append(replace(made, id=f"{kind}-{made.id}"))
    return as_medal, others


def write(folder: Path, name: str, passages: Iterable[Passage], inventory: Inventory) -> None:
    """A lesson or a question set."""
    passages = list(passages)
    write_parquet(passages, folder / f"{name}.parquet")
    inventory.write(folder / f"{name}.inventory.csv")
    say(f"{name}: {len(passages):,} passages, {sum(len(p.mentions) for p in passages):,} marks")


def main() -> None:
    """Make everything; some minutes on two cores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="folder of the public data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--turns", type=int, default=3, help="renderings of each chunk; written passages get three times as many"
    )
    options = parser.parse_args()
    shared, out = options.shared, options.out
    out.mkdir(parents=True, exist_ok=True)
    abstracts = Abstracts(shared)
    avoid = measured(shared, abstracts)
    inventory = reader.inventory()
    lessons = note_lessons(shared, abstracts, avoid, turns=options.turns)
    held = [p for p in lessons if hashlib.sha256(f"val{p.id.split('#')[0]}".encode()).hexdigest() < "03"]
    write(out, "validation", [p for p in held if p.id.endswith("#0")][:400], inventory)
    names = {p.id for p in held}
    write(out, "notes", [p for p in lessons if p.id not in names], inventory)
    corpus, plain = out / "corpus", out / "abstracts.jsonl"
    if not corpus.exists():
        parts = (gzip.open(shared / name, "rt", encoding="utf-8").read() for name in ABSTRACTS)
        plain.write_text("".join(parts), encoding="utf-8")
        probability = {"medal": 0.3, "substituted": 0.4}
        prepare_pubmed(
            [plain],
            corpus,
            PubmedSettings(
                inventories=(shared / PUBLISHED, shared / ADAM), probability=probability, all_sections=True, **SPLIT
            ),
        )
    listed, published = Inventory.read(corpus / "inventory.csv"), Inventory.read(shared / PUBLISHED)
    as_medal, others = abstract_lessons(abstracts, listed, published, avoid, turns=options.turns)
    write(out, "medal", as_medal, published)
    write(out, "pubmed", others, listed)
    development = read_passages(clinical.NOTES["clinical-development"], inventory)
    write(out, "questions-development", development, inventory)
    write(out, "questions-pairs", *probes.dangerous_pairs())
    write(out, "questions-medal", read_marked(shared / MEDAL, published)[0], published)
    defined = read_passages(corpus / "defined" / "test-00000-of-00001.parquet", listed)
    write(out, "questions-defined", defined[:250], listed)
    pairs = Inventory.read(shared / GLADIS)
    write(out, "questions-gladis", read_marked(shared / GLADIS, pairs)[0][::8], pairs)


if __name__ == "__main__":
    main()
