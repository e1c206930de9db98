"""Exports a run for other programs: merged weights, checked against the run on held-out passages before they get their name."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .checkpoints import publish_folder
from .evaluation import prediction_key, score_passages
from .inventory import Inventory
from .merging import MergedDType, write_merged
from .metrics import Estimate, PassageBootstrap, softmax
from .model import ModelError, find_base, load_base
from .passages import Passage
from .predictions import Scores, make_items, passage_numbers, read_predictions
from .run_evaluation import HeldOut, RunModels, held_out
from .runs import Run, use_threads


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Accuracy of a run's tuned model and of what was exported from it, on the same mentions."""

    before: Estimate
    after: Estimate
    difference: Estimate
    """After - before, paired."""
    p: float
    passages: int
    changed: int
    """Mentions that got another answer."""
    largest_shift: float
    """Largest change of a candidate's probability, "none of these" included."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Export:
    """What was written, and what it cost."""

    path: Path
    form: Literal["merged", "gguf"]
    type: str
    """"bfloat16", "float16", "float32"; of a GGUF file "f16", "q8_0", "q4_k_m"."""
    data: str
    """What the comparison was made on."""
    comparison: Comparison


def export_merged(
    run: Run,
    out: Path | None = None,
    *,
    dtype: MergedDType = "bfloat16",
    max_drop: float = 0.01,
    data: Path | None = None,
    inventory: Path | None = None,
    limit: int | None = None,
    force: bool = False,
) -> Export:
    """Write the tuned model as one folder that transformers, vLLM and others open as it is.

    The adapter is merged into the base's own 16- or 32-bit weights, never into those that the run quantised for training.

    Args:
        run: trained to its end.
        out: the folder to make; None: `export/<run>-<dtype>` of the run.
        dtype: of the weights.
        max_drop: largest fall of accuracy against the run's tuned model that is accepted, as a fraction.
        data: marked passages to compare on; None: the run's test split.
        inventory: the candidates; None: the run's.
        limit: compare on so many passages only.
        force: replace what `out` holds.

    Raises:
        FileExistsError: there is an export of that name already.
        FileNotFoundError: the run has not been trained to its end.
        ValueError: accuracy falls by more than `max_drop`; nothing is left then. Or the base is not the recorded one.
    """
    target = out or run.folder / "export" / f"{run.folder.name}-{dtype}"
    with _staged(target, force=force) as staged:
        held = held_out(run, data=data, inventory=inventory)
        merge_run(run, staged, dtype=dtype)
        comparison = _compare(run, str(staged), held, limit)
        _refuse_a_drop(comparison, max_drop, target)
        export = Export(path=target, form="merged", type=dtype, data=held.folder.name, comparison=comparison)
        publish_folder(staged, target)
    return export


def merge_run(run: Run, target: Path, *, dtype: MergedDType) -> None:
    """Write a run's merged weights to a new folder, unchecked.

    Raises:
        FileNotFoundError: the run has not been trained to its end.
        ModelError: the base is not the recorded one, or is quantised itself.
    """
    if run.tuned is None:
        raise FileNotFoundError(f"{run.folder} holds no tuned model yet; run `medalist train --resume`")
    if run.recipe.training.method == "full":
        write_merged(run.tuned, None, target, dtype=dtype)
        return
    base, identity = find_base(run.base.source, run.base.revision)
    if identity.sha256 != run.base.sha256:
        raise ModelError(
            f"{run.base.source} has the weights {identity.sha256[:12]}…, not {run.base.sha256[:12]}… that the run was "
            "trained on"
        )
    write_merged(base, run.tuned, target, dtype=dtype)


@contextmanager
def _staged(target: Path, *, force: bool) -> Iterator[Path]:
    """Where to write before the result gets its name; on the same disk, and gone if anything fails."""
    if target.exists() and not force:
        raise FileExistsError(f"{target} exists already: --force replaces it, --out names another")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        dir=target.parent, prefix=f".{target.name}.", ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder) / target.name


def _compare(run: Run, exported: str, held: HeldOut, limit: int | None) -> Comparison:
    """Score the run's tuned model, unless it was evaluated on this data before, and the exported one."""
    use_threads(run.recipe)
    models, passages = RunModels(run), held.passages[:limit]
    key = prediction_key(models.weights["tuned"], held.passages, held.inventory, run.recipe.prompt)

    def score(name: str, loaded: Any) -> Scores:
        settings = run.recipe.evaluation
        found, _ = score_passages(
            loaded,
            passages,
            held.inventory,
            run.recipe.prompt,
            max_nodes=settings.max_nodes,
            label=f"Evaluating {name}",
        )
        return found

    before = read_predictions(held.folder, "tuned", key) or score("the run", models.load("tuned"))
    after = score("the export", load_base(exported, dtype=run.recipe.model.dtype))
    return compare_scores(passages, held.inventory, before, after, resamples=run.recipe.evaluation.bootstrap)


def compare_scores(
    passages: Sequence[Passage], inventory: Inventory, before: Scores, after: Scores, *, resamples: int
) -> Comparison:
    """What changed between two models' scores of the same mentions: those with a listed gold and a second candidate.

    Raises:
        ValueError: there is no such mention.
    """
    items = [
        item
        for item in make_items(passages, inventory)
        if item.kind == "choice" and item.key in before and item.key in after
    ]
    if not items:
        raise ValueError("No mention has a listed gold answer and a second candidate, so there is nothing to measure")
    answers = [np.array([int(found[item.key][:-1].argmax()) for item in items]) for found in (before, after)]
    gold = np.array([item.gold for item in items])
    bootstrap = PassageBootstrap(passage_numbers(items), resamples=resamples)
    shares = [bootstrap.share(answer == gold) for answer in answers]
    difference = bootstrap.difference(*(answer == gold for answer in answers))
    assert shares[0] and shares[1] and difference, "there are mentions"
    return Comparison(
        before=shares[0],
        after=shares[1],
        difference=difference[0],
        p=difference[1],
        passages=len({item.passage.id for item in items}),
        changed=int((answers[0] != answers[1]).sum()),
        largest_shift=max(float(abs(softmax(before[i.key]) - softmax(after[i.key])).max()) for i in items),
    )


def _refuse_a_drop(found: Comparison, most: float, target: Path) -> None:
    if -found.difference.value > most:
        raise ValueError(
            f"{target.name} would lose {-100 * found.difference.value:.1f} points of accuracy ({100 * found.before.value:.1f} "
            f"to {100 * found.after.value:.1f} % of {found.before.count:,} mentions, {found.changed:,} answers changed), "
            f"more than --max-drop {most:g} allows; nothing was written"
        )
