"""Time and memory of a device, and how fast it multiplies matrices."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

GIB = 2**30


@dataclass(frozen=True, kw_only=True, slots=True)
class Times:
    """Seconds of a piece of work that was done several times."""

    each: tuple[float, ...]
    """On the device, one by one."""
    wall: float
    """Mean with the host's part, over all of them in a row."""
    host: float
    """Mean until the host had handed its work over; near `wall` where the host is what is waited for."""

    @property
    def median(self) -> float:
        """Of `each`."""
        return statistics.median(self.each)


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def measure(work: Callable[[], Any], device: str, *, repeats: int, warmup: int = 1) -> Times:
    """Do something several times in a row, without waiting for the device in between."""
    for _ in range(warmup):
        work()
    synchronize(device)
    began = time.perf_counter()
    if device != "cuda":
        marks = [began]
        for _ in range(repeats):
            work()
            marks.append(time.perf_counter())
        spent = (marks[-1] - began) / repeats
        return Times(each=tuple(b - a for a, b in pairwise(marks)), wall=spent, host=spent)
    events = [torch.cuda.Event(enable_timing=True) for _ in range(repeats + 1)]
    events[0].record()
    for event in events[1:]:
        work()
        event.record()
    handed = time.perf_counter()
    torch.cuda.synchronize()
    ended = time.perf_counter()
    each = tuple(a.elapsed_time(b) / 1e3 for a, b in pairwise(events))
    return Times(each=each, wall=(ended - began) / repeats, host=(handed - began) / repeats)


def forget_peak(device: str) -> None:
    """Begin to look for the highest memory anew."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_memory(device: str) -> dict[str, float]:
    """Highest bytes since `forget_peak`: of tensors (`allocated`), of the allocator (`reserved`), and of the device
    now.
    """
    if device != "cuda":
        return {"allocated": 0.0, "reserved": 0.0, "device": 0.0}
    free, total = torch.cuda.mem_get_info()
    return {
        "allocated": float(torch.cuda.max_memory_allocated()),
        "reserved": float(torch.cuda.max_memory_reserved()),
        "device": float(total - free),
    }


def matmul_rate(
    device: str, rows: int, inner: int, columns: int, *, repeats: int = 20, dtype: torch.dtype | None = None
) -> float:
    """FLOP/s of ``[rows, inner] @ [inner, columns]`` on random numbers, the median; bfloat16 on CUDA, float32 on a
    CPU.
    """
    dtype = dtype or (torch.bfloat16 if device == "cuda" else torch.float32)
    a = torch.randn(rows, inner, device=device, dtype=dtype)
    b = torch.randn(columns, inner, device=device, dtype=dtype)  # as a linear layer keeps it
    spent = measure(lambda: torch.nn.functional.linear(a, b), device, repeats=repeats, warmup=3).median
    return 2.0 * rows * inner * columns / spent


def matmul_peak(device: str, tiny: bool) -> float:
    """FLOP/s of a large square product, as "share of the peak" is meant everywhere here."""
    size = 256 if tiny else 8192
    return matmul_rate(device, size, size, size)
