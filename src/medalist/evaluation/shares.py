"""Shares of right answers with their intervals, and slices of the questions: the building blocks of all tables.

A model of `metrics.MODELS`, or a baseline known by its name, is an *answerer*. A `Slice` contains both the answerers'
shares (see `answerers` and `right`) and comparisons of the tuned model with others (its declared keys).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NotRequired, cast

from pydantic import with_config
from typing_extensions import TypedDict  # pydantic cannot check that of `typing` before Python 3.12


class Share(TypedDict):
    """A share of right answers, or another figure, with its 95 % interval."""

    value: float
    low: float
    high: float
    count: int
    """Number of questions that it is based on."""


class Difference(Share):
    """The difference between two answerers on the same questions."""

    p: float
    """Two-sided p value."""


class BaselineDifference(Difference):
    """The difference between the tuned model and the strongest baseline."""

    baseline: str
    """The baseline's name."""


@with_config({"extra": "allow"})  # the answerers; see `right`
class Slice(TypedDict):
    """A subset of the questions: each answerer's `Share` under its name, and comparisons of the tuned model."""

    count: int
    difference: NotRequired[Difference]
    """Tuned minus base."""
    from_parent: NotRequired[Difference]
    """Tuned minus the parent of a run that was tuned further."""
    from_baseline: NotRequired[BaselineDifference]
    """Tuned minus the baseline that is strongest on these same questions."""
    from_baselines: NotRequired[dict[str, Difference]]
    """Tuned minus each baseline, by its name."""


def answerers(cells: Slice) -> list[str]:
    """The answerers that a slice has figures for: models, then baselines."""
    return [name for name in cells if name not in Slice.__annotations__]


def right(cells: Mapping[str, object], answerer: str) -> Share:
    """An answerer's accuracy on a slice, or a model's figure in a row of the claims table."""
    return cast("Share", cells[answerer])


def strongest_baseline(cells: Slice, baselines: Iterable[str]) -> str:
    """The baseline that is right most often on a slice; the first one of several."""
    return max(baselines, key=lambda name: right(cells, name)["value"])


FRESH = "passage not in training data"
"""The slice to compare on when an evaluation shares passages with the training data."""
FEWEST = 10
"""A slice of fewer questions is not shown, since its figure means nothing."""


def shown_slices(slices: Mapping[str, Slice]) -> dict[str, Slice]:
    """The slices worth showing: large enough, and different from each one before; "all" and "no leak" in any case."""
    shown: dict[str, Slice] = {}
    for name, cells in slices.items():
        if name in ("all", "no leak") or (cells["count"] >= FEWEST and cells not in shown.values()):
            shown[name] = cells
    return shown


FEW_PASSAGES = 30
"""With fewer test passages than this, figures are shown with a caveat."""
FEW_QUESTIONS = 20
"""With fewer questions than this, the caveat says that the figures may be chance."""


def too_few(passages: int, what: str) -> str | None:
    """A caveat about figures from too few test passages; None if there are enough. `what`: "passages" or "texts"."""
    if passages >= FEW_PASSAGES:
        return None
    tested = f"Only one {what.removesuffix('s')} was" if passages == 1 else f"Only {passages:,} {what} were"
    return f"{tested} tested. That is too few to compare models."


TEST_MORE = "Mark more notes, or let a run keep more of them for the test (data.test)."
"""Advice to the data's owner, shown with `too_few`."""


def short_name(answerer: str) -> str:
    """A baseline's name in a table: "copy" for "copy, else majority (training counts)"; no two have the same."""
    if "(uniform" in answerer:
        return "uniform prior"
    if answerer == "copy, else prior alone":  # shown next to the other "copy"
        return "copy or prior"
    return answerer.partition(" (")[0].partition(", else ")[0]


def without_words(slices: Mapping[str, Slice]) -> dict[str, Slice]:
    """The slices that the program names itself, without those named after the data, such as "subject: renal"."""
    return {name: cells for name, cells in slices.items() if ": " not in name}
