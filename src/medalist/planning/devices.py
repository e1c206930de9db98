"""The devices that a plan is for: this machine's, and how others are named on the command line."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

import torch


def device_memory() -> float | None:
    """Bytes of this machine's GPU memory; without a GPU, of main memory or the container's limit; None if unknown."""
    if torch.cuda.is_available():
        return float(torch.cuda.mem_get_info()[1])
    found = []
    try:
        found.append(float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")))
    except (ValueError, OSError, AttributeError):  # not POSIX
        return None
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and limit.read_text().strip().isdigit():
        found.append(float(limit.read_text()))
    return min(found)


def parse_memory(text: str) -> float:
    """Bytes in a size such as "24GB" (10^9 bytes each) or "24GiB" (2^30 bytes each).

    Raises:
        ValueError: the text is neither.
    """
    match = re.fullmatch(r"([\d.]+)\s*(GB|GiB|MB|MiB)", text.strip(), re.IGNORECASE)
    if match is None:
        raise ValueError(f'Memory size "{text}" is not understood: write 24GB, 80GB or 22.5GiB, for example')
    if not re.fullmatch(r"\d*\.?\d*", match[1]) or not re.search("[1-9]", match[1]):
        raise ValueError(f'Memory size "{text}" is not a size: write 24GB, 80GB or 22.5GiB, for example')
    return float(match[1]) * {"gb": 1e9, "gib": 2**30, "mb": 1e6, "mib": 2**20}[match[2].lower()]


def parse_device(text: str) -> Literal["auto", "cpu", "cuda"]:
    """Check the name of a kind of device.

    Raises:
        ValueError: it is not a known kind.
    """
    for kind in ("auto", "cpu", "cuda"):
        if text == kind:
            return kind
    raise ValueError(f'Unknown device "{text}". Known: auto, cpu, cuda.')
