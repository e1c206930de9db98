"""Tuning: `transformers.Trainer` with token trees for batches and a loss per question.

What differs from the stock Trainer, and why: the loss is divided by the questions of the whole optimiser step (law 5),
checkpoints appear under their name only when complete (law 6), a non-finite loss or gradient stops the run (law 7), and a
model that `sharding` cut up is trained as it comes.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.utils.data import SequentialSampler
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainingArguments
from transformers.trainer_utils import rotate_checkpoints

from .adapters import add_adapter
from .batches import TREE_FIELDS, Lesson, TreeDataset, collate, with_gold
from .checkpoints import LogWriter, ShowProgress, last_checkpoint, publish_folder, what_is_kept
from .inventory import Inventory
from .losses import question_losses
from .model import LoadedModel
from .passages import Passage
from .progress import say, tracking
from .prompt import Encoder
from .quizzes import Quiz
from .ranks import Ranks
from .recipe import Recipe, TrainingSettings
from .scoring import Attention, score_layouts, score_tree
from .sharding import is_sharded, load_optimizer, load_weights, shard, whole_optimizer, whole_weights
from .tree import TokenTree


class NonFiniteError(RuntimeError):
    """The loss or a gradient is not finite; the message names the step and its passages."""


class TreeTrainer(Trainer):
    """The Trainer on token trees; see the module."""

    def __init__(
        self,
        *args: Any,
        settings: TrainingSettings,
        attention: Attention,
        validate: Callable[[Any], dict[str, float]],
        ranks: Ranks,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._settings, self._attention, self._validate, self._ranks = settings, attention, validate, ranks
        # Has the Trainer leave gradients to the model. Told before it is made, it would refuse to save optimisers.
        self.is_distributed_loading_by_transformers = self._sharded = is_sharded(self.model)
        self.loss_is_scaled_for_ga = True
        self._staging: Path | None = None
        self._step_passages: list[str] = []

    def _move_model_to_device(self, model: Any, device: torch.device) -> None:
        if not is_sharded(model):
            super()._move_model_to_device(model, device)

    def _defer_fsdp_gradient_reduction(self) -> AbstractContextManager[None]:
        return (
            nullcontext()
        )  # whole gradients, kept until the last pass of a step, would take the memory that slices save

    # --- the loss: a sum over questions, divided by the questions of the optimiser step on all ranks ---

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: torch.device) -> Tensor:
        self._step_passages = [name for batch in batch_samples for name in batch["passages"]]
        count = torch.tensor(sum(len(batch["gold"]) for batch in batch_samples if "gold" in batch), device=device)
        if self.args.world_size > 1:
            count = self.accelerator.gather(count).sum()
        return count

    def compute_loss(
        self,
        model: Any,
        inputs: Mapping[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Tensor:
        """Sum of the question losses over their number in the step; ranks are averaged later, hence the world size."""
        assert num_items_in_batch is not None and not return_outputs
        if "gold" not in inputs:  # padding for a rank that ran out: a pass that keeps the ranks together, worth nothing
            ids = torch.zeros(1, 1, dtype=torch.int64, device=self.args.device)
            nothing: Tensor = model(input_ids=ids, use_cache=False).logits.sum() * 0.0
            return nothing
        tree = TokenTree(**{name: inputs[name] for name in TREE_FIELDS})
        losses = question_losses(
            score_tree(model, tree, self._attention),
            tree.candidate_question,
            inputs["gold"],
            inputs["null"],
            prior=inputs.get("prior"),
            likelihood_weight=self._settings.likelihood_weight,
            hidden_gold_weight=self._settings.hidden_gold_weight,
        )
        loss: Tensor = losses.sum() * self.accelerator.num_processes / num_items_in_batch.clamp(min=1)
        return loss

    def floating_point_ops(self, inputs: Mapping[str, Any]) -> int:
        """Not estimated: the stock formula knows no trees."""
        return 0

    # --- nothing non-finite gets into the weights ---

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """One forward and backward pass; raises `NonFiniteError` before an optimiser step on a bad loss."""
        passages = inputs["passages"]
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        if not torch.isfinite(loss):
            self._stop_non_finite(f"Loss became {loss.item()}", passages)
        return loss

    def _clip_grad_norm(self, model: Any) -> Tensor:
        norm: Tensor = super()._clip_grad_norm(model)
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        if not math.isfinite(float(norm)):  # which it then is on every rank
            passages = [name for names in self._ranks.gathered(self._step_passages) for name in names]
            self._stop_non_finite(f"Gradient norm became {float(norm)}", passages)
        return norm

    def _stop_non_finite(self, what: str, passages: Sequence[str]) -> None:
        raise NonFiniteError(
            f"{what} at step {self.state.global_step + 1}, passages {', '.join(passages)}. {self._kept()}"
        )

    def _kept(self) -> str:
        return what_is_kept(Path(self.args.output_dir))

    def where(self) -> str:
        """How far the run is and what is kept of it, for the last words of one of several processes."""
        return f"after step {self.state.global_step}. {self._kept()}"

    # --- the order of passages is the dataset's ---

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)

    # --- validation is the task itself ---

    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        """Accuracy and negative log-likelihood on the validation passages."""
        training = self.model.training
        found = self._ranks.agreed(self._validate(self.model))  # else ranks could differ about which checkpoint is best
        metrics = {f"{metric_key_prefix}_{key}": value for key, value in found.items()}
        self.model.train(training)
        self.log(metrics)
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    # --- checkpoints: whole, so that any number of processes goes on from them; written aside, synced, renamed ---

    def _get_output_dir(self, trial: Any = None) -> str:
        return str(self._staging) if self._staging else str(self.args.output_dir)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        adapter = self._settings.method == "lora"
        if self._sharded:
            state_dict = whole_weights(self.model, trainable=adapter)
        if not self.args.should_save:
            return
        # peft's default would ask the Hub whether the base has been resized
        extra = {"save_embedding_layers": False} if adapter else {}
        self.accelerator.unwrap_model(self.model).save_pretrained(output_dir, state_dict=state_dict, **extra)
        (Path(output_dir or self.args.output_dir) / "README.md").unlink(missing_ok=True)  # peft's names local paths

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        optimizer = whole_optimizer(self.model, self.optimizer.optimizer)
        if self.args.should_save:
            torch.save(optimizer, Path(output_dir) / "optimizer.pt")
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / "scheduler.pt")

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            load_optimizer(self.model, self.optimizer.optimizer, Path(checkpoint) / "optimizer.pt")
            self.lr_scheduler.load_state_dict(torch.load(Path(checkpoint) / "scheduler.pt", weights_only=True))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if self._sharded:
            load_weights(self.model, Path(resume_from_checkpoint))
        else:
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_best_model(self) -> None:
        if self._sharded:
            load_weights(self.model, Path(self.state.best_model_checkpoint))
        else:
            super()._load_best_model()

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        run = Path(self.args.output_dir)
        name = f"checkpoint-{self.state.global_step}"
        staging = run / ".saving"
        if self.args.should_save:
            shutil.rmtree(staging, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        self._staging = staging
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self._staging = None
        if self.state.best_model_checkpoint == str(staging / name):
            self.state.best_model_checkpoint = str(run / name)
        # Rank 0 has seen its folder; another machine may see it late.
        self.state.best_model_checkpoint = self._ranks.agreed(self.state.best_model_checkpoint)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            self.state.save_to_json(str(staging / name / "trainer_state.json"))
            publish_folder(staging / name, run / name)
            shutil.rmtree(staging)
            rotate_checkpoints(
                str(run),
                save_total_limit=self._settings.keep_checkpoints,
                best_model_checkpoint=self.state.best_model_checkpoint,
            )
        self.accelerator.wait_for_everyone()


def tune(
    base: LoadedModel,
    recipe: Recipe,
    *,
    train: Sequence[Passage | Quiz],
    validation: Sequence[Passage | Quiz],
    inventory: Inventory,
    run: Path,
    beside: Sequence[Lesson] = (),
    resume: bool = False,
    ranks: Ranks | None = None,
    start: Path | None = None,
) -> dict[str, Any]:
    """Tune a base on passages, or on quizzes; checkpoints and log go to the run's folder, the result to its `adapter/`
    or `model/`.

    Args:
        base: is tuned in place; to be sharded, it is best loaded with `place=False`.
        recipe: its `training`, `prompt`, `seed` count here.
        train: passages to learn from; mentions without an offered gold are left out.
        validation: passages to choose the checkpoint on; with none, the last one is kept.
        inventory: lists the candidates of mentions.
        beside: more texts to learn from, with candidates of their own.
        run: folder of the run.
        resume: go on from its last complete checkpoint, to the same bits as an unbroken run on as many processes.
        ranks: the processes that share the work, from `ranks.together`; None: this one alone.
        start: an adapter to begin with, as for `add_adapter`.

    Returns:
        Counts for people: steps, passages, mentions (of quizzes: questions), those dropped, texts that were cut, best
        validation figure.

    Raises:
        NonFiniteError: law 7.
        ValueError: there is nothing to train on.
    """
    settings, ranks = recipe.training, ranks or Ranks()
    at_once = settings.passages_per_pass * ranks.size
    if settings.passages_per_step % at_once:
        raise ValueError(
            f"training.passages_per_step={settings.passages_per_step} is no multiple of passages_per_pass="
            f"{settings.passages_per_pass} times {ranks.size} process(es)"
        )
    encoder = Encoder(base.tokenizer, recipe.prompt, max_depth=base.max_depth)
    torch.manual_seed(recipe.seed)
    model = add_adapter(base, settings, start)
    dataset = TreeDataset(train, encoder, inventory, settings, beside=beside, seed=recipe.seed, multiple=at_once)
    dropped, cut = encoder.dropped, encoder.cut
    steps = settings.max_steps or math.ceil(math.ceil(len(dataset) / settings.passages_per_step) * settings.epochs)
    watched = [with_gold(passage, inventory) for passage in validation]
    looks = [layout for passage in watched for layout in encoder.encode(passage, inventory)]
    if settings.parallel == "fsdp" and ranks.size > 1:
        shard(base, model)
    on_cpu = base.model.device.type == "cpu"
    workers = 0 if on_cpu else min(12, max((os.cpu_count() or 1) - 2, 0))  # trees are made ahead of a GPU
    arguments = TrainingArguments(
        output_dir=str(run),
        per_device_train_batch_size=settings.passages_per_pass,
        gradient_accumulation_steps=settings.passages_per_step // at_once,
        num_train_epochs=settings.epochs,
        max_steps=settings.max_steps or -1,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=settings.warmup,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.clip,
        optim="adamw_torch" if on_cpu else "adamw_torch_fused",
        dataloader_num_workers=workers,
        dataloader_prefetch_factor=4 if workers else None,
        # Adapters are float32; on a bfloat16 base they multiply in bfloat16, like the layers that they are beside. Without
        # it each of them would keep its own float32 copy of its input for the backward pass.
        bf16=base.model.dtype == torch.bfloat16,
        seed=recipe.seed,
        logging_steps=settings.log_every,
        logging_nan_inf_filter=False,
        eval_strategy="steps" if looks else "no",
        eval_steps=settings.evaluate_every,
        save_strategy="steps",
        save_steps=settings.evaluate_every,
        load_best_model_at_end=bool(looks),
        metric_for_best_model=f"eval_{settings.best_by}" if looks else None,
        greater_is_better=settings.best_by == "accuracy" if looks else None,
        activation_checkpointing=settings.activation_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if settings.activation_checkpointing else None,
        report_to=list(settings.report_to) or "none",
        run_name=recipe.name,
        ddp_find_unused_parameters=False,
        use_cpu=on_cpu,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        disable_tqdm=True,
        log_level="error",
        log_level_replica="error",
    )
    if (
        arguments.n_gpu > 1
    ):  # the Trainer would spread each batch over all GPUs of the machine, which trees do not survive
        say(f"Training on one of {arguments.n_gpu} GPUs; `torchrun --nproc_per_node={arguments.n_gpu}` uses all.")
        arguments._n_gpu = 1

    def validate(current: Any) -> dict[str, float]:
        right, nll, count = 0, 0.0, 0
        scored = score_layouts(current, looks, attention=base.attention, max_nodes=recipe.evaluation.max_nodes)
        for layout, scores in scored:
            for question, values in zip(layout.questions, scores, strict=True):
                assert question.gold is not None
                right += int(values.argmax()) == question.gold
                nll -= float(values.log_softmax(0)[question.gold])
                count += 1
        return {"accuracy": right / count, "nll": nll / count}

    with tracking("Training", steps) as advance:
        trainer = TreeTrainer(
            model=model,
            args=arguments,
            train_dataset=dataset,
            eval_dataset=looks or None,
            data_collator=collate,
            settings=settings,
            attention=base.attention,
            validate=validate,
            ranks=ranks,
            callbacks=[
                LogWriter(run / "log.jsonl"),
                ShowProgress(advance),
                *([EarlyStoppingCallback(settings.patience)] if settings.patience and looks else []),
            ],
        )
        trainer.remove_callback(PrinterCallback)
        ranks.where = trainer.where
        checkpoint = ranks.agreed(last_checkpoint(run)) if resume else None
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    target = run / ("adapter" if settings.method == "lora" else "model")
    partial = run / f".{target.name}.part"
    if ranks.first:
        shutil.rmtree(partial, ignore_errors=True)
    trainer._save(str(partial))  # by all: where the model is sharded, each gives its slices
    if ranks.first:
        base.tokenizer.save_pretrained(partial)
        publish_folder(partial, target)
    base.model = model
    return {
        "steps": trainer.state.global_step,
        "processes": ranks.size,
        "passages": len(train),
        "mentions": dataset.num_mentions,
        "dropped_mentions": dropped,
        "cut_texts": cut,
        "best_validation": trainer.state.best_metric,
        "best_checkpoint": Path(trainer.state.best_model_checkpoint).name
        if trainer.state.best_model_checkpoint
        else None,
    }
