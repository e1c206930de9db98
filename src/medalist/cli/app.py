"""The command line: one function per verb, without logic of its own. Three lines of Python can do the same.

A verb imports what it needs when it runs, so that `--help` is fast.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import os
import platform
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from .. import __version__
from ..tools.failures import FINISHED_IS_KEPT, in_one_line
from ..tools.progress import visible
from . import data, evaluate, expand, privacy, serve, share, train
from .help import Verb, Verbs
from .options import out
from .prepare import app as prepare_app

app = typer.Typer(
    name="medalist",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    cls=Verbs,
    help="Fine-tune Llama-family models to read medical abbreviations in context, and measure what was gained.\n\n"
    "First time? `medalist demo` runs the whole process on embedded data, without an account or a GPU.",
    epilog="Exit codes: 0 for success, 1 for an error, which one line explains, 2 for wrong usage, 130 if interrupted, "
    "143 if ended by SIGTERM. `MEDALIST_DEBUG=1` shows an error's traceback.",
)
_DATA = "Data"


@app.command(rich_help_panel="Start", cls=Verb)
def demo(
    output: Annotated[Path, typer.Option(help="Folder for runs.")] = Path("runs"),
) -> None:
    """Tune the embedded model on the embedded data and show the improvement, in 6 minutes on 2 cores.

    The result is the run folder runs/demo with its report, runs/demo/report.html. If interrupted, run it again to
    resume. Once finished, it shows the result again.

    Example:
        medalist demo
    """
    from .demo import run_demo

    run_demo(output, out)


_PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "Expand notes": (*expand.VERBS, *serve.VERBS),
    "Train": train.VERBS,
    "Measure": (*evaluate.VERBS, *privacy.VERBS),
    "Share": share.VERBS,
    _DATA: data.VERBS,
}
"""The verbs in the order of `--help`, by heading."""
for panel, found in _PANELS.items():
    for verb in found:
        app.command(rich_help_panel=panel, cls=Verb)(verb)
app.add_typer(prepare_app, rich_help_panel=_DATA)


def _version(value: bool) -> None:
    if value:
        for name, found in _versions().items():
            print(f"{name} {found}")
        raise typer.Exit


def _versions() -> dict[str, str]:
    """The versions that determine answers and figures, Medalist's first; the reader's are truncated hashes."""
    from ..data.embedded import reader

    adapter = hashlib.sha256((reader.ADAPTER / "adapter_model.safetensors").read_bytes()).hexdigest()
    found = {"medalist": __version__, "Python": platform.python_version()}
    for name in ("torch", "transformers", "tokenizers", "peft"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "is not installed"
    return found | {"reader": f"adapter {adapter[:12]}, data {reader.fingerprint()[:12]}"}


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the versions of what answers depend on.", callback=_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Handle the options before a verb."""


def verbs() -> list[str]:
    """List every verb, with a group's name before its own verbs: "train", "prepare", "prepare medal"."""
    names = [command.callback.__name__ for command in app.registered_commands if command.callback]
    for group in app.registered_groups:
        assert group.typer_instance is not None
        group_name = group.typer_instance.info.name
        names += [
            str(group_name),
            *(f"{group_name} {c.callback.__name__}" for c in group.typer_instance.registered_commands if c.callback),
        ]
    return names


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; a user error ends in one line and exit code 1 (2 for wrong usage).

    `MEDALIST_DEBUG=1` shows the full traceback instead.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a Windows console or a C locale cannot encode most characters
            stream.reconfigure(errors="backslashreplace")
    try:
        with _ended_by_signals():
            return app(arguments)
    except (KeyboardInterrupt, SystemExit) as end:
        stop = _interruption(end)
        if stop is None:
            raise
        kept = " ".join(getattr(stop, "__notes__", [])) or FINISHED_IS_KEPT
        _fail(f"Interrupted. {kept}", 128 + (stop.number if isinstance(stop, _Ended) else signal.SIGINT))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except BaseException as error:  # a panic in a library is not an `Exception`
        line = in_one_line(error)
        if line is None or os.environ.get("MEDALIST_DEBUG"):
            raise
        _fail(line, 1)


class _Ended(KeyboardInterrupt):
    """A signal other than SIGINT."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a command like Ctrl-C, so that nothing unfinished is left behind; a second one kills
    it.

    Signals that are ignored, as under `nohup`, stay ignored.
    """

    def end(number: int, _: object) -> NoReturn:
        signal.signal(number, signal.SIG_DFL)
        raise _Ended(number)

    numbers: list[int] = []
    if threading.current_thread() is threading.main_thread():
        known = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
        numbers = [number for number in known if signal.getsignal(number) == signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _interruption(end: BaseException | None) -> KeyboardInterrupt | None:
    """The Ctrl-C or other signal that ended a command; typer turns it into a silent `SystemExit`."""
    while end is not None and not isinstance(end, KeyboardInterrupt):
        end = end.__cause__ or end.__context__
    return end


def _fail(message: str, code: int) -> NoReturn:
    print(visible(message), file=sys.stderr)
    raise SystemExit(code)
