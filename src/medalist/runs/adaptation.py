"""What tuning a run further gained on the new texts and lost elsewhere: the tuned model beside its parent, on both test splits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..evaluation.claims_table import slice_row
from .run import Run

PARENT_TEST = "parent-test"
"""The test split of the parent's data, as `medalist evaluate RUN --data` takes it and as its results are called."""
FRESH = "passage not in training data"
"""The slice that counts where an evaluation shares passages with training data."""


def adaptation(run: Run) -> dict[str, Any] | None:
    """The figures of a run that was tuned further, from its evaluations; None unless both are there with the three models.

    Returns:
        `parent`: its name; `data`: what was tuned on; `rows`: as of the claims table, each against the parent, with `place`
        ("sub-domain", "elsewhere") and `measure` ("right", ...); `shared`: a line for each split with test passages that
        stand in training data too; `keys`: what the rows were made of.
    """
    found = {}
    for name in ("test", PARENT_TEST):
        path = run.folder / "evaluation" / name / "metrics.json"
        found[name] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"models": {}}
        if not {"base", "parent", "tuned"} <= found[name]["models"].keys():
            return None
    settings = run.recipe.data
    data = Path(settings.path).name if settings.path else settings.source
    parent = run.record["parent"]["name"]
    elsewhere = f"elsewhere (test split of {parent})"
    return {
        "parent": parent,
        "data": data,
        "rows": [*_rows(f"sub-domain ({data})", found["test"]), *_rows(elsewhere, found[PARENT_TEST])],
        "shared": [
            line for name, m in ((data, found["test"]), (parent, found[PARENT_TEST])) for line in _shared(name, m)
        ],
        "keys": [metrics["about"]["keys"] for metrics in found.values()],
    }


def _shared(name: str, metrics: dict[str, Any]) -> list[str]:
    count, passages = metrics["counts"]["passages_in_training_data"], metrics["counts"]["passages"]
    if not count:
        return []
    line = f"{count:,} of the {passages:,} test passages of {name} stand in training data too"
    return [
        f"{line}: “right” leaves them out, the other rows do not." if count < passages else f"{line}: none is held out."
    ]


def _rows(where: str, metrics: dict[str, Any]) -> list[dict[str, Any]]:
    slices, baselines = metrics["slices"], metrics["baselines"]
    asked = {"right": (slices.get(FRESH, slices["all"]), baselines)}
    if slices.get("no leak", {}).get("count", 0) not in (0, slices["all"]["count"]):
        asked["right, no answer leak"] = slices["no leak"], baselines
    asked["right, may decline"] = metrics["expansion"]["all"], ["majority"]
    return [
        slice_row("adaptability", f"{where}: {measure}", cells, names, against="parent")
        | {"place": where.partition(" (")[0], "measure": measure}
        for measure, (cells, names) in asked.items()
    ]
