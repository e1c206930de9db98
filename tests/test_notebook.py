"""The notebook: executed from beginning to end on a tiny model, and what is committed of it.

The execution is marked slow; `.ci/run` asks for it.
"""

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

import medalist

FOLDER = Path(__file__).parent.parent / "notebooks"
COMMITTED = nbformat.read(FOLDER / "medalist.ipynb", as_version=4)
CODE = [cell.source for cell in COMMITTED.cells if cell.cell_type == "code"]


@pytest.fixture(autouse=True)
def beside_the_notebook(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.delitem(sys.modules, "run", raising=False)


@pytest.fixture(scope="module")
def executed(deep_model_folder, tmp_path_factory):
    """What `notebooks/run.py` leaves at the smallest size, with a tiny base that has a name and a licence."""
    folder = tmp_path_factory.mktemp("notebook")
    base = folder / "tiny-llama"
    shutil.copytree(deep_model_folder, base)
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    (base / "config.json").write_text(json.dumps(config | {"_name_or_path": "tests/tiny-llama"}), encoding="utf-8")
    (base / "README.md").write_text("---\nlicense: apache-2.0\n---\n", encoding="utf-8")
    sizes = {"BASE": str(base), "PASSAGES": "6", "STEPS": "2", "MENTIONS": "2"}
    environment = os.environ | {f"MEDALIST_NOTEBOOK_{name}": value for name, value in sizes.items()}
    out = folder / "out.ipynb"
    command = [sys.executable, str(FOLDER / "run.py"), "--out", str(out)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return nbformat.read(out, as_version=4)


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


@pytest.mark.slow
def test_every_cell_runs(executed):
    cells = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(CODE) + 1))
    assert not [output for output in outputs(executed) if output.output_type == "error"]
    assert [cell.source for cell in executed.cells] == [cell.source for cell in COMMITTED.cells]


@pytest.mark.slow
def test_every_figure_is_drawn_and_says_what_it_shows(executed):
    drawn = [cell for cell in executed.cells if any("image/png" in o.get("data", {}) for o in cell.get("outputs", []))]
    assert len(drawn) == sum("plt.subplots" in source for source in CODE) >= 6
    for cell in drawn:
        assert "title=" in cell.source and "xlabel=" in cell.source
    after = [executed.cells[executed.cells.index(cell) + 1] for cell in drawn]
    assert all("*How to read it*" in cell.source for cell in after)


@pytest.mark.slow
def test_the_run_is_published_and_comes_back_with_its_card(executed):
    told = "".join(output.text for output in outputs(executed) if output.output_type == "stream")
    assert "\x1b" not in told, "no moving bars, no colours"
    dry, sent, pulled = (told.index(f"$ medalist {command}") for command in DONE)
    assert "adapter_model.safetensors" in told[dry:sent]
    assert "as published" in told[pulled:]
    [card] = [o.data["text/markdown"] for o in outputs(executed) if "text/markdown" in o.get("data", {})]
    assert card.lstrip().startswith("#")
    assert "tests/tiny-llama" in card


DONE = (
    "publish runs/notebook --repo me/shorthand --dry-run",
    "publish runs/notebook --repo me/shorthand --yes\n",
    "pull me/",
)


def test_it_tells_the_whole_story_in_order():
    told = "\n".join(cell.source for cell in COMMITTED.cells if cell.cell_type == "markdown")
    assert re.findall(r"^## (\d)\. ", told, re.MULTILINE) == list("123456789")


def test_only_public_names_of_medalist_are_used():
    source = "\n".join(CODE)
    imported = re.findall(r"from (medalist\S*) import (.+)", source)
    assert imported and all(module == "medalist" for module, _ in imported)
    names = {name.strip() for _, listed in imported for name in listed.split(",")}
    names |= set(re.findall(r"\bmedalist\.(\w+)", source)) - {"__version__"}
    assert names <= set(medalist.__all__)


def test_what_is_committed_is_clean_small_and_of_one_whole_run_or_none():
    from run import cleaned, traces

    assert cleaned(copy.deepcopy(COMMITTED)) == COMMITTED, "run `python notebooks/run.py`"
    assert traces(COMMITTED) == []
    assert (FOLDER / "medalist.ipynb").stat().st_size < 1_000_000
    counts = [cell.execution_count for cell in COMMITTED.cells if cell.cell_type == "code"]
    assert counts in (list(range(1, len(CODE) + 1)), [None] * len(CODE))


def test_cleaning_drops_warnings_and_progress_and_keeps_results():
    from run import NOTEBOOK, cleaned, traces

    def shown(text):
        return nbformat.v4.new_output("display_data", data={"text/plain": text})

    said = nbformat.v4.new_output("stream", name="stderr", text="a warning")
    lines = [shown("Training: 3/37 in 18 s  loss 1.2"), shown("Training: 37/37 in 220 s"), said, shown("0.5")]
    cell = nbformat.v4.new_code_cell("1", outputs=lines, metadata={"execution": {"a": "time"}})
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"language_info": {"name": "python", "version": "3.99"}})
    found = cleaned(notebook).cells[0]
    assert [output.data["text/plain"] for output in found.outputs] == ["Training: 37/37 in 220 s", "0.5"]
    assert found.metadata == {}
    assert "3.99" not in str(notebook.metadata)
    assert traces(notebook) == []
    found.outputs.append(shown(f"saved to {NOTEBOOK.parent.parent}/runs"))
    assert str(NOTEBOOK.parent.parent) in traces(notebook)
