"""The command line: one function per verb, no logic. Whatever it can do, three lines of Python can."""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from .options import HeldOutFile, InventoryFile, Overrides, RunFolder, out
from .prepare import app as prepare_app
from .share import VERBS as SHARE_VERBS

app = typer.Typer(
    name="medalist",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Fine-tune Llama-family models to read medical abbreviations in context, and measure what was gained.\n\n"
    "First time? `medalist demo` shows everything on embedded data, without an account or a GPU.",
)
app.add_typer(prepare_app)


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
) -> None:
    """Tune the embedded model on the embedded data and show what was gained: 8 minutes on 2 cores.

    Broken off, it goes on where it was; done, it shows the result again.

    Example: `medalist demo`
    """
    from .demo import run_demo

    run_demo(output, out)


@app.command()
def audit(
    train: Annotated[
        Path,
        typer.Argument(
            metavar="TRAIN",
            help="Marked training passages: a file, or a prepared folder, of which one shard at a time is in memory.",
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
        typer.Option(min=0.3, max=1, help="Least Jaccard similarity of near-duplicates; below 0.7 many are missed."),
    ] = 0.8,
    clean_split: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Write what is left of EVAL without shared passages and leaking mentions (.jsonl, .parquet)."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print figures and ids for machines.")] = False,
) -> None:
    """Say what an evaluation shares with training data: passages, near-duplicates, answers spelt out, senses never trained on.

    Example: `medalist audit train.csv test.csv --inventory valid_adam.txt --out clean.jsonl`
    """
    from ..data.audit import audit as compare
    from ..data.audit import clean
    from ..data.embedded import sample
    from ..data.inventory import Inventory
    from ..data.passage_files import write_jsonl, write_parquet
    from ..data.shards import marked_passages
    from .tables import audit_table

    if clean_split is not None and clean_split.suffix not in (".jsonl", ".parquet"):
        raise ValueError(f"--out {clean_split}: name a .jsonl or .parquet file")
    if clean_split is not None and clean_split.resolve() in (train.resolve(), evaluation.resolve()):
        raise ValueError(f"--out {clean_split} is one of the files to be read: name another")
    senses = sample.inventory() if inventory is None else Inventory.read(inventory)
    passages = list(marked_passages(evaluation, "test", senses))
    found = compare(marked_passages(train, "train", senses), passages, senses, threshold=threshold)
    if clean_split is not None:
        left = list(clean(passages, found))
        (write_jsonl if clean_split.suffix == ".jsonl" else write_parquet)(left, clean_split)
    if as_json:
        print(json.dumps(found.record(), indent=1, ensure_ascii=False))
    else:
        out.print(audit_table(found))
    if clean_split is not None:
        print(clean_split)


@app.command()
def inventory(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Sense inventories: MeDAL's table, ADAM, CAMI, CASI, CSV, TSV, JSON; marked test data of GLADIS too.",
            show_default=False,
        ),
    ],
    result: Annotated[Path, typer.Option("--out", help="The CSV glossary to write.", show_default=False)],
) -> None:
    """Merge sense inventories into one glossary: spelling variants of a sense are united, counts add up.

    Example: `medalist inventory adam_database.gz glossary.csv --out senses.csv`
    """
    from ..data.inventory import Inventory

    if result.exists():
        raise FileExistsError(f"{result} exists already: name another file, or remove it")
    merged = Inventory.merged([Inventory.read(path) for path in files])
    merged.write(result)
    senses = sum(map(len, merged.senses.values()))
    print(f"{result}: {len(merged):,} short forms, {senses:,} senses")


@app.command()
def train(
    recipe: Annotated[
        str | None, typer.Argument(metavar="[RECIPE]", help="A recipe's YAML file.", show_default=False)
    ] = None,
    overrides: Overrides = None,
    parent: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="RUN", help="Tune a run further: begin with its weights, by its recipe if none is named."
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="With --from: marked passages to tune on; or plain texts, with data.substitution.mode=mended."
        ),
    ] = None,
    inventory: Annotated[
        Path | None, typer.Option(help="With --from: a glossary, whose senses are offered beside the run's.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's last complete checkpoint.")] = False,
) -> None:
    """Tune a base model as a recipe says, or a run further on texts of your own; the result is a run folder.

    On several GPUs: `torchrun --nproc_per_node=8 -m medalist train RECIPE`, or `accelerate launch --num_processes 8 -m medalist
    train RECIPE`; they share out training.passages_per_step, as training.parallel says.

    Examples: `medalist train recipes/smollm2-135m-sample.yaml name=two-epochs training.epochs=2`,
    `medalist train --from runs/demo --data notes.jsonl --inventory glossary.csv`
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
            print(run.tuned)


@app.command()
def plan(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe's YAML file.", show_default=False)],
    overrides: Overrides = None,
    devices: Annotated[int, typer.Option(min=1, help="Devices that share the work, as training.parallel says.")] = 1,
    memory: Annotated[
        str | None, typer.Option(help="Memory of a device, such as 24GB. Default: that of the device here.")
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu or cuda; a GPU can be planned for where there is none, then without times.")
    ] = "auto",
    config: Annotated[
        Path | None, typer.Option(help="The base's config.json, if its sizes are not known here.", show_default=False)
    ] = None,
    probe: Annotated[bool, typer.Option(help="Measure this device for the times; a few seconds.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures for machines.")] = False,
) -> None:
    """Say what a recipe will take before anything is downloaded: memory per device, work, time, and what to change if it does not fit.

    Example: `medalist plan recipes/llama3-8b-qlora.yaml --device cuda --memory 24GB`
    """
    from ..planning.plan import make_plan, parse_device, parse_memory
    from ..recipe import load_recipe
    from .tables import plan_tables

    found = make_plan(
        load_recipe(recipe, overrides or []),
        devices=devices,
        memory=parse_memory(memory) if memory else None,
        device=parse_device(device),
        config=config,
        with_probe=probe,
    )
    if as_json:
        print(json.dumps(found.record(), indent=1, ensure_ascii=False))
        return
    for table in plan_tables(found):
        out.print(table)


@app.command()
def evaluate(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN_OR_MODEL",
            help="A run's folder, or a base: smollm2-135m, a model folder, a .gguf file, package:NAME, a Hub id.",
            show_default=False,
        ),
    ],
    data: HeldOutFile = None,
    inventory: InventoryFile = None,
    train: Annotated[
        Path | None,
        typer.Option(help="For a bare base: marked passages, or choice questions, that the baselines may learn from."),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="For a bare base: commit, branch or tag of a Hub id.")] = None,
    quantization: Annotated[
        Literal["none", "int8", "nf4"], typer.Option(help="For a bare base: how its weights are kept.")
    ] = "none",
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many passages.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the metrics for machines.")] = False,
) -> None:
    """Measure a run (base and tuned, same rows) or a bare base model on held-out passages, beside baselines.

    Choice questions (PubMedQA, MedMCQA, MedQA, or your own) are told from passages by their content.

    Examples: `medalist evaluate runs/demo`,
    `medalist evaluate runs/demo --data test.csv --inventory valid_adam.txt --json`
    """
    from ..runs.evaluate import evaluate_base, evaluate_run
    from ..runs.run import is_run, open_run
    from .tables import metrics_tables

    if is_run(Path(target)):
        metrics, folder = evaluate_run(open_run(Path(target)), data=data, inventory=inventory, limit=limit)
    elif data is None:
        raise ValueError(f"{target} is no run, so say what to evaluate it on: --data FILE")
    else:
        metrics, folder = evaluate_base(
            target,
            revision=revision,
            quantization=quantization,
            data=data,
            inventory=inventory,
            train=train,
            limit=limit,
        )
    if as_json:
        print(json.dumps(metrics, indent=1, ensure_ascii=False))
        return
    for table in metrics_tables(metrics):
        out.print(table)
    print(folder)


@app.command()
def claims(
    run: RunFolder,
    data: HeldOutFile = None,
    inventory: InventoryFile = None,
    mentions: Annotated[int, typer.Option(min=1, help="Free answers to generate with each model.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures for machines.")] = False,
) -> None:
    """Put the usual promises of fine-tuning to the test: accuracy, hallucination, relevance, adaptability, safety, cost.

    Base and tuned model answer the same questions; a verdict follows from the interval. About 9 minutes on 2 cores; `medalist report`
    shows the table afterwards.

    Example: `medalist claims runs/demo --mentions 50`
    """
    from ..runs.claims import check_claims
    from ..runs.run import open_run
    from .tables import claims_tables

    found, path = check_claims(open_run(run), data=data, inventory=inventory, mentions=mentions)
    if as_json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return
    for table in claims_tables(found):
        out.print(table)
    print(path)


@app.command()
def report(run: RunFolder) -> None:
    """Write a run's report: one HTML file with figures, tables and examples.

    Example: `medalist report runs/demo`
    """
    from ..runs.report import write_report
    from ..runs.run import open_run

    print(write_report(open_run(run)))


@app.command()
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
    from dataclasses import asdict

    from ..expansion.expander import Expander, expanded_text
    from .tables import expansions_table

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


for verb in SHARE_VERBS:
    app.command()(verb)


def _version(value: bool) -> None:
    if value:
        from .. import __version__

        print(f"medalist {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Nothing to do before a verb."""


def verbs() -> list[str]:
    """Every verb, those of a group behind its name: "train", "prepare", "prepare medal"."""
    found = [command.callback.__name__ for command in app.registered_commands if command.callback]
    for group in app.registered_groups:
        assert group.typer_instance is not None
        name = group.typer_instance.info.name
        found += [
            f"{name}",
            *(f"{name} {c.callback.__name__}" for c in group.typer_instance.registered_commands if c.callback),
        ]
    return found


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; what a user can get wrong ends in one line and exit code 1 (2 for wrong usage).

    `MEDALIST_DEBUG=1` shows the whole traceback instead.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    try:
        return app(arguments)
    except KeyboardInterrupt:
        _fail("Stopped. Run the same command again (train: with --resume) to go on.", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, OSError, RuntimeError) as error:
        if os.environ.get("MEDALIST_DEBUG"):
            raise
        notes = getattr(error, "__notes__", [])
        _fail(" ".join(" ".join([str(error), *notes]).split()) or type(error).__name__, 1)


def _fail(message: str, code: int) -> None:
    print(message, file=sys.stderr)
    raise SystemExit(code)
