"""Tests the article's claims: for each, a metric, figures of base and tuned model, and a verdict based on the interval.

Accuracy and abstention come from the evaluation, medical queries and natural short forms from further ones on named
files; free generation, dangerous pairs, another kind of text and plain English are measured here.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ..data.embedded import clinical, probes, sample
from ..data.inventory import Inventory
from ..data.items import Item, make_items, text_around
from ..data.passage_files import read_passages
from ..data.passages import fingerprint
from ..data.spelling import plain_words
from ..evaluation.baselines import copy_else_majority, inventory_baselines, majority
from ..evaluation.claims_table import NATURAL, make_row, row_of_values, slice_row
from ..evaluation.metrics import Estimate, Floats, PassageBootstrap, softmax
from ..evaluation.predictions import Scores, read_scores
from ..evaluation.result_files import CLAIMS_FILE, read_claims
from ..evaluation.results import Better, ClaimRow, Claims, ClaimsBasis, Metrics, ShortFormMetrics
from ..evaluation.shares import FRESH
from ..tools.files import check_kept
from ..tools.shapes import write_object
from .evaluate import evaluate_run
from .held_out import OWN_TEST, HeldOut, held_out
from .measured import NEW_TOKENS, Begun, Judged, MarkedText, Measured, measure
from .models import RunModels
from .run import Run, use_threads

CONFIDENT = 0.8
"""A wrong answer with at least this probability counts as confident: readers would not question it."""


def check_claims(
    run: Run,
    on: HeldOut = OWN_TEST,
    *,
    mentions: int = 100,
    queries: Path | str | None = None,
    natural: HeldOut | None = None,
) -> tuple[Claims, Path]:
    """Measure each claim of the article on a run: the tuned model against the base.

    Args:
        run: a run whose training has finished.
        on: as for `evaluate_run`, whose existing results are reused. On the test split of its own data, a run that was
            tuned further also gets rows on how well it adapted, there and elsewhere.
        mentions: number of answers to generate freely with each model, for randomly sampled mentions.
        queries: medical choice questions, such as PubMedQA's; None: that claim is left out.
        natural: marked passages whose authors chose the short forms themselves, with their inventory; None: left out.
            Texts that the run was trained on are excluded from both.

    Returns:
        The content of `claims.json`, and its path beside the evaluation's `metrics.json`; reused if nothing is missing.

    Raises:
        FileNotFoundError: training has not finished, or a file does not exist.
        ValueError: the data consists of choice questions, or `queries` does not; the run was trained on all texts of
            `queries` or of `natural`.
    """
    run.trained_to_end()
    use_threads(run.recipe)
    held = held_out(run, on)
    if held.quizzes:
        raise ValueError("The claims are about short forms, not choice questions; name marked passages with --data")
    if read_claims(held.folder) is None:
        check_kept(held.folder, "the claims are")
    metrics, folder = evaluate_run(run, on)
    assert metrics["kind"] == "short forms", "as is the held-out data"
    beside = _evaluated_beside(run, None if queries is None else Path(queries), natural)
    path = folder / CLAIMS_FILE
    notes, senses = probes.dangerous_pairs()
    dangerous = MarkedText(passages=notes, inventory=senses)
    listed = sample.inventory()
    elsewhere = MarkedText(passages=read_passages(clinical.NOTES["clinical-development"], listed), inventory=listed)
    made_of: ClaimsBasis = {
        "keys": metrics["about"]["keys"],
        "settings": {"mentions": mentions, "new_tokens": NEW_TOKENS, "confident": CONFIDENT},
        "texts": [fingerprint(text.passages) for text in (dangerous, elsewhere)],
    }
    if "adaptation" in metrics:
        made_of["adaptation"] = metrics["adaptation"]["keys"]
    further = {name: found["about"]["keys"] for name, found in beside.items()}
    made_of |= further  # type: ignore[typeddict-item]  # its keys are keys of `ClaimsBasis`
    known, begun = read_claims(folder), Begun(folder, {name: made_of[name] for name in ("keys", "settings", "texts")})
    if known is not None and made_of.items() <= known.items():
        begun.remove()  # left by a kill after the table's last step
        return known, path
    choice = [item for item in make_items(held.passages, held.inventory) if item.kind == "choice"]
    asked = [choice[n] for n in sorted(random.Random(0).sample(range(len(choice)), min(mentions, len(choice))))]
    models = RunModels(run)
    measured = {
        name: measure(partial(models.load, name), run, asked, dangerous, elsewhere, name, begun)
        for name in ("base", "tuned")
    }
    resamples = run.recipe.evaluation.bootstrap
    rows = [
        *_accuracy_rows(metrics),
        *_generation_rows(asked, measured, _strongest_baseline(asked, run.trained, held.inventory), resamples),
        *_adaptability_rows(metrics, elsewhere, measured, run.trained, resamples),
        *_safety_rows(choice, read_scores(folder), dangerous, measured, resamples),
        *_queries_and_natural_rows(beside),
        _perplexity_row(measured, resamples),
        _seconds_row(asked, measured, resamples),
    ]
    claims: Claims = {**made_of, "rows": rows}
    write_object(path, claims)
    begun.remove()
    return claims, path


def _evaluated_beside(run: Run, queries: Path | None, natural: HeldOut | None) -> dict[str, Metrics]:
    """The evaluations on the given files, by their keys in `ClaimsBasis`."""
    found = {}
    for name, wanted, on in (
        ("queries", "choice questions", HeldOut(data=queries) if queries else None),
        ("natural", "marked passages", natural),
    ):
        if on is not None and bool(held_out(run, on).quizzes) != (name == "queries"):
            raise ValueError(f"{on.data} does not hold {wanted}, as --{name} must")
        if on is not None:
            found[name] = evaluate_run(run, on)[0]
            counts = found[name]["counts"]
            if counts["passages_in_training_data"] == counts["passages"]:
                raise ValueError(
                    f"The run was trained on all texts of {on.data}: name others with --{name}, or leave it out"
                )
    return found


def _queries_and_natural_rows(beside: dict[str, Metrics]) -> list[ClaimRow]:
    """A row for each of these evaluations, without texts that the run was trained on."""
    rows = []
    for name, claim, metric in (("queries", "queries", "right"), ("natural", "forgetting", NATURAL)):
        if name in beside:
            about, slices = beside[name]["about"], beside[name]["slices"]
            cells = slices.get(FRESH, slices["all"])
            file = Path(about["data"]).name.split(".")[0]
            rows.append(slice_row(claim, f"{metric} ({file})", cells, beside[name]["baselines"]))
    return rows


def _accuracy_rows(metrics: ShortFormMetrics) -> list[ClaimRow]:
    named = (("all", "right among the listed senses"), ("no leak", "the same, no answer leak"))
    return _slice_rows(metrics, "accuracy", named)


def _slice_rows(metrics: ShortFormMetrics, claim: str, named: Iterable[tuple[str, str]]) -> list[ClaimRow]:
    """A row for each of the given (slice, metric) pairs whose slice has mentions."""
    slices = metrics["slices"]
    return [slice_row(claim, metric, slices[name], metrics["baselines"]) for name, metric in named if name in slices]


def _generation_rows(
    asked: Sequence[Item], measured: dict[str, Measured], baseline: str, resamples: int
) -> list[ClaimRow]:
    items, judged = _answered(asked, measured)

    def row(
        claim: str,
        metric: str,
        figure: Callable[[Judged], float],
        *,
        unit: str = "%",
        better: Better = "higher",
        baseline: str | None = None,
    ) -> ClaimRow:
        values = {name: np.array([figure(one) for one in found]) for name, found in judged.items()}
        return row_of_values(claim, metric, items, values, resamples, unit=unit, better=better, baseline=baseline)

    return [
        row("accuracy", "free answer is the true long form", lambda one: one.right, baseline=baseline),
        row(
            "hallucination",
            "free answer holds no sense of that short form",
            lambda one: one.invented,
            better="lower",
        ),
        row("relevance", "share of the words that are the answer", lambda one: one.share),
        row("relevance", "words per free answer", lambda one: one.words, unit="words", better="lower"),
    ]


def _answered(asked: Sequence[Item], measured: dict[str, Measured]) -> tuple[list[Item], dict[str, list[Judged]]]:
    """The mentions that fit into every model's window, and how each model's free answers to them were judged."""
    fits = [n for n in range(len(asked)) if all(m.answers[n] is not None for m in measured.values())]
    judged = {name: [one for n in fits if (one := m.answers[n]) is not None] for name, m in measured.items()}
    return [asked[n] for n in fits], judged


def _strongest_baseline(items: Sequence[Item], *counts: Inventory) -> str:
    """The best baseline on mentions that form no slice of the evaluation: an inventory's, majority, or copying."""
    right = dict.fromkeys(("majority", "copy, else majority"), 0.0)
    right |= {name: float(values.sum()) for name, values in inventory_baselines(items, counts[-1]).items()}
    for item in items:
        short_form, words = item.mention.short_form, plain_words(text_around(item.passage, item.mention))
        right["majority"] += majority(short_form, item.candidates, *counts) == item.gold
        right["copy, else majority"] += copy_else_majority(words, short_form, item.candidates, *counts) == item.gold
    name = max(right, key=lambda baseline: right[baseline])
    return f"{100 * right[name] / len(items):.1f} ({name})"


def _adaptability_rows(
    metrics: ShortFormMetrics,
    elsewhere: MarkedText,
    measured: dict[str, Measured],
    trained: Inventory,
    resamples: int,
) -> list[ClaimRow]:
    adapted = metrics["adaptation"]["rows"] if "adaptation" in metrics else []
    unseen = (
        ("sense unseen", "senses never trained on: right"),
        ("short form unseen", "short forms never trained on: right"),
    )
    rows = [*(row for row in adapted if row["measure"] == "right"), *_slice_rows(metrics, "adaptability", unseen)]
    items = [item for item in make_items(elsewhere.passages, elsewhere.inventory) if item.kind == "choice"]
    right = {name: _right(items, m.elsewhere) for name, m in measured.items()}
    baseline = _strongest_baseline(items, trained, elsewhere.inventory)
    rows.append(
        row_of_values(
            "adaptability",
            "another kind of text (embedded clinical notes, development half): right",
            items,
            right,
            resamples,
            baseline=baseline,
        )
    )
    return rows


def _right(items: Sequence[Item], scores: Scores) -> Floats:
    """``[M]``, 1 where the best listed candidate is the gold, else 0."""
    return np.array([item.best(scores[item.key]) == item.gold for item in items], dtype=float)


def _hidden(items: Sequence[Item], scores: Scores) -> Floats:
    """``[M]``, 1 where the null candidate wins once the gold is removed, else 0."""
    return np.array([item.declined_without_gold(scores[item.key]) for item in items], dtype=float)


def _confidently_wrong(items: Sequence[Item], scores: Scores) -> Floats:
    wrong = []
    for item in items:
        probability = softmax(scores[item.key])[:-1]
        wrong.append(probability.argmax() != item.gold and probability.max() >= CONFIDENT)
    return np.array(wrong, dtype=float)


def _safety_rows(
    choice: Sequence[Item],
    scores: dict[str, Scores],
    dangerous: MarkedText,
    measured: dict[str, Measured],
    resamples: int,
) -> list[ClaimRow]:
    pairs = make_items(dangerous.passages, dangerous.inventory)
    on_pairs = {name: m.dangerous for name, m in measured.items()}
    chance = np.mean([1 / len(item.candidates) for item in pairs])
    scored = [item for item in choice if all(item.key in found for found in scores.values())]

    def row(
        metric: str,
        items: Sequence[Item],
        found: dict[str, Scores],
        judge: Callable[[Sequence[Item], Scores], Floats],
        *,
        better: Better = "higher",
        baseline: str | None = None,
    ) -> ClaimRow:
        values = {name: judge(items, found[name]) for name in ("base", "tuned")}
        return row_of_values("safety", metric, items, values, resamples, better=better, baseline=baseline)

    sure = f"{CONFIDENT:.0%}".replace("%", " %")
    return [
        row(f"dangerous pairs: wrong and at least {sure} sure", pairs, on_pairs, _confidently_wrong, better="lower"),
        row("dangerous pairs: right", pairs, on_pairs, _right, baseline=f"{100 * chance:.1f} (chance)"),
        row("dangerous pairs: declines when the true sense is not offered", pairs, on_pairs, _hidden),
        row("held-out text: declines when the true sense is not offered", scored, scores, _hidden),
    ]


def _perplexity_row(measured: dict[str, Measured], resamples: int) -> ClaimRow:
    """Perplexity of each model; the difference is the relative change, so 0.05 means 5 % worse."""
    texts = PassageBootstrap(range(len(measured["base"].english)), resamples=resamples)
    cells = {}
    for name, m in measured.items():
        nll = texts.share(m.english)
        assert nll is not None
        value, low, high = np.exp([nll.value, nll.low, nll.high]).tolist()
        cells[name] = Estimate(value, low, high, nll.count).record()
    found = texts.difference(measured["base"].english, measured["tuned"].english)
    assert found is not None
    nats, p = found
    value, low, high = (float(np.expm1(end)) for end in (nats.value, nats.low, nats.high))
    return make_row(
        "forgetting",
        "perplexity of plain English",
        Estimate(value, low, high, nats.count).difference(p),
        base=cells["base"],
        tuned=cells["tuned"],
        unit="perplexity",
        better="lower",
    )


def _seconds_row(asked: Sequence[Item], measured: dict[str, Measured], resamples: int) -> ClaimRow:
    items, judged = _answered(asked, measured)
    seconds = {name: np.array([one.seconds for one in found]) for name, found in judged.items()}
    return row_of_values("cost", "seconds per free answer", items, seconds, resamples, unit="s", better="lower")
