"""Results as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .claim_rows import cell_text, change_text
from .claims import claims_by_heading
from .evaluation import answerers, distinct_slices
from .sources.sample import do_not_use

if TYPE_CHECKING:
    from .audit import Audit
    from .expander import Expansion


def share(cell: dict[str, Any] | None, *, interval: bool = True) -> str:
    """A fraction with its 95 % interval, in per cent: "83.5 (79.0-87.6)"."""
    if cell is None:
        return "-"
    text = f"{100 * cell['value']:.1f}"
    return f"{text} ({100 * cell['low']:.1f}-{100 * cell['high']:.1f})" if interval else text


def gain_text(difference: dict[str, Any]) -> str:
    """Tuned minus base in points, with its p value: "+12.2 (p=0.002)"."""
    return f"{100 * difference['value']:+.1f} (p={difference['p']:.2g})"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        # In a wide table names are folded, lest the figures are cut off.
        table.add_column(column, justify="left" if number == 0 else "right", no_wrap=number == 0 and len(columns) < 6)
    return table


def metrics_tables(metrics: dict[str, Any]) -> Iterator[RenderableType]:
    """An evaluation: accuracy by slice beside the baselines, then what else was measured of each model."""
    models, baselines, counts = list(metrics["models"]), list(metrics["baselines"]), metrics["counts"]
    both = {"base", "tuned"} <= set(models)
    table = _table(
        f"Accuracy, % (95 % interval): {counts['choice']:,} mentions in {counts['passages']:,} passages",
        "",
        "n",
        *models,
        *(["gain (p)"] if both else []),
    )
    for name, cells in distinct_slices(metrics["slices"]).items():
        row = [name, f"{cells['count']:,}", *(share(cells[model]) for model in models)]
        table.add_row(*row, *([gain_text(cells["difference"])] if both else []))
    yield table
    table = _table("Baselines on the same mentions", "", "all", "no leak")
    for name in baselines:
        table.add_row(name, *(share(metrics["slices"].get(part, {}).get(name)) for part in ("all", "no leak")))
    yield table
    table = _table("Beyond accuracy", "", *models)
    figures = metrics["models"].values()
    table.add_row("macro accuracy, %", *(f"{100 * f['macro_accuracy']:.1f}" for f in figures))
    table.add_row("lenient accuracy, %", *(share(f["lenient_accuracy"]) for f in figures))
    table.add_row("negative log-likelihood", *(f"{f['nll']:.3f}" for f in figures))
    table.add_row("calibration error, %", *(f"{100 * f['calibration_error']:.1f}" for f in figures))
    for key in dict.fromkeys(key for f in figures for key in f["abstention"]):
        table.add_row(f"{key.replace('_', ' ')}, %", *(share(f["abstention"].get(key)) for f in figures))
    yield table
    names = answerers(metrics["expansion"]["all"])
    table = _table('Expanding, free to say "none of these": right, %', "", "n", *names, *(["gain (p)"] if both else []))
    for name, cells in metrics["expansion"].items():
        row = [name, f"{cells['count']:,}", *(share(cells[answerer]) for answerer in names)]
        table.add_row(*row, *([gain_text(cells["difference"])] if both else []))
    yield table
    remarks = [
        f"{counts[kind]:,} {what}"
        for kind, what in (
            ("single", "mentions with a single listed sense are not counted"),
            ("absent", "mentions have a gold that is not listed"),
            ("unlisted", "mentions have a short form that is not listed"),
            ("dropped", "mentions did not fit the model's window"),
            ("passages_in_training_data", "of the passages stand in the training data too"),
        )
        if counts[kind]
    ] + [f"{count:,} rows quarantined: {reason}" for reason, count in metrics["about"]["rows_quarantined"].items()]
    if remarks:
        yield "\n".join(remarks)
    if "adaptation" in metrics:
        yield adaptation_table(metrics["adaptation"])


def adaptation_table(adapted: dict[str, Any]) -> RenderableType:
    """What tuning a run further gained on the new texts, and lost elsewhere."""
    table = _table(
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
        cells = [share(row[model]) for model in ("base", "parent", "tuned")]
        label, count = f"{row['place']}: {row['measure']}", f"{row['difference']['count']:,}"
        table.add_row(label, count, *cells, change_text(row), row["verdict"])
    return Group(table, *adapted["shared"])


def claims_tables(claims: dict[str, Any]) -> Iterator[RenderableType]:
    """The claims, a table each: metric, base, tuned, change and verdict."""
    for heading, rows in claims_by_heading(claims).items():
        table = _table(heading, "", "n", "base", "tuned", "change", "tuned is", "baseline")
        for row in rows:
            metric = row["metric"] + (f", {row['unit']}" if row["unit"] in ("%", "s") else "")
            table.add_row(
                metric,
                f"{row['difference']['count']:,}",
                *(cell_text(row, model) for model in ("base", "tuned")),
                change_text(row),
                row["verdict"],
                row["baseline"] or "",
            )
        yield table


def audit_table(audit: Audit) -> RenderableType:
    """What an evaluation shares with training data."""
    table = _table(
        f"{audit.passages:,} passages with {audit.mentions:,} listed golds, beside {audit.train_passages:,} for training",
        "",
        "n",
        "%",
    )
    rows = [
        ("passages with an id of the training data", len(audit.same_id), audit.passages),
        ("passages with the same words", len(audit.same_words), audit.passages),
        ("passages nearly the same", len(audit.similar), audit.passages),
        ("passages shared in any of these ways", len(audit.shared), audit.passages),
        ("mentions whose answer is spelt out elsewhere", len(audit.answer_leaks), audit.mentions),
        ("mentions of a sense never trained on", audit.unseen_senses, audit.mentions),
        ("mentions of a short form never trained on", audit.unseen_short_forms, audit.mentions),
    ]
    for name, count, total in rows:
        table.add_row(name, f"{count:,}", f"{100 * count / total:.1f}" if total else "-")
    return table


def prepared_table(account: dict[str, Any]) -> RenderableType:
    """What preparing read, kept and set aside."""
    table = _table(
        f"Prepared from {account['settings']['source']}", "split", "passages", "short forms", "of them no short form"
    )
    for split, count in account["passages"].items():
        table.add_row(split, f"{count:,}", f"{account['mentions'][split]:,}", f"{account['distractors'][split]:,}")
    inventory = account["inventory"]
    lines = [
        f"Inventory {inventory['origin']}: {inventory['short_forms']:,} short forms, {inventory['senses']:,} senses.",
        f"{account['passages_without_mentions']:,} passages without a known short form were left out.",
    ]
    if "replay" in account:
        lines.append(f"{account['replay']['passages']:,} of the parent's training passages are trained on again.")
    lines += [f"{count:,} rows quarantined: {reason}" for reason, count in account["rows_quarantined"].items()]
    return Group(table, *lines)


def corpus_table(account: dict[str, Any]) -> RenderableType:
    """What `medalist prepare medal` or `pubmed` made, and what it left out; the card says more."""
    kinds = account["kinds"] if account["source"] == "pubmed" else {"": account}
    table = _table(f"Prepared from {account['source']}", "", "passages", "short forms")
    for kind, cells in kinds.items():
        for split in ("train", "validation", "test"):
            if kind:
                counts = cells[split]["passages"], cells[split]["mentions"]
            else:
                counts = cells["passages"][split], cells["mentions"][split]
            table.add_row(f"{kind} {split}".strip(), *(f"{count:,}" for count in counts))
    inventory = account["inventory"]
    lines = [
        f"Inventory {inventory['origin']}: {inventory['short_forms']:,} short forms, {inventory['senses']:,} senses."
    ]
    lines += [
        f"{account[key]:,} {what}"
        for key, what in (
            ("revisions_replaced", "older revisions of abstracts were left out"),
            ("deleted", "abstracts were deleted by PubMed"),
            ("without_text", "records have no abstract"),
            ("duplicates", "abstracts have the same words as another"),
            ("passages_without_mentions", "passages were left without a short form"),
        )
        if account.get(key)
    ]
    for name, cell in account.get("mended", {}).items():
        if cell["mentions"]:
            lines.append(f"{cell['mentions']:,} mentions of {cell['labels']:,} labels: {name}")
    lines += [f"{count:,} rows quarantined: {reason}" for reason, count in account["rows_quarantined"].items()]
    return Group(table, *lines)


def expansions_table(text: str, expansions: Sequence[Expansion]) -> RenderableType:
    """The text with its short forms marked, and a line for each."""
    shown = Text(text)
    for expansion in expansions:
        shown.stylize("bold cyan" if expansion.long_form else "yellow", expansion.start, expansion.end)
    if not expansions:
        return Group(shown, "", "No known short form.")
    table = _table("", "short form", "stands for", "probability", "or else")
    table.columns[1].justify = table.columns[3].justify = "left"
    for expansion in expansions:
        others = [pair for pair in expansion.alternatives if pair[0] != expansion.long_form][:2]
        table.add_row(
            text[expansion.start : expansion.end],
            expansion.long_form or "none of the listed senses",
            f"{expansion.probability:.0%}",
            ", ".join(f"{name} {probability:.0%}" for name, probability in others),
        )
    listed = do_not_use()
    cautions = {(text[e.start : e.end], e.long_form): listed.get((e.short_form, e.long_form or "")) for e in expansions}
    lines = [f"Better not write {surface} for {name}: {why}." for (surface, name), why in cautions.items() if why]
    return Group(shown, table, *lines)
