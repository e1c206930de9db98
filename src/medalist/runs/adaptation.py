"""What tuning a run further gained on the new texts and lost elsewhere: the tuned model beside its parent, on both test splits."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from ..evaluation.claims_table import parent_row
from ..evaluation.result_files import METRICS_FILE, read_metrics
from ..evaluation.results import Adaptation, AdaptationRow, ShortFormMetrics
from .run import Run


class ParentTest(StrEnum):
    """Asks for the test split of the parent's data, where otherwise a file is named."""

    PARENT_TEST = "parent-test"
    """As `medalist evaluate RUN --data` takes it, and as its results are called."""


PARENT_TEST = ParentTest.PARENT_TEST
FRESH = "passage not in training data"
"""The slice that counts where an evaluation shares passages with training data."""


def adaptation(run: Run) -> Adaptation | None:
    """The figures of a run that was tuned further, from its evaluations; None unless both hold the three models."""
    here, there = _with_parent(run, "test"), _with_parent(run, PARENT_TEST)
    if here is None or there is None:
        return None
    settings = run.recipe.data
    data = Path(settings.path).name if settings.path else settings.source
    parent = run.record["parent"]["name"]
    return {
        "parent": parent,
        "data": data,
        "rows": [
            *_rows("sub-domain", f"sub-domain ({data})", here),
            *_rows("elsewhere", f"elsewhere (test split of {parent})", there),
        ],
        "shared": [*_shared(data, here), *_shared(parent, there)],
        "keys": [here["about"]["keys"], there["about"]["keys"]],
    }


def _with_parent(run: Run, name: str) -> ShortFormMetrics | None:
    """An evaluation of the run, its parent and their base; None if there is none."""
    folder = run.folder / "evaluation" / name
    if not (folder / METRICS_FILE).exists():
        return None
    metrics = read_metrics(folder)
    if metrics["kind"] == "choices" or not {"base", "parent", "tuned"} <= metrics["models"].keys():
        return None
    return metrics


def _shared(name: str, metrics: ShortFormMetrics) -> list[str]:
    count, passages = metrics["counts"]["passages_in_training_data"], metrics["counts"]["passages"]
    if not count:
        return []
    line = f"{count:,} of the {passages:,} test passages of {name} stand in training data too"
    return [
        f"{line}: “right” leaves them out, the other rows do not." if count < passages else f"{line}: none is held out."
    ]


def _rows(place: str, where: str, metrics: ShortFormMetrics) -> list[AdaptationRow]:
    slices, baselines = metrics["slices"], list(metrics["baselines"])
    asked = {"right": (slices.get(FRESH, slices["all"]), baselines)}
    if "no leak" in slices and slices["no leak"]["count"] not in (0, slices["all"]["count"]):
        asked["right, no answer leak"] = slices["no leak"], baselines
    asked["right, may decline"] = metrics["expansion"]["all"], ["majority"]
    return [
        {**parent_row("adaptability", f"{where}: {measure}", cells, names), "place": place, "measure": measure}
        for measure, (cells, names) in asked.items()
    ]
