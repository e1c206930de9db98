"""Tables of evaluations, claims, plans and expansions for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from ..evaluation.claims_table import cell_text, change_text, claims_by_heading
from ..evaluation.metrics import MODELS
from ..evaluation.offers import offer_rows, right_rows
from ..evaluation.results import Adaptation, Calibrated, ChoiceMetrics, Claims, Metrics, ShortFormMetrics, on_label
from ..evaluation.shares import answerers, distinct_slices, right
from ..expansion.bulk import Account
from ..expansion.results import ExpandedText, Expansion
from ..planning.result import Plan
from ..planning.whole_run import UTILISATION
from ..tools.progress import visible
from .tables import gain_text, new_table, share_text


def metrics_tables(metrics: Metrics) -> Iterator[RenderableType]:
    """An evaluation: accuracy by slice, the baselines, then the other measures of each model."""
    models, baselines, counts = list(metrics["models"]), list(metrics["baselines"]), metrics["counts"]
    both = {"base", "tuned"} <= set(models)
    asked, where = ("questions about", "texts") if metrics["kind"] == "choices" else ("mentions in", "passages")
    table = new_table(
        f"Accuracy, % (95 % interval): {counts['choice']:,} {asked} {counts['passages']:,} {where}",
        "",
        "n",
        *models,
        *(["gain (p)"] if both else []),
    )
    for name, cells in distinct_slices(metrics["slices"]).items():
        row = [name, f"{cells['count']:,}", *(share_text(right(cells, model)) for model in models)]
        table.add_row(*row, *([gain_text(cells["difference"])] if both else []))
    yield table
    parts = [part for part in ("all", "no leak") if part in metrics["slices"]]
    table = new_table(f"Baselines on the same {asked.split()[0]}", "", *parts)
    for name in baselines:
        table.add_row(name, *(share_text(right(metrics["slices"][part], name)) for part in parts))
    if all("from_baseline" in metrics["slices"][part] for part in parts):
        gains = [gain_text(metrics["slices"][part]["from_baseline"]) for part in parts]
        table.add_row("tuned minus the strongest baseline (p)", *gains)
    yield table
    if all("from_baselines" in metrics["slices"][part] for part in parts):
        table = new_table("Tuned minus each baseline (p)", "", *parts)
        for name in baselines:
            table.add_row(name, *(gain_text(metrics["slices"][part]["from_baselines"][name]) for part in parts))
        yield table
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
        table.add_row(
            "abstained when gold hidden, %", *(share_text(a["abstained_when_gold_hidden"]) for a in declining)
        )
    yield table
    if metrics["kind"] == "short forms":
        yield _expansion_table(metrics, both)
        if "calibrated" in metrics:
            yield from _calibrated_tables(metrics["calibrated"])
    elif metrics["labels"]:
        yield _label_table(metrics)
    yield from _remarks(metrics, asked, where)
    if metrics["kind"] == "short forms" and "adaptation" in metrics:
        yield adaptation_table(metrics["adaptation"])


def _remarks(metrics: Metrics, asked: str, where: str) -> Iterator[RenderableType]:
    """What was not counted, and caveats about what was; yields nothing if there is nothing to say."""
    counts = metrics["counts"]
    remarks: list[tuple[int | None, str]] = []
    if metrics["kind"] == "short forms":
        remarks += [
            (metrics["counts"]["single"], "mentions with a single listed sense are not counted"),
            (metrics["counts"]["absent"], "mentions have a gold answer that is not listed"),
            (metrics["counts"]["unlisted"], "mentions have a short form that is not listed"),
        ]
    remarks.append((counts["dropped"], f"{asked.split()[0]} did not fit the model's window"))
    if metrics["kind"] == "choices":
        remarks.append((metrics["counts"]["cut"], "texts are longer than the window: their beginning was cut off"))
    remarks.append((counts["passages_in_training_data"], f"of the {where} are also in the training data"))
    remarks += [(n, f"rows quarantined: {reason}") for reason, n in metrics["about"]["rows_quarantined"].items()]
    if lines := [f"{count:,} {what}" for count, what in remarks if count]:
        yield "\n".join(lines)


def _label_table(metrics: ChoiceMetrics) -> RenderableType:
    """For questions that all offer the same options: how each model did on each option."""
    table = new_table("By answer: times given (times right), F1 in %", "", "n", *metrics["models"])
    for label, cells in (metrics["labels"] or {}).items():
        by_model = [on_label(cells, model) for model in metrics["models"]]
        texts = [f"{cell['answered']:,} ({cell['right']:,}), {100 * cell['f1']:.1f}" for cell in by_model]
        table.add_row(label, f"{cells['count']:,}", *texts)
    return table


def _expansion_table(metrics: ShortFormMetrics, both: bool) -> RenderableType:
    slices = metrics["expansion"]
    heads = (f"{name} ({cells['count']:,})" for name, cells in slices.items())
    table = new_table('Expansion, "none of these" allowed: right, %', "", *heads)
    for answerer in answerers(slices["all"]):
        table.add_row(answerer, *(share_text(right(cells, answerer)) for cells in slices.values()))
    if both:
        table.add_row("gain (p)", *(gain_text(cells["difference"]) for cells in slices.values()))
    return table


def _calibrated_tables(figures: Calibrated) -> Iterator[RenderableType]:
    """What the tuned model answers, declines and offers with its calibration."""
    rows = right_rows(figures)
    table = new_table("With its calibration: right, %", "", *(f"{row.name} ({row.tuned['count']:,})" for row in rows))
    table.add_row("tuned, calibrated", *(share_text(row.tuned) for row in rows))
    for number, (name, _, _) in enumerate(rows[0].baselines):
        table.add_row(name, *(share_text(row.baselines[number][1]) for row in rows))
        table.add_row("  tuned minus it (p)", *(gain_text(row.baselines[number][2]) for row in rows))
    yield table
    table = new_table(f"Declined and offered (threshold set for {100 * figures['target']:g} % right)", "", "n", "%")
    for name, cell in offer_rows(figures):
        table.add_row(name, f"{cell['count']:,}" if cell else "", share_text(cell))
    yield table


def adaptation_table(adapted: Adaptation) -> RenderableType:
    """What tuning a run further gained on the new texts, and lost elsewhere."""
    table = new_table(
        f"Tuned further from {adapted['parent']} on {adapted['data']}",
        "%",
        "n",
        "base",
        "parent",
        "tuned",
        "change",
        "is",
    )
    for row in adapted["rows"]:
        cells = [share_text(right(row, model)) for model in MODELS]
        label, count = f"{row['place']}: {row['measure']}", f"{row['difference']['count']:,}"
        table.add_row(label, count, *cells, change_text(row), row["verdict"])
    return Group(table, *adapted["shared"])


def claims_tables(claims: Claims) -> Iterator[RenderableType]:
    """The claims, one table each: metric, base, tuned, change and verdict."""
    for heading, rows in claims_by_heading(claims).items():
        table = new_table(heading, "", "n", "base", "tuned", "change", "tuned is", "baseline")
        for row in rows:
            metric = row["metric"] + (f", {row['unit']}" if row["unit"] in ("%", "s") else "")
            table.add_row(
                metric,
                f"{row['difference']['count']:,}",
                cell_text(row, "base"),
                cell_text(row, "tuned"),
                change_text(row),
                row["verdict"],
                row["baseline"] or "",
            )
        yield table


def plan_tables(plan: Plan, *, hours: float | None = None) -> Iterator[RenderableType]:
    """What a recipe needs: memory by use, work and time, the verdict, and what would save memory.

    Args:
        plan: what to show.
        hours: also say how much training fits into this many hours.
    """
    place, peak = plan.place, plan.peaks[0]
    many = f", {place.devices} devices ({place.parallel})" if place.devices > 1 else ""
    table = new_table(
        f"{plan.name}: {plan.shape.name}, {plan.shape.parameters / 1e9:,.2f} billion weights", "", "GB", "%"
    )
    parts = [(name, size) for name, size in peak.parts.items() if size >= 5e6]
    slack = plan.total - plan.baseline - peak.total
    for name, size in sorted(
        [*parts, *([("allocator overhead", slack)] if slack >= 5e6 else []), ("before loading a model", plan.baseline)],
        key=lambda p: -p[1],
    ):
        table.add_row(name, f"{size / 1e9:,.2f}", f"{100 * size / plan.total:.0f}")
    table.add_row(f"peak per {place.device}{many}, in the {peak.phase}", f"{plan.total / 1e9:,.2f}", "", style="bold")
    yield table
    table = new_table("Work", "", "per optimiser step", "1,000 mentions, training", "1,000 mentions, scoring")
    thousand = 1000 / plan.mentions
    table.add_row("mentions", f"{plan.mentions:,.1f}", "1,000", "1,000")
    table.add_row("tokens (tree nodes)", f"{plan.tokens:,.0f}", f"{plan.tokens * thousand:,.0f}", "")
    table.add_row(
        "TFLOP forward",
        *(f"{x / 1e12:,.2f}" for x in (plan.work.forward, plan.work.forward * thousand)),
        f"{1000 * plan.scoring / plan.scored / 1e12:,.2f}",
    )
    table.add_row(
        "TFLOP backward", *(f"{x / 1e12:,.2f}" for x in (plan.work.backward, plan.work.backward * thousand)), ""
    )
    if plan.step_seconds is not None and plan.training_seconds is not None and plan.scoring_seconds is not None:
        where = f"at {plan.tflops:g} TFLOP/s" if plan.tflops is not None else "on this device"
        seconds = (plan.step_seconds, plan.training_seconds, plan.scoring_seconds)
        table.add_row(f"seconds {where}", *(f"{x:,.1f}" for x in seconds))
    yield table
    yield _whole_run(plan)
    yield from _on_cards(plan)
    if hours is not None:
        yield Text(_what_fits(plan, hours))
    if plan.untimed:
        yield Text(f"No times: {plan.untimed}.")
    yield f"Trees: {plan.trees}. The largest training pass has {plan.largest.nodes:,} tokens."
    have = f"{plan.memory / 1e9:,.1f} GB" if plan.memory else "an absent device (set --memory)"
    why = {
        "fits": "",
        "may not fit": ", within the plan's error of 20 %",
        "does not fit": "",
        "unknown": "",
    }[plan.verdict]
    yield Text(f"{plan.total / 1e9:,.1f} GB of {have}: {plan.verdict}{why}.", style="bold")
    if plan.advice:
        table = new_table("What would save memory", "", "devices", "saves GB", "leaving GB", "")
        for one in plan.advice:
            table.add_row(
                " ".join(one.overrides),
                f"{one.devices}",
                f"{one.saved / 1e9:,.2f}",
                f"{one.total / 1e9:,.2f}",
                one.verdict,
            )
        yield table


def _what_fits(plan: Plan, hours: float) -> str:
    """How much training some hours hold."""
    found = plan.within(hours)
    if found is None:
        return "How much fits into these hours is not known without times: say --tflops."
    if not found.steps:
        before = f"; download, preparation and evaluations alone take {found.rest / 3600:,.2f}" if found.rest else ""
        return f"In {hours:g} hours: not one step{before}."
    if plan.steps is not None and plan.steps <= found.steps:
        return f"In {hours:g} hours: the whole run."
    whole = f", or data.limit={found.passages} to see all of fewer passages" if found.passages else ""
    return f"In {hours:g} hours, with the rest of the run: training.max_steps={found.steps}{whole}."


def _whole_run(plan: Plan) -> RenderableType:
    """The parts of the run, and their sum."""
    table = new_table("The whole run", "", "hours", "")
    table.columns[2].justify = "left"
    for part in plan.parts:
        table.add_row(part.name, "?" if part.seconds is None else f"{part.seconds / 3600:,.2f}", part.how)
    whole, missing = plan.whole_seconds, [part.name for part in plan.parts if part.seconds is None]
    without = f"without {', '.join(missing)}" if missing else ""
    table.add_row("total", "?" if whole is None else f"{whole / 3600:,.2f}", without, style="bold")
    return table


def _on_cards(plan: Plan) -> Iterator[RenderableType]:
    """The run on common GPUs."""
    many = f" ({plan.place.devices} of them)" if plan.place.devices > 1 else ""
    table = new_table(f"On common cards{many}", "", "TFLOP/s", "s a step", "hours", "peak GB", "")
    for card in plan.cards:
        hours = "?" if card.seconds is None else f"{card.seconds / 3600:,.2f}"
        figures = (f"{card.tflops:,.0f}", f"{card.step_seconds:,.2f}", hours, f"{card.total / 1e9:,.1f}")
        table.add_row(card.name, *figures, card.verdict)
    if plan.cards:
        yield table
        yield Text(
            f"Cards: assumed to sustain {UTILISATION:.0%} of their published peak in bfloat16, as an H200 did with "
            "Llama 3 8B's shape; small models: not measured. Hours: of training, looks at validation, both evaluations."
        )


def _answer(expansion: Expansion) -> str:
    """The answer of an expansion, with a question mark if it is not sure."""
    if expansion.evidence == "unlisted":
        return "not listed"
    if expansion.long_form is None:
        return "none of the listed senses"
    return expansion.long_form if expansion.sure else f"{expansion.long_form}?"


_SHOWN = 0.005
"""Alternatives with less probability, which would read 0 %, are left out of the table."""


def expansions_table(expanded: ExpandedText) -> RenderableType:
    """The text with its short forms marked, a line for each, and the notations that it should not use."""
    shown = Text(visible(expanded.text))  # as long as the text, so that offsets hold
    for expansion in expanded:
        shown.stylize("bold cyan" if expansion.long_form else "yellow", expansion.start, expansion.end)
    for warning in expanded.warnings:
        shown.stylize("red", warning.start, warning.end)
    parts: list[RenderableType] = [shown]
    if expanded:
        table = new_table("", "short form", "stands for", "probability", "alternatives", "evidence")
        for column in table.columns[1:]:
            column.justify = "right" if column.header == "probability" else "left"
        for expansion in expanded:
            others = [
                (name, share)
                for name, share in expansion.alternatives
                if name != expansion.long_form and share >= _SHOWN
            ][:2]
            table.add_row(
                Text(visible(expanded.surface(expansion))),
                Text(visible(_answer(expansion))),
                "" if expansion.evidence == "unlisted" else f"{expansion.probability:.0%}",
                Text(visible(", ".join(f"{name} {probability:.0%}" for name, probability in others))),
                expansion.evidence,
            )
        parts.append(table)
    else:
        parts += ["", "No short form."]
    advice: dict[tuple[str, str], str] = {}
    for warning in expanded.warnings:
        line = f"Avoid {expanded.surface(warning)}: {warning.why}. Write: {warning.instead} ({warning.source})."
        advice.setdefault((warning.notation, warning.instead), line)
    return Group(*parts, *(Text(visible(line)) for line in advice.values()))


def account_table(account: Account) -> RenderableType:
    """What was expanded in a file of notes, and what was set aside."""
    table = new_table("", "", "n")
    for name, count in (
        ("notes", account.notes),
        ("short forms expanded", account.expansions),
        ("of these sure", account.sure),
        ("short forms that nothing lists", account.unlisted),
        ("notations to avoid", account.warnings),
        ("records set aside", account.num_set_aside),
    ):
        table.add_row(name, f"{count:,}")
    return Group(table, *([Text(f"Set aside: see {account.set_aside}")] if account.set_aside else []))
