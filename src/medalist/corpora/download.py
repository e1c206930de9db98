"""Resumable, verified downloads from Zenodo and the Hugging Face Hub, made only when the user asks for one."""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx2
from huggingface_hub import HfApi, get_session, hf_hub_download

from ..data.sources.medal_tables import Table, tables
from ..data.splits import SPLITS
from ..tools.failures import megabytes, need_room
from ..tools.hub_client import hub_errors
from ..tools.progress import tracking
from ..tools.retrying import named_error, retrying
from .origins import remember_download

TIMEOUT = 30.0
"""Seconds without data after which a connection counts as lost."""
WAITS = (1, 2, 4, 8, 16)
"""Seconds to wait before each retry; the count starts again whenever an attempt has received new bytes."""
_MENDABLE = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError, httpx2.HTTPStatusError)
_PARQUET = re.compile(
    r"(?:(?P<config>.+?)/)??(?P<split>[^/]+?)(?:/\d+|-\d{5}-of-\d{5}(?:-[0-9a-f]+)?)?\.parquet", re.ASCII
)
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Remote:
    size: int
    """Bytes."""
    md5: str
    url: str


def zenodo_file(
    name: str, folder: Path, *, record: str = "4482922", api: str = "https://zenodo.org/api/records"
) -> Path:
    """Download a file of a Zenodo record unless the folder already has it, and verify its checksum in either case.

    An interrupted download is kept in `folder/.NAME.part` and resumed by the next call.

    Args:
        name: the file's name in the record, such as `train.csv`.
        folder: created if it does not exist.
        record: number of the record; the default is MeDAL's.
        api: base URL for record requests.

    Returns:
        The path of the complete file, `folder/name`.

    Raises:
        ValueError: the record has no such file.
        FileExistsError: `folder/name` exists but is not the record's file; it is left unchanged.
        OSError: no connection, no such record, not enough disk space, or a wrong checksum.
    """
    files = _zenodo_files(f"{api}/{record}")
    if name not in files:
        known = ", ".join(f"{key} ({megabytes(file.size)})" for key, file in sorted(files.items()))
        raise ValueError(f'Zenodo record {record} has no file "{name}". Known: {known}.')
    remote = files[name]
    target = folder / name
    if target.exists():
        if _size(target) == remote.size and _md5(target, name) == remote.md5:
            return target
        raise FileExistsError(
            f"{target} ({_size(target):,} bytes) is not {name} of Zenodo record {record} ({remote.size:,} bytes, "
            f"md5 {remote.md5}): move it away, or choose another folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{name}.part"
    if _size(part) > remote.size:  # left over from a different file
        part.unlink()
    if _size(part) < remote.size:
        _fetch(remote, part, name)
    if (found := _md5(part, name)) != remote.md5:
        part.unlink()
        raise OSError(
            f"{name} was damaged in transit (md5 {found}; Zenodo record {record} lists {remote.md5}) and was deleted: "
            "download it again."
        )
    part.replace(target)
    remember_download(target, f"{api}/{record}")
    return target


def _zenodo_files(url: str) -> dict[str, _Remote]:
    """The files that a record lists, by name."""

    def ask() -> httpx2.Response:
        response = get_session().get(url, timeout=TIMEOUT)
        _check(response)
        return response

    response = _retrying(ask, what="the list of files", url=url, reached=lambda: 0)
    try:
        return {
            file["key"]: _Remote(
                size=int(file["size"]), md5=file["checksum"].removeprefix("md5:"), url=file["links"]["self"]
            )
            for file in response.json()["files"]
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        raise OSError(f"{url} did not return a Zenodo record with files: is the record open?") from None


def _fetch(remote: _Remote, part: Path, name: str) -> None:
    """Download the missing rest of a file; `part` contains its beginning, or does not exist."""
    need_room(part.with_name(name), remote.size - _size(part))
    with _tracking_bytes(f"Downloading {name}", remote.size) as at:
        at(_size(part))

        def resume() -> None:
            have = _size(part)
            headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
            with get_session().stream("GET", remote.url, headers=headers, timeout=TIMEOUT) as response:
                _check(response)
                if response.status_code != httpx2.codes.PARTIAL_CONTENT:
                    have = 0  # the server ignored the range and sends the whole file
                with part.open("ab" if have else "wb") as file:
                    for chunk in response.iter_bytes():
                        file.write(chunk)
                        have += len(chunk)
                        at(have)
                    file.flush()
                    os.fsync(file.fileno())
            if have < remote.size:
                raise httpx2.RemoteProtocolError(f"closed after {have:,} of {remote.size:,} bytes")

        _retrying(resume, what=name, url=remote.url, reached=lambda: _size(part))


def _retrying(attempt: Callable[[], _T], *, what: str, url: str, reached: Callable[[], int]) -> _T:
    """Call `attempt`, retrying after lost connections and server errors; `reached` counts the bytes received."""

    def transient(error: Exception) -> str | None:
        return f"{what}: {_reason(error)}" if isinstance(error, _MENDABLE) else None

    try:
        return retrying(attempt, waits=WAITS, transient=transient, reached=reached)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        failed = f"{what} could not be downloaded from {url} ({_reason(error)})"
        if not isinstance(error, _MENDABLE):
            raise OSError(f"{failed}.") from None
        kept = f"; the first {megabytes(reached())} are kept" if reached() else ""
        raise OSError(f"{failed}: try again later{kept}.") from None


def _check(response: httpx2.Response) -> None:
    """Raise a retryable error for a server failure, and a final one if the server refuses the request."""
    if response.status_code == httpx2.codes.TOO_MANY_REQUESTS or response.is_server_error:
        response.raise_for_status()
    if not response.is_success:
        answer = f"{response.status_code} {response.reason_phrase}".rstrip()
        raise OSError(f"{response.url} returned {answer}: check that it exists and is publicly accessible.")


def _reason(error: Exception) -> str:
    if isinstance(error, httpx2.HTTPStatusError):
        return f"{error.response.status_code} {error.response.reason_phrase}".rstrip()
    return named_error(error)


def _size(path: Path) -> int:
    """Size in bytes; 0 if the file does not exist."""
    return path.stat().st_size if path.exists() else 0


def _md5(path: Path, label: str) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file, _tracking_bytes(f"Checking {label}", _size(path)) as at:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            at(file.tell())
    return digest.hexdigest()


def _megabytes(size: int) -> int:
    """Bytes as megabytes (10^6 bytes), rounded up: the steps in which progress is shown."""
    return -(-size // 1_000_000)


@contextmanager
def _tracking_bytes(label: str, size: int) -> Iterator[Callable[[int], None]]:
    """Show progress in MB. Call the yielded function with the current number of bytes, which may decrease."""
    shown = 0
    with tracking(f"{label}, MB", _megabytes(size)) as advance:

        def at(position: int) -> None:
            nonlocal shown
            if (now := _megabytes(position)) != shown:
                advance(now - shown)
                shown = now

        yield at


def hub_parquet(
    repo: str, *, split: str = "train", config: str | None = None, revision: str = "refs/convert/parquet"
) -> list[Path]:
    """Download the Parquet files of one split of a dataset on the Hugging Face Hub to the local Hub cache, in order.

    Only files of a dataset that is neither private nor gated are remembered as public.

    Args:
        repo: the dataset, such as `McGill-NLP/medal`.
        split: its files are `SPLIT/0000.parquet`, `SPLIT-00000-of-00002.parquet` or `SPLIT.parquet`.
        config: the folder that contains the split; by default the only one, or `default`.
        revision: branch, tag or commit; the default is the Hub's own conversion to Parquet. All files come from the
            commit to which it resolves at the time of the call.

    Raises:
        ValueError: no such repository, revision, configuration or split, or a gated repository without access.
        OSError: the Hub cannot be reached or fails.
    """
    with hub_errors(repo, kind="dataset", revision=revision):
        info = HfApi().dataset_info(repo, revision=revision, timeout=TIMEOUT)
    names = _files_of_split([file.rfilename for file in info.siblings or []], f"{repo}@{revision}", split, config)
    commit = info.sha or revision
    with hub_errors(repo, kind="dataset", revision=revision):
        paths = [Path(hf_hub_download(repo, name, repo_type="dataset", revision=commit)) for name in names]
    if info.private is False and not info.gated:
        for path in paths:
            remember_download(path, f"hub:{repo}@{commit}")
    return paths


def _files_of_split(names: Iterable[str], where: str, split: str, config: str | None) -> list[str]:
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in sorted(names):
        if match := _PARQUET.fullmatch(name):
            found[match["config"] or ""][match["split"]].append(name)
    if not found:
        raise ValueError(
            f"{where} has no Parquet files: choose another revision, such as main or refs/convert/parquet."
        )
    if config is None:
        config = next(iter(found)) if len(found) == 1 else "default"
        if config not in found:
            raise ValueError(f"{where} has several configurations; choose one: {', '.join(found)}.")
    if config not in found:
        raise ValueError(f'{where} has no configuration "{config}". Known: {", ".join(found)}.')
    if split not in found[config]:
        raise ValueError(f'{where} has no split "{split}". Known: {", ".join(found[config])}.')
    return found[config][split]


def named_tables(source: str, downloads: Path) -> list[Table]:
    """The tables of a user's source: a file, `zenodo:FILE`, or `hub:OWNER/NAME` with its three splits.

    Args:
        source: the source; only the last two forms use the network.
        downloads: folder for files from Zenodo.
    """
    if source.startswith("zenodo:"):
        return tables(zenodo_file(source.removeprefix("zenodo:"), downloads))
    if source.startswith("hub:"):
        name = source.removeprefix("hub:")
        return [Table(path, split=split) for split in SPLITS for path in hub_parquet(name, split=split)]
    return tables(Path(source))
