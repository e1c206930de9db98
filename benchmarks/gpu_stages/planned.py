"""What medalist's plan expects of a pass, where its code can be imported."""

from __future__ import annotations

from typing import Any

from .notes import described
from .passes import Pass


def planned_memory(case: Any, work: list[Pass], weights: str, rank: int) -> dict[str, Any]:
    """Bytes that the plan expects at the highest moment of training Llama 3 8B on the largest of these passes.

    Returns:
        `peak`: of tensors, to hold against what PyTorch allocated; `total`: with context and allocator; `phase`: which
        moment that is; `parts`: what takes it. Or `error`: why there is none.
    """
    try:
        from medalist.planning.memory import BASELINE, SLACK, Place, training_peaks
        from medalist.planning.memory import Pass as PlannedPass
        from medalist.planning.shapes import KNOWN
        from medalist.recipe import TrainingSettings

        largest = max(work, key=lambda one: one.computed)
        nodes = largest.computed
        one = PlannedPass(
            nodes=nodes, kept=len(largest.laid.wanted), seen=largest.pairs / nodes**2, rows=largest.sequences
        )
        place = Place(
            device="cuda", dtype="bfloat16", quantization=weights, wanted="flex" if case.kernel == "flex" else "sdpa"
        )  # type: ignore[arg-type]
        settings = TrainingSettings(rank=rank, alpha=2 * rank, activation_checkpointing=case.checkpoint)
        shape = KNOWN["meta-llama/Meta-Llama-3-8B"]
        highest = max(training_peaks(shape, settings, place, one, accumulates=False), key=lambda peak: peak.total)
    except Exception as error:
        return {"error": described(error)}
    total = BASELINE["cuda"] + SLACK["cuda"] * highest.total
    return {"peak": highest.total, "total": total, "phase": highest.phase, "parts": dict(highest.parts)}
