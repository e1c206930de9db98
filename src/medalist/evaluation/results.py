"""The shape of an evaluation's results, as `metrics.json` and `claims.json` keep them; `result_files` reads them back.

    metrics.json   Metrics: `kind` says whether it is about short forms or choice questions
    claims.json    Claims

Results are plain dictionaries, so a file holds what a function returns; the types say which keys there are. Whoever
answers (a model of `MODELS`, or a baseline by its name) is an *answerer*. In a `Slice` the answerers' shares stand beside
what compares the tuned model with others: `answerers` and `right` give the former, its keys the latter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import (
    Literal,
    NotRequired,  # those of `typing` cannot be checked before Python 3.12
    cast,
    final,
)

from pydantic import with_config
from typing_extensions import TypedDict


class Share(TypedDict):
    """A share of right answers, or another figure, with its 95 % interval."""

    value: float
    low: float
    high: float
    count: int
    """Questions behind it."""


class Difference(Share):
    """How far one answerer is from another on the same questions."""

    p: float
    """Two-sided."""


class BaselineDifference(Difference):
    """How far the tuned model is from the strongest baseline."""

    baseline: str
    """Its name."""


@with_config({"extra": "allow"})  # the answerers; see `right`
class Slice(TypedDict):
    """Some of the questions: under each answerer's name its `Share`, and beside them what compares the tuned model."""

    count: int
    difference: NotRequired[Difference]
    """Tuned - base."""
    from_parent: NotRequired[Difference]
    """Tuned - the parent of a run that was tuned further."""
    from_baseline: NotRequired[BaselineDifference]
    """Tuned - the baseline that is strongest on these very questions."""


class BaselineFigures(TypedDict):
    """What is measured of a baseline."""

    accuracy: Share


class Bin(TypedDict):
    """Questions that a model was about equally sure of."""

    confidence: float
    accuracy: float
    count: int


class RiskCoverage(TypedDict):
    """The share of wrong answers among the most confident, by how many are answered; ascending coverage."""

    coverage: list[float]
    risk: list[float]


class ProbabilityFigures(TypedDict):
    """How far a model's probabilities can be trusted."""

    nll: float
    calibration_error: float
    reliability: list[Bin]
    risk_coverage: RiskCoverage
    area_under_risk_coverage: float


class Abstention(TypedDict):
    """What happens when the null candidate may win."""

    answered: Share
    accuracy_when_answered: Share | None
    """None where nothing is."""
    abstained_when_gold_hidden: Share


@final
class ShortFormFigures(ProbabilityFigures):
    """What is measured of a model on short forms."""

    accuracy: Share
    macro_accuracy: float
    lenient_accuracy: Share
    abstention: Abstention


@final
class ChoiceFigures(ProbabilityFigures):
    """What is measured of a model on choice questions."""

    accuracy: Share
    macro_f1: NotRequired[Share]
    """Where all questions offer the same options."""


ModelFigures = ShortFormFigures | ChoiceFigures


class Counts(TypedDict):
    """What was asked."""

    passages: int
    mentions: int
    """Questions: mentions with a gold answer, or choice questions."""
    choice: int
    """Those that accuracy is measured on."""
    dropped: int
    """Those that did not fit some model's window."""
    passages_in_training_data: int | None
    """None where the training data is not known."""


class ShortFormCounts(Counts):
    """The kinds of `data.items.Item` that accuracy is not measured on."""

    single: int
    absent: int
    unlisted: int
    distractor: int


class ChoiceCounts(Counts):
    """Of choice questions also the texts of which only the end fitted the window."""

    cut: int


class DataAbout(TypedDict):
    """Where the evaluated data and its candidates come from."""

    data: str
    """For people."""
    file: NotRequired[str | None]
    """None: the test split of the run's data."""
    inventory_file: NotRequired[str | None]
    """None: the run's own inventory."""
    run: NotRequired[str]
    base: NotRequired[str]


class About(DataAbout):
    """What an evaluation was made of."""

    fingerprint: str
    """Of the texts."""
    inventory: str
    """Its origin."""
    keys: dict[str, str]
    """Model -> what identifies its predictions; see `predictions.prediction_key`."""
    rows_quarantined: dict[str, int]
    """Reason -> rows of the data that could not be read."""


class Confusion(TypedDict):
    """A long form that was taken for another."""

    short_form: str
    gold: str
    answer: str
    count: int


class LabelFigures(TypedDict):
    """What a model made of one label."""

    answered: int
    right: int
    f1: float


@with_config({"extra": "allow"})  # the models; see `on_label`
class Label(TypedDict):
    """One label of questions that all offer the same: under each model's name its `LabelFigures`; see `on_label`."""

    count: int
    """How often it is right."""


Verdict = Literal["better", "worse", "not shown"]
Better = Literal["higher", "lower"]


class ClaimRow(TypedDict):
    """A line of the claims table: two models on the same questions, the change, and what follows from its interval."""

    claim: str
    """A key of `claims_table.CLAIMS`."""
    metric: str
    unit: str
    better: Better
    base: Share
    parent: NotRequired[Share]
    tuned: Share
    baseline: str | None
    """The strongest, with its figure."""
    difference: Difference
    verdict: Verdict
    before: NotRequired[Literal["parent"]]
    """The model that the tuned one is compared with, if it is not the base."""


class AdaptationRow(ClaimRow):
    """A line about a run that was tuned further: against its parent, on the new texts or on the parent's."""

    place: str
    """"sub-domain" or "elsewhere"."""
    measure: str
    """"right", "right, no answer leak" or "right, may decline"."""


class Adaptation(TypedDict):
    """What tuning a run further gained on the new texts, and lost elsewhere."""

    parent: str
    """Name of the run that it began with."""
    data: str
    """What was tuned on."""
    rows: list[AdaptationRow]
    shared: list[str]
    """A line for each split with test passages that stand in training data too."""
    keys: list[dict[str, str]]
    """What the rows were made of; see `About`."""


class ShortFormSummary(TypedDict):
    """Every figure of an evaluation on short forms."""

    kind: Literal["short forms"]
    counts: ShortFormCounts
    baselines: dict[str, BaselineFigures]
    models: dict[str, ShortFormFigures]
    slices: dict[str, Slice]
    expansion: dict[str, Slice]
    """Where the null candidate competes."""
    short_forms: dict[str, dict[str, int]]
    """Short form -> "count", and for each model how many are right."""
    confusions: dict[str, list[Confusion]]
    """By model, most frequent first."""


class ChoiceSummary(TypedDict):
    """Every figure of an evaluation on choice questions."""

    kind: Literal["choices"]
    counts: ChoiceCounts
    baselines: dict[str, BaselineFigures]
    models: dict[str, ChoiceFigures]
    slices: dict[str, Slice]
    labels: dict[str, Label] | None
    """None where the questions do not all offer the same options."""


class ShortFormMetrics(ShortFormSummary):
    """`metrics.json` of an evaluation on short forms."""

    about: About
    adaptation: NotRequired[Adaptation]
    """Not in the file: made of two evaluations."""


class ChoiceMetrics(ChoiceSummary):
    """`metrics.json` of an evaluation on choice questions."""

    about: About


Metrics = ShortFormMetrics | ChoiceMetrics


class ClaimSettings(TypedDict):
    """How the claims were measured."""

    mentions: int
    new_tokens: int
    confident: float


class ClaimsBasis(TypedDict):
    """What a claims table was made of."""

    keys: dict[str, str]
    settings: ClaimSettings
    texts: list[str]
    """Fingerprints."""
    adaptation: NotRequired[list[dict[str, str]]]


class Claims(ClaimsBasis):
    """`claims.json`."""

    rows: list[ClaimRow]


def answerers(cells: Slice) -> list[str]:
    """Whose answers a slice holds figures of: models, then baselines."""
    return [name for name in cells if name not in Slice.__annotations__]


def right(cells: Slice | ClaimRow, answerer: str) -> Share:
    """How often an answerer is right on a slice, or what a row of the claims table says of a model."""
    return cast("dict[str, Share]", cells)[answerer]


def on_label(cells: Label, model: str) -> LabelFigures:
    """What a model made of a label."""
    return cast("dict[str, LabelFigures]", cells)[model]


def strongest_baseline(cells: Slice, baselines: Iterable[str]) -> str:
    """The baseline that is right most often on a slice, the first of several."""
    return max(baselines, key=lambda name: right(cells, name)["value"])


def distinct_slices(slices: Mapping[str, Slice]) -> dict[str, Slice]:
    """The slices worth showing: one that equals another tells nothing new, but that nothing leaks is worth saying."""
    shown: dict[str, Slice] = {}
    for name, cells in slices.items():
        if name == "no leak" or cells not in shown.values():
            shown[name] = cells
    return shown


def without_words(slices: Mapping[str, Slice]) -> dict[str, Slice]:
    """The slices whose names are the program's own; "subject: renal" is named by the data."""
    return {name: cells for name, cells in slices.items() if ": " not in name}
