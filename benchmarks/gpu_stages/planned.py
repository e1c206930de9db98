"""What medalist's plan expects of a pass, where its code can be imported."""

from __future__ import annotations

from typing import Any

from .notes import described
from .passes import Pass


def as_planned(case: Any, work: list[Pass], weights: str, rank: int) -> dict[str, Any]:
    """What the plan expects of training Llama 3 8B on these passes.

    Returns:
        Bytes at the highest moment of the largest pass: `peak`: of tensors, to hold against what PyTorch allocated;
        `total`: with context and allocator; `phase`: which moment that is; `parts`: what takes it. `operations`: of a
        mean step, padding, hidden pairs and what checkpointing computes again included. Or `error`: why there is none.
    """
    try:
        from medalist.planning.compute import training_work
        from medalist.planning.memory import BASELINE, SLACK, Place, training_peaks
        from medalist.planning.memory import Pass as PlannedPass
        from medalist.planning.shapes import KNOWN
        from medalist.recipe import TrainingSettings

        largest = max(work, key=lambda one: one.computed)

        def planned(one: Pass) -> PlannedPass:
            seen = one.pairs / one.computed**2
            rows = one.sequences if one.laid.place is None else len(one.laid.subtree_end)
            laid = 0 if one.laid.place is None else one.laid.subtree_end.numel()
            return PlannedPass(nodes=one.computed, kept=len(one.laid.wanted), seen=seen, rows=rows, laid=laid)

        place = Place(
            device="cuda", dtype="bfloat16", quantization=weights, wanted="flex" if case.kernel == "flex" else "sdpa"
        )  # type: ignore[arg-type]
        settings = TrainingSettings(rank=rank, alpha=2 * rank, activation_checkpointing=case.checkpoint)
        shape = KNOWN["meta-llama/Meta-Llama-3-8B"]
        peaks = training_peaks(shape, settings, place, planned(largest), accumulates=False)
        highest = max(peaks, key=lambda peak: peak.total)
        works = [training_work(shape, settings, place, planned(one)) for one in work]
        operations = sum(one.forward + one.backward for one in works) / len(works)
    except Exception as error:
        return {"error": described(error)}
    total = BASELINE["cuda"] + SLACK["cuda"] * highest.total
    return {
        "peak": highest.total,
        "total": total,
        "phase": highest.phase,
        "parts": dict(highest.parts),
        "operations": operations,
    }
