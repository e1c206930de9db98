"""`medalist expand`. Thin, as `app` is."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from .options import RunFolder, out


def expand(
    run: RunFolder,
    text: Annotated[
        str | None, typer.Argument(metavar="[TEXT]", help="The text; without it, standard input.", show_default=False)
    ] = None,
    any_case: Annotated[bool, typer.Option("--any-case", help='Also take "copd" for COPD.')] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Print the text with long forms in place.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the expansions for machines.")] = False,
) -> None:
    """Say what each known short form of a text stands for there; nothing of the text is logged, stored or sent.

    Example: `medalist expand runs/demo "Pt with RA, SpO2 93% on RA."`
    """
    from ..expansion.expander import Expander, expanded_text
    from .result_tables import expansions_table

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


VERBS = (expand,)
"""What `app` adds to the command line."""
