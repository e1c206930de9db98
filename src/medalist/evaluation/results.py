"""The types of an evaluation's results, as stored in `metrics.json` and `claims.json`; `result_files` reads them.

    metrics.json   Metrics: `kind` says whether it is about short forms or choice questions
    claims.json    Claims

Results are plain dictionaries, so a file contains exactly what a function returns; the types define their keys. They
are built from the shares and slices of `shares`.
"""

from __future__ import annotations

from typing import Literal, NotRequired, cast, final

from pydantic import with_config
from typing_extensions import TypedDict  # pydantic cannot check that of `typing` before Python 3.12

from .shares import Difference, Share, Slice


class BaselineFigures(TypedDict):
    """The figures of a baseline."""

    accuracy: Share


class Bin(TypedDict):
    """Questions that a model answered with similar confidence."""

    confidence: float
    accuracy: float
    count: int


class RiskCoverage(TypedDict):
    """The share of wrong answers among the most confident answers, by ascending share answered."""

    coverage: list[float]
    risk: list[float]


class ProbabilityFigures(TypedDict):
    """How far a model's probabilities can be trusted.

    `nll` normalises over the listed answers. The other figures use the probability of the chosen answer, which for
    short forms is normalised over the listed answers and the null candidate: the two rest on different distributions.
    """

    nll: float
    calibration_error: float
    reliability: list[Bin]
    risk_coverage: RiskCoverage
    area_under_risk_coverage: float


class Abstention(TypedDict):
    """Figures for when the null candidate may win."""

    answered: Share
    accuracy_when_answered: Share | None
    """None if no question is answered."""
    abstained_when_gold_hidden: Share


@final
class ShortFormFigures(ProbabilityFigures):
    """The figures of a model on short forms."""

    accuracy: Share
    macro_accuracy: float
    lenient_accuracy: Share
    abstention: Abstention


@final
class ChoiceFigures(ProbabilityFigures):
    """The figures of a model on choice questions."""

    accuracy: Share
    macro_f1: NotRequired[Share]
    """Only if all questions offer the same options."""


ModelFigures = ShortFormFigures | ChoiceFigures


class Counts(TypedDict):
    """How many passages and questions were evaluated."""

    passages: int
    mentions: int
    """Number of questions: mentions with a gold answer, or choice questions."""
    choice: int
    """Number of questions that accuracy is measured on."""
    dropped: int
    """Number of questions that did not fit into some model's window."""
    passages_in_training_data: int | None
    """None if the training data is unknown."""


class ShortFormCounts(Counts):
    """Also counts the kinds of `data.items.Item` that accuracy excludes."""

    single: int
    absent: int
    unlisted: int
    distractor: int


class ChoiceCounts(Counts):
    """Also counts the texts of which only the end fitted into the window."""

    cut: int


class DataAbout(TypedDict):
    """Where the evaluated data and its candidates come from."""

    data: str
    """A description for readers."""
    file: NotRequired[str | None]
    """None: the test split of the run's data."""
    inventory_file: NotRequired[str | None]
    """None: the run's own inventory."""
    run: NotRequired[str]
    base: NotRequired[str]


class About(DataAbout):
    """The inputs of an evaluation."""

    fingerprint: str
    """Fingerprint of the texts."""
    inventory: str
    """Origin of the inventory."""
    keys: dict[str, str]
    """Model -> the hash that identifies its predictions; see `predictions.prediction_key`."""
    rows_quarantined: dict[str, int]
    """Reason -> number of rows of the data that could not be read."""


class Confusion(TypedDict):
    """How often one long form was mistaken for another."""

    short_form: str
    gold: str
    answer: str
    count: int


class LabelFigures(TypedDict):
    """A model's figures for one label."""

    answered: int
    right: int
    f1: float


@with_config({"extra": "allow"})  # the models; see `on_label`
class Label(TypedDict):
    """One label of questions that all offer the same options, with each model's `LabelFigures` under its name."""

    count: int
    """How often the label is the gold."""


Verdict = Literal["better", "worse", "not shown"]
Better = Literal["higher", "lower"]


class ClaimRow(TypedDict):
    """A row of the claims table: two models on the same questions, the change, and a verdict based on its interval."""

    claim: str
    """A key of `claims_table.CLAIMS`."""
    metric: str
    unit: str
    better: Better
    base: Share
    parent: NotRequired[Share]
    tuned: Share
    baseline: str | None
    """The strongest baseline, with its figure."""
    difference: Difference
    verdict: Verdict
    before: NotRequired[Literal["parent"]]
    """The model that the tuned one is compared with, if not the base."""


class AdaptationRow(ClaimRow):
    """A row that compares a run tuned further with its parent, on the new texts or on the parent's."""

    place: str
    """"sub-domain" or "elsewhere"."""
    measure: str
    """"right", "right, no answer leak" or "right, may decline"."""


class Adaptation(TypedDict):
    """What further tuning gained on the new texts and lost elsewhere."""

    parent: str
    """Name of the parent run."""
    data: str
    """Name of the data that it was tuned on."""
    rows: list[AdaptationRow]
    shared: list[str]
    """A sentence for each test split with passages that are also in the training data."""
    keys: list[dict[str, str]]
    """The keys of the evaluations that the rows come from; see `About`."""


class Offered(TypedDict):
    """Answers offered without a question mark: the chosen point of the risk-coverage curve."""

    coverage: Share
    """The share of all mentions that are offered."""
    precision: Share | None
    """The share of right answers among those; None if nothing is offered."""


class Calibrated(TypedDict):
    """The tuned model's answers with its calibration, over all mentions with a listed sense; see `offers`."""

    target: float
    """The precision for which the threshold was set."""
    evidence: float
    prior: float
    short_form_from: float
    offered_from: float
    fitted_on: int | None
    """Number of validation mentions that the calibration was fitted on."""
    slices: dict[str, Slice]
    """Among the listed senses of ambiguous short forms, with the baselines: "all" and "no leak"."""
    expansion: dict[str, Slice]
    """Free to decline; the baselines always answer."""
    offered: dict[str, Offered]
    """"all" and "no leak"."""
    left_alone: Share | None
    """Share of look-alikes that are not answered; None if none is marked."""
    needless_declines: Share | None
    """Share of mentions with a listed gold that are not answered."""
    risk_coverage: RiskCoverage


class ShortFormSummary(TypedDict):
    """All figures of an evaluation on short forms."""

    kind: Literal["short forms"]
    counts: ShortFormCounts
    baselines: dict[str, BaselineFigures]
    models: dict[str, ShortFormFigures]
    slices: dict[str, Slice]
    expansion: dict[str, Slice]
    """Slices in which the null candidate competes."""
    calibrated: NotRequired[Calibrated]
    """Only for a tuned model that has a calibration."""
    short_forms: dict[str, dict[str, int]]
    """Short form -> "count", and the number of right answers of each model."""
    confusions: dict[str, list[Confusion]]
    """By model, most frequent first."""


class ChoiceSummary(TypedDict):
    """All figures of an evaluation on choice questions."""

    kind: Literal["choices"]
    counts: ChoiceCounts
    baselines: dict[str, BaselineFigures]
    models: dict[str, ChoiceFigures]
    slices: dict[str, Slice]
    labels: dict[str, Label] | None
    """None if the questions do not all offer the same options."""


class ShortFormMetrics(ShortFormSummary):
    """`metrics.json` of an evaluation on short forms."""

    about: About
    adaptation: NotRequired[Adaptation]
    """Not in the file: computed from two evaluations."""


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
    """The inputs of a claims table."""

    keys: dict[str, str]
    settings: ClaimSettings
    texts: list[str]
    """Fingerprints of the texts."""
    adaptation: NotRequired[list[dict[str, str]]]
    queries: NotRequired[dict[str, str]]
    """The keys of the evaluation on medical queries, if a file was given."""
    natural: NotRequired[dict[str, str]]
    """The same for natural short forms."""


class Claims(ClaimsBasis):
    """`claims.json`."""

    rows: list[ClaimRow]


def calibrated_of(metrics: Metrics) -> Calibrated | None:
    """The figures of the tuned model with its calibration; None if there are none."""
    return metrics.get("calibrated") if metrics["kind"] == "short forms" else None


def on_label(cells: Label, model: str) -> LabelFigures:
    """A model's figures for a label."""
    return cast("dict[str, LabelFigures]", cells)[model]
