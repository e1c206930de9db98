"""Reads users' own glossaries: tables of short forms and long forms."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from typing import Any

from .rows import column_name, shown_names
from .tables import read_table

GLOSSARY_COLUMNS = ("short_form", "long_form", "count", "concept")
MOST_COUNT = 10**12

Entry = tuple[str, str, int, str | None]
"""Short form, long form, count (0 if unknown), concept."""


def glossary_rows(text: str, separator: str) -> Iterator[Entry]:
    """Yield the entries of a glossary, in the order listed. Every short form needs a long form.

    Args:
        text: the table.
        separator: the preferred separator.

    Raises:
        ValueError: the columns are not those of a glossary, or a row is malformed; the message says which.
    """
    table = read_table(io.StringIO(text, newline=""), separator=separator, wanted=_is_header)
    if not table.names:
        raise ValueError("it is empty; a glossary has the columns short_form and long_form")
    if not _is_header(table.names):
        found = shown_names([name.strip() for name in table.names])
        raise ValueError(
            f"columns are {found}; a glossary's first line names short_form, long_form and, if known, count and concept"
        )
    columns = [column_name(name) for name in table.names]
    if twice := next((name for name in GLOSSARY_COLUMNS if columns.count(name) > 1), None):
        raise ValueError(f"line {table.line:,}: there are two columns {twice}; remove one")
    width = len(columns)
    places = [columns.index(name) if name in columns else width for name in GLOSSARY_COLUMNS]
    for line, row in table.rows:
        if len(row) > width:  # probably an unquoted comma
            mark = {",": "comma", "\t": "tab", ";": "semicolon"}.get(table.separator, table.separator)
            raise ValueError(
                f"line {line:,}: more than {width} columns; put quotation marks around a cell with a {mark}, or name "
                "every column"
            )
        short_form, long_form, count, concept = (row[at] if at < len(row) else "" for at in places)
        if short_form.strip() and long_form.strip():
            yield short_form, long_form, count_of(count, f"line {line:,}"), concept or None
        elif short_form.strip() or long_form.strip():
            raise ValueError(f"line {line:,}: no {'long_form' if short_form.strip() else 'short_form'}")


def _is_header(names: Sequence[str]) -> bool:
    return set(GLOSSARY_COLUMNS[:2]) <= set(map(column_name, names))


def count_of(value: Any, place: str) -> int:
    """A count as whole number, 0 if there is none; `place` is where it stands.

    Raises:
        ValueError: it is not a whole number, or is out of range.
    """
    try:
        whole = re.sub(r"\.0*$", "", value) if isinstance(value, str) else value  # pandas writes 3.0
        count = int(whole or 0)
        if isinstance(value, bool) or (isinstance(value, float) and count != value):
            raise ValueError
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f"{place}: its count is not a whole number") from None
    if not 0 <= count <= MOST_COUNT:
        raise ValueError(f"{place}: its count is not between 0 and {MOST_COUNT:,}")
    return count
