"""Evaluates a run, or a base model alone, on held-out texts: which weights on which questions, and where results go."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from ..data.inventory import NO_SENSES, Inventory
from ..data.items import ChoiceItem, Item, make_choice_items, make_items
from ..data.passage_files import read_passages
from ..data.passages import Passage, fingerprint
from ..data.quizzes import Quiz, Text
from ..data.rows import Quarantine
from ..data.sources.choices import is_choices, read_choices
from ..evaluation.choices import summarise_choices
from ..evaluation.predictions import Scores, prediction_key, read_predictions, score_texts, write_predictions
from ..evaluation.result_files import METRICS_FILE, read_metrics
from ..evaluation.results import About, DataAbout, Metrics
from ..evaluation.short_forms import Knowledge, summarise
from ..models.base import EMBEDDED, weights_sha256
from ..models.load import LoadedModel, load_base
from ..recipe import Recipe
from ..tools.files import can_write, replacing
from ..tools.locks import alone_in
from ..tools.number_formats import Quantization
from ..tools.progress import say
from ..trees.decisions import Calibration
from ..trees.prompt import PromptSettings
from .adaptation import PARENT_TEST, adaptation
from .calibrate import calibrated
from .card import write_card
from .held_out import OWN_TEST, HeldOut, held_out, named_data, read_marked
from .parents import parent_of
from .reading import load_inventory
from .run import Run, load_run_base, load_tuned, use_threads


class RunModels:
    """The models of a run, loaded on demand, the last one kept. Load the base first: the others are applied to it."""

    def __init__(self, run: Run) -> None:
        self._run, self._parent = run, parent_of(run)
        self._last: tuple[str, LoadedModel] | None = None
        self.weights = {"base": run.base.sha256}
        """Model -> the hash that identifies its weights, for each model that exists."""
        if self._parent is not None and self._parent.tuned is not None:
            self.weights["parent"] = weights_sha256(self._parent.tuned)
        if run.tuned is not None:
            self.weights["tuned"] = weights_sha256(run.tuned)

    def load(self, name: str) -> LoadedModel:
        """Load the model of that name; after "parent" or "tuned", "base" is loaded from disk again."""
        (last, loaded), self._last = self._last or (None, None), None
        if last != name or loaded is None:
            run = {"tuned": self._run, "parent": self._parent}.get(name)
            base = loaded if last == "base" else None
            loaded = load_run_base(self._run) if run is None else load_tuned(run, base)
        self._last = name, loaded
        return loaded


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
    before = None if parent is None else parent.folder / "evaluation" / held.folder.name.removeprefix("parent-")
    metrics = evaluate(
        {name: (weights, partial(models.load, name)) for name, weights in models.weights.items()},
        held.texts,
        held.inventory,
        run.recipe.prompt,
        held.folder,
        knowledge=held.knowledge,
        max_nodes=run.recipe.evaluation.max_nodes,
        resamples=run.recipe.evaluation.bootstrap,
        quarantine=held.quarantine,
        about=held.about,
        calibration=partial(calibrated, run, partial(models.load, "tuned")),
        earlier=None if before is None else {"base": (before, "base"), "parent": (before, "tuned")},
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
    data: Path,
    inventory: Path | None = None,
    train: Path | None = None,
    limit: int | None = None,
    output: Path = Path("evaluation"),
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
    """
    if revision is not None and (source == EMBEDDED or Path(source).exists()):
        raise ValueError(f"--revision is for a model on the Hub, but {source} is here: leave it out")
    settings = Recipe()
    name, file, inventory = named_data(data, inventory)
    texts: Sequence[Text]
    quarantine = Quarantine()
    if is_choices(file):
        candidates = NO_SENSES
        texts = read_choices(file, quarantine)[:limit]
        knowledge = Knowledge(quizzes=read_choices(train) if train is not None else None)
    else:
        candidates = load_inventory(settings.data) if inventory is None else Inventory.read(inventory)
        texts, quarantine = read_marked(file, candidates, limit)
        known = read_passages(train, candidates) if train is not None else None
        knowledge = Knowledge(trained=Inventory.mined(known) if known else None, train=known)
    base = load_base(source, revision=revision, quantization=quantization)
    folder = output / base.identity.id.split("/")[-1] / name
    metrics = evaluate(
        {"base": (base.identity.sha256, lambda: base)},
        texts,
        candidates,
        PromptSettings(),
        folder,
        knowledge=knowledge,
        max_nodes=settings.evaluation.max_nodes,
        resamples=settings.evaluation.bootstrap,
        quarantine=quarantine,
        about={"data": str(file), "base": base.identity.id},
    )
    return metrics, folder


def evaluate(
    models: dict[str, tuple[str, Callable[[], LoadedModel]]],
    texts: Sequence[Text],
    inventory: Inventory,
    prompt: PromptSettings,
    folder: Path,
    *,
    knowledge: Knowledge,
    max_nodes: int,
    resamples: int,
    quarantine: Quarantine,
    about: DataAbout,
    calibration: Callable[[], Calibration | None] = lambda: None,
    earlier: Mapping[str, tuple[Path, str]] | None = None,
) -> Metrics:
    """Score texts with each model, summarise, and write `metrics.json` and `predictions.parquet`.

    A model is not run again if the folder already holds its predictions from the same weights, data, inventory and
    wording.

    Args:
        models: name -> (what identifies its weights, how to load it), run in order.
        texts: either all passages with golds, or all quizzes.
        inventory: the candidates of mentions.
        prompt: the wording of the questions.
        folder: where the two files are written, each atomically.
        knowledge: what is known about the training data.
        max_nodes: tokens per forward pass on a GPU.
        resamples: number of bootstrap resamples.
        quarantine: rows of the data that could not be read; if there are any, they are written beside the metrics.
        about: what else the metrics should record about the evaluation.
        calibration: what gives the tuned model's calibration; asked for once everything is scored.
        earlier: model -> another evaluation's folder that may hold its predictions, and the model's name there.

    Returns:
        The content of `metrics.json`.
    """
    kept = can_write(folder)
    if not kept:
        say(f"{folder} cannot be written to: the figures are shown, but not kept")
    with alone_in(folder) if kept else nullcontext():
        made = _evaluated(
            models,
            texts,
            inventory,
            prompt,
            folder,
            knowledge=knowledge,
            max_nodes=max_nodes,
            resamples=resamples,
            quarantine=quarantine,
            about=about,
            calibration=calibration,
            earlier=earlier,
        )
        if kept:
            _keep(folder, *made, quarantine)
    return made[0]


def _keep(
    folder: Path,
    metrics: Metrics,
    items: Sequence[Item] | Sequence[ChoiceItem],
    scores: dict[str, Scores],
    quarantine: Quarantine,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / METRICS_FILE).unlink(missing_ok=True)  # its keys vouch for predictions that are about to be replaced
    write_predictions(items, scores, folder / "predictions.parquet")
    if quarantine.rows:
        quarantine.write(folder / "quarantine.jsonl")
    with replacing(folder / METRICS_FILE) as file:
        json.dump(metrics, file, indent=1, ensure_ascii=False, allow_nan=False)


def _evaluated(
    models: dict[str, tuple[str, Callable[[], LoadedModel]]],
    texts: Sequence[Text],
    inventory: Inventory,
    prompt: PromptSettings,
    folder: Path,
    *,
    knowledge: Knowledge,
    max_nodes: int,
    resamples: int,
    quarantine: Quarantine,
    about: DataAbout,
    calibration: Callable[[], Calibration | None],
    earlier: Mapping[str, tuple[Path, str]] | None,
) -> tuple[Metrics, Sequence[Item] | Sequence[ChoiceItem], dict[str, Scores]]:
    """The metrics, and the items and scores that they come from."""
    quizzes = [text for text in texts if isinstance(text, Quiz)]
    items: Sequence[Item] | Sequence[ChoiceItem]
    mentions = make_items([text for text in texts if isinstance(text, Passage)], inventory)
    if not quizzes and not any(item.kind == "choice" for item in mentions):
        # Before anything is scored, which may take hours.
        raise ValueError(
            f"{about['data']}: no mention has a listed gold answer and a second candidate, so there is nothing to "
            f"measure. Is {inventory.origin} the right inventory (--inventory)?"
        )
    keys = {name: prediction_key(identity, texts, inventory, prompt) for name, (identity, _) in models.items()}
    scores: dict[str, Scores] = {}
    cut = 0
    for name, (_, load) in models.items():
        place, called = folder, name
        known = read_predictions(place, called, keys[name])
        if known is None and earlier and name in earlier:
            place, called = earlier[name]
            known = read_predictions(place, called, keys[name])
        if known is None:
            known, encoder = score_texts(
                load(), texts, inventory, prompt, max_nodes=max_nodes, label=f"Evaluating {name}"
            )
            cut = encoder.cut
        else:
            before = read_metrics(place)
            cut = before["counts"]["cut"] if before["kind"] == "choices" else 0
        scores[name] = known
    made: About = {
        **about,
        "fingerprint": fingerprint(texts),
        "inventory": inventory.origin,
        "keys": keys,
        "rows_quarantined": quarantine.summary(),
    }
    metrics: Metrics
    if quizzes:
        items = choices = make_choice_items(quizzes)
        metrics = {"about": made, **summarise_choices(choices, scores, knowledge.texts, cut=cut, resamples=resamples)}
    else:
        items = mentions
        summary = summarise(mentions, scores, inventory, knowledge, resamples=resamples, calibration=calibration())
        metrics = {"about": made, **summary}  # type: ignore[typeddict-item]  # a summary has no `adaptation`
    return metrics, items, scores
