"""Exports a run for other programs: merged weights, or a GGUF file for llama.cpp.

An export is scored on the run's held-out passages before it gets its final name; it is discarded if accuracy drops.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..evaluation.comparison import Comparison, Export, compare_scores
from ..evaluation.predictions import Scores, prediction_key, read_predictions, score_texts
from ..models.base import check_base_hash, find_base
from ..models.licences import licence_of
from ..models.llama_cpp import tokenize
from ..models.load import LoadedModel, load_base
from ..runs.card import card_text
from ..runs.held_out import OWN_TEST, HeldOut, held_out
from ..runs.models import RunModels
from ..runs.run import Run, use_threads
from ..tools.failures import need_room
from ..tools.files import check_place, writing_beside, writing_folder
from ..tools.number_formats import FloatType, GGUFType
from ..tools.shapes import json_object, write_object
from .gguf import check_tools, convert, quantize, take_weights
from .merging import write_merged


def export_merged(
    run: Run,
    out: Path | str | None = None,
    *,
    dtype: FloatType = "bfloat16",
    max_drop: float = 0.01,
    on: HeldOut = OWN_TEST,
    force: bool = False,
) -> Export:
    """Write the tuned model as one folder that transformers, vLLM and others can load directly.

    The adapter is merged into the base's original 16- or 32-bit weights, never into those quantised for training.

    Args:
        run: a fully trained run.
        out: the folder to create; None: `export/<run>-<dtype>` in the run folder.
        dtype: number format of the weights.
        max_drop: largest accepted drop in accuracy from the run's tuned model, as a fraction.
        on: the held-out data to compare on.
        force: replace an existing `out`.

    Raises:
        FileExistsError: an export of that name already exists.
        FileNotFoundError: training of the run has not finished.
        ValueError: accuracy drops by more than `max_drop` (nothing is written), or the base is not the recorded one.
    """
    target = Path(out) if out else run.folder / "export" / f"{run.folder.name}-{dtype}"
    _check_free(target, force=force)
    with writing_folder(target, new=not force) as merged:
        check = _Check(run, target, max_drop=max_drop, on=on)
        _ask_for_room(run, target, dtype=dtype)
        merge_run(run, merged, dtype=dtype)
        export = Export(path=target, form="merged", type=dtype, comparison=check(lambda: check.load(merged)))
        (merged / "README.md").write_text(card_text(run, export), encoding="utf-8")
        files = sorted(path.name for path in merged.iterdir())
        made = {"run": run.folder.name, "base": run.base.id, "dtype": dtype, "files": files}
        write_object(merged / MADE, made)
    return export


def export_gguf(
    run: Run,
    out: Path | str | None = None,
    *,
    file_type: GGUFType = "q8_0",
    max_drop: float = 0.01,
    on: HeldOut = OWN_TEST,
    force: bool = False,
) -> Export:
    """Write the tuned model as one GGUF file, for llama.cpp and programs built on it.

    The dequantised weights are scored, and llama.cpp's tokenizer is compared with the run's on the same passages.

    Args:
        run: a fully trained run.
        out: the file to create; None: `export/<run>-<type>.gguf` in the run folder.
        file_type: "f16", or "q8_0" and "q4_k_m" with about 8 and 5 bits per weight.
        max_drop: largest accepted drop in accuracy from the run's tuned model, as a fraction; also the largest share of
            texts that llama.cpp may tokenize differently, because accuracy on those is not verified.
        on: the held-out data to compare on.
        force: replace an existing `out`.

    Raises:
        GGUFError: `medalist[gguf]` is not installed, or llama.cpp does not support this kind of model.
        FileExistsError: an export of that name already exists.
        FileNotFoundError: training of the run has not finished.
        ValueError: the export exceeds `max_drop` (nothing is written), or the base is not the recorded one.
    """
    check_tools()
    target = Path(out) if out else run.folder / "export" / f"{run.folder.name}-{file_type}.gguf"
    _check_free(target, force=force)
    with writing_beside(target) as staging:
        check = _Check(run, target, max_drop=max_drop, on=on)
        merged, written = staging / "merged", staging / target.name
        _ask_for_room(run, target, dtype="float16", times=3)  # merged, converted and quantised
        merge_run(run, merged, dtype="float16")
        if file_type == "f16":
            convert(merged, written, gguf_metadata(run))
        else:
            convert(merged, staging / "f16.gguf", gguf_metadata(run))
            quantize(staging / "f16.gguf", written, file_type)
            (staging / "f16.gguf").unlink()
        others = check.other_tokens(merged, written)
        comparison = check(lambda: take_weights(check.load(merged), written))
        with written.open("rb+") as file:
            os.fsync(file.fileno())
        written.replace(target)
    return Export(path=target, form="gguf", type=file_type, comparison=comparison, other_tokens=others)


def _ask_for_room(run: Run, target: Path, *, dtype: FloatType, times: int = 1) -> None:
    """Refuse to start if the disk has too little space, judging by the size of the base's 16- or 32-bit weights."""
    base = find_base(run.base.source, run.base.revision)[0] if run.is_adapter else run.trained_to_end()
    stored = sum(file.stat().st_size for file in base.glob("*.safetensors"))
    need_room(target, times * stored * (2 if dtype == "float32" else 1))


def merge_run(run: Run, target: Path, *, dtype: FloatType) -> None:
    """Write a trained run's merged weights to a new folder without scoring them.

    Raises:
        ModelError: the base is not the recorded one, or is itself quantised.
    """
    tuned = run.trained_to_end()
    if not run.is_adapter:
        write_merged(tuned, None, target, dtype=dtype)
        return
    base, identity = find_base(run.base.source, run.base.revision)
    check_base_hash(identity, run.base.sha256)
    write_merged(base, tuned, target, dtype=dtype)


MADE = "medalist-export.json"
"""A file in each merged export that lists its files, so that `force` deletes nothing else."""
_DESCRIPTION = "by Medalist"
"""Part of the description of each exported GGUF file."""
_HEAD = 1 << 20
"""Bytes at the start of a GGUF file that contain its description."""


def _check_free(target: Path, *, force: bool) -> None:
    """Refuse to overwrite an earlier export without `force`, and anything else in any case."""
    if not (target.exists() or target.is_symlink()):
        check_place(target)
        return
    if not force:
        raise FileExistsError(f"{target} exists already: --force replaces it, --out names another")
    if not _is_export(target):
        raise FileExistsError(
            f"{target} is not an earlier export, or holds more than that, so --force does not replace it: --out names "
            "another"
        )


def _is_export(path: Path) -> bool:
    """Whether a folder or file is an export by Medalist and nothing else."""
    if path.is_symlink():
        return False
    if path.is_dir():
        if not (path / MADE).is_file():
            return False
        made = json_object(path / MADE, remedy="Remove the folder yourself, or name another with --out.").get("files")
        return isinstance(made, list) and {inside.name for inside in path.iterdir()} <= {MADE, *map(str, made)}
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return head.startswith(b"GGUF") and _DESCRIPTION.encode() in head


class _Check:
    """Compares an export with the run's tuned model on held-out passages, and refuses a worse one.

    Create it before writing anything, so that a run without held-out data fails early.
    """

    def __init__(self, run: Run, target: Path, *, max_drop: float, on: HeldOut) -> None:
        run.trained_to_end()
        use_threads(run.recipe)
        self._run, self._target, self._max_drop = run, target, max_drop
        # Without the limit, because the run's stored predictions cover all of the data.
        self._held = held_out(run, replace(on, limit=None))
        self._texts = self._held.texts[: on.limit]

    def load(self, merged: Path) -> LoadedModel:
        """Load a merged folder with the dtype in which the run was evaluated."""
        settings = self._run.recipe.model
        return load_base(str(merged), dtype=settings.dtype, attention=settings.attention)

    def __call__(self, load: Callable[[], LoadedModel]) -> Comparison:
        """Score both models; reuse the tuned model's predictions if it was already evaluated on this data.

        Raises:
            ValueError: accuracy drops by more than `max_drop`.
        """
        recipe, held = self._run.recipe, self._held
        models = RunModels(self._run)
        key = prediction_key(models.weights["tuned"], held.texts, held.inventory, recipe.prompt)
        before = read_predictions(held.folder, "tuned", key)
        if before is None:
            before = self._score(models.load("tuned"), "Evaluating the run")
        after = self._score(load(), "Evaluating the export")
        comparison = compare_scores(self._texts, held.inventory, before, after, resamples=recipe.evaluation.bootstrap)
        if -comparison.difference.value > self._max_drop:
            raise ValueError(
                f"{self._target.name} would lose {-100 * comparison.difference.value:.1f} points of accuracy "
                f"({100 * comparison.before.value:.1f} to {100 * comparison.after.value:.1f} % of "
                f"{comparison.before.count:,} questions, {comparison.changed:,} answers changed), more than "
                f"--max-drop {self._max_drop:g} allows; nothing was written"
            )
        return comparison

    def _score(self, loaded: LoadedModel, label: str) -> Scores:
        recipe = self._run.recipe
        return score_texts(
            loaded,
            self._texts,
            self._held.inventory,
            recipe.prompt,
            max_nodes=recipe.evaluation.max_nodes,
            label=label,
        )[0]

    def other_tokens(self, merged: Path, gguf: Path) -> int:
        """Count the passages that llama.cpp tokenizes differently from the run's tokenizer.

        Raises:
            ValueError: there are more than `max_drop` allows.
        """
        from transformers import AutoTokenizer  # slow to import

        tokenizer = AutoTokenizer.from_pretrained(merged, trust_remote_code=False)
        texts = [text.text for text in self._texts]
        others: int = sum(
            tokenizer(text).input_ids != ids for text, ids in zip(texts, tokenize(gguf, texts), strict=True)
        )
        if others > self._max_drop * len(texts):
            raise ValueError(
                f"llama.cpp tokenizes {others:,} of {len(texts):,} held-out texts differently from the run, "
                f"more than --max-drop {self._max_drop:g} allows; nothing was written"
            )
        return others


def gguf_metadata(run: Run) -> dict[str, object]:
    """The metadata of a run's GGUF file."""
    base = run.base
    licence = licence_of(base.id)
    described = {"name": base.id.split("/")[-1]}
    if base.id.count("/") == 1:
        described |= {"organization": base.id.split("/")[0], "repo_url": f"https://huggingface.co/{base.id}"}
    if base.revision:
        described["version"] = base.revision
    return {
        "general.name": run.folder.name,
        "general.description": f"{base.id}, tuned to say what medical short forms stand for in context, {_DESCRIPTION} "
        f"{run.record['versions']['medalist']}. No medical device: a person must read what it says.",
        "general.base_models": [described],
        "general.tags": ["medical", "abbreviation-disambiguation", "medalist", "text-generation"],
        "general.languages": ["en"],
        **({"general.license": licence.id, "general.license.name": licence.name} if licence else {}),
        **({"general.license.link": licence.url} if licence and licence.url else {}),
    }
