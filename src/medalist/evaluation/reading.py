"""Scores marked passages as an expander does: what a glance settles is written out, the model is asked the rest.

A glance decides without the model; what it is sure enough of is settled (`trees.decisions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..data.inventory import Inventory
from ..models.load import LoadedModel
from ..tools.progress import tracking
from ..trees.decisions import Calibration, Decision, Glance
from ..trees.prompt import Encoder, PromptSettings
from ..trees.written_out import Rewritten, Written, layouts_of, rewritten
from .calibration import Case
from .predictions import Scores


def read_rest(
    loaded: LoadedModel,
    cases: Sequence[Case],
    decisions: Sequence[Decision],
    glance: Glance,
    inventory: Inventory,
    prompt: PromptSettings,
    max_nodes: int,
) -> Scores:
    """Score the mentions that the glance does not settle, in texts where the settled ones are written out.

    Args:
        loaded: the model.
        cases: M marked mentions.
        decisions: ``[M]``, the glance's decision about each.
        glance: says which of these decisions are settled.
        inventory: the candidates.
        prompt: the wording of the questions.
        max_nodes: maximum number of tokens per forward pass on a GPU.
    """
    encoder = Encoder(loaded.tokenizer, prompt.for_scoring(), max_depth=loaded.max_depth)
    groups: dict[str, list[tuple[Case, int | None]]] = {}
    for case, decision in zip(cases, decisions, strict=True):
        groups.setdefault(case.item.passage.id, []).append((case, glance.settled(decision, case.log_priors)))
    parts: list[Rewritten] = []
    for group in groups.values():
        passage = group[0][0].item.passage
        written = [
            Written(case.item.mention.start, case.item.mention.end, case.item.candidates[answer])
            for case, answer in group
            if answer is not None
        ]
        asked = [case.item.number for case, answer in group if answer is None]
        parts += rewritten(passage, encoder.windows(passage.text), written=written, asked=asked)
    found: Scores = {}
    with tracking("Reading the rest", sum(part.passage.num_questions for part in parts)) as advance:
        for layout, scores in loaded.score(
            layouts_of(parts, encoder, inventory), max_nodes=max_nodes, progress=advance
        ):
            for number, values in zip(layout.mentions, scores, strict=True):
                found[layout.text_id, number] = values.double().numpy()
        if encoder.dropped:
            advance(encoder.dropped)
    return found


def with_scores(cases: Sequence[Case], rest: Scores) -> list[Case]:
    """The cases, with scores replaced by those in `rest`, where there are any."""
    return [
        replace(case, scores=rest[case.item.key].astype(float)) if case.item.key in rest else case for case in cases
    ]


def decided(cases: Sequence[Case], calibration: Calibration) -> list[Decision]:
    """The decision about each case: the glance's if it settles the case, otherwise from the scores."""
    return [_decided(case, calibration) for case in cases]


def _decided(case: Case, calibration: Calibration) -> Decision:
    if calibration.glance is not None:
        decision = case.glanced(calibration.glance)
        if calibration.glance.settled(decision, case.log_priors) is not None:
            return decision
    return case.decided(calibration)
