"""Llamas with random weights, made on the device, with LoRA or quantised; nothing is downloaded."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """Of a Llama; heads are `head` wide, whatever `hidden` is."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head: int
    vocab: int
    theta: float = 500_000.0

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of a block's linear layers."""
        queries, keys = self.heads * self.head, self.kv_heads * self.head
        return {
            "q_proj": (self.hidden, queries),
            "k_proj": (self.hidden, keys),
            "v_proj": (self.hidden, keys),
            "o_proj": (queries, self.hidden),
            "gate_proj": (self.hidden, self.intermediate),
            "up_proj": (self.hidden, self.intermediate),
            "down_proj": (self.intermediate, self.hidden),
        }

    @property
    def linear_weights(self) -> int:
        """Of all blocks together."""
        return self.layers * sum(a * b for a, b in self.linears.values())

    def adapter_weights(self, rank: int) -> int:
        """Of LoRA on all linear layers."""
        return self.layers * rank * sum(a + b for a, b in self.linears.values())


LLAMA_3_8B = Sizes(hidden=4096, intermediate=14336, layers=32, heads=32, kv_heads=8, head=128, vocab=128256)
SMOLLM2_135M = Sizes(hidden=576, intermediate=1536, layers=30, heads=9, kv_heads=3, head=64, vocab=49152)
TOY = Sizes(hidden=32, intermediate=64, layers=2, heads=4, kv_heads=2, head=16, vocab=500)


def config(sizes: Sizes, *, spread: float = 0.02) -> Any:
    """Transformers' configuration; `spread` is the standard deviation of the weights."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=sizes.vocab,
        hidden_size=sizes.hidden,
        intermediate_size=sizes.intermediate,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.kv_heads,
        head_dim=sizes.head,
        max_position_embeddings=32768,
        rope_parameters={"rope_type": "default", "rope_theta": sizes.theta},
        initializer_range=spread,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )


def random_llama(sizes: Sizes, device: str, dtype: torch.dtype, *, spread: float = 0.02, head: bool = True) -> Any:
    """A Llama whose weights are drawn on the device itself, so that 8B take seconds; frozen, in training mode.

    Args:
        sizes: its shape.
        device: "cuda" or "cpu".
        dtype: of the weights.
        spread: their standard deviation.
        head: with an output layer (`LlamaForCausalLM`), else `LlamaModel`.
    """
    from transformers import AutoModel, AutoModelForCausalLM

    kind = AutoModelForCausalLM if head else AutoModel
    torch.manual_seed(0)
    with torch.device(device):
        model = kind.from_config(config(sizes, spread=spread), dtype=dtype, attn_implementation="sdpa")
    return model.to(device).requires_grad_(False).train()


def llama_8b(device: str, tiny: bool) -> tuple[Sizes, Any]:
    """Llama 3 8B's shape, or a toy, in bfloat16 on a GPU."""
    sizes = TOY if tiny else LLAMA_3_8B
    return sizes, random_llama(sizes, device, torch.bfloat16 if device == "cuda" else torch.float32)


def base_model(source: Path, device: str) -> Any:
    """A real base in float32, its weights rounded to what bfloat16 holds; from a folder, or from a GGUF file."""
    from transformers import AutoModelForCausalLM

    from medalist.models.base import find_base

    folder, _ = find_base(str(source))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
    return rounded(model.to(device)).eval()


def in_bfloat16(model: Any) -> Any:
    """A copy in bfloat16, but for the frequencies of the positions, which every loader keeps in float32."""
    half = copy.deepcopy(model).to(torch.bfloat16)
    half.get_decoder().rotary_emb = copy.deepcopy(model.get_decoder().rotary_emb)
    return half


def rounded(model: Any) -> Any:
    """The model with weights that bfloat16 holds exactly, so that both dtypes compute with the same numbers."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(weight.bfloat16().float())
    return model


def quantised(model: Any, kind: str, compute: torch.dtype) -> Any:
    """The model with bitsandbytes' layers for the linear ones of its blocks, quantised one by one on its device.

    Args:
        model: on its device; changed in place.
        kind: "nf4" (double quantisation) or "int8" (no outlier columns), as medalist loads them.
        compute: dtype of NF4's products.
    """
    import bitsandbytes as bnb

    from medalist.models.precision import settle

    device, count = model.device, 0
    for block in model.get_decoder().layers:
        for part in (block.self_attn, block.mlp):
            for name, layer in list(part.named_children()):
                if not isinstance(layer, torch.nn.Linear):
                    continue
                weight, made = layer.weight.data, None
                with torch.device("meta"):
                    made = _empty_layer(bnb, kind, layer, compute)
                if kind == "nf4":
                    made.weight = bnb.nn.Params4bit(
                        weight, requires_grad=False, compress_statistics=True, quant_type="nf4", module=made
                    ).to(device)
                else:  # it quantises on the way from the CPU only
                    made.weight = bnb.nn.Int8Params(weight.cpu(), requires_grad=False, has_fp16_weights=False).to(
                        device
                    )
                setattr(part, name, made.train(layer.training))
                count += 1
                del layer, weight
    assert count == 7 * model.config.num_hidden_layers
    model.is_loaded_in_4bit, model.is_loaded_in_8bit = kind == "nf4", kind == "int8"
    model.is_quantized = True
    settle(model, device)
    return model


def _empty_layer(bnb: Any, kind: str, layer: torch.nn.Linear, compute: torch.dtype) -> Any:
    size = (layer.in_features, layer.out_features)
    if kind == "nf4":
        return bnb.nn.Linear4bit(*size, bias=False, compute_dtype=compute, compress_statistics=True, quant_type="nf4")
    return bnb.nn.Linear8bitLt(*size, bias=False, has_fp16_weights=False, threshold=0.0)


def with_lora(model: Any, rank: int) -> Any:
    """Peft's wrapper, adapters on all linear layers of the blocks in float32, as medalist makes it."""
    from peft import LoraConfig, get_peft_model

    names = [*LLAMA_3_8B.linears]
    return get_peft_model(
        model, LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=names, task_type="CAUSAL_LM")
    )


def input_casts(model: Any, wanted: bool) -> None:
    """Whether each adapted layer makes a float32 copy of its input for its float32 adapter (peft's default)."""
    for part in model.modules():
        if hasattr(part, "cast_input_dtype_enabled"):
            part.cast_input_dtype_enabled = wanted


def checkpointing(model: Any, wanted: bool) -> None:
    """Activation checkpointing of every block on or off."""
    new = hasattr(model, "activation_checkpointing_enable")
    stem = "activation_checkpointing" if new else "gradient_checkpointing"
    if wanted:
        getattr(model, f"{stem}_enable")(**{f"{stem}_kwargs": {"use_reentrant": False}})
    elif getattr(model.get_decoder(), "gradient_checkpointing", False):
        getattr(model, f"{stem}_disable")()
