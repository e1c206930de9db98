"""Groups MeDAL's rows into passages and converts their word positions to the character offsets of a `Mention`."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from ...tools.files import replacing
from ..inventory import Inventory
from ..passages import WORD, Mention, Passage
from ..rows import Quarantine
from ..spelling import tidy
from .medal_tables import COLUMNS, MedalRow, rows, tables

DUPLICATE, OTHER_LABEL = "duplicate of an earlier row", "an earlier row has another LABEL here"
"""Why a row is set aside whose word is marked already."""
_PUNCTUATION = ".,;:()[]'\""


def read_rows(path: Path, inventory: Inventory, quarantine: Quarantine) -> list[Passage]:
    """Read the passages of a table, one per (abstract, text), as the texts of an abstract may differ in substitutions.

    Raises:
        ValueError: the file is damaged, or is not one of MeDAL's.
    """
    found = tables(path)
    if len(found) > 1:
        raise ValueError(f"{path} contains {len(found)} CSV files; unpack it and choose one")
    return group(rows(found[0], quarantine), inventory, quarantine)


def group(
    found: Iterable[MedalRow],
    inventory: Inventory,
    quarantine: Quarantine,
    stray: Counter[tuple[str, str]] | None = None,
) -> list[Passage]:
    """Group rows into passages, in the order of their first rows; malformed rows and duplicates are quarantined.

    If some of a row's short forms cannot be read, the others are kept.

    Args:
        found: the rows.
        inventory: lists the short forms.
        quarantine: collects the malformed and duplicate rows.
        stray: counts labels with stray spaces, by (short form, label); the spaces themselves are removed.
    """
    texts: dict[tuple[str, str], dict[tuple[int, int], Mention]] = {}
    for row in found:
        known = texts.setdefault((row.abstract, row.text), {})
        # Only tables without ids join lists; in the others, "|" is an ordinary character.
        joined = not row.abstract.isdigit() and "|" in row.locations + row.labels
        locations = row.locations.split("|") if joined else [row.locations]
        labels = row.labels.split("|") if joined else [row.labels]
        reason = None
        if "\ufffd" in row.text or "\ufffd" in row.labels:
            reason = "not UTF-8"
        elif len(locations) != len(labels):
            reason = f"{len(locations)} LOCATIONs for {len(labels)} LABELs"
        else:
            words = [word.start() for word in WORD.finditer(row.text)] if joined else None
            for location, label in zip(locations, labels, strict=True):
                try:
                    mention = word_mention(row.text, location, label, inventory, words)
                except ValueError as error:
                    reason = reason or str(error)
                    continue
                earlier = known.setdefault((mention.start, mention.end), mention)
                if earlier is not mention:
                    reason = reason or (DUPLICATE if earlier == mention else OTHER_LABEL)
                elif stray is not None and label != mention.long_form:
                    stray[mention.short_form, label] += 1
        if reason is not None:
            quarantine.add(Path(row.file), row.line, reason)
    passages = []
    numbers: Counter[str] = Counter()
    for (abstract, text), marked in texts.items():
        if not marked:
            continue
        numbers[abstract] += 1
        identifier = abstract if numbers[abstract] == 1 else f"{abstract}#{numbers[abstract]}"
        mentions = tuple(sorted(marked.values(), key=lambda m: m.start))
        # The source is not the file name, because an id identifies the same abstract in all of MeDAL's files.
        passages.append(Passage(id=identifier, text=text, mentions=mentions, source="medal"))
    return passages


def word_mention(
    text: str, location: str, label: str, inventory: Inventory, words: Sequence[int] | None = None
) -> Mention:
    """Convert MeDAL's word index to character offsets; the word without its punctuation is the short form.

    Args:
        text: the abstract.
        location: the word's index.
        label: its long form.
        inventory: lists the short forms.
        words: where each word of the text begins, if many of its words are converted.

    Raises:
        ValueError: the index or the label is wrong, or the word is not a short form of the label.
    """
    if not (long_form := tidy(label)):
        raise ValueError("empty LABEL")
    try:
        index = int(location)
    except ValueError:
        raise ValueError("LOCATION is not a whole number") from None
    if abs(index) > 10**9:  # what no list can be asked for
        raise ValueError(f"LOCATION is outside the text ({len(text.split()):,} words)")
    if words is None:
        parts = text.split(None, index) if index >= 0 else []
        start = len(text) - len(parts[index]) if len(parts) > index and parts else None
    else:
        start = words[index] if 0 <= index < len(words) else None
    if start is None:
        count = len(text.split()) if words is None else len(words)
        raise ValueError(f"LOCATION {index:,} is outside the text ({count:,} words)")
    found = WORD.match(text, start)
    assert found is not None
    surface = found[0]
    if surface not in inventory.senses:
        core = surface.strip(_PUNCTUATION)
        if not core:
            raise ValueError(f"LOCATION {index:,} points at punctuation")
        start += surface.index(core)
        surface = core
    short_form = inventory.key(surface)
    if short_form is None:
        raise ValueError(f"the word at LOCATION {index:,} is not a short form in the inventory")
    if not surface.startswith(short_form) and inventory.belongs_elsewhere(short_form, long_form):
        # "was" is not WAS if the label is a sense of RA: LOCATION points at an ordinary word.
        raise ValueError(f"the word at LOCATION {index:,} is not a short form of the LABEL")
    return Mention(start=start, end=start + len(surface), short_form=short_form, long_form=long_form)


def write_medal_csv(passages: Iterable[Passage], path: Path) -> None:
    """Write MeDAL's own CSV, one row per mention that has a gold answer.

    Raises:
        ValueError: a mention spans several words, which MeDAL's word index cannot express.
    """
    with replacing(path) as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for passage in passages:
            words = [match.span() for match in WORD.finditer(passage.text)]
            for mention in passage.mentions:
                index = next((i for i, (a, b) in enumerate(words) if a <= mention.start and mention.end <= b), None)
                if index is None:
                    raise ValueError(
                        f"passage {passage.id}: the mention at {mention.start}-{mention.end} is not within one word"
                    )
                if mention.long_form is not None:
                    writer.writerow([passage.id, passage.text, index, mention.long_form])
