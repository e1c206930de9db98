"""What `import medalist` offers: pinned, so that a name is never lost by accident."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import medalist
from medalist.models.base import ModelError
from medalist.runs.adaptation import PARENT_TEST


def test_the_public_names_are_these():
    assert medalist.__all__ == [
        "DoNotUse", "ExpandedText", "Expander", "Expansion", "HeldOut", "Inventory", "LoadedModel",
        "MedalSettings", "Mention", "Passage", "Plan", "PubmedSettings", "Question", "Recipe", "Run", "Sense",
        "TextSettings", "TokenTree", "build_tree", "check_claims", "check_privacy", "evaluate_base",
        "evaluate_reader", "evaluate_run", "export_gguf", "export_merged", "find_definitions", "further_recipe",
        "load_base", "load_recipe", "make_plan", "open_run", "prepare", "prepare_medal", "prepare_pubmed",
        "prepare_text", "publish", "pull", "read_passages", "train", "write_jsonl", "write_parquet",
        "write_report",
    ]  # fmt: skip


def test_every_public_name_imports_and_is_documented():
    for name in medalist.__all__:
        assert (getattr(medalist, name).__doc__ or "").strip(), name


def test_the_python_reference_shows_every_public_name_once():
    docs = Path(__file__).parent.parent / "docs"
    pages = "".join((docs / name).read_text(encoding="utf-8") for name in ("python.md", "recipes.md"))
    assert sorted(re.findall(r"^::: medalist\.(\w+)$", pages, re.MULTILINE)) == medalist.__all__


def test_a_public_name_is_never_the_module_of_that_name():
    """Were there a module medalist.prepare, importing it would set the package's attribute of that name to the
    module."""
    code = (
        "import medalist, medalist.runs.prepare; from medalist import prepare; print(callable(prepare), "
        "callable(medalist.prepare))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True True"


def test_importing_medalist_imports_nothing_heavy():
    code = "import sys, medalist; print(sorted({'torch', 'transformers', 'polars'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_files_and_folders_are_named_by_a_path_or_its_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    glossary = Path("glossary.csv")
    glossary.write_text("short_form,long_form\nRA,room air\nRA,right atrium\n")
    mention = medalist.Mention(start=3, end=5, short_form="RA", long_form="room air")
    passage = medalist.Passage(id="1", text="on RA", mentions=(mention,), source="mine")
    for name, write in (("a.jsonl", medalist.write_jsonl), ("a.parquet", medalist.write_parquet)):
        write([passage], name)
        assert medalist.read_passages(name, medalist.Inventory.read("glossary.csv")) == [passage]
    Path("mine.yaml").write_text("name: mine\n")
    assert medalist.load_recipe("mine.yaml") == medalist.load_recipe(Path("mine.yaml"))
    medalist.Inventory.read("glossary.csv").write("again.csv")
    assert medalist.Inventory.read("again.csv").senses == medalist.Inventory.read("glossary.csv").senses
    named = medalist.HeldOut(data="a.jsonl", inventory="glossary.csv")
    assert named == medalist.HeldOut(data=Path("a.jsonl"), inventory=glossary)
    assert medalist.HeldOut(data="parent-test").data is PARENT_TEST
    settings = medalist.TextSettings(inventory="glossary.csv", avoid=("nowhere.csv",))
    for call in (
        lambda: medalist.evaluate_reader("nowhere.csv", output="out"),
        lambda: medalist.evaluate_reader("a.jsonl", inventory="nowhere.csv"),
        lambda: medalist.evaluate_base("embedded", data="nowhere.csv", output="out"),
        lambda: medalist.prepare_medal(["nowhere.csv"], "out", medalist.MedalSettings(inventory="glossary.csv")),
        lambda: medalist.prepare_pubmed(["nowhere.csv"], "out", medalist.PubmedSettings(inventories=("glossary.csv",))),
        lambda: medalist.prepare_text(["a.jsonl"], "out", settings),
        lambda: medalist.make_plan(medalist.load_recipe("mine.yaml"), config="nowhere.csv"),
    ):
        with pytest.raises((FileNotFoundError, ModelError), match=r"nowhere\.csv does not exist"):
            call()
    with pytest.raises(FileNotFoundError, match="There is no folder nowhere"):
        medalist.open_run("nowhere")
