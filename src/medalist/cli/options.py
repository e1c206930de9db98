"""Arguments and options that several verbs share, and the console for their results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

out = Console(highlight=False)

Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY.SUB=VALUE]...", help="Overrides of recipe keys.", show_default=False)
]
RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run's folder, such as runs/demo.", show_default=False)
]
HeldOutFile = Annotated[
    Path | None,
    typer.Option(
        help="Marked passages (MeDAL's CSV, JSONL or Parquet), choice questions (such as PubMedQA's), or the embedded "
        "clinical notes: clinical-development or clinical-locked. Default: the run's test split; for the reader, "
        "clinical-development."
    ),
]
InventoryFile = Annotated[
    Path | None,
    typer.Option(help="Sense inventory: MeDAL's table, ADAM, CSV or JSON. Default: the run's, or the sample's."),
]
