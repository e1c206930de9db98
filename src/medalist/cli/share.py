"""`medalist export`, `publish`, `pull` and `task`: share a run with others. A thin layer, like `app`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..tools.number_formats import FloatType, GGUFType
from ..tools.progress import console as remarks
from .options import HeldOutFile, InventoryFile, RunFolder, emit, emit_json, out


def export(
    run: RunFolder,
    to: Annotated[
        Literal["merged", "gguf"],
        typer.Option(
            help="merged: a folder for transformers and vLLM; gguf: a file for llama.cpp (needs medalist[gguf]).",
            show_default=False,
        ),
    ],
    dtype: Annotated[FloatType, typer.Option(help="Number format of merged weights.")] = "bfloat16",
    file_type: Annotated[GGUFType, typer.Option("--type", help="Type of the weights in a GGUF file.")] = "q8_0",
    result: Annotated[
        Path | None, typer.Option("--out", help="Folder or file to write. Default: a name in the run's export folder.")
    ] = None,
    max_drop: Annotated[
        float, typer.Option(min=0, max=1, help="Largest accepted drop in accuracy; 0.01 is one point.")
    ] = 0.01,
    data: HeldOutFile = None,
    inventory: InventoryFile = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Compare on this many passages only.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing export of that name.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Export a run's tuned model for other programs, scoring it before and after on held-out passages.

    It is written to RUN's folder export, or to --out. If accuracy drops by more than --max-drop, nothing is written.

    Examples:
        medalist export runs/demo --to merged
        medalist export runs/demo --to gguf --type q4_k_m --max-drop 0.02
    """
    from ..runs.held_out import HeldOut
    from ..runs.run import open_run
    from ..sharing.export import export_gguf, export_merged
    from .share_tables import export_table

    opened, on = open_run(run), HeldOut.named(data, inventory, limit)
    if to == "merged":
        exported = export_merged(opened, result, dtype=dtype, max_drop=max_drop, on=on, force=force)
    else:
        exported = export_gguf(opened, result, file_type=file_type, max_drop=max_drop, on=on, force=force)
    if as_json:
        emit_json(exported.record())
        return
    out.print(export_table(exported))
    emit(exported.path)


def task(
    run: RunFolder,
    folder: Annotated[
        Path, typer.Option("--out", help="The folder to create; it must not exist yet.", show_default=False)
    ],
    data: HeldOutFile = None,
    inventory: InventoryFile = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Use this many passages only.")] = None,
) -> None:
    """Write a run's questions as an lm-eval task, which scores any model on them with the same accuracy measure.

    The folder contains the text of the passages, so it is as confidential as they are. lm-eval does not need medalist.

    Example:
        medalist task runs/demo --out demo-task
        lm_eval --include_path demo-task --tasks medalist --model_args pretrained=MODEL
    """
    from ..runs.held_out import HeldOut
    from ..runs.run import open_run
    from ..sharing.task import write_task
    from .share_tables import task_lines

    counts = write_task(open_run(run), folder, HeldOut.named(data, inventory, limit))
    for line in task_lines(counts):
        emit(line)
    emit(folder)


def confirmed(question: str) -> bool:
    """Ask on the terminal; without a terminal, the answer is no."""
    return sys.stdin.isatty() and typer.confirm(question, err=True)


def publish(
    run: RunFolder,
    repo: Annotated[
        str, typer.Option(help="The repository, user/name; created if it does not exist.", show_default=False)
    ],
    public: Annotated[
        bool, typer.Option("--public", help="Create a public repository, or add to one. Default: a private one.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Send without asking.")] = False,
    merged: Annotated[bool, typer.Option("--merged", help="Publish merged weights instead of the adapter.")] = False,
    dtype: Annotated[FloatType, typer.Option(help="Number format of merged weights.")] = "bfloat16",
    include: Annotated[
        list[str] | None,
        typer.Option(
            help="Also send a part that the data's terms hold back: inventory, senses (those trained on, with counts), "
            "short-forms (results by short form), predictions, or the names of your own files. Can be repeated.",
            show_default=False,
        ),
    ] = None,
    own_data: Annotated[
        bool,
        typer.Option("--own-data", help="The run was tuned on your own text, and you may publish its weights."),
    ] = False,
    base_id: Annotated[
        str | None,
        typer.Option(help="The base's Hub id (user/name, user/name@revision) if the run knows only a local path."),
    ] = None,
    licence: Annotated[
        str | None, typer.Option("--license", help="Licence of the base, as the Hub names it: apache-2.0, mit, ...")
    ] = None,
    licence_file: Annotated[
        Path | None,
        typer.Option("--license-file", help="The text of the base's licence, if it must be included (Llama)."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be sent, and the model card; send nothing.")
    ] = False,
) -> None:
    """Publish a run on the Hugging Face Hub: weights, tokenizer, recipe, figures and a model card, in one commit.

    The files are listed first, and sent only if you confirm. Nothing made from your own text or glossaries is sent
    unless you ask for it. The token is HF_TOKEN, or the one stored by `hf auth login`.

    Examples:
        medalist publish runs/demo --repo me/demo --dry-run
        medalist publish runs/demo --repo me/demo --public --merged
    """
    from ..runs.run import open_run
    from ..sharing.publish import prepare_publication, send
    from .share_tables import publication_table

    publication = prepare_publication(
        open_run(run),
        repo,
        merged=merged,
        dtype=dtype,
        include=include or (),
        own_data=own_data,
        base_id=base_id,
        licence=licence,
        licence_file=licence_file,
    )
    remarks.print(publication_table(publication))
    if dry_run:
        emit(publication.card)
        return
    if not yes and not confirmed(f"Send these files to {repo}, {'for everyone to see' if public else 'private'}?"):
        raise ValueError("Nothing was sent. Answer y, or add --yes")
    done = send(publication, public=public)
    if not done.changed:
        remarks.print("Nothing has changed since it was last published.")
    emit(done.url)


def pull(
    repo: Annotated[str, typer.Argument(metavar="REPO", help="user/name on the Hub.", show_default=False)],
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit.")] = None,
    out: Annotated[Path | None, typer.Option(help="The folder to create. Default: runs/NAME.")] = None,
    base: Annotated[str | None, typer.Option(help="Path of its base model, to avoid loading it from the Hub.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="The data it was trained on, to evaluate on the test split.")
    ] = None,
    inventory: Annotated[
        Path | None, typer.Option(help="Sense inventory, if the run was published without one.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Evaluate it again and compare every figure with the published one.")
    ] = False,
) -> None:
    """Download a published run from the Hugging Face Hub as a run folder, to evaluate, expand with or report on.

    Examples:
        medalist pull me/demo
        medalist pull me/demo --out runs/again --check
    """
    from ..sharing.pull import pull as pull_run
    from ..sharing.repeat import check_repeated, repeat_evaluations

    run = pull_run(repo, revision=revision, out=out, base=base, data=data, inventory=inventory)
    if check:
        for repeated in repeat_evaluations(run):
            remarks.print(check_repeated(repeated))
    emit(run.folder)


VERBS = (export, publish, pull, task)
"""The commands that `app` registers."""
