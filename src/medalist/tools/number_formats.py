"""Names of number formats for storage and computation; does not import torch, so that the command line starts fast."""

from __future__ import annotations

from typing import Literal

FloatType = Literal["bfloat16", "float16", "float32"]
DType = Literal["auto", FloatType]
"""`auto`: the best-supported format of the device."""
Quantization = Literal["none", "int8", "nf4"]
"""Quantization of a base model's linear layers, except the output layer."""
GGUFType = Literal["f16", "q8_0", "q4_k_m"]
"""Format of the weights in a GGUF file: 16, about 8 and about 5 bits each."""
