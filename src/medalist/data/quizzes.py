"""Texts with choice questions, such as PubMedQA's, and their Parquet format in a prepared folder.

A `Quiz` is to choice questions what a `Passage` is to short forms: `prompt.Encoder` builds token trees from both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..tools.files import replacing
from .passages import Passage
from .rows import readable_parquet
from .spelling import folded

_CHOICE = pa.struct(
    [("question", pa.string()), ("options", pa.list_(pa.string())), ("gold", pa.int64()), ("subject", pa.string())]
)
_SCHEMA = pa.schema(
    [("id", pa.string()), ("text", pa.string()), ("choices", pa.list_(_CHOICE)), ("source", pa.string())]
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """One question with a fixed set of answers, one of which is correct."""

    question: str
    """The question; empty if the text itself is the question."""
    options: tuple[str, ...]
    """At least two distinct answers."""
    gold: int
    """Index of the correct option."""
    subject: str = ""
    """The subject, if the file gives one."""

    def __post_init__(self) -> None:
        if len(self.options) < 2:
            raise ValueError("fewer than two options")
        if not all(option.strip() for option in self.options):
            raise ValueError("an option is empty")
        if len({folded(option) for option in self.options}) < len(self.options):
            raise ValueError("an option appears twice")
        assert 0 <= self.gold < len(self.options)


@dataclass(frozen=True, kw_only=True, slots=True)
class Quiz:
    """A text and choice questions about it; a question without a text serves as the text itself."""

    id: str
    text: str
    choices: tuple[Choice, ...]
    source: str = ""

    @property
    def num_questions(self) -> int:
        """Number of questions."""
        return len(self.choices)

    def record(self) -> dict[str, object]:
        """The quiz's content, for JSON."""
        return asdict(self)


Text = Passage | Quiz
"""A text with questions. Both types have an `id` that is unique per `source`, `text`, `num_questions` and `record`."""


def fixed_options(quizzes: Iterable[Quiz]) -> tuple[str, ...] | None:
    """The options, such as ("yes", "no", "maybe"), if every question has the same ones in the same order, else None."""
    found = {choice.options for quiz in quizzes for choice in quiz.choices}
    return found.pop() if len(found) == 1 else None


def write_quizzes(quizzes: Sequence[Quiz], path: Path) -> None:
    """Write Parquet, one row per text."""
    table = pa.Table.from_pylist([quiz.record() for quiz in quizzes], schema=_SCHEMA)
    with replacing(path, "wb") as file:
        pq.write_table(table, file, compression="zstd")


def read_quizzes(path: Path) -> list[Quiz]:
    """Read the Parquet written by `write_quizzes`.

    Raises:
        ValueError: the file is damaged.
    """
    with readable_parquet(path):
        rows = pq.read_table(path).to_pylist()
    return [
        Quiz(
            id=row["id"],
            text=row["text"],
            choices=tuple(Choice(**(choice | {"options": tuple(choice["options"])})) for choice in row["choices"]),
            source=row["source"],
        )
        for row in rows
    ]
