"""`transformers.Trainer` for token trees: batches are forests, and the loss is per question.

Differences from the stock Trainer: the loss is divided by the number of questions in the whole optimiser step (law 5),
checkpoints appear under their name only when complete (law 6), a non-finite loss or gradient stops the run (law 7), and
a model already sharded by `sharding` is trained as it is. On a GPU, no step makes the host wait for it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.utils.data import SequentialSampler
from transformers import Trainer
from transformers.trainer_utils import rotate_checkpoints

from ..recipe import TrainingSettings
from ..tools.failures import reading, writing
from ..tools.files import put_in_place
from ..trees.losses import question_losses
from ..trees.scoring import score_pass
from .checkpoints import resume_hint
from .compiled import uncompiled
from .finite import FiniteCheck, Seen
from .ranks import Ranks
from .sharding import is_sharded, load_optimizer, load_weights, whole_optimizer, whole_weights


class NonFiniteError(RuntimeError):
    """The loss or a gradient is not finite; the message names the step and its passages."""


class TreeTrainer(Trainer):
    """The Trainer for token trees; the module docstring says how it differs."""

    def __init__(
        self,
        *args: Any,
        settings: TrainingSettings,
        late: bool,
        validate: Callable[[Any], dict[str, float]],
        ranks: Ranks,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._settings, self._validate, self._ranks = settings, validate, ranks
        self._finite = FiniteCheck(late=late)
        # Makes the Trainer leave gradients to the model. Set before construction, it would prevent saving optimisers.
        self.is_distributed_loading_by_transformers = self._sharded = is_sharded(self.model)
        self.loss_is_scaled_for_ga = True
        self._staging: Path | None = None
        self._step_texts: list[str] = []

    def _move_model_to_device(self, model: Any, device: torch.device) -> None:
        if not is_sharded(model):
            super()._move_model_to_device(model, device)

    def _defer_fsdp_gradient_reduction(self) -> AbstractContextManager[None]:
        # Keeping unsharded gradients until the last pass of a step would use up the memory that sharding saves.
        return nullcontext()

    # --- the loss: a sum over questions, divided by the questions of the optimiser step on all ranks ---

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: torch.device) -> Tensor:
        self._step_texts = [name for batch in batch_samples for name in batch["text_ids"]]
        questions = sum(len(batch["gold"]) for batch in batch_samples if "gold" in batch)
        count = torch.full((), questions, device=device)  # unlike `tensor`, needs no copy that waits for the GPU
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
        """Sum of the question losses over their number in the step, times the world size: ranks are averaged later."""
        assert num_items_in_batch is not None and not return_outputs
        if "gold" not in inputs:  # padding for a rank that ran out: a pass with zero loss that keeps the ranks in step
            ids = torch.zeros(1, 1, dtype=torch.int64, device=self.args.device)
            nothing: Tensor = model(input_ids=ids, use_cache=False).logits.sum() * 0.0
            return nothing
        losses = question_losses(
            score_pass(model, inputs["trees"]),
            inputs["trees"].candidate_question,
            inputs["gold"],
            inputs["null"],
            prior=inputs.get("prior"),
            likelihood_weight=self._settings.likelihood_weight,
            hidden_gold_weight=self._settings.hidden_gold_weight,
        )
        loss: Tensor = losses.sum() * self.accelerator.num_processes / num_items_in_batch.clamp(min=1)
        return loss

    def floating_point_ops(self, inputs: Mapping[str, Any]) -> int:
        """Not estimated: the stock formula does not apply to trees."""
        return 0

    # --- nothing non-finite reaches the weights ---

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """One forward and backward pass; a bad loss raises `NonFiniteError`, here or when the next steps are logged."""
        text_ids = inputs["text_ids"]
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        self._stop_if_bad(self._finite.loss(loss, self.state.global_step + 1, text_ids))
        return loss

    def _clip_grad_norm(self, model: Any) -> Tensor:
        norm: Tensor = super()._clip_grad_norm(model)
        norm = norm.full_tensor() if isinstance(norm, DTensor) else norm
        self._stop_if_bad(self._finite.gradients(norm, self.state.global_step + 1, self._step_texts))
        if self._finite.late:
            self.optimizer.optimizer.found_inf = self._finite.bad  # fused AdamW then skips the update
        return norm

    def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
        control = self.control
        looked_at = control.should_log or control.should_evaluate or control.should_save or control.should_training_stop
        self._stop_if_bad(self._finite.report(due=looked_at))
        super()._maybe_log_save_evaluate(*args, **kwargs)

    def _stop_if_bad(self, seen: Seen | None) -> None:
        if seen is None:
            return
        text_ids = seen.text_ids
        if seen.on_all_ranks:
            text_ids = [name for names in self._ranks.gathered(text_ids) for name in names]
        where = f"at step {seen.step}, passages {', '.join(text_ids)}"
        raise NonFiniteError(f"{seen.what} became {seen.value} {where}. {self._resume_hint()}")

    def _resume_hint(self) -> str:
        return resume_hint(Path(self.args.output_dir))

    def where(self) -> str:
        """How far the run has got and where it can resume, for the last line that one of the processes prints."""
        return f"after step {self.state.global_step}. {self._resume_hint()}"

    # --- the dataset decides the order of passages ---

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)

    # --- validation is the task itself ---

    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        """Accuracy and negative log-likelihood on the validation passages."""
        training = self.model.training
        # Rank 0's figures, since ranks could otherwise disagree on which checkpoint is best.
        with uncompiled(self.model):
            mine = self._validate(self.model)
        found = self._ranks.agreed(mine)
        metrics = {f"{metric_key_prefix}_{key}": value for key, value in found.items()}
        self.model.train(training)
        self.log(metrics)
        self.control: Any = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    # --- checkpoints: unsharded, so that any number of processes can resume; written aside, synced, renamed ---

    def _get_output_dir(self, trial: Any = None) -> str:
        return str(self._staging) if self._staging else str(self.args.output_dir)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        adapter = self._settings.method == "lora"
        if self._sharded:
            state_dict = whole_weights(self.model, trainable=adapter)
        if not self.args.should_save:
            return
        # By default peft would ask the Hub whether the embeddings were resized.
        extra = {"save_embedding_layers": False} if adapter else {}
        self.accelerator.unwrap_model(self.model).save_pretrained(output_dir, state_dict=state_dict, **extra)
        # peft writes a README.md that names local paths.
        (Path(output_dir or self.args.output_dir) / "README.md").unlink(missing_ok=True)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        optimizer = whole_optimizer(self.model, self.optimizer.optimizer)
        if self.args.should_save:
            torch.save(optimizer, Path(output_dir) / "optimizer.pt")
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / "scheduler.pt")

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            remedy = "Remove the checkpoint and resume with --resume from the one before."
            with reading(Path(checkpoint) / "optimizer.pt", remedy):
                load_optimizer(self.model, self.optimizer.optimizer, Path(checkpoint) / "optimizer.pt")
            with reading(Path(checkpoint) / "scheduler.pt", remedy):
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

    @contextmanager
    def _saving(self, staging: Path, checkpoint: Path) -> Iterator[None]:
        """Save what the block writes in a staging folder, which is removed at the end."""
        self._staging = staging
        try:
            with writing(checkpoint):
                yield
        finally:
            self._staging = None
            if self.args.should_save:
                shutil.rmtree(staging, ignore_errors=True)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        run = Path(self.args.output_dir)
        name = f"checkpoint-{self.state.global_step}"
        staging = run / ".saving"
        if self.args.should_save:
            shutil.rmtree(staging, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        with self._saving(staging, run / name):
            super()._save_checkpoint(model, trial)
            if self.state.best_model_checkpoint == str(staging / name):
                self.state.best_model_checkpoint = str(run / name)
            # Rank 0 has seen the folder; on another machine it may appear later.
            self.state.best_model_checkpoint = self._ranks.agreed(self.state.best_model_checkpoint)
            self.accelerator.wait_for_everyone()
            if self.args.should_save:
                self.state.save_to_json(str(staging / name / "trainer_state.json"))
                put_in_place(staging / name, run / name)
        if self.args.should_save:
            rotate_checkpoints(
                str(run),
                save_total_limit=self._settings.keep_checkpoints,
                best_model_checkpoint=self.state.best_model_checkpoint,
            )
        self.accelerator.wait_for_everyone()
