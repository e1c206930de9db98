"""Arguments and options that several verbs share, and the console for their results."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from ..expansion.options import Engine
from ..tools.number_formats import FloatType
from ..tools.progress import PlainConsole, visible

out = PlainConsole()


def emit(text: object) -> None:
    """Print a result to standard output at once: unchanged to a file, with visible control characters on a terminal."""
    print(visible(str(text)) if sys.stdout.isatty() else text, flush=True)


def emit_json(values: object) -> None:
    """Print figures to standard output as JSON."""
    from ..tools.shapes import json_text

    emit_utf8(json_text(values))


def emit_utf8(text: str) -> None:
    """Print JSON like `emit`, but to a file or pipe in UTF-8, whatever the locale's encoding."""
    if isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    emit(text)


def show(parts: Iterable[RenderableType], console: Console = out) -> None:
    """Print tables and remarks, with an empty line before and after each table."""
    after_text: bool | None = None
    for part in parts:
        is_text = isinstance(part, str | Text)
        if after_text is not None and not (after_text and is_text):
            console.print()
        console.print(part)
        after_text = is_text


Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="Settings of the recipe to change, such as training.epochs=2 or name=ward.",
        show_default=False,
    ),
]
RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run's folder, such as runs/demo.", show_default=False)
]
HeldOutFile = Annotated[
    Path | None,
    typer.Option(
        help="Marked passages (MeDAL's CSV, JSONL or Parquet), choice questions (such as PubMedQA's), or the embedded "
        "clinical notes: clinical-development, -locked, -blind, -look-alikes or -ordinary. Default: the run's test "
        "split; for the reader, clinical-development."
    ),
]
InventoryFile = Annotated[
    Path | None,
    typer.Option(help="Sense inventory: MeDAL's table, ADAM, CSV or JSON. Default: the run's, or the sample's."),
]
EngineName = Annotated[
    Engine | None,
    typer.Option(
        help="llama.cpp uses a GGUF file, the one in RUN's export folder if RUN is a folder (needs medalist[gguf]). "
        "glance uses no model: hundreds of times as fast, but less accurate. Default: determined by RUN."
    ),
]
NumberFormat = Annotated[
    FloatType | None,
    typer.Option(
        "--dtype",
        help="Number format of the computation. bfloat16 is faster on CPUs that support it, with nearly the same "
        "probabilities. Default: the run's; for the reader, float32 on a CPU.",
    ),
]
OtherInventory = Annotated[
    Path | None,
    typer.Option("--inventory", help="Senses to offer instead of the run's: MeDAL's table, ADAM, CSV, JSON."),
]
GlossaryFile = Annotated[
    Path | None,
    typer.Option(
        "--glossary", help="Your own short forms, which take precedence: CSV, TSV (short_form, long_form) or JSON."
    ),
]
MinProbability = Annotated[
    float | None,
    typer.Option(
        help="Minimum probability of a sure answer: written by --replace, shown without question mark. Default: the "
        "model's own, from which 95 % of its answers were right when it was calibrated (0.89 for the reader, 97 %); "
        "0.95 for a model without a calibration."
    ),
]
OneSense = Annotated[
    bool, typer.Option("--one-sense-per-text", help="Give all mentions of a short form the same meaning.")
]
AnyCase = Annotated[
    bool | None,
    typer.Option(
        "--any-case/--as-written", help='Also read "copd" as COPD. Default: yes for the reader and runs tuned from it.'
    ),
]
