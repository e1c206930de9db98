"""`medalist serve`. A thin layer, like `app`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .options import AnyCase, EngineName, GlossaryFile, MinProbability, NumberFormat, OneSense, OtherInventory


def serve(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN",
            help="A run's folder or GGUF file, or the Hub id of a published run. Default: the reader that comes with "
            "Medalist.",
            show_default=False,
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but this machine's own needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any free one.")] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="File with a token that clients must send. Default: the environment variable MEDALIST_TOKEN."
        ),
    ] = None,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Accept requests from other machines without a token: from anyone.")
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A further name that clients may use for the server, such as a proxy's. May be repeated."),
    ] = None,
    engine: EngineName = None,
    dtype: NumberFormat = None,
    inventory: OtherInventory = None,
    glossary: GlossaryFile = None,
    min_probability: MinProbability = None,
    one_sense_per_text: OneSense = False,
    any_case: AnyCase = None,
    max_characters: Annotated[int, typer.Option(help="Maximum number of characters per request.")] = 100_000,
    max_waiting: Annotated[int, typer.Option(help="Maximum number of waiting requests; others get 503.")] = 128,
    drain_seconds: Annotated[
        int, typer.Option(min=0, help="When stopped: maximum time to answer requests already accepted, in seconds.")
    ] = 30,
) -> None:
    """Serve expansion over HTTP, with a web page, until stopped; no text is logged, stored or sent elsewhere.

    By default, it listens on this machine only. docs/serve.md describes the interface.

    Examples:
        medalist serve
        medalist serve runs/demo --glossary ours.csv --port 9000
        medalist serve --host 0.0.0.0 --token-file token.txt
    """
    from ..expansion.expander import Expander

    try:
        from ..serving.interface import Limits
        from ..serving.server import Address, serve
    except ModuleNotFoundError as error:
        raise ValueError(
            f"The server needs an extra ({error.name} is missing): pip install 'medalist[serve]'"
        ) from None

    options: dict[str, Any] = {
        "engine": engine,
        "dtype": dtype,
        "inventory": inventory,
        "glossary": glossary,
        "min_probability": min_probability,
        "one_sense_per_text": one_sense_per_text,
        "any_case": any_case,
    }
    serve(
        lambda: Expander.load(run, **options),
        Address(host=host, port=port, token_file=token_file, no_token=no_token, allowed_hosts=allow_host or ()),
        Limits(characters=max_characters, waiting=max_waiting),
        drain_seconds,
    )


VERBS = (serve,)
"""The commands that `app` registers."""
