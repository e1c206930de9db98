"""Evaluates a run, or a base model alone, on held-out texts: chooses weights and questions, and stores the results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..data.inventory import NO_SENSES, Inventory
from ..data.items import ChoiceItem, Item, make_choice_items, make_items
from ..data.passage_files import read_passages
from ..data.passages import Passage, fingerprint
from ..data.quizzes import Quiz
from ..data.rows import Quarantine
from ..data.sources.choices import is_choices, read_choices
from ..evaluation.calibration import make_cases
from ..evaluation.choices import summarise_choices
from ..evaluation.predictions import (
    BEGUN_FILE,
    PREDICTIONS_FILE,
    REST,
    REST_FILE,
    Scores,
    prediction_key,
    read_begun,
    read_predictions,
    rest_key,
    score_texts,
    write_begun,
    write_predictions,
)
from ..evaluation.reading import read_rest
from ..evaluation.result_files import METRICS_FILE, read_metrics
from ..evaluation.results import About, Metrics
from ..evaluation.short_forms import Knowledge, summarise
from ..models.base import EMBEDDED, find_base
from ..models.load import LoadedModel, load_base
from ..recipe import EvaluationSettings, Recipe
from ..tools.failures import need_room
from ..tools.files import RESULT_BYTES, can_write
from ..tools.locks import alone_in
from ..tools.number_formats import Quantization
from ..tools.progress import say
from ..tools.shapes import write_object
from ..trees.decisions import Calibration
from ..trees.prompt import PromptSettings, Windows
from .adaptation import PARENT_TEST, adaptation
from .calibrate import calibrated
from .card import write_card
from .held_out import OWN_TEST, HeldOut, Questions, check_limit, held_out, named_data, read_marked
from .models import RunModels
from .parents import parent_of
from .reader_run import is_reader
from .reading import load_inventory
from .run import Run, tuned_tokenizer, use_threads

_QUESTION_BYTES = 200
"""Disk space for the predictions on a question, in bytes; 52 bytes per short form were measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluatedModel:
    """A model to evaluate, loaded only if its predictions are not stored already."""

    weights: str
    """The hash that identifies its weights."""
    load: Callable[[], LoadedModel]
    earlier: tuple[Path, str] | None = None
    """Another evaluation's folder that may contain its predictions, and the model's name there."""
    tokenizer: Callable[[], Any] | None = None
    """Loads its tokenizer alone, or returns None; without it, the tokenizer is loaded with the model."""


def evaluate_run(run: Run, on: HeldOut = OWN_TEST) -> tuple[Metrics, Path]:
    """Evaluate a run's base and tuned model on the same questions, and its parent too if it was tuned further.

    The first evaluation also fits the run's calibration; see `calibrate`.

    Args:
        run: a trained run; before training has finished, only the models that it starts from are evaluated.
        on: what to evaluate it on. If this is the test split of its own data, a run that was tuned further is also
            evaluated on its parent's test split.

    Returns:
        The metrics, and the folder that holds them: `evaluation/<data>/` in the run's folder. If both test splits were
        evaluated, the metrics include `adaptation`: what was gained and lost.
    """
    use_threads(run.recipe)
    parent = parent_of(run)
    if run.recipe.model.parent is not None and parent is None:
        say(f"{run.recipe.model.parent}, this run's parent, no longer exists or was retrained, so it is not evaluated")
    held = held_out(run, on)
    models = RunModels(run)
    earlier: dict[str, tuple[Path, str]] = {}
    if parent is not None:
        before = parent.folder / "evaluation" / held.folder.name.removeprefix("parent-")
        earlier = {"base": (before, "base"), "parent": (before, "tuned")}
    metrics = evaluate(
        {
            name: EvaluatedModel(
                weights=weights,
                load=partial(models.load, name),
                earlier=earlier.get(name),
                tokenizer=partial(tuned_tokenizer, run) if name == "tuned" else None,
            )
            for name, weights in models.weights.items()
        },
        held,
        run.recipe.prompt,
        run.recipe.evaluation,
        calibration=partial(calibrated, run, partial(models.load, "tuned")),
    )
    if on.data is None and parent is not None and run.tuned is not None and _has_test(parent):
        evaluate_run(run, HeldOut(data=PARENT_TEST, limit=on.limit))
        adapted = adaptation(run)
        assert metrics["kind"] == "short forms" and adapted is not None, "only runs on short forms have a parent"
        metrics["adaptation"] = adapted
    if can_write(run.folder):
        write_card(run)
    return metrics, held.folder


def _has_test(run: Run) -> bool:
    """Whether the test split of a run's data still exists and is not empty."""
    if is_reader(run):
        say(
            "The reader has no test data of its own, so what tuning lost elsewhere is not measured: evaluate with "
            "--data clinical-development to see it"
        )
        return False
    prepared = run.prepared()
    if prepared is None:
        say(f"The data of {run.folder} no longer exists, so what was lost on it cannot be measured")
        return False
    return bool(prepared.account["passages"]["test"])


def evaluate_base(
    source: str,
    *,
    revision: str | None = None,
    quantization: Quantization = "none",
    data: Path | str,
    inventory: Path | str | None = None,
    train: Path | str | None = None,
    limit: int | None = None,
    output: Path | str = "evaluation",
) -> tuple[Metrics, Path]:
    """Evaluate a base model that belongs to no run.

    Args:
        source: as for `load_base`.
        revision: as for `load_base`.
        quantization: as for `load_base`.
        data: marked passages, choice questions, or the embedded notes by name.
        inventory: the candidates of mentions; None: the sample's inventory.
        train: marked passages, or choice questions, that the baselines may learn from.
        limit: the maximum number of passages; None: all.
        output: the folder in which `<model>/<data>/` is written.

    Returns:
        The metrics, and the folder that holds them.

    Raises:
        ValueError: `revision` is given for a model that is not on the Hub, or nothing can be measured on the data, or
            `limit` is below 1.
    """
    check_limit(limit)
    if revision is not None and (source == EMBEDDED or Path(source).exists()):
        raise ValueError(f"--revision is for a model on the Hub, but {source} is here: leave it out")
    settings = Recipe()
    name, file, listed = named_data(data, inventory)
    known_from = None if train is None else Path(train)
    passages: list[Passage] = []
    quizzes: list[Quiz] = []
    quarantine = Quarantine()
    if is_choices(file):
        candidates = NO_SENSES
        quizzes = read_choices(file, quarantine)[:limit]
        knowledge = Knowledge(quizzes=read_choices(known_from) if known_from is not None else None)
    else:
        candidates = load_inventory(settings.data) if listed is None else Inventory.read(listed)
        passages, quarantine = read_marked(file, candidates, limit)
        known = read_passages(known_from, candidates) if known_from is not None else None
        knowledge = Knowledge(trained=Inventory.mined(known) if known else None, train=known)
    identity = find_base(source, revision)[1]
    on = Questions(
        passages=passages,
        quizzes=quizzes,
        inventory=candidates,
        knowledge=knowledge,
        folder=Path(output) / identity.id.split("/")[-1] / name,
        quarantine=quarantine,
        about={"data": str(file), "base": identity.id},
    )
    load = partial(load_base, source, revision=revision, quantization=quantization)
    models = {"base": EvaluatedModel(weights=identity.sha256, load=load)}
    return evaluate(models, on, PromptSettings(), settings.evaluation), on.folder


def evaluate(
    models: Mapping[str, EvaluatedModel],
    on: Questions,
    prompt: PromptSettings,
    settings: EvaluationSettings,
    *,
    calibration: Callable[[], Calibration | None] = lambda: None,
) -> Metrics:
    """Score questions with each model, summarise, and write `metrics.json` and `predictions.parquet`.

    A model is not run again if predictions from the same weights, data, inventory and wording are stored already.

    Args:
        models: name -> model, run in order.
        on: the questions, and the folder where the two files are written, each atomically.
        prompt: the wording of the questions.
        settings: tokens per forward pass on a GPU, and number of bootstrap resamples.
        calibration: returns the tuned model's calibration; called after scoring. If it decides some mentions without
            the model, the others are scored again with those written out.

    Returns:
        The content of `metrics.json`.

    Raises:
        ValueError: none of the questions has a listed gold answer and a second candidate.
    """
    kept = can_write(on.folder)
    if not kept:
        say(f"{on.folder} cannot be written to: the figures are shown, but not kept")
    with alone_in(on.folder) if kept else nullcontext():
        on.check_answerable()
        if kept:
            need_room(on.folder, RESULT_BYTES + _QUESTION_BYTES * sum(text.num_questions for text in on.texts))
        keys = {name: prediction_key(m.weights, on.texts, on.inventory, prompt) for name, m in models.items()}
        scores, cut = _score(models, keys, on, prompt, max_nodes=settings.max_nodes, kept=kept)
        about: About = {
            **on.about,
            "fingerprint": fingerprint(on.texts),
            "inventory": on.inventory.origin,
            "keys": keys,
            "rows_quarantined": on.quarantine.summary(),
        }
        rest: Scores | None = None
        metrics: Metrics
        items: Sequence[Item] | Sequence[ChoiceItem]
        if on.quizzes:
            items = choices = make_choice_items(on.quizzes)
            summary = summarise_choices(choices, scores, on.knowledge.texts, cut=cut, resamples=settings.bootstrap)
            metrics = {"about": about, **summary}
        else:
            items = mentions = make_items(on.passages, on.inventory)
            rule = calibration()
            windows = Windows(prompt, lambda: _tokenizer(models["tuned"]))
            if rule is not None and rule.glance is not None and "tuned" in scores:
                keys[REST] = key = rest_key(keys["tuned"], rule)
                rest = read_predictions(on.folder, REST, key, REST_FILE)
                if rest is None:
                    cases = make_cases(mentions, scores["tuned"], on.inventory, windows)
                    seen = [case.glanced(rule.glance) for case in cases]
                    model = models["tuned"].load()
                    rest = read_rest(model, cases, seen, rule.glance, on.inventory, prompt, settings.max_nodes)
            figures = summarise(
                mentions,
                scores,
                on.inventory,
                on.knowledge,
                resamples=settings.bootstrap,
                calibration=rule,
                rest=rest,
                windows=windows,
            )
            metrics = {"about": about, **figures}  # type: ignore[typeddict-item]  # a summary has no `adaptation`
        if kept:
            _keep(on, metrics, items, scores, rest)
    return metrics


def _tokenizer(model: EvaluatedModel) -> Any:
    alone = model.tokenizer() if model.tokenizer else None
    return model.load().tokenizer if alone is None else alone


def _score(
    models: Mapping[str, EvaluatedModel],
    keys: Mapping[str, str],
    on: Questions,
    prompt: PromptSettings,
    *,
    max_nodes: int,
    kept: bool,
) -> tuple[dict[str, Scores], int]:
    """Each model's scores, reused if stored, and the number of texts that were cut to the window.

    With several models, scores are stored after each, so that an interrupted evaluation does not repeat the first ones.
    """
    begun = {key: found for key, found in read_begun(on.folder).items() if key in keys.values()}
    scores: dict[str, Scores] = {}
    cut = 0
    for name, model in models.items():
        for place, called in ((on.folder, name), *([model.earlier] if model.earlier else [])):
            known = read_predictions(place, called, keys[name])
            if known is not None:
                before = read_metrics(place)
                cut = before["counts"]["cut"] if before["kind"] == "choices" else 0
                break
        else:
            if keys[name] not in begun:
                label = f"Evaluating {name}"
                found, encoder = score_texts(
                    model.load(), on.texts, on.inventory, prompt, max_nodes=max_nodes, label=label
                )
                begun[keys[name]] = found, encoder.cut
                if kept and len(models) > 1:
                    write_begun(on.folder, begun)
            known, cut = begun[keys[name]]
        scores[name] = known
    return scores, cut


def _keep(
    on: Questions,
    metrics: Metrics,
    items: Sequence[Item] | Sequence[ChoiceItem],
    scores: dict[str, Scores],
    rest: Scores | None,
) -> None:
    (on.folder / METRICS_FILE).unlink(missing_ok=True)  # its keys describe predictions that are about to be replaced
    write_predictions(items, scores, on.folder / PREDICTIONS_FILE)
    (on.folder / REST_FILE).unlink(missing_ok=True)
    if rest is not None:
        write_predictions(items, {REST: rest}, on.folder / REST_FILE)
    if on.quarantine.rows:
        on.quarantine.write(on.folder / "quarantine.jsonl")
    write_object(on.folder / METRICS_FILE, metrics)
    (on.folder / BEGUN_FILE).unlink(missing_ok=True)
