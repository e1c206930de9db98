"""Measures each model for the claims table: free answers, dangerous pairs, another kind of text and plain English.

This takes hours with a large model, so partial results are stored with the evaluation until the table is written. Only
figures and ids are stored; a free answer may repeat the note, so only its assessment is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter
from typing_extensions import TypedDict  # pydantic cannot check that of `typing` before Python 3.12

from ..data.embedded import probes
from ..data.inventory import Inventory
from ..data.items import Item
from ..data.passages import Passage
from ..evaluation.generation import Answer, declines, generate_answers, names_sense, share_of_answer, text_nll
from ..evaluation.metrics import Floats
from ..evaluation.predictions import Scores, score_texts
from ..models.load import LoadedModel
from ..tools.progress import say
from ..tools.shapes import checked, json_object, write_object
from .run import Run

NEW_TOKENS = 32
"""The longest free answer, in tokens; few long forms need more than a dozen."""
BEGUN_FILE = "claims-begun.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkedText:
    """Marked passages and their candidates."""

    passages: Sequence[Passage]
    inventory: Inventory


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """The assessment of a free answer, without its words."""

    right: float
    """1 if it is the true long form, else 0."""
    invented: float
    """1 if it contains no sense of the short form and does not decline, else 0."""
    share: float
    """The share of its words that is the answer."""
    words: float
    seconds: float

    @classmethod
    def of(cls, answer: Answer, item: Item) -> Judged:
        """Assess what a model wrote about a mention."""
        held = any(share_of_answer(answer.text, candidate) for candidate in item.candidates)
        return cls(
            right=float(names_sense(answer.text, [item.gold_answer])),
            invented=float(not declines(answer.text) and not held),
            share=share_of_answer(answer.text, item.gold_answer),
            words=float(len(answer.text.split())),
            seconds=answer.seconds,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """The results of one model."""

    answers: Sequence[Judged | None]
    """None: the mention does not fit into the model's window."""
    dangerous: Scores
    elsewhere: Scores
    english: Floats
    """``[texts]``, mean negative log-likelihood per token, in nats."""


class _Parts(TypedDict, total=False):
    """The partial results of one model; `answers` may be incomplete and is in the order of the mentions."""

    answers: list[tuple[float, float, float, float, float] | None]
    dangerous: list[tuple[str, int, list[float]]]
    elsewhere: list[tuple[str, int, list[float]]]
    english: list[float]


class _Begun(TypedDict):
    made_of: dict[str, object]
    models: dict[str, _Parts]


_BEGUN: TypeAdapter[_Begun] = TypeAdapter(_Begun)


class Begun:
    """The partial results for a table, stored on disk until the table is written.

    Args:
        folder: the evaluation's folder.
        made_of: everything that the results depend on; stored results for anything else are discarded.
    """

    def __init__(self, folder: Path, made_of: Mapping[str, object]) -> None:
        self._path, self._made_of = folder / BEGUN_FILE, dict(made_of)
        self._models: dict[str, _Parts] = {}
        if self._path.exists():
            try:
                found = checked(self._path, _BEGUN, json_object(self._path, remedy=""), remedy="")
            except ValueError as error:
                say(f"{str(error).strip()} All is measured again.")
            else:
                self._models = found["models"] if found["made_of"] == self._made_of else {}

    def of(self, name: str) -> _Parts:
        """The partial results of a model; `write` stores what is added to them."""
        return self._models.setdefault(name, {})

    def write(self) -> None:
        """Store the partial results."""
        write_object(self._path, {"made_of": self._made_of, "models": self._models})

    def remove(self) -> None:
        """Delete the partial results; call it once the table is written."""
        self._path.unlink(missing_ok=True)


def measure(
    load: Callable[[], LoadedModel],
    run: Run,
    asked: Sequence[Item],
    dangerous: MarkedText,
    elsewhere: MarkedText,
    name: str,
    begun: Begun,
) -> Measured:
    """Measure a model, except for results that are stored already; it is loaded only if something is missing.

    Args:
        load: loads the model.
        run: determines the wording of the questions.
        asked: the mentions for free answers.
        dangerous: the pairs of senses that must not be confused.
        elsewhere: another kind of text.
        name: the model's name in the run.
        begun: the stored partial results.
    """
    parts, loaded = begun.of(name), list[LoadedModel]()

    def model() -> LoadedModel:
        if not loaded:
            loaded.append(load())
        return loaded[0]

    def score(text: MarkedText, label: str) -> list[tuple[str, int, list[float]]]:
        prompt, nodes = run.recipe.prompt, run.recipe.evaluation.max_nodes
        found, _ = score_texts(
            model(), text.passages, text.inventory, prompt, max_nodes=nodes, label=f"{label}, {name}"
        )
        return [(*key, values.tolist()) for key, values in found.items()]

    if "english" not in parts:
        nll, counts = text_nll(model(), probes.general_english())
        parts["english"] = (np.array(nll) / np.array(counts)).tolist()
        begun.write()
    answers = parts.setdefault("answers", [])
    if len(answers) < len(asked):
        rest = asked[len(answers) :]
        label = f"Free answers, {name}"
        for item, answer in zip(
            rest, generate_answers(model(), rest, run.recipe.prompt, new_tokens=NEW_TOKENS, label=label), strict=True
        ):
            answers.append(None if answer is None else _numbers(Judged.of(answer, item)))
            begun.write()
    if "dangerous" not in parts:
        parts["dangerous"] = score(dangerous, "Dangerous pairs")
        begun.write()
    if "elsewhere" not in parts:
        parts["elsewhere"] = score(elsewhere, "Clinical notes")
        begun.write()
    return Measured(
        answers=[None if numbers is None else _judged(*numbers) for numbers in answers],
        dangerous=_scores(parts["dangerous"]),
        elsewhere=_scores(parts["elsewhere"]),
        english=np.array(parts["english"]),
    )


def _numbers(judged: Judged) -> tuple[float, float, float, float, float]:
    return judged.right, judged.invented, judged.share, judged.words, judged.seconds


def _judged(right: float, invented: float, share: float, words: float, seconds: float) -> Judged:
    return Judged(right=right, invented=invented, share=share, words=words, seconds=seconds)


def _scores(rows: Sequence[tuple[str, int, list[float]]]) -> Scores:
    return {(text, number): np.array(values) for text, number, values in rows}
