"""The same mentions as plain rows through trl's own trainer, where trl is installed.

`SFTTrainer` gets the rows' token ids, with the loss on the gold's tokens, and pads a batch of them on the right. What
is not set here keeps its default; packing would need a kernel (flash-attn) that trl asks for and few machines have.
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from typing import Any

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast, PrinterCallback, TrainerCallback
from transformers.trainer_utils import SaveStrategy

from .clock import GIB, forget_peak, peak_memory, synchronize
from .models import Sizes, checkpointing, input_casts
from .notes import Notes, Options
from .passes import medal_like, use_kernel

NAME = "rows, 4k, trl"
"""Begins as the other rows do, so that trees are compared with it."""
ROWS = 11
"""A pass: some 3,850 tokens."""
WARM, TIMED = 3, 8


def trl_rows(model: Any, sizes: Sizes, options: Options, notes: Notes) -> dict[str, float]:
    """Mentions per second by the case's name; nothing where trl is missing.

    Args:
        model: with its adapters; peft made them, so trl adds none.
        sizes: of it.
        options: of the stage.
        notes: of the stage.
    """
    place = {"table": "Training", "row": NAME, "column": "what"}
    if importlib.util.find_spec("trl") is None:
        notes.record(NAME, "skipped: trl is not installed", skipped=True, **place)
        return {}
    rates: dict[str, float] = {}
    if notes.fits(NAME, needs=0 if options.tiny else 20, **place):
        with notes.attempt(NAME, **place):
            rates[NAME] = _trained(model, sizes, options, notes, place)
        model.zero_grad(set_to_none=True)
    return rates


def _trained(model: Any, sizes: Sizes, options: Options, notes: Notes, place: dict[str, str]) -> float:
    import datasets
    from trl import SFTConfig, SFTTrainer

    core = model.get_base_model()
    use_kernel(core, "causal")
    checkpointing(core, False)
    input_casts(core, False)
    steps = WARM + TIMED
    shape: dict[str, Any] = {"passage": (20, 30), "prompt": 3, "words": (1, 3)} if options.tiny else {}
    texts = medal_like(steps * ROWS, sizes.vocab, **shape)
    rows = [(text.passage + prompt, golds[0]) for text in texts for prompt, golds in text.mentions][: steps * ROWS]
    given = {
        "input_ids": [before + gold for before, gold in rows],
        "labels": [[-100] * len(before) + gold for before, gold in rows],
    }
    clock = _Clock(options.device)
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=model,
            args=SFTConfig(
                output_dir=folder,
                per_device_train_batch_size=ROWS,
                max_steps=steps,
                max_length=None,
                bf16=options.device == "cuda",
                use_cpu=options.device == "cpu",
                activation_checkpointing=False,
                save_strategy=SaveStrategy.NO,
                report_to="none",
                disable_tqdm=True,
                log_level="error",
            ),
            train_dataset=datasets.Dataset.from_dict(given),
            processing_class=_tokenizer(),
            callbacks=[clock],
        )
        trainer.remove_callback(PrinterCallback)
        forget_peak(options.device)
        trainer.train()
    rate, memory = ROWS / clock.seconds, peak_memory(options.device)
    tokens = sum(map(len, given["input_ids"])) / steps / clock.seconds
    text = f"{rate:,.1f} mentions/s, {tokens:,.0f} tokens/s, {clock.seconds:.3f} s a step, "
    text += f"{memory['allocated'] / GIB:.1f} GiB"
    values = {"mentions_per_second": rate, "tokens_per_second": tokens, "seconds_per_step": clock.seconds}
    notes.record(NAME, text, memory=memory, **values, **place)
    return rate


def _tokenizer() -> PreTrainedTokenizerFast:
    """One that is never asked: the rows are token ids already."""
    words = Tokenizer(WordLevel({"<pad>": 0, "<eos>": 1, "<unk>": 2}, unk_token="<unk>"))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")


class _Clock(TrainerCallback):
    """Seconds of a step, the mean after the first `WARM`."""

    def __init__(self, device: str) -> None:
        self.device, self.seconds, self._began = device, 0.0, 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Begin after the first few."""
        if state.global_step == WARM:
            synchronize(self.device)
            self._began = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """End with the last."""
        if state.global_step == WARM + TIMED:
            synchronize(self.device)
            self.seconds = (time.perf_counter() - self._began) / TIMED
