"""Merges a LoRA adapter into the base's original weights, tensor by tensor on disk: summed in fp32, then rounded once.

The base is read from its safetensors files and never instantiated as a model. The quantisation used in training
therefore cannot leak in, and memory holds one shard of the result, whatever the size of the model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..models.base import ModelError, refuse_quantised
from ..models.plain_files import TOKENIZER, check_lora_weights, lora_settings, plain_config, plain_settings, write_json
from ..tools.failures import reading
from ..tools.number_formats import FloatType
from ..tools.progress import tracking
from ..tools.shapes import json_object

_AGAIN = "Download or train it again."
_INDEX = "model.safetensors.index.json"


def write_merged(
    base: Path, adapter: Path | None, target: Path, *, dtype: FloatType, shard_size: int = 5 * 10**9
) -> None:
    """Write a model folder that any loader can open: the base with the adapter added, its config and its tokenizer.

    Args:
        base: a model folder with 16- or 32-bit weights.
        adapter: a LoRA adapter folder as peft saves it; None only changes the dtype.
        target: the folder to create, or an empty one.
        dtype: of the result; tensors that are not floats keep theirs.
        shard_size: maximum size of a weights file, in bytes.

    Raises:
        ModelError: the base is quantised, or the adapter does not fit it.
    """
    refuse_quantised(str(base), base)
    config = plain_config(base / "config.json")
    target.mkdir(exist_ok=True)
    _write_weights(base, {} if adapter is None else lora_updates(adapter), target, getattr(torch, dtype), shard_size)
    key = "torch_dtype" if "torch_dtype" in config else "dtype"  # the older name, which older loaders expect
    write_json(target / "config.json", config | {key: dtype})
    for name in ("generation_config.json", *TOKENIZER):
        if not (base / name).exists():
            continue
        if name.endswith("_config.json"):
            write_json(target / name, plain_settings(base / name))
        else:
            (target / name).write_bytes((base / name).read_bytes())


def lora_updates(adapter: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """What an adapter adds to each weight, by weight name: ``B[out, r]``, already scaled, and ``A[r, in]``; fp32.

    Raises:
        ModelError: it is not a plain LoRA adapter.
    """
    if not (adapter / "adapter_model.safetensors").exists():
        raise ModelError(f"{adapter} holds no adapter_model.safetensors")
    settings = lora_settings(adapter)
    check_lora_weights(adapter, settings["r"])
    scale = settings["lora_alpha"] / (math.sqrt(settings["r"]) if settings["use_rslora"] else settings["r"])
    with reading(adapter / "adapter_model.safetensors", _AGAIN):
        tensors = load_file(adapter / "adapter_model.safetensors")
    updates = {}
    for name in [name for name in tensors if name.endswith(".lora_A.weight")]:
        path = name.removesuffix(".lora_A.weight")
        a, b = tensors.pop(name), tensors.pop(f"{path}.lora_B.weight")
        updates[path.removeprefix("base_model.model.") + ".weight"] = (scale * b.float(), a.float())
    return updates


def _write_weights(
    base: Path, updates: Mapping[str, tuple[Tensor, Tensor]], target: Path, dtype: torch.dtype, shard_size: int
) -> None:
    places = _weight_files(base)
    opened: dict[str, Any] = {}
    for file in set(places.values()):
        with reading(base / file, _AGAIN):
            opened[file] = safe_open(base / file, "pt")
    files = {name: opened[file] for name, file in places.items()}
    if unknown := sorted(set(updates) - set(files)):
        raise ModelError(f"The adapter changes {unknown[0]}, which {base} lacks: it was made for another base")

    def merged(name: str) -> Tensor:
        weight: Tensor = files[name].get_tensor(name)
        if name in updates:
            b, a = updates[name]
            weight = torch.addmm(weight.float(), b, a)
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
        write_json(target / _INDEX, {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename})


def _weight_files(folder: Path) -> dict[str, str]:
    """Which file of a model folder loaders read each tensor from; a folder may contain duplicates of the weights."""
    if (folder / _INDEX).exists():
        files: dict[str, str] = json_object(folder / _INDEX, remedy=_AGAIN)["weight_map"]
        if outside := sorted(file for file in files.values() if Path(file).name != file):
            raise ModelError(f"{folder / _INDEX} names {outside[0]}, which is not a file beside it")
        return files
    with reading(folder / "model.safetensors", _AGAIN), safe_open(folder / "model.safetensors", "pt") as file:
        return dict.fromkeys(file.keys(), "model.safetensors")
