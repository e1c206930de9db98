"""The recipe: everything that decides a run, typed and documented; YAML plus `key.sub=value` overrides."""

from __future__ import annotations

import copy
import difflib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .data.kinds import Kind
from .trees.prompt import PromptSettings


class RecipeError(ValueError):
    """A recipe is wrong; the message names the file, the key and what would be right."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSettings(_Section):
    """Which base model."""

    base: str = "smollm2-135m"
    """"smollm2-135m" (embedded), a folder, a .gguf file, package:NAME (what an installed package carries), or a Hub id."""
    revision: str | None = None
    """Commit, branch or tag of a Hub id."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """`auto`: bfloat16 on a GPU that has it, float32 on a CPU."""
    quantization: Literal["none", "int8", "nf4"] = "none"
    """Of the base's linear layers but the output: `nf4`: 4-bit NormalFloat with double quantisation (QLoRA), a quarter of
    16-bit weights' memory; `int8`: 8-bit, half of it. An adapter is learnt beside such weights."""
    attention: Literal["auto", "sdpa", "flex"] = "auto"
    """Kernel on a GPU. `auto`, `sdpa`: PyTorch's, the trees of a pass side by side in rows (`auto` goes on to the other where it
    computes trees wrong); `flex`: FlexAttention, the trees one after another, for trees of more than some 4,000 tokens. A CPU
    takes `sdpa` always. docs/gpu.md has what either measured."""
    parent: str | None = None
    """Folder of a trained run: tuning begins with its weights, on the same base, instead of fresh ones; see `parents`."""


class SubstitutionSettings(_Section):
    """How short forms are put into plain text; see `substitution`."""

    mode: Literal["auto", "none", "medal", "mended"] = "auto"
    """`none` for texts that are marked already; `auto`: `mended` for sample, `none` for others."""
    probability: float = Field(0.7, gt=0, le=1)
    """Of an occurrence (`medal`; published: 0.15) or of a long form of a passage (`mended`)."""
    distractors: float = Field(0.5, ge=0)
    """Ordinary words that look like a short form ("as", "all"), marked per passage on average; the answer is none."""


class KindSettings(_Section):
    """What is made of PubMed abstracts; see `kinds`. A corpus that is prepared already takes `shares` alone."""

    shares: dict[Kind, float] = Field({"medal": 1.0, "substituted": 1.0, "defined": 2.0}, min_length=1)
    """How the abstracts are divided among the kinds, as relative shares; each abstract is used once."""
    probability: dict[Kind, Annotated[float, Field(gt=0, le=1)]] = {"medal": 0.15, "substituted": 0.4}
    """Of an occurrence of a long form (`medal`; published: 0.15), or of a long form of an abstract (`substituted`)."""
    all_sections: bool = False
    """Give the kind `medal` the whole abstract; the published recipe takes its first section."""
    min_count: int = Field(1, ge=1)
    """A pair of short and long form is mined when so many training abstracts define it."""

    @model_validator(mode="after")
    def _probabilities(self) -> Self:
        if missing := set(self.shares) - set(self.probability) - {"defined"}:
            raise ValueError(f"probability is missing for {', '.join(sorted(missing))}")
        if not all(0 < share < math.inf for share in self.shares.values()):
            raise ValueError("shares are numbers above 0; leave out a kind that is not wanted")
        return self


class DataSettings(_Section):
    """Where passages and inventory come from, and how they are split."""

    source: Literal["sample", "medal", "pubmed", "table", "choices"] = "sample"
    """`sample`: embedded; `medal`: MeDAL's CSV; `pubmed`: abstracts as XML or JSON Lines; `table`: marked JSONL or Parquet;
    `choices`: no short forms but choice questions, such as PubMedQA's, which need no inventory."""
    path: str | None = None
    """File of every source but `sample`; for `medal` and `pubmed` also a folder that `medalist prepare` made, for `pubmed` a
    folder of files."""
    inventory: str | tuple[str, ...] | None = None
    """Sense inventory: MeDAL's table, ADAM, CAMI, CASI, or a CSV or JSON glossary; several are merged. None: the sample's for
    the sample, a prepared folder's own."""
    substitution: SubstitutionSettings = SubstitutionSettings()
    kinds: KindSettings = KindSettings()
    hold_out: Literal["nothing", "senses", "short_forms"] = "nothing"
    """`senses`, `short_forms`: some of them, chosen by a hash, are marked in the test split only, and nothing else is there."""
    hold_out_share: float = Field(0.1, gt=0, lt=1)
    """Share of the senses or short forms that are held out."""
    validation: float = Field(0.1, ge=0, lt=1)
    """Share of passages to choose checkpoints on."""
    test: float = Field(0.25, ge=0, lt=1)
    """Share of passages never trained on; 0 where the test data is a file of its own."""
    limit: int | None = Field(None, ge=1)
    """Take only so many training passages."""
    limit_validation: int | None = Field(None, ge=1)
    """Take only so many validation passages."""
    limit_test: int | None = Field(None, ge=1)
    """Take only so many test passages."""
    max_bad_rows: float = Field(0.05, ge=0, le=1)
    """More malformed rows than this share stop the run."""
    parent_senses: bool = True
    """With `model.parent`: offer its senses too, beside those of `inventory`; without them there is little to choose."""
    replay: float = Field(0.25, ge=0, lt=1)
    """With `model.parent`: this share of the training passages are again some of its own, against forgetting; 0 for none."""

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
    """`lora`: a small adapter on all linear layers; `full`: every weight."""
    rank: int = Field(16, ge=1)
    """LoRA rank."""
    alpha: int = Field(32, ge=1)
    """LoRA alpha; the update is scaled by alpha / rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """LoRA dropout."""
    upper_layers: int | None = Field(None, ge=1)
    """Adapt at most so many upper layers: the lower ones then run without a gradient, which saves their backward pass."""
    learning_rate: float = Field(5e-4, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the steps in which the learning rate rises; then it falls as a cosine."""
    clip: float = Field(1.0, gt=0)
    """Largest gradient norm."""
    epochs: float = Field(1.0, gt=0)
    max_steps: int | None = Field(None, ge=1)
    """Stop after so many optimiser steps, whatever `epochs` says."""
    passages_per_step: int = Field(4, ge=1)
    """Passages in an optimiser step, over all devices."""
    passages_per_pass: int = Field(1, ge=1)
    """Passages in one forward pass of a device; the rest is accumulated. 1 is fastest on a CPU."""
    candidates: int = Field(8, ge=2)
    """Long forms offered per question in training, the gold among them; evaluation offers all."""
    likelihood_weight: float = Field(0.1, ge=0)
    """Weight of the gold long form's likelihood beside the listwise loss."""
    prior_offset: bool = False
    """Take how often each sense is the gold in the training split for its prior in the listwise loss, so that the model learns
    what the text adds to it; for use with a prior of its own."""
    hidden_gold_weight: float = Field(0.1, ge=0)
    """Weight of the question "and if the gold were not offered?", which teaches to abstain."""
    activation_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, a third more time."""
    log_every: int = Field(1, ge=1)
    """Steps between lines of log.jsonl."""
    evaluate_every: int = Field(20, ge=1)
    """Steps between looks at the validation passages; a checkpoint is saved each time."""
    best_by: Literal["nll", "accuracy"] = "nll"
    """Which validation figure picks the checkpoint that is kept."""
    patience: int | None = Field(None, ge=1)
    """Stop after so many looks without improvement."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """How several processes share a run that `torchrun` or `accelerate launch` starts, one per device: `ddp` gives each the
    whole model, `fsdp` (FSDP2) a slice of it. Both share out `passages_per_step`, so results stay those of one process, for
    which this key changes nothing."""
    keep_checkpoints: int = Field(2, ge=1)
    """Checkpoints kept, the best one besides."""
    report_to: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ()
    """Trackers that also get the log; off by default."""


class EvaluationSettings(_Section):
    """How results are reported."""

    bootstrap: int = Field(2000, ge=100)
    """Resamples of the passages behind every interval and p value."""
    max_nodes: int = Field(16384, ge=256)
    """Tokens in one forward pass on a GPU; a CPU takes one tree at a time."""


class Recipe(_Section):
    """Everything that decides a run."""

    name: str = Field("run", pattern=r"^[\w][\w.-]*$")
    """Name of the run's folder."""
    seed: int = 0
    output: str = "runs"
    """Folder of the runs; prepared data goes to `data` beside it."""
    threads: int | None = Field(None, ge=1)
    """CPU threads; None: one per core. Part of what makes a run repeatable to the bit."""
    model: ModelSettings = ModelSettings()
    data: DataSettings = DataSettings()
    prompt: PromptSettings = PromptSettings()
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()

    @model_validator(mode="after")
    def _trainable(self) -> Self:
        if self.training.method == "full" and self.model.quantization != "none":
            raise ValueError(
                "training.method=full cannot train quantised weights: set model.quantization=none, or training.method=lora"
            )
        return self

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return Path(self.output) / self.name


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply overrides such as `training.epochs=2`.

    Raises:
        RecipeError: the file is missing or no YAML, a key is unknown, or a value is of the wrong kind.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        known = sorted(str(p) for p in Path("recipes").glob("*.yaml"))
        raise RecipeError(f"No recipe {path}." + (f" Here: {', '.join(known)}." if known else "")) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{path} holds no keys")
    values.pop("record", None)  # what a run adds to its own copy
    return parse_recipe(values, overrides, origin=str(path))


def parse_recipe(values: dict[str, Any], overrides: Sequence[str] = (), *, origin: str = "the recipe") -> Recipe:
    """A recipe from nested values, left as they are, and overrides; see `load_recipe`."""
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
            section[last] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise RecipeError(f'Override "{override}" is no YAML: {" ".join(str(error).split())}') from None
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeError("; ".join(_explain(item, origin) for item in error.errors())) from None


def _explain(error: Any, origin: str) -> str:
    """One line per mistake, with what would have been right."""
    key = ".".join(str(part) for part in error["loc"] if part != "[key]")
    if error["type"] == "extra_forbidden":
        known = _known_keys(error["loc"][:-1])
        close = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"Known: {', '.join(known)}."
        return f"Unknown key {key} in {origin}. {hint}"
    if error["type"] == "literal_error":
        return f'Unknown value "{error["input"]}" in {origin}, key {key}. Known: {error["ctx"]["expected"]}.'
    if error["type"] == "value_error" and not key:
        return f"{origin}: {error['ctx']['error']}"
    if error["type"] == "value_error":
        return f"{origin}, key {key}: {error['ctx']['error']}"
    return f"{origin}, key {key}: {error['msg'][0].lower()}{error['msg'][1:]} (found {error['input']!r})"


def _known_keys(location: Sequence[str | int]) -> list[str]:
    section: type[BaseModel] = Recipe
    for part in location:
        section = section.model_fields[str(part)].annotation  # type: ignore[assignment]  # sections nest by annotation
    return list(section.model_fields)


def dump_recipe(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain values, every default spelt out."""
    return recipe.model_dump(mode="json")
