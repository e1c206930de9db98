"""Writes the model card, the `README.md` next to a run's weights, from what was recorded and measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from huggingface_hub import EvalResult, ModelCardData

from ..corpora.origins import is_public
from ..data.embedded import clinical
from ..data.passages import NONE_OF_THESE, Mention
from ..data.quizzes import Choice
from ..evaluation.claims_table import cell_text, change_text, claims_by_heading, renamed
from ..evaluation.comparison import Export
from ..evaluation.offers import offer_rows, right_rows, wrong_at
from ..evaluation.privacy import privacy_in_words
from ..evaluation.result_files import evaluation_folders, read_claims, read_metrics
from ..evaluation.results import Calibrated, ClaimRow, Metrics, calibrated_of
from ..evaluation.shares import Slice, right, shown_slices, strongest_baseline, too_few, without_words
from ..models.base import EMBEDDED
from ..models.licences import Licence, licence_of
from ..tools.files import replacing
from ..tools.pages import interval, per_cent, points, template_environment
from ..tools.shapes import appended_figures
from ..trees.prompt import choice_question, mention_question
from .calibrate import keeps_parents_calibration
from .run import Run, privacy_of

_EXAMPLE = "Seen for RA; methotrexate was continued."
_EXAMPLE_SENSES = ("rheumatoid arthritis", "room air", "right atrium")
_EXAMPLE_CHOICE = Choice(question="Was a drug given?", options=("yes", "no", "maybe"), gold=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Destination:
    """Where a card's model is published, and under which licence; the defaults suit a card kept in the run folder."""

    repo: str | None = None
    """`user/name` on the Hub."""
    base_id: str
    """The base model's id, on the Hub if it has one there."""
    base_revision: str | None = None
    licence: Licence | None = None
    with_inventory: bool = True
    """Whether the sense inventory is published too."""
    with_words: frozenset[str] | None = None
    """The evaluations whose data may be quoted; None: all."""
    evaluations: Mapping[str, str] = field(default_factory=dict)
    """Name of an evaluation -> its published name, if different."""
    parent: str | None = None
    """The published name of the run's parent; None: its own name."""


class Evaluation(TypedDict):
    """What a card shows about an evaluation."""

    name: str
    """Name of its folder."""
    title: str
    metrics: Metrics
    answerers: list[str]
    """Models, then baselines."""
    strongest: dict[str, str]
    """Slice -> its strongest baseline."""
    claims: dict[str, list[ClaimRow]]
    calibrated: Calibrated | None
    caveat: str | None
    """A caveat if there are too few passages."""


def write_card(run: Run) -> Path | None:
    """Write the card of a trained run with its results so far; None if training has not finished."""
    if run.tuned is None or "training" not in run.record:
        return None
    with replacing(run.tuned / "README.md") as file:
        file.write(card_text(run))
    return run.tuned / "README.md"


def card_text(run: Run, export: Export | None = None, destination: Destination | None = None) -> str:
    """The card of a trained run's model, or of weights exported from it.

    Args:
        run: the run, with its evaluations.
        export: the exported weights; None: the card describes the run's own.
        destination: where the model is published; None: not yet.
    """
    destination = destination or Destination(
        base_id=run.base.id, base_revision=run.base.revision, licence=licence_of(run.base.id)
    )
    evaluations: list[Evaluation] = []
    for folder in evaluation_folders(run.folder):
        metrics = read_metrics(folder)
        if destination.with_words is not None and folder.name not in destination.with_words:
            metrics["slices"] = without_words(metrics["slices"])
        strongest = {name: strongest_baseline(cells, metrics["baselines"]) for name, cells in metrics["slices"].items()}
        metrics["slices"] = shown_slices(metrics["slices"])
        claims, name = read_claims(folder), destination.evaluations.get(folder.name, folder.name)
        evaluations.append(
            {
                "name": name,
                "title": _data_name(run, name),
                "metrics": metrics,
                "answerers": [*metrics["models"], *metrics["baselines"]],
                "strongest": strongest,
                "claims": claims_by_heading(renamed(claims, destination.evaluations)) if claims else {},
                "calibrated": calibrated_of(metrics),
                "caveat": too_few(metrics["counts"]["passages"], "passages") if metrics["counts"]["choice"] else None,
            }
        )
    environment = template_environment()
    environment.filters |= {"cell": cell_text, "change": change_text, "points": points, "ahead_of": _ahead_of}
    environment.filters |= {"right_rows": right_rows, "offer_rows": offer_rows, "wrong_at": wrong_at}
    lora = run.is_adapter and export is None
    mention = Mention(start=_EXAMPLE.index("RA"), end=_EXAMPLE.index("RA") + 2, short_form="RA", long_form=None)
    privacy = privacy_of(run)
    page = environment.get_template("card.md").render(
        run=run,
        none_of_these=NONE_OF_THESE,
        record=run.record,
        recipe=run.recipe,
        destination=destination,
        repo=destination.repo or f"user/{run.folder.name}",
        title=destination.repo.split("/")[1] if destination.repo else run.folder.name,
        lora=lora,
        embedded=run.base.source == EMBEDDED,
        evaluations=evaluations,
        kept_calibration=keeps_parents_calibration(run),
        export=export,
        privacy=privacy,
        privacy_lines=privacy_in_words(privacy) if privacy else [],
        seconds=_training_seconds(run.folder / "log.jsonl"),
        example=_EXAMPLE,
        question=choice_question(_EXAMPLE_CHOICE)
        if run.recipe.data.source == "choices"
        else mention_question(_EXAMPLE, mention, _EXAMPLE_SENSES, run.recipe.prompt),
    )
    return f"---\n{_metadata(run, destination, evaluations, lora=lora)}\n---\n\n{page}"


def _ahead_of(cells: Slice, answerer: str) -> str:
    """The tuned model minus another answerer on a slice, in points; a dash if they were not compared."""
    others = {"base": cells.get("difference"), "parent": cells.get("from_parent")}
    found = others.get(answerer) or cells.get("from_baselines", {}).get(answerer)
    return points(found) if found else "–"


def _metadata(run: Run, destination: Destination, evaluations: list[Evaluation], *, lora: bool) -> str:
    """The YAML front matter for the Hub; here too, accuracy never appears without its interval and baselines."""
    choices = run.recipe.data.source == "choices"
    results = [
        EvalResult(
            task_type="text-classification",
            task_name="Choice questions about medical texts"
            if choices
            else "Expansion of medical short forms in context",
            dataset_type=_data_id(run, evaluation["name"]),
            dataset_name=evaluation["title"],
            dataset_split=None if evaluation["name"] != "test" else "test",
            metric_type="accuracy",
            metric_name=name,
            metric_value=value,
        )
        for evaluation in evaluations
        for name, value in _headline_metrics(evaluation["metrics"])
    ]
    licence = destination.licence
    card = ModelCardData(
        language="en",
        license=licence.id if licence else None,
        library_name="peft" if lora else "transformers",
        pipeline_tag="text-generation",
        base_model=destination.base_id,
        base_model_relation="adapter" if lora else "finetune",
        datasets=["McGill-NLP/medal"] if run.recipe.data.source == "medal" and _is_as_named(run) else None,
        tags=[
            "medical",
            "clinical",
            "multiple-choice" if choices else "abbreviation-disambiguation",
            "medalist",
            *(["lora"] if lora else []),
        ],
        metrics=["accuracy"] if results else None,
        model_name=destination.repo.split("/")[1] if destination.repo else run.folder.name,
        eval_results=results or None,
    )
    if not results:
        card.pop("model_name")
    return card.to_yaml()


def _headline_metrics(metrics: Metrics) -> Iterator[tuple[str, float]]:
    for name, label in (("all", "all"), ("no leak", "answer not spelt out elsewhere")):
        cells = metrics["slices"].get(name)
        if cells is None or "tuned" not in cells:
            continue
        others = [("base model", "base"), *((baseline, baseline) for baseline in metrics["baselines"])]
        beside = "; ".join(f"{shown} {per_cent(right(cells, key))}" for shown, key in others if key in cells)
        tuned = right(cells, "tuned")
        yield f"Accuracy, {label} (95 % interval {interval(tuned)} %; {beside})", round(tuned["value"], 4)


def _data_name(run: Run, name: str) -> str:
    """The display name of an evaluation's data."""
    if name != "test":
        part = name.removeprefix("clinical-") + " half" * (name in clinical.HALVES)
        return f"Medalist clinical notes, {part}" if name in clinical.NOTES else name
    named = {"sample": "Medalist sample corpus", "medal": "MeDAL", "pubmed": "PubMed abstracts", "text": "plain texts"}
    return f"{named[run.recipe.data.source] if _is_as_named(run) else 'own data'}, held-out passages"


def _is_as_named(run: Run) -> bool:
    """Whether the run's data is certainly what `data.source` says, not a user's own in the same format."""
    settings = run.recipe.data
    return settings.source == "sample" or (settings.path is not None and is_public(Path(settings.path)))


def _data_id(run: Run, name: str) -> str:
    if name != "test":
        return name
    if not _is_as_named(run):
        return "own-data"
    return {"sample": "medalist-sample", "medal": "McGill-NLP/medal"}.get(
        run.recipe.data.source, run.recipe.data.source
    )


def _training_seconds(log: Path) -> float | None:
    """Seconds of training since the run was last resumed or started."""
    lines = reversed(appended_figures(log))
    return next((line["train_runtime"] for line in lines if "train_runtime" in line), None)
