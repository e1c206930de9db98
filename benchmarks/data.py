"""Speed of preparing data: MeDAL's rows against polars and datasets, marking abstracts, PubMed XML against lxml.

Rows in MeDAL's format are made from the embedded sample corpus: 194 words each, 2.5 rows per abstract on average,
shuffled. Each side runs in its own process; memory is the highest sampled sum over its processes. Times are wall-clock
times.

    python benchmarks/data.py                    # 3,000,000 rows: about 10 minutes and 12 GB of disk on 2 cores
    python benchmarks/data.py --rows 100000      # a quick run

Result: Markdown on stdout; progress on stderr.
"""

from __future__ import annotations

import argparse
import gzip
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from common import count_option, progress, table, timed
from lxml import etree

from medalist.data.embedded import sample
from medalist.data.inventory import Inventory
from medalist.data.kinds import KindMaker
from medalist.data.rows import Quarantine
from medalist.data.sources.pubmed import Abstract, read_records
from medalist.data.substitution import Substituter
from pubmed_xml import write_pubmed_xml

SENTENCES = 10
"""Per text, each of about 19 words."""
MIB = 2**20
SIDES = {
    "polars, CSV to Parquet": """
import polars as pl, sys
pl.scan_csv(sys.argv[1]).sink_parquet(sys.argv[2] + "/polars.parquet")
""",
    "datasets, load_dataset('csv')": """
import datasets, sys
datasets.disable_progress_bars()
print(len(datasets.load_dataset("csv", data_files=sys.argv[1], cache_dir=sys.argv[2])["train"]))
""",
    "medalist prepare medal": """
import sys
from pathlib import Path
from medalist.corpora.medal import MedalSettings, prepare_medal
if __name__ == "__main__":
    out = Path(sys.argv[2]) / "corpus"
    settings = MedalSettings(inventory=Path(sys.argv[3]))
    account = prepare_medal([Path(sys.argv[1])], out, settings, workers=int(sys.argv[4]))
    print(sum(account["mentions"].values()), sum(account["passages"].values()), account["rows_quarantined"])
""",
}


def write_medal_rows(path: Path, inventory_path: Path, rows: int, *, seed: int = 0) -> None:
    """Write shuffled rows in MeDAL's format and the inventory that goes with them."""
    usual = sample.usual_short_forms()
    phrases = {sf: tuple(s for s in senses if " " in s.long_form) for sf, senses in usual.senses.items()}
    shorten = Substituter(Inventory(senses=phrases), mode="medal", probability=1.0, seed=seed)
    pool: list[
        tuple[str, int, int, str]
    ] = []  # a piece of text, its number of words, the position of its short form, the label
    for passage in map(shorten, sample.passages()):
        words = passage.text.split()
        for mention in passage.mentions:
            at = len(passage.text[: mention.start].split())
            begin = max(0, at - 9)
            piece = words[begin : begin + 19]
            if len(piece) == 19 and mention.long_form:
                pool.append((" ".join(piece), 19, at - begin, mention.long_form))
    inventory = Inventory.mined(map(shorten, sample.passages()), "made for the benchmark")
    inventory.write(inventory_path)
    draw = np.random.default_rng(seed)
    owners = np.repeat(np.arange(rows), draw.integers(1, 5, rows))[:rows]  # 1 to 4 rows per abstract
    places = np.concatenate([np.arange(n) for n in np.bincount(owners)])
    order = draw.permutation(len(owners))
    with path.open("w", encoding="utf-8") as file:
        file.write("ABSTRACT_ID,TEXT,LOCATION,LABEL\n")
        for number in order.tolist():
            owner, place = int(owners[number]), int(places[number])
            chosen = random.Random(owner).sample(pool, SENTENCES)
            text = " ".join(piece for piece, _, _, _ in chosen)
            location = sum(count for _, count, _, _ in chosen[:place]) + chosen[place][2]
            file.write(f"{owner},{text},{location},{chosen[place][3]}\n")


def watched(code: str, *arguments: object) -> tuple[float, float, str]:
    """Run code in a process: its seconds, peak memory with its children in MiB, and output."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "side.py"
        script.write_text(code, encoding="utf-8")
        began = time.monotonic()
        process = subprocess.Popen([sys.executable, script, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
        peak, stop = [0.0], threading.Event()

        def watch() -> None:
            while not stop.wait(0.1):
                try:
                    parent = psutil.Process(process.pid)
                    family = [parent, *parent.children(recursive=True)]
                    peak[0] = max(peak[0], sum(p.memory_full_info().uss for p in family) / MIB)
                except psutil.Error:
                    continue

        watcher = threading.Thread(target=watch)
        watcher.start()
        printed, _ = process.communicate()
        seconds = time.monotonic() - began
        stop.set()
        watcher.join()
    if process.returncode:
        raise SystemExit(f"a side failed with exit code {process.returncode}")
    return seconds, peak[0], printed.strip()


def medal_sides(folder: Path, rows: int, workers: int) -> str:
    """The first table: rows in MeDAL's format."""
    source, inventory = folder / "train.csv", folder / "senses.csv"
    progress(f"writing {rows:,} rows")
    seconds, _ = timed(lambda: write_medal_rows(source, inventory, rows))
    size = source.stat().st_size
    progress(f"{size / 1e9:.2f} GB in {seconds:.0f} s")
    results = {}
    for name, code in SIDES.items():
        out = folder / "out"
        out.mkdir()
        results[name] = watched(code, source, out, inventory, workers)
        progress(f"{name}: {results[name][0]:.1f} s, {results[name][1]:,.0f} MiB, {results[name][2]}")
        shutil.rmtree(out)
    own, _, printed = results["medalist prepare medal"]
    mentions, passages, bad = printed.split(maxsplit=2)
    if int(mentions) != rows or bad != "{}":
        raise SystemExit(f"only {mentions} of {rows:,} rows became mentions; quarantined: {bad}")
    source.unlink()
    header = ("", "seconds", "rows/s", "peak MiB", "Medalist's time / this time")
    lines = [
        (
            name,
            f"{taken:.1f}",
            f"{rows / taken:,.0f}",
            f"{peak:,.0f}",
            "" if name.startswith("medalist") else own / taken,
        )
        for name, (taken, peak, _) in results.items()
    ]
    return (
        f"## {rows:,} rows in MeDAL's format ({size / 1e9:.2f} GB)\n\n"
        f"Medalist uses {workers} processes, groups the rows into {int(passages):,} passages and checks all their "
        f"mentions; polars and `datasets` keep the rows as they are.\n\n" + table(header, lines)
    )


def marking(folder: Path) -> str:
    """The second table: abstracts per second."""
    texts = [passage.text for passage in sample.passages()]
    own = sample.inventory()
    draw = random.Random(0)
    words = sorted({word for text in texts for word in text.lower().split() if word.isalpha()})
    rows = [(key, s.long_form, 1, None) for key, senses in own.senses.items() for s in senses]
    rows += [(f"X{n}", " ".join(draw.sample(words, 3)), 1, None) for n in range(24_005 - len(rows))]
    maker = KindMaker(Inventory.of(rows), probability={"medal": 0.15, "substituted": 0.4}, seed=0)
    sections = [(text, " ".join(texts[n + 1 : n + 3])) for n, text in enumerate(texts[:-3])]
    lines = []
    for kind in ("medal", "substituted", "defined"):
        maker.make(kind, "warm", sections[0])
        taken = min(
            timed(lambda k=kind: [maker.make(k, str(n), s) for n, s in enumerate(sections)])[0] for _ in range(3)
        )
        lines.append(
            (kind, f"{len(sections) / taken:,.0f}", f"{np.mean([len(' '.join(s).split()) for s in sections]):.0f}")
        )
    return (
        "## Marking abstracts\n\nOne process, an inventory of MeDAL's size (24,005 senses). `medal` reads the "
        "first section, as "
        "published: a third of the words.\n\n" + table(("kind", "abstracts/s", "words per abstract"), lines)
    )


def xml(folder: Path) -> str:
    """The third table: PubMed XML."""
    path = folder / "pubmed.xml.gz"
    texts = [passage.text for passage in sample.passages()]
    abstracts = [tuple(texts[n : n + 3]) for n in range(0, len(texts) - 3, 3)]
    write_pubmed_xml(path, abstracts, copies=60)
    with gzip.open(path) as file:
        size = len(file.read())

    def bare() -> int:
        count = 0
        with gzip.open(path) as file:
            for _, element in etree.iterparse(file, tag="PubmedArticle"):
                count += 1
                element.clear()
                while element.getprevious() is not None:
                    del element.getparent()[0]
        return count

    def own() -> int:
        return sum(isinstance(record, Abstract) for record in read_records(path, Quarantine()))

    pairs = [(timed(bare), timed(own)) for _ in range(3)]
    if any(a[1] != b[1] for a, b in pairs):
        raise SystemExit("the two sides read different numbers of articles")
    one, two = min(a[0] for a, _ in pairs), min(b[0] for _, b in pairs)
    lines = [
        ("gzip and lxml's iterparse alone", f"{size / 1e6 / one:.0f}", ""),
        ("medalist, sections, year, PMID, deletions", f"{size / 1e6 / two:.0f}", two / one),
    ]
    return f"## PubMed XML\n\n{pairs[0][0][1]:,} articles, {size / 1e6:.0f} MB uncompressed, one process.\n\n" + table(
        ("", "MB/s", "Medalist's time / this time"), lines
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    count_option(parser, "--rows", 3_000_000, "rows in MeDAL's format")
    count_option(parser, "--workers", 2, "processes of Medalist")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        parts = [medal_sides(folder, chosen.rows, chosen.workers), marking(folder), xml(folder)]
    print("\n\n".join(parts))


if __name__ == "__main__":
    main()
