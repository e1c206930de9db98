"""Finds the model that a user names: a run's folder, a repository on the Hugging Face Hub, or a GGUF file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, get_args

from ..data.embedded import reader
from ..models.base import unreadable_weights, weights_sha256
from ..runs.run import Run, is_run, open_run, tuned_tokenizer
from ..tools.files import file_sha256
from ..tools.remembered import cache_folder
from ..trees.decisions import CALIBRATION_FILE, Calibration
from .options import Engine


def find_run(name: str | Path, *, revision: str | None = None) -> Run:
    """Open a run by its folder, or download it if `name` is a Hub id; a downloaded run is cached.

    Args:
        name: an existing path is a folder; otherwise "user/name" is a Hub id unless "user" is a folder here.
        revision: branch, tag or commit of a Hub id; None: the newest at the time of the first download.

    Raises:
        FileNotFoundError: `name` is neither.
        ValueError: the repository does not exist or was not published by Medalist, or a folder is given a revision.
        OSError: the Hub cannot be reached.
    """
    if not is_hub_id(name):
        if revision is not None:
            raise ValueError(f"{name} is a folder, so it has no revision {revision}")
        return open_run(Path(name))
    folder = cache_folder() / "runs" / f"{name}@{revision or 'main'}".replace("/", "--")
    if is_run(folder):
        return open_run(folder)
    from ..sharing.pull import pull  # slow to import

    return pull(str(name), revision=revision, out=folder)


def engine_for(name: str | Path | None, engine: Engine | None) -> Engine:
    """The requested engine, or else the one that suits what is named.

    Raises:
        ValueError: there is no such engine, or another than the one that reads the GGUF file named.
    """
    if engine is None:
        return "llama.cpp" if is_gguf(name) else "transformers"
    if engine not in get_args(Engine):
        raise ValueError(f"engine is {engine!r}; it must be one of {', '.join(get_args(Engine))}")
    if engine != "llama.cpp" and is_gguf(name):
        raise ValueError(f"{name} is a GGUF file, which only the engine llama.cpp reads")
    return engine


def is_gguf(name: str | Path | None) -> bool:
    """Whether a name is that of a GGUF file, which need not exist."""
    return name is not None and str(name).endswith(".gguf")


def find_gguf(name: str | Path | None) -> tuple[Path, Run | None]:
    """A GGUF file, and the run that it was exported from if it is in the run's folder or in `export/` there.

    Args:
        name: the file, or the folder of a run with one GGUF file in `export/`.

    Raises:
        FileNotFoundError: there is no such file or run, or the run has none.
        ValueError: the run has several, or `name` is None.
    """
    if name is None:
        raise ValueError("llama.cpp needs a GGUF file, which the reader that comes with Medalist lacks: name one")
    path = Path(name)
    if is_run(path):
        exports = sorted((path / "export").glob("*.gguf"))
        if not exports:
            raise FileNotFoundError(f"{path} has no GGUF file yet: run `medalist export {path} --to gguf`")
        if len(exports) > 1:
            raise ValueError(f"{path} has several GGUF files: name one of {', '.join(map(str, exports))}")
        return exports[0], open_run(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is neither a GGUF file nor a run")
    folder = path.absolute().parent
    found = next((above for above in (folder, folder.parent) if is_run(above)), None)
    return path, None if found is None else open_run(found)


def weights_of(name: str | Path | None, *, revision: str | None = None, engine: Engine | None = None) -> str:
    """SHA-256 of the weights in use, the reader's adapter for None; for a glance, of everything that it depends on.

    Arguments and errors are as for `find_run`, `find_gguf` and `without_model`.

    Raises:
        FileNotFoundError: the run's training has not finished.
    """
    used = engine_for(name, engine)
    if used == "llama.cpp":
        return file_sha256(find_gguf(name)[0])
    if used == "glance":
        folder = reader.HERE if name is None else find_run(name, revision=revision).folder
        if name is not None:
            without_model(open_run(folder))
        parts = (folder / CALIBRATION_FILE, folder / "inventory.csv", reader.HERE / "topics.safetensors")
        return hashlib.sha256(b"".join(path.read_bytes() for path in parts)).hexdigest()
    return weights_sha256(reader.ADAPTER if name is None else find_run(name, revision=revision).trained_to_end())


def without_model(run: Run) -> Calibration:
    """A run's calibration for expanding without its model.

    Raises:
        ValueError: it has no glance.
    """
    if run.calibration is None or run.calibration.glance is None:
        raise ValueError(
            f"{run.folder} has no glance, so the engine glance has nothing to answer with: `medalist evaluate "
            f"{run.folder}` fits one if the run's validation data allows it"
        )
    return run.calibration.without_model()


def is_hub_id(name: str | Path) -> bool:
    """Whether a name can only mean a repository of the Hub.

    That is, it is "user/name", no such path exists, and "user" is not a folder; "runs" always counts as a folder.
    """
    if isinstance(name, Path) or name.count("/") != 1:
        return False
    user = name.split("/")[0]
    if user == "runs" or Path(name).exists() or Path(user).exists():
        return False
    from ..sharing.publication import check_repo_name  # slow to import

    try:
        check_repo_name(name)
    except ValueError:
        return False
    return True


def gguf_tokenizer(gguf: Path, run: Run | None) -> Any:
    """The run's tokenizer, or else the file's own, which transformers takes seconds to convert."""
    from transformers import AutoTokenizer  # slow to import

    if run is not None and (own := tuned_tokenizer(run)) is not None:
        return own
    with unreadable_weights(gguf.parent, str(gguf)):
        return AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name, trust_remote_code=False)


def is_missing_folder(name: str) -> bool:
    """Whether a name can only mean a folder, since it has a slash and is no Hub id, and there is none."""
    return "/" in name and not is_gguf(name) and not Path(name).exists() and not is_hub_id(name)
