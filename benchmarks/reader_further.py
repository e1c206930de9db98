"""Makes the lessons of the reader's last sitting: its notes as an expander will ask about them, among earlier lessons.

    python benchmarks/reader_further.py --data DATA --out LESSONS
    python benchmarks/reader.py --data LESSONS --start ADAPTER --minutes 5 --blend 0.75 --out OUT \
        --set training.learning_rate=8e-4 training.candidates=8    # on a GPU

DATA is what `reader_data.py` made. In most renderings of a note, what the reader's glance settles and has right is
written out, and the questions are about the rest; in the others it is as it was typed. LESSONS receives these, a draw
of the earlier lessons and the question sets, in the form that `reader.py` reads. A quarter of ADAPTER's weights is
kept: they tell look-alikes better, and the mean hardly knows less of the senses.
"""

from __future__ import annotations

import argparse
import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from medalist.data.embedded import reader
from medalist.data.inventory import Inventory
from medalist.data.passage_files import read_passages, write_parquet
from medalist.data.passages import Mention, Passage
from medalist.data.surroundings import surroundings
from medalist.tools.progress import say
from medalist.trees.decisions import CALIBRATION_FILE, Calibration, Glance, decide_at_a_glance
from medalist.trees.topic import Spot, topic_fits
from medalist.trees.windows import Window

RENDERINGS = 6
"""Of each note."""
AS_TYPED = 0.35
"""Share of the renderings in which nothing is written out."""
EARLIER = {"reader": 14_000, "public": 16_000, "medal": 4_000, "pubmed": 5_000}
"""How many earlier lessons of each kind are shown again: written here, in public text, and in abstracts."""
VALIDATION = 200
QUESTIONS = ("development", "blind", "look-alikes", "pairs", "medal", "defined")


def left_open(note: Passage, glance: Glance, inventory: Inventory, draw: random.Random) -> Iterator[Passage]:
    """Renderings of the note, with what the glance settles rightly written out and marks on the rest."""
    spots = [
        Spot(m.start, m.end, inventory.long_forms(m.short_form), inventory.log_priors(m.short_form))
        for m in note.mentions
    ]
    fits = topic_fits(reader.topics(), note.text, [Window(0, len(note.text))], spots)
    right = []
    for mention, spot, fit in zip(note.mentions, spots, fits, strict=True):
        decision = decide_at_a_glance(spot.log_priors, surroundings(note.text, mention), glance, fit)
        settled = glance.settled(decision, spot.log_priors)
        right.append(settled is not None and spot.senses[settled] == mention.long_form)
    for number in range(RENDERINGS):
        as_typed = draw.random() < AS_TYPED
        found = written_out(note, [False] * len(right)) if as_typed else written_out(note, right)
        if found.mentions:
            yield replace(found, id=f"{note.id}#open-{number}")


def written_out(note: Passage, expand: list[bool]) -> Passage:
    """The note with some of its short forms as their long forms, and marks on the others."""
    text, at = "", 0
    marks: list[Mention] = []
    for mention, expanded in zip(note.mentions, expand, strict=True):
        text += note.text[at : mention.start]
        at = mention.end
        if expanded:
            text += mention.long_form or ""
            continue
        start = len(text)
        text += note.text[mention.start : mention.end]
        marks.append(replace(mention, start=start, end=len(text)))
    return replace(note, text=text + note.text[at:], mentions=tuple(marks))


def main() -> None:
    """Make the lessons; a minute or two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=6)
    options = parser.parse_args()
    draw, inventory = random.Random(options.seed), reader.inventory()
    glance = Calibration.read(reader.HERE / CALIBRATION_FILE).glance
    assert glance is not None, "the reader glances"
    notes = [found for note in reader.notes() for found in left_open(note, glance, inventory, draw)]
    say(f"{len(notes):,} renderings of notes, with {sum(len(note.mentions) for note in notes):,} marks")
    taught = read_passages(options.data / "notes.parquet", inventory)
    for name, own in (("reader", True), ("public", False)):
        notes += draw.sample([p for p in taught if (p.source == "reader") is own], EARLIER[name])
    draw.shuffle(notes)
    options.out.mkdir(parents=True, exist_ok=True)
    write(options.out, "notes", notes, inventory)
    for name in ("medal", "pubmed"):
        listed = Inventory.read(options.data / f"{name}.inventory.csv")
        write(
            options.out,
            name,
            draw.sample(read_passages(options.data / f"{name}.parquet", listed), EARLIER[name]),
            listed,
        )
    validation = read_passages(options.data / "validation.parquet", inventory)
    write(options.out, "validation", validation[:VALIDATION], inventory)
    for name in QUESTIONS:
        for end in ("parquet", "inventory.csv"):
            shutil.copy(options.data / f"questions-{name}.{end}", options.out)


def write(folder: Path, name: str, passages: list[Passage], inventory: Inventory) -> None:
    """A lesson, with the candidates of its marks."""
    write_parquet(passages, folder / f"{name}.parquet")
    inventory.write(folder / f"{name}.inventory.csv")


if __name__ == "__main__":
    main()
