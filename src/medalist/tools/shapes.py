"""JSON that this or another version of Medalist wrote: read back, and refused in one line if it has another shape."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

Read = TypeVar("Read")


def json_object(path: Path, *, remedy: str) -> dict[str, Any]:
    """The object in a JSON file.

    Args:
        path: of the file.
        remedy: what the user should do if it is none; a sentence.

    Raises:
        ValueError: the file is no JSON, or holds no object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # no JSON, or not UTF-8
        raise ValueError(f"{path} is no JSON ({error}). {remedy}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no JSON object. {remedy}")
    return found


def checked(path: Path, shape: TypeAdapter[Read], found: object, *, remedy: str) -> Read:
    """What was read from a file, left as it is, with the order of its keys and those that the shape does not name.

    Raises:
        ValueError: it is of another shape.
    """
    try:
        shape.validate_json(json.dumps(found), strict=True)  # in which a list may be a tuple
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ValueError(
            f"{path} is not of the shape that this version of Medalist reads ({key}: {first['msg']}). {remedy}"
        ) from None
    return cast("Read", found)
