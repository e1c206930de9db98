"""Reads users' own glossaries: tables of short forms and long forms, as hospitals keep them.

A header may call the two columns by any usual name (`SHORT_FORM_NAMES`, `LONG_FORM_NAMES`). A table without a header
is read only where its first row cannot be one: a header that is not understood is refused, never taken for an entry.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from typing import Any

from .letters import fits
from .rows import column_name, shown_names
from .tables import HEADER_AGAIN, NumberedRow, Table, read_table, repeats

GLOSSARY_COLUMNS = ("short_form", "long_form", "count", "concept")
SHORT_FORM_NAMES = "short_form, short, short name, abbreviation, abbrev, abbr, acronym, initialism, term, SF"
LONG_FORM_NAMES = (
    "long_form, long, long name, expansion, expanded form, full form, full name, full, meaning, definition, LF"
)
"""Names of the two columns; the first takes precedence. Case, a plural s and all but letters and figures do not count,
and a slash may join several: "Abbreviation(s)", "ACRONYM / ABBREVIATION"."""
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
    table = read_table(
        io.StringIO(text, newline=""), separator=separator, wanted=lambda names: _is_header(names) or _is_entry(names)
    )
    if not table.names:
        raise ValueError("it is empty; a glossary has the columns short_form and long_form")
    has_header, width = _is_header(table.names), len(table.names)
    places = _places(table) if has_header else range(len(GLOSSARY_COLUMNS))
    rows = table.rows if has_header else iter(_rows_without_header(table))
    for line, row in rows:
        if repeats(table.names, row) if has_header else _is_header(row):
            what = HEADER_AGAIN if has_header else "a header, which only the first line can be"
            raise ValueError(f"line {line:,}: {what}; remove it")
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


def _key(name: str) -> str:
    return "".join(filter(str.isalnum, name)).casefold().removesuffix("s")


_KNOWN = [[_key(name) for name in names.split(",")] for names in (SHORT_FORM_NAMES, LONG_FORM_NAMES)]


def _columns(names: Sequence[str], known: Sequence[str]) -> list[int]:
    """Indices of the columns whose names are in `known`; if its first name is among them, only the index of that."""
    first = [at for at, name in enumerate(names) if _key(name) == known[0]]
    return first or [at for at, name in enumerate(names) if all(_key(part) in known for part in name.split("/"))]


def _is_header(names: Sequence[str]) -> bool:
    return all(_columns(names, known) for known in _KNOWN)


def _places(table: Table) -> list[int]:
    """Column indices of short form, long form, count and concept; past the last column if one is missing."""
    names = list(map(column_name, table.names))
    found = [_columns(table.names, known) for known in _KNOWN]
    found += [[at for at, name in enumerate(names) if name == one] for one in GLOSSARY_COLUMNS[2:]]
    for one, at in zip(GLOSSARY_COLUMNS, found, strict=True):
        if len(at) > 1 and _key(names[at[0]]) == _key(one):
            raise ValueError(f"line {table.line:,}: there are two columns {one}; remove one")
        if len(at) > 1:
            several = " and ".join(table.names[number].strip() for number in at)
            raise ValueError(
                f"line {table.line:,}: {several} may each be the {one.replace('_', ' ')}; call the right one {one}"
            )
    return [at[0] if at else len(names) for at in found]


def _rows_without_header(table: Table) -> list[NumberedRow]:
    """The rows of a table whose first row, read as its header, is an entry, as most of the others are.

    Raises:
        ValueError: it may be a header.
    """
    rows = [(table.line, table.names), *table.rows] if _is_entry(table.names) else []
    if 2 * sum(len(row) > 1 and fits(row[0].strip(), row[1]) for _, row in rows) <= len(rows):
        found = shown_names([name.strip() for name in table.names])
        short, long = (names.replace(", ", " (or ", 1) + ")" for names in (SHORT_FORM_NAMES, LONG_FORM_NAMES))
        raise ValueError(
            f"line {table.line:,}: columns are {found}; a glossary's first line names {short} and {long}. If it is an "
            "entry already, write a line with short_form and long_form above it"
        )
    return rows


def _is_entry(names: Sequence[str]) -> bool:
    """Whether a row can only be an entry: two cells, and the letters of the first occur in order in the second."""
    if len(names) != 2 or any(_columns(names, known) for known in _KNOWN):
        return False
    short_form, long_form = map(str.strip, names)
    if not re.fullmatch(r"[^\s,;|]{2,10}", short_form) or "\n" in long_form or "\r" in long_form:
        return False
    return sum(letter.isupper() or letter.isdigit() for letter in short_form) > 1 and fits(short_form, long_form)


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
