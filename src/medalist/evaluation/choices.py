"""Evaluates choice questions: PubMedQA's yes, no or maybe, or the options of an exam.

The results have the same structure as those for short forms, so the same tables and figures show them. Options are
ranked by the summed log-probability of their tokens. If all questions offer the same options, each label gets an F1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ..data.items import ChoiceItem, passage_numbers
from ..data.quizzes import Choice, Quiz, Text, fixed_options
from ..data.spelling import plain_words, spelt_out
from ..data.splits import shared_passages
from .metrics import (
    Bools,
    Floats,
    Integers,
    PassageBootstrap,
    compare_answerers,
    probability_figures,
    share_cell,
    softmax,
)
from .predictions import Scores
from .results import ChoiceFigures, ChoiceSummary, Label, LabelFigures
from .shares import FRESH

LEAST_OF_SUBJECT = 10
"""Minimum number of questions for a subject to get its own slice."""


def summarise_choices(
    items: Sequence[ChoiceItem], scores: dict[str, Scores], train: Sequence[Text], *, cut: int, resamples: int
) -> ChoiceSummary:
    """All figures of an evaluation on choice questions, as stored in `metrics.json`.

    Args:
        items: from `make_choice_items`; items that some model has no score for are left out and counted.
        scores: by the model's name: "base", "tuned" or both.
        train: the training texts, for baselines and for detecting shared texts; may be empty.
        cut: number of texts of which only the end fitted into the window.
        resamples: number of bootstrap resamples over texts.
    """
    scored = [item for item in items if all(item.key in found for found in scores.values())]
    if not scored:
        raise ValueError("No question fits the model, so there is nothing to measure")
    bootstrap = PassageBootstrap(passage_numbers(scored), resamples=resamples)
    texts = {item.quiz.id: item.quiz for item in items}
    labels = fixed_options(texts.values())
    leak = np.zeros(len(scored), dtype=bool) if labels else np.array([_leaks(item) for item in scored])
    shared = shared_passages(train, texts.values()) if train else None
    answers = {name: np.array([item.best(found[item.key]) for item in scored]) for name, found in scores.items()}
    trained = [choice for quiz in train if isinstance(quiz, Quiz) for choice in quiz.choices]
    constant = _constant_answers(scored, trained, labels)
    gold = np.array([item.gold for item in scored])
    correct: dict[str, Floats] = {name: (answer == gold).astype(float) for name, answer in (answers | constant).items()}
    if labels is None and leak.any():
        correct["copy, else first option"] = (_copied(scored) == gold).astype(float)
    correct["chance"] = np.array([1 / len(item.candidates) for item in scored])
    return {
        "kind": "choices",
        "counts": {
            "passages": len(texts),
            "mentions": len(items),
            "choice": len(scored),
            "dropped": len(items) - len(scored),
            "cut": cut,
            "passages_in_training_data": None if shared is None else len(shared),
        },
        "baselines": {
            name: {"accuracy": share_cell(bootstrap, right)} for name, right in correct.items() if name not in scores
        },
        "models": {
            name: _model_figures(scored, found, answers[name], answers[name] == gold, bootstrap, labels)
            for name, found in scores.items()
        },
        "slices": compare_answerers(bootstrap, correct, _slices(scored, None if labels else leak, shared)),
        "labels": _by_label(labels, gold, answers) if labels else None,
    }


def _leaks(item: ChoiceItem) -> bool:
    """Whether the right option is spelt out in the text or the question."""
    words = plain_words(f"{item.quiz.text} {item.choice.question}")
    return bool(spelt_out(words, [item.candidates[item.gold]]))


def _copied(items: Sequence[ChoiceItem]) -> Integers:
    """The first option that is spelt out in the text or the question, else the first option."""
    found = [spelt_out(plain_words(f"{item.quiz.text} {item.choice.question}"), item.candidates) for item in items]
    return np.array([options[0] if options else 0 for options in found])


def _constant_answers(
    items: Sequence[ChoiceItem], trained: Sequence[Choice], labels: tuple[str, ...] | None
) -> dict[str, Integers]:
    """Constant baselines: the most frequent answer to these questions, and to the training questions if comparable.

    The former is computed from the gold answers, so no constant answer can do better here. If options differ between
    questions, the answer is a fixed position among them.
    """
    counted = {"here": [item.choice for item in items]}
    if trained and (labels is None or all(choice.options == labels for choice in trained)):
        counted = {"in training": list(trained)} | counted
    what = "answer" if labels else "place"
    return {
        f"most frequent {what} {where}": np.full(len(items), Counter(c.gold for c in choices).most_common(1)[0][0])
        for where, choices in counted.items()
    }


def _model_figures(
    items: Sequence[ChoiceItem],
    found: Scores,
    answers: Integers,
    correct: Bools,
    bootstrap: PassageBootstrap,
    labels: tuple[str, ...] | None,
) -> ChoiceFigures:
    probabilities = [softmax(found[item.key]) for item in items]
    gold = [item.gold for item in items]
    confidence: Floats = np.array([p.max() for p in probabilities])
    accuracy, trust = share_cell(bootstrap, correct), probability_figures(probabilities, gold, confidence, correct)
    if labels is None:
        return {"accuracy": accuracy, **trust}  # type: ignore[typeddict-item]  # `trust` has no macro_f1
    macro_f1 = bootstrap.macro_f1(np.array(gold), answers, labels=len(labels)).record()
    return {"accuracy": accuracy, "macro_f1": macro_f1, **trust}


def _slices(items: Sequence[ChoiceItem], leak: Bools | None, shared: set[str] | None) -> dict[str, Bools]:
    slices = {"all": np.ones(len(items), dtype=bool)}
    if leak is not None:
        slices |= {"no leak": ~leak, "answer leak": leak}
    subjects = Counter(item.choice.subject for item in items if item.choice.subject)
    for subject, count in subjects.most_common():
        if count >= LEAST_OF_SUBJECT:
            slices[f"subject: {subject}"] = np.array([item.choice.subject == subject for item in items])
    if shared:
        slices[FRESH] = np.array([item.quiz.id not in shared for item in items])
    return slices


def _by_label(labels: Sequence[str], gold: Integers, answers: dict[str, Integers]) -> dict[str, Label]:
    """For each label, how often it is the gold, and how often each model gave it, how often correctly, with what F1."""
    table: dict[str, Label] = {}
    for number, label in enumerate(labels):
        count = int((gold == number).sum())
        by_model: dict[str, LabelFigures] = {}
        for name, answer in answers.items():
            answered, right = int((answer == number).sum()), int(((answer == number) & (gold == number)).sum())
            f1 = 2 * right / (answered + count) if answered + count else 0.0
            by_model[name] = {"answered": answered, "right": right, "f1": f1}
        table[label] = {"count": count, **by_model}  # type: ignore[typeddict-item]  # see `Label`
    return table
