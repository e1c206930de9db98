"""`medalist expand`. A thin layer, like `app`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from .options import out


def expand(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]",
            help="A run's folder, or, if TEXT is given too, the Hub id of a published one. Default: the reader that "
            "comes with Medalist.",
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        str | None, typer.Argument(metavar="[TEXT]", help="The text; - or nothing: standard input.", show_default=False)
    ] = None,
    glossary: Annotated[
        Path | None,
        typer.Option(help="Your own short forms, which win: a CSV or TSV with short_form and long_form, or JSON."),
    ] = None,
    min_probability: Annotated[
        float | None,
        typer.Option(
            help="Least probability of an answer without a question mark. Default: the model's own threshold, or 0.95."
        ),
    ] = None,
    one_sense_per_text: Annotated[
        bool, typer.Option("--one-sense-per-text", help="Give all mentions of a short form the same meaning.")
    ] = False,
    any_case: Annotated[
        bool | None,
        typer.Option(
            "--any-case/--as-written", help='Also read "copd" as COPD. Default: yes for the reader, no for a run.'
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Print the text with short forms replaced where the answer is sure.")
    ] = False,
    unsure: Annotated[
        Literal["mark", "leave"],
        typer.Option(help='With --replace: mark an answer that is not sure, as "RA [room air? 74 %]", or leave it.'),
    ] = "mark",
    encoding: Annotated[
        str | None, typer.Option(help="The text's encoding. Default: UTF-8, or Windows-1252 if it is not UTF-8.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print expansions and warnings as JSON.")] = False,
) -> None:
    """Expand each short form of a text in context; no part of the text is logged, stored or sent.

    Definitions in the text come first, then your glossary, then the inventory and the model. Notations that the Joint
    Commission or ISMP advises against are pointed out.

    Examples: `medalist expand "Pt with RA, SpO2 93% on RA."`, `medalist expand runs/demo "..."`,
    `medalist expand --glossary ours.csv < note.txt`
    """
    from ..expansion.expander import Expander
    from ..expansion.where import is_hub_id
    from ..runs.run import is_run
    from ..tools.decoding import decoded
    from ..tools.progress import say
    from .result_tables import expansions_table

    if run is not None and text is None and not Path(run).exists() and not _is_path(run):
        run, text = None, run  # a single argument that is not a path is the text
    # "N/V" alone may be a text, which must not be looked up on the Hub
    if run is not None and not is_run(Path(run)) and (text is None or not is_hub_id(run)):
        raise FileNotFoundError(f"{run} is not a run: it has no recipe.yaml")
    raw = sys.stdin.buffer.read() if text in (None, "-") else os.fsencode(str(text))
    content, used = decoded(raw, "The text", encoding)
    if not content.strip():
        raise ValueError("There is no text to expand: give it as an argument or on standard input")
    if used == "cp1252" and encoding is None:
        say("The text is not UTF-8; it was read as Windows-1252 (--encoding names another).")
    expander = Expander.load(
        run,
        glossary=glossary,
        any_case=any_case,
        min_probability=min_probability,
        one_sense_per_text=one_sense_per_text,
    )
    expanded = expander(content, progress=True)
    if as_json:
        print(json.dumps(expanded.to_dict(), indent=1, ensure_ascii=False))
    elif replace:
        print(expanded.replaced(unsure=unsure))
        if expanded.warnings:
            say(f"{len(expanded.warnings):,} notations are advised against: without --replace, they are listed.")
    else:
        out.print(expansions_table(expanded))


def _is_path(argument: str) -> bool:
    """Whether an argument is meant as a path although nothing exists there: it has a slash and no space."""
    return "/" in argument and not any(map(str.isspace, argument))


VERBS = (expand,)
"""The commands that `app` registers."""
