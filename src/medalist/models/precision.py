"""Chooses the device, dtype and quantisation with which a base is loaded, and says why.

bitsandbytes quantises the weights (Dettmers et al. 2022, 2023) while transformers loads the base.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from dataclasses import dataclass
from typing import Any, get_args

import torch

from ..tools.local_imports import import_bitsandbytes
from ..tools.number_formats import DType, FloatType, Quantization


@dataclass(frozen=True, kw_only=True, slots=True)
class Precision:
    """Device, dtype and quantisation of a base."""

    device: torch.device
    dtype: torch.dtype
    """Dtype of the unquantised weights and of all computation; the adapter's own weights are float32."""
    quantization: Quantization
    reason: str
    """For display: "float32: this CPU has no bfloat16; NF4 weights"."""

    def loading_arguments(self) -> dict[str, object]:
        """Keyword arguments of transformers' `from_pretrained`."""
        if self.quantization == "none":
            return {"dtype": self.dtype}
        from transformers import BitsAndBytesConfig  # slow to import

        if self.quantization == "nf4":
            config = BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=self.dtype,
            )
        else:
            # With its default threshold of 6, LLM.int8 looks at all tokens of a forward pass to choose the columns that
            # it computes in 16 bits, so an answer would depend on what else is in the pass (laws 1 and 8): by 0.87 nats
            # on SmolLM2-135M.
            config = BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=0.0)
        return {"dtype": self.dtype, "quantization_config": config, "device_map": {"": self.device}}


def choose_precision(device: str = "auto", dtype: DType = "auto", quantization: Quantization = "none") -> Precision:
    """Choose device, dtype and quantisation for a base as requested; `auto` chooses what the machine computes well.

    Raises:
        ValueError: quantisation needs a package that is not installed.
    """
    import_bitsandbytes()  # needed even without quantisation, since peft imports it
    place = compute_device() if device == "auto" else torch.device(device)
    name = choose_dtype(place) if dtype == "auto" else dtype
    weights = "" if quantization == "none" else f"; {quantization.replace('nf', 'NF')} weights"
    if quantization != "none" and importlib.util.find_spec("bitsandbytes") is None:
        raise ValueError(f"model.quantization={quantization} needs bitsandbytes: pip install medalist[quantize]")
    return Precision(
        device=place,
        dtype=getattr(torch, name),
        quantization=quantization,
        reason=f"{name}: {_why(place, name, asked=dtype != 'auto')}{weights}",
    )


def compute_device() -> torch.device:
    """A GPU if there is one (this process's own, if there are several processes), otherwise the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def refuse_sharded(quantization: Quantization) -> None:
    """Raise `ValueError` if weights are quantised: FSDP can only slice plain tensors."""
    if quantization != "none":
        raise ValueError(
            f"training.parallel=fsdp does not work with model.quantization={quantization}: set "
            "model.quantization=none, or training.parallel=ddp, which keeps the quantised model whole on each device"
        )


def choose_dtype(device: torch.device) -> FloatType:
    """The dtype that a device computes well in; without CPU support, bfloat16 is hundreds of times slower on a CPU."""
    if device.type != "cuda":
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"


def check_dtype(dtype: FloatType | None) -> None:
    """Refuse an unknown number format, or one in which this machine would compute very slowly.

    Raises:
        ValueError: it is unknown, or it would be very slow here.
    """
    if dtype is not None and dtype not in get_args(FloatType):
        raise ValueError(f"dtype is {dtype!r}; it must be one of {', '.join(get_args(FloatType))}")
    device = compute_device()
    if dtype == "float16" and device.type == "cpu":
        raise ValueError("dtype is float16, which CPUs do not compute in: leave it out, or take float32")
    if dtype == "bfloat16" and device.type == "cpu" and not cpu_has_bfloat16():
        raise ValueError("dtype is bfloat16, which this CPU does not compute in: leave it out, or take float32")


def cpu_has_bfloat16() -> bool:
    """Whether this CPU has instructions for products in bfloat16; without them they take hundreds of times longer."""
    told: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # missing from PyTorch 2.9
    return any(told.get(name, False) for name in ("amx_bf16", "avx512_bf16", "bf16"))


def _why(device: torch.device, dtype: str, *, asked: bool) -> str:
    if device.type == "cuda":
        return "as requested" if asked else "this GPU has it" if dtype == "bfloat16" else "this GPU has no bfloat16"
    has_bfloat16 = cpu_has_bfloat16()
    if dtype == "float16" or (dtype == "bfloat16" and not has_bfloat16):
        return f"as requested, though this CPU has no {dtype} and is hundreds of times slower in it"
    if asked:
        return "as requested"
    return "a CPU computes it exactly" if has_bfloat16 else "this CPU has no bfloat16"


def settle(model: Any, device: torch.device) -> None:
    """Make bitsandbytes compute in evaluation as in training on a CPU, so that the model scored is the model trained.

    By default, as soon as a model leaves training mode, it would quantise activations to 8 bits (int8), or pack 4-bit
    weights for kernels that compute in bfloat16 and have no gradient (NF4, on CPUs with AVX512-BF16). Also releases the
    file from which the full weights were read.
    """
    # bitsandbytes warns for every layer in every pass that int8 first rounds its input to float16.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    if device.type != "cpu":
        return
    from bitsandbytes.nn.modules import Linear4bit, Linear8bitLt  # optional: medalist[quantize]

    # Unquantised tensors may lie in a memory-mapped file and keep all of it in memory, including the full weights.
    for kept in (*model.parameters(), *model.buffers()):
        if kept.is_floating_point() and type(kept) in (torch.nn.Parameter, torch.Tensor):
            kept.data = kept.data.clone()
    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False
        elif isinstance(module, Linear8bitLt):
            module.register_forward_pre_hook(_in_training_mode)


def _in_training_mode(module: torch.nn.Module, _: Any) -> None:
    module.training = True
