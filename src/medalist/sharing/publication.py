"""Collects the files of a run for publication, without local names, and says what is held back and why.

`terms` decides what is held back.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils._validators import validate_repo_id

from ..evaluation.claims_table import renamed
from ..evaluation.comparison import Export
from ..evaluation.predictions import PREDICTIONS_FILE, REST_FILE
from ..evaluation.privacy import PRIVACY_FILE
from ..evaluation.result_files import CLAIMS_FILE, METRICS_FILE, evaluation_folders, read_claims, read_metrics
from ..models.licences import LICENCE, NOTICE, find_licence_file, licence_of
from ..models.plain_files import WEIGHTS
from ..runs.card import Destination, card_text
from ..runs.run import Run, privacy_of
from ..trees.decisions import CALIBRATION_FILE
from .cleaning import as_json, shared_metrics, shared_recipe, shared_weights
from .own_names import OwnNames
from .terms import Terms, terms_of_run, words_of

Part = Literal["inventory", "senses", "short-forms", "predictions", "names"]
PARTS: dict[Part, str] = {
    "inventory": "inventory.csv: the candidates",
    "senses": "trained_senses.csv: the senses of the training mentions, with counts",
    "short-forms": "metrics.json: results by short form, and which long forms were confused",
    "predictions": f"{PREDICTIONS_FILE}, {REST_FILE}: ids, offsets and scores of the evaluated mentions",
    "names": "the names of your own files and runs, which are otherwise called by their purpose",
}
"""Parts that are published only if the data's terms allow it or the user asks for them with `--include`."""

WRITTEN = (
    "README.md",
    "recipe.yaml",
    "inventory.csv",
    "trained_senses.csv",
    CALIBRATION_FILE,
    NOTICE,
    LICENCE,
    f"evaluation/{PRIVACY_FILE}",
    f"evaluation/*/{METRICS_FILE}",
    f"evaluation/*/{CLAIMS_FILE}",
    f"evaluation/*/{PREDICTIONS_FILE}",
    f"evaluation/*/{REST_FILE}",
    *WEIGHTS,
)
"""Patterns of all files that can be published: only safetensors, never pickle."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Publication:
    """The files that would be published."""

    run: str
    """Name of the run."""
    repo: str
    files: Mapping[str, bytes | Path]
    """Path in the repository -> content."""
    left_out: tuple[tuple[str, str], ...]
    """(what, why it is held back)."""

    @property
    def card(self) -> str:
        """The model card."""
        content = self.files["README.md"]
        assert isinstance(content, bytes)
        return content.decode()

    def size(self, name: str) -> int:
        """Bytes of a file."""
        content = self.files[name]
        return len(content) if isinstance(content, bytes) else content.stat().st_size


def plan_publication(
    run: Run,
    repo: str,
    *,
    export: Export | None = None,
    include: Collection[str] = (),
    own_data: bool = False,
    base_id: str | None = None,
    licence: str | None = None,
    licence_file: Path | None = None,
) -> Publication:
    """Collect what would be published of a run and remove local names from it; nothing is sent.

    Args:
        run: a fully trained run.
        repo: `user/name` on the Hub.
        export: merged weights to publish instead of the run's own.
        include: parts to publish although they are held back by default.
        own_data: the weights were tuned on the user's own text and may be published.
        base_id: the base's Hub id if the run does not know it, `user/name` or `user/name@revision`.
        licence: the base's licence, by the Hub's identifier, if it is not stated anywhere.
        licence_file: the licence text, if it must be included and is not stored with the base.

    Raises:
        FileNotFoundError: training of the run has not finished.
        ValueError: something may not be published as requested; the message says what to do.
    """
    tuned = run.trained_to_end(recorded=True)
    check_repo_name(repo)
    if unknown := sorted(set(include) - set(PARTS)):
        raise ValueError(f'Unknown part "{unknown[0]}" to include. Known: {", ".join(PARTS)}.')
    terms = terms_of_run(run)
    if terms.weights and not own_data:
        raise ValueError(
            f"{run.folder} is not published by default: {terms.weights}, and weights can reproduce words of their "
            "training data. Add --own-data to confirm that you may publish them and want to."
        )
    has_inventory = (run.folder / "inventory.csv").exists()
    destination = _destination(
        run, repo, base_id, licence, with_inventory=has_inventory and (terms.words is None or "inventory" in include)
    )
    assert destination.licence is not None
    privacy = privacy_of(run)
    if terms.weights and privacy is None:
        raise ValueError(
            f"{run.folder} was tuned on your own text, and nobody has looked yet whether its weights tell which: run "
            f"`medalist privacy {run.folder}` first. The model card shows what it finds."
        )
    weights = export.path if export else tuned
    contents = _Contents(include=include)
    names = OwnNames(run, repo, kept="names" in include)
    contents.files |= shared_weights(weights, destination)
    if (text := find_licence_file(destination.licence, _base_folder(run), given=licence_file)) is not None:
        contents.files[LICENCE] = text.read_bytes()
    if destination.licence.notice:
        contents.files[NOTICE] = f"{destination.licence.notice}\n".encode()
    _add_lists(contents, run, terms)
    if privacy is not None:  # contains only numbers and file names
        contents.files[f"evaluation/{PRIVACY_FILE}"] = as_json(names.privacy(privacy))
    with_words = _add_evaluations(contents, run, terms, destination.base_id, names)
    files = contents.files
    files["recipe.yaml"] = shared_recipe(
        run, destination, weights, "adapter" if "adapter_config.json" in files else "model", names, files
    )
    parent = names.parent(run.record["parent"]["name"]) if "parent" in run.record else None
    files["README.md"] = card_text(
        run, export, replace(destination, with_words=with_words, evaluations=names.evaluations, parent=parent)
    ).encode()
    if names.replaced:
        contents.left_out.append(
            (f"the names {', '.join(names.replaced)}", "they are yours; --include names sends them")
        )
    _check_no_local_names(files, run)
    return Publication(
        run=run.folder.name, repo=repo, files=dict(sorted(files.items())), left_out=tuple(contents.left_out)
    )


@dataclass(kw_only=True, slots=True)
class _Contents:
    """A publication while its files are being collected."""

    include: Collection[str]
    """Parts that the user asked for."""
    files: dict[str, bytes | Path] = field(default_factory=dict)
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def allows(self, part: Part, what: str, reason: str | None) -> bool:
        """Whether a part may be published: nothing speaks against it, or the user asked for it.

        Otherwise it is recorded as held back.
        """
        if reason is None or part in self.include:
            return True
        self.left_out.append((what, f"{reason}; --include {part} sends it"))
        return False


def _add_lists(contents: _Contents, run: Run, terms: Terms) -> None:
    """Add the lists of senses, as far as the terms allow, and the calibration, which contains only numbers."""
    parts: tuple[tuple[Part, str], ...] = (("inventory", "inventory.csv"), ("senses", "trained_senses.csv"))
    for part, name in parts:
        if (run.folder / name).exists() and contents.allows(part, name, terms.words):
            contents.files[name] = (run.folder / name).read_bytes()
    if (run.folder / CALIBRATION_FILE).exists():
        contents.files[CALIBRATION_FILE] = (run.folder / CALIBRATION_FILE).read_bytes()


def _add_evaluations(contents: _Contents, run: Run, terms: Terms, base_id: str, names: OwnNames) -> frozenset[str]:
    """Add the run's evaluations; returns the names of those whose data may be quoted."""
    with_words = set()
    remade = "`medalist evaluate` makes them again if the data is available"
    for folder in evaluation_folders(run.folder):
        metrics = read_metrics(folder)
        name = f"evaluation/{names.evaluations[folder.name]}"
        reason = words_of(metrics["about"], terms)
        words = contents.allows("short-forms", f"{name}/{METRICS_FILE}: tables by short form", reason)
        if words:
            with_words.add(folder.name)
        contents.files[f"{name}/{METRICS_FILE}"] = as_json(shared_metrics(metrics, base_id, names, words=words))
        if (claims := read_claims(folder)) is not None:
            contents.files[f"{name}/{CLAIMS_FILE}"] = as_json(renamed(claims, names.evaluations))
        for file in (PREDICTIONS_FILE, REST_FILE):
            if (folder / file).exists() and contents.allows("predictions", f"{name}/{file}", remade):
                contents.files[f"{name}/{file}"] = folder / file
    return frozenset(with_words)


def is_written(name: str) -> bool:
    """Whether publishing writes files with this name.

    A pattern's `*` stands for one component of a path. A hidden component, another system's path separator or an
    unprintable character never matches.
    """
    parts = name.split("/")
    if any(not part or part.startswith(".") or not part.isprintable() or {*part} & {*"\\:"} for part in parts):
        return False
    return any(
        len(parts) == pattern.count("/") + 1 and all(map(fnmatch.fnmatchcase, parts, pattern.split("/")))
        for pattern in WRITTEN
    )


def check_repo_name(repo: str) -> None:
    """Refuse an invalid name of a Hub repository.

    Raises:
        ValueError: it is not `user/name`, or contains characters that the Hub does not accept.
    """
    try:
        validate_repo_id(repo)
        good = repo.count("/") == 1
    except HFValidationError:
        good = False
    if not good:
        raise ValueError(
            f'"{repo}" is not a valid Hub repository: use user/name, with letters, digits, "-", "_" and "."'
        )


def _destination(run: Run, repo: str, base_id: str | None, licence: str | None, *, with_inventory: bool) -> Destination:
    identity, revision = run.base.id, run.base.revision
    if base_id is not None:
        identity, _, named = base_id.partition("@")
        revision = named or None
        check_repo_name(identity)
    elif identity.count("/") != 1:
        raise ValueError(
            f'The base "{identity}" has no Hub id, so nobody could load it: name one with --base-id user/name'
        )
    known_licence = licence_of(identity, _base_folder(run), given=licence)
    if known_licence is None:
        raise ValueError(
            f"The licence of {identity}, which also applies to this model, is unknown: name it with --license, "
            "such as apache-2.0"
        )
    known_licence.check_name(repo)
    return Destination(
        repo=repo, base_id=identity, base_revision=revision, licence=known_licence, with_inventory=with_inventory
    )


def _base_folder(run: Run) -> Path | None:
    """The local folder of the base, with its card and licence; None if there is none."""
    source = run.base.source
    if Path(source).is_absolute():
        return Path(source) if Path(source).is_dir() else Path(source).parent
    if source.count("/") != 1:
        return None
    found = try_to_load_from_cache(source, "config.json", revision=run.base.revision)
    return Path(found).parent if isinstance(found, str) else None


def _check_no_local_names(files: Mapping[str, bytes | Path], run: Run) -> None:
    """Final check that no text to be published contains the path of a folder on this machine."""
    settings = run.recipe.data
    named = (run.folder, run.base.source, run.record["data"].get("folder"), settings.path, *settings.inventories)
    paths = [Path(name).expanduser() for name in named if name and ("/" in str(name) or Path(name).exists())]
    folders = {str(path.resolve().parent) for path in paths}
    with suppress(RuntimeError):  # a user without a name, as in a container, has no home folder
        folders.add(str(Path.home()))
    for name, content in files.items():
        if isinstance(content, bytes):
            for folder in folders:
                if len(folder) > 5 and folder.encode() in content:
                    raise ValueError(f"{name} would contain {folder}, a folder of this machine; nothing was published")
