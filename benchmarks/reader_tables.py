"""The reader on each question set that `benchmarks/reader.py` scored, beside its baselines, as Markdown tables.

    python benchmarks/reader_tables.py --data DATA --scores OUT --calibration calibration.json

DATA is what `reader_data.py` made, OUT what `reader.py` left. `reader` weighs the model, the prior and the topic as the
calibration says, in one reading; `no model` weighs the last two in the same way, and `model` is the model alone. Senses
are "taught" if a lesson in DATA marks them. With `--scores` of a curve, one more table has a row for each number of
passages. Intervals are over passages (95 %).
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from medalist.data.inventory import Inventory
from medalist.data.items import Item, make_items
from medalist.data.passage_files import read_passages
from medalist.data.rows import Quarantine
from medalist.evaluation.baselines import inventory_baselines
from medalist.evaluation.calibration import make_cases
from medalist.evaluation.metrics import PassageBootstrap, compare_answerers
from medalist.evaluation.shares import Slice, right
from medalist.runs.figures import BASE, BASELINE, STYLE, TUNED
from medalist.trees.decisions import Calibration

RESAMPLES = 2000
LESSONS = ("notes", "medal", "pubmed")
SETS = ("development", "pairs", "medal", "defined", "gladis")
COLUMNS = ("reader", "model", "no model", "first listed sense", "prior alone")


def questions(data: Path, name: str) -> tuple[list[Item], Inventory]:
    """The questions of a set, and its inventory."""
    inventory = Inventory.read(data / f"questions-{name}.inventory.csv")
    passages = read_passages(data / f"questions-{name}.parquet", inventory, Quarantine(limit=1))
    return make_items(passages, inventory), inventory


def taught_senses(data: Path) -> set[tuple[str, str]]:
    """(short form, long form) of every mark in the lessons."""
    found: set[tuple[str, str]] = set()
    for name in LESSONS:
        inventory = Inventory.read(data / f"{name}.inventory.csv")
        for passage in read_passages(data / f"{name}.parquet", inventory, Quarantine(limit=1)):
            found |= {(m.short_form, m.long_form) for m in passage.mentions if m.long_form}
    return found


def table(
    items: list[Item], inventory: Inventory, path: Path, calibration: Calibration, taught: set[tuple[str, str]]
) -> dict[str, Slice]:
    """Slice -> shares right of each answerer, and the reader's gains over the baselines, where there is a choice."""
    found = np.load(path)
    names = {item.key: f"{item.passage.id}|{item.number}" for item in items}
    scores = {key: found[name] for key, name in names.items() if name in found.files}
    cases = [case for case in make_cases(items, scores, inventory) if case.item.kind == "choice"]
    items = [case.item for case in cases]
    rules = {
        "tuned": calibration,
        "model": replace(calibration, evidence=1.0, prior=0.0, topic=0.0),
        "no model": replace(calibration, evidence=0.0),
    }
    correct = {
        **{name: np.array([case.is_right(case.decided(rule)) for case in cases]) for name, rule in rules.items()},
        **inventory_baselines(items, inventory),
    }
    known = np.array([(item.mention.short_form, item.mention.long_form) in taught for item in items])
    slices = {
        "all": np.ones(len(items), dtype=bool),
        "no leak": np.array([not item.leak for item in items]),
        "sense taught": known,
        "sense not taught": ~known,
    }
    places = {name: number for number, name in enumerate(dict.fromkeys(item.passage.id for item in items))}
    bootstrap = PassageBootstrap([places[item.passage.id] for item in items], resamples=RESAMPLES)
    return compare_answerers(bootstrap, correct, slices)


def row(name: str, cells: Slice) -> str:
    """One line of a table."""

    def shown(answerer: str) -> str:
        key = {"reader": "tuned"}.get(answerer, answerer)
        key = next((found for found in cells if found.startswith(key)), key)
        if key not in cells:
            return ""
        value = right(cells, key)
        return f"{100 * value['value']:.1f} ({100 * value['low']:.1f}-{100 * value['high']:.1f})"

    gain = cells["from_baselines"]
    p = max(gain[baseline]["p"] for baseline in gain if baseline not in ("model", "no model"))
    return f"| {name} | {cells['count']} | " + " | ".join(map(shown, COLUMNS)) + f" | {p:.2g} |"


def draw(curve: dict[int, Slice], path: Path) -> None:
    """The curve of accuracy against passages, with intervals, beside the first listed sense."""
    with rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.4), layout="constrained")
        axes = figure.subplots()
        passages = list(curve)
        for answerer, colour, label in (("tuned", TUNED, "reader"), ("model", BASE, "model without the prior")):
            cells = [right(cell, answerer) for cell in curve.values()]
            axes.plot(passages, [100 * cell["value"] for cell in cells], "o-", color=colour, label=label)
            if answerer == "tuned":
                low, high = ([100 * cell[end] for cell in cells] for end in ("low", "high"))
                axes.fill_between(passages, low, high, color=colour, alpha=0.15, linewidth=0)
        first = 100 * right(next(iter(curve.values())), "first listed sense")["value"]
        axes.axhline(first, color=BASELINE, linestyle="--", label="first listed sense")
        axes.set(xscale="log", xlabel="passages trained on, once", ylabel="right, %", xticks=passages)
        axes.set_xticks(passages, [f"{count:,}" for count in passages])
        axes.minorticks_off()
        axes.legend(loc="upper left")
        figure.savefig(path)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--figure", type=Path, help="draw the curve into this .svg or .png file")
    options = parser.parse_args()
    calibration = Calibration.read(options.calibration)
    taught = taught_senses(options.data)
    head = f"| | n | {' | '.join(COLUMNS)} | p |\n|{' --- |' * (len(COLUMNS) + 3)}"
    print(head)
    for name in SETS:
        scored = options.scores / f"scores-tuned-{name}.npz"
        if not scored.exists():
            print(f"| {name}: not scored |")
            continue
        items, inventory = questions(options.data, name)
        found = table(items, inventory, scored, calibration, taught)
        for part, cells in found.items():
            print(row(f"{name}, {part}", cells))
    curve: dict[int, Slice] = {}
    found_curve = {int(path.stem.split("-")[2]): path for path in options.scores.glob("scores-curve-*-development.npz")}
    if found_curve:
        print("\n" + head)
        items, inventory = questions(options.data, "development")
        for passages, path in sorted(found_curve.items()):
            curve[passages] = table(items, inventory, path, calibration, taught)["all"]
            print(row(f"{passages:,} passages", curve[passages]))
    if options.figure:
        draw(curve, options.figure)


if __name__ == "__main__":
    main()
