"""`medalist expand`. A thin layer, like `app`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .options import out


def expand(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]",
            help="A run's folder. Default: the reader that comes with Medalist.",
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        str | None, typer.Argument(metavar="[TEXT]", help="The text. Default: standard input.", show_default=False)
    ] = None,
    any_case: Annotated[
        bool | None,
        typer.Option(
            "--any-case/--as-written", help='Also read "copd" as COPD. Default: yes for the reader, no for a run.'
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Print the text with short forms replaced where the answer is sure.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the expansions as JSON.")] = False,
) -> None:
    """Expand each known short form of a text in context; no part of the text is logged, stored or sent.

    Examples: `medalist expand "Pt with RA, SpO2 93% on RA."`, `medalist expand runs/demo "..."`,
    `medalist expand < note.txt`
    """
    from ..expansion.expander import Expander, expanded_text
    from ..runs.run import is_run
    from .result_tables import expansions_table

    if run is not None and text is None and not Path(run).exists() and not _is_path(run):
        run, text = None, run  # a single argument that is not a path is the text
    if run is not None and not is_run(Path(run)):
        raise FileNotFoundError(f"{run} is not a run: it has no recipe.yaml")
    content = sys.stdin.read() if text is None else text
    if not content.strip():
        raise ValueError("There is no text to expand: give it as an argument or on standard input")
    expansions = Expander.load(run, any_case=any_case)(content)
    if as_json:
        print(json.dumps([asdict(expansion) for expansion in expansions], indent=1, ensure_ascii=False))
    elif replace:
        print(expanded_text(content, expansions))
    else:
        out.print(expansions_table(content, expansions))


def _is_path(argument: str) -> bool:
    """Whether an argument is meant as a path although nothing exists there: it has a slash and no space."""
    return "/" in argument and not any(map(str.isspace, argument))


VERBS = (expand,)
"""The commands that `app` registers."""
