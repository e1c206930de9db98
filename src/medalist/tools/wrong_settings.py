"""Rephrases pydantic's errors about settings: which key, what is wrong, and what would have been valid."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

_SAID = {
    "model_type": "this is a section of keys, not a value",
    "tuple_type": "several values stand in a list, such as [a, b]",
    "list_type": "several values stand in a list, such as [a, b]",
    "dict_type": "this is a section of keys, not a value",
    "string_pattern_mismatch": "letters, digits, _, - and . are allowed, beginning with a letter, a digit or _",
}
"""Clearer wording than pydantic's own, by type of error."""


def in_words(error: Any, settings: type[BaseModel], origin: str) -> str:
    """Describe one mistake in one line.

    Args:
        error: one of a `ValidationError`'s errors.
        settings: the settings that were validated; each of their sections is a model too.
        origin: where the values come from, such as the name of their file.
    """
    key = ".".join(str(part) for part in error["loc"] if part != "[key]")
    match error["type"]:
        case "extra_forbidden":
            known = _known_keys(error["loc"][:-1], settings)
            close = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
            meant = ".".join(map(str, (*error["loc"][:-1], *close)))
            hint = f"Did you mean {meant}?" if close else f"Known: {', '.join(known)}."
            named = key if re.fullmatch(r"[\w.-]{1,60}", key) else "(not shown, since it may be text)"
            return f"Unknown key {named} in {origin}. {hint}"
        case "literal_error":
            shown = reprlib.repr(error["input"]).replace("'", '"')
            return f"Unknown value {shown} in {origin}, key {key}. Known: {error['ctx']['expected']}."
        case "value_error":
            return f"{origin}, key {key}: {error['ctx']['error']}" if key else f"{origin}: {error['ctx']['error']}"
    said = _SAID.get(error["type"], f"{error['msg'][0].lower()}{error['msg'][1:]}")
    return f"{origin}, key {key}: {said} (found {reprlib.repr(error['input'])})"


def _known_keys(location: Sequence[str | int], settings: type[BaseModel]) -> list[str]:
    for part in location:
        settings = settings.model_fields[str(part)].annotation  # type: ignore[assignment]  # sections nest by annotation
    return list(settings.model_fields)
