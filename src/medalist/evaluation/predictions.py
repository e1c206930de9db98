"""What a model answered to the items of an evaluation, and its predictions on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from ..data.items import ChoiceItem, Item
from .metrics import Floats

Scores = dict[tuple[str, int], Floats]
"""(passage id, number of the mention) -> score of each candidate, the null candidate last; of a choice question there is
none."""


def write_predictions(items: Sequence[Item | ChoiceItem], scores: dict[str, Scores], path: Path) -> None:
    """Ids, offsets and scores, never text: `gold` counts candidates in the order of the scores, of which a mention's last is
    the null's.
    """
    rows = [
        {
            "model": name,
            "passage": item.key[0],
            "mention": item.number,
            **item.place(),
            "scores": found[item.key].tolist(),
        }
        for item in items
        for name, found in scores.items()
        if item.key in found
    ]
    partial = path.with_name(f".{path.name}.part")
    pl.DataFrame(rows, schema_overrides={"gold": pl.Int64}, infer_schema_length=None).write_parquet(partial)
    partial.replace(path)


def read_predictions(folder: Path, name: str, key: str) -> Scores | None:
    """The scores of a model if the folder holds them under this key (weights, data, inventory, wording); else None."""
    path = folder / "predictions.parquet"
    if not (folder / "metrics.json").exists() or not path.exists():
        return None
    about = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["about"]
    if about["keys"].get(name) != key:
        return None
    rows = pl.read_parquet(path).filter(pl.col("model") == name)
    return {(row["passage"], row["mention"]): np.array(row["scores"]) for row in rows.iter_rows(named=True)}


def read_scores(folder: Path) -> dict[str, Scores]:
    """The predictions of an evaluation folder, by model."""
    found: dict[str, Scores] = {}
    for row in pl.read_parquet(folder / "predictions.parquet").iter_rows(named=True):
        found.setdefault(row["model"], {})[row["passage"], row["mention"]] = np.array(row["scores"])
    return found
