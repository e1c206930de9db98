"""Names of what a user may choose; imports nothing, so that the command line starts fast."""

from __future__ import annotations

from typing import Literal

Engine = Literal["transformers", "llama.cpp", "glance"]
"""What computes: llama.cpp reads GGUF files, and nothing else does; a glance needs no model at all."""
TableFormat = Literal["csv", "tsv", "jsonl", "parquet"]
"""How notes stand in a table, for one whose name does not say it."""
Format = Literal["jsonl", "csv", "parquet", "brat", "note-nlp"]
"""What results are written as."""
Unsure = Literal["mark", "leave"]
"""What `ExpandedText.replaced` does with an answer that is not sure: mark it, or leave the short form alone."""
