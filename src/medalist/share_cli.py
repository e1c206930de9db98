"""`medalist publish` and `medalist pull`: runs on the Hugging Face Hub. Thin, as `cli` is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from .progress import console as remarks


def publish(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, such as runs/demo.", show_default=False)],
    repo: Annotated[str, typer.Option(help="The repository: user/name. It is made if need be.", show_default=False)],
    private: Annotated[bool, typer.Option("--private", help="Only for its owners.")] = False,
    merged: Annotated[bool, typer.Option("--merged", help="Publish merged weights in place of the adapter.")] = False,
    dtype: Annotated[Literal["bfloat16", "float16", "float32"], typer.Option(help="Of merged weights.")] = "bfloat16",
    include: Annotated[
        list[str] | None,
        typer.Option(
            help="Send this too, where the data's terms keep it here: inventory, senses (those trained on, counted), "
            "short-forms (results by short form), predictions. May be given several times.",
            show_default=False,
        ),
    ] = None,
    own_data: Annotated[
        bool,
        typer.Option("--own-data", help="The run learnt from text of your own, which you may publish weights of."),
    ] = False,
    base_id: Annotated[
        str | None,
        typer.Option(help="The base's Hub id (user/name, user/name@revision) where the run knows only a local path."),
    ] = None,
    licence: Annotated[
        str | None, typer.Option("--license", help="Of the base, as on the Hub: apache-2.0, mit, ...")
    ] = None,
    license_file: Annotated[
        Path | None, typer.Option(help="The text of the base's licence, where it has to go along (Llama).")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would go, and the model card; send nothing.")
    ] = False,
) -> None:
    """Publish a run on the Hugging Face Hub: weights, tokenizer, recipe, figures and a model card, in one commit.

    What would go is listed first. Nothing made from text or glossaries of your own goes unasked. The token is HF_TOKEN, or that
    of `hf auth login`.

    Examples: `medalist publish runs/demo --repo me/demo --dry-run`,
    `medalist publish runs/demo --repo me/demo --private --merged`
    """
    from .hub import prepare_publication, send
    from .runs import open_run
    from .tables import publication_table

    publication = prepare_publication(
        open_run(run),
        repo,
        merged=merged,
        dtype=dtype,
        include=include or (),
        own_data=own_data,
        base_id=base_id,
        licence=licence,
        license_file=license_file,
    )
    remarks.print(publication_table(publication))
    if dry_run:
        print(publication.card)
        return
    done = send(publication, private=private)
    if not done.changed:
        remarks.print("Nothing has changed since it was published last.")
    print(done.url)


def pull(
    repo: Annotated[str, typer.Argument(metavar="REPO", help="user/name on the Hub.", show_default=False)],
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit.")] = None,
    out: Annotated[Path | None, typer.Option(help="The folder to make. Default: runs/NAME.")] = None,
    base: Annotated[
        str | None, typer.Option(help="Where its base model lies, if it is not to come from the Hub.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="The data that it was trained on, to evaluate on its test split.")
    ] = None,
    inventory: Annotated[
        Path | None, typer.Option(help="Sense inventory, where the run was published without.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Evaluate it again and compare every figure with the published ones.")
    ] = False,
) -> None:
    """Get a published run back from the Hugging Face Hub as a run folder: evaluate it, expand with it, report on it.

    Examples: `medalist pull me/demo`, `medalist pull me/demo --out runs/again --check`
    """
    from .pulling import check_repeated, repeat_evaluations
    from .pulling import pull as pull_run

    run = pull_run(repo, revision=revision, out=out, base=base, data=data, inventory=inventory)
    if check:
        for repeated in repeat_evaluations(run):
            remarks.print(check_repeated(repeated))
    print(run.folder)


VERBS = (publish, pull)
"""What `cli` adds to the command line."""
