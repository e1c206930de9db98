"""What is fitted on validation data, and that thresholds are set on answers that it had no part in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from marking import marked
from medalist.data.inventory import Inventory
from medalist.data.items import make_items
from medalist.evaluation.calibration import (
    LEAST_LOOK_ALIKES,
    LEAST_SEEN,
    NEVER,
    cross_validated,
    fit,
    make_cases,
    thresholds,
    too_few,
)
from medalist.trees.decisions import CLUES
from medalist.trees.windows import Window

SENSES = ("rheumatoid arthritis", "room air", "right atrium")
COUNTED = Inventory.of([("RA", name, count, None) for name, count in zip(SENSES, (80, 15, 5), strict=True)])
UNCOUNTED = Inventory.of([("RA", name, 0, None) for name in SENSES])


def made(inventory=COUNTED, *, passages=80, look_alikes=True, read=2.0, seed=0):
    """Cases of a model that reads so well: the gold's log-probability is that much above the others', on average."""
    draw = np.random.default_rng(seed)
    texts, scores = [], {}
    for n in range(passages):
        golds = draw.choice(SENSES, size=3, p=[0.8, 0.15, 0.05])
        words = [f"seen for [RA={gold}]" for gold in golds] + ["from Dr [RA=none of these]"] * look_alikes
        texts.append(marked(", ".join(words), str(n)))
        for number, gold in enumerate([*golds, None][: len(words)]):
            values = draw.normal(-6, 1, 4)
            values[3 if gold is None else inventory.long_forms("RA").index(gold)] += read
            scores[str(n), number] = values
    return make_cases(make_items(texts, inventory), scores, inventory)


def offered(cases, decisions, least_short_form, least):
    return [
        case.is_right(decision)
        for case, decision in zip(cases, decisions, strict=True)
        if decision.short_form >= least_short_form and decision.short_form * max(decision.senses) >= least
    ]


def test_the_prior_gets_weight_where_it_tells_something_and_none_where_it_is_uniform():
    assert fit(made(), precision=0.9).prior >= 0.8, "the golds were drawn by the counts"
    assert fit(made(UNCOUNTED), precision=0.9).prior == 0


def test_a_model_that_reads_worse_weighs_less():
    assert fit(made(read=0.3), precision=0.8).evidence < fit(made(read=3.0), precision=0.8).evidence


def test_a_topic_that_tells_something_gets_weight_and_is_right_more_often():
    cases, draw = made(read=0.5), np.random.default_rng(3)
    random = [replace(case, fits=tuple(draw.uniform(0, 0.3, len(case.log_priors)).tolist())) for case in cases]
    assert fit(random, precision=0.9).topic < 2
    telling = [
        replace(case, fits=tuple(0.3 * (n == case.item.gold) for n in range(len(case.log_priors)))) for case in cases
    ]
    found = fit(telling, precision=0.9)
    assert found.topic > 5 and found.is_short_form["topic"] > 0
    choices = [case for case in telling if not case.is_look_alike]
    right = [
        np.mean([case.is_right(case.decided(rule)) for case in choices]) for rule in (replace(found, topic=0), found)
    ]
    assert right[1] > right[0] + 0.1


def test_a_topic_is_of_all_short_forms_of_a_passage_in_the_windows_where_it_was_read():
    listed = Inventory.of(
        [("LA", "left atrium", 1, None), ("LA", "local anesthesia", 1, None), ("MR", "mitral regurgitation", 1, None)]
    )
    text = marked("[LA=left atrium] dilated. [MR=mitral regurgitation]", "0")
    scores = {("0", number): np.zeros(3 - number) for number in range(2)}
    whole, *_ = make_cases(make_items([text], listed), scores, listed)
    cut, *_ = make_cases(
        make_items([text], listed), scores, listed, lambda text: [Window(0, 12), Window(12, len(text))]
    )
    assert whole.fits[0] > whole.fits[1] and whole.fits[0] > cut.fits[0]


def test_the_threshold_is_the_lowest_that_reaches_the_precision_on_other_folds_answers():
    cases = made()
    found, told = fit(cases, precision=0.9), cross_validated(cases)
    right = offered(cases, told, found.short_form_from, found.offered_from - 1e-4)  # stored with four digits
    assert len(right) > 100 and np.mean(right) == pytest.approx(0.9, abs=0.01)
    assert np.mean(offered(cases, told, found.short_form_from, found.offered_from - 0.05)) < 0.9
    assert found.target == 0.9 and found.mentions == len(cases) == 320
    assert fit(cases, precision=0.97).offered_from > found.offered_from


def test_nine_look_alikes_in_ten_are_left_alone():
    cases = made()
    found = fit(cases, precision=0.9)
    alike = [d.short_form for case, d in zip(cases, cross_validated(cases), strict=True) if case.is_look_alike]
    assert np.mean(np.array(alike) < found.short_form_from) == pytest.approx(0.93, abs=0.02)
    assert found.is_short_form["name"] < 0 < found.is_short_form["model"], "each stands behind a title"


def test_a_sign_that_hardly_any_mention_shows_gets_no_weight():
    cases = made()
    shown = [replace(case, signs=replace(case.signs, value=float(n < LEAST_SEEN - 1))) for n, case in enumerate(cases)]
    assert fit(shown, precision=0.9).is_short_form["value"] == 0
    shown = [replace(case, signs=replace(case.signs, value=float(not case.is_look_alike))) for case in cases]
    assert fit(shown, precision=0.9).is_short_form["value"] > 0


def test_as_many_look_alikes_as_a_rule_needs_are_enough_for_its_thresholds_too():
    """Each fold leaves some out, so none of them has enough by itself; all are judged by the rule that will be used."""
    cases = made(passages=LEAST_LOOK_ALIKES, read=0.3)
    shown = [replace(case, signs=replace(case.signs, value=float(not case.is_look_alike))) for case in cases]
    assert sum(case.is_look_alike for case in cases) == LEAST_LOOK_ALIKES
    assert fit(shown, precision=0.6).is_short_form["value"] > 0
    told = [decision.short_form for decision in cross_validated(shown)]
    alike = [value for case, value in zip(shown, told, strict=True) if case.is_look_alike]
    assert max(alike) < min(value for case, value in zip(shown, told, strict=True) if not case.is_look_alike)


def test_a_threshold_never_excludes_what_it_was_set_by():
    cases = made()
    decisions = [
        replace(decision, short_form=0.99996 if case.is_look_alike else 0.99999)
        for case, decision in zip(cases, cross_validated(cases), strict=True)
    ]
    least, _ = thresholds(cases, decisions, 0.5)
    assert least == 0.9999


def test_without_look_alikes_the_model_alone_decides_and_few_short_forms_are_declined():
    cases = made(look_alikes=False)
    found = fit(cases, precision=0.9)
    rest = dict.fromkeys(CLUES, 0)
    assert found.is_short_form == {"constant": found.is_short_form["constant"], "model": 1} | rest
    assert found.short_form_from == 0.5
    declined = [case.decided(found).short_form < 0.5 for case in cases]
    assert 0.03 < np.mean(declined) <= 0.05
    assert np.median([case.decided(found).short_form for case in cases]) > 0.9, "so a probability reads as one"


def test_no_passage_has_a_part_in_the_answers_about_it():
    cases = made()

    def turned(passages):
        """The cases with look-alikes and short forms exchanged in these passages."""
        kinds = {"distractor": "absent", "choice": "distractor"}
        return [
            replace(case, item=replace(case.item, kind=kinds[case.item.kind]))
            if case.item.passage.id in passages
            else case
            for case in cases
        ]

    own = [n for n, case in enumerate(cases) if case.item.passage.id == "7"]
    before, after = cross_validated(cases), cross_validated(turned({"7"}))
    assert len(own) == 4 and [after[n] for n in own] == [before[n] for n in own]
    others = cross_validated(turned({str(n) for n in range(0, 80, 3)} - {"7"}))
    assert all(others[n] != before[n] for n in own), "the others do decide"


def test_a_precision_that_is_never_reached_offers_nothing():
    assert fit(made(read=0.0), precision=0.999).offered_from == NEVER


def test_too_little_data_is_refused_with_what_is_missing():
    cases = made()
    assert too_few([case.item for case in cases]) is None
    with pytest.raises(ValueError, match="27 short forms with a choice of listed meanings, 50 are needed"):
        fit(made(passages=9), precision=0.9)
    one = [replace(case, item=replace(case.item, passage=cases[0].item.passage)) for case in cases]
    with pytest.raises(ValueError, match="1 passage, 10 are needed"):
        fit(one, precision=0.9)
