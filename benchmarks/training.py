"""Mentions per second of LoRA training: Medalist's token trees against trl's SFTTrainer.

Both sides tune the same base with the same fresh LoRA on the same mentions per optimiser step, with the same optimiser,
learning rate, clipping, threads and precision. trl gets one row per mention, with the same token ids as the tree, so it
computes a passage with four mentions four times and Medalist once. To verify that the work is the same, the golds'
log-likelihoods in trees and rows are compared, and so are the first losses that the trainers themselves report.

    python benchmarks/training.py                     # about 6 minutes on 2 cores
    python benchmarks/training.py --tries 1 2 4 8 4f  # search more for trl's fastest setting
    python benchmarks/training.py --control           # how much of the ratio is due to sharing, not to the trainer
    python benchmarks/training.py --by-mentions 1 2 4 8 16  # also: one passage per step with so many mentions

Result: Markdown on stdout; progress on stderr.
"""

from __future__ import annotations

import argparse
import gc
import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import datasets
import torch
from common import BASE, MENTIONS, WORDS, machine, medal_shaped, progress, table
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from trl import SFTConfig, SFTTrainer

from medalist.data.inventory import Inventory
from medalist.data.passages import Passage
from medalist.models.adapters import add_adapter
from medalist.models.load import LoadedModel, load_base
from medalist.models.products import slow_down
from medalist.recipe import TrainingSettings
from medalist.training.batches import TrainingItem, collate
from medalist.training.ranks import Ranks
from medalist.training.trainer import TreeTrainer
from medalist.trees.prompt import Choose, Encoder, Layout, PromptSettings, sampled_candidates
from medalist.trees.scoring import score_tree
from medalist.trees.tree import build_tree, sequences

PROMPT = PromptSettings(window=1024)
"""Wide enough for a passage to be one tree; for passages of MeDAL's shape, this is the same as the default."""
LIKELIHOOD_ONLY = {"likelihood_weight": 1.0, "hidden_gold_weight": 0.0}
"""With one candidate per question the listwise term is zero, which leaves the mean of -log p(gold)."""
SCORE_TOLERANCE, LOSS_TOLERANCE = 1e-3, {"fp32": 1e-3, "bf16": 3e-2}
"""In nats per mention, and as a fraction of the summed loss."""

TokenRow = tuple[list[int], int]
"""Token ids of a whole sequence, and how many at its end are predicted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """The same mentions prepared in three ways, by passage."""

    rows: list[list[TokenRow]]
    """For trl: one row per mention."""
    golds: list[TrainingItem]
    """Trees whose only candidates are the golds."""
    listwise: list[TrainingItem]
    """Trees with sampled candidates and the null candidate."""


def prepare(
    base: LoadedModel, passages: Sequence[Passage], inventory: Inventory, settings: TrainingSettings, *, seed: int = 0
) -> Work:
    """Lay out the passages for both sides; exit if a mention does not fit or its gold is not a candidate."""
    encoder = Encoder(base.tokenizer, PROMPT, max_depth=base.max_depth)
    sampled = sampled_candidates(settings.candidates, seed=seed, epoch=0)
    pairs = [gold_only(whole(encoder, passage, inventory, only_gold)) for passage in passages]
    return Work(
        rows=[rows for rows, _ in pairs],
        golds=[TrainingItem(layouts=(layout,)) for _, layout in pairs],
        listwise=[TrainingItem(layouts=(whole(encoder, passage, inventory, sampled),)) for passage in passages],
    )


def only_gold(passage: Passage, number: int, listed: tuple[str, ...]) -> Sequence[str]:
    """Offers the gold alone; the encoder adds the null candidate."""
    return (passage.mentions[number].long_form,)


def whole(encoder: Encoder, passage: Passage, inventory: Inventory, choose: Choose) -> Layout:
    layouts = encoder.encode(passage, inventory, choose)
    if len(layouts) != 1 or len(layouts[0].mentions) != len(passage.mentions):
        raise SystemExit(f"{passage.id} with {len(passage.mentions)} mentions does not fit one tree")
    if any(question.gold is None for question in layouts[0].questions):
        raise SystemExit(f"{passage.id} has a mention whose gold is not among its candidates")
    return layouts[0]


def gold_only(layout: Layout) -> tuple[list[TokenRow], Layout]:
    """The rows of a layout's golds, and a layout with the golds as its only candidates."""
    sequence = sequences(layout.tree)
    sizes = layout.tree.candidate_question.bincount()
    first = (sizes.cumsum(0) - sizes).tolist()
    rows = [sequence[at + (question.gold or 0)] for at, question in zip(first, layout.questions, strict=True)]
    return rows, rows_layout(layout, rows, range(len(rows)))


def rows_layout(layout: Layout, rows: Sequence[TokenRow], numbers: Sequence[int]) -> Layout:
    """Rows of some questions as one tree: equal prefixes are shared, so their common beginning is the passage."""
    questions = [layout.questions[number] for number in numbers]
    picked = [rows[number] for number in numbers]
    return replace(
        layout,
        tree=build_tree(picked[0][0][:1], [(ids[1:-count], [ids[-count:]]) for ids, count in picked]),
        mentions=tuple(layout.mentions[number] for number in numbers),
        questions=tuple(
            replace(question, candidates=(question.candidates[question.gold or 0],), gold=0) for question in questions
        ),
    )


def unshared(work: Work) -> list[TrainingItem]:
    """The golds again, with a separate tree for each mention."""
    return [
        TrainingItem(layouts=(rows_layout(item.layouts[0], rows, [number]),))
        for item, rows in zip(work.golds, work.rows, strict=True)
        for number in range(len(rows))
    ]


class StepClock(TrainerCallback):
    """Seconds of each optimiser step, from its first forward pass to its update, and each step's logged loss."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.losses: list[float] = []
        self._started = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop the clock."""
        self.seconds.append(time.perf_counter() - self._started)
        progress(f"  step {len(self.seconds)}: {self.seconds[-1]:.1f} s")

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Keep the loss."""
        if logs and "loss" in logs:
            self.losses.append(logs["loss"])


def shared_arguments(settings: TrainingSettings, *, steps: int, folder: Path, bf16: bool) -> dict[str, Any]:
    """Arguments of both trainers: those of `medalist.training.tune.tune`, without checkpoints."""
    return {
        "output_dir": str(folder),
        "max_steps": steps,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": settings.warmup,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.clip,
        "optim": "adamw_torch",
        "seed": 0,
        "bf16": bf16,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "dataloader_pin_memory": False,
        "disable_tqdm": True,
        "log_level": "error",
    }


def trl_trainer(
    base: LoadedModel,
    settings: TrainingSettings,
    rows: Sequence[TokenRow],
    *,
    rows_per_step: int,
    batch: int,
    checkpointing: bool,
    steps: int,
    folder: Path,
    padding_free: bool = False,
    bf16: bool = False,
) -> SFTTrainer:
    """SFTTrainer on pre-tokenised rows, in order; everything not set here keeps trl's default.

    The model computes as transformers loads it, without Medalist's matrix products.
    """
    slow_down(base.model)
    labels = [[-100] * (len(ids) - count) + ids[-count:] for ids, count in rows]
    arguments = SFTConfig(
        **shared_arguments(settings, steps=steps, folder=folder, bf16=bf16),
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=rows_per_step // batch,
        activation_checkpointing=checkpointing,
        padding_free=padding_free,
        max_length=None,
        train_sampling_strategy="sequential",
    )
    trainer = SFTTrainer(
        model=add_adapter(base, settings),
        args=arguments,
        train_dataset=datasets.Dataset.from_dict({"input_ids": [ids for ids, _ in rows], "labels": labels}),
        processing_class=base.tokenizer,
    )
    if (
        trainer.train_dataset["input_ids"][:] != [ids for ids, _ in rows]
        or trainer.train_dataset["labels"][:] != labels
    ):
        raise SystemExit("trl changed the rows that it was given")
    return trainer


def tree_trainer(
    base: LoadedModel,
    settings: TrainingSettings,
    items: Sequence[TrainingItem],
    *,
    items_per_step: int,
    steps: int,
    folder: Path,
    bf16: bool = False,
) -> TreeTrainer:
    """Medalist's trainer, as `medalist.training.tune.tune` sets it up, on items laid out in advance and in order."""
    arguments = TrainingArguments(
        **shared_arguments(settings, steps=steps, folder=folder, bf16=bf16),
        per_device_train_batch_size=settings.passages_per_pass,
        gradient_accumulation_steps=items_per_step // settings.passages_per_pass,
        activation_checkpointing=settings.activation_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if settings.activation_checkpointing else None,
        logging_nan_inf_filter=False,
        remove_unused_columns=False,
    )
    return TreeTrainer(
        model=add_adapter(base, settings),
        args=arguments,
        train_dataset=list(items),
        data_collator=collate,
        settings=settings,
        late=False,
        validate=lambda _: {},
        ranks=Ranks(),
    )


def clocked(trainer: Trainer) -> StepClock:
    """Train, and return the clock with its measurements."""
    clock = StepClock()
    trainer.add_callback(clock)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return clock


def score_difference(base: LoadedModel, work: Work, passages: int) -> tuple[float, float]:
    """Largest difference of a gold's log-likelihood between tree and row, in nats, and the sum over the rows."""
    worst, total = 0.0, 0.0
    base.model.eval()
    with torch.inference_mode():
        for rows, item in zip(work.rows[:passages], work.golds[:passages], strict=True):
            in_tree = score_tree(base.model, item.layouts[0].tree, base.attention)
            for (ids, count), score in zip(rows, in_tree.tolist(), strict=True):
                logits = base.model(torch.tensor([ids[:-1]]), use_cache=False).logits[0, -count:].float()
                alone = float(logits.log_softmax(-1).gather(1, torch.tensor(ids[-count:])[:, None]).sum())
                worst, total = max(worst, abs(alone - score)), total + alone
    return worst, total


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """A way to train."""

    name: str
    make: Callable[[LoadedModel], Trainer]
    tokens: float
    """Computed per timed step, without padding."""
    terms: int | None
    """How many terms the first step's logged loss averages; None if it is more than the golds' likelihood."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """Measurements of a side."""

    side: Side
    seconds: list[float]
    """Of each timed step."""
    first_loss: float | None
    """Summed over the first step's mentions, in nats."""

    @property
    def per_step(self) -> float:
        """Mean seconds of a timed step."""
        return mean(self.seconds)


def measure(side: Side) -> Measured:
    """Train a fresh base; the first step warms up."""
    progress(side.name)
    base = load_base(BASE)
    torch.manual_seed(0)
    clock = clocked(side.make(base))
    del base
    gc.collect()
    return Measured(
        side=side, seconds=clock.seconds[1:], first_loss=clock.losses[0] * side.terms if side.terms else None
    )


def trl_sides(options: argparse.Namespace, settings: TrainingSettings, work: Work, folder: Path) -> list[Side]:
    """SFTTrainer with its defaults, then with each setting to try for its best."""
    per_step = options.passages * options.mentions
    rows = [row for part in work.rows for row in part]
    make = partial(
        trl_trainer,
        settings=settings,
        rows=rows,
        rows_per_step=per_step,
        steps=1 + options.steps,
        folder=folder,
        bf16=options.bf16,
    )
    side = partial(
        Side,
        tokens=sum(len(ids) for ids, _ in rows[per_step:]) / options.steps,
        terms=sum(count for _, count in rows[:per_step]),
    )
    batch = default_batch(per_step)
    return [
        side(name=f"trl, defaults (batch {batch}, checkpointing)", make=partial(make, batch=batch, checkpointing=True)),
        *(
            side(
                name=f"trl, no checkpointing, batch {batch}{', padding-free' if padding_free else ''}",
                make=partial(make, batch=batch, checkpointing=False, padding_free=padding_free),
            )
            for batch, padding_free in options.tries
        ),
    ]


def tree_sides(options: argparse.Namespace, settings: TrainingSettings, work: Work, folder: Path) -> list[Side]:
    """Medalist on trl's objective, on its own objective, and on its own with half of the layers adapted."""
    per_step = options.passages * options.mentions
    likelihood = settings.model_copy(update=LIKELIHOOD_ONLY)
    upper = settings.model_copy(update={"upper_layers": options.upper_layers})

    def side(
        name: str, items: list[TrainingItem], chosen: TrainingSettings, *, terms: int | None, items_per_step: int
    ) -> Side:
        timed = items[items_per_step:]
        return Side(
            name=name,
            make=partial(
                tree_trainer,
                settings=chosen,
                items=items[:items_per_step] + timed * options.repeats,
                items_per_step=items_per_step,
                steps=1 + options.steps * options.repeats,
                folder=folder,
                bf16=options.bf16,
            ),
            tokens=sum(len(item.layouts[0].tree) for item in timed) / options.steps,
            terms=terms,
        )

    control = side(
        "medalist, likelihood only, a tree per mention",
        unshared(work),
        likelihood,
        terms=per_step,
        items_per_step=per_step,
    )
    return [
        side("medalist, likelihood only", work.golds, likelihood, terms=per_step, items_per_step=options.passages),
        side("medalist, listwise + likelihood", work.listwise, settings, terms=None, items_per_step=options.passages),
        side("medalist, listwise, upper half", work.listwise, upper, terms=None, items_per_step=options.passages),
        *([control] if options.control else []),
    ]


def check_losses(measured: Sequence[Measured], expected: float, tolerance: float) -> str:
    """Exit if a side's first step does not sum to the expected loss; return the sums as text."""
    sums = {one.side.name: one.first_loss for one in measured if one.first_loss is not None}
    for name, value in sums.items():
        if abs(value - expected) > tolerance * expected:
            raise SystemExit(f"Not the same work: {name} reports a summed loss of {value:.4f}, not {expected:.4f}")
    return ", ".join(f"{value:.4f}" for value in sums.values())


def default_batch(rows_per_step: int) -> int:
    """SFTTrainer's default batch size, or the whole step if that is smaller."""
    return min(SFTConfig.per_device_train_batch_size, rows_per_step)


def parse_try(text: str) -> tuple[int, bool]:
    """A batch size for trl, followed by "f" for padding-free."""
    size = text.removesuffix("f")
    if not size.isdigit() or int(size) < 1:
        raise argparse.ArgumentTypeError(f'"{text}" is not a batch size such as 4 or, padding-free, 4f')
    return int(size), text.endswith("f")


def precision_note(bf16: bool) -> str:
    """Which precision was used, and whether the CPU supports bf16."""
    info = Path("/proc/cpuinfo")
    flags = set(info.read_text().split()) if info.exists() else set()
    support = "has" if flags & {"avx512_bf16", "amx_bf16", "bf16"} else "does not have"
    used = "bf16 autocast on all sides, as trl does by default" if bf16 else "fp32 on all sides, so bf16=False for trl"
    return f"{used}; this CPU {support} bf16 instructions"


def quiet() -> None:
    """Keep the libraries' progress bars and warnings off stderr, which shows the benchmark's progress."""
    datasets.disable_progress_bars()
    warnings.filterwarnings("ignore")
    logging.getLogger("trl").setLevel(logging.ERROR)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--passages", type=int, default=4, help="passages per optimiser step (default 4)")
    add("--mentions", type=int, default=MENTIONS, help=f"mentions per passage, each a row for trl (default {MENTIONS})")
    add("--steps", type=int, default=1, help="timed steps, after one warm-up step (default 1)")
    add("--repeats", type=int, default=3, help="how many times Medalist repeats the timed passages (default 3)")
    add(
        "--tries",
        type=parse_try,
        nargs="+",
        default=[(1, False), (4, False)],
        metavar="BATCH",
        help="batch sizes to try for trl's best, without checkpointing; 4f is padding-free (default 1 4)",
    )
    add("--upper-layers", type=int, default=15, help="layers adapted in the last run of Medalist (default 15 of 30)")
    add("--control", action="store_true", help="also run Medalist without sharing: a separate tree for every mention")
    add("--by-mentions", type=int, nargs="+", default=[], metavar="N", help="also train passages with N mentions each")
    add("--bf16", action="store_true", help="bf16 autocast on all sides instead of fp32")
    add("--threads", type=int, help="CPU threads (default: torch's own choice)")
    options = parser.parse_args()
    per_step = options.passages * options.mentions
    for batch in (default_batch(per_step), *(batch for batch, _ in options.tries)):
        if per_step % batch:
            parser.error(f"{per_step} mentions per step are not a multiple of the batch size {batch}")
    return options


def report(
    options: argparse.Namespace, settings: TrainingSettings, trl: Sequence[Measured], ours: Sequence[Measured]
) -> str:
    """The result as Markdown."""
    default, best = trl[0], min(trl, key=lambda one: one.per_step)
    per_step = options.passages * options.mentions
    rows = [
        (
            f"{one.side.name} (its best here)" if one is best else one.side.name,
            f"{one.side.tokens:,.0f}",
            one.per_step,
            " ".join(f"{seconds:.1f}" for seconds in one.seconds),
            per_step / one.per_step,
            default.per_step / one.per_step,
            best.per_step / one.per_step,
        )
        for one in (*trl, *ours)
    ]

    def ratios(one: Measured) -> str:
        return f"{default.per_step / one.per_step:.2f} and {best.per_step / one.per_step:.2f} times"

    same, listwise, upper = ours[:3]
    return (
        f"## Training speed\n\n"
        f"SmolLM2-135M-Instruct, LoRA r={settings.rank} on all linear layers; a step is {options.passages} x "
        f"{options.mentions} mentions in passages of {WORDS} words; one warm-up step, {options.steps} timed, repeated "
        f"{options.repeats} times for Medalist. {machine()}; {precision_note(options.bf16)}.\n\n"
        + table(("", "tokens/step", "s/step", "each", "mentions/s", "× trl defaults", "× trl best"), rows)
        + f"\n\nOn trl's objective, Medalist trains on {ratios(same)} as many mentions per second as trl with its "
        f"defaults and with the fastest setting tried ({best.side.name}). With {settings.candidates} candidates per "
        f"mention and the listwise loss, which trl does not compute, the ratios are {ratios(listwise)}; with only the "
        f"upper {options.upper_layers} layers adapted, {ratios(upper)}."
    )


def lay_out(options: argparse.Namespace, settings: TrainingSettings) -> tuple[Work, float, float]:
    """The work of all steps; the largest difference and the sum of `score_difference` over its first step."""
    passages, inventory = medal_shaped(options.passages * (1 + options.steps), mentions=options.mentions)
    base = load_base(BASE)
    work = prepare(base, passages, inventory, settings)
    difference, likelihood = score_difference(base, work, options.passages)
    progress(f"A gold's log-likelihood in its tree and in its row differ by at most {difference:.1e} nats")
    if difference > SCORE_TOLERANCE:
        raise SystemExit(f"Not the same work: log-likelihoods of trees and rows differ by up to {difference:.2g} nats")
    return work, difference, likelihood


def by_mentions(options: argparse.Namespace, folder: Path, tolerance: float) -> str:
    """Markdown: trl with batch 1 and Medalist on trl's objective, one passage per step, by mentions per passage."""
    settings, rows = TrainingSettings(passages_per_step=1), []
    for mentions in options.by_mentions:
        progress(f"One passage per step, mentions: {mentions}")
        chosen = argparse.Namespace(
            **vars(options) | {"passages": 1, "mentions": mentions, "tries": [(1, False)], "repeats": 1}
        )
        work, _, likelihood = lay_out(chosen, settings)
        sides = trl_sides(chosen, settings, work, folder)[1], tree_sides(chosen, settings, work, folder)[0]
        trl, ours = measured = [measure(side) for side in sides]
        check_losses(measured, -likelihood, tolerance)
        rows.append(
            (
                mentions,
                f"{trl.side.tokens:,.0f}",
                f"{ours.side.tokens:,.0f}",
                trl.side.tokens / ours.side.tokens,
                trl.per_step,
                ours.per_step,
                trl.per_step / ours.per_step,
            )
        )
    header = ("mentions", "tokens in rows", "in the tree", "bound by sharing alone", "trl, s", "medalist, s", "× trl")
    return (
        f"\n### By mentions per passage\n\nOn trl's objective, one passage of {WORDS} words per step; trl without "
        f"checkpointing, batch 1. A tree saves the tokens that rows repeat: if a token cost both sides the same, the "
        f"ratio would be tokens in rows over tokens in the tree, the bound by sharing alone. What exceeds it, trl's "
        f"trainer spends elsewhere (the control above).\n\n{table(header, rows)}"
    )


def main() -> None:
    options = parse_options()
    quiet()
    if options.threads:
        torch.set_num_threads(options.threads)
    settings = TrainingSettings(passages_per_step=options.passages)
    tolerance = LOSS_TOLERANCE["bf16" if options.bf16 else "fp32"]
    work, difference, likelihood = lay_out(options, settings)
    with tempfile.TemporaryDirectory() as folder:
        trl = [measure(side) for side in trl_sides(options, settings, work, Path(folder))]
        ours = [measure(side) for side in tree_sides(options, settings, work, Path(folder))]
        spread = by_mentions(options, Path(folder), tolerance) if options.by_mentions else ""
    trl_losses, our_losses = (check_losses(measured, -likelihood, tolerance) for measured in (trl, ours))
    print(report(options, settings, trl, ours))
    print(
        f"\nSame work: the log-likelihoods of the first step's {options.passages * options.mentions} golds differ by "
        f"at most {difference:.1e} nats between trees and trl's rows, and sum to {likelihood:.4f}; the first losses "
        f"that trl reports sum to {trl_losses}, Medalist's to {our_losses}."
    )
    if spread:
        print(spread)


if __name__ == "__main__":
    main()
