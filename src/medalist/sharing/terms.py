"""Decides what the terms of a run's data allow to be published.

Law 9: nothing made from a user's own text or glossary is published without a flag. That is decided here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ..corpora.corpus import ACCOUNT, is_corpus
from ..corpora.origins import is_public
from ..data.embedded import clinical, sample
from ..data.inventory_files import is_glossary
from ..evaluation.results import DataAbout
from ..recipe import DataSettings, dump_recipe
from ..runs.reader_run import READER, open_parent
from ..runs.run import Run, is_run


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """Why something may not be published by default; None if it may."""

    weights: str | None = None
    """Reason for weights, which can reproduce words of their training data."""
    words: str | None = None
    """Reason for files that list words of the data: inventory, senses, tables by short form, predictions."""


def terms_of(settings: DataSettings) -> Terms:
    """The terms for publishing a run, given its data settings.

    The sample corpus is CC0: everything may be published. Published texts are those with a known checksum and those
    that this program downloaded, whatever `data.source` says: weights tuned on them may be published, but tables made
    from them, above all ADAM's senses, may not be redistributed. Everything else counts as the user's own until they
    say otherwise, including a plain glossary and missing files, which cannot be checked.
    """
    texts = [*([settings.path] if settings.path and settings.source != "sample" else []), *settings.beside]
    own = [name for name in texts if not is_public(Path(name))]
    lists = [name for name in _inventories(settings) if not is_public(Path(name)) or is_glossary(Path(name))]
    if settings.source in ("table", "choices"):
        reason = f"it was made from your own data (data.source {settings.source})"
    elif own or lists:
        name = (own or lists)[0]
        gone = "" if Path(name).exists() else ", and is missing, so it cannot be checked"
        reason = f"it was made with {Path(name).name}, which may be your own{gone}"
    elif settings.source == "sample" and not settings.inventories and not settings.beside:
        return Terms()
    else:
        named = {
            "sample": "the inventory",
            "medal": "MeDAL and ADAM",
            "pubmed": "PubMed and the inventories",
            "text": "the texts",
        }
        return Terms(words=f"the terms of {named[settings.source]} may not allow redistribution")
    return Terms(weights=reason, words=reason)


def terms_of_run(run: Run) -> Terms:
    """Like `terms_of`; weights tuned further from another run are also subject to that run's terms."""
    terms, parent = terms_of(run.recipe.data), run.record.get("parent")
    if parent is None or terms.weights:
        return terms
    folder = dump_recipe(run.recipe)["model"].get("parent")
    if folder is None or not (folder == READER or is_run(Path(folder))):
        reason: str | None = f"it was tuned further from {parent['name']}, which is missing, so it cannot be checked"
        return Terms(weights=reason, words=reason)
    inherited = terms_of_run(open_parent(folder))
    return Terms(weights=inherited.weights, words=terms.words or inherited.words)


def _inventories(settings: DataSettings) -> list[str]:
    """The inventories that a run's senses come from, including those its corpora were prepared with."""
    corpora = [*([settings.path] if settings.path and not settings.inventories else []), *settings.beside]
    found = [*settings.inventories]
    for folder in map(Path, corpora):
        if is_corpus(folder):
            prepared = json.loads((folder / ACCOUNT).read_text(encoding="utf-8"))["settings"]
            found += prepared.get("inventories") or [prepared["inventory"]] * bool(prepared.get("inventory"))
    return found


def words_of(about: DataAbout, terms: Terms) -> str | None:
    """Why the tables of an evaluation may not be published by default, given its data and candidates."""
    embedded_notes = {str(path.resolve()) for path in clinical.NOTES.values()} | set(clinical.NOTES)
    file, inventory_file = about.get("file"), about.get("inventory_file")
    if file is not None and file not in embedded_notes:
        return f"{Path(file).name} is a file of your own"
    if inventory_file is not None:
        embedded = inventory_file in (str(sample.FILES[1].resolve()), sample.FILES[1].name)
        return None if embedded else f"{Path(inventory_file).name} is a file of your own"
    return terms.words
