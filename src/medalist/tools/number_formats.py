"""The names of the formats that numbers are kept and computed in; without torch, so that the command line starts fast."""

from __future__ import annotations

from typing import Literal

FloatType = Literal["bfloat16", "float16", "float32"]
DType = Literal["auto", FloatType]
"""`auto`: what the device computes well in."""
Quantization = Literal["none", "int8", "nf4"]
"""Of a base's linear layers but the output."""
GGUFType = Literal["f16", "q8_0", "q4_k_m"]
"""Of the weights in a GGUF file: 16, about 8 and about 5 bits each."""
