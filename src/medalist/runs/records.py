"""The schema of what a run's `recipe.yaml` records in addition to the recipe, and how to read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NotRequired

from pydantic import TypeAdapter
from typing_extensions import TypedDict  # pydantic cannot check that of `typing` before Python 3.12

from ..recipe import Recipe, RecipeError, load_recipe
from ..tools.shapes import checked
from ..tools.yaml_files import read_yaml


class BaseRecord(TypedDict):
    """The base that a run was tuned from; see `BaseIdentity`."""

    id: str
    revision: str | None
    source: str
    sha256: str


class DataRecord(TypedDict):
    """The data that a run was tuned on."""

    folder: str
    """Where it was prepared."""
    fingerprint: dict[str, str]
    """Split -> fingerprint of its passages."""


class ParentRecord(TypedDict):
    """What a run records about its parent."""

    name: str
    sha256: str
    """Hash of its weights."""
    sources: list[str]
    """The data sources that it and its own parents were trained on."""
    any_case: NotRequired[bool]
    """Whether it reads short forms in any case, as the reader and the runs tuned from it do."""


class TrainingRecord(TypedDict):
    """The part of a run's training record that is shown; `TrainingCounts` has all of it."""

    steps: int
    passages: int
    mentions: int
    best_checkpoint: str | None


class RunRecord(TypedDict):
    """What a run records about itself; unknown keys are kept unchanged."""

    base: BaseRecord
    data: DataRecord
    versions: dict[str, str]
    python: str
    machine: str
    dtype: str
    attention: str
    parent: NotRequired[ParentRecord]
    training: NotRequired[TrainingRecord]
    """Only for a run whose training has finished."""


_RECORD: TypeAdapter[RunRecord] = TypeAdapter(RunRecord)
_AGAIN = "Restore the file, or train the run again under another name."


def recorded_recipe(path: Path) -> tuple[Recipe, dict[str, Any]]:
    """A run's `recipe.yaml`: its recipe, and what the run recorded about itself.

    Raises:
        RecipeError: the file is missing or damaged, or is a recipe without the record of a run.
    """
    recipe = load_recipe(path)
    record = read_yaml(path).get("record")
    if record is None:
        raise RecipeError(f"{path} is a recipe, not the record of a run. {_AGAIN}")
    check_record(path, record)
    return recipe, record


def check_record(path: Path, record: object) -> None:
    """Refuse a record that lacks a required key, or has a value of another type.

    Raises:
        ValueError: a key is missing or invalid; the message names it.
    """
    checked(path, _RECORD, record, remedy=_AGAIN)
