"""Topic vectors: one for each sense and word, and how well senses fit the vectors of the text around them.

The vectors come from latent semantic analysis (Deerwester et al. 1990) of positive pointwise mutual information:
senses that co-occur, or belong to one field of medicine, point in the same direction.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..tools.failures import reading
from ..tools.files import replacing
from .spelling import equivalence_key, lower

Vectors = NDArray[np.float32]
WORD_WEIGHT = 0.5
"""Weight of a word relative to a short form, whose senses say more about the topic than most words do."""
SHRINK = 0.5
"""Added to the length of a context's vector, so that little context gives a weak fit."""
_WORD = re.compile("[a-z]{4,}")
_SCALE = 127


@dataclass(frozen=True, kw_only=True, slots=True)
class Topics:
    """Vectors of length 1, with D dimensions, for S senses and W words."""

    senses: Mapping[str, int]
    """The `equivalence_key` of a long form -> its row among the senses."""
    words: Mapping[str, int]
    """A word in lower case -> its row among the words."""
    sense_vectors: Vectors
    """``[S, D]``"""
    word_vectors: Vectors
    """``[W, D]``"""
    usual_sense: Vectors
    """``[D]``: mean sense vector of the marks in clinical notes, subtracted from a context."""
    usual_word: Vectors
    """``[D]``: mean word vector of these notes, likewise."""

    @classmethod
    def read(cls, path: Path) -> Topics:
        """Read a file written by `write`.

        Raises:
            ValueError: the file is damaged.
        """
        from safetensors import safe_open  # slow to import

        with reading(path), safe_open(path, framework="numpy") as file:
            names = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
        senses, words = (
            {name: row for row, name in enumerate(names.get(kind, "").split("\n"))} for kind in ("senses", "words")
        )
        if len(senses) != len(tensors["senses"]) or len(words) != len(tensors["words"]):
            raise ValueError(f"{path} is damaged: it has not a name for each vector")
        return cls(
            senses=senses,
            words=words,
            sense_vectors=_of_length_1(tensors["senses"].astype(np.float32)),
            word_vectors=_of_length_1(tensors["words"].astype(np.float32)),
            usual_sense=tensors["usual"][0],
            usual_word=tensors["usual"][1],
        )

    def write(self, path: Path) -> None:
        """Write to a safetensors file, with vectors rounded to 8 bits and their names in its metadata.

        safetensors writes an array's bytes as they lie in memory, whatever its strides.
        """
        from safetensors.numpy import save  # slow to import

        rounded = {
            name: np.rint(_SCALE * vectors / np.abs(vectors).max(1, keepdims=True)).astype(np.int8, order="C")
            for name, vectors in (("senses", self.sense_vectors), ("words", self.word_vectors))
        }
        names = {"senses": "\n".join(self.senses), "words": "\n".join(self.words)}
        usual = np.stack([self.usual_sense, self.usual_word]).astype(np.float32)
        with replacing(path, "wb") as file:
            file.write(save(rounded | {"usual": usual}, metadata=names))

    def of_senses(self, long_forms: Sequence[str]) -> Vectors:
        """``[C, D]``: the vectors of C long forms; zeros for those without one."""
        rows = [self.senses.get(equivalence_key(long_form), -1) for long_form in long_forms]
        vectors = self.sense_vectors[rows]
        vectors[[row < 0 for row in rows]] = 0
        return vectors

    def company(self, vectors: Vectors, weights: Sequence[float]) -> Vectors:
        """``[D]``: what a mention contributes to the context of other mentions.

        Args:
            vectors: ``[C, D]``, the vectors of its senses, from `of_senses`.
            weights: ``[C]``, the probabilities of these senses.
        """
        known = np.asarray(weights, np.float32) * np.abs(vectors).max(1, initial=0).astype(bool)
        found: Vectors = known @ vectors - known.sum() * self.usual_sense
        return found

    def words_of(self, text: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Start positions, in characters, of the words that have a vector, and their rows; two arrays of one length."""
        found = [
            (match.start(), self.words[match[0]]) for match in _WORD.finditer(lower(text)) if match[0] in self.words
        ]
        starts, rows = np.array(found, np.int64).reshape(-1, 2).T
        return starts, rows

    def of_words(self, rows: NDArray[np.int64]) -> Vectors:
        """``[N, D]``: what each of N words, given by their rows, contributes to the context."""
        found: Vectors = WORD_WEIGHT * (self.word_vectors[rows] - self.usual_word)
        return found


def fits(vectors: Vectors, context: Vectors) -> tuple[float, ...]:
    """How well C senses fit a context: the cosine similarity, shrunk towards 0 where there is little context.

    Args:
        vectors: ``[C, D]``, from `Topics.of_senses`.
        context: ``[D]``, the sum of the contributions of the surrounding text.
    """
    return tuple((vectors @ (context / (np.linalg.norm(context) + SHRINK))).tolist())


def _of_length_1(vectors: Vectors) -> Vectors:
    found: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return found
