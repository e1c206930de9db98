"""Medalist's own training loop on Llama 3 8B's shape: `TreeTrainer` with its data loader, as `medalist train` runs it.

Seconds of a step beside the bare loop of the other cases say what the loop around costs. Then the looks that make the
host wait for the device are counted (`torch.cuda.set_sync_debug_mode`), and one step is profiled: host time, device
time, launches, and the device time by kernel.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback
from transformers.trainer_utils import SaveStrategy

from medalist.recipe import Recipe, TrainingSettings
from medalist.training.batches import TrainingItem, collate
from medalist.training.compiled import compiled_blocks
from medalist.training.ranks import Ranks
from medalist.training.trainer import TreeTrainer
from medalist.training.tune import _arguments, runs_ahead
from medalist.trees.prompt import Layout, Question

from .clock import GIB, forget_peak, peak_memory
from .models import Sizes, checkpointing, input_casts
from .notes import Notes, Options
from .passes import Text, medal_like, use_kernel

PASSAGES = 8
"""A step, in one pass."""
WARM, TIMED, WATCHED = 3, 10, 2
"""Steps; one more is profiled."""
KERNELS, NAME = 24, 240
"""How many are recorded, and characters of their names: what an element-wise one does stands late in it."""
LAUNCHES = ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx")
COPIES = ("cudaMemcpyAsync", "cudaMemcpy", "cudaMemsetAsync")
WAITING = ("cudaStreamSynchronize", "cudaEventSynchronize", "aten::_local_scalar_dense")
"""`cudaDeviceSynchronize` is not among them: PyTorch's profiler calls it itself when it ends."""
WARNED = "called a synchronizing"
"""In PyTorch's warning of a wait. What it says when the watch is switched on, once, speaks of synchronizing too."""


def own_loop(model: Any, sizes: Sizes, options: Options, notes: Notes) -> None:
    """Train `WARM + TIMED + WATCHED + 1` steps, and record what they took."""
    core = model.get_base_model()
    use_kernel(core, "shipped")
    checkpointing(core, False)
    input_casts(core, False)
    shape = {"passage": (20, 30), "prompt": 3, "words": (1, 3)} if options.tiny else {}
    items = [_item(number, text) for number, text in enumerate(medal_like(5 * PASSAGES, sizes.vocab, **shape))]
    steps = WARM + TIMED + WATCHED + 1
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingSettings(passages_per_step=PASSAGES, passages_per_pass=PASSAGES, max_steps=steps)
        recipe = Recipe(name="gpu", output=folder, training=settings)
        arguments = _arguments(recipe, Path(folder), SimpleNamespace(model=core), per_pass=PASSAGES, validated=False)  # type: ignore[arg-type]
        arguments.save_strategy = SaveStrategy.NO
        watch = Watch(options.device)
        trainer = TreeTrainer(
            model=model,
            args=arguments,
            train_dataset=[items[number % len(items)] for number in range(steps * PASSAGES)],
            data_collator=partial(collate, attention="sdpa_in_rows"),
            settings=settings,
            late=runs_ahead(torch.device(options.device)),
            validate=lambda _: {},
            ranks=Ranks(),
            callbacks=[watch],
        )
        trainer.remove_callback(PrinterCallback)
        forget_peak(options.device)
        with compiled_blocks(model, wanted=True, backend=options.backend):
            trainer.train()
    _record(watch, items, arguments.dataloader_num_workers, options, notes)


def _item(number: int, text: Text) -> TrainingItem:
    questions = tuple(
        Question(prompt="", candidates=("",) * len(candidates), gold=0) for _, candidates in text.mentions
    )
    layout = Layout(
        tree=text.tree(), text_id=str(number), text="", mentions=tuple(range(len(questions))), questions=questions
    )
    return TrainingItem(layouts=(layout,))


class Watch(TrainerCallback):
    """Times some steps, counts the waits of a few more, and profiles the last."""

    def __init__(self, device: str) -> None:
        self.device, self.seconds, self.host = device, 0.0, 0.0
        self.waits: list[str] = []
        self.parts: list[Any] = []
        self.profiled = 0.0
        self._began = 0.0
        self._caught: Any = None
        self._profile: Any = None

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Begin what the step is for."""
        number = state.global_step
        if number == WARM:
            self._synchronize()
            self._began = time.perf_counter()
        elif number == WARM + TIMED:
            self._watch()
        elif number == WARM + TIMED + WATCHED:
            self._begin_profile()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """End what the step was for; before it is logged."""
        number = state.global_step
        if number == WARM + TIMED:
            self.host = (time.perf_counter() - self._began) / TIMED
            self._synchronize()
            self.seconds = (time.perf_counter() - self._began) / TIMED
        elif number == WARM + TIMED + WATCHED:
            self._stop_watching()
        elif number == WARM + TIMED + WATCHED + 1:
            self._end_profile()

    def _synchronize(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()

    def _watch(self) -> None:
        self._synchronize()
        self._caught = warnings.catch_warnings(record=True)
        self._seen = self._caught.__enter__()
        warnings.simplefilter("always")
        if self.device == "cuda":
            torch.cuda.set_sync_debug_mode("warn")

    def _stop_watching(self) -> None:
        if self.device == "cuda":
            torch.cuda.set_sync_debug_mode("default")
        self._caught.__exit__(None, None, None)
        self.waits = places_of_waits(self._seen)

    def _begin_profile(self) -> None:
        from torch.profiler import ProfilerActivity, profile

        self._synchronize()
        on_gpu = [ProfilerActivity.CUDA] if self.device == "cuda" else []
        self._profile = profile(activities=[ProfilerActivity.CPU, *on_gpu])
        self._profile.__enter__()
        self._began = time.perf_counter()

    def _end_profile(self) -> None:
        self.profiled = time.perf_counter() - self._began
        self._profile.__exit__(None, None, None)
        self.parts = list(self._profile.key_averages())


def places_of_waits(caught: Sequence[warnings.WarningMessage]) -> list[str]:
    """Where the host waited for the device, as the last two parts of the file's path and the line."""
    return [
        f"{'/'.join(Path(found.filename).parts[-2:])}:{found.lineno}"
        for found in caught
        if WARNED in str(found.message)
    ]


def _record(watch: Watch, items: list[TrainingItem], workers: int, options: Options, notes: Notes) -> None:
    nodes = sum(len(item.layouts[0].tree) for item in items) / len(items) * PASSAGES
    mentions = sum(len(item.layouts[0].questions) for item in items) / len(items) * PASSAGES
    memory = peak_memory(options.device)
    text = (
        f"{mentions / watch.seconds:,.1f} mentions/s, {nodes / watch.seconds:,.0f} tokens/s, {watch.seconds:.3f} s a "
        f"step (host {watch.host:.3f}), {memory['allocated'] / GIB:.1f} GiB, {workers} workers"
    )
    values = {"seconds_per_step": watch.seconds, "host_seconds_per_step": watch.host, "memory": memory}
    notes.record(
        "medalist's own loop, 4k, as shipped, compiled",
        text,
        table="Training",
        row="medalist's own loop, 4k, as shipped, compiled",
        column="what",
        nodes=nodes,
        mentions_per_second=mentions / watch.seconds,
        tokens_per_second=nodes / watch.seconds,
        workers=workers,
        **values,
    )
    places = Counter(watch.waits)
    if options.device == "cuda":
        told = ", ".join(f"{place} ({count})" for place, count in places.most_common(8)) or "nowhere"
        notes.record(f"waits for the device in {WATCHED} steps", f"{len(watch.waits)}: {told}", waits=dict(places))
    counts = {part.key: part.count for part in watch.parts}
    launches, copies, waits = (sum(counts.get(name, 0) for name in names) for names in (LAUNCHES, COPIES, WAITING))
    spent = "self_device_time_total" if options.device == "cuda" else "self_cpu_time_total"
    kernels = [
        part
        for part in watch.parts
        if not part.is_user_annotation and (options.device != "cuda" or "CUDA" in str(part.device_type))
    ]
    total = sum(getattr(part, spent) for part in kernels) or 1.0
    operators = sum(part.count for part in watch.parts if part.key.startswith("aten::"))
    notes.record(
        "profile of a step of it",
        f"host {watch.profiled:.3f} s under the profiler, device {total / 1e6:.3f} s busy, {launches:,} launches, "
        f"{copies:,} copies and fills, {waits:,} waits, {operators:,} operators",
        host_seconds=watch.profiled,
        busy_seconds=total / 1e6,
        launches=launches,
        copies=copies,
        waits=waits,
        operators=operators,
    )
    for number, part in enumerate(sorted(kernels, key=lambda part: -getattr(part, spent))[:KERNELS], 1):
        here = getattr(part, spent)
        notes.record(
            f"profile: {number}. {part.key[:NAME]}",
            f"{here / total:.1%}, {here / 1e3:.2f} ms, {part.count} times",
            table="Profile of a step of medalist's own loop",
            row=f"{number}. {part.key[:NAME]}",  # names of different kernels begin alike
            column="share",
            share=here / total,
            microseconds=here,
            count=part.count,
        )
