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
        str, typer.Option(help="Address to listen at; another than this machine's own needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0: a free one.")] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="File with a token that clients must send. Default: the variable MEDALIST_TOKEN, if it is set."
        ),
    ] = None,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Listen beyond this machine without a token: anyone there may ask.")
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
    max_characters: Annotated[int, typer.Option(help="Most characters that one request may hold.")] = 100_000,
    max_waiting: Annotated[int, typer.Option(help="Most requests that may wait for the model; others get 503.")] = 128,
    drain_seconds: Annotated[
        int, typer.Option(min=0, help="When stopped: how long to go on answering what was taken, at most.")
    ] = 30,
) -> None:
    """Serve expansion over HTTP, and a page for it, until stopped; no text is logged, stored or sent elsewhere.

    It listens on this machine only, unless told otherwise. docs/serve.md describes the interface.

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
