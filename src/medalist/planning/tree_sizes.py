"""How large the token trees of a recipe are, before anything is trained: a sample of its own passages, or MeDAL's usual ones."""

from __future__ import annotations

import math
import re
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, BatchEncoding

from ..data.embedded import sample
from ..data.inventory import Inventory
from ..data.passages import Mention, Passage
from ..data.quizzes import Quiz
from ..models.base import at_hand, cache_folder
from ..recipe import Recipe
from ..runs.prepare import data_folder, prepare
from ..runs.prepared import open_prepared
from ..training.batches import TreeDataset, with_gold
from ..trees.prompt import Encoder, Layout
from ..trees.tree import TokenTree, forest
from .memory import Pass
from .shapes import ModelShape

WORDS, MENTIONS, CANDIDATES = 194, 4, 15
"""Per passage and per mention in MeDAL's official sample (38 abstracts, 151 mentions)."""
SAMPLE = 100
"""Passages that are looked at."""
SMALL = 64 * 2**20
"""Bytes of a data file that is read for a plan; larger ones are looked at only if they are prepared already."""
CHARACTERS = 7
"""Of a token in a word, where no tokenizer is at hand. Measured: on MeDAL's sample this gives 1.29 tokens a word, the tokenizers
of SmolLM2 and Llama 3 give 1.26 and 1.31; on the embedded corpus 1.45, 1.46 and 1.46."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeSizes:
    """Trees as training and validation have them."""

    training: tuple[tuple[Pass, int], ...]
    """Of each passage, what one forward pass over it is, and its mentions."""
    validation: tuple[tuple[Pass, int], ...]
    """The same of each tree of the validation, which offers all candidates."""

    def largest(self, passages: int) -> Pass:
        """The largest training pass over so many passages."""
        ordered = [size for size, _ in sorted(self.training, key=lambda pair: -pair[0].nodes)]
        return together((ordered * passages)[:passages] if len(ordered) < passages else ordered[:passages])

    def usual(self, passages: int) -> list[Pass]:
        """Training passes over so many passages each, as they come; the last one begins again at the front."""
        sizes = [size for size, _ in self.training]
        starts = range(0, len(sizes), passages)
        return [together([sizes[at % len(sizes)] for at in range(start, start + passages)]) for start in starts]

    def look(self, max_nodes: int, device: str) -> Pass:
        """The largest validation pass: one tree at a time on a CPU, as many as go into `max_nodes` on a GPU."""
        ordered = [size for size, _ in sorted(self.validation, key=lambda pair: -pair[0].nodes)]
        if device == "cpu":
            return ordered[0]
        mean, _ = mean_pass(self.validation)
        others = max(0, max_nodes - ordered[0].nodes) // mean.nodes
        return together([ordered[0], *[mean] * others])

    def mean(self) -> tuple[Pass, float]:
        """The mean passage of training, and its mentions."""
        return mean_pass(self.training)


def together(sizes: Sequence[Pass]) -> Pass:
    """Several passes as one, over a forest."""
    nodes = sum(size.nodes for size in sizes)
    return Pass(
        nodes=nodes,
        kept=sum(size.kept for size in sizes),
        seen=sum(size.seen * size.nodes**2 for size in sizes) / nodes**2,
        trees=tuple(count for size in sizes for count in size.trees or (size.nodes,)),
    )


def mean_pass(sizes: Sequence[tuple[Pass, int]]) -> tuple[Pass, float]:
    """The mean of some passes, and of their mentions."""
    count = len(sizes)
    nodes = round(sum(size.nodes for size, _ in sizes) / count)
    kept = round(sum(size.kept for size, _ in sizes) / count)
    seen = sum(size.seen for size, _ in sizes) / count
    return Pass(nodes=nodes, kept=kept, seen=seen), sum(mentions for _, mentions in sizes) / count


class TreeSource:
    """Passages and a tokenizer that stand for a recipe's.

    Args:
        recipe: whose data is looked at.
        shape: of its base; without a tokenizer at hand its window counts.
    """

    def __init__(self, recipe: Recipe, shape: ModelShape) -> None:
        self._depth = shape.max_positions
        self._known: dict[tuple[str, int], TreeSizes] = {}
        tokenizer = find_tokenizer(recipe)
        self._tokenizer = tokenizer or EstimatedTokenizer()
        found = _own_texts(recipe)
        validation: Sequence[Passage | Quiz]
        self._train, validation, self._inventory = found or typical_passages()
        self._validation = validation or self._train  # scored after training, if not while
        whose = (
            f"{len(self._train)} texts of {recipe.data.source}"
            if found
            else f"assumed: MeDAL's usual passage ({WORDS} words, {MENTIONS} mentions of {CANDIDATES} candidates)"
        )
        how = (
            "the model's tokenizer"
            if tokenizer
            else f"an estimate, a token for every {CHARACTERS} characters of a word"
        )
        self.origin = f"{whose}; tokens by {how}"
        """Where the sizes come from, for people."""

    def sizes(self, recipe: Recipe) -> TreeSizes:
        """Sizes of the trees that a recipe makes of these passages; laid out once for equal settings."""
        key = (recipe.prompt.model_dump_json(), recipe.training.candidates)
        if key not in self._known:
            self._known[key] = self._lay_out(recipe)
        return self._known[key]

    def _lay_out(self, recipe: Recipe) -> TreeSizes:
        encoder = Encoder(self._tokenizer, recipe.prompt, max_depth=self._depth)
        dataset = TreeDataset(self._train, encoder, self._inventory, recipe.training, seed=recipe.seed)
        items = [dataset[index] for index in range(len(dataset))]
        looks = [
            layout
            for passage in self._validation
            for layout in encoder.encode(with_gold(passage, self._inventory), self._inventory)
        ]
        return TreeSizes(
            training=tuple(_size(item.layouts) for item in items),
            validation=tuple(_size([layout]) for layout in looks),
        )


def _size(layouts: Sequence[Layout]) -> tuple[Pass, int]:
    tree: TokenTree = forest([layout.tree for layout in layouts])
    nodes = len(tree)
    pairs = int((tree.subtree_end - torch.arange(nodes)).sum())
    kept = len(torch.unique(tree.predict_node))
    one = Pass(nodes=nodes, kept=kept, seen=pairs / nodes**2, trees=tuple(len(layout.tree) for layout in layouts))
    return one, sum(len(layout.questions) for layout in layouts)


def _own_texts(recipe: Recipe) -> tuple[Sequence[Passage | Quiz], Sequence[Passage | Quiz], Inventory] | None:
    """Some training and validation texts of the recipe's own data, if they are at hand."""
    settings = recipe.data
    try:
        folder = data_folder(recipe)
        if (folder / "data.json").exists():
            prepared = open_prepared(folder)
            return _spread(prepared.texts("train")), _spread(prepared.texts("validation")), prepared.inventory
        if settings.source != "sample" and _bytes(Path(settings.path or "")) > SMALL:
            return None
        few = settings.model_copy(
            update={
                "limit": min(settings.limit or SAMPLE, SAMPLE),
                "limit_validation": min(settings.limit_validation or SAMPLE, SAMPLE),
                "limit_test": 1,
            }
        )
        with tempfile.TemporaryDirectory() as place:
            prepared = prepare(recipe.model_copy(update={"data": few, "output": str(Path(place) / "runs")}))
            return prepared.texts("train"), prepared.texts("validation"), prepared.inventory
    except FileNotFoundError:  # a shipped recipe names files that a newcomer does not have yet
        return None


def _bytes(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size


def _spread(texts: Sequence[Passage | Quiz]) -> Sequence[Passage | Quiz]:
    """At most `SAMPLE` of them, evenly from first to last."""
    step = max(1, math.ceil(len(texts) / SAMPLE))
    return texts[::step]


def typical_passages() -> tuple[list[Passage], list[Passage], Inventory]:
    """Passages of the size of MeDAL's, put together from the embedded corpus: its words, and its long forms as candidates."""
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
    """The base's tokenizer if it is on this machine already, else None."""
    path = at_hand(recipe.model.base)
    if path is not None and path.suffix == ".gguf":
        converted = next(cache_folder().glob(f"{path.stem}-*"), None)
        if converted is None:
            return AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
        return AutoTokenizer.from_pretrained(converted)
    try:
        return AutoTokenizer.from_pretrained(
            path or recipe.model.base, revision=recipe.model.revision, local_files_only=True
        )
    except (OSError, ValueError):
        return None


class EstimatedTokenizer:
    """Stands in for a tokenizer that is not at hand: cuts words into pieces of `CHARACTERS`; equal pieces have equal ids."""

    eos_token_id = -1
    _PIECE = re.compile(rf"\n| ?\w{{1,{CHARACTERS}}}| ?[^\w\s]")

    def __call__(self, text: str, **_: Any) -> BatchEncoding:
        """As a tokenizer's own; a piece has the space before it, as those of byte-level tokenizers do."""
        pieces = list(self._PIECE.finditer(text))
        return BatchEncoding(
            {
                "input_ids": [zlib.crc32(piece.group().encode()) for piece in pieces],
                "offset_mapping": [piece.span() for piece in pieces],
            }
        )
