"""The card: its name, driver and versions, what it multiplies and copies, and what bitsandbytes makes of it."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import subprocess
from typing import Any

import torch

from .clock import GIB, matmul_peak, matmul_rate, measure
from .notes import Notes, Options

QUERY = "name,driver_version,memory.total,power.limit,clocks.max.sm,clocks.sm,temperature.gpu"
PACKAGES = (
    "torch",
    "triton",
    "transformers",
    "peft",
    "tokenizers",
    "huggingface_hub",
    "accelerate",
    "bitsandbytes",
    "numpy",
)


def run(options: Options, notes: Notes) -> None:
    with notes.attempt("card"):
        card = _card(options)
        notes.record("card", ", ".join(f"{key} {value}" for key, value in card.items()), **card)
    with notes.attempt("versions"):
        versions = _versions()
        notes.record("versions", ", ".join(f"{name} {version}" for name, version in versions.items()), **versions)
    with notes.attempt("matmul peak"):
        peak = matmul_peak(options.device, options.tiny)
        notes.record("matmul peak", f"{peak / 1e12:,.4g} TFLOP/s", flops=peak)
    with notes.attempt("copy"):
        rate = _copy_rate(options)
        notes.record("copy", f"{rate / 1e12:.3g} TB/s, reads and writes", bytes_per_second=rate)
    with notes.attempt("products of Llama 3 8B's layers"):
        _layers(options, notes)
    with notes.attempt("bitsandbytes"):
        notes.record("bitsandbytes", _bitsandbytes(options.device))
    with notes.attempt("SDPA's kernel under a tree's mask"):
        notes.record("SDPA's kernel under a tree's mask", _chosen_kernel(options.device))


def _card(options: Options) -> dict[str, Any]:
    if options.device != "cuda":
        return {"card": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
    properties = torch.cuda.get_device_properties(0)
    found: dict[str, Any] = {
        "card": properties.name,
        "memory_gib": round(properties.total_memory / GIB, 1),
        "processors": properties.multi_processor_count,
        "capability": f"{properties.major}.{properties.minor}",
        "cuda": torch.version.cuda,
    }
    if shutil.which("nvidia-smi"):
        asked = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader"]
        told = subprocess.run(asked, capture_output=True, text=True, timeout=15, check=False).stdout.strip()
        found |= dict(
            zip((f"smi {name}" for name in QUERY.split(",")), (part.strip() for part in told.split(",")), strict=False)
        )
    return found


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "missing"
    found["float32 products"] = torch.get_float32_matmul_precision()
    return found


def _copy_rate(options: Options) -> float:
    count = (1 if options.tiny else 1024) * 2**20
    source = torch.zeros(count, device=options.device)
    target = torch.empty_like(source)
    spent = measure(lambda: target.copy_(source), options.device, repeats=10, warmup=2).median
    return 2 * source.nbytes / spent


def _layers(options: Options, notes: Notes) -> None:
    """What the widest and the narrowest layer reach for passes of several lengths: the bound of any training loop."""
    shapes = [(32, 64)] if options.tiny else [(4096, 14336), (4096, 1024)]
    for inner, columns in shapes:
        for rows in (64,) if options.tiny else (512, 1024, 2048, 4096, 8192):
            rate = matmul_rate(options.device, rows, inner, columns, repeats=10)
            notes.record(
                f"[{rows}, {inner}] @ [{inner}, {columns}]",
                f"{rate / 1e12:,.4g}",
                table="Products of Llama 3 8B's layers, TFLOP/s",
                row=f"{rows} nodes",
                column=f"{inner} x {columns}",
                flops=rate,
            )


def _bitsandbytes(device: str) -> str:
    import bitsandbytes as bnb

    weight = torch.randn(256, 256, device=device)
    packed, state = bnb.functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
    error = (bnb.functional.dequantize_4bit(packed, state) - weight).abs().mean() / weight.abs().mean()
    return f"NF4 on {device}: mean error {float(error):.3f} of the mean weight"


def _chosen_kernel(device: str) -> str:
    """What PyTorch takes for a dense mask, and for none."""
    from torch.nn.attention import SDPBackend

    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    query = torch.randn(1, 32, 512, 128, device=device, dtype=dtype, requires_grad=True)
    mask = torch.ones(1, 1, 512, 512, device=device, dtype=torch.bool).tril()
    names = {int(value): name for name, value in SDPBackend.__members__.items()}
    masked = torch._fused_sdp_choice(query, query, query, attn_mask=mask)
    causal = torch._fused_sdp_choice(query, query, query, is_causal=True)
    return f"masked {names.get(masked, masked)}, causal {names.get(causal, causal)}"
