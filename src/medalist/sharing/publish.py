"""Publishes a run on the Hugging Face Hub as a model repository, in one commit. `pull` gets it back."""

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
from ..tools.files import replacing
from ..tools.hub_client import hub_errors, persistently, quiet_client
from ..tools.number_formats import FloatType
from .export import export_merged
from .publication import Publication, is_written, plan_publication


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """What came of publishing."""

    url: str
    commit: str
    changed: bool
    """False: the repository held all of it already, and no commit was made."""
    publication: Publication


def publish(
    run: Run,
    repo: str,
    *,
    private: bool = False,
    merged: bool = False,
    dtype: FloatType = "bfloat16",
    include: Collection[str] = (),
    own_data: bool = False,
    base_id: str | None = None,
    licence: str | None = None,
    license_file: Path | None = None,
    token: str | None = None,
) -> Published:
    """Publish a run as a model repository on the Hub, with its card, recipe and figures; all of it in one commit.

    Broken off, it leaves nothing to be seen; done again, what has arrived is not sent again, and what is there already makes no
    new commit.

    Args:
        run: trained to its end.
        repo: `user/name`; made if need be.
        private: only for its owners.
        merged: publish merged weights in place of the adapter; see `export_merged`.
        dtype: of merged weights.
        include: parts that stay at home unless they are asked for; see `publication.PARTS`.
        own_data: the run learnt from text of your own, and may be published.
        base_id: as for `plan_publication`.
        licence: likewise.
        license_file: likewise.
        token: of the Hub; None: HF_TOKEN, or the one of `hf auth login`.

    Raises:
        ValueError: something may not be published like this, or the Hub refuses; the message says what to do.
        OSError: the Hub cannot be reached, or the connection broke.
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
        license_file=license_file,
    )
    return send(publication, private=private, token=token)


def prepare_publication(
    run: Run, repo: str, *, merged: bool = False, dtype: FloatType = "bfloat16", **settings: Any
) -> Publication:
    """What `publish` would send, its merged weights made if need be: to be shown first. Arguments as for `publish`."""
    if merged:
        plan_publication(run, repo, **settings)  # what is wrong is told before the weights are made
    return plan_publication(run, repo, export=_merged(run, dtype) if merged else None, **settings)


def _merged(run: Run, dtype: FloatType) -> Export:
    """The run's merged weights: those of an earlier call if they are the same still, or made now."""
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
    with replacing(note) as file:
        made_of["merged"] = weights_sha256(target)
        json.dump({"made_of": made_of, "comparison": asdict(export.comparison)}, file, indent=1)
    return export


def send(publication: Publication, *, private: bool = False, token: str | None = None) -> Published:
    """Send what was prepared; arguments and errors as for `publish`."""
    api = HfApi(token=token, library_name="medalist", library_version=__version__)
    repo = publication.repo
    unfinished = (
        f"Nothing of this can be seen in {repo}; run the same command again: what has arrived is not sent again."
    )
    with quiet_client(), hub_errors(repo, unfinished=unfinished):
        persistently(api.whoami)
        url = persistently(lambda: api.create_repo(repo, private=private or None, exist_ok=True))
        before, commit = persistently(lambda: _commit(api, publication, private=private))
    return Published(url=str(url), commit=commit, changed=commit != before, publication=publication)


def _commit(api: HfApi, publication: Publication, *, private: bool) -> tuple[str | None, str]:
    """The repository's head before and after one commit; after is before if nothing has changed."""
    repo = publication.repo
    head = api.model_info(repo)
    there = {file.rfilename for file in head.siblings or []}
    ours = "medalist" in (head.tags or [])
    if others := sorted(there - {".gitattributes", ".gitignore", "README.md", "LICENSE"}) if not ours else []:
        raise ValueError(f"{repo} holds another model already ({others[0]}): name another repository.")
    if private and head.private is False:
        raise ValueError(
            f"{repo} is there already and public: make it private on its Hub page, or leave out --private."
        )
    stale = [name for name in sorted(there - set(publication.files)) if ours and is_written(name)]
    operations: list[CommitOperationAdd | CommitOperationDelete] = [
        *(CommitOperationAdd(name, content) for name, content in publication.files.items()),
        *(CommitOperationDelete(name) for name in stale),
    ]
    with warnings.catch_warnings():  # that predictions are data is known
        warnings.filterwarnings("ignore", "It seems that you are about to commit a data file")
        done = api.create_commit(
            repo,
            operations,
            commit_message=f"{publication.run}, by Medalist",
            parent_commit=head.sha,
        )
    return head.sha, done.oid
