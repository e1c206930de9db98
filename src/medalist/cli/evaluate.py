"""`medalist evaluate`, `claims` and `report`: measure a run and report on it. A thin layer, like `app`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from ..tools.number_formats import Quantization
from .options import HeldOutFile, InventoryFile, RunFolder, emit, emit_json, show


def evaluate(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN_OR_MODEL",
            help="A run's folder; reader, the one that comes with the package; or a base model: smollm2-135m, a model "
            "folder, a .gguf file, package:NAME, a Hub id.",
            show_default=False,
        ),
    ],
    data: HeldOutFile = None,
    inventory: InventoryFile = None,
    train: Annotated[
        Path | None,
        typer.Option(help="For a base model: marked passages, or choice questions, for training the baselines."),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="For a base model: commit, branch or tag of a Hub id.")] = None,
    quantization: Annotated[Quantization, typer.Option(help="For a base model: quantization of its weights.")] = "none",
    limit: Annotated[int | None, typer.Option(min=1, help="Evaluate on this many passages only.")] = None,
    with_base: Annotated[
        bool, typer.Option("--with-base", help="For the reader: also evaluate its base model on the same questions.")
    ] = False,
    to: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="For the reader or a base model: folder for the results. Default: runs/reader, or evaluation/MODEL. "
            "Results of a run go to its own folder.",
        ),
    ] = None,
    details: Annotated[
        bool, typer.Option("--details", help="Print every figure: slices, probabilities, each baseline's distance.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics as JSON.")] = False,
) -> None:
    """Evaluate a run (base and tuned, on the same rows), the reader or a base model on held-out passages.

    Prints accuracy with baselines and 95 % intervals, and writes all figures as metrics.json, and predictions.parquet,
    to RUN's folder evaluation/DATA; `medalist report` makes a page of them. Choice questions (PubMedQA, MedMCQA, MedQA,
    or your own) are recognised by their content.

    Examples:
        medalist evaluate runs/demo
        medalist evaluate reader
        medalist evaluate runs/demo --data test.csv --inventory valid_adam.txt
    """
    from ..expansion.where import is_missing_folder
    from ..runs.evaluate import evaluate_base, evaluate_run
    from ..runs.held_out import HeldOut
    from ..runs.reader import evaluate_reader
    from ..runs.reader_run import READER
    from ..runs.run import is_run, not_a_run, open_run
    from .result_tables import metrics_tables
    from .summary_tables import summary_tables

    for_base = {
        "--train": train,
        "--revision": revision,
        "--quantization": None if quantization == "none" else quantization,
    }
    if with_base and (target != READER or is_run(Path(READER))):
        raise ValueError("--with-base is for the reader: a run is evaluated beside its base anyway, so leave it out")
    if is_run(Path(target)):
        if to is not None:
            raise ValueError(f"The results of {target}, a run, go to its own folder: leave out --out")
        _refuse(for_base, f"{target} is a run")
        metrics, folder = evaluate_run(open_run(Path(target)), HeldOut.named(data, inventory, limit))
    elif target == READER:
        _refuse(for_base, "the reader comes with its own")
        metrics, folder = evaluate_reader(
            data or Path("clinical-development"),
            inventory=inventory,
            limit=limit,
            output=to or Path("runs/reader"),
            with_base=with_base,
        )
    elif is_missing_folder(target):
        raise not_a_run(target)
    elif data is None:
        raise ValueError(f"{target} is not a run, so name the data to evaluate it on: --data FILE")
    else:
        metrics, folder = evaluate_base(
            target,
            revision=revision,
            quantization=quantization,
            data=data,
            inventory=inventory,
            train=train,
            limit=limit,
            output=to or Path("evaluation"),
        )
    if as_json:
        emit_json(metrics)
        return
    show(metrics_tables(metrics) if details else summary_tables(metrics))
    if folder.exists():
        page = f", or as a page: medalist report {target}" if is_run(Path(target)) else ""
        emit(f"\nMore with --details, in metrics.json{page}")  # not wrapped, so that the command can be pasted
        emit(folder)


def _refuse(options: Mapping[str, object], why: str) -> None:
    """Refuse options that would have no effect."""
    if given := next((name for name, value in options.items() if value is not None), None):
        raise ValueError(f"{given} is for a base model, but {why}: leave it out")


def claims(
    run: RunFolder,
    data: HeldOutFile = None,
    inventory: InventoryFile = None,
    mentions: Annotated[
        int, typer.Option(min=1, help="Number of free-text answers to generate with each model.")
    ] = 100,
    queries: Annotated[
        Path | None,
        typer.Option(help="Choice questions, such as PubMedQA's, for the claim about medical queries."),
    ] = None,
    natural: Annotated[
        Path | None,
        typer.Option(
            help="Marked passages whose authors wrote the short forms themselves, to see whether tuning forgot these."
        ),
    ] = None,
    natural_inventory: Annotated[
        Path | None, typer.Option(help="Sense inventory for --natural. Default: the run's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Test the usual claims about fine-tuning: accuracy, hallucination, relevance, queries, adaptability, safety, cost.

    The base and the tuned model answer the same questions; each verdict follows from the confidence interval.
    `medalist report` shows the table afterwards.

    Example:
        medalist claims runs/demo --mentions 50
    """
    from ..runs.claims import check_claims
    from ..runs.held_out import HeldOut
    from ..runs.run import open_run
    from .result_tables import claims_tables

    if natural_inventory is not None and natural is None:
        raise ValueError("--natural-inventory belongs to the passages named with --natural: name them too")
    results, path = check_claims(
        open_run(run),
        HeldOut.named(data, inventory),
        mentions=mentions,
        queries=queries,
        natural=None if natural is None else HeldOut(data=natural, inventory=natural_inventory),
    )
    if as_json:
        emit_json(results)
        return
    show(claims_tables(results))
    emit(path)


def report(run: RunFolder) -> None:
    """Write a run's report: one HTML file with figures, tables and examples.

    It is RUN/report.html, and shows all results so far: evaluate first, and run claims and privacy to include them.

    Example:
        medalist report runs/demo
    """
    from ..runs.report import write_report
    from ..runs.run import open_run

    emit(write_report(open_run(run)))


VERBS = (evaluate, claims, report)
"""The commands that `app` registers."""
