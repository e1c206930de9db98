"""Evaluates marked short forms: figures by slice, with baselines and intervals. For choice questions, see `choices`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..data.inventory import Inventory
from ..data.items import Item, passage_numbers
from ..data.passages import Passage
from ..data.quizzes import Quiz, Text
from ..data.spelling import WordsOf, equivalence_key
from ..data.splits import shared_passages
from ..trees.decisions import Calibration
from ..trees.windows import Window
from .baselines import BagOfWords, copy_else_majority, inventory_baselines, majority
from .calibration import make_cases
from .metrics import (
    Bools,
    Floats,
    Integers,
    PassageBootstrap,
    compare_answerers,
    macro_accuracy,
    probability_figures,
    share_cell,
    softmax,
)
from .offers import calibrated_figures
from .predictions import Scores
from .reading import decided, with_scores
from .results import Abstention, Confusion, ShortFormCounts, ShortFormFigures, ShortFormSummary
from .shares import FRESH, Slice

_MOST_CONFUSIONS = 20
"""Maximum number of pairs of long forms that the metrics keep for each model."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Knowledge:
    """What is known about the training data, for baselines and slices; any of it may be missing."""

    trained: Inventory | None = None
    """Sense counts of the training mentions."""
    train: Sequence[Passage] | None = None
    """The training passages themselves."""
    quizzes: Sequence[Quiz] | None = None
    """The training questions of a model that was tuned on choice questions."""

    @property
    def texts(self) -> list[Text]:
        """All texts of the training data."""
        return [*(self.train or ()), *(self.quizzes or ())]


def summarise(
    items: Sequence[Item],
    scores: dict[str, Scores],
    inventory: Inventory,
    knowledge: Knowledge,
    *,
    resamples: int,
    calibration: Calibration | None = None,
    rest: Scores | None = None,
    windows: Callable[[str], Sequence[Window]] | None = None,
) -> ShortFormSummary:
    """All figures of an evaluation on short forms, as stored in `metrics.json`.

    Args:
        items: from `make_items`; items that some model has no score for are left out and counted.
        scores: by the model's name: "base", "tuned", and "parent" for a run that was tuned further, as far as known.
        inventory: the candidates, with counts if it has any.
        knowledge: what is known about the training data.
        resamples: number of bootstrap resamples over passages.
        calibration: the tuned model's, if it has one.
        rest: the tuned model's scores for mentions that the calibration's glance does not settle, from texts with the
            settled ones written out, if it has a glance; used only for the calibrated answers.
        windows: returns the windows in which a text is read, for the topic in the calibrated answers; None: each text
            is read as a whole.
    """
    scored = [item for item in items if all(item.key in found for found in scores.values())]
    choice = [item for item in scored if item.kind == "choice"]
    if not choice:
        raise ValueError("No mention has a listed gold answer and a second candidate, so there is nothing to measure")
    bootstrap = PassageBootstrap(passage_numbers(choice), resamples=resamples)
    answers = {name: _answers(choice, found) for name, found in scores.items()}
    gold = np.array([item.gold for item in choice])
    right = {name: np.asarray(answer == gold) for name, answer in answers.items()}
    baselines = inventory_baselines(choice, inventory) | {
        name: (answer == gold).astype(float) for name, answer in _baseline_answers(choice, inventory, knowledge).items()
    }
    correct = {name: answer.astype(float) for name, answer in right.items()} | baselines
    summary: ShortFormSummary = {
        "kind": "short forms",
        "counts": _counts(items, scored, knowledge),
        "baselines": {name: {"accuracy": share_cell(bootstrap, values)} for name, values in baselines.items()},
        "models": {
            name: _model_figures(choice, scores[name], answers[name], right[name], bootstrap) for name in scores
        },
        "slices": compare_answerers(bootstrap, correct, _slices(choice, knowledge)),
        "expansion": _expansion(scored, scores, inventory, knowledge, resamples=resamples),
        "short_forms": _by_short_form(choice, right),
        "confusions": {name: _confusions(choice, answers[name]) for name in scores},
    }
    if calibration is not None and "tuned" in scores:
        cases = with_scores(make_cases(scored, scores["tuned"], inventory, windows), rest or {})
        summary["calibrated"] = calibrated_figures(
            cases,
            decided(cases, calibration),
            calibration,
            among_listed=baselines,
            always=_always([case.item for case in cases], inventory, knowledge),
            resamples=resamples,
        )
    return summary


def _answers(items: Sequence[Item], found: Scores) -> Integers:
    """The best listed candidate of each item, ignoring the null candidate."""
    return np.array([item.best(found[item.key]) for item in items])


def _baseline_answers(items: Sequence[Item], inventory: Inventory, knowledge: Knowledge) -> dict[str, Integers]:
    """Answers of the baselines that read the text or know the training data, by name."""
    texts = {id(item.passage): WordsOf(item.passage.text) for item in items}
    words = [texts[id(item.passage)].without(item.mention.start, item.mention.end) for item in items]

    def copied(*counts: Inventory) -> Integers:
        pairs = zip(items, words, strict=True)
        return np.array([copy_else_majority(text, i.mention.short_form, i.candidates, *counts) for i, text in pairs])

    answers: dict[str, Integers] = {}
    if knowledge.trained is not None:
        counts = knowledge.trained, inventory
        fallback = np.array([majority(item.mention.short_form, item.candidates, *counts) for item in items])
        answers["majority (training counts)"] = fallback
        answers["copy, else majority (training counts)"] = copied(*counts)
    if inventory.has_counts:
        answers["copy, else prior alone"] = copied(inventory)
    elif knowledge.trained is None:
        answers["copy, else first listed sense"] = copied(inventory)
    if knowledge.train and knowledge.trained is not None:
        bag = BagOfWords(knowledge.train, {item.mention.short_form for item in items})
        found = [bag.answer(item.passage, item.mention, item.candidates) for item in items]
        answers["bag of words, else majority"] = np.array(
            [default if answer is None else answer for answer, default in zip(found, fallback, strict=True)]
        )
    return answers


def _counts(items: Sequence[Item], scored: Sequence[Item], knowledge: Knowledge) -> ShortFormCounts:
    kinds = [item.kind for item in scored]
    passages = {item.passage.id: item.passage for item in items}
    shared = shared_passages(knowledge.texts, passages.values()) if knowledge.texts else None
    return {
        "passages": len(passages),
        "mentions": len(items),
        "choice": kinds.count("choice"),
        "single": kinds.count("single"),
        "absent": kinds.count("absent"),
        "unlisted": kinds.count("unlisted"),
        "distractor": kinds.count("distractor"),
        "dropped": len(items) - len(scored),
        "passages_in_training_data": None if shared is None else len(shared),
    }


def _model_figures(
    choice: Sequence[Item],
    found: Scores,
    answers: Integers,
    correct: Bools,
    bootstrap: PassageBootstrap,
) -> ShortFormFigures:
    lenient = np.array(
        [
            equivalence_key(item.candidates[answer]) == equivalence_key(item.gold_answer)
            for item, answer in zip(choice, answers, strict=True)
        ]
    )
    gold = [item.listed_gold for item in choice]
    listed = [softmax(found[item.key][:-1]) for item in choice]
    offered = [softmax(found[item.key]) for item in choice]
    confidence = np.array([p[:-1].max() for p in offered])
    return {
        "accuracy": share_cell(bootstrap, correct),
        "macro_accuracy": macro_accuracy(correct, [item.mention.short_form for item in choice]),
        "lenient_accuracy": share_cell(bootstrap, lenient),
        **probability_figures(listed, gold, confidence, correct),
        "abstention": _abstention(choice, found, correct, bootstrap),
    }


def _abstention(choice: Sequence[Item], found: Scores, correct: Bools, bootstrap: PassageBootstrap) -> Abstention:
    """Figures for when the null candidate may win."""
    answered = np.array([found[item.key][:-1].max() > found[item.key][-1] for item in choice])
    hidden = np.array([item.declined_without_gold(found[item.key]) for item in choice])
    right_when_answered = bootstrap.share(correct, answered)
    return {
        "answered": share_cell(bootstrap, answered),
        "accuracy_when_answered": right_when_answered.record() if right_when_answered else None,
        "abstained_when_gold_hidden": share_cell(bootstrap, hidden),
    }


def _expansion(
    scored: Sequence[Item], scores: dict[str, Scores], inventory: Inventory, knowledge: Knowledge, *, resamples: int
) -> dict[str, Slice]:
    """Accuracy as of an expander: a listed gold is right, and otherwise "none of these".

    The null candidate always competes here, and short forms with a single listed sense count too. A short form that no
    inventory lists would not be found in a text, so it does not count. The baselines always expand: to the first listed
    sense, or to the most frequent one by the inventory's counts or by those of the training data ("majority").
    """
    items = [item for item in scored if item.candidates]
    bootstrap = PassageBootstrap(passage_numbers(items), resamples=resamples)
    wanted = np.array([len(item.candidates) if item.gold is None else item.gold for item in items])
    right: dict[str, Floats] = {
        name: (np.array([int(found[i.key].argmax()) for i in items]) == wanted).astype(float)
        for name, found in scores.items()
    }
    right |= _always(items, inventory, knowledge)
    kinds = np.array([item.kind for item in items])
    slices = {
        "all": np.ones(len(items), dtype=bool),
        "sense listed": (kinds == "choice") | (kinds == "single"),
        "sense not listed": kinds == "absent",
        "no short form": kinds == "distractor",
    }
    return compare_answerers(bootstrap, right, slices)


def _always(items: Sequence[Item], inventory: Inventory, knowledge: Knowledge) -> dict[str, Floats]:
    """The baselines that always expand: name -> correctness on each item."""
    right = inventory_baselines(items, inventory)
    if knowledge.trained is not None:
        counts = knowledge.trained, inventory
        usual = [majority(item.mention.short_form, item.candidates, *counts) for item in items]
        right["majority"] = np.array([n == item.gold for n, item in zip(usual, items, strict=True)], dtype=float)
    return right


def _slices(items: Sequence[Item], knowledge: Knowledge) -> dict[str, Bools]:
    leak = np.array([item.leak for item in items])
    words = np.array([len(item.mention.long_form.split()) if item.mention.long_form else 0 for item in items])
    slices = {
        "all": np.ones(len(items), dtype=bool),
        "no leak": ~leak,
        "answer leak": leak,
        "one word": words == 1,
        "several words": words > 1,
    }
    if knowledge.trained is not None:
        trained = knowledge.trained
        seen = np.array([trained.count(i.mention.short_form, i.mention.long_form or "") > 0 for i in items])
        known = np.array([i.mention.short_form in trained.senses for i in items])
        slices |= {
            "sense seen in training": seen,
            "sense unseen": ~seen,
            "short form seen in training": known,
            "short form unseen": ~known,
            "no leak, sense seen": ~leak & seen,
        }
    if knowledge.texts:
        shared = shared_passages(knowledge.texts, {item.passage.id: item.passage for item in items}.values())
        fresh = np.array([item.passage.id not in shared for item in items])
        if not fresh.all():
            slices[FRESH] = fresh
    return slices


def _by_short_form(items: Sequence[Item], correct: dict[str, Bools]) -> dict[str, dict[str, int]]:
    table: dict[str, dict[str, int]] = {}
    for row, item in enumerate(items):
        entry = table.setdefault(item.mention.short_form, {"count": 0, **dict.fromkeys(correct, 0)})
        entry["count"] += 1
        for name, right in correct.items():
            entry[name] += int(right[row])
    return dict(sorted(table.items(), key=lambda pair: (-pair[1]["count"], pair[0])))


def _confusions(items: Sequence[Item], answers: Integers) -> list[Confusion]:
    """Which gold was mistaken for which long form, most frequent first."""
    pairs = Counter(
        (item.mention.short_form, item.gold_answer, item.candidates[answer])
        for item, answer in zip(items, answers, strict=True)
        if answer != item.gold
    )
    return [
        {"short_form": short_form, "gold": gold, "answer": answer, "count": count}
        for (short_form, gold, answer), count in pairs.most_common(_MOST_CONFUSIONS)
    ]
