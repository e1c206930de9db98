"""What the embedded corpora hold, counted; `conftest.py` prints it at the end of a test run, datasheets must agree."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache

from medalist.data.embedded import clinical, sample
from medalist.data.inventory import Inventory
from medalist.data.items import make_items
from medalist.data.passage_files import read_passages
from medalist.data.passages import Passage
from medalist.data.substitution import LongFormFinder

INVENTORY = sample.inventory()
PASSAGES = sample.passages()


@cache
def notes(name: str) -> list[Passage]:
    """The clinical notes of one half."""
    return read_passages(clinical.NOTES[name], INVENTORY)


@cache
def taught() -> dict[str, list[str]]:
    """Short form -> its senses that stand in at least five passages, of those with two to five such senses."""
    finder = LongFormFinder(sample.usual_short_forms())
    where: dict[tuple[str, str], set[str]] = defaultdict(set)
    for passage in PASSAGES:
        for match in finder.find(passage.text):
            where[match.short_form, match.long_form].add(passage.id)
    found: dict[str, list[str]] = defaultdict(list)
    for (short_form, long_form), passages in where.items():
        if len(passages) >= 5:
            found[short_form].append(long_form)
    return {short_form: names for short_form, names in found.items() if 2 <= len(names) <= 5}


def runs(text: str, length: int) -> set[tuple[str, ...]]:
    """Every run of so many words."""
    words = re.findall(r"\w+", text.lower())
    return set(zip(*(words[n:] for n in range(length)), strict=False))


def shared_runs(passages: Iterable[Passage], length: int) -> list[tuple[str, str, str]]:
    """Pairs of passages that share a run of so many words, with the run."""
    seen: dict[tuple[str, ...], str] = {}
    shared = []
    for passage in passages:
        for run in runs(passage.text, length):
            if seen.setdefault(run, passage.id) != passage.id:
                shared.append((seen[run], passage.id, " ".join(run)))
    return shared


def similar(passages: list[Passage], *, at_least: float) -> list[tuple[str, str]]:
    """Pairs whose sets of three-word runs overlap by at least this share (Jaccard)."""
    shingles = {passage.id: runs(passage.text, 3) for passage in passages}
    holders: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for identifier, found in shingles.items():
        for run in found:
            holders[run].append(identifier)
    common = Counter((a, b) for ids in holders.values() for n, a in enumerate(ids) for b in ids[:n])
    return [(a, b) for (a, b), n in common.items() if n >= at_least * len(shingles[a] | shingles[b])]


def second_reading() -> list[dict[str, str]]:
    """A row for each gold that was answered a second time, from the text alone."""
    with (clinical.HERE / "second_reading.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@cache
def figures() -> dict[str, str]:
    """Every figure of the datasheets, by its name there."""
    records = [json.loads(line) for line in sample.FILES[0].read_text(encoding="utf-8").splitlines()]
    styles = Counter(record["style"] for record in records)
    found = {
        "passages": f"{len(records)} ({styles['abstract']} abstracts, {styles['note']} notes)",
        "specialities": str(len({record["speciality"] for record in records})),
        "ambiguous short forms taught": f"{len(taught())} with {sum(map(len, taught().values()))} senses",
        "inventory": _size(INVENTORY),
    }
    for name in clinical.NOTES:
        kinds = Counter(item.kind for item in make_items(notes(name), INVENTORY))
        found[name] = (
            f"{len(notes(name))} notes; golds: {kinds['choice'] + kinds['single']} listed ({kinds['choice']} with a "
            f"choice), {kinds['absent']} senses not listed, {kinds['unlisted']} short forms not listed; "
            f"{kinds['distractor']} distractors"
        )
    outcomes = Counter(row["outcome"] for row in second_reading())
    agreed = outcomes["same"] + outcomes["same meaning"]
    found["second reading"] = (
        f"{agreed} of {outcomes.total()} agree ({100 * agreed / outcomes.total():.1f} %; {outcomes['same']} word for "
        f"word); of the others {outcomes['first kept']} first answers kept, {outcomes['second taken']} second answers "
        f"taken, {outcomes['dropped']} mentions dropped"
    )
    return found


def _size(inventory: Inventory) -> str:
    senses = sum(map(len, inventory.senses.values()))
    ambiguous = sum(len(listed) > 1 for listed in inventory.senses.values())
    return f"{len(inventory):,} short forms, {senses:,} senses; {ambiguous:,} short forms with a choice"
