"""Precision, recall and F1 of the definitions that `find_definitions` finds, on marked abstracts.

    python benchmarks/definitions.py med1250.txt sh.xml             # both halves of each
    python benchmarks/definitions.py med1250.txt --half development # for trying changes; the other half is kept apart
    python benchmarks/definitions.py med1250.txt --environments DIR # beside pyab3p, in an environment of its own there

Files are as NLM publishes them: MED1250's text with "SF|LF" lines, or BioC XML. As in published figures, a pair counts
if short and long form are those of a marked pair but for case and white space. Every second document is in the
development half, on which what the finder weighs was set. Intervals are over documents (95 %).
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from common import machine, progress, table, timed
from lxml import etree
from spacy_peers import environment

from medalist.data.definitions import find_definitions

HALVES = ("development", "kept apart")
RESAMPLES = 2000
Pairs = frozenset[tuple[str, str]]


def folded(form: str) -> str:
    """Without differences of case and white space."""
    return " ".join(form.split()).casefold()


def documents(path: Path) -> list[list[tuple[str, Pairs]]]:
    """Per document, its texts and the pairs marked in each."""
    return list(_bioc(path) if path.suffix == ".xml" else _med1250(path))


def _med1250(path: Path) -> Iterator[list[tuple[str, Pairs]]]:
    for document in re.split(r"\n\s*\n(?=\d+\n)", path.read_text(encoding="utf-8").strip()):
        lines = document.split("\n")[1:]
        marks = [line.strip().split("|")[:2] for line in lines if line.startswith("  ") and "|" in line]
        text = "\n".join(line for line in lines if not line.startswith("  "))
        yield [(text, frozenset((folded(short), folded(long)) for short, long in marks))]


def _bioc(path: Path) -> Iterator[list[tuple[str, Pairs]]]:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    for document in etree.parse(path, parser).getroot().iter("document"):
        parts = []
        for passage in document.iter("passage"):
            surfaces = {mark.get("id"): mark.findtext("text") or "" for mark in passage.iter("annotation")}
            pairs = []
            for relation in passage.iter("relation"):
                roles = {
                    node.get("role", "").lower(): surfaces.get(node.get("refid"), "") for node in relation.iter("node")
                }
                short = next((surface for role, surface in roles.items() if "short" in role), "")
                long = next((surface for role, surface in roles.items() if "long" in role), "")
                if short and long:
                    pairs.append((folded(short), folded(long)))
            parts.append((passage.findtext("text") or "", frozenset(pairs)))
        yield parts


def found(text: str) -> Pairs:
    """The pairs that are found in a text."""
    return frozenset((folded(one.short_form), folded(one.long_form)) for one in find_definitions(text))


Finder = Callable[[list[list[str]]], tuple[float, list[list[Pairs]]]]
"""Texts of documents -> seconds, and the pairs in each."""


def ours(documents: list[list[str]]) -> tuple[float, list[list[Pairs]]]:
    """What `find_definitions` finds."""
    return timed(lambda: [[found(text) for text in texts] for texts in documents])


_PEER = """
import json, sys, time
from pyab3p import Ab3p
finder, documents = Ab3p(), json.load(sys.stdin)
began = time.perf_counter()
pairs = [[[(one.short_form, one.long_form) for one in finder.get_abbrs(t)] for t in texts] for texts in documents]
json.dump([time.perf_counter() - began, pairs], sys.stdout)
"""


def peer(python: Path) -> Finder:
    """What pyab3p finds, run by the Python of its environment."""

    def finder(documents: list[list[str]]) -> tuple[float, list[list[Pairs]]]:
        done = subprocess.run(
            [python, "-c", _PEER], input=json.dumps(documents), capture_output=True, text=True, check=True
        )
        seconds, answers = json.loads(done.stdout)
        return seconds, [
            [frozenset((folded(short), folded(long)) for short, long in pairs) for pairs in texts] for texts in answers
        ]

    return finder


def row(name: str, chosen: list[list[tuple[str, Pairs]]], finder: Finder) -> list[str]:
    """Counts and shares of some documents."""
    seconds, answers = finder([[text for text, _ in parts] for parts in chosen])
    counts = np.array(
        [
            [
                sum(len(pairs & gold) for pairs, (_, gold) in zip(mine, parts, strict=True)),
                sum(map(len, mine)),
                sum(len(gold) for _, gold in parts),
            ]
            for mine, parts in zip(answers, chosen, strict=True)
        ],
        dtype=float,
    )
    draws = np.random.default_rng(0).integers(0, len(counts), (RESAMPLES, len(counts)))
    sums = np.concatenate([counts.sum(axis=0)[None], counts[draws].sum(axis=1)])
    right, offered, marked = sums.T
    shares = {"precision": right / offered, "recall": right / marked, "F1": 2 * right / (offered + marked)}
    cells = [
        f"{100 * all_[0]:.1f} ({100 * np.quantile(all_[1:], 0.025):.1f}-{100 * np.quantile(all_[1:], 0.975):.1f})"
        for all_ in shares.values()
    ]
    return [name, f"{len(chosen):,}", f"{int(marked[0]):,}", *cells, f"{len(chosen) / seconds:,.0f}"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument(
        "--half", choices=HALVES, action="append", help="only this half; may be repeated (default: both)"
    )
    parser.add_argument("--environments", type=Path, help="folder for pyab3p's environment; without it, medalist alone")
    options = parser.parse_args()
    finders: dict[str, Finder] = {"medalist": ours}
    if options.environments:
        finders["pyab3p"] = peer(environment(options.environments, "pyab3p"))
    rows = []
    for path in options.files:
        progress(path.name)
        all_documents = documents(path)
        parts = {half: all_documents[HALVES.index(half) :: 2] for half in options.half or HALVES}
        if not options.half:
            parts["all"] = all_documents
        for part, chosen in parts.items():
            rows += [row(f"{path.stem}, {part}, {name}", chosen, finder) for name, finder in finders.items()]
    print(f"## Definitions\n\n{machine()}\n")
    print(table(["", "abstracts", "pairs", "precision", "recall", "F1", "abstracts/s"], rows))


if __name__ == "__main__":
    main()
