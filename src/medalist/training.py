"""Tuning: `transformers.Trainer` with token trees for batches and a loss per question.

What differs from the stock Trainer, and why: the loss is divided by the questions of the whole optimiser step (law 5),
checkpoints appear under their name only when complete (law 6), and a non-finite loss or gradient stops the run (law 7).
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import SequentialSampler
from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainingArguments
from transformers.trainer_utils import rotate_checkpoints

from .adapters import add_adapter
from .batches import TREE_FIELDS, TreeDataset, collate, with_gold
from .checkpoints import LogWriter, ShowProgress, last_checkpoint, publish_folder
from .inventory import Inventory
from .losses import question_losses
from .model import LoadedModel
from .passages import Passage
from .progress import tracking
from .prompt import Encoder
from .recipe import Recipe, TrainingSettings
from .scoring import Attention, candidate_scores, score_layouts, tree_inputs
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
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._settings, self._attention, self._validate = settings, attention, validate
        self.loss_is_scaled_for_ga = True
        self._staging: Path | None = None
        self._step_passages: list[str] = []

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
        logits = model(**tree_inputs(tree, self._attention, self.model.dtype)).logits
        losses = question_losses(
            candidate_scores(logits, tree),
            tree.candidate_question,
            inputs["gold"],
            inputs["null"],
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
        if not math.isfinite(float(norm)):
            self._stop_non_finite(f"Gradient norm became {float(norm)}", self._step_passages)
        return norm

    def _stop_non_finite(self, what: str, passages: Sequence[str]) -> None:
        last = last_checkpoint(Path(self.args.output_dir))
        kept = f"The last good checkpoint is {last}; resume with --resume." if last else "No checkpoint was saved yet."
        raise NonFiniteError(f"{what} at step {self.state.global_step + 1}, passages {', '.join(passages)}. {kept}")

    # --- the order of passages is the dataset's ---

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)

    # --- validation is the task itself ---

    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        """Accuracy and negative log-likelihood on the validation passages."""
        training = self.model.training
        metrics = {f"{metric_key_prefix}_{key}": value for key, value in self._validate(self.model).items()}
        self.model.train(training)
        self.log(metrics)
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    # --- checkpoints: written aside, synced, renamed ---

    def _get_output_dir(self, trial: Any = None) -> str:
        return str(self._staging) if self._staging else str(self.args.output_dir)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        # peft's default would ask the Hub whether the base has been resized
        extra = {"save_embedding_layers": False} if self._settings.method == "lora" else {}
        self.accelerator.unwrap_model(self.model).save_pretrained(output_dir, state_dict=state_dict, **extra)
        (Path(output_dir or self.args.output_dir) / "README.md").unlink(missing_ok=True)  # peft's names local paths

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
    train: Sequence[Passage],
    validation: Sequence[Passage],
    inventory: Inventory,
    run: Path,
    resume: bool = False,
) -> dict[str, Any]:
    """Tune a base on passages; checkpoints and log go to the run's folder, the result to its `adapter/` or `model/`.

    Args:
        base: is tuned in place.
        recipe: its `training`, `prompt`, `seed` count here.
        train: passages to learn from; mentions without an offered gold are left out.
        validation: passages to choose the checkpoint on; with none, the last one is kept.
        inventory: lists the candidates.
        run: folder of the run.
        resume: go on from its last complete checkpoint, to the same bits as an unbroken run.

    Returns:
        Counts for people: steps, passages, mentions, dropped mentions, best validation figure.

    Raises:
        NonFiniteError: law 7.
        ValueError: there is nothing to train on.
    """
    settings = recipe.training
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if settings.passages_per_step % (settings.passages_per_pass * world):
        raise ValueError(
            f"training.passages_per_step={settings.passages_per_step} is no multiple of passages_per_pass="
            f"{settings.passages_per_pass} times {world} device(s)"
        )
    encoder = Encoder(base.tokenizer, recipe.prompt, max_depth=base.max_depth)
    torch.manual_seed(recipe.seed)
    model = add_adapter(base, settings)
    dataset = TreeDataset(
        train, encoder, inventory, settings, seed=recipe.seed, multiple=settings.passages_per_pass * world
    )
    dropped = encoder.dropped
    steps = settings.max_steps or math.ceil(math.ceil(len(dataset) / settings.passages_per_step) * settings.epochs)
    watched = [with_gold(passage, inventory) for passage in validation]
    looks = [layout for passage in watched for layout in encoder.encode(passage, inventory)]
    arguments = TrainingArguments(
        output_dir=str(run),
        per_device_train_batch_size=settings.passages_per_pass,
        gradient_accumulation_steps=settings.passages_per_step // (settings.passages_per_pass * world),
        num_train_epochs=settings.epochs,
        max_steps=settings.max_steps or -1,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=settings.warmup,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.clip,
        optim="adamw_torch",
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
        use_cpu=base.model.device.type == "cpu",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        disable_tqdm=True,
        log_level="error",
    )

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
            callbacks=[
                LogWriter(run / "log.jsonl"),
                ShowProgress(advance),
                *([EarlyStoppingCallback(settings.patience)] if settings.patience and looks else []),
            ],
        )
        trainer.remove_callback(PrinterCallback)
        checkpoint = last_checkpoint(run) if resume else None
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if trainer.args.should_save:
        target = run / ("adapter" if settings.method == "lora" else "model")
        partial = run / f".{target.name}.part"
        shutil.rmtree(partial, ignore_errors=True)
        trainer._save(str(partial))
        base.tokenizer.save_pretrained(partial)
        publish_folder(partial, target)
    base.model = model
    return {
        "steps": trainer.state.global_step,
        "passages": len(train),
        "mentions": dataset.num_mentions,
        "dropped_mentions": dropped,
        "best_validation": trainer.state.best_metric,
        "best_checkpoint": Path(trainer.state.best_model_checkpoint).name
        if trainer.state.best_model_checkpoint
        else None,
    }
