"""What tuning a run further gains on notes and loses elsewhere, with and without replay. Not part of `make bench`.

The run PARENT (made by `medalist demo`) is tuned further on half of the development half of the embedded clinical
notes, and tested on the other half and on its own test split. The notes are an evaluation set: runs made here are only
for this table, and must not be scored on the notes otherwise. The locked half is not used.

    python benchmarks/adapt.py --parent runs/demo
    python benchmarks/adapt.py --parent runs/demo --arm "data.replay=0.25 training.learning_rate=1e-3" --arm
    "data.replay=0"

Each arm is a training run with these overrides, in `--out`; existing results are reused. The two default arms take an
estimated 14 minutes on 2 cores. Result: Markdown on stdout; progress on stderr.
"""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from common import progress, table, timed

from medalist.cli.tables import gain_text, share_text
from medalist.data.embedded.clinical import NOTES
from medalist.evaluation.metrics import PassageBootstrap
from medalist.runs.adaptation import PARENT_TEST
from medalist.runs.evaluate import evaluate_run
from medalist.runs.parents import further_recipe
from medalist.runs.run import Run, open_run
from medalist.runs.train import train

ARMS = ("data.replay=0", "data.replay=0.25")
SHARED = ("data.test=0.5", "data.validation=0", "training.passages_per_step=2", "training.epochs=1")
"""A note has as many short forms as six passages of the sample corpus, so a step has two."""


def adapt(parent: Path, arm: str, earlier: Path | None, out: Path) -> tuple[Run, dict[str, Any], float]:
    """An arm's run, its metrics, and the seconds that training took."""
    name = re.sub(r"[^\w.]+", "-", arm)
    settings = [*SHARED, *arm.split(), f"name={name}", f"output={out}/runs"]
    recipe = further_recipe(parent, data=NOTES["clinical-development"], overrides=settings)
    seconds, run = timed(lambda: train(recipe, resume=True))
    if earlier is not None and not (run.folder / "evaluation").exists():
        # Base and parent have already answered these questions; the stored keys tell which predictions are still valid.
        shutil.copytree(earlier / "evaluation", run.folder / "evaluation")
    metrics, _ = evaluate_run(run)
    return run, metrics, seconds


def correct(run: Run, data: str) -> tuple[np.ndarray, np.ndarray]:
    """``[M]`` whether the tuned model is right on each mention with a choice, and ``[M]`` the mention's passage."""
    rows = pl.read_parquet(run.folder / "evaluation" / data / "predictions.parquet")
    rows = rows.filter((pl.col("model") == "tuned") & (pl.col("kind") == "choice")).sort("passage", "mention")
    right = [int(np.argmax(scores[:-1])) == gold for scores, gold in zip(rows["scores"], rows["gold"], strict=True)]
    return np.array(right), np.unique(rows["passage"].to_numpy(), return_inverse=True)[1]


def page(runs: dict[str, tuple[Run, dict[str, Any], float]]) -> str:
    """The tables."""
    run, metrics, _ = next(iter(runs.values()))
    first = metrics["adaptation"]
    header = ["right, % (95 % interval)", "n", "base", "parent"]
    header += [part for arm in runs for part in (arm, "change (p)")]
    lines = []
    for number, row in enumerate(first["rows"]):
        line = [
            f"{row['place']}: {row['measure']}",
            row["difference"]["count"],
            share_text(row["base"]),
            share_text(row["parent"]),
        ]
        for _, metrics, _ in runs.values():
            mine = metrics["adaptation"]["rows"][number]
            line += [share_text(mine["tuned"]), gain_text(mine["difference"])]
        lines.append([*line, row["baseline"]])
    trained = []
    for arm, (run, _, seconds) in runs.items():
        counts = run.record["training"]
        replay = run.record["parent"]["replayed"]
        trained.append((arm, counts["passages"], replay, counts["mentions"], counts["steps"], seconds))
    parts = [
        f"{run.base.id}, tuned further from {first['parent']} on {first['data']}; {run.record['machine']}.",
        table([*header, "strongest baseline"], lines),
        table(("arm", "passages", "of which replayed", "short forms", "steps", "seconds (0: reused)"), trained),
    ]
    arms = list(runs)
    if len(arms) == 2:
        rows = []
        for label, data in (("sub-domain", "test"), ("elsewhere", PARENT_TEST)):
            (before, passage), (after, _) = (correct(runs[arm][0], data) for arm in arms)
            found = PassageBootstrap(passage, resamples=2000).difference(before, after)
            assert found is not None
            rows.append((label, len(before), gain_text({**found[0].record(), "p": found[1]})))
        parts.append(table(("right, points", "n", f"`{arms[1]}` over `{arms[0]}` (p)"), rows))
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parent", type=Path, default=Path("runs/demo"), help="a trained and evaluated run")
    parser.add_argument("--arm", action="append", metavar="OVERRIDES", help=f"repeatable (default: {', '.join(ARMS)})")
    parser.add_argument("--out", type=Path, default=Path("adapt"), help="folder of the arms' runs (default: adapt)")
    chosen = parser.parse_args()
    open_run(chosen.parent)
    runs: dict[str, tuple[Run, dict[str, Any], float]] = {}
    earlier: Path | None = None
    for arm in chosen.arm or ARMS:
        progress(f"--- {arm}")
        runs[arm] = adapt(chosen.parent, arm, earlier, chosen.out)
        earlier = runs[arm][0].folder
    print(page(runs))


if __name__ == "__main__":
    main()
