"""Publishes a run on the Hugging Face Hub as a model repository, in one commit. `pull` downloads it again."""

from __future__ import annotations

import json
import warnings
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

from .. import __version__
from ..evaluation.comparison import Comparison, Export
from ..evaluation.metrics import Estimate
from ..models.base import weights_sha256
from ..runs.run import Run
from ..tools.hub_client import hub_errors, persistently, quiet_client
from ..tools.number_formats import FloatType
from ..tools.shapes import write_object
from .export import export_merged
from .publication import Publication, is_written, plan_publication


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """The result of publishing."""

    url: str
    commit: str
    changed: bool
    """False: the repository already contained everything, so no commit was made."""
    publication: Publication


def publish(
    run: Run,
    repo: str,
    *,
    public: bool = False,
    merged: bool = False,
    dtype: FloatType = "bfloat16",
    include: Collection[str] = (),
    own_data: bool = False,
    base_id: str | None = None,
    licence: str | None = None,
    licence_file: Path | str | None = None,
    token: str | None = None,
) -> Published:
    """Publish a run as a model repository on the Hub, with its card, recipe and figures, in one commit.

    If interrupted, nothing becomes visible; call it again, and files that have arrived are not sent again. If the
    repository already contains everything, no new commit is made.

    Args:
        run: a fully trained run.
        repo: `user/name`; created if it does not exist.
        public: create a public repository, or add to one; otherwise it is private.
        merged: publish merged weights instead of the adapter; see `export_merged`.
        dtype: number format of merged weights.
        include: parts that are held back unless asked for; see `publication.PARTS`.
        own_data: the run was tuned on your own text, and may be published.
        base_id: as for `plan_publication`.
        licence: as for `plan_publication`.
        licence_file: as for `plan_publication`.
        token: access token of the Hub; None: HF_TOKEN, or the one stored by `hf auth login`.

    Raises:
        ValueError: something may not be published as requested, or the Hub refuses; the message says what to do.
        OSError: the Hub cannot be reached, or the connection is lost.
    """
    publication = prepare_publication(
        run,
        repo,
        merged=merged,
        dtype=dtype,
        include=include,
        own_data=own_data,
        base_id=base_id,
        licence=licence,
        licence_file=None if licence_file is None else Path(licence_file),
    )
    return send(publication, public=public, token=token)


def prepare_publication(
    run: Run, repo: str, *, merged: bool = False, dtype: FloatType = "bfloat16", **settings: Any
) -> Publication:
    """Prepare what `publish` would send, merging weights if needed; takes the arguments of `publish`."""
    if merged:
        plan_publication(run, repo, **settings)  # fail before the weights are merged
    return plan_publication(run, repo, export=_merged(run, dtype) if merged else None, **settings)


def _merged(run: Run, dtype: FloatType) -> Export:
    """The run's merged weights: reused from an earlier call if still the same, or merged now."""
    target = run.folder / "export" / f"{run.folder.name}-{dtype}"
    note = target.with_name(f"{target.name}.json")
    made_of = {"tuned": weights_sha256(run.trained_to_end())}
    if note.exists() and target.exists():
        known = json.loads(note.read_text(encoding="utf-8"))
        if known["made_of"] == made_of | {"merged": weights_sha256(target)}:
            figures = known["comparison"]
            estimates = {name: Estimate(**figures[name]) for name in ("before", "after", "difference")}
            return Export(path=target, form="merged", type=dtype, comparison=Comparison(**figures | estimates))
    export = export_merged(run, target, dtype=dtype, force=True)
    made_of["merged"] = weights_sha256(target)
    write_object(note, {"made_of": made_of, "comparison": asdict(export.comparison)})
    return export


def send(publication: Publication, *, public: bool = False, token: str | None = None) -> Published:
    """Send a prepared publication; arguments and errors as for `publish`."""
    api = HfApi(token=token, library_name="medalist", library_version=__version__)
    repo = publication.repo
    unfinished = (
        f"None of it is visible in {repo} yet. Run the same command again: files that have arrived are not sent again."
    )
    with quiet_client(), hub_errors(repo, unfinished=unfinished):
        persistently(api.whoami)
        url = persistently(lambda: api.create_repo(repo, private=not public, exist_ok=True))
        before, commit = persistently(lambda: _commit(api, publication, public=public))
    return Published(url=str(url), commit=commit, changed=commit != before, publication=publication)


def _commit(api: HfApi, publication: Publication, *, public: bool) -> tuple[str | None, str]:
    """Make one commit and return the repository's head before and after it; the same if nothing has changed."""
    repo = publication.repo
    head = api.model_info(repo)
    there = {file.rfilename for file in head.siblings or []}
    ours = "medalist" in (head.tags or [])
    if others := sorted(there - {".gitattributes", ".gitignore", "README.md", "LICENSE"}) if not ours else []:
        raise ValueError(f"{repo} already contains another model ({others[0]}): name another repository.")
    if not public and head.private is False:
        raise ValueError(f"{repo} already exists and is public: make it private on its Hub page, or add --public.")
    stale = [name for name in sorted(there - set(publication.files)) if ours and is_written(name)]
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        *(CommitOperationAdd(name, content) for name, content in publication.files.items()),
        *(CommitOperationDelete(name) for name in stale),
    ]
    # The Hub's client warns about data files, but publishing predictions is intended.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "It seems that you are about to commit a data file")
        done = api.create_commit(
            repo,
            operations,
            commit_message=f"{publication.repo.split('/')[1]}, by Medalist",
            parent_commit=head.sha,
        )
    return head.sha, done.oid
