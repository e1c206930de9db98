"""Sizes of models built like Llama, without their weights: from a config, a GGUF header, or a table of known ones."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache

from ..models.base import EMBEDDED, EMBEDDED_ID, ModelError, local_base
from ..models.gguf_header import open_gguf


@dataclass(frozen=True, kw_only=True, slots=True)
class Linear:
    """One linear layer of a block."""

    name: str
    inputs: int
    outputs: int
    bias: bool = False

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.inputs * self.outputs + self.bias * self.outputs


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelShape:
    """The sizes that determine the memory and compute of a model built like Llama."""

    name: str
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    vocab: int
    tied: bool = False
    """Whether the output layer is the embedding."""
    max_positions: int = 8192
    head_dim: int = 0
    """0: hidden / heads."""
    attention_bias: bool = False
    output_bias: bool = False
    """Whether the attention's output projection has a bias."""
    mlp_bias: bool = False
    norms: int = 2
    """Norms per block, on the inputs of attention and MLP; Gemma also has two on their outputs."""
    head_norms: bool = False
    """Whether the queries and keys of every head are normalised."""

    @property
    def head(self) -> int:
        """Size of an attention head."""
        return self.head_dim or self.hidden // self.heads

    @property
    def attention_width(self) -> int:
        """Size of the queries of all heads."""
        return self.heads * self.head

    @property
    def linears(self) -> tuple[Linear, ...]:
        """The linear layers of one block: those that an adapter adapts."""
        keys = self.kv_heads * self.head
        return (
            Linear(name="q_proj", inputs=self.hidden, outputs=self.attention_width, bias=self.attention_bias),
            Linear(name="k_proj", inputs=self.hidden, outputs=keys, bias=self.attention_bias),
            Linear(name="v_proj", inputs=self.hidden, outputs=keys, bias=self.attention_bias),
            Linear(name="o_proj", inputs=self.attention_width, outputs=self.hidden, bias=self.output_bias),
            Linear(name="gate_proj", inputs=self.hidden, outputs=self.intermediate, bias=self.mlp_bias),
            Linear(name="up_proj", inputs=self.hidden, outputs=self.intermediate, bias=self.mlp_bias),
            Linear(name="down_proj", inputs=self.intermediate, outputs=self.hidden, bias=self.mlp_bias),
        )

    @property
    def block(self) -> int:
        """Parameters of one block."""
        return sum(linear.parameters for linear in self.linears) + self.norm_weights

    @property
    def norm_weights(self) -> int:
        """Parameters of the norms of one block."""
        return self.norms * self.hidden + (2 * self.head if self.head_norms else 0)

    @property
    def embedding(self) -> int:
        """Parameters of the embedding; an untied output layer has as many."""
        return self.vocab * self.hidden

    @property
    def outside(self) -> int:
        """Parameters outside the blocks: embedding, output layer if it is not tied, last norm."""
        return self.embedding * (1 if self.tied else 2) + self.hidden

    @property
    def parameters(self) -> int:
        """All parameters."""
        return self.layers * self.block + self.outside

    def adapter(self, rank: int) -> int:
        """Parameters of a LoRA adapter on the linear layers of one block."""
        return rank * sum(linear.inputs + linear.outputs for linear in self.linears)


def _known(*names: str, **sizes: Any) -> dict[str, ModelShape]:
    return {name: ModelShape(name=name, **sizes) for name in names}


def _sizes(*numbers: int) -> dict[str, int]:
    return dict(zip(("hidden", "intermediate", "layers", "heads", "kv_heads"), numbers, strict=True))


def _with_variant(variant: str, family: dict[str, Any], sizes: Mapping[str, dict[str, Any]]) -> dict[str, ModelShape]:
    """A family's models by name, and each also with its variant: "-Instruct" after the name, say."""
    return {
        name: ModelShape(name=name, **family | own)
        for stem, own in sizes.items()
        for name in (stem, f"{stem}{variant}")
    }


_LLAMA = {**_sizes(4096, 14336, 32, 32, 8), "vocab": 128256}
_LLAMA_70B = {**_sizes(8192, 28672, 80, 64, 8), "vocab": 128256}
_SMALL = {"vocab": 128256, "tied": True, "max_positions": 131072}
_SMOL = {"vocab": 49152, "tied": True}
_MISTRAL = {**_sizes(4096, 14336, 32, 32, 8), "max_positions": 32768}
_QWEN = {"vocab": 151936, "max_positions": 32768}
_GEMMA = {"vocab": 262144, "tied": True, "max_positions": 512, "norms": 4, "head_norms": True}

KNOWN: Mapping[str, ModelShape] = {
    **_known(
        EMBEDDED_ID,
        "HuggingFaceTB/SmolLM2-135M",
        **_SMOL,
        **_sizes(576, 1536, 30, 9, 3),
    ),
    **_known(
        *("HuggingFaceTB/SmolLM2-360M", "HuggingFaceTB/SmolLM2-360M-Instruct"),
        **_SMOL,
        **_sizes(960, 2560, 32, 15, 5),
    ),
    **_known(
        *("HuggingFaceTB/SmolLM2-1.7B", "HuggingFaceTB/SmolLM2-1.7B-Instruct"),
        **_SMOL,
        **_sizes(2048, 8192, 24, 32, 32),
    ),
    **_known(
        *("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "TinyLlama/TinyLlama_v1.1"),
        **_sizes(2048, 5632, 22, 32, 4),
        vocab=32000,
        max_positions=2048,
    ),
    **_known(
        *("meta-llama/Llama-3.2-1B", "meta-llama/Llama-3.2-1B-Instruct"),
        **_SMALL,
        **_sizes(2048, 8192, 16, 32, 8),
    ),
    **_known(
        *("meta-llama/Llama-3.2-3B", "meta-llama/Llama-3.2-3B-Instruct"),
        **_SMALL,
        **_sizes(3072, 8192, 28, 24, 8),
    ),
    **_known("meta-llama/Meta-Llama-3-8B", "meta-llama/Meta-Llama-3-8B-Instruct", **_LLAMA),
    **_known(
        *("meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Meta-Llama-3.1-8B"),
        **_LLAMA,
        max_positions=131072,
    ),
    **_known("meta-llama/Meta-Llama-3-70B", "meta-llama/Meta-Llama-3-70B-Instruct", **_LLAMA_70B),
    **_known(
        *("meta-llama/Llama-3.1-70B", "meta-llama/Llama-3.1-70B-Instruct", "meta-llama/Llama-3.3-70B-Instruct"),
        **_LLAMA_70B,
        max_positions=131072,
    ),
    **_known(
        *("mistralai/Mistral-7B-v0.1", "mistralai/Mistral-7B-Instruct-v0.1"),
        **_MISTRAL | {"max_positions": 4096},
        vocab=32000,
    ),
    **_known("mistralai/Mistral-7B-Instruct-v0.2", **_MISTRAL, vocab=32000),
    **_known("mistralai/Mistral-7B-v0.3", "mistralai/Mistral-7B-Instruct-v0.3", **_MISTRAL, vocab=32768),
    **_with_variant(
        "-Instruct",
        _QWEN | {"attention_bias": True},
        {
            "Qwen/Qwen2.5-0.5B": _sizes(896, 4864, 24, 14, 2) | {"tied": True},
            "Qwen/Qwen2.5-1.5B": _sizes(1536, 8960, 28, 12, 2) | {"tied": True},
            "Qwen/Qwen2.5-3B": _sizes(2048, 11008, 36, 16, 2) | {"tied": True},
            "Qwen/Qwen2.5-7B": _sizes(3584, 18944, 28, 28, 4) | {"vocab": 152064},
            "Qwen/Qwen2.5-14B": _sizes(5120, 13824, 48, 40, 8) | {"vocab": 152064},
            "Qwen/Qwen2.5-32B": _sizes(5120, 27648, 64, 40, 8) | {"vocab": 152064},
            "Qwen/Qwen2.5-72B": _sizes(8192, 29568, 80, 64, 8) | {"vocab": 152064},
        },
    ),
    **_with_variant(
        "-Base",
        _QWEN | {"head_dim": 128, "head_norms": True},
        {
            "Qwen/Qwen3-0.6B": _sizes(1024, 3072, 28, 16, 8) | {"tied": True},
            "Qwen/Qwen3-1.7B": _sizes(2048, 6144, 28, 16, 8) | {"tied": True},
            "Qwen/Qwen3-4B": _sizes(2560, 9728, 36, 32, 8) | {"tied": True},
            "Qwen/Qwen3-8B": _sizes(4096, 12288, 36, 32, 8),
            "Qwen/Qwen3-14B": _sizes(5120, 17408, 40, 40, 8),
        },
    ),
    **_known("Qwen/Qwen3-32B", **_QWEN, **_sizes(5120, 25600, 64, 64, 8), head_dim=128, head_norms=True),
    **_known("google/gemma-3-270m", "google/gemma-3-270m-it", **_GEMMA, **_sizes(640, 2048, 18, 4, 1), head_dim=256),
    **_known("google/gemma-3-1b-pt", "google/gemma-3-1b-it", **_GEMMA, **_sizes(1152, 6912, 26, 4, 1), head_dim=256),
}
"""Published sizes of models, from each model's own config.json, by Hub id; they need no download. Models with a sliding
window read no further than that (`longest_sequence`)."""

_KNOWN_FAMILIES = "SmolLM2, TinyLlama, Llama 3 to 3.3, Mistral 7B, Qwen2.5, Qwen3 and Gemma 3 up to 1b"
_GGUF_SIZES = ("embedding_length", "feed_forward_length", "block_count", "attention.head_count", "context_length")
_LARGEST_SIZE = 10**9
_FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "gemma3_text")


def find_shape(source: str, *, revision: str | None = None, config: Path | None = None) -> ModelShape:
    """The sizes of a base model, from what is already on this machine.

    Args:
        source: as for `load_base`.
        revision: revision of a Hub id.
        config: a config.json, or its folder, to use instead.

    Raises:
        ModelError: the sizes are unknown, or the model's family is not supported.
    """
    if config is not None:
        return _from_config(config / "config.json" if config.is_dir() else config, source)
    if source == EMBEDDED:
        return replace(KNOWN[EMBEDDED_ID], name=EMBEDDED)
    path = local_base(source)
    if path is not None:
        return _from_gguf(path) if path.suffix == ".gguf" else _from_config(path / "config.json", source)
    if source.count("/") == 1 and not source.startswith((".", "/", "~")):
        cached = try_to_load_from_cache(source, "config.json", revision=revision)
        if isinstance(cached, str):
            return _from_config(Path(cached), source)
        if source in KNOWN:
            return KNOWN[source]
    near = difflib.get_close_matches(source, KNOWN, n=3, cutoff=0.75)
    raise ModelError(
        f"The sizes of {source} are not known: give --config PATH (its config.json), or a folder as model.base. "
        + (f"Known and alike: {', '.join(near)}." if near else f"Known by name: {_KNOWN_FAMILIES}.")
    )


def _from_config(path: Path, name: str) -> ModelShape:
    """Sizes from a transformers config.json."""
    if not path.is_file():
        raise ModelError(f"{path} does not exist; a model folder holds a config.json")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        family = values["model_type"]
        if family not in _FAMILIES:
            raise ModelError(f"{path}: the plan supports the families {', '.join(_FAMILIES)}, not {family}")
        bias, gemma = bool(values.get("attention_bias", False)), family.startswith("gemma")
        longest = values.get("max_position_embeddings") or 2048
        window = values.get("sliding_window") if values.get("use_sliding_window", True) else None
        return ModelShape(
            name=name,
            hidden=values["hidden_size"],
            intermediate=values["intermediate_size"],
            layers=values["num_hidden_layers"],
            heads=values["num_attention_heads"],
            kv_heads=values.get("num_key_value_heads") or values["num_attention_heads"],
            vocab=values["vocab_size"],
            tied=bool(values.get("tie_word_embeddings", gemma)),
            max_positions=min(longest, window or longest),
            head_dim=values.get("head_dim") or 0,
            attention_bias=bias or family == "qwen2",
            output_bias=bias,
            mlp_bias=bool(values.get("mlp_bias", False)),
            norms=4 if gemma else 2,
            head_norms=family in ("qwen3", "gemma3_text"),
        )
    except KeyError as error:
        raise ModelError(f"{path} has no {error.args[0]}, so it is not the config of a language model") from None
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError, TypeError):
        raise ModelError(f"{path} is not a model's config.json") from None


def _from_gguf(path: Path) -> ModelShape:
    """Sizes from the header of a GGUF file."""
    reader = open_gguf(path)
    family = _gguf_value(reader, path, "general.architecture")
    if family != "llama":
        raise ModelError(f"{path}: the plan supports GGUF files of the family llama, not of another")
    size = {key: _gguf_size(reader, path, f"llama.{key}") for key in _GGUF_SIZES}
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    if "token_embd.weight" not in tensors:
        raise ModelError(f"{path} has no token_embd.weight, so it is not a language model")
    many_heads = reader.get_field("llama.attention.head_count_kv") is not None
    return ModelShape(
        name=path.stem,
        hidden=size["embedding_length"],
        intermediate=size["feed_forward_length"],
        layers=size["block_count"],
        heads=size["attention.head_count"],
        kv_heads=_gguf_size(reader, path, f"llama.attention.head_count{'_kv' if many_heads else ''}"),
        vocab=math.prod(map(int, tensors["token_embd.weight"].shape)) // size["embedding_length"],
        tied="output.weight" not in tensors,
        max_positions=size["context_length"],
    )


def _gguf_size(reader: Any, path: Path, key: str) -> int:
    value = _gguf_value(reader, path, key)
    if not isinstance(value, int) or not 0 < value <= _LARGEST_SIZE:
        raise ModelError(f"{path}: {key} is not a whole number from 1 to {_LARGEST_SIZE:,}")
    return value


def _gguf_value(reader: Any, path: Path, key: str) -> Any:
    field = reader.get_field(key)
    if field is None:
        raise ModelError(f"{path} has no {key} in its header")
    try:
        return field.contents()
    except UnicodeDecodeError:
        raise ModelError(f"{path}: {key} is not UTF-8") from None
