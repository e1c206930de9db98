"""Tunes the reader further on what a glance leaves open in its newer notes, as an expander will ask it.

    python benchmarks/reader_further.py --data DATA --out OUT    # 74 steps, some 35 minutes on two cores

DATA is what `reader_data.py` made. In each note, what the reader's glance settles and has right is written out, save in
a third of them, and the questions are about the rest; among these lessons are earlier ones, so that those are not
forgotten. OUT receives the run folder's `adapter/` and `log.jsonl`.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import replace
from pathlib import Path

from medalist.data.embedded import reader
from medalist.data.inventory import Inventory
from medalist.data.passage_files import read_passages
from medalist.data.passages import NONE_OF_THESE, Mention, Passage
from medalist.data.surroundings import surroundings
from medalist.models.base import EMBEDDED
from medalist.models.load import load_base
from medalist.recipe import parse_recipe
from medalist.runs.reader_run import TRAINED
from medalist.training.batches import Lesson
from medalist.training.tune import TuningData, tune
from medalist.trees.decisions import CALIBRATION_FILE, Calibration, Glance, decide_at_a_glance
from medalist.trees.topic import Spot, topic_fits
from medalist.trees.windows import Window

NEWEST, BEFORE = ("vb-", "vc-", "vd-", "ve-"), ("wa-", "wb-", "wc-", "wd-", "we-")
"""How the ids of these notes begin, and of those of the sitting before."""
AGAIN = 150
"""How many notes of the sitting before are shown again."""
AS_TYPED = 0.35
"""Share of the notes in which nothing is written out."""
EARLIER = {"reader": 45, "public": 25, "medal": 20, "pubmed": 25}
"""How many earlier lessons of each kind are shown again."""
VALIDATION = 60
CHANGES = {"learning_rate": 5e-4, "passages_per_step": 8, "passages_per_pass": 1, "candidates": 8, "log_every": 5}


def left_open(note: Passage, glance: Glance, inventory: Inventory, draw: random.Random) -> Passage:
    """The note with what the glance settles rightly written out, and marks on the rest."""
    spots = [
        Spot(m.start, m.end, inventory.long_forms(m.short_form), inventory.log_priors(m.short_form))
        for m in note.mentions
    ]
    fits = topic_fits(reader.topics(), note.text, [Window(0, len(note.text))], spots)
    as_typed = draw.random() < AS_TYPED
    text, at = "", 0
    marks: list[Mention] = []
    for mention, spot, fit in zip(note.mentions, spots, fits, strict=True):
        decision = decide_at_a_glance(spot.log_priors, surroundings(note.text, mention), glance, fit)
        settled = glance.settled(decision, spot.log_priors)
        right = settled is not None and spot.senses[settled] == mention.long_form
        text += note.text[at : mention.start]
        at = mention.end
        if right and not as_typed:
            text += mention.long_form or ""
            continue
        start = len(text)
        text += note.text[mention.start : mention.end]
        if not right:
            marks.append(replace(mention, start=start, end=len(text)))
    return replace(note, text=text + note.text[at:], mentions=tuple(marks))


def lessons(data: Path, seed: int) -> list[Lesson]:
    """The notes with the earlier lessons that go with them, then MeDAL's and PubMed's, each with its candidates."""
    draw, inventory = random.Random(seed), reader.inventory()
    glance = Calibration.read(reader.HERE / CALIBRATION_FILE).glance
    assert glance is not None, "the reader glances"
    chosen = [note for note in reader.notes() if note.id.startswith(NEWEST)]
    chosen += draw.sample([note for note in reader.notes() if note.id.startswith(BEFORE)], AGAIN)
    notes = [left_open(note, glance, inventory, draw) for note in chosen]
    asked = [m for note in notes for m in note.mentions if m.long_form != NONE_OF_THESE]
    print(f"{len(notes):,} notes, with {len(asked):,} short forms left open", flush=True)
    taught = read_passages(data / "notes.parquet", inventory)
    for name, own in (("reader", True), ("public", False)):
        notes += draw.sample([p for p in taught if (p.source == "reader") is own], EARLIER[name])
    draw.shuffle(notes)
    found = [Lesson(texts=notes, inventory=inventory)]
    for name in ("medal", "pubmed"):
        listed = Inventory.read(data / f"{name}.inventory.csv")
        texts = draw.sample(read_passages(data / f"{name}.parquet", listed), EARLIER[name])
        found.append(Lesson(texts=texts, inventory=listed))
    return found


def main() -> None:
    """Make the lessons and tune."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=74)
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args()
    training = {**TRAINED, **CHANGES, "max_steps": options.steps, "evaluate_every": options.steps}
    prompt = {"window": reader.WINDOW, "max_nodes": reader.MAX_NODES}
    values = {"name": "reader", "output": str(options.out), "seed": 1, "prompt": prompt, "training": training}
    first, *beside = lessons(options.data, options.seed)
    validation = read_passages(options.data / "validation.parquet", first.inventory)[:VALIDATION]
    options.out.mkdir(parents=True, exist_ok=True)
    data = TuningData(train=first.texts, validation=validation, inventory=first.inventory, beside=beside)
    print(tune(load_base(EMBEDDED, dtype="float32"), parse_recipe(values), data, options.out, start=reader.ADAPTER))


if __name__ == "__main__":
    main()
