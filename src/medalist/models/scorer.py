"""Loads a model only for scoring; expanding texts starts with this.

On a CPU, Llamas run in `llama.Llama`, which starts in a second and scores twice as fast; models that it does not
support are loaded as for training. Either way the scores are those of the same weights.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from .. import __version__
from ..tools.number_formats import DType, Quantization
from ..tools.remembered import cache_folder, remembered
from ..tools.shapes import json_object
from ..trees import attention_check, scoring, tree
from . import llama, products
from .adapters import load_adapter, merged_weights
from .base import AGAIN, BaseIdentity, check_base_hash, find_base, unreadable_weights, weights_sha256
from .forked import compute_in_forks
from .load import AttentionChoice, LoadedModel, load_base, longest_sequence
from .model_folder import check_model_folder
from .precision import choose_dtype, compute_device, cpu_has_bfloat16

_PLAIN = ("TokenizersBackend", "PreTrainedTokenizerFast")
"""Tokenizer classes that transformers builds from `tokenizer.json` alone."""
_KNOWN = {
    *("backend", "bos_token", "chat_template", "clean_up_tokenization_spaces", "eos_token", "is_local"),
    *("local_files_only", "model_input_names", "model_max_length", "pad_token", "tokenizer_class", "unk_token"),
}
"""Keys of `tokenizer_config.json` that do not change how a text is encoded."""


def load_scorer(
    source: str,
    adapter: Path | None = None,
    *,
    revision: str | None = None,
    dtype: DType = "auto",
    quantization: Quantization = "none",
    expected_sha256: str | None = None,
    attention: AttentionChoice = "auto",
) -> LoadedModel:
    """Load a base model, with an adapter if one is given, for scoring alone.

    Args:
        source: as for `load_base`, like the other arguments.
        adapter: folder of a LoRA adapter.
        revision: commit, branch or tag of a Hub id.
        dtype: dtype of the weights and of computation.
        quantization: quantisation of the weights.
        expected_sha256: refuse base weights with any other hash.
        attention: the kernel on a GPU.

    Raises:
        ModelError: there is nothing to load, or its weights are not the recorded ones.
        TreeAttentionError: the model does not score token trees correctly.
    """
    compute_in_forks()
    device = compute_device()  # `choose_precision` imports bitsandbytes, which takes seconds
    computed = choose_dtype(device) if dtype == "auto" else dtype
    native = computed == "float32" or (computed == "bfloat16" and cpu_has_bfloat16())
    if device.type == "cpu" and quantization == "none" and native:
        folder, identity = find_base(source, revision)
        check_base_hash(identity, expected_sha256)
        config = check_model_folder(source, folder)
        if llama.fits(config):
            return _llama(folder, identity, config, adapter, getattr(torch, computed))
    base = load_base(
        source,
        revision=revision,
        dtype=dtype,
        quantization=quantization,
        expected_sha256=expected_sha256,
        attention=attention,
    )
    return base if adapter is None else load_adapter(base, adapter)


def _llama(
    folder: Path, identity: BaseIdentity, config: dict[str, Any], adapter: Path | None, dtype: torch.dtype
) -> LoadedModel:
    with unreadable_weights(folder, identity.source):
        weights = llama.read_weights(folder)
    if adapter is not None:
        with unreadable_weights(adapter):
            weights = merged_weights(weights, adapter)
    with unreadable_weights(folder, identity.source):
        model = llama.Llama(config, weights, dtype)
    return LoadedModel(
        model=model,
        tokenizer=load_tokenizer(folder),
        identity=identity,
        attention="sdpa",
        max_depth=longest_sequence(model.config),
        tree_error=_checked(model, identity.sha256, adapter),
    )


def _checked(model: llama.Llama, base: str, adapter: Path | None) -> float:
    """As `check_tree_attention`, cached for the same weights, code and versions on the same kind of CPU."""
    parts = (llama, products, attention_check, scoring, tree)
    code = hashlib.sha256(b"".join(Path(str(part.__file__)).read_bytes() for part in parts))
    key: dict[str, str | int] = {
        "what": "trees against separate sequences",
        "base": base,
        "adapter": "" if adapter is None else weights_sha256(adapter),
        "code": code.hexdigest(),
        "medalist": __version__,
        "torch": version("torch"),
        "dtype": str(model.dtype),
        "cpu": f"{torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads",
    }
    return remembered(cache_folder() / "checked", key, lambda: attention_check.check_tree_attention(model, "sdpa"))


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer in a folder; loaded without transformers where that would only read `tokenizer.json`.

    Raises:
        ModelError: there is no tokenizer, or it is damaged.
    """
    settings = json_object(folder / "tokenizer_config.json", remedy=AGAIN)
    eos = settings.get("eos_token")
    if settings.get("tokenizer_class") in _PLAIN and settings.keys() <= _KNOWN and isinstance(eos, str):
        return PlainTokenizer(folder / "tokenizer.json", eos)
    from transformers import AutoTokenizer  # slow to import

    with unreadable_weights(folder):
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


class PlainTokenizer:
    """The part of transformers' tokenizer interface that `trees.prompt.Encoder` uses.

    Args:
        path: a `tokenizer.json`.
        eos: the token that ends a text.
    """

    def __init__(self, path: Path, eos: str) -> None:
        with unreadable_weights(path.parent):
            self._inner = Tokenizer.from_str(path.read_text(encoding="utf-8"))
        self._inner.no_truncation()
        self._inner.no_padding()
        self.eos_token_id = self._inner.token_to_id(eos)

    def __call__(
        self, text: str, *, add_special_tokens: bool = True, return_offsets_mapping: bool = False
    ) -> dict[str, list[Any]]:
        """Token ids as "input_ids", and with `return_offsets_mapping` the span of each as "offset_mapping"."""
        encoded = self._inner.encode(text, add_special_tokens=add_special_tokens)
        return {"input_ids": encoded.ids} | ({"offset_mapping": encoded.offsets} if return_offsets_mapping else {})
