"""`medalist privacy`: whether a tuned model reveals which texts it was tuned on. A thin layer, like `app`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import RunFolder, emit, emit_json, out

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..evaluation.privacy import Privacy


def privacy(
    run: RunFolder,
    members: Annotated[
        Path | None, typer.Option(help="A file of texts that it was tuned on. Default: the run's training split.")
    ] = None,
    others: Annotated[
        Path | None,
        typer.Option(
            help="A file of texts of the same kind that it was not tuned on. Default: the run's validation and test "
            "splits."
        ),
    ] = None,
    texts: Annotated[int, typer.Option(min=1, help="Maximum number of texts of each kind, drawn at random.")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Attack a run's tuned model: do its weights reveal which texts it was tuned on?

    Compares how much tuning lowered the loss on training texts and on other texts of the same kind. No model is
    trained. `medalist publish` requires this before it sends a run that was tuned on your own text.

    Examples:
        medalist privacy runs/demo
        medalist privacy runs/demo --others other-notes.jsonl
    """
    from ..runs.privacy import check_privacy
    from ..runs.run import open_run

    found, path = check_privacy(open_run(run), members=members, others=others, texts=texts)
    if as_json:
        emit_json(found)
        return
    out.print(_table(found))
    emit(path)


def _table(found: Privacy) -> RenderableType:
    """The attacks, and what their results mean."""
    from rich.console import Group

    from ..evaluation.privacy import SIGNALS, privacy_in_words
    from .tables import new_table, share_text

    title = f"Told apart, % of pairs (95 % interval): {found['members']:,} texts trained on, {found['others']:,} others"
    table = new_table(title, "by", "told apart", "by the base alone", "recognised")
    for one in found["attacks"]:
        cells = (share_text(one[key]) for key in ("auc", "untuned", "recognised"))
        table.add_row(SIGNALS[one["signal"]], *cells)
    return Group(table, "", *privacy_in_words(found))


VERBS = (privacy,)
"""The commands that `app` registers."""
