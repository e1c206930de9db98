"""FSDP2: a model whose parameters are slices, one per process, gathered layer by layer when they are needed.

`fully_shard` is called here, on GPUs and CPUs alike, and the Trainer is told that its model came sharded. accelerate
could shard on GPUs, but on a CPU its FSDP silently turns into DDP, so tests there would prove nothing; and its
checkpoints have their own format, which neither peft nor a run on another number of processes can open.

Saved weights and optimiser states are unsharded and keyed by parameter name, whatever made them: a run may be resumed
on more processes, on fewer or on one, sharded or not. The functions that gather or scatter are collectives: all ranks
must call them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from peft import PeftModel, set_peft_model_state_dict
from safetensors.torch import load_file
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from ..models.load import AttentionChoice, LoadedModel, choose_attention
from ..models.precision import compute_device, refuse_sharded


def shard_model(base: LoadedModel, model: Any, attention: AttentionChoice = "auto") -> None:
    """Move each process's slice of a model to its device, and check how the sharded model scores token trees.

    Each decoder block, adapter included, is an FSDP unit; everything outside the blocks is the last unit, so that tied
    embeddings stay one parameter. A unit is unsharded on a device only while it is in use or being sharded.

    Args:
        base: loaded with `place=False`; its attention kernel is chosen here.
        model: the base, or the base with an adapter; changed in place.
        attention: as for `choose_attention`.

    Raises:
        ValueError: the base is quantised: its weights are not tensors that can be sliced.
        TreeAttentionError: the model does not score token trees correctly.
    """
    refuse_sharded(base.quantization)
    device = compute_device()
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    blocks = [part for part in base.model.modules() if type(part).__name__ in base.model._no_split_modules]
    for unit in (*blocks, model):
        fully_shard(unit, mesh=mesh)
        unit.set_force_sum_reduction_for_comms(True)  # gloo cannot average, so the sum is divided on every backend
    base.attention, base.tree_error = choose_attention(model, attention)
    model.reshard()  # a forward pass leaves the last unit unsharded, and the optimiser needs the slices
    assert all(isinstance(parameter, DTensor) for parameter in model.parameters())


def is_sharded(model: Any) -> bool:
    """Whether the model was sharded by `shard_model`."""
    return isinstance(model, FSDPModule)


def whole_weights(model: Any, *, trainable: bool) -> dict[str, Any]:
    """The model's weights, or only its trainable ones, gathered on the CPU of rank 0; nothing on other ranks."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=trainable)
    found = get_model_state_dict(model, options=options)
    for name in getattr(model, "all_tied_weights_keys", {}):  # a tied parameter is returned under both names
        found.pop(name, None)
    return found


def load_weights(model: Any, checkpoint: Path) -> None:
    """Load into a sharded model what `whole_weights` saved: its adapter if it has one, else all weights."""
    model.reshard()
    some = next(model.parameters())
    # Each rank reads the files and keeps its slices; all are sliced along the first dimension, as `fully_shard` does.
    slices = {
        name: distribute_tensor(weight.to(some.device), some.device_mesh, some.placements, src_data_rank=None)
        for file in checkpoint.glob("*.safetensors")
        for name, weight in load_file(file).items()
    }
    if isinstance(model, PeftModel):
        set_peft_model_state_dict(model, slices)
    else:
        model.load_state_dict(slices, strict=False)  # tied weights are in the file only once


def whole_optimizer(model: Any, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The optimiser's state by parameter name, gathered on the CPU of rank 0; nothing on other ranks."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    return get_optimizer_state_dict(model, optimizer, options=options)


def load_optimizer(model: Any, optimizer: torch.optim.Optimizer, file: Path) -> None:
    """Load what `whole_optimizer` returned; only rank 0 reads the file."""
    many = dist.is_initialized()
    state = torch.load(file, map_location="cpu", weights_only=True) if not many or dist.get_rank() == 0 else {}
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=many)
    set_optimizer_state_dict(model, optimizer, state, options=options)
