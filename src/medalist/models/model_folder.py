"""Checks a model folder before a library reads it, and finds the files with its weights.

Libraries load whatever they find: pickled weights next to ignored safetensors, an adapter in the folder, random numbers
in place of missing weights, and as many layers as the settings declare.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import safe_open

from ..tools.failures import megabytes, reading
from ..tools.shapes import json_object
from .base import AGAIN, MOST_SETTINGS, ModelError

INDEX = "model.safetensors.index.json"
_WEIGHTS = "model.safetensors"
TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
)
"""Files of a tokenizer."""
MAX_LAYERS = 1000
"""Maximum number of blocks of a model."""
_SIZES = ("hidden_size", "max_position_embeddings", "num_attention_heads", "num_hidden_layers", "vocab_size")
"""Settings that are integers of at least 1 in every causal language model that has them."""
_LARGEST, _MOST_PARTS = 10**8, 10**4
"""Maximum size, and maximum number of heads, experts, labels and the like, for each of which libraries make a list."""
_KERNELS = ("eager", "sdpa", "flex_attention", "flash_attention_2", None)
"""Kernels built into transformers: any other name refers to a repository whose code would be downloaded and run."""
_MOST_STEPS, _MOST_GROWTH = 100, 1000
"""Maximum number of a tokenizer's normalisation rules, and of the factor by which they may lengthen a text."""


MOST_WORDS = 10**6
"""Maximum length of a list in a tokenizer: more than ten times the 49,152 words of SmolLM2's, to leave room for those
of many languages."""


def check_settings(path: Path, config: dict[str, Any]) -> None:
    """Refuse model settings that would run code, or use far more time or memory than any real model.

    Args:
        path: the `config.json`, for the message.
        config: its content.

    Raises:
        ModelError: a size is not an integer or out of range, or a kernel is not built into transformers.
    """
    for key, value in config.items():
        if key.endswith("attn_implementation") or key.endswith("attn_implementation_internal"):
            if value not in _KERNELS:
                raise ModelError(f"{path}: {key} names a kernel that is not transformers' own: remove that key")
        elif key in _SIZES or (key.startswith("num_") and isinstance(value, int)):
            most = MAX_LAYERS if key == "num_hidden_layers" else _MOST_PARTS if key.startswith("num_") else _LARGEST
            least = 1 if key in _SIZES else 0
            if value is not None and not (type(value) is int and least <= value <= most):
                raise ModelError(f"{path}: {key} must be a whole number from {least} to {most:,}. Name another model.")
        elif isinstance(value, dict):
            check_settings(path, value)


def check_model_folder(source: str, folder: Path) -> dict[str, Any]:
    """The settings of a model folder, which is refused if a library would load anything but its safetensors.

    Args:
        source: the model as the user named it.
        folder: its path on this machine.

    Raises:
        ModelError: the model is quantised already, contains an adapter, or lacks weights under the names that loaders
            read; or `check_settings` refuses it.
    """
    check_sizes(folder)
    path = folder / "config.json"
    config = json_object(path, remedy=AGAIN)
    if kept := config.get("quantization_config"):
        method = kept.get("quant_method") if isinstance(kept, dict) else None
        raise ModelError(  # quantisation determines the weights' dtype and whether an adapter may be merged into them
            f"{source} is already quantised ({method or 'unknown method'}): give the model that it was made from, and "
            "set model.quantization=nf4 for 4 bits"
        )
    if (folder / "adapter_config.json").exists():
        raise ModelError(
            f"{source} holds an adapter beside the model (adapter_config.json), which would be added to it unasked: "
            "remove it, or merge it into the weights"
        )
    if config.get("transformers_weights") is not None:
        raise ModelError(f"{path} names other weights than model.safetensors (transformers_weights): remove that key")
    check_settings(path, config)
    if not any((folder / name).exists() for name in (_WEIGHTS, INDEX)):
        raise ModelError(
            f"{source} holds neither {_WEIGHTS} nor {INDEX}, and medalist loads no other weights: rename them, or "
            "convert them"
        )
    weight_files(folder)
    check_tokenizer(folder)
    return config


def check_sizes(folder: Path) -> None:
    """Refuse settings and tokenizer files that are larger than any real model's, before they are read.

    Raises:
        ModelError: a file is too large.
    """
    for name in ("config.json", "generation_config.json", "adapter_config.json", INDEX, *TOKENIZER):
        path = folder / name
        if path.is_file() and path.stat().st_size > MOST_SETTINGS:
            size, most = megabytes(path.stat().st_size), megabytes(MOST_SETTINGS)
            raise ModelError(f"{path} has {size}, more than the {most} that any model's takes. Name another model.")


def check_tokenizer(folder: Path) -> None:
    """Refuse a tokenizer that takes longer to load than any real model's, or may turn a few words into too many.

    Raises:
        ModelError: it has too many words, or its normaliser has too many rules or may lengthen a text too much.
        ValueError: the file is damaged.
    """
    check_sizes(folder)
    path = folder / "tokenizer.json"
    if not path.exists():
        return
    found = json_object(path, remedy=AGAIN)
    model = found.get("model")
    for words in (found.get("added_tokens"), *(model.values() if isinstance(model, dict) else ())):
        if isinstance(words, dict | list) and len(words) > MOST_WORDS:
            raise ModelError(
                f"{path} lists {len(words):,} words or merges, more than the {MOST_WORDS:,} that any tokenizer has. "
                "Name another model."
            )
    rules, growth, left = 0, 1, [found.get("normalizer")]
    while left:
        one = left.pop()
        if isinstance(one, list):
            left += one
        elif isinstance(one, dict):
            left += one.values()
            rules += "type" in one
            written = max((len(one[key]) for key in ("content", "prepend") if isinstance(one.get(key), str)), default=0)
            growth = min(growth * max(written, 1), _MOST_GROWTH + 1)
    if rules > _MOST_STEPS or growth > _MOST_GROWTH:
        raise ModelError(
            f"{path} rewrites a text by more than {_MOST_STEPS} rules, or into one more than {_MOST_GROWTH:,} times as "
            "long, which no model's tokenizer does. Name another model."
        )


def weight_files(folder: Path) -> dict[str, str]:
    """Tensor name -> the file in a model folder from which loaders read it; a folder may contain duplicate weights.

    Raises:
        ModelError: the weights' index is damaged, or names a file outside the folder.
        ValueError: the weights are damaged.
    """
    if not (folder / _WEIGHTS).exists():
        files = json_object(folder / INDEX, remedy=AGAIN).get("weight_map")
        if not isinstance(files, dict) or not all(isinstance(file, str) for file in files.values()):
            raise ModelError(f"{folder / INDEX} does not say which file holds which weight. {AGAIN}")
        if outside := sorted(file for file in files.values() if Path(file).name != file or not _is_safe(file)):
            raise ModelError(f"{folder / INDEX} names {outside[0]}, which is not a safetensors file beside it")
        return files
    with reading(folder / _WEIGHTS, AGAIN), safe_open(folder / _WEIGHTS, "pt") as file:
        return dict.fromkeys(file.keys(), _WEIGHTS)


def _is_safe(name: str) -> bool:
    return name.endswith(".safetensors") and "\\" not in name
