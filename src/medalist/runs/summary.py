"""Describes in plain sentences what an evaluation showed, for the report; no sentence claims more than its interval."""

from __future__ import annotations

from ..evaluation.results import Adaptation, Calibrated, Metrics, calibrated_of
from ..evaluation.shares import TEST_MORE, Difference, right, short_name, strongest_baseline, too_few
from ..tools.counts import counted
from ..tools.pages import interval, per_cent


def plain_summary(metrics: Metrics) -> list[str]:
    """An evaluation's results in plain sentences, which claim no more than the figures show."""
    models, slices = metrics["models"], metrics["slices"]
    counts = metrics["counts"]
    single = metrics["counts"]["single"] if metrics["kind"] == "short forms" else 0
    lines = [
        f"Answered: {counted(counts['choice'], 'question')} about {counted(counts['passages'], 'text')}."
        if metrics["kind"] == "choices"
        else f"Answered: {counted(counts['choice'], 'short form')} with a choice of meanings, "
        f"in {counted(counts['passages'], 'passage')}"
        + (f" (not counted: {single:,} more with a single listed meaning)" if single else "")
        + "."
    ]
    if counts["choice"] and (
        caveat := too_few(counts["passages"], "texts" if metrics["kind"] == "choices" else "passages")
    ):
        lines.append(f"{caveat} {TEST_MORE}")
    for name in ("all", "no leak"):
        cells = slices.get(name)
        if not cells or (name == "no leak" and cells["count"] == counts["choice"]):
            continue
        where = "Overall" if name == "all" else f"Where the answer is not spelt out elsewhere ({cells['count']:,})"
        strongest = strongest_baseline(cells, metrics["baselines"])
        line = ", ".join(f"the {model} model is right on {per_cent(right(cells, model))}" for model in models)
        baseline = f"({short_name(strongest)}) on {per_cent(right(cells, strongest))}"
        line = f"{where}, {line}; the strongest simple baseline {baseline}."
        if "difference" in cells:
            line += f" {_verdict(cells['difference'])}"
        if "from_parent" in cells:
            line += f" {_verdict(cells['from_parent'], further=True)}"
        if "from_baseline" in cells:
            line += f" {_verdict_on_baseline(cells['from_baseline'])}"
        lines.append(line)
    if (calibrated := calibrated_of(metrics)) is not None:
        lines.append(_offers_in_words(calibrated))
    if "no leak" in slices and slices["no leak"]["count"] == counts["choice"]:
        lines.append("The answer is not spelt out elsewhere in any of these passages.")
    if shared := counts["passages_in_training_data"]:
        are = counted(shared, "of these passages is", "of these passages are")
        lines.append(f"Warning: {are} also in the training data.")
    return lines


def _offers_in_words(figures: Calibrated) -> str:
    offered = figures["offered"]["all"]
    if offered["precision"] is None:
        return "At its threshold, the tuned model offers no answer as sure."
    return (
        f"At its threshold, set for a precision of {100 * figures['target']:g} %, the tuned model offers "
        f"{per_cent(offered['coverage'])} of all mentions as sure; {per_cent(offered['precision'])} of those are right "
        f"(95 % interval {interval(offered['precision'])})."
    )


def adaptation_summary(adapted: Adaptation) -> list[str]:
    """What further tuning gained and lost, in plain sentences."""
    lines = []
    for row in adapted["rows"]:
        if row["measure"] == "right":
            where = (
                f"On the test split of {adapted['parent']}"
                if row["place"] == "elsewhere"
                else f"On held-out passages of {adapted['data']}"
            )
            lines.append(
                f"{where} ({row['difference']['count']:,} short forms with a choice of meanings), the parent is right "
                f"on {per_cent(right(row, 'parent'))}, the model tuned further on {per_cent(row['tuned'])}. "
                + _verdict(row["difference"], further=True)
            )
    return [*lines, *adapted["shared"]]


def _verdict(difference: Difference, *, further: bool = False) -> str:
    what, against = ("Tuning further", " from the parent") if further else ("Tuning", "")
    unclear = f"The difference{against}, {{}}, may be due to chance."
    return _worded(difference, f"{what} gained {{}}.", f"{what} lost {{}}.", unclear)


def _verdict_on_baseline(difference: Difference) -> str:
    return _worded(
        difference,
        "The tuned model is {} above that baseline.",
        "The tuned model is {} below that baseline.",
        "The tuned model's difference from that baseline, {}, may be due to chance.",
    )


def _worded(difference: Difference, gained: str, lost: str, unclear: str) -> str:
    """One of three sentences, filled in with the difference, for an interval above zero, below zero, or neither."""
    value, low, high = (100 * end for end in (difference["value"], difference["low"], difference["high"]))
    if low > 0 or high < 0:
        nearer, farther = sorted((abs(low), abs(high)))
        numbers = f"{abs(value):.1f} points (95 % interval {nearer:.1f} to {farther:.1f}, p = {difference['p']:.2g})"
        return (gained if low > 0 else lost).format(numbers)
    return unclear.format(f"{value:+.1f} points (95 % interval {low:+.1f} to {high:+.1f}, p = {difference['p']:.2g})")
