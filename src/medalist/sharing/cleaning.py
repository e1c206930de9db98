"""Prepares a run's files for publication: metrics, recipe and weights without the names of local files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml

from ..corpora.corpus import ACCOUNT, is_corpus
from ..evaluation.results import About, Metrics, ShortFormMetrics
from ..evaluation.shares import without_words
from ..models.base import EMBEDDED, weights_sha256
from ..models.plain_files import is_model_file, plain_settings
from ..recipe import dump_recipe
from ..runs.card import Destination
from ..runs.run import Run
from ..tools.files import file_sha256
from ..tools.shapes import json_text
from .own_names import OwnNames

RECORDED = ("parent", "versions", "python", "machine", "dtype", "quantization", "attention", "git_revision")
"""What a run records about itself that a published recipe repeats unchanged."""


def shared_weights(folder: Path, destination: Destination) -> dict[str, bytes | Path]:
    """The weights and the tokenizer, without settings that describe this machine."""
    files: dict[str, bytes | Path] = {}
    for path in sorted(folder.iterdir()):
        if not is_model_file(path.name):
            continue
        files[path.name] = path
        if path.name.endswith("config.json"):
            settings = plain_settings(path)
            if path.name == "adapter_config.json":
                settings |= {"base_model_name_or_path": destination.base_id, "revision": destination.base_revision}
            files[path.name] = as_json(settings)
    return files


def shared_metrics(metrics: Metrics, base_id: str, names: OwnNames, *, words: bool) -> Metrics:
    """Metrics without local names, and without words of the data unless these may be published."""
    about = metrics["about"]
    file, inventory_file = about.get("file"), about.get("inventory_file")
    shown = names.file(file) if file else None
    listed = names.file(inventory_file, "inventory") if inventory_file else None
    quarantined = sum(about["rows_quarantined"].values())
    cleaned: About = {
        "data": shown or "test split",
        "file": shown,
        "inventory_file": listed,
        "run": names.run,
        "base": base_id,
        "fingerprint": about["fingerprint"],
        "inventory": listed or Path(about["inventory"]).name,
        "keys": about["keys"],
        "rows_quarantined": {"left out": quarantined} if quarantined else {},
    }
    slices = metrics["slices"] if words else without_words(metrics["slices"])
    if metrics["kind"] == "choices":
        return {
            "about": cleaned,
            "kind": metrics["kind"],
            "counts": metrics["counts"],
            "baselines": metrics["baselines"],
            "models": metrics["models"],
            "slices": slices,
            "labels": metrics["labels"] if words else None,
        }
    shared: ShortFormMetrics = {
        "about": cleaned,
        "kind": metrics["kind"],
        "counts": metrics["counts"],
        "baselines": metrics["baselines"],
        "models": metrics["models"],
        "expansion": metrics["expansion"],
        "slices": slices,
        "short_forms": metrics["short_forms"] if words else {},
        "confusions": metrics["confusions"] if words else {name: [] for name in metrics["models"]},
    }
    if "calibrated" in metrics:
        shared["calibrated"] = metrics["calibrated"]
    return shared


def shared_recipe(
    run: Run,
    destination: Destination,
    weights: Path,
    kind: Literal["adapter", "model"],
    names: OwnNames,
    files: Mapping[str, bytes | Path],
) -> bytes:
    """The recipe in a form that others can use: files by name and fingerprint, the base by its Hub id.

    `files` are those published with it, whose hashes it records: `pull` accepts no other content.
    """
    settings, record, base = run.recipe.data, run.record, run.base
    values = names_only(dump_recipe(run.recipe))
    embedded = base.source == EMBEDDED
    values["model"] |= {"base": EMBEDDED if embedded else destination.base_id, "revision": destination.base_revision}
    values |= {"name": names.run, "output": "runs"}
    inventories = [names.file(name, "inventory") for name in settings.inventories]
    values["data"] |= {
        "path": settings.path and names.file(settings.path),
        "beside": [names.file(name) for name in settings.beside],
        "inventory": inventories[0] if isinstance(settings.inventory, str) else inventories or None,
    }
    if run.recipe.model.parent is not None:
        values["model"]["parent"] = names.parent(run.recipe.model.parent)
    source = EMBEDDED if embedded else destination.base_id
    if base.source.endswith(".gguf"):  # its weights differ from those on the Hub
        source = Path(base.source).name
    fingerprints = {names.file(name, "inventory"): _fingerprint(Path(name)) for name in settings.inventories}
    if settings.path:
        fingerprints |= {names.file(settings.path): _fingerprint(Path(settings.path))}
    recorded = {key: record[key] for key in RECORDED if key in record}
    if "parent" in recorded:
        recorded["parent"] = {**recorded["parent"], "name": names.parent(recorded["parent"]["name"])}
    values["record"] = {
        "base": {
            "id": destination.base_id,
            "revision": destination.base_revision,
            "source": source,
            "sha256": base.sha256,
        },
        "data": {"fingerprint": record["data"]["fingerprint"], "files": {n: h for n, h in fingerprints.items() if h}},
        **recorded,
        "training": {k: v for k, v in record["training"].items() if not isinstance(v, str) or k == "best_checkpoint"},
        "published": {
            "kind": kind,
            "weights": weights_sha256(weights),
            "inventory": _fingerprint(run.folder / "inventory.csv"),
            "files": {name: _sha256_of(content) for name, content in sorted(files.items())},
        },
    }
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True).encode()


def as_json(values: Any) -> bytes:
    """Nested values as the content of a JSON file."""
    return f"{json_text(values)}\n".encode()


def names_only(value: Any) -> Any:
    """Nested values with every path reduced to its last component."""
    if isinstance(value, dict):
        return {key: names_only(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [names_only(inner) for inner in value]
    return value.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1] if isinstance(value, str) else value


def _fingerprint(path: Path) -> str | None:
    """SHA-256 of a file, or of a corpus's account; None if it is missing or another kind of folder."""
    file = path / ACCOUNT if is_corpus(path) else path
    return file_sha256(file) if file.is_file() else None


def _sha256_of(content: bytes | Path) -> str:
    """SHA-256 of bytes, or of a file."""
    return hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else file_sha256(content)
