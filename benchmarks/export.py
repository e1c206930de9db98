"""How llama.cpp ranks candidates with an exported model, compared with transformers on the same token trees.

The model is merged once and written as GGUF files with 16-, 8- and about 5-bit weights. transformers scores the merged
weights in fp32; llama.cpp scores each file, as `Expander.load("model.gguf")` does, in a process of its own. Its
tokenizer must give the run's ids, and a small tree the scores of separate sequences, or it refuses the file. Needs
`medalist[gguf]`.

    python benchmarks/export.py                                  # the reader, 50 mentions of the clinical notes
    python benchmarks/export.py --run runs/demo --mentions 3 --types q8_0
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import psutil
import torch
from common import count_option, machine, progress, table, timed

from medalist.data.embedded import reader
from medalist.data.embedded.clinical import NOTES
from medalist.data.inventory import Inventory
from medalist.data.items import Item, make_items
from medalist.data.passage_files import read_passages
from medalist.data.passages import Passage
from medalist.evaluation.metrics import Floats
from medalist.models.base import EMBEDDED, find_base
from medalist.models.llama_cpp import LlamaCpp
from medalist.models.load import load_base
from medalist.runs.held_out import HeldOut, held_out
from medalist.runs.run import open_run
from medalist.sharing.export import gguf_metadata, merge_run
from medalist.sharing.gguf import convert, quantize
from medalist.sharing.merging import write_merged
from medalist.trees.prompt import Encoder, PromptSettings

TYPES = ("f16", "q8_0", "q4_k_m")
MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Task:
    """What both engines do."""

    name: str
    passages: Sequence[Passage]
    """With the mentions that are asked about."""
    inventory: Inventory
    prompt: PromptSettings
    threads: int


@dataclass(frozen=True, kw_only=True)
class Done:
    """What one engine did."""

    scores: Sequence[Floats]
    """Of each mention, in order."""
    seconds: float
    """To encode and score; loading is not counted."""
    memory: float
    """MiB at the peak, beyond what the process had before the model was loaded."""
    tree_error: float


def main() -> None:
    arguments = parse()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        task, items, metadata = prepare(arguments, folder / "merged")
        torch.set_num_threads(arguments.threads)
        progress(f"transformers: {len(items)} mentions")
        reference = alone(task, folder / "merged", folder / "merged")
        rows = [row("transformers, fp32", folder / "merged", reference, reference, items)]
        convert(folder / "merged", folder / "f16.gguf", metadata)
        for kind in arguments.types:
            path = folder / f"{kind}.gguf"
            if kind != "f16":
                quantize(folder / "f16.gguf", path, kind)
            found = alone(task, folder / "merged", path)
            progress(f"llama.cpp, {kind}: a small tree differs by {found.tree_error:.2g} nats from separate sequences")
            rows.append(row(f"llama.cpp, {kind}", path, found, reference, items))
    asked = f"{len(items)} mentions of {len(task.passages)} texts, {task.name}"
    print(f"## Exported to GGUF\n\n{machine()}. {asked}.\n")
    header = [
        "",
        "file, MB",
        "accuracy, %",
        "same answer, %",
        "same ranking, %",
        "mean difference of a log-probability",
    ]
    print(table([*header, "largest", "largest gap turned round", "s", "mentions/s", "memory, MiB"], rows))


def prepare(arguments: argparse.Namespace, merged: Path) -> tuple[Task, list[Item], dict[str, object]]:
    """Write the merged weights, and choose the mentions: the first that have a gold among several candidates."""
    if arguments.run is None:
        write_merged(find_base(EMBEDDED)[0], reader.ADAPTER, merged, dtype="float16")
        inventory, prompt = reader.inventory(), PromptSettings(window=reader.WINDOW, max_nodes=reader.MAX_NODES)
        passages = read_passages(arguments.data or NOTES["clinical-development"], inventory)
        name, metadata = "the reader", dict[str, object]({"general.name": "reader"})
    else:
        run = open_run(arguments.run)
        merge_run(run, merged, dtype="float16")
        held = held_out(run, HeldOut(data=arguments.data, inventory=arguments.inventory))
        passages, inventory, prompt = held.passages, held.inventory, run.recipe.prompt
        name, metadata = run.folder.name, gguf_metadata(run)
    items = [item for item in make_items(passages, inventory) if item.kind == "choice"][: arguments.mentions]
    asked: dict[str, Passage] = {}
    for item in items:
        mentions = asked[item.passage.id].mentions if item.passage.id in asked else ()
        asked[item.passage.id] = replace(item.passage, mentions=(*mentions, item.mention))
    task = Task(name=name, passages=list(asked.values()), inventory=inventory, prompt=prompt, threads=arguments.threads)
    return task, items, metadata


def alone(task: Task, merged: Path, weights: Path) -> Done:
    """Score in a new process, so that its memory is the engine's own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(score, task, merged, weights).result()


def score(task: Task, merged: Path, weights: Path) -> Done:
    """Score all mentions with a GGUF file, or with a merged folder in transformers."""
    from transformers import AutoModelForCausalLM, AutoTokenizer  # before the model's memory is measured

    assert AutoModelForCausalLM is not None
    torch.set_num_threads(task.threads)
    tokenizer = AutoTokenizer.from_pretrained(merged)
    before = psutil.Process().memory_info().rss
    room = max(task.prompt.max_nodes, task.prompt.window + 256)
    loaded = (
        load_base(str(merged), dtype="float32") if weights.is_dir() else LlamaCpp(weights, tokenizer, max_nodes=room)
    )
    encoder = Encoder(tokenizer, task.prompt, max_depth=min(loaded.max_depth, room))

    def scores() -> dict[tuple[str, int], Floats]:
        layouts = (layout for passage in task.passages for layout in encoder.encode(passage, task.inventory))
        return {
            (layout.text_id, mention): one.double().numpy()
            for layout, all_ in loaded.score(layouts, max_nodes=4096)
            for mention, one in zip(layout.mentions, all_, strict=True)
        }

    seconds, found = timed(scores)
    asked = [(passage.id, number) for passage in task.passages for number in range(len(passage.mentions))]
    if found.keys() < set(asked):
        raise SystemExit("A mention does not fit the model's window: use other --data")
    peak = 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
    return Done(
        scores=[found[one] for one in asked],
        seconds=seconds,
        memory=(peak - before) / MIB,
        tree_error=loaded.tree_error,
    )


def row(name: str, weights: Path, done: Done, reference: Done, items: Sequence[Item]) -> list[object]:
    """A row of the table: accuracy, agreement with the reference, cost."""
    pairs = list(zip(reference.scores, done.scores, strict=True))
    right = [int(scores[:-1].argmax()) == item.gold for scores, item in zip(done.scores, items, strict=True)]
    answer = [int(a[:-1].argmax()) == int(b[:-1].argmax()) for a, b in pairs]
    ranking = [list(np.argsort(-a, kind="stable")) == list(np.argsort(-b, kind="stable")) for a, b in pairs]
    differ = np.concatenate([abs(a - b) for a, b in pairs])
    # of two candidates in another order, how much better the reference finds the one that is now behind
    swapped = [(a[:, None] - a)[(b[:, None] < b) & (a[:, None] > a)].max(initial=0.0) for a, b in pairs]
    files = weights.glob("*.safetensors") if weights.is_dir() else [weights]
    return [
        name,
        sum(file.stat().st_size for file in files) / 1e6,
        *(100 * float(np.mean(shares)) for shares in (right, answer, ranking)),
        float(differ.mean()),
        float(differ.max()),
        float(max(swapped)),
        done.seconds,
        len(items) / done.seconds,
        done.memory,
    ]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a trained run's folder (default: the reader)")
    parser.add_argument("--data", type=Path, help="marked passages (default: clinical notes, or the run's test split)")
    parser.add_argument("--inventory", type=Path, help="sense inventory (default: the run's)")
    count_option(parser, "--mentions", 50, "mentions to rank")
    count_option(parser, "--threads", 2, "threads of both engines")
    parser.add_argument("--types", nargs="+", choices=TYPES, default=TYPES, help="GGUF files to make")
    return parser.parse_args()


if __name__ == "__main__":
    main()
