"""Turns scores into expansions: makes the two decisions, and on request gives each short form one sense per text.

A glance decides from priors, topic and features, without the model; a short form that it answers is settled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from ..data.embedded import reader
from ..data.inventory import Inventory
from ..data.surroundings import surroundings
from ..trees.decisions import Calibration, Decision, decide, decide_at_a_glance
from ..trees.scoring import probabilities
from ..trees.topic import Spot, topic_fits
from ..trees.windows import Window
from .evidence import Found, Lexicon
from .results import Evidence, Expansion

MIN_PROBABILITY = 0.95
"""Minimum probability of a sure answer from a model without a calibration."""
USUAL = 0.99
"""Minimum share of a short form's counts for a sense to be the only usual one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answerer:
    """Turns scores and prior knowledge into expansions."""

    lexicon: Lexicon
    calibration: Calibration | None
    """None: the likeliest candidate wins, "none of these" included."""
    min_probability: float
    """Minimum probability of a sure answer."""
    asks: bool = True
    """Whether there is a model to ask; without one, every answer of the glance stands."""

    def known(self, text: str, found: Found) -> Expansion:
        """The expansion of a short form that was decided before a model is asked (`Found.evidence`)."""
        assert found.evidence is not None
        return Expansion(
            start=found.start,
            end=found.end,
            short_form=text[found.start : found.end],
            key=found.mention.short_form,
            long_form=found.long_form,
            probability=1.0,
            alternatives=((found.long_form, 1.0),) if found.long_form is not None else (),
            evidence=found.evidence,
            sure=found.long_form is not None,
            definition=found.definition,
        )

    def fits(
        self, text: str, windows: Callable[[str], Sequence[Window]], found: Sequence[Found]
    ) -> list[tuple[float, ...] | None]:
        """For each short form, how well its senses fit the topic of the text; None if the calibration does not use it.

        Args:
            text: the text.
            windows: returns the windows in which the text is read.
            found: all its short forms, sorted by start.
        """
        rule = self.calibration
        if rule is None or not (rule.topic or (rule.glance and rule.glance.topic)):
            return [None] * len(found)
        return list(topic_fits(reader.topics(), text, windows(text), [self._spot(one) for one in found]))

    def _spot(self, found: Found) -> Spot:
        if found.long_form is not None and found.definition is None:
            return Spot(found.start, found.end, (found.long_form,), (0.0,))
        short_form, listed = found.mention.short_form, self.lexicon.senses
        spot = Spot(found.start, found.end, listed.long_forms(short_form), listed.log_priors(short_form))
        if found.long_form is None or found.definition is None:
            return spot
        return spot._replace(definition=(found.long_form, *found.definition))

    def at_a_glance(self, text: str, found: Found, fits: tuple[float, ...] | None) -> Expansion | None:
        """The expansion of a listed short form that is settled without a model; None if a model must be asked.

        The prior was not fitted on a user's own short forms, so those go to the model if there is one.

        Args:
            text: the text that contains it.
            found: the short form.
            fits: ``C`` values, from `fits`.
        """
        glance = self.calibration.glance if self.calibration else None
        mention, senses = found.mention, self.lexicon.senses
        own = self.lexicon.in_glossary(mention.short_form)
        if glance is None or (own and self.asks) or not senses.long_forms(mention.short_form):
            return None
        log_priors = senses.log_priors(mention.short_form)
        decision = decide_at_a_glance(log_priors, surroundings(text, mention), glance, fits)
        settled = glance.settled(decision, log_priors)
        return None if settled is None else self._decided(text, found, decision, None if own else "inventory")

    def asked(self, text: str, found: Found, scores: Tensor | None, fits: tuple[float, ...] | None = None) -> Expansion:
        """The expansion of a short form from a model's scores.

        Args:
            text: the text that contains it.
            found: the short form.
            scores: ``[C + 1]`` log-probability of each of the C listed senses and, last, of the null candidate; None if
                the question did not fit into the model.
            fits: ``C`` values, from `fits`.
        """
        mention, senses = found.mention, self.lexicon.senses
        if scores is None:
            usual = [math.exp(prior) for prior in senses.log_priors(mention.short_form)]
            return replace(self._ranked(text, found, usual, null=0.0, least=1.0), evidence="not read")
        if self.calibration is None:
            *shares, null = probabilities(scores).tolist()
            return self._ranked(text, found, shares, null=null, least=null)
        log_priors = senses.log_priors(mention.short_form)
        return self._decided(
            text, found, decide(scores, log_priors, surroundings(text, mention), self.calibration, fits)
        )

    def _decided(self, text: str, found: Found, decision: Decision, evidence: Evidence | None = None) -> Expansion:
        """The expansion that a calibrated decision gives; `evidence` overrides `_evidence`."""
        assert self.calibration is not None, "a decision is made with one"
        shares, null = [decision.short_form * share for share in decision.senses], 1 - decision.short_form
        least = 0.0 if decision.short_form >= self.calibration.short_form_from else 1.0
        return self._ranked(text, found, shares, null=null, least=least, evidence=evidence)

    def _ranked(
        self,
        text: str,
        found: Found,
        shares: Sequence[float],
        *,
        null: float,
        least: float,
        evidence: Evidence | None = None,
    ) -> Expansion:
        """The likeliest listed sense, if its share exceeds `least`, the minimum for an answer."""
        short_form = found.mention.short_form
        ranked = sorted(zip(self.lexicon.senses.long_forms(short_form), shares, strict=True), key=lambda pair: -pair[1])
        answer, probability = ranked[0] if ranked and ranked[0][1] > least else (None, null)
        return Expansion(
            start=found.start,
            end=found.end,
            short_form=text[found.start : found.end],
            key=short_form,
            long_form=answer,
            probability=probability,
            alternatives=tuple(ranked),
            evidence="abstained" if answer is None else evidence or self._evidence(short_form, answer),
            sure=answer is not None and probability >= self.min_probability,
        )

    def _evidence(self, short_form: str, answer: str) -> Evidence:
        if self.lexicon.in_glossary(short_form):
            return "glossary"
        return "inventory" if not self.asks or is_only_usual(self.lexicon.senses, short_form, answer) else "model"

    def one_sense(self, expansions: Sequence[Expansion]) -> list[Expansion]:
        """Give all mentions of a short form that have an answer the same sense: the likeliest on average.

        Source: Gale, Church and Yarowsky, One sense per discourse, 1992.
        """
        groups: dict[str, list[Expansion]] = {}
        for expansion in filter(_was_chosen, expansions):
            groups.setdefault(expansion.key, []).append(expansion)
        averages = {key: _average(group) for key, group in groups.items()}
        return [self._agreed(one, averages[one.key]) if _was_chosen(one) else one for one in expansions]

    def _agreed(self, expansion: Expansion, average: tuple[tuple[str, float], ...]) -> Expansion:
        answer, probability = average[0]
        return replace(
            expansion,
            long_form=answer,
            probability=probability,
            alternatives=average,
            evidence=expansion.evidence if answer == expansion.long_form else self._evidence(expansion.key, answer),
            sure=probability >= self.min_probability,
        )


def _was_chosen(expansion: Expansion) -> bool:
    """Whether the answer was chosen among several senses."""
    return expansion.long_form is not None and len(expansion.alternatives) > 1


def _average(group: Sequence[Expansion]) -> tuple[tuple[str, float], ...]:
    """The mean probability of each alternative, likeliest first."""
    totals: dict[str, float] = {}
    for expansion in group:
        for name, share in expansion.alternatives:
            totals[name] = totals.get(name, 0.0) + share / len(group)
    return tuple(sorted(totals.items(), key=lambda pair: -pair[1]))


def is_only_usual(inventory: Inventory, short_form: str, long_form: str) -> bool:
    """Whether a sense is the only one listed for its short form, or all others together are rare by their counts."""
    at = inventory.long_forms(short_form).index(long_form)
    return inventory.log_priors(short_form)[at] >= math.log(USUAL)
