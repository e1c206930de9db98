"""Merges a LoRA adapter into the base's original weights, tensor by tensor on disk: summed in fp32, then rounded once.

The base is read from its safetensors files and never instantiated as a model. The quantisation used in training
therefore cannot leak in, and memory holds one shard of the result, whatever the size of the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..models.adapters import LoraUpdate, lora_updates
from ..models.base import AGAIN, ModelError
from ..models.model_folder import INDEX, TOKENIZER, check_model_folder, weight_files
from ..models.plain_files import plain_config, plain_settings
from ..tools.failures import reading
from ..tools.number_formats import FloatType
from ..tools.progress import tracking
from ..tools.shapes import write_object


def write_merged(
    base: Path, adapter: Path | None, target: Path, *, dtype: FloatType, shard_size: int = 5 * 10**9
) -> None:
    """Write a model folder that any loader can open: the base with the adapter added, its config and its tokenizer.

    Args:
        base: a model folder with 16- or 32-bit weights.
        adapter: a LoRA adapter folder as peft saves it; None only changes the dtype.
        target: the folder to create, or an empty one.
        dtype: dtype of the result; non-float tensors keep theirs.
        shard_size: maximum size of a weights file, in bytes.

    Raises:
        ModelError: the base is quantised, or the adapter does not fit it.
    """
    check_model_folder(str(base), base)
    config = plain_config(base / "config.json")
    target.mkdir(exist_ok=True)
    _write_weights(base, {} if adapter is None else lora_updates(adapter), target, getattr(torch, dtype), shard_size)
    key = "torch_dtype" if "torch_dtype" in config else "dtype"  # the older name, which older loaders expect
    write_object(target / "config.json", config | {key: dtype})
    for name in ("generation_config.json", *TOKENIZER):
        if not (base / name).exists():
            continue
        if name.endswith("_config.json"):
            write_object(target / name, plain_settings(base / name))
        else:
            (target / name).write_bytes((base / name).read_bytes())


def _write_weights(
    base: Path, updates: Mapping[str, LoraUpdate], target: Path, dtype: torch.dtype, shard_size: int
) -> None:
    places = weight_files(base)
    opened: dict[str, Any] = {}
    for file in set(places.values()):
        with reading(base / file, AGAIN):
            opened[file] = safe_open(base / file, "pt")
    files = {name: opened[file] for name, file in places.items()}
    if unknown := sorted(set(updates) - set(files)):
        raise ModelError(f"The adapter changes {unknown[0]}, which {base} lacks: it was made for another base")

    def merged(name: str) -> Tensor:
        weight: Tensor = files[name].get_tensor(name)
        if name in updates:
            up, down, scale = updates[name]
            weight = torch.addmm(weight.float(), scale * up, down)
        return weight.to(dtype) if weight.is_floating_point() else weight

    # Names and sizes alone decide the shards, so no weights are read here.
    shapes = {
        name: torch.empty(file.get_slice(name).get_shape(), dtype=dtype, device="meta") for name, file in files.items()
    }
    plan = split_torch_state_dict_into_shards(shapes, max_shard_size=shard_size)
    with tracking("Merging", len(files)) as advance:
        for file, names in plan.filename_to_tensors.items():
            part = {}
            for name in names:
                part[name] = merged(name).contiguous()
                advance()
            save_file(part, target / file, metadata={"format": "pt"})
    if plan.is_sharded:
        write_object(target / INDEX, {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename})
