"""Medalist: fine-tune Llama-family models to read medical shorthand in context, and measure what was gained.

Names are imported when first used, so that `import medalist` is quick.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .claims import check_claims
    from .definitions import find_definitions
    from .expander import Expander, Expansion
    from .export import export_gguf, export_merged
    from .hub import publish
    from .inventory import Inventory, Sense
    from .medal_corpus import MedalSettings, prepare_medal
    from .model import load_base
    from .parents import further_recipe
    from .passages import Mention, Passage, read_passages, write_jsonl, write_parquet
    from .plan import Plan, make_plan
    from .prepare import prepare
    from .prompt import Question
    from .pubmed_corpus import PubmedSettings, prepare_pubmed
    from .pulling import pull
    from .recipe import Recipe, load_recipe
    from .report import write_report
    from .run_evaluation import evaluate_base, evaluate_run
    from .runs import open_run, train
    from .tree import TokenTree, build_tree

_HOME = {
    "Expander": "expander",
    "Expansion": "expander",
    "Inventory": "inventory",
    "MedalSettings": "medal_corpus",
    "Mention": "passages",
    "Passage": "passages",
    "Plan": "plan",
    "PubmedSettings": "pubmed_corpus",
    "Question": "prompt",
    "Recipe": "recipe",
    "Sense": "inventory",
    "TokenTree": "tree",
    "build_tree": "tree",
    "check_claims": "claims",
    "evaluate_base": "run_evaluation",
    "evaluate_run": "run_evaluation",
    "export_gguf": "export",
    "export_merged": "export",
    "find_definitions": "definitions",
    "further_recipe": "parents",
    "load_base": "model",
    "load_recipe": "recipe",
    "make_plan": "plan",
    "open_run": "runs",
    "prepare": "prepare",
    "prepare_medal": "medal_corpus",
    "prepare_pubmed": "pubmed_corpus",
    "publish": "hub",
    "pull": "pulling",
    "read_passages": "passages",
    "train": "runs",
    "write_jsonl": "passages",
    "write_parquet": "passages",
    "write_report": "report",
}

__version__ = "0.1.0"
__all__ = [
    "Expander",
    "Expansion",
    "Inventory",
    "MedalSettings",
    "Mention",
    "Passage",
    "Plan",
    "PubmedSettings",
    "Question",
    "Recipe",
    "Sense",
    "TokenTree",
    "build_tree",
    "check_claims",
    "evaluate_base",
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
    "publish",
    "pull",
    "read_passages",
    "train",
    "write_jsonl",
    "write_parquet",
    "write_report",
]


class _Package(ModuleType):
    """Keeps `medalist.prepare` the function: importing the module of that name would put the module in its place."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'medalist' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
