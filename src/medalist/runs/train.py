"""Trains a run: from a recipe to a run folder with a tuned model."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import torch

from ..data.inventory import Inventory
from ..data.splits import Split
from ..models.base import identity_record
from ..models.limits import check_range_of
from ..models.load import load_base
from ..models.precision import compute_device
from ..recipe import Recipe, RecipeError, dump_recipe, load_recipe
from ..tools.counts import counted
from ..tools.locks import alone_in
from ..tools.progress import say
from ..training.ranks import together
from ..trees.decisions import CALIBRATION_FILE
from . import parents
from .card import write_card
from .prepare import prepare
from .reader_run import is_reader
from .run import Run, is_run, load_run_base, load_tuned, open_run, use_threads, write_recipe

_VERSIONED = ("medalist", "torch", "transformers", "peft", "accelerate", "tokenizers", "numpy")


def start_run(recipe: Recipe, *, whole: bool = True) -> Run:
    """Prepare the data and create the run folder, ready to be evaluated and trained; or open it if it already exists.

    Args:
        recipe: everything that determines the run.
        whole: if False, the base is not loaded whole onto a device, where it might not fit.

    Raises:
        RecipeError: the folder belongs to a run with a different recipe.
        ValueError: data or model are invalid; see `prepare`, `load_base`.
    """
    with alone_in(recipe.folder):
        if is_run(recipe.folder):
            _check_same(recipe, load_recipe(recipe.folder / "recipe.yaml"), recipe.folder)
            return open_run(recipe.folder)
        return _new_run(recipe, whole=whole)


def _new_run(recipe: Recipe, *, whole: bool) -> Run:
    folder = recipe.folder
    use_threads(recipe)
    parent = parents.parent_run(recipe)
    prepared = prepare(recipe)
    say(_split_in_words(recipe, prepared.account["passages"]))
    if (left_out := prepared.left_out()) is not None:
        say(left_out)
    settings = recipe.model
    base = load_base(
        settings.base,
        revision=settings.revision,
        dtype=settings.dtype,
        quantization=settings.quantization,
        attention=settings.attention,
        place=whole,
    )
    check_range_of(recipe, base)
    taught = [*prepared.passages("train"), *(passage for texts, _ in prepared.beside() for passage in texts)]
    trained = Inventory.mined(taught, "training split")
    if not trained and recipe.data.source != "choices":
        raise ValueError(
            f"No passage is left to train on, of {sum(prepared.account['passages'].values()):,} with a marked short "
            "form: lower data.validation, data.test or data.hold_out_share, or give more passages"
        )
    if parent is not None:
        parents.check_base(parent, base.identity)
        trained = parents.senses_as_listed([parent.trained, trained], prepared.inventory)
    record = {
        "base": identity_record(base.identity),
        "data": {"folder": str(prepared.folder), "fingerprint": prepared.account["fingerprint"]},
        "versions": {name: importlib.metadata.version(name) for name in _VERSIONED},
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, threads: {torch.get_num_threads()}, {compute_device().type}",
        "dtype": str(base.model.dtype).removeprefix("torch."),
        "quantization": base.quantization,
        "attention": base.attention,
        "git_revision": _git_revision(),
    }
    if parent is not None:
        record["parent"] = parents.parent_record(parent) | {
            "replayed": prepared.account.get("replay", {"passages": 0})["passages"]  # not there for choice questions
        }
    try:
        if recipe.data.source != "choices":
            prepared.inventory.write(folder / "inventory.csv")
            trained.write(folder / "trained_senses.csv")
        if parent is not None and parent.calibration is not None and is_reader(parent):
            # Used until there is enough validation data for its own; the parent's glance would ignore new usage.
            parent.calibration.without_glance().write(folder / CALIBRATION_FILE)
        write_recipe(folder, recipe, record)
    except BaseException:
        _remove_begun(folder)
        raise
    return open_run(folder)


def _split_in_words(recipe: Recipe, counts: Mapping[Split, int]) -> str:
    """How the data is divided: "7 notes to train on, 2 for validation, 1 for the test"."""
    noun = {"table": "note", "choices": "text"}.get(recipe.data.source, "passage")
    taught = counted(counts["train"], noun)
    return f"{taught} to train on, {counts['validation']:,} for validation, {counts['test']:,} for the test"


def train(recipe: Recipe, *, parent: Path | str | Run | None = None, resume: bool = False) -> Run:
    """Prepare the data, tune the base, and write a run folder.

    If a launcher starts several processes that all call this, they train together; see `ranks`. The run's folder and
    the prepared data must then be on storage that all machines share.

    Args:
        recipe: everything that determines the run.
        parent: a trained run whose weights to start from, instead of the recipe's `model.parent`; see also
            `parents.further_recipe`.
        resume: resume an existing run of the same recipe from its last complete checkpoint.

    Raises:
        FileExistsError: the run already exists and `resume` is not set.
        RecipeError: the existing run was started with a different recipe.
        ValueError: data or model are invalid; see `prepare`, `load_base`, `tune`.
    """
    from ..training.batches import Lesson
    from ..training.tune import TrainingCounts, TuningData, tune  # slow to import: transformers' Trainer

    if parent is not None:
        recipe = parents.with_parent(recipe, parent.folder if isinstance(parent, Run) else parent)
    with together() as ranks, alone_in(recipe.folder) if ranks.first else nullcontext():
        whole = ranks.size == 1 or recipe.training.parallel == "ddp"
        new = not is_run(recipe.folder)
        if ranks.first:
            _begin(recipe, resume=resume, whole=whole)
        ranks.wait_for_first()
        run = open_run(recipe.folder)
        if run.tuned is not None and "training" in run.record:
            if ranks.first and not (run.tuned / "README.md").exists():  # killed between weights and card
                write_card(run)
            return run
        use_threads(recipe)
        prepared = prepare(recipe)
        before = parents.parent_run(recipe)
        all_weights = before is not None and recipe.training.method == "full"
        base = load_tuned(before) if before is not None and all_weights else load_run_base(run, place=whole)

        def record(counts: TrainingCounts) -> None:
            write_recipe(run.folder, recipe, run.record | {"attention": base.attention, "training": counts})

        with _what_is_left(run.folder, new=new and ranks.first):
            data = TuningData(
                train=[*prepared.texts("train"), *prepared.replayed()],
                validation=prepared.texts("validation"),
                inventory=prepared.inventory,
                beside=[Lesson(texts=texts, inventory=inventory) for texts, inventory in prepared.beside()],
            )
            tune(
                base,
                recipe,
                data,
                run.folder,
                record=record,
                resume=resume,
                ranks=ranks,
                start=None if before is None or all_weights else before.tuned,
            )
            if ranks.first:
                write_card(open_run(run.folder))
        ranks.wait_for_first()
        return open_run(run.folder)


@contextmanager
def _what_is_left(folder: Path, *, new: bool) -> Iterator[None]:
    """Say what remains of a stopped run; a new one that fails before its first checkpoint leaves nothing."""
    from ..training.checkpoints import last_checkpoint  # slow to import: transformers' Trainer
    from ..training.trainer import NonFiniteError

    try:
        yield
    except (KeyboardInterrupt, OSError) as stop:
        last = last_checkpoint(folder)
        if isinstance(stop, OSError) and new and last is None and open_run(folder).tuned is None:
            _remove_begun(folder)
        else:
            kept = f"{last} is kept" if last else "No checkpoint was saved yet"
            stop.add_note(f"{kept}: run the same command with --resume to go on from there.")
        raise
    except (ValueError, NonFiniteError):
        if new and last_checkpoint(folder) is None:
            _remove_begun(folder)
        raise


_BEGUN = ("recipe.yaml", "inventory.csv", "trained_senses.csv", CALIBRATION_FILE, "log.jsonl")
"""The content of a run's folder before its first checkpoint."""


def _remove_begun(folder: Path) -> None:
    """Remove the files that this process has just created, so that the name is free; any others stay."""
    for name in _BEGUN:
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):  # other files are there
        folder.rmdir()


def _begin(recipe: Recipe, *, resume: bool, whole: bool) -> None:
    """Everything that precedes training, done by one process on behalf of all."""
    if is_run(recipe.folder) and not resume:
        raise FileExistsError(f"{recipe.folder} exists: resume it with --resume, or set name=... to start a new run.")
    run = start_run(recipe, whole=whole)
    if run.tuned is None and prepare(recipe).account["fingerprint"] != run.record["data"]["fingerprint"]:
        raise ValueError(f"The data of {run.folder} has changed since it was started; set name=... for a new run.")
    if (before := parents.parent_run(recipe)) is not None:
        parents.check_same(run, before)


def _check_same(recipe: Recipe, recorded: Recipe, folder: Path) -> None:
    mine, theirs = dump_recipe(recipe), dump_recipe(recorded)
    different = sorted(_flat(mine).items() ^ _flat(theirs).items())
    different = [item for item in different if item[0] != "training.parallel"]  # which does not affect results
    if different:
        raise RecipeError(
            f"{folder} was started with a different recipe: {different[0][0]} differs. Resume with its own "
            "recipe.yaml, or set name=... for a new run."
        )


def _flat(values: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: repr(value)}
    return flat


def _git_revision() -> str | None:
    """The git revision of the checkout that the code runs from; None if it was installed from a wheel."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
