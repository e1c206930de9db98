"""Turns the scores of a question into an answer, in two decisions: is this a short form here, and if so, which sense.

C senses are listed. The second decision combines the model's evidence from the text with the prior of each sense and
its fit to the topic of the surrounding text (`topic`): ``score(sense) = evidence * log p(sense | text) + prior * log
p(sense | short form) + topic * fit(sense)``. The first is a logistic rule on the model's evidence against "none of
these", on how well the likely senses fit the topic, on the share of the likeliest one, and on features of the text
(`data.surroundings`).

Most short forms need no model: a `Glance` makes both decisions from prior, topic and features alone, and where its
answer is sure enough (the mention is then "settled"), no model is asked.
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
_REMEDY = "Restore it, or remove it and run `medalist evaluate` on the run, which fits another."
NEVER = 2.0
"""A threshold that no probability reaches."""
CLUES = ("topic", "sure", *SIGNS)
"""Features of the first decision that need no model: how well the likely senses fit the topic, the share of the
likeliest sense, and the signs in the text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Glance:
    """Decides short forms before a model reads the text, and says which of these answers are settled."""

    prior: float
    """Weight of the inventory's log-priors."""
    topic: float
    """Weight of a sense's fit to the topic of the surrounding text."""
    is_short_form: Mapping[str, float]
    """Weights of the logistic rule: "constant" and each of `CLUES`."""
    settled_from: float
    """Minimum probability of an answer to be settled, so that no model is asked."""
    usual_from: float
    """Minimum prior share of the answer's sense to be settled. Where two uses of the same letters occur close together,
    a glance hardly distinguishes them, so it is trusted only with a sense that is by far the most common."""
    short_form_from: float = 0.5
    """Minimum probability of being a short form for an answer where there is no model."""
    offered_from: float = NEVER
    """Minimum probability of an answer that is offered without a question mark where there is no model."""

    def settled(self, decision: Decision, log_priors: Sequence[float]) -> int | None:
        """Index of the settled sense; None if the mention is not settled."""
        best = decision.senses.index(max(decision.senses))
        sure = decision.short_form * decision.senses[best] >= self.settled_from
        return best if sure and log_priors[best] >= math.log(self.usual_from) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """How scores become answers; fitted on validation data and stored with an adapter as `calibration.json`."""

    evidence: float
    """Weight of the model's log-probabilities."""
    prior: float
    """Weight of the inventory's log-priors."""
    is_short_form: Mapping[str, float]
    """Weights of the logistic rule: "constant", "model" and each of `CLUES`."""
    short_form_from: float
    """Minimum probability of being a short form for an answer."""
    offered_from: float
    """Minimum probability of an answer that is offered without a question mark."""
    target: float = 0.95
    """Target precision for which `offered_from` was set."""
    mentions: int | None = None
    """Number of mentions that it was fitted on, if known."""
    topic: float = 0.0
    """Weight of a sense's fit to the topic of the surrounding text."""
    glance: Glance | None = None
    """Decides before the model reads the text; None: the model is asked about every short form."""

    def without_glance(self) -> Calibration:
        """The calibration for senses or usage that the glance was not fitted on: a model is asked about everything."""
        return replace(self, glance=None)

    def without_model(self) -> Calibration:
        """The calibration for use without a model: every answer of the glance stands, with thresholds of its own.

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
        """Read `calibration.json`. A clue that it does not name gets weight 0: the file is older than the clue.

        Raises:
            ValueError: the file is not a calibration; the message says why.
        """
        with reading(path, _REMEDY):
            content = json.loads(path.read_text(encoding="utf-8"))
        try:
            found = cls(**content)
            found = replace(found, glance=None if found.glance is None else Glance(**content["glance"]))
            problem = _problem(found)
        except (TypeError, AttributeError, ValueError):
            raise ValueError(
                f"{path} is not a calibration, or is damaged: a part is missing, unknown or of another kind. {_REMEDY}"
            ) from None
        if problem:
            raise ValueError(f"{path} is not a calibration: {problem}. {_REMEDY}")
        known = dict.fromkeys(CLUES, 0.0)
        glance = found.glance and replace(found.glance, is_short_form=known | dict(found.glance.is_short_form))
        return replace(found, is_short_form=known | dict(found.is_short_form), glance=glance)

    def write(self, path: Path) -> None:
        """Write `calibration.json`."""
        write_object(path, asdict(self))


def _problem(found: Calibration) -> str | None:
    """Why a calibration is invalid: a rule lacks a weight or has an unknown one, or a number is out of range."""
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
    """The answer to one question."""

    short_form: float
    """Probability that it is a short form at all, 0 to 1."""
    senses: tuple[float, ...]
    """``C`` probabilities of the senses, given that it is a short form; they sum to 1."""


def decide(
    scores: Tensor,
    log_priors: Sequence[float],
    signs: Surroundings,
    calibration: Calibration,
    fits: Sequence[float] | None = None,
) -> Decision:
    """Make both decisions about one mention.

    Args:
        scores: ``[C + 1]`` log-probability of each listed long form and, last, of the null candidate; C is at least 1.
        log_priors: ``C`` values, from `Inventory.log_priors`.
        signs: features of the surrounding text.
        calibration: the weights.
        fits: ``C`` values, from `topic_fits`; None: the topic is unknown.
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
    """Make both decisions about one mention without a model; arguments as for `decide`."""
    prior = torch.tensor(log_priors, dtype=torch.float64)
    fit = torch.zeros_like(prior) if fits is None else torch.tensor(fits, dtype=torch.float64)
    return _decision(glance.prior * prior + glance.topic * fit, fit, signs, glance.is_short_form)


def _decision(
    senses: Tensor, fit: Tensor, signs: Surroundings, weights: Mapping[str, float], evidence: float = 0.0
) -> Decision:
    """The decision given ``[C]`` scores of the senses and the weights of a logistic rule."""
    shares = senses.softmax(0)
    seen = clues(shares, fit, signs)
    rule = weights["constant"] + evidence + sum(weights[name] * value for name, value in zip(CLUES, seen, strict=True))
    return Decision(short_form=1 / (1 + math.exp(-max(min(rule, 700.0), -700.0))), senses=tuple(shares.tolist()))


def clues(shares: Tensor, fit: Tensor, signs: Surroundings) -> list[float]:
    """Features of the first decision that need no model, in the order of `CLUES`.

    Args:
        shares: ``[C]`` probabilities of the senses.
        fit: ``[C]``, how well each sense fits the topic.
        signs: features of the surrounding text.
    """
    return [float(shares @ fit), float(shares.max()), *signs.values()]


def model_evidence(listed: Tensor, prior: Tensor, null: float) -> float:
    """How much likelier the text makes the listed senses than "none of these", in nats, averaged over the prior.

    It does not grow with the number of senses.
    """
    return float((listed + prior).logsumexp(0)) - null
