"""Finds and reads `metrics.json` and `claims.json`; refuses files that do not match the schema in `results`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Discriminator, TypeAdapter

from ..tools.shapes import checked, json_object
from .metrics import MODELS
from .results import Claims, LabelFigures, Metrics, on_label
from .shares import Share, answerers, right

METRICS_FILE = "metrics.json"
CLAIMS_FILE = "claims.json"
_METRICS: TypeAdapter[Metrics] = TypeAdapter(Annotated[Metrics, Discriminator("kind")])
_CLAIMS: TypeAdapter[Claims] = TypeAdapter(Claims)
_SHARES: TypeAdapter[dict[str, Share]] = TypeAdapter(dict[str, Share])
_LABELS: TypeAdapter[dict[str, LabelFigures]] = TypeAdapter(dict[str, LabelFigures])


def evaluation_folders(run: Path) -> list[Path]:
    """The folders of a run's evaluations: its own test split's first, then the others by name."""
    folders = (path.parent for path in run.glob(f"evaluation/*/{METRICS_FILE}"))
    return sorted(folders, key=lambda folder: (folder.name != "test", folder.name))


def read_metrics(folder: Path) -> Metrics:
    """The metrics in an evaluation's folder.

    Raises:
        ValueError: the file is not valid JSON, or does not match the schema.
    """
    path, remedy = folder / METRICS_FILE, "Remove it and run `medalist evaluate` again."
    metrics = checked(path, _METRICS, json_object(path, remedy=remedy), remedy=remedy)
    slices = [*metrics["slices"].values()]
    if metrics["kind"] == "short forms":
        slices += metrics["expansion"].values()
        if "calibrated" in metrics:
            slices += [*metrics["calibrated"]["slices"].values(), *metrics["calibrated"]["expansion"].values()]
    for cells in slices:
        checked(path, _SHARES, {name: right(cells, name) for name in answerers(cells)}, remedy=remedy)
    _check_models(path, metrics, remedy)
    if metrics["kind"] == "choices":
        for label in (metrics["labels"] or {}).values():
            by_model = {name: on_label(label, name) for name in label if name != "count"}
            checked(path, _LABELS, by_model, remedy=remedy)
    return metrics


def _check_models(path: Path, metrics: Metrics, remedy: str) -> None:
    """Refuse models that no evaluation has, or that lack figures that the report draws."""
    for name, figures in metrics["models"].items():
        curve = figures["risk_coverage"]
        if name not in MODELS or any(name not in answerers(cells) for cells in metrics["slices"].values()):
            problem = "it has a model without figures, or one that no evaluation has"
        elif len(curve["coverage"]) != len(curve["risk"]):
            problem = f"models.{name}.risk_coverage has lists of different lengths"
        else:
            continue
        raise ValueError(f"{path} does not have the format that this version of Medalist expects ({problem}). {remedy}")


def read_claims(folder: Path) -> Claims | None:
    """The claims table in an evaluation's folder; None if there is none, or if weights or data have changed since.

    Raises:
        ValueError: a file is not valid JSON, or does not match the schema.
    """
    path, remedy = folder / CLAIMS_FILE, "Remove it and run `medalist claims` again."
    if not path.exists():
        return None
    claims = checked(path, _CLAIMS, json_object(path, remedy=remedy), remedy=remedy)
    return claims if claims["keys"] == read_metrics(folder)["about"]["keys"] else None
