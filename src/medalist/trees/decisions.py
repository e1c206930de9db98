"""From the scores of a question to an answer, in two decisions: is this a short form here, and which sense is it then.

C senses are listed. The second decision weighs what the model says of the text against how usual each sense is, and how
well it fits the topic of what stands around it (`topic`): ``score(sense) = evidence * log p(sense | text) + prior *
log p(sense | short form) + topic * fit(sense)``. The first is a logistic rule on what the model says of "none of
these", on how well the likely senses fit the topic, and on what the text shows at a glance (`data.surroundings`).
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """How scores become answers; fitted on validation data and kept beside an adapter as `calibration.json`."""

    evidence: float
    """Weight of the model's log-probabilities."""
    prior: float
    """Weight of the inventory's log-priors."""
    is_short_form: Mapping[str, float]
    """Weights of the logistic rule: "constant", "model", "topic" and each of `SIGNS`."""
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
    settled_from: float | None = None
    """Least probability of an answer that a second reading takes as given (`second_reading`); None: there is none."""

    def settled(self, decision: Decision) -> int | None:
        """Index of the sense that a second reading takes as given; None if there is none."""
        best = max(decision.senses)
        if self.settled_from is None or decision.short_form < self.short_form_from:
            return None
        return decision.senses.index(best) if decision.short_form * best >= self.settled_from else None

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
            given = set(found.is_short_form)
            needless, missing = given - {"constant", "model", "topic", *SIGNS}, {"constant", "model"} - given
            values = [*found.is_short_form.values(), found.evidence, found.prior, found.topic]
            values += [found.short_form_from, found.offered_from, found.target, found.settled_from or 0.0]
            finite = all(map(math.isfinite, values))
        except (TypeError, AttributeError) as error:
            raise ValueError(f"{path} is not a calibration: {error}") from None
        if missing or needless or not finite:
            what = "a number is not finite"
            if missing:
                what = f"is_short_form should have {', '.join(sorted(missing))}"
            elif needless:
                what = f"is_short_form has {', '.join(sorted(needless))}, which this version does not know"
            raise ValueError(f"{path} is not a calibration: {what}")
        return replace(found, is_short_form=dict.fromkeys(("topic", *SIGNS), 0.0) | dict(found.is_short_form))

    def write(self, path: Path) -> None:
        """Write `calibration.json`."""
        write_object(path, asdict(self))


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
    senses = (calibration.evidence * listed + calibration.prior * prior + calibration.topic * fit).softmax(0)
    weights = calibration.is_short_form
    rule = weights["constant"] + weights["model"] * model_evidence(listed, prior, null)
    rule += weights["topic"] * float(senses @ fit)
    rule += sum(weights[name] * value for name, value in zip(SIGNS, signs.values(), strict=True))
    return Decision(short_form=1 / (1 + math.exp(-max(min(rule, 700.0), -700.0))), senses=tuple(senses.tolist()))


def model_evidence(listed: Tensor, prior: Tensor, null: float) -> float:
    """How much likelier the text makes some listed sense than "none of these", in nats: the average over the prior.

    More senses on the list do not make it larger.
    """
    return float((listed + prior).logsumexp(0)) - null


def of_both_readings(first: Tensor, second: Tensor, log_priors: Sequence[float]) -> Tensor:
    """The scores of two readings as one: which sense it is says the second, whether it is a short form the first.

    With everything sure written out around them, look-alikes seem likelier short forms too.

    Args:
        first: ``[C + 1]``, as for `decide`.
        second: ``[C + 1]``, of the second reading.
        log_priors: ``C`` values, as for `decide`.

    Returns:
        ``[C + 1]``: the second reading's of the senses; the last one leaves `model_evidence` as it was at first.
    """
    prior, listed = torch.tensor(log_priors, dtype=torch.float64), second[:-1].double()
    evidence = model_evidence(first[:-1].double(), prior, float(first[-1]))
    null = (listed + prior).logsumexp(0, keepdim=True) - evidence
    return torch.cat([listed, null])
