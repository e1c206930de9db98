"""Texts with choice questions about them, such as PubMedQA's, and the Parquet that a prepared folder keeps them in.

A `Quiz` is for a question what a `Passage` is for a short form: `prompt.Encoder` makes token trees of both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..tools.files import replacing
from .passages import Passage

_CHOICE = pa.struct(
    [("question", pa.string()), ("options", pa.list_(pa.string())), ("gold", pa.int64()), ("subject", pa.string())]
)
_SCHEMA = pa.schema(
    [("id", pa.string()), ("text", pa.string()), ("choices", pa.list_(_CHOICE)), ("source", pa.string())]
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """One question with a closed set of answers, of which one is right."""

    question: str
    """Empty where the text is itself the question."""
    options: tuple[str, ...]
    """At least two, all different."""
    gold: int
    """Index of the right one."""
    subject: str = ""
    """What it is about, if the file says."""

    def __post_init__(self) -> None:
        if len(self.options) < 2:
            raise ValueError("fewer than two options")
        if not all(option.strip() for option in self.options):
            raise ValueError("an option is empty")
        if len({option.casefold() for option in self.options}) < len(self.options):
            raise ValueError("an option stands twice")
        assert 0 <= self.gold < len(self.options)


@dataclass(frozen=True, kw_only=True, slots=True)
class Quiz:
    """A text and choice questions about it; a question that comes without a text is a text of its own."""

    id: str
    text: str
    choices: tuple[Choice, ...]
    source: str = ""

    @property
    def num_questions(self) -> int:
        """How many questions it holds."""
        return len(self.choices)

    def record(self) -> dict[str, object]:
        """Its content, for JSON."""
        return asdict(self)


Text = Passage | Quiz
"""What questions are about. Both have an `id`, unique within their `source`, a `text`, `num_questions` and a `record`."""


def fixed_options(quizzes: Iterable[Quiz]) -> tuple[str, ...] | None:
    """The options that every question offers, in the same order ("yes", "no", "maybe"); None where they differ."""
    found = {choice.options for quiz in quizzes for choice in quiz.choices}
    return found.pop() if len(found) == 1 else None


def write_quizzes(quizzes: Sequence[Quiz], path: Path) -> None:
    """Write Parquet, one row per text."""
    table = pa.Table.from_pylist([quiz.record() for quiz in quizzes], schema=_SCHEMA)
    with replacing(path, "wb") as file:
        pq.write_table(table, file, compression="zstd")


def read_quizzes(path: Path) -> list[Quiz]:
    """Read what `write_quizzes` wrote."""
    return [
        Quiz(
            id=row["id"],
            text=row["text"],
            choices=tuple(Choice(**(choice | {"options": tuple(choice["options"])})) for choice in row["choices"]),
            source=row["source"],
        )
        for row in pq.read_table(path).to_pylist()
    ]
