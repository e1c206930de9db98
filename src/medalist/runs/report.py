"""Writes the report: one self-contained HTML file about a run, for a browser."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import yaml
from matplotlib.figure import Figure

from ..data.inventory import Inventory
from ..data.items import ChoiceItem, Item, make_choice_items, make_items
from ..data.passages import NONE_OF_THESE, words_around
from ..data.quizzes import Quiz
from ..data.sources.choices import read_choices
from ..evaluation.baselines import INVENTORY_ALONE
from ..evaluation.claims_table import cell_text, change_text, claims_by_heading, not_measured
from ..evaluation.metrics import softmax
from ..evaluation.offers import offer_rows, right_rows
from ..evaluation.predictions import PREDICTIONS_FILE, Scores, read_scores
from ..evaluation.privacy import SIGNALS, privacy_in_words
from ..evaluation.result_files import evaluation_folders, read_claims, read_metrics
from ..evaluation.results import Metrics, calibrated_of
from ..evaluation.shares import (
    FEWEST,
    answerers,
    short_name,
    shown_slices,
    strongest_baseline,
)
from ..recipe import dump_recipe
from ..tools.files import check_kept, replacing
from ..tools.pages import points, template_environment
from ..tools.shapes import appended_figures
from . import figures
from .adaptation import PARENT_TEST, adaptation
from .calibrate import keeps_parents_calibration
from .held_out import read_marked
from .run import Run, privacy_of
from .summary import adaptation_summary, plain_summary


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One mention or question, with the models' answers."""

    heading: str
    before: str
    surface: str
    after: str
    gold: str
    answers: tuple[tuple[str, dict[str, float], bool], ...]
    """(long form, probability by model, whether it is the gold), by descending probability of the last model."""


def write_report(run: Run) -> Path:
    """Write a run's `report.html` and `figures/*.png` from its log and evaluations.

    Returns:
        The report's path.

    Raises:
        FileNotFoundError: the run has not been evaluated.
        ValueError: the run's folder cannot be written to.
    """
    folders = sorted(evaluation_folders(run.folder), key=lambda folder: folder.name not in ("test", PARENT_TEST))
    if not folders:
        raise FileNotFoundError(f"{run.folder} has no evaluation yet; run `medalist evaluate {run.folder}`")
    check_kept(run.folder, "the report is")
    log = appended_figures(run.folder / "log.jsonl")
    drawn = {"learning-curve": figures.learning_curve(log)} if log else {}
    adapted = adaptation(run)
    if adapted is not None:
        drawn["adaptation"] = figures.gain_and_loss(adapted["rows"])
    sections = []
    for folder in folders:
        section, own = _section(run, folder)
        sections.append(section)
        drawn |= own
    for name, figure in drawn.items():
        with replacing(run.folder / "figures" / f"{name}.png", "wb") as file:
            figure.savefig(file, dpi=150)
    environment = template_environment()
    environment.filters |= {"cell": cell_text, "change": change_text, "answerers": answerers, "points": points}
    environment.filters["short"] = short_name
    environment.tests["inventory_alone"] = lambda name: name in INVENTORY_ALONE
    privacy = privacy_of(run)
    page = environment.get_template("report.html").render(
        run=run,
        record=run.record,
        recipe=yaml.safe_dump(dump_recipe(run.recipe), sort_keys=False),
        adapted=adapted,
        adaptation_lines=adaptation_summary(adapted) if adapted else [],
        adaptation_figure=figures.as_svg(drawn["adaptation"]) if adapted else None,
        sections=sections,
        kept_calibration=any(section["calibrated"] for section in sections) and keeps_parents_calibration(run),
        privacy=privacy,
        privacy_lines=privacy_in_words(privacy) if privacy else [],
        signals=SIGNALS,
        learning_curve=figures.as_svg(drawn["learning-curve"]) if log else None,
    )
    path = run.folder / "report.html"
    with replacing(path) as file:
        file.write(page)
    return path


def _section(run: Run, folder: Path) -> tuple[dict[str, object], dict[str, Figure]]:
    """What the page shows about one evaluation, and its figures by file name."""
    metrics = read_metrics(folder)
    slices = metrics["slices"]
    metrics["slices"] = shown_slices(slices)
    drawn = {
        "slices": figures.accuracy_by_slice(metrics["slices"], list(metrics["baselines"])),
        "reliability": figures.reliability_diagram(metrics["models"]),
        "risk-coverage": figures.risk_coverage_curve(metrics["models"]),
    }
    calibrated = calibrated_of(metrics)
    if calibrated is not None:
        drawn["offered"] = figures.offered_curve(calibrated)
    section: dict[str, object] = {
        "name": folder.name,
        "metrics": metrics,
        "figures": {name: figures.as_svg(figure) for name, figure in drawn.items()},
        "summary": plain_summary(metrics),
        "calibrated": calibrated,
        "right_rows": right_rows(calibrated) if calibrated else [],
        "offer_rows": offer_rows(calibrated) if calibrated else [],
        "strongest": {
            name: strongest_baseline(cells, metrics["baselines"]) for name, cells in metrics["slices"].items()
        },
        "small": [name for name, cells in slices.items() if 0 < cells["count"] < FEWEST],
        "before": _before(metrics["models"]),
        "gained": _most_changed(metrics),
        "claims": claims_by_heading(claims) if (claims := read_claims(folder)) else {},
        "not_measured": not_measured(claims) if claims else [],
        "examples": [asdict(example) for example in _examples(run, folder, metrics)],
    }
    return section, {f"{folder.name}-{name}": figure for name, figure in drawn.items()}


def _before(models: Iterable[str]) -> str:
    """The model that the tuned one is compared with: its parent if it has one, otherwise the base."""
    return "parent" if "parent" in models else "base"


class Changed(TypedDict):
    """How many questions about a short form are answered correctly before and after tuning."""

    short_form: str
    count: int
    before: int
    tuned: int
    gain: int


def _most_changed(metrics: Metrics, *, most: int = 8) -> list[Changed]:
    """The short forms whose number of right answers changed most through tuning, gains first."""
    if not {"base", "tuned"} <= set(metrics["models"]) or metrics["kind"] == "choices":
        return []
    before = _before(metrics["models"])
    rows: list[Changed] = [
        {
            "short_form": name,
            "count": cells["count"],
            "before": cells[before],
            "tuned": cells["tuned"],
            "gain": cells["tuned"] - cells[before],
        }
        for name, cells in metrics["short_forms"].items()
    ]
    changed = sorted((row for row in rows if row["gain"]), key=lambda row: -abs(row["gain"]))[:most]
    return sorted(changed, key=lambda row: -row["gain"])


def _examples(run: Run, folder: Path, metrics: Metrics) -> list[Example]:
    """A few questions of each instructive kind, if the evaluated data still exists."""
    about = metrics["about"]
    if not (folder / PREDICTIONS_FILE).exists():  # a pulled run has no predictions
        return []
    inventory_file, file = about.get("inventory_file"), about.get("file")
    # A run records absolute paths; a pulled run's are file names from another machine.
    if any(name is not None and not Path(name).is_absolute() for name in (inventory_file, file)):
        return []
    inventory = Inventory.read(Path(inventory_file)) if inventory_file else run.inventory
    items: list[Item] = []
    quizzes: list[Quiz] = []
    if file is not None and Path(file).exists():
        if metrics["kind"] == "choices":
            quizzes = read_choices(Path(file))
        else:
            items = make_items(read_marked(Path(file), inventory)[0], inventory)
    elif file is None and (prepared := run.prepared()) is not None:
        quizzes = prepared.quizzes("test")
        items = make_items(prepared.passages("test"), inventory)
    scores = read_scores(folder)
    last = "tuned" if "tuned" in scores else "base"
    asked: list[Item | ChoiceItem] = [*items, *make_choice_items(quizzes)]
    asked = [item for item in asked if all(item.key in found for found in scores.values())]

    def is_right(item: Item | ChoiceItem, model: str) -> bool:
        return item.best(scores[model][item.key]) == item.gold

    choice = [item for item in asked if item.kind == "choice"]
    kinds: list[tuple[str, list[Item | ChoiceItem]]] = [
        ("Still wrong after tuning" if last == "tuned" else "Wrong", [i for i in choice if not is_right(i, last)]),
        ("Ordinary word, not a short form", [item for item in asked if item.kind == "distractor"]),
    ]
    if last == "tuned":
        before = _before(scores)
        corrected = [i for i in choice if is_right(i, last) and not is_right(i, before)]
        kinds.insert(0, ("Right after tuning, wrong before", corrected))
    chosen = [(heading, item) for heading, found in kinds for item in _spread(found, 1 if "Ordinary" in heading else 3)]
    return [_example(heading, item, scores) for heading, item in chosen]


def _spread(items: Sequence[Item | ChoiceItem], most: int) -> list[Item | ChoiceItem]:
    """A few items with different short forms, or about different texts, spread evenly over the data."""
    different = list({item.mention.short_form if isinstance(item, Item) else item.key: item for item in items}.values())
    places = np.linspace(0, len(different) - 1, min(most, len(different))).astype(int)
    return [different[place] for place in places]


def _quoted(item: Item, *, words: int = 24) -> dict[str, str]:
    """A short form with the words around it."""
    text, mention = item.passage.text, item.mention
    start, end = words_around(text, mention, words)
    return {
        "before": ("… " if start else "") + text[start : mention.start],
        "surface": item.passage.surface(mention),
        "after": text[mention.end : end] + (" …" if end < len(text) else ""),
    }


def _example(heading: str, item: Item | ChoiceItem, scores: dict[str, Scores], *, most: int = 4) -> Example:
    if isinstance(item, Item):
        quoted, names = _quoted(item), (*item.candidates, NONE_OF_THESE)
    else:
        quoted = {"before": "", "surface": item.choice.question or item.quiz.text, "after": ""}
        names = item.candidates
    probability = {model: softmax(found[item.key]) for model, found in scores.items()}
    gold = item.gold if item.gold is not None else len(item.candidates)
    model = "tuned" if "tuned" in probability else "base"
    likeliest = np.argsort(-probability[model])[:most].tolist()
    order = [
        n for n in likeliest if n == gold or max(p[n] for p in probability.values()) >= 0.005
    ]  # "0 %" is not informative
    if gold not in order:
        order = [*order[: most - 1], gold]
    return Example(
        heading=heading,
        gold=names[gold],
        answers=tuple((names[n], {m: float(p[n]) for m, p in sorted(probability.items())}, n == gold) for n in order),
        **quoted,
    )
