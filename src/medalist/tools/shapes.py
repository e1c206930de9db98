"""Writes JSON, and reads JSON written by this or another version of Medalist, with a one-line error if it differs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from .failures import megabytes, reading
from .files import replacing

Read = TypeVar("Read")


def json_object(path: Path, *, remedy: str, most: int | None = None) -> dict[str, Any]:
    """Read the object in a JSON file.

    Args:
        path: the file.
        remedy: a sentence that tells the user what to do if the file is invalid.
        most: the most bytes that such a file may have; None: any number.

    Raises:
        ValueError: the file is too large, not valid JSON, or does not contain an object.
    """
    if most is not None and path.stat().st_size > most:
        size = megabytes(path.stat().st_size)
        raise ValueError(f"{path} has {size}, and such a file has at most {megabytes(most)}. {remedy}")
    with reading(path, remedy):
        try:
            found = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse, parse_float=_finite)
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise
        except ValueError as error:  # from the functions below, or from Python for a number with thousands of digits
            cause = "a number has too many digits" if "digits" in str(error) else error
            raise ValueError(f"{path} is damaged or not what it should be ({cause}). {remedy}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} does not contain a JSON object. {remedy}")
    return found


def json_text(values: object) -> str:
    """Values as JSON for people to read: indented, with every letter as it is.

    Raises:
        ValueError: a number is not finite.
    """
    return json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False)


def write_object(path: Path, values: Mapping[str, object]) -> None:
    """Write a JSON file, whole or not at all.

    Raises:
        ValueError: a number is not finite.
    """
    with replacing(path) as file:
        file.write(json_text(values))


def appended_figures(path: Path) -> list[dict[str, Any]]:
    """Read a log to which JSON objects of numbers are appended, one per line and step; empty if it does not exist.

    A last line that was cut short by a kill is left out.

    Raises:
        ValueError: another line is not a JSON object, or one has no step or a value that is not a number.
    """
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    found: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        try:
            one = json.loads(line)
        except ValueError:
            if not any(map(bytes.strip, lines[number - 1 :])) or number == len(lines):
                break
            raise ValueError(f"{path}, line {number:,}: not JSON. Remove that line.") from None
        if not isinstance(one, dict):
            raise ValueError(f"{path}, line {number:,}: not a JSON object. Remove that line.")
        for key, value in {"step": None, **one}.items():
            if not isinstance(value, int | float) and (key, value) != ("epoch", None):
                raise ValueError(f"{path}, line {number:,}: {key[:40]} is not a number. Remove that line.")
        found.append(one)
    return found


def _refuse(constant: str) -> None:
    """Refuse NaN and infinities, which Python reads although JSON does not have them."""
    raise ValueError(f"{constant} is not a number of JSON")


def _finite(digits: str) -> float:
    """Refuse a number that Python rounds to infinity."""
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:20]} is too large for a number")
    return value


def checked(path: Path, shape: TypeAdapter[Read], found: object, *, remedy: str) -> Read:
    """Validate what was read from a file and return it unchanged, including key order and keys not in the schema.

    Raises:
        ValueError: the content does not match the schema.
    """
    try:
        shape.validate_json(json.dumps(found), strict=True)  # strict JSON validation accepts a list for a tuple
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ValueError(
            f"{path} does not have the format that this version of Medalist expects ({key}: {first['msg']}). {remedy}"
        ) from None
    return cast("Read", found)
