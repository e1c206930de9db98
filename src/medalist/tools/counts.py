"""Numbers with their nouns, in the singular or plural."""

from __future__ import annotations


def counted(count: int, one: str, several: str | None = None) -> str:
    """A number with what it counts: "1 passage", "2,000 passages".

    Args:
        count: the number.
        one: the noun, or a clause, for 1.
        several: the same for any other number; None: `one` with an s.
    """
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"
