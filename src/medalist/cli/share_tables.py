"""Tables of exports, tasks and publications for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType

from ..evaluation.comparison import Export
from ..sharing.publication import Publication
from ..sharing.task import TaskCounts
from ..tools.counts import counted
from .tables import new_table, share_text


def task_lines(counts: TaskCounts) -> Iterator[str]:
    """What an lm-eval task contains and leaves out."""
    yield counted(counts.questions, "question")
    if counts.no_choice:
        left_out = counted(counts.no_choice, "mention is left out: its", "mentions are left out: their")
        yield f"{left_out} gold answer is not listed, or is the only one listed"
    if counts.dropped:
        yield f"{counted(counts.dropped, 'mention')} did not fit the model's window"
    if counts.encoded_otherwise:
        otherwise = counted(counts.encoded_otherwise, "question is", "questions are")
        yield (
            f"{otherwise} tokenized differently by lm-eval than by medalist with this base model: its tokenizer merges "
            "characters across a boundary of the tree, so scores differ slightly"
        )


def export_table(export: Export) -> RenderableType:
    """An export compared with the run's tuned model."""
    comparison = export.comparison
    title = f"Accuracy, % (95 % interval): {counted(comparison.before.count, 'question')} about "
    title += counted(comparison.passages, "held-out text")
    table = new_table(title, "", "accuracy")
    table.add_row("tuned model of the run", share_text(comparison.before.record()))
    table.add_row(f"exported as {export.type}", share_text(comparison.after.record()))
    difference, p = comparison.difference, comparison.p
    table.add_row(
        "difference (paired)",
        f"{100 * difference.value:+.1f} ({100 * difference.low:+.1f} to {100 * difference.high:+.1f}, p={p:.2g})",
    )
    lines = [
        f"{counted(comparison.changed, 'answer')} changed; the largest change in a probability is "
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
