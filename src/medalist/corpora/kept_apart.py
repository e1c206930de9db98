"""Embedded texts reserved for evaluation, and those that may be trained on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..data.embedded import clinical, probes, reader, sample
from ..data.passage_files import read_passages
from ..data.passages import Passage
from ..data.rows import Quarantine
from ..data.sources.texts import read_texts
from ..data.splits import Split, split_passages

RUN = 8
"""Number of consecutive words that a training text may not share with an evaluation text."""


def word_runs(text: str) -> set[str]:
    """Every run of `RUN` consecutive words, in lower case and without punctuation."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    return {" ".join(words[n : n + RUN]) for n in range(len(words) - RUN + 1)}


def measured_runs(files: Sequence[Path]) -> frozenset[str]:
    """The word runs of all texts reserved for evaluation: the embedded test sets, and the texts in `files`.

    Args:
        files: further evaluation texts, in a format of `read_texts`.
    """
    notes = [p.text for half in clinical.NOTES.values() for p in read_passages(half, reader.inventory())]
    split = _sample()
    held = [p.text for name in ("validation", "test") for p in split[name]]
    pairs = [p.text for p in probes.dangerous_pairs()[0]]
    given = (text.text for path in files for text in read_texts(path, Quarantine(limit=0)))
    texts: Iterable[str] = (*notes, *held, *pairs, *probes.general_english(), *given)
    return frozenset(run for text in texts for run in word_runs(text))


def written_passages() -> Iterator[Passage]:
    """The passages written for this project to be trained on: the reader's, and the sample's training split."""
    yield from reader.passages()
    yield from _sample()["train"]


def _sample() -> dict[Split, list[Passage]]:
    """The sample as `recipes/smollm2-135m-sample.yaml` splits it."""
    return split_passages(sample.passages(), validation=sample.VALIDATION, test=sample.TEST, seed=0)
