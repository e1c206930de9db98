"""A folder that is named as a model is read as its safetensors and settings say, or refused in one line."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from medalist.models.base import ModelError
from medalist.models.load import load_base
from medalist.models.model_folder import check_tokenizer
from medalist.models.scorer import load_scorer

SAFE = "model.safetensors"


@pytest.fixture
def folder(model_folder, tmp_path):
    """A copy of the tiny model that a test may change."""
    return shutil.copytree(model_folder, tmp_path / "model")


def configured(**values):
    def change(folder):
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return change


def pickled_beside(folder):
    """Weights that are hashed, and others, pickled, that transformers would load."""
    torch.save(load_file(folder / SAFE), folder / "pytorch_model.bin")
    (folder / SAFE).rename(folder / "shown.safetensors")


def indexed(file):
    def change(folder):
        names = dict.fromkeys(load_file(folder / SAFE), file)
        shutil.copy(folder / SAFE, folder.parent / "outside.safetensors")
        (folder / SAFE).rename(folder / "shown.safetensors")
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))

    return change


def adapter_beside(folder):
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "some/one"}')


def without_a_weight(folder):
    weights = load_file(folder / SAFE)
    del weights["model.layers.0.mlp.down_proj.weight"]
    save_file(weights, folder / SAFE, metadata={"format": "pt"})


def rewriting(*rules):
    """A tokenizer that applies rules to a text first."""

    def change(folder):
        path = folder / "tokenizer.json"
        normalizer = {"type": "Sequence", "normalizers": list(rules)}
        path.write_text(json.dumps(json.loads(path.read_text()) | {"normalizer": normalizer}))

    return change


def padded(name):
    def change(folder):
        with (folder / name).open("ab") as file:
            file.truncate(6 * 10**7)

    return change


def doubling(found):
    return {"type": "Replace", "pattern": {"String": found}, "content": 2 * found}


@pytest.mark.parametrize("loader", [load_base, load_scorer])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (padded("tokenizer.json"), "tokenizer.json has 60 MB, more than the 50 MB that any model's takes"),
        (rewriting(*[doubling(" ")] * 40), "more than 1,000 times as long"),
        (rewriting({"type": "Prepend", "prepend": "a" * 30_000}), "more than 1,000 times as long"),
        (rewriting(*[{"type": "Lowercase"}] * 101), "more than 100 rules"),
        (pickled_beside, "holds neither model.safetensors nor"),
        (indexed("../outside.safetensors"), "is not a safetensors file beside it"),
        (indexed("pytorch_model.bin"), "is not a safetensors file beside it"),
        (adapter_beside, "holds an adapter beside the model"),
        (without_a_weight, "model.layers.0.mlp.down_proj.weight"),
        (configured(transformers_weights="other.safetensors"), "names other weights"),
        (configured(num_hidden_layers=10**9), "num_hidden_layers must be a whole number from 1 to 1,000"),
        (configured(num_attention_heads=0), "num_attention_heads must be"),
        (configured(num_labels=10**9), "num_labels must be a whole number from 0 to 10,000"),
        (configured(max_position_embeddings=-5), "max_position_embeddings must be"),
        (configured(vocab_size="many"), "vocab_size must be"),
        (configured(_attn_implementation="some/kernel"), "names a kernel that is not transformers' own"),
        (configured(text_config={"attn_implementation": "some/kernel"}), "names a kernel"),
        (configured(quantization_config="x"), "is already quantised"),
    ],
)
def test_what_would_load_something_else_is_refused(change, message, loader, folder):
    change(folder)
    with pytest.raises(ModelError, match=message):
        loader(str(folder))


def test_a_tokenizer_of_too_many_words_is_refused_before_it_is_made(folder, monkeypatch):
    monkeypatch.setattr("medalist.models.model_folder.MOST_WORDS", 300)
    with pytest.raises(ModelError, match=r"tokenizer\.json lists [34]\d\d words or merges, more than the 300 that any"):
        check_tokenizer(folder)


def test_settings_of_a_size_that_no_model_has_are_refused_before_they_are_read(folder):
    padded("config.json")(folder)
    with pytest.raises(ValueError, match=r"config\.json has 60 MB, and such a file has at most 50 MB"):
        load_base(str(folder))


def test_the_rules_of_a_real_tokenizer_are_taken(folder):
    rewriting({"type": "Prepend", "prepend": "▁"}, doubling(" "), {"type": "NFKC"}, doubling("▁"))(folder)
    assert load_scorer(str(folder)).tokenizer("RA")["input_ids"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_of_16_bits_score_in_32_as_transformers_reads_them(dtype, folder):
    save_file({name: w.to(dtype) for name, w in load_file(folder / SAFE).items()}, folder / SAFE, {"format": "pt"})
    ours, theirs = load_scorer(str(folder)).model, load_base(str(folder)).model
    assert type(ours) is not type(theirs)
    text = torch.tensor([[1, 2, 3]])
    torch.testing.assert_close(ours(input_ids=text).logits, theirs(input_ids=text).logits, atol=1e-4, rtol=0)


def test_weights_in_a_file_that_loaders_do_not_read_change_nothing(folder):
    text = torch.tensor([[1, 2, 3]])
    before = load_scorer(str(folder)).model(input_ids=text).logits
    stray = {name: torch.zeros_like(weight) for name, weight in load_file(folder / SAFE).items()}
    save_file(stray, folder / "stray.safetensors")
    assert torch.equal(load_scorer(str(folder)).model(input_ids=text).logits, before)
