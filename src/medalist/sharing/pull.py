"""Downloads a published run from the Hugging Face Hub as a run folder; `repeat` evaluates it again."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.hf_api import RepoFile

from ..data.inventory import Inventory
from ..evaluation.result_files import METRICS_FILE, evaluation_folders, read_metrics
from ..models.base import EMBEDDED, ModelError, find_base, weights_sha256
from ..models.plain_files import plain_settings
from ..recipe import Recipe, parse_recipe
from ..runs.prepare import prepare
from ..runs.prepared import Prepared
from ..runs.records import check_record
from ..runs.run import Run, open_run, write_recipe
from ..tools.files import check_place, file_sha256, writing_folder
from ..tools.hub_client import hub_errors, persistently, quiet_client
from ..tools.progress import say
from ..tools.shapes import write_object
from ..tools.yaml_files import read_yaml
from ..trees.decisions import CALIBRATION_FILE
from .cleaning import RECORDED, names_only
from .publication import check_repo_name, is_written

MAX_BYTES = {".safetensors": 10 * 10**9, ".parquet": 10**9, ".csv": 10**8, "": 5 * 10**7}
"""Maximum size of a pulled file in bytes, by file extension."""
MAX_FILES = 1000
"""Maximum number of pulled files."""


def pull(
    repo: str,
    *,
    revision: str | None = None,
    out: Path | str | None = None,
    base: str | None = None,
    data: Path | str | None = None,
    inventory: Path | str | None = None,
    token: str | None = None,
) -> Run:
    """Download a published run as a run folder, to evaluate, expand with and report on like any other.

    Args:
        repo: `user/name` on the Hub.
        revision: branch, tag or commit.
        out: the folder to create; None: `runs/<name>`.
        base: path of its base model, to avoid loading it from the Hub; a different model is refused.
        data: the data that it was trained on, to evaluate on the test split; embedded data need not be given.
        inventory: the candidates, if they were not published.
        token: access token of the Hub; None: HF_TOKEN, or the one stored by `hf auth login`.

    Returns:
        The run.

    Raises:
        FileExistsError: `out` already exists.
        ValueError: the repository does not exist, was not published by Medalist, or does not fit the given files.
        OSError: the Hub cannot be reached, or the connection is lost; `out` is not created.
    """
    check_repo_name(repo)
    out = Path(out or f"runs/{repo.split('/')[1]}")
    check_place(out, folder=True)
    snapshot = _snapshot(repo, revision, token)
    recipe, record = _recorded(snapshot, repo, out)
    record["base"] |= _base_source(record["base"], repo, base)
    if data is not None:
        named = {"path": str(data)} | ({"inventory": str(inventory)} if inventory else {})
        recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update=named)})
    prepared = _prepared(recipe, record, repo, given=data is not None)
    record["data"]["folder"] = str(
        prepared.folder if prepared else Path("data") / f"{recipe.data.source}-not-published"
    )
    with writing_folder(out, new=True) as folder:
        weights = folder / record["published"]["kind"]
        weights.mkdir()
        for name, sha256 in sorted(record["published"]["files"].items()):
            path = snapshot / name
            if not path.is_file() or file_sha256(path) != sha256:
                raise ValueError(
                    f"{repo} does not contain the {name} that its recipe.yaml records: it was changed after it was "
                    "published. Name the commit with --revision"
                )
            beside = "/" in name or name in ("inventory.csv", "trained_senses.csv", CALIBRATION_FILE)
            target = (folder if beside else weights) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        _keep_plain(folder, weights)
        if weights_sha256(weights) != record["published"]["weights"]:
            raise ValueError(f"{repo} contains other weights than its recipe.yaml records")
        if record["published"].get("inventory"):  # choice questions have none
            _senses(folder, repo, prepared, inventory)
        write_recipe(folder, recipe, record)
        open_run(folder)
    return open_run(out)


def _snapshot(repo: str, revision: str | None, token: str | None) -> Path:
    """Download the repository's files to the Hub's local cache: only files that publishing writes.

    Raises:
        ValueError: the repository has no recipe, or files larger or more numerous than publishing writes.
    """
    unfinished = "Run the same command again to resume: files that have arrived are kept."
    with quiet_client(), hub_errors(repo, revision=revision, unfinished=unfinished, most=max(MAX_BYTES.values())):
        api = HfApi(token=token)
        head = persistently(lambda: api.model_info(repo, revision=revision))
        if not re.fullmatch("[0-9a-f]{40}", head.sha or ""):
            raise OSError(f"{repo}: the response did not come from the Hub; is HF_ENDPOINT correct?")
        if "recipe.yaml" not in {file.rfilename for file in head.siblings or []}:
            raise ValueError(f"{repo} was not published by Medalist: it has no recipe.yaml")
        listed = persistently(lambda: list(api.list_repo_tree(repo, recursive=True, revision=head.sha)))
        wanted = {file.path: file.size for file in listed if isinstance(file, RepoFile) and is_written(file.path)}
        if len(wanted) > MAX_FILES:
            raise ValueError(f"{repo} has {len(wanted):,} files, more than the {MAX_FILES:,} that are pulled")
        for name, size in sorted(wanted.items()):
            if size > (limit := MAX_BYTES.get(Path(name).suffix, MAX_BYTES[""])):
                raise ValueError(
                    f"{name} of {repo} has {size:,} bytes, more than the {limit:,} that are pulled: it was not "
                    "published by Medalist"
                )
        return Path(
            persistently(lambda: snapshot_download(repo, revision=head.sha, allow_patterns=list(wanted), token=token))
        )


def _recorded(snapshot: Path, repo: str, out: Path) -> tuple[Recipe, dict[str, Any]]:
    """The recipe, with its output set to the new run folder, and the record of a published run.

    Only known keys of the record are used, and no paths.
    """
    try:
        values = read_yaml(snapshot / "recipe.yaml")
        found = values.pop("record")
        published, training = found["published"], found.get("training", {})
        record = names_only(
            {
                "data": {"fingerprint": found["data"]["fingerprint"], "files": found["data"].get("files", {})},
                **{key: found[key] for key in RECORDED if key in found},
                "training": dict(training),
            }
        )
        record["base"] = {name: found["base"][name] for name in ("id", "revision", "source", "sha256")}
        files = {str(name): str(sha256) for name, sha256 in published.get("files", {}).items()}
        record["published"] = {key: published.get(key) for key in ("kind", "weights", "inventory")} | {"files": files}
        _ = found["versions"]["medalist"], published["weights"]
        kind = published["kind"]
        base, revision = values["model"]["base"], values["model"]["revision"]
        check_repo_name(str(record["base"]["id"]))
        check_record(Path(f"recipe.yaml of {repo}"), record | {"data": record["data"] | {"folder": ""}})
    except (AttributeError, KeyError, TypeError, ValueError):
        kind = None
    if kind not in ("adapter", "model"):
        raise ValueError(f"{repo} was not published by Medalist: its recipe.yaml does not describe a published run")
    if not files:
        raise ValueError(f"{repo} records no hashes of its files: publish it again with this version of Medalist")
    if unknown := sorted(name for name in files if not is_written(name) or name in ("recipe.yaml", "README.md")):
        raise ValueError(f"{repo} records {unknown[0]}, which Medalist does not publish")
    if base != EMBEDDED:
        check_repo_name(str(base))
    values = names_only(values) | {"name": out.name, "output": str(out.parent)}
    values["model"] |= {"base": base, "revision": revision}
    return parse_recipe(values, origin=f"recipe.yaml of {repo}"), record


def _keep_plain(folder: Path, weights: Path) -> None:
    """Rewrite the settings in files made by others, keeping only what is known to be harmless.

    Model settings keep only known keys. Evaluations keep only the names of their files, not paths, which a report would
    open.
    """
    for path in sorted(weights.glob("*config.json")):
        write_object(path, plain_settings(path))
    for evaluation in evaluation_folders(folder):
        metrics = read_metrics(evaluation)
        metrics["about"] = names_only(metrics["about"])
        write_object(evaluation / METRICS_FILE, metrics)


def _base_source(recorded: Mapping[str, Any], repo: str, base: str | None) -> dict[str, str]:
    """Where to load the base from; a downloaded recipe may name the embedded model or a Hub id, never a path."""
    source = str(recorded["source"])
    if base is None:
        try:
            if source != EMBEDDED:
                check_repo_name(source)
        except ValueError:
            raise ValueError(
                f"The base of {repo} is {recorded['id']} as {source}, which is not on the Hub: name it with --base FILE"
            ) from None
        return {"source": source}
    identity = find_base(base, recorded["revision"] if base == recorded["id"] else None)[1]
    if identity.sha256 != recorded["sha256"]:
        raise ModelError(
            f"{base} has the weights {identity.sha256[:12]}…, not {recorded['sha256'][:12]}… of {recorded['id']} that "
            f"{repo} was tuned on"
        )
    return {"source": identity.source}


def _prepared(recipe: Recipe, record: Mapping[str, Any], repo: str, *, given: bool) -> Prepared | None:
    """The run's data, prepared from its recipe as for training; None if it is not available.

    Raises:
        ValueError: the given data is not the run's.
    """
    further = "parent" in record  # its data includes the parent's
    if not given and (recipe.data.source != "sample" or recipe.data.inventories or further):
        return None
    found = prepare(recipe)
    if found.account["fingerprint"] == record["data"]["fingerprint"]:
        return found
    if given:
        raise ValueError(f"{recipe.data.path} with this inventory is not the data that {repo} was trained on")
    say(
        f"The sample corpus of this version is not the one that {repo} was trained on (Medalist "
        f"{record['versions']['medalist']}): its own evaluation cannot be repeated here."
    )
    return None


def _senses(folder: Path, repo: str, prepared: Prepared | None, inventory: Path | str | None) -> None:
    """Write the inventory and the trained senses of a pulled run from local data if they were not published."""
    if prepared and not (folder / "trained_senses.csv").exists():
        Inventory.mined(prepared.passages("train"), "training split").write(folder / "trained_senses.csv")
    if (folder / "inventory.csv").exists() and inventory is None:
        return
    if prepared is None and inventory is None:
        raise ValueError(
            f"{repo} was published without its sense inventory: name one with --inventory FILE, or the data with --data"
        )
    found = prepared.inventory if prepared else Inventory.read(inventory or Path())
    found.write(folder / "inventory.csv")
