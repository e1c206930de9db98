"""What other libraries make of a run, offline and without medalist: peft opens the adapter, transformers the merged
export.

The base stands in a Hub cache under its id, as on the machine of anybody who has used it.
"""

import json
import re
import shutil
import subprocess
import sys

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file

from medalist.models.load import load_base
from medalist.recipe import parse_recipe
from medalist.runs.held_out import HeldOut, held_out
from medalist.runs.run import load_run_base, load_tuned
from medalist.runs.train import train
from medalist.sharing.export import export_merged
from medalist.trees.prompt import Encoder
from medalist.trees.scoring import score_layouts
from medalist.trees.tree import sequences

BASE, COMMIT = "tests/tiny-llama", "0123456789abcdef0123456789abcdef01234567"
PASSAGES = 3
PLAIN = """
import json, sys
import torch

def scores(model, sequences):
    found = []
    for ids, predicted in sequences:
        logits = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        found.append(sum(float(logits[at - 1, ids[at]]) for at in range(len(ids) - predicted, len(ids))))
    return found

asked = json.load(sys.stdin)
torch.set_num_threads(1)
with torch.inference_mode():
    if asked["with"] == "peft":
        from peft import AutoPeftModelForCausalLM
        from transformers import AutoTokenizer

        model = AutoPeftModelForCausalLM.from_pretrained(asked["folder"])
        tokenizer = AutoTokenizer.from_pretrained(asked["folder"])
        written = None
    else:
        from transformers import pipeline

        pipe = pipeline("text-generation", model=asked["folder"])
        model, tokenizer = pipe.model, pipe.tokenizer
        [[written]] = [pipe([asked["text"]], max_new_tokens=6, do_sample=False, return_tensors=True)[0]]
        written = written["generated_token_ids"]
    found = scores(model, asked["sequences"])
assert not [name for name in sys.modules if name.split(".")[0] == "medalist"]
print(json.dumps({"scores": found, "ids": tokenizer(asked["text"]).input_ids, "written": written}))
"""


@pytest.fixture(scope="module")
def run(model_folder, tmp_path_factory):
    """A run of a base known by its Hub id alone, in this process and in those it starts; trained hard for two steps."""
    home = tmp_path_factory.mktemp("hub")
    repository = home / "hub" / f"models--{BASE.replace('/', '--')}"
    shutil.copytree(model_folder, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    values = {"name": "hub", "output": str(home / "runs"), "model": {"base": BASE}}
    settings = ["training.max_steps=2", "training.learning_rate=0.05", "data.limit=8", "data.limit_validation=2"]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}.items():
            patch.setenv(name, value)
        patch.delenv("HF_HUB_CACHE", raising=False)
        patch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(home / "hub"))
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        yield train(parse_recipe(values, settings))


@pytest.fixture(scope="module")
def asked(run):
    """Layouts of held-out passages, and what they stand for: plain sequences of token ids."""
    held, base = held_out(run, HeldOut(limit=PASSAGES)), load_run_base(run)
    encoder = Encoder(base.tokenizer, run.recipe.prompt, max_depth=base.max_depth)
    layouts = [layout for passage in held.passages for layout in encoder.encode(passage, held.inventory)]
    return layouts, [sequence for layout in layouts for sequence in sequences(layout.tree)]


def medalist_scores(loaded, layouts):
    found = score_layouts(loaded.model, layouts, attention=loaded.attention, max_nodes=4096)
    return [float(score) for _, questions in found for scores in questions for score in scores]


def scores_elsewhere(library, folder, asked):
    """What plain peft or transformers says in a process of its own, which never imports medalist."""
    question = {"with": library, "folder": str(folder), "text": asked[0][0].text, "sequences": asked[1]}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PLAIN], input=json.dumps(question), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_plain_peft_opens_the_adapter_and_scores_as_medalist_does(run, asked):
    layouts, plain = asked
    found = scores_elsewhere("peft", run.folder / "adapter", asked)
    expected = medalist_scores(load_tuned(run), layouts)
    assert found["scores"] == pytest.approx(expected, abs=1e-4)
    assert len(expected) == len(plain) > 30
    before = medalist_scores(load_run_base(run), layouts)
    assert max(abs(a - b) for a, b in zip(before, expected, strict=True)) > 0.1, "the adapter changes something"
    assert found["ids"] == plain[0][0][: len(found["ids"])], "the tokenizer beside the adapter encodes as the tree does"


def test_the_pipeline_opens_a_merged_export_and_scores_and_writes_as_medalist_does(run, asked, tmp_path):
    layouts, plain = asked
    merged = export_merged(run, tmp_path / "merged", dtype="float32", on=HeldOut(limit=PASSAGES)).path
    found = scores_elsewhere("pipeline", merged, asked)
    expected = medalist_scores(load_tuned(run), layouts)
    assert found["scores"] == pytest.approx(expected, abs=1e-4)
    loaded = load_base(str(merged))
    ids = torch.tensor([plain[0][0][: len(found["ids"])]])
    written = loaded.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False)
    assert found["written"] == written[0].tolist()


def test_the_adapter_names_its_base_by_hub_id_and_commit_and_no_local_path(run):
    text = (run.folder / "adapter" / "adapter_config.json").read_text(encoding="utf-8")
    config = json.loads(text)
    assert (config["base_model_name_or_path"], config["revision"]) == (BASE, COMMIT)
    assert str(run.folder.parent) not in text


def test_the_adapter_holds_what_vllm_loads_and_nothing_else(run):
    """vLLM's `PEFTHelper` and `LoRAModel.from_local_checkpoint`: what they refuse, and what they would silently
    ignore."""
    adapter = run.folder / "adapter"
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["peft_type"] == "LORA"
    assert (config["bias"], config["modules_to_save"]) == ("none", None), "refused"
    assert not config["use_dora"] and not config["use_rslora"]
    assert config["r"] <= 16, "the default of --max-lora-rank"
    for ignored in ("rank_pattern", "alpha_pattern", "layer_replication", "trainable_token_indices", "exclude_modules"):
        assert not config.get(ignored), ignored
    expected = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert set(config["target_modules"]) == expected, "linear layers of the blocks, by their last name"
    weights = {name: part.weight for name, part in load_run_base(run).model.named_modules() if hasattr(part, "weight")}
    seen = set()
    for name, tensor in load_file(adapter / "adapter_model.safetensors").items():
        match = re.fullmatch(r"base_model\.model\.(model\.layers\.\d+\.(?:\w+)\.(\w+))\.lora_([AB])\.weight", name)
        assert match and match[2] in expected, name
        rows, columns = weights[match[1]].shape
        assert tensor.shape == ((config["r"], columns) if match[3] == "A" else (rows, config["r"]))
        seen.add((match[1], match[3]))
    layers = load_run_base(run).model.config.num_hidden_layers
    assert len(seen) == 2 * len(expected) * layers
    assert {path.suffix for path in adapter.iterdir()} <= {".json", ".safetensors", ".md", ".jinja"}, "nothing pickled"
