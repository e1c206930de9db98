"""Opens the reader that ships with the package as a run, so that others can be tuned further from it."""

from __future__ import annotations

import shutil
from functools import lru_cache
from pathlib import Path

from ..data.embedded import reader
from ..data.inventory import Inventory
from ..models.base import EMBEDDED, find_base, identity_record, weights_sha256
from ..recipe import parse_recipe
from ..tools.files import writing_folder
from ..tools.remembered import cache_folder
from ..trees.decisions import CALIBRATION_FILE
from .run import Run, is_run, open_run, write_recipe

READER = "reader"
"""The reader's name, unless a folder of this name is a run."""
TRAINED = {
    "rank": 12,
    "alpha": 24,
    "learning_rate": 1.5e-3,
    "warmup": 0.05,
    "passages_per_step": 64,
    "passages_per_pass": 64,
    "candidates": 12,
    "likelihood_weight": 0.05,
    "prior_offset": True,
}
"""How its weights were tuned, as in `recipes/reader.yaml`, which is not installed."""
FURTHER = {"learning_rate": 3e-4, "passages_per_step": 4, "passages_per_pass": 1, "evaluate_every": 10}
"""Settings for tuning it further: those of `recipes/reader.yaml` are for 100,000 passages on a GPU."""


def open_parent(name: Path | str) -> Run:
    """Open the run to be tuned further: a run's folder, or the reader.

    Raises:
        FileNotFoundError: the name is neither.
        ValueError: one of its files is damaged.
    """
    folder = Path(name)
    return open_run(folder) if str(name) != READER or is_run(folder) else _opened(_written())


@lru_cache(maxsize=1)
def _opened(folder: Path) -> Run:
    """The reader's run, kept in memory: a training asks for it several times, and its inventory takes a second."""
    return open_run(folder)


def is_reader(run: Run) -> bool:
    """Whether a run is this version's reader."""
    return run.tuned is not None and run.folder == _folder()


def _folder() -> Path:
    return cache_folder() / "runs" / f"{weights_sha256(reader.ADAPTER)[:8]}-{reader.fingerprint()[:8]}" / READER


def _written() -> Path:
    """The reader's run in the cache; written if it does not exist."""
    folder = _folder()
    if is_run(folder):
        return folder
    _, base = find_base(EMBEDDED)
    recipe = parse_recipe(
        {
            "name": READER,
            "model": {"base": EMBEDDED},
            "prompt": {"window": reader.WINDOW, "max_nodes": reader.MAX_NODES},
            "data": {"source": "text"},
            "training": TRAINED,
        }
    )
    with writing_folder(folder, keep_if=is_run) as begun:
        shutil.copytree(reader.ADAPTER, begun / "adapter")
        shutil.copy(reader.HERE / CALIBRATION_FILE, begun)
        reader.inventory().write(begun / "inventory.csv")
        Inventory.mined(reader.notes(), "reader's notes").write(begun / "trained_senses.csv")
        record = {
            "base": identity_record(base),
            "data": {"folder": str(folder / "data"), "fingerprint": {"train": reader.fingerprint()}},
            "versions": {},
            "python": "",
            "machine": "",
            "dtype": "float32",
            "attention": "sdpa",
        }
        write_recipe(begun, recipe, record)
    return folder
