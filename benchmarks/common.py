"""Helpers shared by the benchmarks: MeDAL-shaped passages, a description of the machine, the matmul peak, tables."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import random
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from medalist.data.embedded import sample
from medalist.data.embedded.clinical import NOTES
from medalist.data.inventory import Inventory
from medalist.data.passage_files import write_jsonl
from medalist.data.passages import Passage
from medalist.data.substitution import Substituter
from medalist.models.load import load_base
from medalist.models.products import linear
from medalist.recipe import Recipe, parse_recipe
from medalist.tools.local_imports import import_bitsandbytes

import_bitsandbytes()  # before trl and peft, which import it and let it fetch code

T = TypeVar("T")

BASE_VARIABLE = "MEDALIST_BENCHMARK_BASE"
BASE = os.environ.get(BASE_VARIABLE, "smollm2-135m")
"""The model that is measured; the variable names another, as `model.base` in a recipe does."""

WORDS, MENTIONS, CANDIDATES = 194, 4, 15
"""Per passage and per mention, as in the official MeDAL sample (38 abstracts, 151 mentions)."""


def medal_shaped(
    count: int, *, words: int = WORDS, mentions: int = MENTIONS, candidates: int = CANDIDATES, seed: int = 0
) -> tuple[list[Passage], Inventory]:
    """Make passages of MeDAL's size from the embedded sample corpus, and an inventory for them.

    Sample passages are joined until they have `words` words, and long forms of several words become short forms.
    `mentions` of these are kept as questions, and each short form is offered its own senses, filled up with others from
    the corpus to `candidates`.
    """
    source = sample.inventory()
    texts = sample.passages()
    draw = random.Random(seed)
    usual = sample.usual_short_forms()
    phrases = {
        short_form: tuple(s for s in senses if " " in s.long_form) for short_form, senses in usual.senses.items()
    }
    substitute = Substituter(Inventory(senses=phrases), mode="mended", probability=1.0, seed=seed)
    found: list[Passage] = []
    while len(found) < count:
        draw.shuffle(texts)
        parts: list[str] = []
        for part in texts:
            parts.append(part.text)
            if sum(len(text.split()) for text in parts) < words:
                continue
            text = " ".join(" ".join(parts).split()[:words])
            parts = []
            passage = substitute(Passage(id=f"joined-{len(found)}", text=text, source="benchmark"))
            if len(passage.mentions) < mentions:
                continue
            kept = tuple(sorted(draw.sample(passage.mentions, mentions), key=lambda mention: mention.start))
            found.append(Passage(id=passage.id, text=passage.text, mentions=kept, source="benchmark"))
            if len(found) == count:
                break
    others = sorted({sense.long_form for senses in source.senses.values() for sense in senses})
    rows = []
    for short_form in sorted({mention.short_form for passage in found for mention in passage.mentions}):
        own = source.long_forms(short_form)[:candidates]
        fill = draw.sample([name for name in others if name not in own], candidates - len(own))
        rows += [(short_form, long_form, 0, None) for long_form in (*own, *fill)]
    return found, Inventory.of(rows, "sample, filled up")


def clinical_texts(enough: int | None = None) -> list[str]:
    """The development half of the embedded clinical notes, cut between sentences after `enough` characters."""
    with NOTES["clinical-development"].open(encoding="utf-8") as file:
        whole = [json.loads(line)["text"] for line in file]
    if enough is None:
        return whole
    pieces: list[str] = []
    for text in whole:
        begins = 0
        for end in (*(found.start() for found in re.finditer(r"(?<=\.)\s|\n", text)), len(text)):
            if end - begins >= enough or end == len(text):
                pieces.append(text[begins:end].strip())
                begins = end
    return list(filter(None, pieces))


def tiny_llama(tokenizer: PreTrainedTokenizerBase, layers: int = 2) -> LlamaForCausalLM:
    """A random Llama of few layers, the same each time, whose scores differ by nats as those of a real one do."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        initializer_range=0.2,
        attn_implementation="sdpa",
    )
    return LlamaForCausalLM(config).float().eval()


def write_tiny_base(folder: Path) -> Path:
    """Write `tiny_llama` as a folder that `load_base` reads, with layers enough for the recipes; returns the folder."""
    tokenizer = load_base("smollm2-135m").tokenizer
    tiny_llama(tokenizer, layers=16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_medal_shaped(count: int, folder: Path) -> None:
    """Write `medal_shaped` passages as `passages.jsonl` and their inventory as `glossary.csv`."""
    passages, inventory = medal_shaped(count)
    write_jsonl(passages, folder / "passages.jsonl")
    inventory.write(folder / "glossary.csv")


def recipe_in(
    folder: Path, name: str, *, data: Mapping[str, Any], training: Mapping[str, Any], overrides: Sequence[str] = ()
) -> Recipe:
    """A recipe for the model in `folder/model` and the data that `write_medal_shaped` wrote, one passage per step."""
    return parse_recipe(
        {
            "name": name,
            "output": str(folder / "runs"),
            "model": {"base": str(folder / "model")},
            "data": {
                "source": "table",
                "path": str(folder / "passages.jsonl"),
                "inventory": str(folder / "glossary.csv"),
                "substitution": {"distractors": 0},
                "test": 0,
                **data,
            },
            "training": {"passages_per_step": 1, **training},
        },
        overrides,
    )


def machine() -> str:
    """The machine and the versions, on one line."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    installed = {found.name for found in importlib.metadata.distributions()}
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}"
        for name in ("torch", "transformers", "peft", "trl", "bitsandbytes")
        if name in installed
    )
    return f"{model}, {torch.get_num_threads()} threads, Python {platform.python_version()}, {versions}"


def matmul_peak(size: int = 2048, seconds: float = 2.0) -> float:
    """The peak fp32 matmul rate of this process, in FLOP/s: the best of many products of square matrices.

    In PyTorch's own products or in Medalist's, whichever are faster.
    """
    a, b = torch.randn(size, size), torch.randn(size, size)
    best, started = float("inf"), time.perf_counter()
    while time.perf_counter() - started < seconds:
        best = min(best, timed(lambda: a @ b)[0], timed(lambda: linear(a, b))[0])
    return 2 * size**3 / best


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds that the work took, and what it returned."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; floats have three significant digits."""

    def cell(value: object) -> str:
        return f"{value:,.3g}" if isinstance(value, float) else str(value)

    lines = [header, ["---"] * len(header), *([cell(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def count_option(parser: argparse.ArgumentParser, flag: str, default: int, text: str) -> None:
    """Add an option that takes a whole number of at least 1."""

    def positive(given: str) -> int:
        if not given.isdigit() or int(given) < 1:
            raise argparse.ArgumentTypeError(f"{given} is not a whole number of at least 1")
        return int(given)

    parser.add_argument(flag, type=positive, default=default, metavar="N", help=f"{text} (default: {default})")


def progress(text: str) -> None:
    """Print a line on stderr; stdout is for the result."""
    print(text, file=sys.stderr, flush=True)
