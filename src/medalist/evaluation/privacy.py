"""Measures how much a tuned model reveals about its training texts: membership inference and exposure, from losses.

In shapes, N is the number of training texts (members), K that of texts of the same kind not trained on (others).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import TypeAdapter
from typing_extensions import TypedDict  # pydantic cannot check that of `typing` before Python 3.12

from ..tools.pages import interval, per_cent
from ..tools.shapes import checked, json_object
from .metrics import Floats
from .shares import Share

PRIVACY_FILE = "privacy.json"
FALSE_ALARMS = 0.05
"""Maximum false-positive rate, the share of others taken for members, at which recognised members are counted."""

Signal = Literal["words", "answers"]
SIGNALS: dict[Signal, str] = {"words": "the text's words", "answers": "the answers to its questions"}
"""Which of a model's losses on a text an attack uses."""


class Attack(TypedDict):
    """One membership inference attack, by how much tuning lowered a text's loss."""

    signal: Signal
    auc: Share
    """The probability that a member's loss fell by more than another text's; 0.5 is chance. `count`: N + K."""
    recognised: Share
    """The share of members recognised with at most `FALSE_ALARMS` of the others taken for members; `count`: N."""
    untuned: Share
    """`auc` with the base's loss alone, which cannot reveal membership: if it is not near 0.5, members and others
    differ in kind, and `auc` does not measure membership alone."""


class PrivacyBasis(TypedDict):
    """The inputs of the attacks."""

    base: str
    """Hash of the base's weights."""
    tuned: str
    """Hash of the tuned model's weights."""
    texts: str
    """Fingerprint of the texts, members first."""
    members: int
    resamples: int


class Privacy(PrivacyBasis):
    """`privacy.json`: do the weights reveal which texts they were tuned on?"""

    others: int
    trained_on: float | None
    """How often training saw each member on average, up to the saved weights; None if unknown."""
    source: str
    """Where members and others come from."""
    attacks: list[Attack]


_PRIVACY: TypeAdapter[Privacy] = TypeAdapter(Privacy)


def read_privacy(evaluation: Path) -> Privacy | None:
    """The attacks stored in a run's `evaluation` folder; None if there are none.

    Raises:
        ValueError: the file is not valid JSON, or does not have the expected shape.
    """
    path, remedy = evaluation / PRIVACY_FILE, "Remove it and run `medalist privacy` again."
    return checked(path, _PRIVACY, json_object(path, remedy=remedy), remedy=remedy) if path.exists() else None


def privacy_in_words(found: Privacy) -> list[str]:
    """The results of the attacks, in a sentence or two each."""
    lines = []
    for one in found["attacks"]:
        by, guess = one["auc"], one["untuned"]
        line = (
            f"By {SIGNALS[one['signal']]}, a training text is told from another in {per_cent(by)} of pairs "
            f"(95 % interval {interval(by)}; a guess is right in 50 %)"
        )
        if guess["low"] > 0.5 or guess["high"] < 0.5:
            line += (
                f". But the base, which never saw them, already tells them apart in {per_cent(guess)} "
                f"({interval(guess)}): they differ in kind, so the figure is not about training alone."
            )
        elif by["low"] > 0.5:
            recognised_share = per_cent(one["recognised"])
            line += f", and {recognised_share} of them are recognised with {100 * FALSE_ALARMS:g} % false alarms."
        else:
            line += ": not shown to be better than a guess."
        lines.append(line)
    return lines


def attack(signal: Signal, members: tuple[Floats, Floats], others: tuple[Floats, Floats], *, resamples: int) -> Attack:
    """Attack with the losses of both models, using the base's as the reference (Carlini et al. 2021).

    Args:
        signal: what the losses are of.
        members: ``[N]`` mean loss of each member under the base, and ``[N]`` under the tuned model.
        others: the same for the others, ``[K]`` each.
        resamples: number of bootstrap resamples.
    """
    fell = members[0] - members[1], others[0] - others[1]
    return {
        "signal": signal,
        "auc": auc(*fell, resamples=resamples),
        "recognised": recognised(*fell, resamples=resamples),
        "untuned": auc(-members[0], -others[0], resamples=resamples),
    }


def auc(members: Floats, others: Floats, *, resamples: int) -> Share:
    """Probability that a member's value is above another's, ties counting half, with its 95 % interval.

    The interval is by bootstrap; members and others are resampled separately.

    Args:
        members: ``[N]``.
        others: ``[K]``.
        resamples: number of bootstrap resamples.

    Raises:
        ValueError: one of the arrays is empty.
    """
    _check(members, others)
    above = (members[:, None] > others) + 0.5 * (members[:, None] == others)
    draw = np.random.default_rng(0)
    n, k = above.shape
    first = draw.multinomial(n, np.full(n, 1 / n), size=resamples) / n
    second = draw.multinomial(k, np.full(k, 1 / k), size=resamples) / k
    low, high = np.quantile(((first @ above) * second).sum(1), [0.025, 0.975])
    return {"value": float(above.mean()), "low": float(low), "high": float(high), "count": n + k}


def recognised(members: Floats, others: Floats, *, resamples: int) -> Share:
    """Share of the members above a threshold that at most `FALSE_ALARMS` of the others exceed (Carlini et al. 2022).

    Each resample sets its own threshold, so the interval includes the threshold's uncertainty. Arguments as for `auc`.

    Raises:
        ValueError: one of the arrays is empty.
    """
    _check(members, others)
    draw = np.random.default_rng(0)
    found = []
    for _ in range(resamples):
        drawn = draw.choice(members, len(members)), draw.choice(others, len(others))
        found.append(_above_threshold(*drawn))
    low, high = np.quantile(found, [0.025, 0.975])
    return {
        "value": _above_threshold(members, others),
        "low": float(low),
        "high": float(high),
        "count": len(members),
    }


def _above_threshold(members: Floats, others: Floats) -> float:
    allowed = int(FALSE_ALARMS * len(others))
    return float((members > np.sort(others)[-1 - allowed]).mean())


def exposure(secret: float, alternatives: Floats) -> float:
    """How far a secret's likelihood stands out, in bits: log2 of the number of possible secrets minus log2 of its rank.

    Source: Carlini et al. 2019, "The Secret Sharer". A secret unknown to the model has 1.44 bits on average (see
    `chance_exposure`), and the likeliest of all has log2 of their number. Ties count half.

    Args:
        secret: log-likelihood of the secret, or by how much tuning raised it.
        alternatives: the same for every other secret that could have been drawn.

    Raises:
        ValueError: there are no alternatives.
    """
    if not len(alternatives):
        raise ValueError("An exposure needs alternatives to the secret")
    rank = 1 + float((alternatives > secret).sum()) + float((alternatives == secret).sum()) / 2
    return float(np.log2((len(alternatives) + 1) / rank))


def chance_exposure(count: int) -> float:
    """The mean exposure, in bits, of a secret unknown to the model, among `count` equally likely ones."""
    return float(np.log2(count) - np.log2(np.arange(1, count + 1)).mean())


def mean_exposure(bits: Floats, *, resamples: int) -> Share:
    """Mean of ``bits[S]`` over S secrets, with its 95 % interval by bootstrap over the secrets.

    Raises:
        ValueError: there are no secrets.
    """
    if not len(bits):
        raise ValueError("There are no secrets to average over")
    draw = np.random.default_rng(0)
    means = draw.choice(bits, (resamples, len(bits))).mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"value": float(bits.mean()), "low": float(low), "high": float(high), "count": len(bits)}


def _check(members: Floats, others: Floats) -> None:
    if not len(members) or not len(others):
        raise ValueError(f"{len(members)} members and {len(others)} others: an attack needs at least one of each")
