"""What the terms of a run's data allow to publish.

Law 9: nothing made from a user's own text or glossary goes out without a flag; this is where that is decided.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ..corpora.corpus import ACCOUNT, is_corpus
from ..data.embedded import clinical, sample
from ..data.inventory_files import is_glossary
from ..evaluation.results import DataAbout
from ..recipe import DataSettings, dump_recipe
from ..runs.run import Run, is_run, open_run


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """Why something may not go out unasked; None where it may."""

    weights: str | None = None
    """Of weights, which can give back words of what they were tuned on."""
    words: str | None = None
    """Of what lists words of the data: inventory, senses, tables by short form, predictions."""


def terms_of(settings: DataSettings) -> Terms:
    """What the data of a run allows to publish.

    The sample corpus is CC0: everything may go. MeDAL and PubMed are published texts, so weights may go; tables made from
    them, ADAM's senses above all, are not ours to pass on. Everything else is the user's own until they say otherwise: so is a
    plain glossary, and any inventory or corpus that is gone and cannot be looked at.
    """
    own = [name for name in _inventories(settings) if not Path(name).exists() or is_glossary(Path(name))]
    if settings.source not in ("sample", "medal", "pubmed"):
        reason = f"it was made from data of your own (data.source {settings.source})"
    elif own:
        gone = "" if Path(own[0]).exists() else ", and is not here to be looked at"
        reason = f"it was made with {Path(own[0]).name}, which may be your own{gone}"
    elif settings.source == "sample" and not settings.inventories:
        return Terms()
    else:
        named = {"sample": "the inventory", "medal": "MeDAL and ADAM", "pubmed": "PubMed and the inventories"}
        return Terms(words=f"the terms of {named[settings.source]} may not allow to pass it on")
    return Terms(weights=reason, words=reason)


def terms_of_run(run: Run) -> Terms:
    """As `terms_of`; weights that another run's were the beginning of are under that run's terms too."""
    terms, before = terms_of(run.recipe.data), run.record.get("parent")
    if before is None or terms.weights:
        return terms
    folder = dump_recipe(run.recipe)["model"].get("parent")
    if folder is None or not is_run(Path(folder)):
        reason: str | None = f"it goes on from {before['name']}, which is not here to be looked at"
        return Terms(weights=reason, words=reason)
    inherited = terms_of_run(open_run(Path(folder)))
    return Terms(weights=inherited.weights, words=terms.words or inherited.words)


def _inventories(settings: DataSettings) -> tuple[str, ...]:
    """The inventories that a run's senses come from, those that its corpus was prepared with among them."""
    if settings.inventories or settings.path is None:
        return settings.inventories
    if not is_corpus(Path(settings.path)):
        return () if Path(settings.path).exists() else (settings.path,)
    prepared = json.loads((Path(settings.path) / ACCOUNT).read_text(encoding="utf-8"))["settings"]
    return tuple(prepared.get("inventories") or [prepared["inventory"]] * ("inventory" in prepared))


def words_of(about: DataAbout, terms: Terms) -> str | None:
    """Why the tables of an evaluation may not go out unasked: what it was made on, and with which candidates."""
    embedded_notes = {str(path.resolve()) for path in clinical.NOTES.values()} | set(clinical.NOTES)
    file, inventory_file = about.get("file"), about.get("inventory_file")
    if file is not None and file not in embedded_notes:
        return f"{Path(file).name} is a file of your own"
    if inventory_file is not None:
        embedded = inventory_file in (str(sample.FILES[1].resolve()), sample.FILES[1].name)
        return None if embedded else f"{Path(inventory_file).name} is a file of your own"
    return terms.words
