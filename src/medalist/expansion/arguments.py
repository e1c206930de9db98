"""Checks what `Expander` is given from Python: its settings before a model is loaded, and texts before one is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from ..data.inventory import Inventory
from .where import is_gguf


def check_named(run: object, revision: object) -> None:
    """Refuse what names no model, and a revision of what has none; `find_run` looks at folders and Hub ids.

    Raises:
        TypeError: the run or the revision is not of a type that names one.
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
    """Refuse what is no probability; None is the default's.

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
    """Refuse what is neither True nor False; None is the default's.

    Raises:
        TypeError: one is something else, such as "no", which Python takes for true.
    """
    for name, value in switches.items():
        if not isinstance(value, bool | None):
            raise TypeError(f"{name} is True or False, not {_type(value)}")


def read_senses(inventory: Inventory | str | Path | None) -> Inventory | None:
    """The inventory that is given, or that is in the file that is; None for None.

    Raises:
        FileNotFoundError: there is no such file.
        TypeError: it is none of these.
        ValueError: the inventory is wrong or lists nothing; the message says where.
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
    """Refuse what is no number of texts.

    Raises:
        TypeError: it is not a whole number.
        ValueError: it is below 1.
    """
    if isinstance(size, bool) or not isinstance(size, int):
        raise TypeError(f"batch_size is a whole number, not {_type(size)}")
    if size < 1:
        raise ValueError(f"batch_size is {size}; it must be at least 1")


def each_text(texts: Iterable[Any], *, pairs: bool = False) -> Iterator[Any]:
    """What an iterable of texts holds, each looked at as it is read.

    Args:
        texts: the texts, or what should be.
        pairs: each is a pair of a text and anything.

    Raises:
        TypeError: it is no iterable of texts; or, as it is read, one is not a text or pair: the message says which.
    """
    table = hasattr(texts, "columns")  # a DataFrame gives the names of its columns, or the columns
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
