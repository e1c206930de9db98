"""Measures what further tuning gained on the new texts and lost elsewhere: tuned against parent on both test splits."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from ..evaluation.claims_table import parent_row
from ..evaluation.metrics import MODELS
from ..evaluation.result_files import METRICS_FILE, read_metrics
from ..evaluation.results import Adaptation, AdaptationRow, ShortFormMetrics
from ..evaluation.shares import FRESH, answerers
from ..tools.counts import counted
from .run import Run


class ParentTest(StrEnum):
    """The request for the test split of the parent's data, in place of a file."""

    PARENT_TEST = "parent-test"
    """The value for `medalist evaluate RUN --data`, and the name of the results' folder."""


PARENT_TEST = ParentTest.PARENT_TEST


def adaptation(run: Run) -> Adaptation | None:
    """The adaptation figures of a run that was tuned further; None unless both evaluations cover all three models."""
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
    """An evaluation of the run, its parent and their base; None if there is no such evaluation."""
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
    of = f"of the {passages:,} test passages of {name}"
    line = counted(count, f"{of} is also in the training data", f"{of} are also in the training data")
    return [
        f"{line}: “right” excludes them, the other rows do not." if count < passages else f"{line}: none is held out."
    ]


def _rows(place: str, where: str, metrics: ShortFormMetrics) -> list[AdaptationRow]:
    slices, baselines = metrics["slices"], list(metrics["baselines"])
    asked = {"right": (slices.get(FRESH, slices["all"]), baselines)}
    if "no leak" in slices and slices["no leak"]["count"] not in (0, slices["all"]["count"]):
        asked["right, no answer leak"] = slices["no leak"], baselines
    expanded = metrics["expansion"]["all"]
    asked["right, may decline"] = expanded, [name for name in answerers(expanded) if name not in MODELS]
    return [
        {**parent_row("adaptability", f"{where}: {measure}", cells, names), "place": place, "measure": measure}
        for measure, (cells, names) in asked.items()
    ]
