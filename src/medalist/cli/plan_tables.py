"""Tables of a plan for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from ..planning.result import Plan
from .tables import new_table


def plan_tables(plan: Plan, *, hours: float | None = None) -> Iterator[RenderableType]:
    """What a recipe needs: memory by use, work and time, the verdict, and what would save memory.

    Args:
        plan: what to show.
        hours: also say how much training fits into this many hours.
    """
    yield _memory(plan)
    yield _work(plan)
    yield _whole_run(plan)
    yield from _on_cards(plan)
    if hours is not None:
        yield Text(_what_fits(plan, hours))
    if plan.untimed:
        yield Text(f"No times: {plan.untimed}.")
    yield f"Trees: {plan.trees}. The largest training pass has {plan.largest.nodes:,} tokens."
    yield Text(_verdict(plan), style="bold")
    if plan.advice:
        yield _advice(plan)


def _memory(plan: Plan) -> RenderableType:
    """Memory at the peak by use, largest first."""
    place, peak = plan.place, plan.peaks[0]
    title = f"{plan.name}: {plan.shape.name}, {plan.shape.parameters / 1e9:,.2f} billion weights"
    table = new_table(title, "", "GB", "%")
    parts = {**peak.parts, "allocator overhead": plan.total - plan.baseline - peak.total}
    shown = {name: size for name, size in parts.items() if size >= 5e6} | {"before loading a model": plan.baseline}
    for name, size in sorted(shown.items(), key=lambda part: -part[1]):
        table.add_row(name, f"{size / 1e9:,.2f}", f"{100 * size / plan.total:.0f}")
    many = f", {place.devices} devices ({place.parallel})" if place.devices > 1 else ""
    table.add_row(f"peak per {place.device}{many}, in the {peak.phase}", f"{plan.total / 1e9:,.2f}", "", style="bold")
    return table


def _work(plan: Plan) -> RenderableType:
    """Tokens, floating-point operations and, where a speed is known, seconds."""
    table = new_table("Work", "", "per optimiser step", "1,000 mentions, training", "1,000 mentions, scoring")
    thousand = 1000 / plan.mentions
    table.add_row("mentions", f"{plan.mentions:,.1f}", "1,000", "1,000")
    table.add_row("tokens (tree nodes)", f"{plan.tokens:,.0f}", f"{plan.tokens * thousand:,.0f}", "")
    scoring = f"{1000 * plan.scoring / plan.scored / 1e12:,.2f}"
    for name, work, last in (("forward", plan.work.forward, scoring), ("backward", plan.work.backward, "")):
        table.add_row(f"TFLOP {name}", f"{work / 1e12:,.2f}", f"{work * thousand / 1e12:,.2f}", last)
    if plan.step_seconds is not None and plan.training_seconds is not None and plan.scoring_seconds is not None:
        where = f"at {plan.tflops:g} TFLOP/s" if plan.tflops is not None else "on this device"
        seconds = (plan.step_seconds, plan.training_seconds, plan.scoring_seconds)
        table.add_row(f"seconds {where}", *(f"{x:,.1f}" for x in seconds))
    return table


def _verdict(plan: Plan) -> str:
    """Whether the run fits into the available memory."""
    have = f"{plan.memory / 1e9:,.1f} GB" if plan.memory else "an absent device (set --memory)"
    why = ", within the plan's error of 20 %" if plan.verdict == "may not fit" else ""
    return f"{plan.total / 1e9:,.1f} GB of {have}: {plan.verdict}{why}."


def _advice(plan: Plan) -> RenderableType:
    """Changes that would save memory, and how much."""
    table = new_table("What would save memory", "", "devices", "saves\nGB", "leaving\nGB", "", whole=True)
    for one in plan.advice:
        saved, leaving = f"{one.saved / 1e9:,.2f}", f"{one.total / 1e9:,.2f}"
        table.add_row(" ".join(one.overrides), f"{one.devices}", saved, leaving, one.verdict)
    return table


def _what_fits(plan: Plan, hours: float) -> str:
    """How much training fits into some hours."""
    found = plan.within(hours)
    if found is None:
        return "How much fits into these hours is not known without times: say --tflops."
    if not found.steps:
        before = f"; download, preparation and evaluations alone take {found.rest / 3600:,.2f}" if found.rest else ""
        return f"In {hours:g} hours: not one step{before}."
    if plan.steps is not None and plan.steps <= found.steps:
        return f"In {hours:g} hours: the whole run."
    whole = f", or data.limit={found.passages} to see all of fewer passages" if found.passages else ""
    return f"In {hours:g} hours, with the rest of the run: training.max_steps={found.steps}{whole}."


def _whole_run(plan: Plan) -> RenderableType:
    """The parts of the run, and their sum."""
    table = new_table("The whole run", "", "hours", "")
    table.columns[2].justify = "left"
    for part in plan.parts:
        table.add_row(part.name, "?" if part.seconds is None else f"{part.seconds / 3600:,.2f}", part.how)
    whole, missing = plan.whole_seconds, [part.name for part in plan.parts if part.seconds is None]
    without = f"without {', '.join(missing)}" if missing else ""
    table.add_row("total", "?" if whole is None else f"{whole / 3600:,.2f}", without, style="bold")
    return table


def _on_cards(plan: Plan) -> Iterator[RenderableType]:
    """The run on common GPUs."""
    many = f" ({plan.place.devices} of them)" if plan.place.devices > 1 else ""
    table = new_table(f"On common cards{many}", "", "TFLOP/s", "s a step", "hours", "peak GB", "")
    for card in plan.cards:
        hours = "?" if card.seconds is None else f"{card.seconds / 3600:,.2f}"
        figures = (f"{card.tflops:,.0f}", f"{card.step_seconds:,.2f}", hours, f"{card.total / 1e9:,.1f}")
        table.add_row(card.name, *figures, card.verdict)
    if plan.cards:
        yield table
        yield Text(
            f"Cards: assumed to sustain {plan.cards[0].share:.0%} of their published peak in bfloat16, as an H200 did "
            "with Llama 3 8B's shape; small models: not measured. Hours: of training, validation passes, both "
            "evaluations."
        )
