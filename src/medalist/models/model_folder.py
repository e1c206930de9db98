"""What a folder that is named as a model must be before a library reads it, and which of its files hold the weights.

Libraries take what they find: pickled weights beside unread safetensors, an adapter that lies in the folder, random
numbers where a weight is missing, and as many layers as the settings say.
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
"""Largest accepted number of blocks of a model."""
_SIZES = ("hidden_size", "max_position_embeddings", "num_attention_heads", "num_hidden_layers", "vocab_size")
"""Settings that are whole numbers from 1 on in every causal language model that has them."""
_LARGEST, _MOST_PARTS = 10**8, 10**4
"""Largest accepted size, and number of heads, experts, labels and the like: libraries make a list of each."""
_KERNELS = ("eager", "sdpa", "flex_attention", "flash_attention_2", None)
"""Kernels of transformers' own: any other name is that of a repository whose code would be fetched and run."""
_MOST_STEPS, _MOST_GROWTH = 100, 1000
"""Rules by which a tokenizer rewrites a text first, and how many times as long these may make it."""


MOST_WORDS = 10**6
"""Largest accepted list in a tokenizer: more than ten times that of SmolLM2, which has 49,152
words, to leave room for those of many languages."""


def check_settings(path: Path, config: dict[str, Any]) -> None:
    """Refuse settings of a model that would run code, or take time or memory that no model takes.

    Args:
        path: the `config.json`, for the message.
        config: what it holds.

    Raises:
        ModelError: a size is not a whole number or out of range, or a kernel is not transformers' own.
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
    """The settings of a model folder, which is refused if a library would load something else than its safetensors.

    Args:
        source: what the user named.
        folder: where it lies on this machine.

    Raises:
        ModelError: it is quantised already, holds an adapter, or lacks weights of the names that loaders read; or
            `check_settings` refuses it.
    """
    check_sizes(folder)
    path = folder / "config.json"
    config = json_object(path, remedy=AGAIN)
    if kept := config.get("quantization_config"):
        method = kept.get("quant_method") if isinstance(kept, dict) else None
        raise ModelError(  # quantisation decides the dtype of the weights and what may be merged into them
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
    """Refuse settings and a tokenizer that are larger than any model's, before they are read.

    Raises:
        ModelError: a file is.
    """
    for name in ("config.json", "generation_config.json", "adapter_config.json", INDEX, *TOKENIZER):
        path = folder / name
        if path.is_file() and path.stat().st_size > MOST_SETTINGS:
            size, most = megabytes(path.stat().st_size), megabytes(MOST_SETTINGS)
            raise ModelError(f"{path} has {size}, more than the {most} that any model's takes. Name another model.")


def check_tokenizer(folder: Path) -> None:
    """Refuse a tokenizer that takes longer to load than any model's, or would rewrite a few words into too many.

    Raises:
        ModelError: it has too many words; its normaliser has too many rules, or these can make a text too much longer.
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
    """Which file of a model folder loaders read each tensor from; a folder may contain duplicates of the weights.

    Raises:
        ModelError: the list of files is damaged, or names a file elsewhere.
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
