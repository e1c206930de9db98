"""`medalist train` and `plan`. A thin layer, like `app`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Overrides, emit, emit_json, show


def train(
    recipe: Annotated[
        str | None, typer.Argument(metavar="RECIPE", help="A recipe's YAML file.", show_default=False)
    ] = None,
    overrides: Overrides = None,
    parent: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="RUN",
            help="Tune a run further: start from its weights, with its recipe unless you give another. reader: the "
            "model that comes with the package.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="With --from: marked passages to tune on, or plain texts with data.substitution.mode=mended."
        ),
    ] = None,
    inventory: Annotated[
        Path | None, typer.Option(help="With --from: a glossary, whose senses are added to the run's.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume from the run's last complete checkpoint.")] = False,
) -> None:
    """Tune a base model with a recipe, or tune a run further on your own texts; the result is a run folder.

    On several GPUs: `torchrun --nproc_per_node=8 -m medalist train RECIPE`, or `accelerate launch --num_processes 8
    -m medalist train RECIPE`; training.parallel says how they share the training.passages_per_step passages of a step.

    Examples:
        medalist train recipes/smollm2-135m-sample.yaml name=longer training.epochs=2
        medalist train --from reader --data marked.csv --inventory glossary.csv
    """
    if recipe is None and parent is None:
        raise typer.BadParameter("Name a recipe, or a run with --from RUN")
    from ..runs.parents import requested_recipe
    from ..runs.train import train as train_run
    from ..training.ranks import together

    with together() as ranks:
        asked = requested_recipe(recipe, overrides or [], parent=parent, data=data, inventory=inventory)
        run = train_run(asked, resume=resume)
        if ranks.first:
            emit(run.tuned)


def plan(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe's YAML file.", show_default=False)],
    overrides: Overrides = None,
    devices: Annotated[
        int, typer.Option(min=1, help="Number of devices that share the work (see training.parallel).")
    ] = 1,
    memory: Annotated[
        str | None, typer.Option(help="Memory per device, such as 24GB. Default: that of the local device.")
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu or cuda; without a local GPU, a plan for cuda gives no times.")
    ] = "auto",
    config: Annotated[
        Path | None,
        typer.Option(help="The base's config.json, if its sizes are unknown to Medalist.", show_default=False),
    ] = None,
    probe: Annotated[bool, typer.Option(help="Measure this device for a few seconds to estimate times.")] = True,
    tflops: Annotated[
        float | None,
        typer.Option(min=0.001, max=1e6, help="Sustained speed of a device in TFLOP/s, instead of measuring this one."),
    ] = None,
    mbits: Annotated[
        float, typer.Option(min=0.001, max=1e9, help="Download speed in Mbit/s, for estimating download times.")
    ] = 200.0,
    hours: Annotated[
        float | None,
        typer.Option(
            min=0, max=1e6, help="Also say how much training fits into this many hours with the rest of the run."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Estimate memory per device, work and time for a recipe, and what to change if it does not fit.

    Nothing is downloaded.

    Example:
        medalist plan recipes/llama3-8b-qlora.yaml --device cuda --memory 24GB
    """
    from ..planning.devices import parse_device, parse_memory
    from ..planning.plan import make_plan
    from ..recipe import load_recipe
    from .plan_tables import plan_tables

    result = make_plan(
        load_recipe(recipe, overrides or []),
        devices=devices,
        memory=parse_memory(memory) if memory else None,
        device=parse_device(device),
        config=config,
        with_probe=probe,
        tflops=tflops,
        mbits=mbits,
    )
    if as_json:
        emit_json(result.record())
        return
    show(plan_tables(result, hours=hours))


VERBS = (train, plan)
"""The commands that `app` registers."""
