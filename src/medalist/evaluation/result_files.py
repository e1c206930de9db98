"""Reads `metrics.json` and `claims.json` back, and refuses what is not of the shape that `results` tells of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

from pydantic import Discriminator, TypeAdapter, ValidationError

from .results import Claims, LabelFigures, Metrics, Share, answerers, on_label, right

METRICS_FILE = "metrics.json"
CLAIMS_FILE = "claims.json"
_VERB = {METRICS_FILE: "evaluate", CLAIMS_FILE: "claims"}
"""What makes a file."""

Read = TypeVar("Read")
_METRICS: TypeAdapter[Metrics] = TypeAdapter(Annotated[Metrics, Discriminator("kind")])
_CLAIMS: TypeAdapter[Claims] = TypeAdapter(Claims)
_SHARES: TypeAdapter[dict[str, Share]] = TypeAdapter(dict[str, Share])
_LABELS: TypeAdapter[dict[str, LabelFigures]] = TypeAdapter(dict[str, LabelFigures])


def read_metrics(folder: Path) -> Metrics:
    """The metrics in an evaluation's folder; what earlier versions wrote, without `kind`, is read too.

    Raises:
        ValueError: the file is no JSON, or of another shape.
    """
    path = folder / METRICS_FILE
    found = _json_object(path)
    found.setdefault("kind", "choices" if "labels" in found else "short forms")
    metrics = _checked(path, _METRICS, found)
    for cells in metrics["slices"].values():
        _checked(path, _SHARES, {name: right(cells, name) for name in answerers(cells)})
    if metrics["kind"] == "choices":
        for label in (metrics["labels"] or {}).values():
            _checked(path, _LABELS, {name: on_label(label, name) for name in label if name != "count"})
    else:
        for cells in metrics["expansion"].values():
            _checked(path, _SHARES, {name: right(cells, name) for name in answerers(cells)})
    return metrics


def read_claims(folder: Path) -> Claims | None:
    """The claims table in an evaluation's folder; None if there is none, or other weights or data were evaluated since.

    Raises:
        ValueError: a file is no JSON, or of another shape.
    """
    path = folder / CLAIMS_FILE
    if not path.exists():
        return None
    claims = _checked(path, _CLAIMS, _json_object(path))
    return claims if claims["keys"] == read_metrics(folder)["about"]["keys"] else None


def _json_object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # no JSON, or not UTF-8
        raise ValueError(
            f"{path} is no JSON ({error}). Remove it and run `medalist {_VERB[path.name]}` again."
        ) from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no JSON object. Remove it and run `medalist {_VERB[path.name]}` again.")
    return found


def _checked(path: Path, shape: TypeAdapter[Read], found: object) -> Read:
    """What was read, untouched, so that it keeps the order of its keys; refused if it has another shape."""
    try:
        shape.validate_python(found, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ValueError(
            f"{path} is not of the shape that this version of Medalist reads ({key}: {first['msg']}). "
            f"Remove it and run `medalist {_VERB[path.name]}` again."
        ) from None
    return cast("Read", found)
