"""Sizes of a recipe's token trees before training, from a sample of its passages or from typical MeDAL ones."""

from __future__ import annotations

import math
import re
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, BatchEncoding

from ..data.embedded import sample
from ..data.inventory import Inventory
from ..data.passages import Mention, Passage
from ..data.quizzes import Text
from ..data.splits import Split
from ..models.base import local_base
from ..recipe import Recipe
from ..runs.prepare import data_folder, prepare
from ..runs.prepared import Prepared, is_prepared, open_prepared
from ..runs.reading import beside_count, read_beside
from ..tools.remembered import cache_folder
from ..training.batches import Lesson, TreeDataset, with_gold
from ..trees.prompt import Encoder, Layout
from ..trees.tree import TokenTree, forest
from .memory import Pass
from .shapes import ModelShape

WORDS, MENTIONS, CANDIDATES = 194, 4, 15
"""Words and mentions per passage, candidates per mention: averages of MeDAL's sample (38 abstracts, 151 mentions)."""
SAMPLE = 100
"""Number of passages to read."""
SMALL = 64 * 2**20
"""Largest data file, in bytes, that is read for a plan; larger ones are read only if they are already prepared."""
CHARACTERS = 7
"""Characters per token within a word, assumed if there is no tokenizer. Measured: on MeDAL's sample this gives 1.29
tokens per word, and the tokenizers of SmolLM2 and Llama 3 give 1.26 and 1.31; on the embedded corpus, 1.45, 1.46 and
1.46."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeSizes:
    """Sizes of the trees in training and in validation."""

    training: tuple[tuple[Pass, int], ...]
    """For each passage, one forward pass over it, and its number of mentions."""
    validation: tuple[tuple[Pass, int], ...]
    """The same for each validation tree, which offers all candidates."""

    def largest(self, passages: int) -> Pass:
        """The largest training pass over this many passages."""
        ordered = [size for size, _ in sorted(self.training, key=lambda pair: -pair[0].nodes)]
        return combined((ordered * passages)[:passages] if len(ordered) < passages else ordered[:passages])

    def usual(self, passages: int) -> list[Pass]:
        """Training passes over this many passages each, in order; the last one wraps around to the first passage."""
        sizes = [size for size, _ in self.training]
        starts = range(0, len(sizes), passages)
        return [combined([sizes[at % len(sizes)] for at in range(start, start + passages)]) for start in starts]

    def validation_pass(self, max_nodes: int, device: str) -> Pass:
        """The largest validation pass: one tree on a CPU, as many as fit into `max_nodes` on a GPU."""
        ordered = [size for size, _ in sorted(self.validation, key=lambda pair: -pair[0].nodes)]
        if device == "cpu":
            return ordered[0]
        mean, _ = mean_pass(self.validation)
        others = max(0, max_nodes - ordered[0].nodes) // mean.nodes
        return combined([ordered[0], *[mean] * others])

    def mean(self) -> tuple[Pass, float]:
        """The average training pass, and its average number of mentions."""
        return mean_pass(self.training)


def combined(sizes: Sequence[Pass]) -> Pass:
    """Several passes combined into one, over a forest."""
    nodes = sum(size.nodes for size in sizes)
    return Pass(
        nodes=nodes,
        kept=sum(size.kept for size in sizes),
        seen=sum(size.seen * size.nodes**2 for size in sizes) / nodes**2,
        trees=tuple(count for size in sizes for count in size.trees or (size.nodes,)),
    )


def mean_pass(sizes: Sequence[tuple[Pass, int]]) -> tuple[Pass, float]:
    """The average of some passes, and of their numbers of mentions."""
    count = len(sizes)
    nodes = round(sum(size.nodes for size, _ in sizes) / count)
    kept = round(sum(size.kept for size, _ in sizes) / count)
    seen = sum(size.seen for size, _ in sizes) / count
    return Pass(nodes=nodes, kept=kept, seen=seen), sum(mentions for _, mentions in sizes) / count


class TreeSource:
    """Passages and a tokenizer that represent those of a recipe.

    Args:
        recipe: its data and its base's tokenizer are used if they are on this machine.
        shape: sizes of its base, which limit the depth of trees.
    """

    def __init__(self, recipe: Recipe, shape: ModelShape) -> None:
        self._depth = shape.max_positions
        self._known: dict[tuple[str, int], TreeSizes] = {}
        tokenizer = find_tokenizer(recipe)
        self._tokenizer = tokenizer or EstimatedTokenizer()
        found = _own_texts(recipe)
        self._texts = _typical() if isinstance(found, str) else found
        if isinstance(found, str):
            typical = f"typical MeDAL passages ({WORDS} words, {MENTIONS} mentions, {CANDIDATES} candidates each)"
            whose = f"{found}; assumed: {typical}"
        else:
            whose = f"{sum(len(lesson.texts) for lesson in found.lessons)} texts from {recipe.data.source}"
            whose += " and data.beside" if recipe.data.beside else ""
        how = (
            "counted by the model's tokenizer"
            if tokenizer
            else f"estimated at one for every {CHARACTERS} characters of a word"
        )
        self.origin = f"{whose}; tokens {how}"
        """Where the sizes come from, for display."""

    def counts(self, split: Split, limit: int | None) -> int | None:
        """Texts of a split, at most `limit`; of texts that were not all read, the limit; None if there is none."""
        there = self._texts.counts.get(split)
        return limit if there is None else min(there, limit or there)

    def trained_on(self, recipe: Recipe) -> int | None:
        """Texts of an epoch: the recipe's own, those replayed and those of `data.beside`; None if not known."""
        own = self.counts("train", recipe.data.limit)
        if own is None:
            return None
        replayed = recipe.data.replay if recipe.model.parent is not None else 0.0
        return round(own / (1 - replayed)) + self._texts.beside

    def sizes(self, recipe: Recipe) -> TreeSizes:
        """Sizes of the trees that a recipe makes from these passages; cached for equal settings."""
        key = (recipe.prompt.model_dump_json(), recipe.training.candidates)
        if key not in self._known:
            self._known[key] = self._lay_out(recipe)
        return self._known[key]

    def _lay_out(self, recipe: Recipe) -> TreeSizes:
        encoder = Encoder(self._tokenizer, recipe.prompt, max_depth=self._depth)
        own, *others = self._texts.lessons
        dataset = TreeDataset(own.texts, encoder, own.inventory, recipe.training, beside=others, seed=recipe.seed)
        items = [dataset[index] for index in range(len(dataset))]
        validation = self._texts.validation or own.texts  # if not scored during training, then after it
        layouts = [
            layout for text in validation for layout in encoder.encode(with_gold(text, own.inventory), own.inventory)
        ]
        return TreeSizes(
            training=tuple(_size(item.layouts) for item in items),
            validation=tuple(_size([layout]) for layout in layouts),
        )


def _size(layouts: Sequence[Layout]) -> tuple[Pass, int]:
    tree: TokenTree = forest([layout.tree for layout in layouts])
    nodes = len(tree)
    pairs = int((tree.subtree_end - torch.arange(nodes)).sum())
    kept = len(torch.unique(tree.predict_node))
    one = Pass(nodes=nodes, kept=kept, seen=pairs / nodes**2, trees=tuple(len(layout.tree) for layout in layouts))
    return one, sum(len(layout.questions) for layout in layouts)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Texts:
    """Some of a recipe's texts, which represent all of them."""

    lessons: tuple[Lesson, ...]
    """Of its own training texts, with those replayed; then of each folder of `data.beside`; in proportion."""
    validation: Sequence[Text]
    counts: dict[Split, int]
    """Texts of its own splits; empty if not all were counted."""
    beside: int
    """Texts of `data.beside`."""


def _own_texts(recipe: Recipe) -> _Texts | str:
    """Some of the recipe's own texts, if they are on this machine and small or prepared; or why there are none."""
    settings = recipe.data
    for path in (settings.path, *settings.inventories, *settings.beside):
        if path is not None and not Path(path).exists():  # a shipped recipe names files that a new user has not yet
            return f"{path} is not there yet"
    folder = data_folder(recipe)
    if is_prepared(folder):
        return _some(open_prepared(folder), recipe, whole=True)
    if settings.source != "sample" and _bytes(Path(settings.path or "")) > SMALL:
        return f"{settings.path} is large and not read for a plan"
    few = settings.model_copy(update={"beside": ()})
    if settings.source != "sample":
        limits = {"limit": settings.limit, "limit_validation": settings.limit_validation}
        few = few.model_copy(
            update={name: min(limit or SAMPLE, SAMPLE) for name, limit in limits.items()} | {"limit_test": 1}
        )
    with tempfile.TemporaryDirectory() as place:
        prepared = prepare(recipe.model_copy(update={"data": few, "output": str(Path(place) / "runs")}))
        return _some(prepared, recipe, whole=settings.source == "sample")


def _some(prepared: Prepared, recipe: Recipe, *, whole: bool) -> _Texts:
    splits: tuple[Split, ...] = ("train", "validation", "test")
    counts = {split: len(prepared.texts(split)) for split in splits} if whole else {}
    found: list[tuple[Sequence[Text], Inventory]]
    found = [([*prepared.texts("train"), *prepared.replayed()], prepared.inventory)]
    found += [(list(islice(texts, SAMPLE)), inventory) for inventory, texts in read_beside(recipe)]
    numbers = [beside_count(path) for path in map(Path, recipe.data.beside)]
    # Where the recipe's own texts were not counted, they are taken to be as many as all others.
    all_numbers = [counts.get("train") or recipe.data.limit or sum(numbers) or 1, *numbers]
    lessons = (
        Lesson(texts=_spread(texts, math.ceil(SAMPLE * number / sum(all_numbers))), inventory=inventory)
        for number, (texts, inventory) in zip(all_numbers, found, strict=True)
    )
    return _Texts(
        lessons=tuple(lessons),
        validation=_spread(prepared.texts("validation"), SAMPLE),
        counts=counts,
        beside=sum(numbers),
    )


def _bytes(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size


def _spread(texts: Sequence[Text], most: int) -> Sequence[Text]:
    """At most so many of them, evenly from first to last."""
    step = max(1, math.ceil(len(texts) / most))
    return texts[::step]


def _typical() -> _Texts:
    train, validation, inventory = typical_passages()
    return _Texts(lessons=(Lesson(texts=train, inventory=inventory),), validation=validation, counts={}, beside=0)


def typical_passages() -> tuple[list[Passage], list[Passage], Inventory]:
    """Passages as long as MeDAL's, made from the embedded corpus's words, with its long forms as candidates."""
    words = " ".join(passage.text for passage in sample.passages()).split()
    names = sorted({sense.long_form for senses in sample.inventory().senses.values() for sense in senses})
    found, rows = [], []
    for number in range(16):
        text = words[number * WORDS : (number + 1) * WORDS]
        marks = []
        for mark in range(MENTIONS):
            short_form = f"SF{number}X{mark}"
            offered = names[(number * MENTIONS + mark) * CANDIDATES % (len(names) - CANDIDATES) :][:CANDIDATES]
            rows += [(short_form, name, 0, None) for name in offered]
            at = (2 * mark + 1) * WORDS // (2 * MENTIONS)
            text[at] = short_form
            start = len(" ".join(text[:at])) + 1
            marks.append(Mention(start=start, end=start + len(short_form), short_form=short_form, long_form=offered[0]))
        found.append(Passage(id=f"typical-{number}", text=" ".join(text), mentions=tuple(marks), source="typical"))
    return found, found, Inventory.of(rows, "typical")


def find_tokenizer(recipe: Recipe) -> Any:
    """The base's tokenizer if it is already on this machine, otherwise None."""
    path = local_base(recipe.model.base)
    if path is not None and path.suffix == ".gguf":
        converted = next(cache_folder().glob(f"{path.stem}-*"), None)
        if converted is None:
            return AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, trust_remote_code=False)
        return AutoTokenizer.from_pretrained(converted, trust_remote_code=False)
    try:
        return AutoTokenizer.from_pretrained(
            path or recipe.model.base,
            revision=recipe.model.revision,
            local_files_only=True,
            trust_remote_code=False,
        )
    except (OSError, ValueError):
        return None


class EstimatedTokenizer:
    """Stands in for a tokenizer that is not on this machine: splits words into pieces of `CHARACTERS` characters.

    Equal pieces have equal ids.
    """

    eos_token_id = -1
    _PIECE = re.compile(rf"\n| ?\w{{1,{CHARACTERS}}}| ?[^\w\s]")

    def __call__(self, text: str, **_: Any) -> BatchEncoding:
        """Encode like a tokenizer; a piece includes the space before it, as in byte-level tokenizers."""
        pieces = list(self._PIECE.finditer(text))
        return BatchEncoding(
            {
                "input_ids": [zlib.crc32(piece.group().encode()) for piece in pieces],
                "offset_mapping": [piece.span() for piece in pieces],
            }
        )
