"""Tuning: trains a base on passages, as a recipe says, to give an adapter or a fully tuned model."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypedDict, cast

import torch
from peft.helpers import disable_input_dtype_casting
from transformers import EarlyStoppingCallback, PrinterCallback, TrainerCallback, TrainingArguments

from ..data.inventory import Inventory
from ..data.quizzes import Text
from ..models.adapters import add_adapter
from ..models.limits import check_range_of
from ..models.load import LoadedModel
from ..recipe import Recipe, TrainingSettings
from ..tools.failures import need_room, writing
from ..tools.files import put_in_place
from ..tools.progress import say, tracking
from ..trees.prompt import Encoder, Layout
from ..trees.scoring import score_layouts
from .batches import Lesson, TreeDataset, collate, with_gold
from .checkpoints import LogWriter, ShowProgress, last_checkpoint
from .compiled import compiled_blocks, need_compiler
from .ranks import Ranks
from .sharding import shard_model
from .trainer import TreeTrainer


class TrainingCounts(TypedDict):
    """What a run records about its training."""

    steps: int
    processes: int
    passages: int
    """Texts of an epoch, with those replayed and those of `data.beside`; quizzes, where there are no passages."""
    mentions: int
    """In these texts; of quizzes, questions."""
    dropped_mentions: int
    cut_texts: int
    best_validation: float | None
    best_checkpoint: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TuningData:
    """What a model is tuned on: passages or quizzes."""

    train: Sequence[Text]
    """Training texts; mentions whose gold is not offered are left out."""
    validation: Sequence[Text] = ()
    """Texts for choosing the checkpoint; if there are none, the last checkpoint is kept."""
    inventory: Inventory
    """Lists the candidates of mentions."""
    beside: Sequence[Lesson] = ()
    """Further training texts, with candidates of their own."""


def tune(
    base: LoadedModel,
    recipe: Recipe,
    data: TuningData,
    run: Path,
    *,
    record: Callable[[TrainingCounts], None] = lambda _: None,
    resume: bool = False,
    ranks: Ranks | None = None,
    start: Path | None = None,
) -> TrainingCounts:
    """Tune a base on passages or quizzes.

    Checkpoints and the log are written to the run's folder, the result to its `adapter/` or `model/`.

    Args:
        base: tuned in place; load it with `place=False` if it is to be sharded.
        recipe: only `training`, `prompt`, `evaluation`, `seed` and `name` are used here.
        data: the texts for training and for choosing the checkpoint.
        run: folder of the run.
        record: called on rank 0 with the counts before the result is put in place, so that every result has its record.
        resume: resume from the last complete checkpoint, to the same bits as an uninterrupted run on as many processes.
        ranks: the processes that share the work, from `ranks.together`; None: only this process.
        start: an adapter to start from, as for `add_adapter`.

    Returns:
        Counts to report: steps, passages, mentions (for quizzes: questions), how many were dropped, texts that were
        cut, and the best validation figure.

    Raises:
        NonFiniteError: the loss or a gradient is not finite (law 7).
        RecipeError: a number is out of the base's range (see `check_range`), or there is no compiler for
            `training.compile`.
        ValueError: there is nothing to train on.
    """
    settings, ranks = recipe.training, ranks or Ranks()
    per_pass = settings.passages_at_once(ranks.size)
    check_range_of(recipe, base)
    if settings.compile:
        need_compiler()
        say("The model's blocks are compiled during the first steps, which may take minutes.")
    encoder = Encoder(base.tokenizer, recipe.prompt, max_depth=base.max_depth)
    torch.manual_seed(recipe.seed)
    model = add_adapter(base, settings, start)
    _ask_for_room(model, run, settings.keep_checkpoints)
    inventory = data.inventory
    dataset = TreeDataset(
        data.train, encoder, inventory, settings, beside=data.beside, seed=recipe.seed, multiple=per_pass
    )
    dropped, cut = encoder.dropped, encoder.cut
    steps_per_epoch = math.ceil(len(dataset) / settings.passages_per_step)
    steps = settings.max_steps or math.ceil(steps_per_epoch * settings.epochs)
    held_out = [with_gold(text, inventory) for text in data.validation]
    layouts = [layout for text in held_out for layout in encoder.encode(text, inventory)]
    if settings.parallel == "fsdp" and ranks.size > 1:
        shard_model(base, model, recipe.model.attention)
    device = base.model.device
    arguments = _arguments(recipe, run, base, per_pass=per_pass, validated=bool(layouts))
    with (
        tracking("Training", steps) as advance,
        _without_copies(model, arguments, settings),
        compiled_blocks(model, wanted=settings.compile),
    ):
        callbacks: list[TrainerCallback] = [LogWriter(run / "log.jsonl"), ShowProgress(advance)]
        if settings.patience and layouts:
            callbacks.append(EarlyStoppingCallback(settings.patience))
        trainer = TreeTrainer(
            model=model,
            args=arguments,
            train_dataset=dataset,
            eval_dataset=layouts or None,
            data_collator=partial(collate, attention=base.attention),
            settings=settings,
            late=runs_ahead(device),
            validate=partial(_validate, layouts=layouts, base=base, recipe=recipe),
            ranks=ranks,
            callbacks=callbacks,
        )
        trainer.remove_callback(PrinterCallback)
        ranks.where = trainer.where
        # When resumed at its last step within an epoch, the Trainer would do one more: it checks only after a step.
        before = steps if steps % steps_per_epoch else None
        checkpoint = ranks.agreed(last_checkpoint(run, before=before)) if resume else None
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    best = trainer.state.best_model_checkpoint
    counts: TrainingCounts = {
        "steps": trainer.state.global_step,
        "processes": ranks.size,
        "passages": dataset.num_texts,
        "mentions": dataset.num_mentions,
        "dropped_mentions": dropped,
        "cut_texts": cut,
        "best_validation": trainer.state.best_metric,
        "best_checkpoint": Path(best).name if best else None,
    }
    if ranks.first:
        record(counts)
    _save(trainer, base, run / ("adapter" if settings.method == "lora" else "model"), first=ranks.first)
    base.model = model
    return counts


def _ask_for_room(model: Any, run: Path, keep: int) -> None:
    """Refuse to start a run whose checkpoints do not fit on the disk: each holds weights and two moments."""
    size = sum(3 * 4 * weight.numel() for weight in model.parameters() if weight.requires_grad)
    need_room(run, size * (keep + 2))  # plus the best one, and one being saved


def runs_ahead(device: torch.device) -> bool:
    """Whether the host runs ahead of the device, so that reading a figure means waiting for all earlier work."""
    return device.type != "cpu"


def _arguments(recipe: Recipe, run: Path, base: LoadedModel, *, per_pass: int, validated: bool) -> TrainingArguments:
    """The Trainer's arguments; all processes together process `per_pass` passages in one forward pass."""
    settings = recipe.training
    on_cpu, ahead = base.model.device.type == "cpu", runs_ahead(base.model.device)
    workers = 0 if on_cpu else min(12, max((os.cpu_count() or 1) - 2, 0))  # build trees ahead of the GPU
    arguments = TrainingArguments(
        output_dir=str(run),
        per_device_train_batch_size=settings.passages_per_pass,
        gradient_accumulation_steps=settings.passages_per_step // per_pass,
        num_train_epochs=settings.epochs,
        max_steps=settings.max_steps or -1,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=settings.warmup,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.clip,
        optim="adamw_torch_fused" if ahead else "adamw_torch",
        dataloader_num_workers=workers,
        dataloader_prefetch_factor=4 if workers else None,
        # Adapters are float32; on a bfloat16 base they compute in bfloat16, like the layers they adapt. Otherwise, each
        # of them would keep a float32 copy of its input for the backward pass.
        bf16=base.model.dtype == torch.bfloat16,
        seed=recipe.seed,
        logging_steps=settings.log_every or (10 if ahead else 1),
        logging_nan_inf_filter=False,
        eval_strategy="steps" if validated else "no",
        eval_steps=settings.evaluate_every,
        save_strategy="steps",
        save_steps=settings.evaluate_every,
        load_best_model_at_end=validated,
        metric_for_best_model=f"eval_{settings.best_by}" if validated else None,
        greater_is_better=settings.best_by == "accuracy" if validated else None,
        activation_checkpointing=settings.activation_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if settings.activation_checkpointing else None,
        report_to=list(settings.report_to) or "none",
        run_name=recipe.name,
        ddp_find_unused_parameters=False,
        use_cpu=on_cpu,
        remove_unused_columns=False,
        dataloader_pin_memory=not on_cpu,
        accelerator_config={"non_blocking": not on_cpu},
        disable_tqdm=True,
        log_level="error",
        log_level_replica="error",
    )
    # The Trainer would split each batch over all GPUs of the machine, but trees cannot be split.
    if arguments.n_gpu > 1:
        say(f"Training on one of {arguments.n_gpu} GPUs; `torchrun --nproc_per_node={arguments.n_gpu}` uses them all.")
        arguments._n_gpu = 1
    return arguments


def _without_copies(
    model: Any, arguments: TrainingArguments, settings: TrainingSettings
) -> AbstractContextManager[None]:
    """Keep peft from copying the input of each adapted layer, where this does not change results.

    Under autocast an adapter computes in bfloat16 anyway. peft would make a float32 copy of each layer's input, and
    autocast a bfloat16 copy of that to save for the backward pass: the same numbers again. Dropout would draw and
    round in the other dtype, so the copies stay if there is dropout.
    """
    unneeded = arguments.bf16 and not settings.dropout
    return cast(AbstractContextManager[None], disable_input_dtype_casting(model, active=unneeded))


def _validate(current: Any, *, layouts: Sequence[Layout], base: LoadedModel, recipe: Recipe) -> dict[str, float]:
    """Accuracy and negative log-likelihood on the validation layouts, in which every question has a gold."""
    right, nll, count = 0, 0.0, 0
    scored = score_layouts(current, layouts, attention=base.attention, max_nodes=recipe.evaluation.max_nodes)
    for layout, scores in scored:
        for question, values in zip(layout.questions, scores, strict=True):
            assert question.gold is not None
            right += int(values.argmax()) == question.gold
            nll -= float(values.log_softmax(0)[question.gold])
            count += 1
    return {"accuracy": right / count, "nll": nll / count}


def _save(trainer: TreeTrainer, base: LoadedModel, target: Path, *, first: bool) -> None:
    """Save the tuned model and its tokenizer, all or nothing; called by all ranks, written by the first."""
    unfinished = target.with_name(f".{target.name}.part")
    if first:
        shutil.rmtree(unfinished, ignore_errors=True)
    try:
        with writing(target):
            trainer._save(str(unfinished))  # on all ranks, since each contributes its slices if the model is sharded
            if first:
                base.tokenizer.save_pretrained(unfinished)
                put_in_place(unfinished, target)
    finally:
        if first:
            shutil.rmtree(unfinished, ignore_errors=True)
