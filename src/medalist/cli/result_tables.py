"""Tables of evaluations and claims for the terminal; `summary_tables` shows an evaluation in short."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType

from ..evaluation.claims_table import cell_text, change_text, claims_by_heading, not_measured
from ..evaluation.metrics import MODELS
from ..evaluation.offers import offer_rows, right_rows
from ..evaluation.results import Adaptation, Calibrated, ChoiceMetrics, Claims, Metrics, ShortFormMetrics, on_label
from ..evaluation.shares import (
    FEW_QUESTIONS,
    TEST_MORE,
    Share,
    Slice,
    answerers,
    right,
    short_name,
    shown_slices,
    too_few,
)
from ..tools.counts import counted
from .tables import gain_text, new_table, p_text, quarantined, share_text, stacked


def metrics_tables(metrics: Metrics) -> Iterator[RenderableType]:
    """An evaluation in full: accuracy by slice, the baselines, then further figures of each model."""
    models, baselines, counts = list(metrics["models"]), list(metrics["baselines"]), metrics["counts"]
    both = {"base", "tuned"} <= set(models)
    asked, of, where = terms(metrics)
    heads = ["gain", "p"] if both else []
    yield from caveat(metrics)
    table = new_table(
        f"Accuracy, % (95 % interval): {counted(counts['choice'], asked)} {of} {counted(counts['passages'], where)}",
        "",
        "n",
        *models,
        *heads,
        whole=True,
    )
    for name, cells in shown_slices(metrics["slices"]).items():
        shares = [share_text(right(cells, model)) for model in models]
        row = [name, f"{cells['count']:,}", *(map(stacked, shares) if len(models) > 2 else shares)]
        table.add_row(*row, *([gain_text(cells["difference"]), p_text(cells["difference"])] if both else []))
    yield table
    parts = [part for part in ("all", "no leak") if part in metrics["slices"]]
    table = new_table(f"Baselines on the same {asked}s", "", *parts)
    for name in baselines:
        table.add_row(short_name(name), *(share_text(right(metrics["slices"][part], name)) for part in parts))
    yield table
    yield from _differences_table([metrics["slices"][part] for part in parts], parts, baselines)
    table = new_table("Beyond accuracy", "", *models)
    if metrics["kind"] == "short forms":
        of_short_forms = metrics["models"].values()
        table.add_row("macro accuracy, %", *(f"{100 * f['macro_accuracy']:.1f}" for f in of_short_forms))
        table.add_row("lenient accuracy, %", *(share_text(f["lenient_accuracy"]) for f in of_short_forms))
    elif metrics["labels"]:
        table.add_row("macro F1, %", *(share_text(f["macro_f1"]) for f in metrics["models"].values()))
    figures = metrics["models"].values()
    table.add_row("negative log-likelihood", *(f"{f['nll']:.3f}" for f in figures))
    table.add_row("calibration error, %", *(f"{100 * f['calibration_error']:.1f}" for f in figures))
    if metrics["kind"] == "short forms":
        declining = [f["abstention"] for f in metrics["models"].values()]
        table.add_row("answered, %", *(share_text(a["answered"]) for a in declining))
        table.add_row("accuracy when answered, %", *(share_text(a["accuracy_when_answered"]) for a in declining))
        table.add_row("declined when gold hidden, %", *(share_text(a["abstained_when_gold_hidden"]) for a in declining))
    yield table
    if metrics["kind"] == "short forms":
        yield _expansion_table(metrics, both)
        if "calibrated" in metrics:
            yield from _calibrated_tables(metrics["calibrated"])
    elif metrics["labels"]:
        yield _label_table(metrics)
    yield from remarks(metrics)
    if metrics["kind"] == "short forms" and "adaptation" in metrics:
        yield adaptation_table(metrics["adaptation"])


def _differences_table(
    slices: Sequence[Slice], parts: Sequence[str], baselines: Sequence[str]
) -> Iterator[RenderableType]:
    """The tuned model minus each baseline, then minus the strongest; nothing if there is no tuned model."""
    if not all("from_baseline" in cells for cells in slices):
        return
    table = new_table("Tuned minus each baseline, points", "", *(head for part in parts for head in (part, "p")))
    each = {short_name(name): [cells["from_baselines"][name] for cells in slices] for name in baselines}
    each["tuned minus the strongest baseline"] = [cells["from_baseline"] for cells in slices]
    for name, differences in each.items():
        table.add_row(name, *(text(one) for one in differences for text in (gain_text, p_text)))
    yield table


def terms(metrics: Metrics) -> tuple[str, str, str]:
    """What is asked, of what: ("mention", "in", "passage")."""
    return ("question", "about", "text") if metrics["kind"] == "choices" else ("mention", "in", "passage")


def caveat(metrics: Metrics) -> Iterator[str]:
    """That too little was tested; yields nothing if there was enough."""
    counts, (asked, _, where) = metrics["counts"], terms(metrics)
    if not counts["choice"] or (few := too_few(counts["passages"], f"{where}s")) is None:
        return
    chance = (
        "" if counts["choice"] >= FEW_QUESTIONS else f" Fewer than {FEW_QUESTIONS} {asked}s: the figures may be chance."
    )
    yield f"{few}{chance} {TEST_MORE}"


def remarks(metrics: Metrics) -> Iterator[str]:
    """What was not counted; yields nothing if everything was."""
    counts, (asked, _, where) = metrics["counts"], terms(metrics)
    found: list[tuple[int | None, str, str]] = []
    if metrics["kind"] == "short forms":
        single = "with a single listed sense"
        found += [
            (metrics["counts"]["single"], f"mention {single} is not counted", f"mentions {single} are not counted"),
            (
                metrics["counts"]["absent"],
                "mention has a gold answer that is not listed",
                "mentions have a gold answer that is not listed",
            ),
            (
                metrics["counts"]["unlisted"],
                "mention has a short form that is not listed",
                "mentions have a short form that is not listed",
            ),
        ]
    unfit = "did not fit the model's window"
    found.append((counts["dropped"], f"{asked} {unfit}", f"{asked}s {unfit}"))
    if metrics["kind"] == "choices":
        found.append(
            (
                metrics["counts"]["cut"],
                "text is longer than the window: its beginning was cut off",
                "texts are longer than the window: their beginning was cut off",
            )
        )
    of = f"of the {where}s"
    shared = counts["passages_in_training_data"]
    found.append((shared, f"{of} is also in the training data", f"{of} are also in the training data"))
    lines = [counted(count, one, several) for count, one, several in found if count]
    if lines := lines + quarantined(metrics["about"]["rows_quarantined"]):
        yield "\n".join(lines)


def _label_table(metrics: ChoiceMetrics) -> RenderableType:
    """For questions that all offer the same options: each model's figures for each option."""
    table = new_table("By answer: times given (times right), F1 in %", "", "n", *metrics["models"])
    for label, cells in (metrics["labels"] or {}).items():
        by_model = [on_label(cells, model) for model in metrics["models"]]
        texts = [f"{cell['answered']:,} ({cell['right']:,}), {100 * cell['f1']:.1f}" for cell in by_model]
        table.add_row(label, f"{cells['count']:,}", *texts)
    return table


def _expansion_table(metrics: ShortFormMetrics, both: bool) -> RenderableType:
    slices = metrics["expansion"]
    heads = (f"{name} ({cells['count']:,})" for name, cells in slices.items())
    table = new_table('Expansion, "none of these" allowed: right, %', "", *heads, whole=True)
    for answerer in answerers(slices["all"]):
        table.add_row(short_name(answerer), *(stacked(share_text(right(cells, answerer))) for cells in slices.values()))
    if both:
        for name, text in (("gain", gain_text), ("p", p_text)):
            table.add_row(name, *(text(cells["difference"]) for cells in slices.values()))
    return table


def _calibrated_tables(figures: Calibrated) -> Iterator[RenderableType]:
    """What the tuned model answers, declines and offers with its calibration."""
    rows = right_rows(figures)
    heads = (f"{row.name} ({row.tuned['count']:,})" for row in rows)
    table = new_table("With its calibration: right, %", "", *heads, whole=True)
    table.add_row("tuned, calibrated", *(share_text(row.tuned) for row in rows))
    for number, (name, _, _) in enumerate(rows[0].baselines):
        table.add_row(short_name(name), *(share_text(row.baselines[number][1]) for row in rows))
        table.add_row("  tuned minus it", *(gain_text(row.baselines[number][2]) for row in rows))
        table.add_row("  p", *(p_text(row.baselines[number][2]) for row in rows))
    yield table
    yield offered_table(figures)


def offered_table(figures: Calibrated) -> RenderableType:
    """What the tuned model declines and offers with its calibration; figures without leak if they differ."""
    table = new_table(f"Declined and offered (threshold set for {100 * figures['target']:g} % right)", "", "n", "%")
    shown: dict[str, Share | None] = {}
    for name, cell in offer_rows(figures):
        shown[name] = cell
        all_of_them = name.removesuffix(", no leak")
        if all_of_them == name or shown[all_of_them] != cell:
            table.add_row(name, f"{cell['count']:,}" if cell else "", share_text(cell))
    return table


def adaptation_table(adapted: Adaptation) -> RenderableType:
    """What further tuning gained on the new texts, and lost elsewhere."""
    table = new_table(
        f"Tuned further from {adapted['parent']} on {adapted['data']}",
        "%",
        "n",
        "base",
        "parent",
        "tuned",
        "change",
        "is",
        whole=True,
    )
    for row in adapted["rows"]:
        cells = [stacked(share_text(right(row, model))) for model in MODELS]
        label, count = f"{row['place']}: {row['measure']}", f"{row['difference']['count']:,}"
        table.add_row(label, count, *cells, stacked(change_text(row)), row["verdict"])
    return Group(table, *adapted["shared"])


def claims_tables(claims: Claims) -> Iterator[RenderableType]:
    """The claims, one table each: metric, base, tuned, change with its verdict, and the baseline; fits 80 columns."""
    for heading, rows in claims_by_heading(claims).items():
        baselines = [_named(row["baseline"]) for row in rows]
        columns = ["n", "base", "tuned", "change, tuned is", *(["baseline"] if any(baselines) else [])]
        table = new_table(heading, "", *columns, whole=True)
        for row, baseline in zip(rows, baselines, strict=True):
            metric = row["metric"] + (", %" if row["unit"] == "%" else "")
            table.add_row(
                metric,
                f"{row['difference']['count']:,}",
                *(stacked(cell_text(row, model)) for model in ("base", "tuned")),
                stacked(change_text(row)).replace("\n", f", {row['verdict']}\n"),
                *([baseline] if any(baselines) else []),
            )
        yield table
    yield from not_measured(claims)


def _named(baseline: str | None) -> str:
    """A claim's baseline, "85.7 (copy, else majority)", as figure and short name, on separate lines."""
    figure, _, name = (baseline or "").partition(" (")
    return "\n".join([figure, *textwrap.wrap(short_name(name.removesuffix(")")), 12)]).strip()
