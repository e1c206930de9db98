"""Reads GLADIS (Chen et al. 2023): sentences with one naturally occurring acronym each, as JSON Lines of tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..passages import Mention, Passage
from ..rows import Quarantine, json_records

ENDINGS = (".json", ".json.gz")


def read_gladis(path: Path, quarantine: Quarantine) -> list[Passage]:
    """Read one `{"short_term", "long_term", "tokens"}` per line; join the tokens with spaces and mark the first use.

    Raises:
        ValueError: the file is damaged, or too many lines are malformed (`TooManyBadRows`).
    """
    found = []
    for line, record in json_records(path, quarantine):
        try:
            found.append(_passage(record, line))
        except (KeyError, TypeError, ValueError) as error:
            reason = f"missing field {error}" if isinstance(error, KeyError) else str(error)
            quarantine.add(path, line, reason)
    quarantine.check()
    return found


def _passage(record: dict[str, Any], line: int) -> Passage:
    short_form, long_form, tokens = record["short_term"], record["long_term"], record["tokens"]
    if not isinstance(tokens, list) or not all(isinstance(part, str) for part in (short_form, long_form, *tokens)):
        raise ValueError("short_term and long_term must be strings, tokens a list of strings")
    if short_form not in tokens:
        raise ValueError("short_term is not among the tokens")
    start = sum(len(token) + 1 for token in tokens[: tokens.index(short_form)])
    mention = Mention(start=start, end=start + len(short_form), short_form=short_form, long_form=long_form)
    return Passage(id=f"gladis-{line}", text=" ".join(tokens), mentions=(mention,), source="gladis")
