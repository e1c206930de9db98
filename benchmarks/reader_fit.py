"""Fits how the reader's scores become answers, on the development half of the clinical notes, and shows what follows.

    python benchmarks/reader_fit.py --data DATA --scores OUT --write calibration.json

DATA is what `reader_data.py` made, OUT what `reader.py` left. The fit is `medalist.evaluation.calibration`, as for a
run. Figures are cross-validated over notes (ten folds), so no note is answered with weights that it helped to fit; what
is written is fitted on all of them. The two thresholds are set on those same answers, so the shares that they aim at
are reached by construction.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from medalist.data.inventory import Inventory
from medalist.data.items import make_items
from medalist.data.passage_files import read_passages
from medalist.evaluation.baselines import inventory_baselines
from medalist.evaluation.calibration import Case, cross_validated, fit, make_cases
from medalist.evaluation.offers import calibrated_figures
from medalist.evaluation.shares import Share, right

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
    cases = scored_cases(options.data, options.scores)
    calibration = fit(cases, precision=PRECISION)
    items = [case.item for case in cases]
    inventory = Inventory.read(options.data / "questions-development.inventory.csv")
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
    print(calibration)
    if options.write:
        calibration.write(options.write)


if __name__ == "__main__":
    main()
