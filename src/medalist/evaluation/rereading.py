"""Asks again about the unsure mentions of marked passages, the sure ones written out; see `trees.second_reading`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from ..data.inventory import Inventory
from ..models.load import LoadedModel
from ..tools.progress import tracking
from ..trees.decisions import Calibration, Decision, of_both_readings
from ..trees.prompt import Encoder, PromptSettings
from ..trees.second_reading import Rewritten, Written, layouts_again, rewritten
from .calibration import Case
from .metrics import Floats
from .predictions import Scores


def read_again(
    loaded: LoadedModel,
    cases: Sequence[Case],
    calibration: Calibration,
    inventory: Inventory,
    prompt: PromptSettings,
    max_nodes: int,
    decisions: Sequence[Decision] | None = None,
) -> Scores:
    """The scores of the mentions that were asked about again.

    Args:
        loaded: the model.
        cases: marked mentions with their scores of the first reading.
        calibration: how they become answers, and which of these are sure.
        inventory: the candidates.
        prompt: the wording of the questions.
        max_nodes: tokens per forward pass on a GPU.
        decisions: what was decided about each case; None: what the calibration decides.
    """
    encoder = Encoder(loaded.tokenizer, prompt, max_depth=loaded.max_depth)
    decided = [case.decided(calibration) for case in cases] if decisions is None else decisions
    groups: dict[str, list[tuple[Case, Decision]]] = {}
    for case, decision in zip(cases, decided, strict=True):
        groups.setdefault(case.item.passage.id, []).append((case, decision))
    parts: list[Rewritten] = []
    for group in groups.values():
        passage = group[0][0].item.passage
        settled = [(case, calibration.settled(decision)) for case, decision in group]
        written = [
            Written(case.item.mention.start, case.item.mention.end, case.item.candidates[answer])
            for case, answer in settled
            if answer is not None
        ]
        unsure = [case.item.number for case, answer in settled if answer is None]
        parts += rewritten(passage, encoder.windows(passage.text), written=written, unsure=unsure)
    found: Scores = {}
    with tracking("Second reading", sum(part.passage.num_questions for part in parts)) as advance:
        layouts = layouts_again(parts, encoder, inventory)
        for layout, scores in loaded.score(layouts, max_nodes=max_nodes, progress=advance):
            for number, values in zip(layout.mentions, scores, strict=True):
                found[layout.text_id, number] = values.double().numpy()
        if encoder.dropped:
            advance(encoder.dropped)
    return found


def with_scores(cases: Sequence[Case], again: Scores) -> list[Case]:
    """The cases, with the scores of both readings where there was a second one."""
    return [
        replace(case, scores=_both(case, again[case.item.key])) if case.item.key in again else case for case in cases
    ]


def _both(case: Case, second: Floats) -> Floats:
    first, second_scores = torch.from_numpy(case.scores), torch.from_numpy(second.astype(float))
    found: Floats = of_both_readings(first, second_scores, case.log_priors).numpy()
    return found
