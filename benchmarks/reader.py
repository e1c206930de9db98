"""Tunes the note reader on prepared lessons for a given time and scores question sets with it.

Meant for a GPU that is available for a limited time only.

    python benchmarks/reader.py --data DATA --minutes 6 --out OUT [--base FOLDER_OR_GGUF]

DATA holds `<name>.parquet` with marked passages and `<name>.inventory.csv` with their candidates: `notes` (the first
lesson), further lessons, `validation` (with the candidates of `notes`), and `questions-<name>` to be scored. OUT
receives the run folder's `adapter/` and `log.jsonl`, `scores-<name>.npz` (scores of all candidates of each question,
with the null candidate last, and the model's scores for each short form without context), and `reader.json`. With
`--curve`, adapters are then tuned from nothing on so many passages of `notes`, and only the development notes scored.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from medalist.data.inventory import Inventory
from medalist.data.passage_files import read_passages
from medalist.data.passages import Mention, Passage
from medalist.models.adapters import load_adapter
from medalist.models.load import LoadedModel, load_base
from medalist.recipe import Recipe, parse_recipe
from medalist.runs.reader_run import TRAINED
from medalist.training.batches import Lesson
from medalist.training.tune import TuningData, tune
from medalist.trees.prompt import Encoder
from medalist.trees.scoring import score_layouts

RECIPE: dict[str, Any] = {
    "name": "reader",
    "prompt": {"window": 768, "max_nodes": 1024},
    "training": {**TRAINED, "log_every": 10, "keep_checkpoints": 1},
}
CALIBRATION = 40
"""Steps that are trained first, to estimate how many fit into the time."""


def main() -> None:
    """Tune, score and write the results; each part is written as soon as it is done."""
    options = _options()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    recipe = parse_recipe(RECIPE | {"output": str(out), "seed": 0}, options.set)
    lessons = [Lesson(texts=list(_read(path)[0]), inventory=_read(path)[1]) for path in _lessons(options.data)]
    validation = read_passages(options.data / "validation.parquet", lessons[0].inventory)
    _say(began, f"{sum(len(lesson.texts) for lesson in lessons):,} passages read")
    base = _base(options)
    _say(began, f"base loaded, {base.attention}, tree error {base.tree_error:.2g}")
    about: dict[str, Any] = {"device": _device(base), "attention": base.attention, "tree_error": base.tree_error}
    if options.score_base:
        _score_all(base, recipe, options.data, out, "base", began, "*")
    steps = options.steps
    if steps is None:
        seconds = _seconds_a_step(base, recipe, lessons, options)
        left = options.minutes * 60 - (time.monotonic() - began) - options.keep
        steps = max(1, int(left / seconds))
        about["seconds_a_step"] = seconds
        base = _base(options)
        _say(began, f"{seconds:.3f} s a step: {steps} steps fit")
    epoch = sum(len(lesson.texts) for lesson in lessons) // recipe.training.passages_per_step
    steps = min(steps, int(epoch * options.epochs))
    at_work = time.monotonic()
    found = _tune(base, recipe, lessons, validation, out / "reader", steps, options, evaluations=3)
    about |= found | {"seconds": time.monotonic() - at_work, "recipe": recipe.model_dump(mode="json")}
    if torch.cuda.is_available():
        about["peak_memory"] = torch.cuda.max_memory_allocated()
    (out / "reader.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    _say(began, f"tuned: {steps} steps, {json.dumps(found)}")
    if options.start and options.blend < 1:
        _blend(out / "reader" / "adapter", options.start, options.blend)
    _score_tuned(options, recipe, out / "reader", "tuned", "*", began)
    for passages in options.curve:
        texts = random.Random(0).sample(list(lessons[0].texts), passages)
        few = [Lesson(texts=texts, inventory=lessons[0].inventory)]
        steps = max(1, passages // recipe.training.passages_per_step)
        options.start = None
        _tune(_base(options), recipe, few, [], out / f"curve-{passages}", steps, options, evaluations=1)
        _score_tuned(options, recipe, out / f"curve-{passages}", f"curve-{passages}", "development", began)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--base", default="smollm2-135m", help="like model.base in a recipe")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--minutes", type=float, default=6, help="for everything, including the scoring at the end")
    parser.add_argument("--keep", type=float, default=60, help="seconds reserved for scoring")
    parser.add_argument("--steps", type=int, help="instead of as many as fit into the time")
    parser.add_argument("--epochs", type=float, default=1.0, help="at most this many passes over the lessons")
    parser.add_argument("--start", type=Path, help="folder of an adapter to begin with")
    parser.add_argument("--blend", type=float, default=1.0, help="share of the tuned weights; the rest are --start's")
    parser.add_argument("--cast", action="store_true", help="check the base in float32, then cast it to bfloat16")
    parser.add_argument("--curve", type=int, nargs="*", default=[], metavar="PASSAGES", help="numbers of passages")
    parser.add_argument("--score-base", action="store_true", help="score the question sets with the base too")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="overrides of the recipe")
    return parser.parse_args()


def _blend(adapter: Path, start: Path, share: float) -> None:
    """Put the weighted mean of both adapters' weights in the first one's place."""
    tuned, before = (load_file(folder / "adapter_model.safetensors") for folder in (adapter, start))
    mean = {name: share * weight.float() + (1 - share) * before[name].float() for name, weight in tuned.items()}
    save_file(mean, adapter / "adapter_model.safetensors", metadata={"format": "pt"})


def _score_tuned(
    options: argparse.Namespace, recipe: Recipe, run: Path, name: str, questions: str, began: float
) -> None:
    """Score question sets with a tuned adapter on the base in float32."""
    base = load_adapter(load_base(str(options.base), device=options.device, dtype="float32"), run / "adapter")
    _score_all(base, recipe, options.data, options.out, name, began, questions)


def _say(began: float, text: str) -> None:
    print(f"[{time.monotonic() - began:6.1f} s] {text}", flush=True)


def _base(options: argparse.Namespace) -> LoadedModel:
    if not options.cast:
        return load_base(str(options.base), device=options.device)
    base = load_base(str(options.base), device=options.device, dtype="float32")
    base.model.to(torch.bfloat16)
    return base


def _device(base: LoadedModel) -> str:
    return torch.cuda.get_device_name() if base.model.device.type == "cuda" else "cpu"


def _lessons(folder: Path) -> list[Path]:
    """`notes` first, then the others by name."""
    found = (
        path
        for path in sorted(folder.glob("*.parquet"))
        if path.stem not in ("notes", "validation") and not path.stem.startswith("questions-")
    )
    return [folder / "notes.parquet", *found]


def _read(path: Path) -> tuple[list[Passage], Inventory]:
    inventory = Inventory.read(path.with_suffix(".inventory.csv"))
    return read_passages(path, inventory), inventory


def _seconds_a_step(base: LoadedModel, recipe: Recipe, lessons: list[Lesson], options: argparse.Namespace) -> float:
    """Seconds per step, from the second half of a short run, so that start-up does not count."""
    marks: list[float] = []
    hook = base.model.register_forward_pre_hook(lambda *_: marks.append(time.monotonic()))
    _tune(base, recipe, lessons, [], options.out / "calibration", CALIBRATION, options, evaluations=1)
    hook.remove()
    passes = len(marks) // CALIBRATION
    half = marks[len(marks) // 2 :]
    return (half[-1] - half[0]) / (len(half) - 1) * passes


def _tune(
    base: LoadedModel,
    recipe: Recipe,
    lessons: list[Lesson],
    validation: list[Passage],
    run: Path,
    steps: int,
    options: argparse.Namespace,
    *,
    evaluations: int,
) -> dict[str, Any]:
    run.mkdir(parents=True, exist_ok=True)
    changed = {"max_steps": steps, "evaluate_every": max(1, steps // evaluations)}
    settings = recipe.training.model_copy(update=changed)
    return tune(
        base,
        recipe.model_copy(update={"training": settings}),
        TuningData(train=lessons[0].texts, validation=validation, inventory=lessons[0].inventory, beside=lessons[1:]),
        run,
        start=options.start,
    )


def _score_all(
    base: LoadedModel, recipe: Recipe, data: Path, out: Path, name: str, began: float, questions: str
) -> None:
    for path in sorted(data.glob(f"questions-{questions}.parquet")):
        passages, inventory = _read(path)
        asked = {mention.short_form for passage in passages for mention in passage.mentions}
        alone = [_alone(short_form) for short_form in sorted(asked & set(inventory.senses))]
        scores = dict(_scores(base, recipe, [*passages, *alone], inventory))
        np.savez_compressed(out / f"scores-{name}-{path.stem.removeprefix('questions-')}.npz", **scores)
        _say(began, f"{name}, {path.stem}: {len(scores):,} questions scored")


def _alone(short_form: str) -> Passage:
    """A text that consists only of the short form."""
    mention = Mention(start=0, end=len(short_form), short_form=short_form)
    return Passage(id=f"alone:{short_form}", text=short_form, mentions=(mention,))


def _scores(
    base: LoadedModel, recipe: Recipe, passages: list[Passage], inventory: Inventory
) -> Iterator[tuple[str, np.ndarray]]:
    encoder = Encoder(base.tokenizer, recipe.prompt, max_depth=base.max_depth)
    layouts = (layout for passage in passages for layout in encoder.encode(passage, inventory))
    for layout, scores in score_layouts(base.model, layouts, attention=base.attention, max_nodes=16384):
        for number, values in zip(layout.mentions, scores, strict=True):
            yield f"{layout.text_id}|{number}", values.numpy()


if __name__ == "__main__":
    main()
