"""From the scores of a question to an answer, in two decisions: is this a short form here, and which sense is it then.

C senses are listed. The second decision weighs what the model says of the text against how usual each sense is, and how
well it fits the topic of what stands around it (`topic`): ``score(sense) = evidence * log p(sense | text) + prior *
log p(sense | short form) + topic * fit(sense)``. The first is a logistic rule on what the model says of "none of
these", on how well the likely senses fit the topic and how sure the likeliest is, and on what the text shows by itself
(`data.surroundings`).

Most short forms need no model for that: a `Glance` makes both decisions without one, and only where its answer is not
sure enough is the model asked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ..data.surroundings import SIGNS, Surroundings
from ..tools.failures import reading
from ..tools.shapes import write_object

CALIBRATION_FILE = "calibration.json"
NEVER = 2.0
"""A threshold that no probability reaches."""
CLUES = ("topic", "sure", *SIGNS)
"""What the first decision looks at without a model: how well the likely senses fit the topic, the share of the
likeliest sense, and the signs of the text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Glance:
    """How short forms are decided before a model reads the text, and which of these answers stand."""

    prior: float
    """Weight of the inventory's log-priors."""
    topic: float
    """Weight of how well a sense fits the topic of the text around it."""
    is_short_form: Mapping[str, float]
    """Weights of the logistic rule: "constant", and each of `CLUES`."""
    settled_from: float
    """Least probability of an answer for which no model is asked."""
    usual_from: float
    """Least share that its sense has of the short form without the text. Where two uses of the same letters stand close
    together, a glance hardly tells them apart, so it is trusted only with a sense that is by far the most usual."""
    short_form_from: float = 0.5
    """Least probability of being a short form for an answer where there is no model to ask."""
    offered_from: float = NEVER
    """Least probability of an answer that is offered without a question mark where there is no model to ask."""

    def settled(self, decision: Decision, log_priors: Sequence[float]) -> int | None:
        """Index of the sense that needs no model; None if there is none."""
        best = decision.senses.index(max(decision.senses))
        sure = decision.short_form * decision.senses[best] >= self.settled_from
        return best if sure and log_priors[best] >= math.log(self.usual_from) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """How scores become answers; fitted on validation data and kept beside an adapter as `calibration.json`."""

    evidence: float
    """Weight of the model's log-probabilities."""
    prior: float
    """Weight of the inventory's log-priors."""
    is_short_form: Mapping[str, float]
    """Weights of the logistic rule: "constant", "model", and each of `CLUES`."""
    short_form_from: float
    """Least probability of being a short form for an answer."""
    offered_from: float
    """Least probability of an answer that is offered without a question mark."""
    target: float = 0.95
    """The share of the offered answers that was to be right when `offered_from` was set."""
    mentions: int | None = None
    """Number of mentions that it was fitted on, if it was recorded."""
    topic: float = 0.0
    """Weight of how well a sense fits the topic of the text around it."""
    glance: Glance | None = None
    """What is decided before the model reads the text; None: it is asked about every short form."""

    def without_glance(self) -> Calibration:
        """The calibration for senses or usage that the glance was not fitted on: a model is asked about everything."""
        return replace(self, glance=None)

    def without_model(self) -> Calibration:
        """The calibration where no model is asked: every answer of the glance stands, with thresholds of its own.

        Raises:
            ValueError: it has no glance.
        """
        if self.glance is None:
            raise ValueError("this calibration has no glance, so nothing is answered without a model")
        every = replace(self.glance, settled_from=0.0, usual_from=math.ulp(0.0))
        thresholds = (self.glance.short_form_from, self.glance.offered_from)
        return replace(self, glance=every, short_form_from=thresholds[0], offered_from=thresholds[1])

    @classmethod
    def read(cls, path: Path) -> Calibration:
        """Read `calibration.json`. A sign that it does not name has no weight: it was fitted before the sign was known.

        Raises:
            ValueError: it is not one; the message says why.
        """
        with reading(path):
            content = json.loads(path.read_text(encoding="utf-8"))
        try:
            found = cls(**content)
            found = replace(found, glance=None if found.glance is None else Glance(**content["glance"]))
            problem = _problem(found)
        except (TypeError, AttributeError) as error:
            raise ValueError(f"{path} is not a calibration: {error}") from None
        if problem:
            raise ValueError(f"{path} is not a calibration: {problem}")
        known = dict.fromkeys(CLUES, 0.0)
        glance = found.glance and replace(found.glance, is_short_form=known | dict(found.glance.is_short_form))
        return replace(found, is_short_form=known | dict(found.is_short_form), glance=glance)

    def write(self, path: Path) -> None:
        """Write `calibration.json`."""
        write_object(path, asdict(self))


def _problem(found: Calibration) -> str | None:
    """Why it cannot be applied: a rule lacks a weight or has an unknown one, or a number is not finite."""
    numbers = [found.evidence, found.prior, found.topic, found.short_form_from, found.offered_from, found.target]
    rules = [(found.is_short_form, {"constant", "model"})]
    if found.glance is not None:
        numbers += [found.glance.prior, found.glance.topic, found.glance.settled_from]
        numbers += [found.glance.short_form_from, found.glance.offered_from]
        if not 0 < found.glance.usual_from <= 1:
            return "usual_from is not a share above 0"
        rules.append((found.glance.is_short_form, {"constant"}))
    for rule, needed in rules:
        if missing := needed - set(rule):
            return f"is_short_form should have {', '.join(sorted(missing))}"
        if needless := set(rule) - needed - set(CLUES):
            return f"is_short_form has {', '.join(sorted(needless))}, which this version does not know"
        numbers += rule.values()
    return None if all(map(math.isfinite, numbers)) else "a number is not finite"


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What is answered to one question."""

    short_form: float
    """Probability that it is a short form of the inventory at all, 0 to 1."""
    senses: tuple[float, ...]
    """``C`` probabilities of the senses, given that it is one; they sum to 1."""


def decide(
    scores: Tensor,
    log_priors: Sequence[float],
    signs: Surroundings,
    calibration: Calibration,
    fits: Sequence[float] | None = None,
) -> Decision:
    """Both decisions about one mention.

    Args:
        scores: ``[C + 1]`` log-probability of each listed long form and, last, of the null candidate; C is at least 1.
        log_priors: ``C`` values, as `Inventory.log_priors` gives them.
        signs: what the text shows of the mention.
        calibration: the weights.
        fits: ``C`` values, as `topic_fits` gives them; None: nothing is known of the topic.
    """
    listed, null = scores[:-1].double(), float(scores[-1])
    prior = torch.tensor(log_priors, dtype=torch.float64)
    fit = torch.zeros_like(listed) if fits is None else torch.tensor(fits, dtype=torch.float64)
    senses = calibration.evidence * listed + calibration.prior * prior + calibration.topic * fit
    evidence = calibration.is_short_form["model"] * model_evidence(listed, prior, null)
    return _decision(senses, fit, signs, calibration.is_short_form, evidence)


def decide_at_a_glance(
    log_priors: Sequence[float], signs: Surroundings, glance: Glance, fits: Sequence[float] | None = None
) -> Decision:
    """Both decisions about one mention without a model; arguments as for `decide`."""
    prior = torch.tensor(log_priors, dtype=torch.float64)
    fit = torch.zeros_like(prior) if fits is None else torch.tensor(fits, dtype=torch.float64)
    return _decision(glance.prior * prior + glance.topic * fit, fit, signs, glance.is_short_form)


def _decision(
    senses: Tensor, fit: Tensor, signs: Surroundings, weights: Mapping[str, float], evidence: float = 0.0
) -> Decision:
    """What ``[C]`` scores of the senses and a logistic rule with these weights say."""
    shares = senses.softmax(0)
    seen = clues(shares, fit, signs)
    rule = weights["constant"] + evidence + sum(weights[name] * value for name, value in zip(CLUES, seen, strict=True))
    return Decision(short_form=1 / (1 + math.exp(-max(min(rule, 700.0), -700.0))), senses=tuple(shares.tolist()))


def clues(shares: Tensor, fit: Tensor, signs: Surroundings) -> list[float]:
    """What the first decision looks at without a model, in the order of `CLUES`.

    Args:
        shares: ``[C]`` probabilities of the senses.
        fit: ``[C]``, how well each fits the topic.
        signs: what the text shows.
    """
    return [float(shares @ fit), float(shares.max()), *signs.values()]


def model_evidence(listed: Tensor, prior: Tensor, null: float) -> float:
    """How much likelier the text makes some listed sense than "none of these", in nats: the average over the prior.

    More senses on the list do not make it larger.
    """
    return float((listed + prior).logsumexp(0)) - null
