"""Medalist: fine-tune Llama-family models to read medical shorthand in context, and measure what was gained.

Names are imported on first use, so that `import medalist` is fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .corpora.medal import MedalSettings, prepare_medal
    from .corpora.pubmed import PubmedSettings, prepare_pubmed
    from .corpora.text_corpus import TextSettings, prepare_text
    from .data.definitions import find_definitions
    from .data.inventory import Inventory, Sense
    from .data.passage_files import read_passages, write_jsonl, write_parquet
    from .data.passages import Mention, Passage
    from .expansion.expander import Expander
    from .expansion.results import DoNotUse, ExpandedText, Expansion
    from .models.load import LoadedModel, load_base
    from .planning.plan import make_plan
    from .planning.result import Plan
    from .recipe import Recipe, load_recipe
    from .runs.claims import check_claims
    from .runs.evaluate import evaluate_base, evaluate_run
    from .runs.held_out import HeldOut
    from .runs.parents import further_recipe
    from .runs.prepare import prepare
    from .runs.privacy import check_privacy
    from .runs.reader import evaluate_reader
    from .runs.report import write_report
    from .runs.run import Run, open_run
    from .runs.train import train
    from .sharing.export import export_gguf, export_merged
    from .sharing.publish import publish
    from .sharing.pull import pull
    from .trees.prompt import Question
    from .trees.tree import TokenTree, build_tree

_HOME = {
    "DoNotUse": "expansion.results",
    "ExpandedText": "expansion.results",
    "Expander": "expansion.expander",
    "Expansion": "expansion.results",
    "HeldOut": "runs.held_out",
    "Inventory": "data.inventory",
    "LoadedModel": "models.load",
    "MedalSettings": "corpora.medal",
    "Mention": "data.passages",
    "Passage": "data.passages",
    "Plan": "planning.result",
    "PubmedSettings": "corpora.pubmed",
    "Question": "trees.prompt",
    "Recipe": "recipe",
    "Run": "runs.run",
    "Sense": "data.inventory",
    "TextSettings": "corpora.text_corpus",
    "TokenTree": "trees.tree",
    "build_tree": "trees.tree",
    "check_claims": "runs.claims",
    "check_privacy": "runs.privacy",
    "evaluate_base": "runs.evaluate",
    "evaluate_reader": "runs.reader",
    "evaluate_run": "runs.evaluate",
    "export_gguf": "sharing.export",
    "export_merged": "sharing.export",
    "find_definitions": "data.definitions",
    "further_recipe": "runs.parents",
    "load_base": "models.load",
    "load_recipe": "recipe",
    "make_plan": "planning.plan",
    "open_run": "runs.run",
    "prepare": "runs.prepare",
    "prepare_medal": "corpora.medal",
    "prepare_pubmed": "corpora.pubmed",
    "prepare_text": "corpora.text_corpus",
    "publish": "sharing.publish",
    "pull": "sharing.pull",
    "read_passages": "data.passage_files",
    "train": "runs.train",
    "write_jsonl": "data.passage_files",
    "write_parquet": "data.passage_files",
    "write_report": "runs.report",
}

__version__ = "0.1.0"
__all__ = [
    "DoNotUse",
    "ExpandedText",
    "Expander",
    "Expansion",
    "HeldOut",
    "Inventory",
    "LoadedModel",
    "MedalSettings",
    "Mention",
    "Passage",
    "Plan",
    "PubmedSettings",
    "Question",
    "Recipe",
    "Run",
    "Sense",
    "TextSettings",
    "TokenTree",
    "build_tree",
    "check_claims",
    "check_privacy",
    "evaluate_base",
    "evaluate_reader",
    "evaluate_run",
    "export_gguf",
    "export_merged",
    "find_definitions",
    "further_recipe",
    "load_base",
    "load_recipe",
    "make_plan",
    "open_run",
    "prepare",
    "prepare_medal",
    "prepare_pubmed",
    "prepare_text",
    "publish",
    "pull",
    "read_passages",
    "train",
    "write_jsonl",
    "write_parquet",
    "write_report",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'medalist' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
