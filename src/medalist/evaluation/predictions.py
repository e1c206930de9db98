"""Scores the items of an evaluation with a model, and stores the predictions on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl

from .. import __version__
from ..data.inventory import Inventory
from ..data.items import ChoiceItem, Item
from ..data.passages import fingerprint
from ..data.quizzes import Text
from ..models.load import LoadedModel
from ..tools.failures import reading
from ..tools.files import write_frame
from ..tools.progress import say, tracking
from ..trees.decisions import Calibration
from ..trees.prompt import Encoder, PromptSettings
from .metrics import Floats
from .result_files import METRICS_FILE, read_metrics

PREDICTIONS_FILE = "predictions.parquet"
BEGUN_FILE = "predictions-begun.parquet"
REST, REST_FILE = "tuned, after a glance", "predictions-after-glance.parquet"
"""Key and file of the tuned model's scores for mentions not decided without the model."""
_COLUMNS = {"model": pl.String(), "passage": pl.String(), "mention": pl.Int64(), "scores": pl.List(pl.Float64)}
Scores = dict[tuple[str, int], Floats]
"""(id of the text, number of the question) -> score of each candidate, the null candidate last; choice questions have
no null candidate."""


def write_predictions(items: Sequence[Item | ChoiceItem], scores: dict[str, Scores], path: Path) -> None:
    """Write ids, offsets and scores, but no text.

    `gold` is the candidate's index in the scores. The last score of a mention is that of the null candidate.
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
    table = pl.DataFrame(rows, schema_overrides={"gold": pl.Int64}, infer_schema_length=None)
    write_frame(table if rows else pl.DataFrame(schema=_COLUMNS), path)


def read_predictions(folder: Path, name: str, key: str, file: str = PREDICTIONS_FILE) -> Scores | None:
    """A model's scores, if the folder has them under this key (weights, data, inventory, wording); otherwise None."""
    path = folder / file
    if not (folder / METRICS_FILE).exists() or not path.exists():
        return None
    try:
        keys = read_metrics(folder)["about"]["keys"]
    except ValueError:  # from another version of Medalist: the texts are scored again
        return None
    if keys.get(name) != key:
        return None
    try:
        found = read_scores(folder, file, remedy="")
    except ValueError as error:
        say(f"{error} It is scored again.")
        return None
    return found.get(name) if found else {}


_REMEDY = "Remove it and run `medalist evaluate` again."


def read_scores(folder: Path, file: str = PREDICTIONS_FILE, remedy: str = _REMEDY) -> dict[str, Scores]:
    """The predictions of an evaluation folder, by model.

    Raises:
        ValueError: the file is damaged.
    """
    found: dict[str, Scores] = {}
    path = folder / file
    with reading(path, remedy):
        table = pl.read_parquet(path)
        if not set(_COLUMNS) <= set(table.columns):
            raise pl.exceptions.ColumnNotFoundError("it lacks a column of predictions")
    for row in table.iter_rows(named=True):
        found.setdefault(row["model"], {})[row["passage"], row["mention"]] = np.array(row["scores"])
    return found


def write_begun(folder: Path, scored: dict[str, tuple[Scores, int]]) -> None:
    """Store the scores of an evaluation's first models while the others are being scored.

    Args:
        folder: the evaluation's folder.
        scored: `prediction_key` -> scores, and the number of texts that were cut to the window.
    """
    rows = [
        {"key": key, "cut": cut, "passage": passage, "mention": mention, "scores": values.tolist()}
        for key, (scores, cut) in scored.items()
        for (passage, mention), values in scores.items()
    ]
    write_frame(pl.DataFrame(rows, infer_schema_length=None), folder / BEGUN_FILE)


def read_begun(folder: Path) -> dict[str, tuple[Scores, int]]:
    """Read what `write_begun` stored; empty if it is damaged."""
    found: dict[str, tuple[Scores, int]] = {}
    path = folder / BEGUN_FILE
    if not path.exists():
        return found
    try:
        with reading(path):
            for row in pl.read_parquet(path).iter_rows(named=True):
                scores, _ = found.setdefault(row["key"], ({}, row["cut"]))
                scores[row["passage"], row["mention"]] = np.array(row["scores"])
    except (ValueError, KeyError):
        say(f"{path} is damaged. What it held is scored again.")
        return {}
    return found


def score_texts(
    loaded: LoadedModel,
    texts: Sequence[Text],
    inventory: Inventory,
    prompt: PromptSettings,
    *,
    max_nodes: int,
    label: str,
) -> tuple[Scores, Encoder]:
    """Score every question about the texts.

    Returns:
        The scores, and the encoder, which has counted the questions that did not fit.
    """
    encoder = Encoder(loaded.tokenizer, prompt.for_scoring(), max_depth=loaded.max_depth)
    found: Scores = {}
    with tracking(label, sum(text.num_questions for text in texts)) as advance:
        layouts = (layout for text in texts for layout in encoder.encode(text, inventory))
        scored = loaded.score(layouts, max_nodes=max_nodes, progress=advance)
        for layout, scores in scored:
            for number, values in zip(layout.mentions, scores, strict=True):
                found[layout.text_id, number] = values.double().numpy()
        if encoder.dropped:
            advance(encoder.dropped)
    return found, encoder


def prediction_key(weights: str, texts: Sequence[Text], inventory: Inventory, prompt: PromptSettings) -> str:
    """The hash that identifies a model's predictions, over its weights, the data, the candidates and the wording."""
    candidates = {short_form: inventory.long_forms(short_form) for short_form in inventory.senses}
    setting = json.dumps([fingerprint(texts), candidates, prompt.model_dump()])
    return hashlib.sha256(f"{weights}:{hashlib.sha256(setting.encode()).hexdigest()}".encode()).hexdigest()


def rest_key(first: str, calibration: Calibration) -> str:
    """The hash that identifies the scores of what the glance does not settle: over the first key and the calibration.

    Features and topics come from this version of Medalist, which is part of the hash, so an update scores again.
    """
    weights = json.dumps(asdict(calibration), sort_keys=True)
    return hashlib.sha256(f"{first}:{__version__}:{weights}".encode()).hexdigest()
