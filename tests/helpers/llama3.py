"""Llama 3's real tokenizer, as its Hub repository has it, made from the tokenizer file of the wheel `llama-models`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import llama_models.llama3.tokenizer
import torch
from llama_models.llama3.tokenizer import Tokenizer
from tokenizers import processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import TikTokenConverter

TOKENIZER_FILE = Path(llama_models.llama3.tokenizer.__file__).parent / "tokenizer.model"
BEGIN, END, TURN_END = "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"
BEGIN_ID, END_ID, TURN_END_ID = 128_000, 128_001, 128_009
VOCABULARY = 128_256
SPECIAL = [
    BEGIN,
    END,
    *(f"<|reserved_special_token_{n}|>" for n in range(4)),
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|reserved_special_token_4|>",
    TURN_END,
    *(f"<|reserved_special_token_{n}|>" for n in range(5, 251)),
]
"""Of Llama 3; later ones use some of the reserved places."""


def hub_tokenizer(end: str = END) -> PreTrainedTokenizerFast:
    """The fast tokenizer; `end` is what its repository calls the end of a sequence: a turn's, for Instruct."""
    inner = TikTokenConverter(vocab_file=str(TOKENIZER_FILE), extra_special_tokens=SPECIAL).converted()
    inner.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single=f"{BEGIN} $A", pair=f"{BEGIN} $A {BEGIN}:1 $B:1", special_tokens=[(BEGIN, BEGIN_ID)]
            ),
        ]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token=BEGIN,
        eos_token=end,
        clean_up_tokenization_spaces=True,
        model_input_names=["input_ids", "attention_mask"],
        model_max_length=131_072,
    )


def metas_tokenizer() -> Tokenizer:
    """Meta's own tokenizer."""
    return Tokenizer(TOKENIZER_FILE)


def random_llama3(**changes: Any) -> LlamaForCausalLM:
    """Llama 3's vocabulary and rotary base on hardly any width."""
    config = LlamaConfig(
        **{
            "vocab_size": VOCABULARY,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 8192,
            "rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0},
            "bos_token_id": BEGIN_ID,
            "eos_token_id": END_ID,
            "initializer_range": 0.3,
            "tie_word_embeddings": False,
        }
        | changes,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LlamaForCausalLM(config).float().eval()
