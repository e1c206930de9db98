"""The recipe: every setting that decides a run, typed and documented; read from YAML and `key.sub=value` overrides."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from .data.kinds import Kind
from .tools.number_formats import DType, Quantization
from .tools.wrong_settings import in_words
from .tools.yaml_files import YamlError, parse_yaml, read_yaml
from .trees.prompt import PromptSettings

LARGEST = 2**32 - 1
"""The largest integer that a key takes; some have a lower limit."""


class RecipeError(ValueError):
    """A recipe is invalid; the message names the file, the key and what would be valid."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True, allow_inf_nan=False)

    @field_validator("*")
    @classmethod
    def _countable(cls, value: Any) -> Any:
        if type(value) is int and value > LARGEST:
            raise ValueError(f"input should be less than or equal to {LARGEST}")
        return value


def _with_home(value: Any) -> Any:
    """A path, or several, with "~" replaced by the home folder."""
    if isinstance(value, str):
        return str(Path(value).expanduser()) if value.startswith("~") else value
    return tuple(map(_with_home, value)) if isinstance(value, tuple) else value


class ModelSettings(_Section):
    """The base model, and how to load it."""

    base: str = "smollm2-135m"
    """"smollm2-135m" (embedded), a folder, a .gguf file, package:NAME (in an installed package), or a Hub id."""
    revision: str | None = None
    """Commit, branch or tag of a Hub repository."""
    dtype: DType = "auto"
    """`auto`: bfloat16 on a GPU that supports it, float16 on other GPUs, float32 on a CPU."""
    quantization: Quantization = "none"
    """How the base's linear layers, except the output layer, are stored. `nf4`: 4-bit NormalFloat with double
    quantisation (QLoRA), a quarter of the memory of 16-bit weights; `int8`: 8-bit, half of it. With either, training
    adds a LoRA adapter to the quantised weights."""
    attention: Literal["auto", "sdpa", "flex"] = "auto"
    """Attention kernel on a GPU. `auto`, `sdpa`: PyTorch's, with the trees of a pass packed into rows (`auto` falls
    back to `flex` if the model scores trees wrongly with it); `flex`: FlexAttention, with the trees concatenated, for
    trees of more than about 4,000 tokens. A CPU always uses `sdpa`. Measured figures: docs/gpu.md."""
    parent: str | None = None
    """Folder of a trained run on the same base: tuning starts from its weights instead of fresh ones; see `parents`."""

    _home = field_validator("base", "parent")(_with_home)


class SubstitutionSettings(_Section):
    """How long forms in plain text are replaced by short forms; see `substitution`."""

    mode: Literal["auto", "none", "medal", "mended"] = "auto"
    """`none` for texts that are already marked; `auto`: `mended` for the sample, `none` for other sources."""
    probability: float = Field(0.7, gt=0, le=1)
    """Probability of replacing one occurrence (`medal`; published: 0.15) or one long form of a passage (`mended`)."""
    distractors: float = Field(0.5, ge=0, le=100)
    """Average number of ordinary words per passage that look like a short form ("as", "all") and are marked as
    distractors; their gold is "none of these"."""


class KindSettings(_Section):
    """Which kinds of passages are made from PubMed abstracts; see `kinds`. A prepared corpus uses only `shares`."""

    shares: dict[Kind, float] = Field({"medal": 1.0, "substituted": 1.0, "defined": 2.0}, min_length=1)
    """How the abstracts are divided among the kinds, as relative shares; each abstract is used once."""
    probability: dict[Kind, Annotated[float, Field(gt=0, le=1)]] = {"medal": 0.15, "substituted": 0.4}
    """Probability of replacing one occurrence of a long form (`medal`; published: 0.15), or one long form of an
    abstract (`substituted`)."""
    all_sections: bool = False
    """Use the whole abstract for the kind `medal`; the published recipe uses only its first section."""
    min_count: int = Field(1, ge=1)
    """Minimum number of training abstracts that must define a pair of short and long form for it to be mined."""

    @model_validator(mode="after")
    def _probabilities(self) -> Self:
        if missing := set(self.shares) - set(self.probability) - {"defined"}:
            raise ValueError(f"probability is missing for {', '.join(sorted(missing))}")
        if not all(share > 0 for share in self.shares.values()):
            raise ValueError("shares must be above 0; leave out a kind that you do not want")
        return self


class DataSettings(_Section):
    """Where passages and inventory come from, and how passages are split."""

    source: Literal["sample", "medal", "pubmed", "text", "table", "choices"] = "sample"
    """`sample`: embedded; `medal`: MeDAL's CSV; `pubmed`: abstracts as XML or JSON Lines; `text`: plain texts, whose
    long forms are found and replaced by short forms; `table`: marked JSONL or Parquet; `choices`: choice questions
    instead of short forms, such as PubMedQA's, which need no inventory."""
    path: str | None = None
    """The source's file; not needed for `sample`. For `medal`, `pubmed` and `text` it can also be a folder made by
    `medalist prepare`; for `pubmed` and `text`, also a folder of files."""
    beside: tuple[str, ...] = ()
    """More folders made by `medalist prepare`, whose training passages are also used for training, each with the
    candidates of its own inventory."""
    inventory: str | tuple[str, ...] | None = None
    """Sense inventory: MeDAL's table, ADAM, CAMI, CASI, or a CSV or JSON glossary; several are merged. None: the one
    of the sample or of the prepared folder; for `text`, the note reader's."""
    substitution: SubstitutionSettings = SubstitutionSettings()
    kinds: KindSettings = KindSettings()
    hold_out: Literal["nothing", "senses", "short_forms"] = "nothing"
    """`senses`, `short_forms`: some, chosen by a hash, are marked only in the test split, which marks nothing else."""
    hold_out_share: float = Field(0.1, gt=0, lt=1)
    """Share of the senses or short forms to hold out."""
    validation: float = Field(0.1, ge=0, lt=1)
    """Share of passages used to choose the checkpoint."""
    test: float = Field(0.25, ge=0, lt=1)
    """Share of passages kept for testing; 0 if the test data is a separate file."""
    limit: int | None = Field(None, ge=1)
    """Maximum number of training passages."""
    limit_validation: int | None = Field(None, ge=1)
    """Maximum number of validation passages."""
    limit_test: int | None = Field(None, ge=1)
    """Maximum number of test passages."""
    max_bad_rows: float = Field(0.05, ge=0, le=1)
    """Maximum share of malformed rows; a larger one stops the run."""
    parent_senses: bool = True
    """With `model.parent`: also offer the parent's senses, in addition to those of `inventory`; without them there is
    little to choose from."""
    replay: float = Field(0.25, ge=0, lt=1)
    """With `model.parent`: the share of training passages that are replayed from the parent's, against forgetting; 0
    for none."""

    _home = field_validator("path", "beside", "inventory")(_with_home)

    @property
    def inventories(self) -> tuple[str, ...]:
        """The files of `inventory`."""
        return (self.inventory,) if isinstance(self.inventory, str) else self.inventory or ()

    @model_validator(mode="after")
    def _some_left_for_training(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(f"validation {self.validation:g} and test {self.test:g} leave nothing to train on")
        return self


class TrainingSettings(_Section):
    """How the model is tuned."""

    method: Literal["lora", "full"] = "lora"
    """`lora`: train a small adapter on all linear layers; `full`: train every weight."""
    rank: int = Field(16, ge=1)
    """LoRA rank, at most the width of the base's layers."""
    alpha: int = Field(32, ge=1)
    """LoRA alpha; the update is scaled by alpha / rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """LoRA dropout."""
    upper_layers: int | None = Field(None, ge=1)
    """Adapt only this many upper layers; the layers below run without gradients, so they need no backward pass."""
    learning_rate: float = Field(5e-4, gt=0, le=1)
    weight_decay: float = Field(0.0, ge=0, le=100)
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the steps over which the learning rate rises; afterwards it follows a cosine decay."""
    clip: float = Field(1.0, gt=0)
    """Maximum gradient norm; larger gradients are scaled down to it."""
    epochs: float = Field(1.0, gt=0, le=10_000)
    max_steps: int | None = Field(None, ge=1)
    """Stop after this many optimiser steps, whatever `epochs` says."""
    passages_per_step: int = Field(4, ge=1)
    """Passages per optimiser step, on all devices together."""
    passages_per_pass: int = Field(1, ge=1, le=10_000)
    """Passages per forward pass on each device; gradients are accumulated over passes. 1 is fastest on a CPU."""
    candidates: int = Field(8, ge=2)
    """Long forms offered per question in training, including the gold; evaluation offers all."""
    likelihood_weight: float = Field(0.1, ge=0, le=1000)
    """Weight of the gold long form's negative log-likelihood, added to the listwise loss."""
    prior_offset: bool = False
    """Use how often each sense is the gold in the training split as its prior in the listwise loss, so that the model
    learns only what the text adds; for use with a separate prior at inference."""
    hidden_gold_weight: float = Field(0.1, ge=0, le=1000)
    """Weight of the listwise loss with the gold not offered, which teaches the model to abstain."""
    activation_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, a third more time."""
    compile: bool = False
    """Compile the model's blocks with `torch.compile`, which needs a C compiler: the first steps take minutes, later
    ones take a quarter less time (Llama 3 8B on an H200) and less memory. Not with `parallel: fsdp`."""
    log_every: int | None = Field(None, ge=1)
    """Steps between lines of log.jsonl. None: 1 on a CPU; 10 on a GPU, where the host must wait to log a line."""
    evaluate_every: int = Field(20, ge=1)
    """Steps between validation passes; a checkpoint is saved each time."""
    best_by: Literal["nll", "accuracy"] = "nll"
    """The validation metric that decides which checkpoint is best."""
    patience: int | None = Field(None, ge=1)
    """Stop after this many validation passes without improvement."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """How the processes that `torchrun` or `accelerate launch` starts, one per device, share a run: `ddp` gives each
    the whole model, `fsdp` (FSDP2) a slice of it. Both divide `passages_per_step` among them, so results equal those of
    one process, for which this key has no effect."""
    keep_checkpoints: int = Field(2, ge=1)
    """Number of checkpoints to keep, in addition to the best one."""
    report_to: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ()
    """Experiment trackers that also receive the log; none by default."""

    def passages_at_once(self, processes: int) -> int:
        """Passages in one pass over all processes, one per device.

        Raises:
            ValueError: `passages_per_step` is not a multiple of this number.
        """
        at_once = self.passages_per_pass * processes
        if self.passages_per_step % at_once:
            raise ValueError(
                f"training.passages_per_step={self.passages_per_step} is not a multiple of passages_per_pass="
                f"{self.passages_per_pass} times {processes} process(es)"
            )
        return at_once


class EvaluationSettings(_Section):
    """How models are scored and results reported."""

    bootstrap: int = Field(2000, ge=100, le=100_000)
    """Bootstrap resamples of the passages for every interval and p-value."""
    precision: float = Field(0.95, gt=0, lt=1)
    """Target precision of the answers offered without a question mark; the first evaluation sets their threshold for it
    on the validation split (`calibration.json` in the run's folder; remove it to set it again)."""
    max_nodes: int = Field(16384, ge=256)
    """Maximum number of tokens in one forward pass on a GPU; a CPU takes one tree at a time."""


class Recipe(_Section):
    """Every setting that decides a run."""

    name: str = Field("run", pattern=r"^[\w][\w.-]*$")
    """Name of the run's folder."""
    seed: int = Field(0, ge=0)
    output: str = "runs"
    """Folder of the runs; prepared data goes to its sibling folder `data`."""
    threads: int | None = Field(None, ge=1, le=1024)
    """CPU threads; None: one per core. A run is bit-for-bit reproducible only with the same number."""
    model: ModelSettings = ModelSettings()
    data: DataSettings = DataSettings()
    prompt: PromptSettings = PromptSettings()
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()

    _home = field_validator("output")(_with_home)

    @model_validator(mode="after")
    def _compilable(self) -> Self:
        if self.training.compile and self.training.parallel == "fsdp":
            raise ValueError(
                "training.compile=true does not go with training.parallel=fsdp: set training.compile=false, or "
                "training.parallel=ddp"
            )
        return self

    @model_validator(mode="after")
    def _trainable(self) -> Self:
        if self.training.method == "full" and self.model.quantization != "none":
            raise ValueError(
                "training.method=full cannot train quantised weights: set model.quantization=none, or "
                "training.method=lora"
            )
        return self

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return Path(self.output) / self.name


def load_recipe(path: Path | str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply overrides such as `training.epochs=2`.

    Raises:
        RecipeError: the file is missing or not valid YAML, a key is unknown, or a value is invalid.
    """
    try:
        values = read_yaml(Path(path))
    except FileNotFoundError:
        known = sorted(str(p) for p in Path("recipes").glob("*.yaml"))
        raise RecipeError(f"No recipe {path}." + (f" Here: {', '.join(known)}." if known else "")) from None
    except YamlError as error:
        raise RecipeError(str(error)) from None
    values.pop("record", None)  # added by a run to its own copy
    return parse_recipe(values, overrides, origin=str(path))


def parse_recipe(values: dict[str, Any], overrides: Sequence[str] = (), *, origin: str = "the recipe") -> Recipe:
    """A recipe from nested values, which are not modified, and overrides; see `load_recipe`."""
    values = copy.deepcopy(values)
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key:
            raise RecipeError(f'Override "{override}" is not key.sub=value, such as training.epochs=2')
        section = values
        *parents, last = key.strip().split(".")
        for parent in parents:
            section = section.setdefault(parent, {})
            if not isinstance(section, dict):
                raise RecipeError(f'Override "{override}": {parent} is a value, not a section')
        try:
            section[last] = _override_value([*parents, last], value)
        except YamlError as error:
            raise RecipeError(f'Override "{override}": {error}') from None
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeError("; ".join(in_words(item, Recipe, origin) for item in error.errors())) from None


def _override_value(keys: Sequence[str], text: str) -> Any:
    """The value of an override. Where the recipe takes any string, it is used literally: "no" and "a #2.csv" too."""
    annotation: Any = Recipe
    for key in keys:
        field = getattr(annotation, "model_fields", {}).get(key)
        annotation = None if field is None else field.annotation
    kinds = get_args(annotation) or (annotation,)
    plain = text.strip()
    nothing = type(None) in kinds and plain in ("", "null", "~")
    return parse_yaml(text) if str not in kinds or nothing or plain[:1] in ("[", "'", '"') else plain


def dump_recipe(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain values, with all defaults included."""
    return recipe.model_dump(mode="json")
