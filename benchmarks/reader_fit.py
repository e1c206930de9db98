"""Fits how the reader's scores become answers, on the clinical notes that are for choices, and shows what follows.

    python benchmarks/reader_fit.py --write calibration.json    # some ten minutes

The fit is `medalist.evaluation.glance`, as for a run. Figures are cross-validated over notes (ten folds), so no note is
answered with weights that it helped to fit; what is written is fitted on all of them. What a glance does not settle is
read by the reader, the rest written out. Notes whose senses were added to the inventory afterwards are read with the
inventory that had not seen them, so that meanings which are not listed come as often as in notes by other hands. The
thresholds are set on those same answers, so the shares that they aim at are reached by construction; the notes that are
dense in look-alikes teach the weights, but set no threshold.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import compress, islice
from pathlib import Path

import numpy as np

from medalist.data.embedded import clinical, reader
from medalist.data.inventory import Inventory
from medalist.data.items import make_items
from medalist.data.passages import Passage
from medalist.evaluation.baselines import inventory_baselines
from medalist.evaluation.calibration import Case, lowest_offered, make_cases, thresholds
from medalist.evaluation.glance import fit_after_glance, fit_glance, settled_from
from medalist.evaluation.offers import calibrated_figures
from medalist.evaluation.reading import read_rest, with_scores
from medalist.evaluation.shares import Share, right
from medalist.models.base import EMBEDDED
from medalist.models.load import LoadedModel
from medalist.models.scorer import load_scorer
from medalist.recipe import EvaluationSettings
from medalist.runs.held_out import read_marked
from medalist.runs.reader import in_listed_words
from medalist.trees.decisions import Calibration, Decision
from medalist.trees.prompt import Encoder, PromptSettings

PRECISION = 0.97
"""Share of the offered answers that are to be right."""
RESAMPLES = 2000


SETS = ("clinical-development", "clinical-blind", "clinical-look-alikes")
USUAL = ("c", "b1", "b2", "b3", "b4", "b5", "b6")
"""How the ids of the notes begin that set the thresholds."""
PARTS: dict[str, tuple[str, ...]] = {
    "development half and blind notes": USUAL,
    "development half": USUAL[:1],
    "first 80 blind notes": USUAL[1:3],
    "next 80 blind notes": USUAL[3:5],
    "last 90 blind notes": USUAL[5:],
}
"""What sets the thresholds -> how its notes' ids begin."""
SHOWN = PARTS | {"notes dense in look-alikes": ("b7",)}
BROUGHT = {"b1": 3, "b2": 3, "b3": 5, "b4": 5, "b5": 6, "b6": 6, "b7": 6}
"""How the ids of notes begin -> the version of the data that lists the senses which they brought."""
PROMPT = PromptSettings(window=reader.WINDOW, max_nodes=reader.MAX_NODES)


def unread(loaded: LoadedModel) -> list[tuple[Inventory, list[Case]]]:
    """The mentions with something to choose, by the inventory that they are read with; nothing has been scored."""
    windows = Encoder(loaded.tokenizer, PROMPT, max_depth=loaded.max_depth).windows
    notes: dict[int | None, list[Passage]] = {}
    for name in SETS:
        for note in read_marked(clinical.NOTES[name], reader.inventory())[0]:
            notes.setdefault(BROUGHT.get(note.id[:2]), []).append(note)
    found = []
    for version, several in notes.items():
        inventory = reader.inventory(version)
        items = make_items([in_listed_words(note, inventory) for note in several], inventory)
        scores = {item.key: np.zeros(len(item.candidates) + 1) for item in items}
        found.append((inventory, make_cases(items, scores, inventory, windows)))
    return found


def shown(name: str, cell: Share | None) -> str:
    """A line with a share in per cent, its interval and its count."""
    if cell is None:
        return f"{name}: none"
    value, low, high = (100 * cell[key] for key in ("value", "low", "high"))
    return f"{name}: {value:.1f} % ({low:.1f}-{high:.1f}), n = {cell['count']}"


def main() -> None:
    """Fit, print the figures, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapter", type=Path, default=reader.ADAPTER, help="instead of the packaged one")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    loaded = load_scorer(EMBEDDED, options.adapter)
    parts = unread(loaded)
    cases = [case for _, several in parts for case in several]
    found = fit_glance(cases, precision=PRECISION)
    assert found is not None, "there is enough to fit one"
    glance, seen = found
    glance = replace(glance, short_form_from=thresholds(*part(cases, seen, USUAL), PRECISION)[0])
    glance = replace(
        glance,
        settled_from=max(settled_from(*part(cases, seen, first)) for first in PARTS.values()),
        offered_from=least_offered(cases, seen, glance.short_form_from),
    )
    decided, rest = iter(seen), {}
    for inventory, several in parts:
        here = list(islice(decided, len(several)))
        rest |= read_rest(loaded, several, here, glance, inventory, PROMPT, EvaluationSettings().max_nodes)
    read = with_scores(cases, rest)
    fitted = fit_after_glance(read, seen, glance, precision=PRECISION)
    assert fitted is not None, "enough is left to fit"
    calibration, decisions = fitted
    calibration = replace(calibration, short_form_from=thresholds(*part(read, decisions, USUAL), PRECISION)[0])
    offered = least_offered(read, decisions, calibration.short_form_from)
    calibration = replace(calibration, offered_from=offered)
    print(f"The reader is asked about {len(rest):,} of {len(cases):,} mentions.")
    for name, first in SHOWN.items():
        print(f"{name}:")
        show(*part(read, decisions, first), calibration)
        print(f"{name}, without a model:")
        show(*part(cases, seen, first), calibration.without_model())
    print(calibration)
    if options.write:
        calibration.write(options.write)


def part(cases: list[Case], decisions: list[Decision], first: tuple[str, ...]) -> tuple[list[Case], list[Decision]]:
    """The cases whose notes' ids begin in a certain way, and the decisions about them."""
    here = [case.item.passage.id.startswith(first) for case in cases]
    return list(compress(cases, here)), list(compress(decisions, here))


def least_offered(cases: list[Case], decisions: list[Decision], short_form_from: float) -> float:
    """The least probability of a sure answer at which each part by itself reaches the precision."""
    lowest = []
    for first in PARTS.values():
        here, decided = part(cases, decisions, first)
        passed = np.array([decision.short_form >= short_form_from for decision in decided])
        lowest.append(lowest_offered(here, decided, passed, PRECISION))
    return max(lowest)


def show(cases: list[Case], decisions: list[Decision], calibration: Calibration) -> None:
    """Print what is right of the decisions about cases, with the thresholds of a calibration."""
    items, inventory = [case.item for case in cases], reader.inventory()
    absent = sum(item.kind == "absent" for item in items)
    print(f"{len(items):,} mentions, of which {absent:,} have a meaning that is not listed")
    figures = calibrated_figures(
        cases,
        decisions,
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
