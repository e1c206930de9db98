"""Draws the report's figures from a run's results; each function returns a matplotlib figure."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..evaluation.baselines import FIRST_LISTED
from ..evaluation.results import AdaptationRow, Calibrated, ModelFigures
from ..evaluation.shares import FEWEST, Slice, right
from ..tools.pages import Measured

BASE, PARENT, TUNED, BASELINE, GRID = "#8a94a6", "#7a5195", "#0b6e6e", "#c26a1b", "#e3e7ec"
WORSE = "#a33a1d"
COLOURS = {"base": BASE, "parent": PARENT, "tuned": TUNED}
STYLE = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9aa3ae",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "medalist",
}


def learning_curve(log: Sequence[Mapping[str, float]]) -> Figure:
    """Training loss with its running mean, and accuracy on the validation passages, by optimiser step."""
    with rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.0), layout="constrained")
        left, right = figure.subplots(1, 2)
        steps = [line["step"] for line in log if "loss" in line]
        loss = [line["loss"] for line in log if "loss" in line]
        smooth, mean = [], loss[0] if loss else 0.0
        for value in loss:
            mean = 0.85 * mean + 0.15 * value
            smooth.append(mean)
        left.plot(steps, loss, color=TUNED, alpha=0.25, linewidth=1)
        left.plot(steps, smooth, color=TUNED, linewidth=2, label="running mean")
        left.set(xlabel="step", title="Training loss per question", ylim=(0, None))
        left.legend(loc="upper right")
        for axes in (left, right):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        validated = [line for line in log if "eval_accuracy" in line]
        right.set(xlabel="step", title="Validation accuracy, %")
        for axes in (left, right):
            axes.set_xlim(0, max([1, *steps, *(line["step"] for line in validated)]))
        if validated:  # unclipped, an empty line would leave no room for the axes when it is drawn a second time
            accuracy = [100 * line["eval_accuracy"] for line in validated]
            right.plot([line["step"] for line in validated], accuracy, "o-", color=TUNED, clip_on=False)
            right.set_ylim(max(0, min(accuracy) - 10), 100)
        return figure


def accuracy_by_slice(slices: Mapping[str, Slice], baselines: Sequence[str]) -> Figure:
    """Accuracy, with 95 % intervals, of the models and the strongest baseline on each slice that is large enough."""
    with rc_context(STYLE):
        names = [name for name in slices if slices[name]["count"] >= FEWEST] or list(slices)
        figure = Figure(figsize=(5.2, 0.9 + 0.52 * len(names)), layout="constrained")
        axes: Axes = figure.subplots()
        shift = _shifts([model for model in COLOURS if model in slices[names[0]]])
        for row, name in enumerate(reversed(names)):
            cells = slices[name]
            strongest = max((right(cells, b)["value"] for b in baselines), default=None)
            if strongest is not None:
                label = "strongest baseline" if row == 0 else None
                axes.plot([100 * strongest] * 2, [row - 0.36, row + 0.36], color=BASELINE, linewidth=2.5, label=label)
            for model, colour in COLOURS.items():
                if model in cells:
                    _point(axes, right(cells, model), row + shift[model], colour, model if row == 0 else None)
        axes.set_yticks(range(len(names)), [f"{n} ({slices[n]['count']:,})" for n in reversed(names)])
        axes.set(xlabel="right, %  (bars: 95 % intervals)", xlim=(0, 102))
        axes.grid(axis="y", visible=False)
        figure.legend(loc="outside upper center", ncols=4, fontsize=9)
        return figure


def _shifts(models: Sequence[str]) -> dict[str, float]:
    """Vertical offset of each model's point within a row, the first model on top."""
    step = 0.36 / max(len(models) - 1, 1)
    return {model: 0.18 - step * number for number, model in enumerate(models)}


def gain_and_loss(rows: Sequence[AdaptationRow]) -> Figure:
    """The rows of an `Adaptation`: each model's share of right answers, and the change from the parent."""
    with rc_context(STYLE):
        figure = Figure(figsize=(7.2, 1.1 + 0.62 * len(rows)), layout="constrained")
        shares, change = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
        shift = _shifts(list(COLOURS))
        for place, row in enumerate(reversed(rows)):
            for model, colour in COLOURS.items():
                label = f"{model} model" if place == 0 else None
                _point(shares, right(row, model), place + shift[model], colour, label)
            colour = {"better": TUNED, "worse": WORSE}.get(row["verdict"], BASE)
            _point(change, row["difference"], place, colour)
        names = [f"{row['place']}\n{row['measure']} ({row['difference']['count']:,})" for row in reversed(rows)]
        shares.set_yticks(range(len(rows)), names, fontsize=9)
        shares.set(xlabel="right, %", xlim=(0, 102))
        shares.legend(loc="lower center", bbox_to_anchor=(0.3, 1.0), ncols=3, fontsize=9)
        change.axvline(0, color="#9aa3ae", linewidth=1)
        change.set(xlabel="change, points")
        change.tick_params(axis="y", length=0)
        change.margins(x=0.15)
        for axes in (shares, change):
            axes.grid(axis="y", visible=False)
        return figure


def _point(axes: Axes, cell: Measured, place: float, colour: str, label: str | None = None) -> None:
    """Draw a share or a difference with its interval."""
    value, low, high = 100 * cell["value"], 100 * cell["low"], 100 * cell["high"]
    spread = [[max(0.0, value - low)], [max(0.0, high - value)]]
    axes.errorbar(value, place, xerr=spread, fmt="o", color=colour, capsize=3, markersize=6, label=label)


def reliability_diagram(models: Mapping[str, ModelFigures]) -> Figure:
    """Accuracy against stated probability, in equal-mass bins; a perfectly calibrated model is on the diagonal."""
    with rc_context(STYLE):
        figure = Figure(figsize=(3.5, 3.4 + 0.2 * len(models)), layout="constrained")
        axes: Axes = figure.subplots()
        axes.plot([0, 100], [0, 100], color="#b8c0ca", linestyle="--", linewidth=1)
        for name, figures in models.items():
            bins = figures["reliability"]
            label = f"{name}, error {100 * figures['calibration_error']:.1f} %"
            xs, ys = [100 * b["confidence"] for b in bins], [100 * b["accuracy"] for b in bins]
            axes.plot(xs, ys, "o-", color=COLOURS[name], markersize=5, label=label)
        axes.set(xlabel="stated probability, %", ylabel="right, %", xlim=(0, 102), ylim=(0, 102), aspect="equal")
        figure.legend(loc="outside upper left", fontsize=9)
        return figure


def risk_coverage_curve(models: Mapping[str, ModelFigures]) -> Figure:
    """Share of wrong answers when only the questions with the most confident answers are answered.

    A diamond marks the point at which a model abstains of its own accord.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(3.5, 3.4 + 0.2 * len(models)), layout="constrained")
        axes: Axes = figure.subplots()
        for name, figures in models.items():
            curve = figures["risk_coverage"]
            xs, ys = [100 * x for x in curve["coverage"]], [100 * y for y in curve["risk"]]
            axes.plot(xs, ys, color=COLOURS[name], linewidth=2, label=name)
            # Choice questions have no null candidate, so models cannot abstain.
            if "abstention" in figures and (when_answered := figures["abstention"]["accuracy_when_answered"]):
                point = 100 * figures["abstention"]["answered"]["value"], 100 - 100 * when_answered["value"]
                axes.plot(*point, "D", color=COLOURS[name], markersize=7)
        # With only a few answers, the share jumps between none and all wrong, so the rest sets the scale.
        steady = [
            100 * y
            for f in models.values()
            for x, y in zip(f["risk_coverage"]["coverage"], f["risk_coverage"]["risk"], strict=True)
            if x > 0.1
        ]
        axes.set(xlabel="questions answered, %", ylabel="wrong among them, %")
        axes.set(xlim=(0, 102), ylim=(0, 1.15 * max([*steady, 1.0])))
        figure.legend(loc="outside upper left", fontsize=9)
        return figure


def offered_curve(figures: Calibrated) -> Figure:
    """The risk-coverage curve of the calibrated model over all mentions, with the chosen point and its intervals."""
    with rc_context(STYLE):
        figure = Figure(figsize=(3.5, 3.4), layout="constrained")
        axes: Axes = figure.subplots()
        curve, offered = figures["risk_coverage"], figures["offered"]["all"]
        xs, ys = [100 * x for x in curve["coverage"]], [100 * y for y in curve["risk"]]
        axes.plot(xs, ys, color=TUNED, linewidth=2, label="tuned, calibrated")
        axes.axhline(100 * (1 - figures["target"]), color="#b8c0ca", linestyle="--", linewidth=1)
        always = 100 - 100 * right(figures["expansion"]["all"], FIRST_LISTED)["value"]
        axes.plot(100, always, "s", color=BASELINE, markersize=7, label="always the first listed", clip_on=False)
        if (precision := offered["precision"]) is not None:
            coverage, wrong = offered["coverage"], 1 - precision["value"]
            across = [[coverage["value"] - coverage["low"]], [coverage["high"] - coverage["value"]]]
            upright = [[precision["high"] - precision["value"]], [precision["value"] - precision["low"]]]
            axes.errorbar(
                100 * coverage["value"],
                100 * wrong,
                xerr=100 * np.maximum(across, 0),
                yerr=100 * np.maximum(upright, 0),
                fmt="D",
                color=WORSE,
                capsize=3,
                markersize=7,
                label="chosen threshold",
                zorder=3,
            )
        axes.set(xlabel="mentions answered, %", ylabel="wrong among them, %")
        axes.set(xlim=(0, 102), ylim=(0, 1.3 * max(always, *(y for x, y in zip(xs, ys, strict=True) if x > 10), 1.0)))
        axes.legend(loc="upper left", fontsize=9, frameon=True, framealpha=1, edgecolor="none")
        return figure


def as_svg(figure: Figure) -> str:
    """The figure as an SVG element to embed in a page."""
    buffer = io.StringIO()
    with rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
