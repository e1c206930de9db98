"""LoRA adapters: adding a new one to a base, and merging a saved one or keeping it beside quantised weights.

peft's `prepare_model_for_kbit_training` is not needed: it would convert embeddings, output layer and norms to float32,
4 GB for Llama 3 8B. None of them is trained, and a Llama's norm computes in float32 whatever the dtype of its weight.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor

from ..recipe import TrainingSettings
from ..tools.failures import reading
from .base import AGAIN, ModelError, unreadable_weights
from .load import LoadedModel
from .plain_files import check_lora_weights, lora_settings


def add_adapter(base: LoadedModel, settings: TrainingSettings, start: Path | None = None) -> Any:
    """The base with a LoRA adapter on all linear layers except the output, or the base itself for full tuning.

    Args:
        base: the model to adapt.
        settings: the adapter's size and layers.
        start: a saved adapter of the same size and layers, whose weights the new one starts from; None: the new adapter
            does not change the base's output at first.
    """
    if settings.method == "full":
        return base.model
    from peft import LoraConfig, get_peft_model  # slow to import

    depth = base.model.config.num_hidden_layers
    upper = settings.upper_layers or depth
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=_linear_layers(base.model),
        layers_to_transform=list(range(depth - upper, depth)) if upper < depth else None,
        task_type="CAUSAL_LM",
        revision=base.identity.revision,
    )
    model = get_peft_model(base.model, config)
    written = model.peft_config["default"]
    written.base_model_name_or_path = base.identity.id  # peft would record the folder that it was loaded from
    written.target_modules = sorted(written.target_modules)  # peft keeps a set, whose order varies
    if start is not None:
        _begin_with(model, start)
    return model


def _begin_with(model: Any, adapter: Path) -> None:
    from peft import get_peft_model_state_dict, set_peft_model_state_dict  # slow to import

    with reading(adapter, AGAIN):
        ours, theirs = model.peft_config["default"], lora_settings(adapter)
        check_lora_weights(adapter, theirs["r"])
        weights = load_file(adapter / "adapter_model.safetensors")
    fresh = get_peft_model_state_dict(model, save_embedding_layers=False)
    same_shapes = {name: w.shape for name, w in fresh.items()} == {name: w.shape for name, w in weights.items()}
    if not same_shapes or ours.lora_alpha != theirs["lora_alpha"]:
        raise ModelError(
            f"{adapter} has rank {theirs['r']}, alpha {theirs['lora_alpha']} and {len(weights)} matrices, not rank "
            f"{ours.r}, alpha {ours.lora_alpha} and {len(fresh)}: a run that continues from it must keep its size and "
            "its layers"
        )
    set_peft_model_state_dict(model, weights)


def _linear_layers(model: Any) -> list[str]:
    """Names of the linear layers inside the model's blocks ("q_proj", "down_proj", ...), as peft matches them."""
    output = model.get_output_embeddings()
    found = (name for name, part in model.named_modules() if isinstance(part, torch.nn.Linear) and part is not output)
    return sorted({name.rsplit(".", 1)[-1] for name in found})


class LoraUpdate(NamedTuple):
    """An adapter's update of a weight: ``scale * up @ down``."""

    up: Tensor
    """``[out, r]`` float32."""
    down: Tensor
    """``[r, in]`` float32."""
    scale: float


def lora_updates(adapter: Path) -> dict[str, LoraUpdate]:
    """An adapter's update of each weight of its base, by the weight's name, sorted.

    Raises:
        ModelError: the adapter is not a plain LoRA adapter.
    """
    settings = lora_settings(adapter)
    check_lora_weights(adapter, settings["r"])
    scale = settings["lora_alpha"] / (math.sqrt(settings["r"]) if settings["use_rslora"] else settings["r"])
    with reading(adapter / "adapter_model.safetensors", AGAIN):
        tensors = load_file(adapter / "adapter_model.safetensors")
    updates = {}
    for name in sorted(key for key in tensors if key.endswith(".lora_A.weight")):
        path = name.removesuffix(".lora_A.weight")
        up, down = tensors[f"{path}.lora_B.weight"].float(), tensors[name].float()
        updates[f"{path.removeprefix('base_model.model.')}.weight"] = LoraUpdate(up, down, scale)
    return updates


def merged_weights(weights: Mapping[str, Tensor], adapter: Path) -> dict[str, Tensor]:
    """Merge a saved LoRA adapter into a base's weights, as peft does; other weights are unchanged.

    Raises:
        ModelError: the adapter is not a plain LoRA adapter, or belongs to another base.
    """
    merged = dict(weights)
    for name, (up, down, scale) in lora_updates(adapter).items():
        kept = merged.get(name)
        if kept is None or kept.shape != (len(up), down.shape[1]):
            raise ModelError(f"{adapter} is an adapter for another base: {name.removesuffix('.weight')} does not fit")
        merged[name] = torch.addmm(kept, up, down, alpha=scale)
    return merged


def load_adapter(base: LoadedModel, adapter: Path) -> LoadedModel:
    """Add a saved LoRA adapter to a base, for scoring.

    It is merged into 16- or 32-bit weights, since unmerged it would cost a tenth of the speed. With quantised weights
    it stays unmerged, since rounding would remove most of it.

    Raises:
        ModelError: the adapter is not a plain LoRA adapter, or its weights' rank differs from its settings.
    """
    from peft import LoraConfig, PeftModel  # slow to import

    settings = lora_settings(adapter)
    check_lora_weights(adapter, settings["r"])
    # peft is not given the adapter's own settings file, since it would import modules that the file names.
    with unreadable_weights(adapter):
        tuned = PeftModel.from_pretrained(base.model, str(adapter), config=LoraConfig(**settings))
    base.model = tuned.merge_and_unload() if base.quantization == "none" else tuned
    return base
