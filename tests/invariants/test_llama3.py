"""Llama 3: its real tokenizer against Meta's own, what the encoder makes of it, its end tokens, its scaled
rotations."""

from dataclasses import replace

import pytest
import torch
from peft import PeftConfig
from safetensors.torch import load_file
from transformers import GenerationConfig
from transformers.utils import logging

from llama3 import BEGIN_ID, END_ID, TURN_END_ID, VOCABULARY, hub_tokenizer, metas_tokenizer, random_llama3
from medalist.data.inventory import Inventory
from medalist.data.items import make_items
from medalist.data.passages import Mention, Passage
from medalist.data.quizzes import Choice, Quiz
from medalist.evaluation.generation import end_tokens, generate_answers
from medalist.models.base import BaseIdentity
from medalist.models.load import LoadedModel
from medalist.recipe import Recipe, TrainingSettings
from medalist.training.tune import TuningData, tune
from medalist.trees.attention_check import check_tree_attention
from medalist.trees.prompt import Encoder, PromptSettings
from medalist.trees.tree import sequences

TEXTS = [
    "The patient with rheumatoid arthritis was given methotrexate.",
    " leading space, and two  spaces",
    "Doses of 5, 12, 125, 1234 and 1234567 mg; pH 7.35; 1,25-(OH)2 D3.",
    "IL-6, TNF-α and β2-adrenergic receptors ≥ 3 µg/mL",
    "line one\nline two\n\nline four\r\n\ttabbed",
    "It's, they'll, don't; DON'T",
    "Patient: Pt w/ RA (SpO2 93% on RA)...",
    "trailing newline\n",
    "trailing spaces   ",
    "naïve café, Sjögren, Ménière, 心電図, кардиограмма",
    "5'-UTR; CD4+/CD8+ ratio; p<0.001; [3H]thymidine; http://a.b/c?d=e",
    "x" * 200 + " 000000000",
]
LONG_FORMS = ["room air", "vitamin B12", "25-hydroxyvitamin D3", "1234567 units", "β2-glycoprotein I (human)", "ΔF508"]
INVENTORY = Inventory.of([("RA", long_form, 0, None) for long_form in LONG_FORMS])
TEXT = "Seen on 12345 mg of RA\n\nand 3.5 RA daily"
PASSAGE = Passage(
    id="p",
    text=TEXT,
    mentions=tuple(
        Mention(start=at, end=at + 2, short_form="RA", long_form="room air") for at in (TEXT.index("RA"), len(TEXT) - 8)
    ),
)


@pytest.fixture(scope="module")
def tokenizer():
    """Llama 3's; a base model's. Five seconds and 0.4 GB, so it is made once."""
    return hub_tokenizer()


@pytest.fixture
def llama3(tokenizer):
    return LoadedModel(
        model=random_llama3(),
        tokenizer=tokenizer,
        identity=BaseIdentity(id="meta-llama/Meta-Llama-3-8B", revision="8" * 40, source="x", sha256="0" * 64),
        attention="sdpa",
        max_depth=8192,
        tree_error=0.0,
    )


@pytest.fixture(scope="module")
def metas():
    return metas_tokenizer()


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_ids_are_those_of_metas_own_tokenizer(text, tokenizer, metas):
    assert tokenizer(text).input_ids == metas.encode(text, bos=True, eos=False)


def test_vocabulary_and_special_tokens_are_llama_3s(tokenizer):
    assert len(tokenizer) == VOCABULARY == 128_256
    assert tokenizer.convert_tokens_to_ids(["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"]) == [
        *(BEGIN_ID, END_ID, TURN_END_ID)
    ]
    assert tokenizer.convert_ids_to_tokens(128_255) == "<|reserved_special_token_250|>"
    assert tokenizer.pad_token is None


def test_a_passage_opens_with_one_bos_and_nothing_else_holds_one(tokenizer):
    [layout] = Encoder(tokenizer, PromptSettings(), max_depth=8192).encode(PASSAGE, INVENTORY)
    ids = layout.tree.token_ids.tolist()
    assert ids[0] == BEGIN_ID
    assert max(ids[1:]) < BEGIN_ID, "no special token at all behind it"
    assert layout.tree.predict_token.max() < BEGIN_ID


def encoded_whole(tokenizer, texts, layouts):
    """How many sequences of trees there are, each asserted to be the ids of text, prompt and candidate encoded in
    one."""
    count = 0
    for text, layout in zip(texts, layouts, strict=True):
        scored = iter(sequences(layout.tree))
        for question in layout.questions:
            for candidate in question.candidates:
                ids, predicted = next(scored)
                assert ids == tokenizer(text + question.prompt + candidate).input_ids
                assert tokenizer.decode(ids[-predicted:]) == candidate
                count += 1
        assert next(scored, None) is None
    return count


@pytest.mark.parametrize("end", ["", ".", " daily.", " (5 mg)", "...", ' "', "?!", ":", " 12", " µ", ".\n\n "])
def test_a_tree_holds_the_tokens_of_a_joint_encoding(end, tokenizer):
    """Llama 3 has tokens for a full stop with the line breaks behind it."""
    layouts = Encoder(tokenizer, PromptSettings(), max_depth=8192).encode(replace(PASSAGE, text=TEXT + end), INVENTORY)
    assert encoded_whole(tokenizer, [(TEXT + end).rstrip()], layouts) == 2 * (len(LONG_FORMS) + 1)


@pytest.mark.parametrize("end", ["", ".", "?", " (5 mg)."])
def test_a_tree_of_choices_holds_the_tokens_of_a_joint_encoding(end, tokenizer):
    options = ("Vitamin B12", "5 mg", "(R)-warfarin.")
    asked = ("Which one?", "", "", "And which not?")
    quiz = Quiz(id="q", text=TEXT + end, choices=tuple(Choice(question=q, options=options, gold=0) for q in asked))
    layouts = Encoder(tokenizer, PromptSettings(), max_depth=8192).encode(quiz, INVENTORY)
    assert [layout.mentions for layout in layouts] == [(0,), (1, 2), (3,)], "a tree for each way to open a question"
    assert encoded_whole(tokenizer, [TEXT + end] * 3, layouts) == 12


def test_tuning_neither_pads_nor_resizes_and_names_the_hub_id(llama3, tmp_path):
    before = llama3.model.get_input_embeddings().weight.clone()
    recipe = Recipe(training=TrainingSettings(rank=2, passages_per_step=2, passages_per_pass=2, max_steps=1))
    shorter = replace(PASSAGE, mentions=PASSAGE.mentions[:1])
    tune(llama3, recipe, TuningData(train=[PASSAGE, shorter], validation=[], inventory=INVENTORY), tmp_path)
    assert llama3.model.config.vocab_size == VOCABULARY == len(llama3.tokenizer)
    assert torch.equal(llama3.model.get_input_embeddings().weight, before)
    assert llama3.model.get_output_embeddings().weight.shape == before.shape
    assert llama3.tokenizer.pad_token is None
    config = PeftConfig.from_pretrained(tmp_path / "adapter")
    assert (config.base_model_name_or_path, config.revision) == ("meta-llama/Meta-Llama-3-8B", "8" * 40)
    assert str(tmp_path) not in (tmp_path / "adapter/adapter_config.json").read_text()
    saved = load_file(tmp_path / "adapter/adapter_model.safetensors")
    assert all("lora_" in name for name in saved), "no embeddings"


# End tokens

INSTRUCT = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "bos_token_id": BEGIN_ID, "max_length": 4096}


def test_end_tokens_are_the_models_own_not_only_its_tokenizers(llama3):
    llama3.model.generation_config = GenerationConfig(eos_token_id=END_ID)
    assert end_tokens(llama3) == [END_ID]
    llama3.model.generation_config = GenerationConfig(**INSTRUCT, eos_token_id=[END_ID, TURN_END_ID])
    assert end_tokens(llama3) == [END_ID, TURN_END_ID]
    llama3.model.generation_config = GenerationConfig()
    assert end_tokens(llama3) == [END_ID], "the tokenizer's, where the model lists none"


@pytest.mark.parametrize("end", [END_ID, TURN_END_ID])
def test_generation_stops_at_either_end_token_without_remarks(end, llama3, caplog):
    llama3.model.generation_config = GenerationConfig(**INSTRUCT, eos_token_id=[END_ID, TURN_END_ID])
    forward, calls = llama3.model.forward, []

    def ending(*args, **kwargs):
        calls.append(1)
        result = forward(*args, **kwargs)
        result.logits[..., 791 if len(calls) == 1 else end] = 1e4
        return result

    llama3.model.forward = ending
    logging.enable_propagation()
    try:
        items = make_items([PASSAGE], INVENTORY)[:1]
        [answer] = generate_answers(llama3, items, PromptSettings(), new_tokens=9, label="x")
    finally:
        logging.disable_propagation()
    assert (answer.text, len(calls)) == ("The", 2)
    assert not caplog.records


# Scaled rotations (Llama 3.1 and 3.2)


@pytest.mark.parametrize("factor", [8.0, 32.0])
def test_trees_keep_to_separate_sequences_under_llama_3s_scaled_rotations(factor):
    rotations = {"rope_theta": 500_000.0, "original_max_position_embeddings": 64}
    scaled = {"rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    model = random_llama3(vocab_size=300, hidden_size=64, rope_parameters=rotations | scaled)
    plain = random_llama3(vocab_size=300, hidden_size=64)
    assert not torch.equal(model.model.rotary_emb.inv_freq, plain.model.rotary_emb.inv_freq), "scaling is in force"
    assert check_tree_attention(model, "sdpa") < 1e-4
