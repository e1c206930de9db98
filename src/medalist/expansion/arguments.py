"""Checks the arguments of `Expander`: the settings before a model is loaded, each text before it is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from ..data.inventory import Inventory
from .where import is_gguf


def check_named(run: object, revision: object) -> None:
    """Check the type of a run's name, and that a revision is given only for a Hub id. `find_run` checks the rest.

    Raises:
        TypeError: the run or the revision has another type.
        ValueError: the run's name is empty, or a revision is given for the reader or a GGUF file.
    """
    if not isinstance(run, str | Path | None):
        raise TypeError(f"A run is named by a folder, a Hub id or a GGUF file, as text or a path, not {_type(run)}")
    if run == "":
        raise ValueError("The run's name is empty: leave it out for the reader that comes with Medalist")
    if not isinstance(revision, str | None):
        raise TypeError(f"revision is a branch, tag or commit, as text, not {_type(revision)}")
    if revision is not None and (run is None or is_gguf(run)):
        what = "the reader that comes with Medalist" if run is None else f"{run}, a GGUF file,"
        raise ValueError(f"revision is {revision}, but {what} has none: it belongs to a Hub id")


def check_probability(value: object) -> None:
    """Check that a value is a probability, or None for the default.

    Raises:
        TypeError: it is not a number.
        ValueError: it is not between 0 and 1.
    """
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"min_probability is a number between 0 and 1, not {_type(value)}")
    if not 0 <= value <= 1:
        raise ValueError(f"min_probability is {value:g}; it must be between 0 and 1")


def check_switches(**switches: object) -> None:
    """Check that each value is True, False, or None for the default.

    Raises:
        TypeError: a value is something else, such as "no", which Python would treat as true.
    """
    for name, value in switches.items():
        if not isinstance(value, bool | None):
            raise TypeError(f"{name} is True or False, not {_type(value)}")


def read_senses(inventory: Inventory | str | Path | None) -> Inventory | None:
    """The given inventory, read first if it is a file; None if none is given.

    Raises:
        FileNotFoundError: there is no such file.
        TypeError: it is neither a file nor an inventory.
        ValueError: the inventory is malformed or empty; the message says where.
    """
    if isinstance(inventory, str | Path):
        if not str(inventory):
            raise ValueError("The inventory's file name is empty: name a file")
        return Inventory.read(inventory)
    if isinstance(inventory, Inventory):
        inventory.check("The inventory")
    elif inventory is not None:
        raise TypeError(f"An inventory is a file or an Inventory, not {_type(inventory)}")
    return inventory


def check_batch_size(size: object) -> None:
    """Check that a batch size is a positive whole number.

    Raises:
        TypeError: it is not a whole number.
        ValueError: it is below 1.
    """
    if isinstance(size, bool) or not isinstance(size, int):
        raise TypeError(f"batch_size is a whole number, not {_type(size)}")
    if size < 1:
        raise ValueError(f"batch_size is {size}; it must be at least 1")


def each_text(texts: Iterable[Any], *, pairs: bool = False) -> Iterator[Any]:
    """Yield the texts of an iterable, each checked as it is read.

    Args:
        texts: the texts.
        pairs: each is a pair of a text and any value.

    Raises:
        TypeError: it is not an iterable of texts; or an item, as it is read, is not a text or a pair: the message says
            which.
    """
    table = hasattr(texts, "columns")  # iterating over a DataFrame yields column names or columns
    if isinstance(texts, str | bytes | bytearray | Mapping | PathLike) or table or not isinstance(texts, Iterable):
        hint = ": give the column that holds them" if table else ""
        raise TypeError(f"A text is a str, and several are an iterable of them, not {_type(texts)}{hint}")
    return _each(texts, pairs)


def _each(texts: Iterable[Any], pairs: bool) -> Iterator[Any]:
    for number, one in enumerate(texts, 1):
        if pairs and not (isinstance(one, Sequence) and not isinstance(one, str) and len(one) == 2):
            raise TypeError(f"Text {number:,} is of type {_type(one)}, not a pair of a text and its context")
        text = one[0] if pairs else one
        if not isinstance(text, str):
            raise TypeError(f"Text {number:,} is of type {_type(text)}, not str")
        yield one


def _type(value: object) -> str:
    return type(value).__name__
