"""Executes the notebook and writes it back with its outputs, but without traces of the machine that made them.

    python notebooks/run.py                  # as committed: the embedded model; its last cell prints how long it took
    python notebooks/run.py --out copy.ipynb

The variables of the notebook's first cell (MEDALIST_NOTEBOOK_BASE, _PASSAGES, _STEPS, _MENTIONS) set other sizes.
"""

from __future__ import annotations

import argparse
import getpass
import json
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from medalist.tools.files import replacing

NOTEBOOK = Path(__file__).resolve().parent / "medalist.ipynb"
PROGRESS = re.compile(r"[\w ,]+: ([\d,]+)/([\d,]+) in \d+ s")
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def executed(path: Path) -> nbformat.NotebookNode:
    """The notebook with the outputs of a run, in a kernel of this environment."""
    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=None, kernel_name="python3", resources=place, record_timing=False).execute()
    return notebook


def cleaned(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without warnings, progress on the way, kernel versions, and what an editor leaves in cells."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr" and not _on_the_way(o)]
    return notebook


def _on_the_way(output: nbformat.NotebookNode) -> bool:
    """Whether an output is a line of progress, such as "Training: 3/37 in 18 s", and not the last of its kind."""
    found = PROGRESS.match(output.get("data", {}).get("text/plain", ""))
    return bool(found and found[1] != found[2])


def traces(notebook: nbformat.NotebookNode) -> list[str]:
    """What outputs say of this machine: folders, and the user's name in a path."""
    mine = (str(NOTEBOOK.parent.parent), sys.prefix, str(Path.home()), tempfile.gettempdir(), f"/{getpass.getuser()}/")
    outputs = json.dumps([cell.get("outputs", []) for cell in notebook.cells])
    return [trace for trace in mine if trace in outputs]


def main() -> None:
    """Execute, clean, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=NOTEBOOK, help="default: the notebook itself")
    out = parser.parse_args().out.resolve()
    try:
        notebook = cleaned(executed(NOTEBOOK))
    except CellExecutionError as error:
        raise SystemExit(str(error)) from None
    if out == NOTEBOOK and (found := traces(notebook)):
        raise SystemExit(f"Outputs name folders of this machine: {', '.join(found)}. Change the cells, or use --out.")
    with replacing(out) as file:
        nbformat.write(notebook, file)
    print(out)


if __name__ == "__main__":
    main()
