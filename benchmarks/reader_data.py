"""Makes the corpora of `recipes/reader.yaml` and the question sets that the reader is scored on, from public text.

    python benchmarks/reader_data.py --shared FOLDER --out DATA

FOLDER holds `medical_texts.jsonl.gz`, PubMed abstracts, MeDAL's table and sample, ADAM and GLADIS under the names
below; none of them is in the repository. DATA receives the corpora, each a folder as `medalist prepare` makes it, and
for `benchmarks/reader.py`, which also runs where little is installed, the same as `<name>.parquet` with
`<name>.inventory.csv`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from medalist.corpora.corpus import corpus_inventory, is_corpus
from medalist.corpora.kept_apart import measured_runs, word_runs
from medalist.corpora.pubmed import PubmedSettings, prepare_pubmed
from medalist.corpora.text_corpus import TextSettings, prepare_text
from medalist.data.embedded import clinical, probes, reader
from medalist.data.inventory import Inventory
from medalist.data.kinds import Kind
from medalist.data.passage_files import write_parquet
from medalist.data.passages import Passage
from medalist.data.shards import corpus_passages
from medalist.data.splits import split_of
from medalist.runs.held_out import read_marked
from medalist.runs.reader import in_listed_words
from medalist.tools.progress import say

TEXTS = "medical_texts.jsonl.gz"
ABSTRACTS = ("pubmed_abstracts.jsonl.gz", "pubmed_abstracts_more.jsonl.gz")
PUBLISHED, ADAM, MEDAL, GLADIS = (
    "valid_adam.txt",
    "adam_database.gz",
    "medal_sample.csv",
    "gladis_biomedical_train.json.gz",
)
HELD_OUT = {"validation": 0.02, "test": 0.2}
"""Shares of the abstracts, by a hash of the PMID; only the rest is trained on."""
PROBABILITY: dict[Kind, float] = {"medal": 0.3, "substituted": 0.4}
SEEDS = (0, 1)
"""Each abstract is abbreviated once with each."""


def abstracts(shared: Path) -> Iterator[tuple[str, str]]:
    """(PMID, JSON line) of every abstract."""
    for name in ABSTRACTS:
        with gzip.open(shared / name, "rt", encoding="utf-8") as file:
            for line in file:
                yield str(json.loads(line)["pmid"]), line


def write_abstracts(shared: Path, out: Path) -> tuple[Path, Path, Path]:
    """All abstracts; those that are measured on; and the others, without any that share words with what is measured."""
    everything, held, taught = (out / f"abstracts-{name}.jsonl" for name in ("all", "held-out", "taught"))
    found = list(abstracts(shared))
    kept = {
        pmid: split_of(pmid, validation=HELD_OUT["validation"], test=HELD_OUT["test"]) == "train" for pmid, _ in found
    }
    everything.write_text("".join(line for _, line in found), encoding="utf-8")
    held.write_text("".join(line for pmid, line in found if not kept[pmid]), encoding="utf-8")
    runs = measured_runs([held, shared / MEDAL, shared / GLADIS])
    own = ((line, " ".join(json.loads(line)["sections"])) for pmid, line in found if kept[pmid])
    clean = [line for line, text in own if not word_runs(text) & runs]
    taught.write_text("".join(clean), encoding="utf-8")
    say(f"{len(found):,} abstracts, {len(clean):,} of them free to be taught")
    return everything, held, taught


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
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    shared, out = options.shared, options.out
    out.mkdir(parents=True, exist_ok=True)
    everything, held, taught = write_abstracts(shared, out)
    if not is_corpus(out / "texts"):
        avoid = (held, shared / MEDAL, shared / GLADIS)
        made = TextSettings(avoid=avoid, validation=0.02, test=0)
        prepare_text([shared / TEXTS, taught], out / "texts", made, workers=options.workers)
    both = (shared / PUBLISHED, shared / ADAM)
    whole = PubmedSettings(inventories=both, probability=PROBABILITY, all_sections=True, validation=0, test=0)
    for seed in SEEDS:
        as_medal = replace(whole, inventories=both[:1], kinds=("medal",), seed=seed)
        others = replace(whole, kinds=("substituted", "defined"), seed=seed)
        for name, settings in (("medal", as_medal), ("pubmed", others)):
            if not is_corpus(out / f"{name}-{seed}"):
                prepare_pubmed([taught], out / f"{name}-{seed}", settings, workers=options.workers)
    inventory = reader.inventory()
    write(out, "notes", corpus_passages(out / "texts", "train", inventory), inventory)
    held = list(corpus_passages(out / "texts", "validation", inventory))
    write(out, "validation", random.Random(0).sample(held, 400), inventory)
    for name, kinds in (("medal", ("medal",)), ("pubmed", ("substituted", "defined"))):
        listed = corpus_inventory(out / f"{name}-{SEEDS[0]}")
        several = (
            replace(passage, id=f"{passage.id}#{kind}-{seed}")
            for seed in SEEDS
            for kind in kinds
            for passage in corpus_passages(out / f"{name}-{seed}", "train", listed, kind=kind)
        )
        write(out, name, several, listed)
    write_questions(shared, out, everything)


def write_questions(shared: Path, out: Path, everything: Path) -> None:
    """The question sets. The locked half of the clinical notes is not among them."""
    corpus, inventory = out / "held-out", reader.inventory()
    published = Inventory.read(shared / PUBLISHED)
    if not is_corpus(corpus):
        kept = PubmedSettings(
            inventories=(shared / PUBLISHED, shared / ADAM),
            probability=PROBABILITY,
            all_sections=True,
            validation=HELD_OUT["validation"],
            test=HELD_OUT["test"],
        )
        prepare_pubmed([everything], corpus, kept)
    for name in ("development", "blind", "look-alikes"):
        notes, _ = read_marked(clinical.NOTES[f"clinical-{name}"], inventory)
        write(out, f"questions-{name}", [in_listed_words(note, inventory) for note in notes], inventory)
    write(out, "questions-pairs", *probes.dangerous_pairs())
    write(out, "questions-medal", read_marked(shared / MEDAL, published)[0], published)
    listed = corpus_inventory(corpus)
    write(out, "questions-defined", list(corpus_passages(corpus, "test", listed, kind="defined"))[:250], listed)
    pairs = Inventory.read(shared / GLADIS)
    write(out, "questions-gladis", read_marked(shared / GLADIS, pairs)[0][::8], pairs)


if __name__ == "__main__":
    main()
