"""What each kind of training text teaches, with equal training and four test sets.

Not part of `make bench`, as it needs your own data.

One corpus is made from ABSTRACTS. The same base is tuned on each of its kinds `medal`, `substituted` and `defined` and
on a mix, each on as many passages as fit into the same budget of tree tokens, so training time is equal. The base and
all tuned models answer the same questions from (a) MeDAL's rows, (b) held-out `defined` passages, (c) every n-th
sentence of GLADIS, (d) the embedded passages.

    python benchmarks/kinds.py train mix DATA     # one or more kinds, or the mix
    python benchmarks/kinds.py score base mix DATA
    python benchmarks/kinds.py table DATA         # of the scores so far

where DATA is --abstracts ABSTRACTS.jsonl.gz --medal-inventory valid_adam.txt --inventory adam_database.gz --medal
test.csv --gladis train.json.gz.

Everything goes to `kinds/` in the working directory. Result: Markdown on stdout; progress on stderr.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from common import BASE, count_option, progress, table, timed

from medalist.cli.tables import share_text
from medalist.corpora.pubmed import PubmedSettings, prepare_pubmed
from medalist.data.inventory import Inventory
from medalist.data.items import make_items
from medalist.data.passages import Passage
from medalist.evaluation.predictions import read_scores, score_texts, write_predictions
from medalist.evaluation.short_forms import Knowledge, summarise
from medalist.models.load import load_base
from medalist.recipe import Recipe, parse_recipe
from medalist.runs.held_out import read_marked
from medalist.runs.prepare import prepare
from medalist.runs.run import load_tuned, open_run
from medalist.runs.train import train
from medalist.trees.prompt import Encoder, sampled_candidates

FOLDER = Path("kinds")
CORPUS = FOLDER / "corpus"
SHARES = {
    "medal": {"medal": 1},
    "substituted": {"substituted": 1},
    "defined": {"defined": 1},
    "mix": {"medal": 1, "substituted": 1, "defined": 2},
}
EVERY = 15
"""One in this many of GLADIS's sentences is used."""
DEFINED = 80
"""Number of held-out `defined` passages."""


def corpus(abstracts: Path, inventories: list[Path]) -> None:
    """Make the corpus unless it exists."""
    if not CORPUS.exists():
        settings = PubmedSettings(
            inventories=tuple(inventories),
            probability={"medal": 0.3, "substituted": 0.4},
            all_sections=True,
            validation=0.02,
            test=0.15,
        )
        prepare_pubmed([abstracts], CORPUS, settings)


def recipe(name: str, limit: int | None = None) -> Recipe:
    """The recipe for a kind, with the training settings of `recipes/smollm2-135m-medal.yaml`."""
    values = {
        "name": name,
        "output": str(FOLDER / "runs"),
        "model": {"base": BASE},
        "data": {
            "source": "pubmed",
            "path": str(CORPUS),
            "kinds": {"shares": SHARES[name]},
            "substitution": {"distractors": 0.25},
            "limit": limit,
            "limit_validation": 8,
            "limit_test": 8,
        },
        "training": {
            "upper_layers": 15,
            "learning_rate": 1e-3,
            "candidates": 12,
            "passages_per_step": 4,
            "evaluate_every": 1000,
        },
    }
    return parse_recipe(values)


def within(name: str, budget: int) -> int:
    """How many training passages fit into a budget of tree tokens."""
    settings = recipe(name)
    data, base = prepare(settings), load_base(BASE)
    encoder = Encoder(base.tokenizer, settings.prompt, max_depth=base.max_depth)
    choose = sampled_candidates(settings.training.candidates, seed=settings.seed, epoch=0)
    used = count = 0
    for passage in data.passages("train"):
        used += sum(len(layout.tree.token_ids) for layout in encoder.encode(passage, data.inventory, choose))
        if used > budget:
            break
        count += 1
    return count


def test_sets(medal: Path, gladis: Path, medal_inventory: Path) -> dict[str, tuple[list[Passage], Inventory]]:
    """The four sets with their inventories; the candidates for GLADIS include its own pairs."""
    listed = Inventory.read(CORPUS / "inventory.csv")
    published = Inventory.read(medal_inventory)
    every, _ = read_marked(gladis, whole := Inventory.merged([listed, Inventory.read(gladis)]))
    sample = prepare(parse_recipe({"output": str(FOLDER / "runs"), "data": {"validation": 0.04, "test": 0.25}}))
    return {
        "a: MeDAL's rows": (read_marked(medal, published)[0], published),
        "b: held-out defined": (read_marked(CORPUS / "defined", listed, DEFINED)[0], listed),
        "c: GLADIS": (every[::EVERY], whole),
        "d: embedded passages": (sample.passages("test"), sample.inventory),
    }


def score(name: str, sets: dict[str, tuple[list[Passage], Inventory]]) -> None:
    """Score one model on all sets and save the scores for the table."""
    loaded = load_base(BASE) if name == "base" else load_tuned(open_run(FOLDER / "runs" / name))
    for label, (passages, senses) in sets.items():
        seconds, (scores, _) = timed(
            lambda p=passages, s=senses, n=label: score_texts(loaded, p, s, Recipe().prompt, max_nodes=4096, label=n)
        )
        path = _scores(label, name) / "predictions.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_predictions(passages, senses, {name: scores}, path)
        progress(f"{name}, {label}: {seconds:.0f} s")


def _scores(label: str, name: str) -> Path:
    return FOLDER / "scores" / label[0] / name


def page(sets: dict[str, tuple[list[Passage], Inventory]]) -> str:
    """Tables of the scores so far and of the training runs."""
    names = [name for name in ("base", *SHARES) if all(_scores(label, name).exists() for label in sets)]
    lines = []
    for label, (passages, senses) in sets.items():
        items = make_items(passages, senses)
        scores = {name: read_scores(_scores(label, name))[name] for name in names}
        found = summarise(items, scores, senses, Knowledge(trained=None, train=None), resamples=2000)
        listed = sum(item.kind in ("choice", "single") for item in items)
        offered = np.mean([len(item.candidates) for item in items if item.kind == "choice"])
        for part in ("all", "no leak"):
            cells = found["slices"].get(part)
            if cells is None or (part == "no leak" and cells["count"] == found["slices"]["all"]["count"]):
                continue
            baseline = max(found["baselines"], key=lambda b: cells[b]["value"])
            lines.append(
                (
                    label if part == "all" else f"{label[0]}, no leak",
                    cells["count"],
                    f"{100 * listed / len(items):.1f}",
                    f"{offered:.1f}",
                    *(share_text(cells[name]) for name in names),
                    f"{share_text(cells[baseline])}, {baseline}",
                )
            )
    trained = []
    for name in names:
        if name != "base":
            run = open_run(FOLDER / "runs" / name)
            counts = run.record["training"]
            trained.append((name, counts["passages"], counts["mentions"], counts["steps"]))
    header = ("set", "n", "gold listed, %", "candidates", *names, "strongest baseline")
    return "\n\n".join([table(header, lines), table(("trained on", "passages", "short forms", "steps"), trained)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["train", "score", "table"])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(SHARES)}; score also takes base")
    parser.add_argument("--abstracts", type=Path, required=True, help="PubMed abstracts, JSON Lines or XML")
    parser.add_argument("--medal-inventory", type=Path, required=True, help="MeDAL's valid_adam.txt")
    parser.add_argument("--inventory", type=Path, required=True, help="a larger inventory, such as adam_database.gz")
    parser.add_argument("--medal", type=Path, required=True, help="MeDAL's rows to score on")
    parser.add_argument("--gladis", type=Path, required=True, help="GLADIS's sentences")
    count_option(parser, "--tokens", 150_000, "training budget, in tree tokens")
    chosen = parser.parse_args()
    corpus(chosen.abstracts, [chosen.medal_inventory, chosen.inventory])
    if chosen.verb == "train":
        for name in chosen.names:
            limit = within(name, chosen.tokens)
            progress(f"{name}: {limit} passages")
            seconds, _ = timed(lambda n=name, k=limit: train(recipe(n, k)))
            progress(f"{name}: {seconds:.0f} s")
        return
    sets = test_sets(chosen.medal, chosen.gladis, chosen.medal_inventory)
    for name in chosen.names if chosen.verb == "score" else ():
        score(name, sets)
    if chosen.verb == "table":
        print(page(sets))


if __name__ == "__main__":
    main()
