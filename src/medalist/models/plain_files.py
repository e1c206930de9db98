"""Decides which files and settings of a foreign model folder are used: only known ones, none of which can run code.

A model's settings may name code: `auto_map` a Python file next to them, `adapter_config.json` a module to import, an
architecture a converter that loads such a file. So nothing is passed on that is not listed here.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ..tools.failures import in_one_line
from ..tools.shapes import json_object
from .base import ModelError
from .model_folder import MAX_LAYERS, TOKENIZER, check_settings

WEIGHTS = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "model-?????-of-?????.safetensors",
    "model.safetensors.index.json",
    *TOKENIZER,
)
"""Patterns of a model's files: only safetensors, never pickle or Python."""
CONVERTED = (
    "ArceeForCausalLM",
    "Gemma2ForCausalLM",
    "Gemma3ForCausalLM",
    "GemmaForCausalLM",
    "GPT2LMHeadModel",
    "GraniteForCausalLM",
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "Olmo2ForCausalLM",
    "OlmoForCausalLM",
    "Phi3ForCausalLM",
    "PhiForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
    "SmolLM3ForCausalLM",
    "StableLmForCausalLM",
)
"""Architectures that llama.cpp's converter may be given; its code for others loads classes from the model folder."""
MAX_RANK = 4096
"""Maximum rank of an adapter."""
_OLDER = ("rope_scaling", "rope_theta", "torch_dtype", "unk_token_id")
"""Keys of `config.json` that transformers reads but no longer writes."""
_GENERATION = (
    "bos_token_id",
    "do_sample",
    "eos_token_id",
    "max_length",
    "pad_token_id",
    "temperature",
    "top_k",
    "top_p",
    "transformers_version",
)
_TOKENIZER_KEYS = (
    "add_bos_token",
    "add_eos_token",
    "add_prefix_space",
    "added_tokens_decoder",
    "additional_special_tokens",
    "backend",
    "bos_token",
    "chat_template",
    "clean_up_tokenization_spaces",
    "cls_token",
    "eos_token",
    "errors",
    "extra_special_tokens",
    "legacy",
    "mask_token",
    "model_input_names",
    "model_max_length",
    "pad_token",
    "padding_side",
    "sep_token",
    "spaces_between_special_tokens",
    "split_special_tokens",
    "tokenizer_class",
    "truncation_side",
    "unk_token",
    "use_default_system_prompt",
)
_ADAPTER_REMARKS = (
    "base_model_name_or_path",
    "inference_mode",
    "init_lora_weights",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "task_type",
)
"""Keys of `adapter_config.json` that do not affect how a trained plain LoRA adapter is applied."""
_ADAPTER_KEYS = ("lora_alpha", "lora_dropout", "layers_to_transform", "peft_type", "r", "target_modules", "use_rslora")
_REMEDY = "Name another model or adapter."


def is_model_file(name: str) -> bool:
    """Whether a file of this name belongs to a model folder and is used."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in WEIGHTS)


def lora_settings(adapter: Path) -> dict[str, Any]:
    """The settings of a plain LoRA adapter, as keyword arguments for peft's `LoraConfig`; other settings are ignored.

    Raises:
        ModelError: the adapter is not a plain LoRA adapter, or a setting is out of range.
    """
    path = adapter / "adapter_config.json"
    found = _object(path)
    unusual = sorted(
        key
        for key, value in found.items()
        if value and key not in (*_ADAPTER_KEYS, *_ADAPTER_REMARKS) and (key, value) != ("bias", "none")
    )
    if found.get("peft_type") != "LORA" or unusual:
        raise ModelError(f"{adapter} is not a plain LoRA adapter ({', '.join(unusual) or 'another peft_type'})")
    rank, alpha, dropout = found.get("r"), found.get("lora_alpha"), found.get("lora_dropout") or 0.0
    modules, layers = found.get("target_modules"), found.get("layers_to_transform")
    for key, good, wanted in (
        ("r", _is_whole(rank, 1, MAX_RANK), f"a whole number from 1 to {MAX_RANK:,}"),
        ("lora_alpha", _is_number(alpha, 1e-6, 1e6), "a number above 0"),
        ("lora_dropout", _is_number(dropout, 0, 1), "a number from 0 to 1"),
        ("target_modules", bool(modules) and _are(modules, _is_name), "a list of names of layers"),
        ("layers_to_transform", layers is None or _are(layers, _is_block), "a list of numbers of blocks"),
    ):
        if not good:
            raise ModelError(f"{path}: {key} must be {wanted}. {_REMEDY}")
    return {
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": dropout,
        "target_modules": modules,
        "layers_to_transform": layers,
        "use_rslora": found.get("use_rslora") is True,
        "task_type": "CAUSAL_LM",
    }


def check_lora_weights(adapter: Path, rank: int) -> None:
    """Compare the header of an adapter's weights with its rank before allocating memory, and look for NaN.

    Raises:
        ModelError: the weights are missing or unreadable, are not LoRA matrices, have another rank, or are not finite.
    """
    path = adapter / "adapter_model.safetensors"
    if not path.exists():
        raise ModelError(f"{adapter} holds no adapter_model.safetensors")
    try:
        with safe_open(path, "pt") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118  # not a mapping
            _check_shapes(path, shapes, rank)
            if wrong := next((name for name in sorted(shapes) if not file.get_tensor(name).isfinite().all()), None):
                raise ModelError(
                    f"{path} is damaged: {wrong} holds numbers that are not finite. Download or train the adapter "
                    "again."
                )
    except SafetensorError as error:
        raise ModelError(f"{path} is damaged or cut off ({error}). Download or train the adapter again.") from None


def _check_shapes(path: Path, shapes: dict[str, list[int]], rank: int) -> None:
    for name, shape in sorted(shapes.items()):
        side = 0 if name.endswith(".lora_A.weight") else 1 if name.endswith(".lora_B.weight") else None
        if side is None:
            raise ModelError(f"{path.parent} holds more than LoRA matrices ({name})")
        if len(shape) != 2 or shape[side] != rank:
            raise ModelError(f"{path}: {name} has the shape {shape}, which is not of rank {rank}")


def plain_config(path: Path) -> dict[str, Any]:
    """The keys of a model's `config.json` that its architecture in transformers knows.

    Raises:
        ModelError: the model is not a causal language model built into transformers.
    """
    from transformers import CONFIG_MAPPING  # slow to import
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    found = _object(path)
    kind, named = found.get("model_type"), found.get("architectures")
    known = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(kind) if isinstance(kind, str) else None
    allowed = {known} if isinstance(known, str) else set(known or ())
    if not allowed or not isinstance(named, list) or len(named) != 1 or named[0] not in allowed:
        raise ModelError(f"{path} does not describe a causal language model of transformers' own. {_REMEDY}")
    keys = {key for key in CONFIG_MAPPING[kind]().to_dict() if not key.startswith("_")} | {*_OLDER}
    kept = {key: value for key, value in found.items() if key in keys and key != "auto_map"}
    check_settings(path, kept)
    return kept


def plain_settings(path: Path) -> dict[str, Any]:
    """The known keys of one of a model's settings files: its config, tokenizer, generation or adapter settings.

    Raises:
        ModelError: the file is damaged, or describes something that is not loaded.
    """
    if path.name == "config.json":
        return plain_config(path)
    if path.name == "adapter_config.json":
        known = {key: value for key, value in _object(path).items() if key in ("base_model_name_or_path", "revision")}
        return known | {"peft_type": "LORA", "bias": "none", "inference_mode": True} | lora_settings(path.parent)
    keys = _TOKENIZER_KEYS if path.name == "tokenizer_config.json" else _GENERATION
    return {key: value for key, value in _object(path).items() if key in keys}


def check_runs_nothing(folder: Path) -> None:
    """Refuse a model folder from which another program could load code.

    Raises:
        ModelError: it contains a Python file, or settings that name code or an architecture that is not in `CONVERTED`.
    """
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".py", ".pyc", ".so", ".bin", ".pt", ".pkl"):
            raise ModelError(f"{path} could run code, so its folder is not converted. {_REMEDY}")
        if path.suffix == ".json" and path.name.endswith("config.json") and "auto_map" in _object(path):
            raise ModelError(f"{path} names code of its own (auto_map), so it is not converted. {_REMEDY}")
    named = _object(folder / "config.json").get("architectures")
    if not isinstance(named, list) or len(named) != 1 or named[0] not in CONVERTED:
        raise ModelError(f"{folder}: only these architectures are converted: {', '.join(CONVERTED)}")


def _object(path: Path) -> dict[str, Any]:
    try:
        return json_object(path, remedy=_REMEDY)
    except OSError as error:
        raise ModelError(in_one_line(error)) from None
    except ValueError as error:
        raise ModelError(str(error)) from None


def _is_whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_number(value: object, least: float, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most


def _is_name(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\w+", value) is not None


def _is_block(value: object) -> bool:
    return _is_whole(value, 0, MAX_LAYERS - 1)


def _are(values: object, fits: Callable[[object], bool]) -> bool:
    return isinstance(values, list) and all(map(fits, values))
