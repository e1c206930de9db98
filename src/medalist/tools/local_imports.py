"""Imports bitsandbytes without letting it download and run kernels from the Hub (law 9)."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys

_ABSENT = object()


def import_bitsandbytes() -> None:
    """Import bitsandbytes, if it is installed, with the package `kernels` hidden from it.

    With `kernels`, on CPUs with AVX512-BF16, bitsandbytes downloads compiled code when it is imported, and runs it.
    peft and transformers' Trainer import bitsandbytes, so call this before importing them. Afterwards `kernels` can be
    imported as before.
    """
    if "bitsandbytes" in sys.modules or importlib.util.find_spec("bitsandbytes") is None:
        return
    remarks = logging.getLogger("bitsandbytes")
    level, kernels = remarks.level, sys.modules.get("kernels", _ABSENT)
    sys.modules["kernels"] = None  # type: ignore[assignment]  # importing it now fails
    remarks.setLevel(logging.ERROR)  # it warns that `kernels` is missing
    try:
        importlib.import_module("bitsandbytes")
    finally:
        remarks.setLevel(level)
        if kernels is _ABSENT:
            del sys.modules["kernels"]
        else:
            sys.modules["kernels"] = kernels  # type: ignore[assignment]  # not `_ABSENT`, so a module, or None as above
