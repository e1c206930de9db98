"""A tokenizer and a Llama small enough to build in memory, shared by the tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from medalist.models.base import EMBEDDED, BaseIdentity, find_base, weights_sha256
from medalist.models.load import LoadedModel
from medalist.runs.run import Run, open_run
from medalist.sharing.export import gguf_metadata, merge_run
from medalist.sharing.gguf import convert
from medalist.trees.decisions import CALIBRATION_FILE, CLUES, Calibration

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


def _random_llama(tokenizer: PreTrainedTokenizerFast, layers: int = 2) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=layers,
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
def deep_model_folder(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model on disk with as many layers as the sample's recipe adapts."""
    folder = tmp_path_factory.mktemp("deep") / "tiny-llama"
    _random_llama(tokenizer, layers=15).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_run(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the tiny model on the sample corpus, trained for four steps and evaluated on 40 passages."""
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
        "data.limit_test=40",
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


@pytest.fixture(scope="session")
def known_run(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose tokenizer llama.cpp knows and whose rows are as long as 4-bit blocks; its adapter is drawn, not
    trained."""
    from peft import LoraConfig, get_peft_model

    folder = tmp_path_factory.mktemp("known")
    base = folder / "base"
    embedded, _ = find_base(EMBEDDED)
    shutil.copytree(embedded, base, ignore=shutil.ignore_patterns("*.safetensors"))
    config = LlamaConfig.from_pretrained(embedded)
    config.update({"hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 2, "initializer_range": 0.1})
    config.update({"num_attention_heads": 4, "num_key_value_heads": 2})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
        model.save_pretrained(base, max_shard_size="20MB")
        linear = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=linear, task_type="CAUSAL_LM"))
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.1)
    run = folder / "runs" / "known"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("adapter", "evaluation", "checkpoint-*"))
    adapted.save_pretrained(run / "adapter", save_embedding_layers=False)
    AutoTokenizer.from_pretrained(base).save_pretrained(run / "adapter")
    values = yaml.safe_load((run / "recipe.yaml").read_text())
    values["record"]["base"] = {
        "id": "tests/known",
        "revision": None,
        "source": str(base),
        "sha256": weights_sha256(base),
    }
    (run / "recipe.yaml").write_text(yaml.safe_dump(values))
    return open_run(run)


@pytest.fixture(scope="session")
def converted(known_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run as a model folder and as a GGUF file, both of 16-bit weights: what every other file is made from."""
    folder = tmp_path_factory.mktemp("converted")
    merge_run(known_run, folder / "merged", dtype="float16")
    convert(folder / "merged", folder / "f16.gguf", gguf_metadata(known_run))
    return folder


@pytest.fixture(scope="session")
def gguf_run(known_run: Run, converted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The known run, calibrated, with its GGUF file of 16-bit weights, as `medalist export` leaves it."""
    run = tmp_path_factory.mktemp("exported") / "runs" / "known"
    shutil.copytree(known_run.folder, run)
    (run / "export").mkdir()
    shutil.copy(converted / "f16.gguf", run / "export" / "known-f16.gguf")
    weights = dict.fromkeys(("constant", "model", *CLUES), 0.0) | {"constant": 2.0, "model": 0.1}
    calibration = Calibration(
        evidence=0.3, prior=0.2, is_short_form=weights, short_form_from=0.5, offered_from=0.6, mentions=100
    )
    calibration.write(run / CALIBRATION_FILE)
    return run


LONGEST = (
    "test_readme.py",
    "test_access.py",
    "test_ranks.py",
    "test_sharding.py",
    "test_export.py",
    "test_publish.py",
    "test_app.py",
    "test_faults.py",
)
"""Files that take longest, first of all, so that no process is left alone with one at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the embedded corpora hold, where their checker ran."""
    if any("test_clinical" in report.nodeid for report in terminalreporter.stats.get("passed", [])):
        from corpora import figures

        terminalreporter.section("embedded corpora")
        for name, figure in figures().items():
            terminalreporter.write_line(f"{name}: {figure}")
