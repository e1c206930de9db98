"""A tokenizer and a Llama small enough to build in memory, shared by the tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from medalist.models.base import BaseIdentity
from medalist.models.load import LoadedModel

torch.set_num_threads(1)  # for models as small as these, a second thread only adds waiting

BOS, EOS = "<|begin|>", "<|end|>"
CORPUS = (
    "The patient with rheumatoid arthritis was given methotrexate, and the room air saturation was normal.",
    "Computed tomography of the chest showed no pulmonary embolism; magnetic resonance imaging was not done.",
    "Blood pressure fell after the right atrium was paced, and the right atrial pressure rose again.",
    "In the study, RA means none of these. In the trial, CT means cardiac tamponade or contraction time.",
)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE that adds a BOS, as Llama 3's does, and has an EOS that it does not add."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.train_from_iterator(
        CORPUS * 2,
        trainers.BpeTrainer(
            vocab_size=500,
            special_tokens=[BOS, EOS],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    inner.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=True),
            processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, inner.token_to_id(BOS))]),
        ]
    )
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token=BOS, eos_token=EOS)


def _random_llama(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=0.2,  # ten times the usual: an untrained model that hardly looks at its input hides mistakes
        attn_implementation="sdpa",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LlamaForCausalLM(config).float().eval()


@pytest.fixture
def tiny_llama(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Random weights, the same in every test; a test may change them."""
    return _random_llama(tokenizer)


@pytest.fixture
def loaded(tiny_llama: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> LoadedModel:
    """The tiny model as `load_base` returns models."""
    return LoadedModel(
        model=tiny_llama,
        tokenizer=tokenizer,
        identity=BaseIdentity(id="tests/tiny-llama", revision=None, source="tests/tiny-llama", sha256="0" * 64),
        attention="sdpa",
        max_depth=2048,
        tree_error=0.0,
    )


@pytest.fixture(scope="session")
def model_folder(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model and its tokenizer on disk, for `load_base`."""
    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    _random_llama(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_run(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the tiny model on the sample corpus, trained for four steps and evaluated."""
    from medalist.recipe import parse_recipe
    from medalist.runs.evaluate import evaluate_run
    from medalist.runs.train import train

    values = {
        "name": "tiny",
        "output": str(tmp_path_factory.mktemp("tiny") / "runs"),
        "model": {"base": str(model_folder)},
    }
    overrides = [
        "training.max_steps=4",
        "training.evaluate_every=2",
        "data.validation=0.02",
        "evaluation.bootstrap=200",
    ]
    run = train(parse_recipe(values, overrides))
    evaluate_run(run)
    return run.folder


@pytest.fixture(scope="module")
def fresh_run(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tiny run with the evaluation of its own test split alone: other tests add more to the shared
    one."""
    own = tmp_path_factory.mktemp("fresh") / tiny_run.name
    shutil.copytree(tiny_run, own, ignore=shutil.ignore_patterns("checkpoint-*", "figures", "report.html"))
    for folder in (own / "evaluation").iterdir():
        if folder.name != "test":
            shutil.rmtree(folder)
    return own


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the embedded corpora hold, where their checker ran."""
    if any("test_clinical" in report.nodeid for report in terminalreporter.stats.get("passed", [])):
        from corpora import figures

        terminalreporter.section("embedded corpora")
        for name, figure in figures().items():
            terminalreporter.write_line(f"{name}: {figure}")
