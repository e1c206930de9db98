"""`medalist audit` and `inventory`: check and merge data before training on it. A thin layer, like `app`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import InventoryFile, emit, emit_json, out


def audit(
    train: Annotated[
        Path,
        typer.Argument(
            metavar="TRAIN",
            help="Marked training passages: a file, or a prepared folder, which is read one shard at a time.",
            show_default=False,
        ),
    ],
    evaluation: Annotated[
        Path,
        typer.Argument(
            metavar="EVAL", help="Marked passages to evaluate on: a file, or a prepared folder.", show_default=False
        ),
    ],
    inventory: InventoryFile = None,
    threshold: Annotated[
        float,
        typer.Option(min=0.3, max=1, help="Minimum Jaccard similarity of near-duplicates; below 0.7, many are missed."),
    ] = 0.8,
    clean_split: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Write EVAL without shared passages and leaking mentions to this file (.jsonl, .parquet)."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print figures and ids as JSON.")] = False,
) -> None:
    """Check evaluation data for passages seen in training, near-duplicates, spelt-out answers and unseen senses.

    Prints the results; with --out it also writes a clean copy of EVAL.

    Example:
        medalist audit train.csv test.csv --inventory valid_adam.txt --out clean.jsonl
    """
    from ..data.audit import audit_files
    from .data_tables import audit_table

    result = audit_files(train, evaluation, inventory, threshold=threshold, out=clean_split)
    if as_json:
        emit_json(result.record())
    else:
        out.print(audit_table(result))
    if clean_split is not None:
        emit(clean_split)


def inventory(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Sense inventories: MeDAL's table, ADAM, CAMI, CASI, CSV, TSV or JSON; "
            "also marked test data from GLADIS.",
            show_default=False,
        ),
    ],
    result: Annotated[Path, typer.Option("--out", help="The CSV glossary to write.", show_default=False)],
) -> None:
    """Merge sense inventories into one glossary, combining spelling variants of a sense and adding up their counts.

    Example:
        medalist inventory adam_database.gz glossary.csv --out senses.csv
    """
    from ..data.inventory import Inventory
    from ..tools.counts import counted
    from ..tools.files import check_place

    if result.suffix != ".csv":
        raise ValueError(f"--out {result}: the glossary is written as CSV, so name a .csv file")
    check_place(result)
    merged = Inventory.merged([Inventory.read(path) for path in files])
    merged.write(result)
    emit(f"{result}: {counted(len(merged), 'short form')}, {counted(merged.num_senses, 'sense')}")


VERBS = (audit, inventory)
"""The commands that `app` registers."""
