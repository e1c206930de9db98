"""Fits how the reader's scores become answers, on the development half of the clinical notes, and shows what follows.

    python benchmarks/reader_fit.py --data DATA --scores OUT --write calibration.json    # some two minutes

DATA is what `reader_data.py` made, OUT what `reader.py` left. The fit is `medalist.evaluation.calibration`, as for a
run. Figures are cross-validated over notes (ten folds), so no note is answered with weights that it helped to fit; what
is written is fitted on all of them. The reader reads the mentions again that are unsure by the scores in OUT. The
thresholds are set on those same answers, so the shares that they aim at are reached by construction.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from medalist.data.embedded import reader
from medalist.data.inventory import Inventory
from medalist.data.items import make_items
from medalist.data.passage_files import read_passages
from medalist.evaluation.baselines import inventory_baselines
from medalist.evaluation.calibration import Case, cross_validated, fit, make_cases
from medalist.evaluation.offers import calibrated_figures
from medalist.evaluation.rereading import read_again, with_scores
from medalist.evaluation.shares import Share, right
from medalist.recipe import EvaluationSettings
from medalist.runs.reader import load_reader
from medalist.trees.decisions import Calibration
from medalist.trees.prompt import PromptSettings

PRECISION = 0.95
"""Share of the offered answers that are to be right."""
RESAMPLES = 2000


def scored_cases(data: Path, scores: Path) -> list[Case]:
    """The development notes' mentions with something to choose, and their scores."""
    inventory = Inventory.read(data / "questions-development.inventory.csv")
    passages = read_passages(data / "questions-development.parquet", inventory)
    items = make_items(passages, inventory)
    found = np.load(scores / "scores-tuned-development.npz")
    names = {item.key: f"{item.passage.id}|{item.number}" for item in items}
    return make_cases(items, {key: found[name] for key, name in names.items() if name in found}, inventory)


def shown(name: str, cell: Share | None) -> str:
    """A line with a share in per cent, its interval and its count."""
    if cell is None:
        return f"{name}: none"
    value, low, high = (100 * cell[key] for key in ("value", "low", "high"))
    return f"{name}: {value:.1f} % ({low:.1f}-{high:.1f}), n = {cell['count']}"


def main() -> None:
    """Fit, print the figures, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    inventory = Inventory.read(options.data / "questions-development.inventory.csv")
    once = scored_cases(options.data, options.scores)
    settled_from = fit(once, precision=PRECISION).offered_from
    again = read_again(
        load_reader(),
        once,
        replace(fit(once, precision=PRECISION), settled_from=settled_from),
        inventory,
        PromptSettings(window=reader.WINDOW, max_nodes=reader.MAX_NODES),
        EvaluationSettings().max_nodes,
        cross_validated(once),
    )
    for cases, title in ((once, "one reading"), (with_scores(once, again), f"two, {len(again)} mentions again")):
        print(f"{title}:")
        calibration = fit(cases, precision=PRECISION)
        show(cases, calibration, inventory)
    calibration = replace(calibration, settled_from=settled_from)
    print(calibration)
    if options.write:
        calibration.write(options.write)


def show(cases: list[Case], calibration: Calibration, inventory: Inventory) -> None:
    """Print what a calibration makes of the cases."""
    items = [case.item for case in cases]
    figures = calibrated_figures(
        cases,
        cross_validated(cases),
        calibration,
        among_listed=inventory_baselines([item for item in items if item.kind == "choice"], inventory),
        always=inventory_baselines(items, inventory),
        resamples=RESAMPLES,
    )
    for name in ("tuned", "first listed sense", "prior alone"):
        print(shown(f"among listed senses, {name}", right(figures["slices"]["all"], name)))
        print(shown(f"right when free to decline, {name}", right(figures["expansion"]["all"], name)))
    print(shown("look-alikes left alone", figures["left_alone"]))
    print(shown("needless declines", figures["needless_declines"]))
    print(shown("offered", figures["offered"]["all"]["coverage"]))
    print(shown("right among the offered", figures["offered"]["all"]["precision"]))


if __name__ == "__main__":
    main()
