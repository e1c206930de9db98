"""The spaCy component beside scispaCy's AbbreviationDetector and medspaCy, each in an environment of its own.

Definitions: pairs of short and long form that abstracts define, for files in MED1250's form (an abstract, then lines
`  SF|LF`, then an empty line) or in BioC XML. Clinical notes: how many of the mentions that stand for something (the
development half of the embedded notes) get the right long form. MedspaCy has no detector; its target matcher gets a
rule for each short form of the reader's inventory, with the first listed sense: what a dictionary alone can do.

    python benchmarks/spacy_peers.py --environments DIR --definitions med1250.txt schwartz_hearst.xml

DIR keeps the peers' environments, which are made with pip if they are not there yet. Result: Markdown on stdout;
progress on stderr.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import venv
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import spacy
from common import count_option, machine, progress, table, timed
from lxml import etree

from medalist.data.definitions import find_definitions
from medalist.data.embedded import reader
from medalist.data.embedded.clinical import NOTES
from medalist.data.spelling import equivalence_key

Pairs = set[tuple[str, str]]
PEERS = {
    # scispacy's other dependencies compile nmslib, which the detector does not need
    "scispacy": [["spacy==3.8.18"], ["--no-deps", "scispacy==0.6.2"]],
    "medspacy": [["medspacy==1.3.1"]],
    "pyab3p": [["pyab3p==0.1.1"]],
}
_SIDE = """
import json, sys, time
import spacy
given = json.load(sys.stdin)
nlp = spacy.blank("en")
if given["peer"] == "scispacy":
    from scispacy.abbreviation import AbbreviationDetector
    nlp.add_pipe("abbreviation_detector")
    found = lambda doc: [(s.start_char, s.text, s._.long_form.text) for s in doc._.abbreviations]
else:
    import medspacy
    from medspacy.target_matcher import TargetRule
    matcher = nlp.add_pipe("medspacy_target_matcher")
    matcher.add([TargetRule(short, long) for short, long in given["rules"]])
    found = lambda doc: [(e.start_char, e.text, e.label_) for e in doc.ents]
began = time.perf_counter()
docs = [nlp(text) for text in given["texts"]]
seconds = time.perf_counter() - began
try:
    max(docs, key=lambda doc: len(found(doc))).to_bytes()
    stored = "yes"
except Exception as error:
    stored = type(error).__name__
json.dump({"seconds": seconds, "found": [found(doc) for doc in docs], "stored": stored, "spacy": spacy.__version__},
          sys.stdout)
"""
"""What runs in a peer's environment: texts on standard input, start, short form and long form of each on output."""


def environment(folder: Path, peer: str) -> Path:
    """The Python of a peer's environment, which is made if need be."""
    python = folder.absolute() / peer / "bin/python"
    if not python.exists():
        progress(f"making {folder / peer}")
        venv.create(folder / peer, with_pip=True)
        for packages in PEERS[peer]:
            subprocess.run([python, "-m", "pip", "install", "-q", *packages], check=True)
    return python


def side(python: Path, peer: str, texts: list[str], rules: list[tuple[str, str]]) -> dict[str, object]:
    """What a peer finds in texts."""
    given = json.dumps({"peer": peer, "texts": texts, "rules": rules})
    done = subprocess.run([python, "-W", "ignore", "-c", _SIDE], input=given, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{peer}: {done.stderr.splitlines()[-1]}")
    result: dict[str, object] = json.loads(done.stdout)
    return result


def folded(text: str) -> str:
    """Case and white space do not count."""
    return " ".join(text.split()).casefold()


def definitions(path: Path) -> Iterator[tuple[str, Pairs]]:
    """Texts and the pairs that they define."""
    if path.suffix == ".xml":
        for passage in etree.parse(path).iter("passage"):
            names = {one.get("id"): one.findtext("text", "") for one in passage.iter("annotation")}
            pairs = set()
            for relation in passage.iter("relation"):
                roles = {node.get("role"): names[node.get("refid")] for node in relation.iter("node")}
                pairs.add((folded(roles["ShortForm"]), folded(roles["LongForm"])))
            yield passage.findtext("text", ""), pairs
    else:
        for block in re.split(r"\n\s*\n(?=\d+\n)", path.read_text(encoding="utf-8").strip()):
            lines = block.split("\n")[1:]
            marked = [line.split("|") for line in lines if line.startswith("  ") and "|" in line]
            text = "\n".join(line for line in lines if not line.startswith("  "))
            yield text, {(folded(short), folded(long)) for short, long, *_ in marked}


def scores(found: list[Pairs], gold: list[Pairs]) -> list[object]:
    """Precision, recall and F1, per cent."""
    right = sum(len(one & true) for one, true in zip(found, gold, strict=True))
    precision, recall = right / sum(map(len, found)), right / sum(map(len, gold))
    return [f"{100 * value:.1f}" for value in (precision, recall, 2 * precision * recall / (precision + recall))]


def definitions_table(path: Path, python: Path) -> str:
    """Medalist's definitions, on which the component's `long_form` rests, beside scispaCy's."""
    pairs = list(definitions(path))
    texts, gold = [text for text, _ in pairs], [true for _, true in pairs]
    theirs = side(python, "scispacy", texts, [])
    found = [{(folded(short), folded(long)) for _, short, long in one} for one in theirs["found"]]  # type: ignore[attr-defined]
    rows = [["scispaCy", sum(map(len, found)), *scores(found, gold), float(str(theirs["seconds"]))]]
    blank = spacy.blank("en")
    seconds, all_ = timed(lambda: [find_definitions(blank(text).text) for text in texts])
    found = [{(folded(one.short_form), folded(one.long_form)) for one in each} for each in all_]
    rows.append(["Medalist", sum(map(len, found)), *scores(found, gold), seconds])
    head = ["", "pairs found", "precision", "recall", "F1", "seconds"]
    return (
        f"{path.stem}: {len(texts):,} texts, {sum(map(len, gold)):,} pairs.\n\n{table(head, rows)}\n\n"
        f"A document with scispaCy's spans can be stored: {theirs['stored']}\n"
    )


def notes_table(environments: Path, count: int) -> str:
    """What each says about mentions in clinical notes."""
    with NOTES["clinical-development"].open(encoding="utf-8") as file:
        notes = [json.loads(line) for line in file][:count]
    texts, wordings = [note["text"] for note in notes], reader.equivalents()
    gold = [
        {one["start"]: one["long_form"] for one in note["mentions"] if one["long_form"] not in (None, "none of these")}
        for note in notes
    ]
    listed = reader.inventory()
    rules = [(short, senses[0].long_form) for short, senses in listed.senses.items()]

    def row(name: str, found: list[list[tuple[int, str]]], seconds: float) -> list[object]:
        said = sum(map(len, found))
        right = sum(
            equivalence_key(long) in {equivalence_key(name) for name in (sense, wordings.get(sense, sense))}
            for each, true in zip(found, gold, strict=True)
            for start, long in each
            if (sense := true.get(start)) is not None
        )
        return [name, said, right, f"{100 * right / sum(map(len, gold)):.1f}", seconds]

    rows = []
    for peer, label in (("scispacy", "scispaCy"), ("medspacy", "medspaCy's matcher, first listed sense")):
        theirs = side(environment(environments, peer), peer, texts, rules if peer == "medspacy" else [])
        found = [[(start, long) for start, _, long in each] for each in theirs["found"]]  # type: ignore[attr-defined]
        rows.append(row(label, found, float(str(theirs["seconds"]))))
    nlp = spacy.blank("en")
    nlp.add_pipe("medalist")
    nlp("RA")  # loads the model
    seconds, docs = timed(lambda: list(nlp.pipe(texts)))
    # a token that holds two short forms lists both for each of its spans
    answers = [{one["start"]: one for span in doc._.abbreviations for one in span._.medalist}.values() for doc in docs]
    for label, kept in (("Medalist", "long_form"), ("Medalist, sure answers", "sure")):
        found = [[(one["start"], one["long_form"]) for one in each if one[kept]] for each in answers]
        rows.append(row(label, found, seconds))
    return f"{len(texts)} clinical notes, {sum(map(len, gold)):,} mentions that stand for something.\n\n" + table(
        ["", "long forms given", "right", "% of the mentions", "seconds"], rows
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environments", type=Path, required=True, help="folder for the peers' environments")
    parser.add_argument("--definitions", type=Path, nargs="*", default=[], help="files of abstracts")
    count_option(parser, "--notes", 52, "how many clinical notes")
    options = parser.parse_args()
    versions = [packages[-1] for peer, steps in PEERS.items() if peer != "pyab3p" for packages in steps]
    print(f"## spaCy components\n\n{machine()}, spaCy {version('spacy')}; {', '.join(versions)}\n")
    for path in options.definitions:
        print(definitions_table(path, environment(options.environments, "scispacy")), flush=True)
    print(notes_table(options.environments, options.notes))


if __name__ == "__main__":
    main()
