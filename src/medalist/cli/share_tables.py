"""Tables of exports, tasks and publications for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType

from ..evaluation.comparison import Export
from ..sharing.publication import Publication
from ..sharing.task import TaskCounts
from .tables import new_table, share_text


def task_lines(counts: TaskCounts) -> Iterator[str]:
    """What an lm-eval task contains and leaves out."""
    yield f"{counts.questions:,} questions"
    for count, what in (
        (counts.no_choice, "mentions are left out: their gold answer is not listed, or is the only one listed"),
        (counts.dropped, "mentions did not fit the model's window"),
        (
            counts.encoded_otherwise,
            "questions are tokenized differently by lm-eval than by medalist with this base model: its tokenizer "
            "merges characters across a boundary of the tree, so scores differ slightly",
        ),
    ):
        if count:
            yield f"{count:,} {what}"


def export_table(export: Export) -> RenderableType:
    """An export compared with the run's tuned model."""
    comparison = export.comparison
    title = f"Accuracy, % (95 % interval): {comparison.before.count:,} questions about "
    title += f"{comparison.passages:,} held-out texts"
    table = new_table(title, "", "accuracy")
    table.add_row("tuned model of the run", share_text(comparison.before.record()))
    table.add_row(f"exported as {export.type}", share_text(comparison.after.record()))
    difference, p = comparison.difference, comparison.p
    table.add_row(
        "difference (paired)",
        f"{100 * difference.value:+.1f} ({100 * difference.low:+.1f} to {100 * difference.high:+.1f}, p={p:.2g})",
    )
    lines = [
        f"{comparison.changed:,} answers changed; the largest change in a probability is "
        f"{comparison.largest_shift:.2g}."
    ]
    if export.other_tokens:
        lines.append(f"llama.cpp tokenizes {export.other_tokens:,} of the passages differently from the run.")
    return Group(table, *lines)


def publication_table(publication: Publication) -> RenderableType:
    """What would be sent to the Hub, with sizes, and what is held back."""
    table = new_table(f"{publication.run} to {publication.repo}", "file", "bytes")
    for name in publication.files:
        table.add_row(name, f"{publication.size(name):,}")
    table.add_row("", f"{sum(map(publication.size, publication.files)):,}")
    return Group(table, *(f"Not sent: {what} ({why})." for what, why in publication.left_out))
