"""Replaces the names of a user's own files and runs in publications: "jane_doe_ward7.jsonl" is "own-data.jsonl"."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from ..corpora.origins import is_public
from ..data.embedded import clinical, sample
from ..evaluation.privacy import Privacy
from ..evaluation.result_files import evaluation_folders, read_metrics
from ..runs.adaptation import PARENT_TEST
from ..runs.reader_run import READER
from ..runs.run import Run

_SUFFIXES = re.compile(r"(?:\.(?:csv|tsv|txt|xml|json|jsonl|ndjson|parquet))?(?:\.gz|\.zip)?$", re.IGNORECASE)
"""The file extensions that are kept, as they only give the format."""
_RESERVED = ("test", PARENT_TEST, *clinical.NOTES)
"""Names of evaluations that a user's file may not take."""


class OwnNames:
    """The published names of a run's files, its evaluations and itself.

    Public files and those that ship with Medalist keep their names; the user's own are named after purpose and format.

    Args:
        run: the run.
        repo: `user/name` on the Hub.
        kept: keep all file names, without folders, as the user asked.
    """

    def __init__(self, run: Run, repo: str, *, kept: bool) -> None:
        self._run, self._kept = run, kept
        self.run = run.folder.name if kept else repo.split("/")[-1]
        """The run's name, which `train --from` derives from that of its data."""
        self._called: dict[str, str] = {}
        self.evaluations: dict[str, str] = {}
        """Name of an evaluation's folder, derived from its data -> its published name."""
        for folder in evaluation_folders(run.folder):
            file = read_metrics(folder)["about"].get("file")
            own = folder.name not in _RESERVED and not kept and not (file is not None and is_public(Path(file)))
            number = 1 + sum(called.startswith("own-") for called in self.evaluations.values())
            self.evaluations[folder.name] = f"own-{number}" if own else folder.name
        settings = run.recipe.data
        for name in (settings.path, *settings.beside):
            if name:
                self.file(name)
        for name in settings.inventories:
            self.file(name, "inventory")

    @property
    def replaced(self) -> list[str]:
        """The names of the user's own files that are not published."""
        return sorted({Path(name).name for name in self._called})

    def file(self, name: str, purpose: Literal["data", "inventory"] = "data") -> str:
        """The published name of a file or folder."""
        own = Path(name).name
        embedded = {str(path.resolve()): path for path in (*clinical.NOTES.values(), *sample.FILES)}
        if (
            own in (*clinical.NOTES, *_OF_RUNS, sample.FILES[1].name)
            or name in embedded
            or self._kept
            or is_public(Path(name))
        ):
            return next((known for known, path in clinical.NOTES.items() if str(path.resolve()) == name), own)
        place = str(Path(name).expanduser().resolve())
        if place not in self._called:
            number = 1 + sum(called.startswith(f"own-{purpose}") for called in self._called.values())
            ending = _SUFFIXES.search(own)
            assert ending is not None, "it matches nothing, too"
            self._called[place] = f"own-{purpose}{f'-{number}' if number > 1 else ''}{ending[0].lower()}"
        return self._called[place]

    def parent(self, name: str) -> str:
        """The published name of the run from which this one was tuned further."""
        own = Path(name).name
        return own if own == READER or self._kept else "own-run"

    def privacy(self, found: Privacy) -> Privacy:
        """The attacks, without the names of the files whose texts were compared."""
        splits = ("training split", "validation and test splits")
        parts = found["source"].split(" against ")
        if self._kept or all(part in splits for part in parts):
            return found
        return {**found, "source": " against ".join(part if part in splits else "own data" for part in parts)}


_OF_RUNS = ("inventory.csv", "test.parquet")
"""Names of files that every run or prepared folder has."""
