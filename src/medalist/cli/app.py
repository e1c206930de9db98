"""The command line: one function per verb, no logic. Whatever it can do, three lines of Python can.

A verb imports what it needs when it runs, so that `--help` is quick.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import __version__
from . import data, evaluate, expand, share, train
from .options import out
from .prepare import app as prepare_app

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


for verb in (*data.VERBS, *train.VERBS, *evaluate.VERBS, *expand.VERBS, *share.VERBS):
    app.command()(verb)


def _version(value: bool) -> None:
    if value:
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
