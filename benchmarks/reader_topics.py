"""Makes the reader's topics: vectors of senses and words by what they are met with in the texts that it was taught.

    python benchmarks/reader_topics.py --data DATA --write topics.safetensors    # a minute

DATA is what `reader_data.py` made; of it, the marks and words of `notes.parquet` count, each text once however often it
was typed anew, and of the inventory that ships the field of each sense. What stands close by counts most, then what is
in the same text. A truncated singular value decomposition of their positive pointwise mutual information gives the
vectors. Contexts are compared with the mean over the notes that were written for the reader.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from scipy.sparse import csr_matrix, hstack
from scipy.sparse.linalg import svds
from sklearn.feature_extraction.text import CountVectorizer

from medalist.data.embedded import reader
from medalist.data.passages import NONE_OF_THESE
from medalist.data.spelling import equivalence_key, lower
from medalist.data.topics import Topics, Vectors

DIMENSIONS = 192
WORD = "[a-z]{4,}"
SMOOTHING = 0.75
"""Exponent of a context's frequency, which keeps rare contexts from weighing most (Levy, Goldberg and Dagan 2015)."""
HALF, LEAST = 20, 0.1
"""Characters away at which something counts half of what it would close by, and the least that counts at all."""
TEXT_WEIGHS = 0.3
"""What the information from the senses of the same text counts beside that from those close by."""
WORDS_WEIGH = 0.6
"""What the information from words counts, those close by and those of the same text."""
LEAST_TEXTS, MOST_TEXTS = 8, 0.1
"""In how many texts a word stands to be counted: at least so many, and at most this share."""


def information(counts: csr_matrix, weight: float = 1.0) -> csr_matrix:
    """Positive pointwise mutual information of ``[S, N]`` counts, smoothed over the N contexts, times a weight."""
    counts = counts.tocoo()
    of_row = np.bincount(counts.row, weights=counts.data, minlength=counts.shape[0])
    of_column = np.bincount(counts.col, weights=counts.data, minlength=counts.shape[1]) ** SMOOTHING
    of_column /= of_column.sum()
    values = np.log(counts.data / (of_row[counts.row] * of_column[counts.col]))
    kept = values > 0
    return csr_matrix((weight * values[kept], (counts.row[kept], counts.col[kept])), shape=counts.shape)


def length_1(vectors: Vectors) -> Vectors:
    """The rows divided by their lengths; rows of zeros stay."""
    return (vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def marks(texts: pl.DataFrame) -> Iterable[tuple[str, str]]:
    """(text, sense's key) of each mark, once a text."""
    found = texts.select("text_id", "mentions").explode("mentions").unnest("mentions").drop_nulls()
    found = found.filter(~pl.col("long_form").is_in(["", NONE_OF_THESE]))
    for text, long_form in found.select("text_id", "long_form").unique(maintain_order=True).iter_rows():
        yield text, equivalence_key(long_form)


def fields() -> Mapping[str, set[str]]:
    """A sense's key -> the fields of medicine that the inventory gives for it."""
    found: dict[str, set[str]] = {}
    with (reader.HERE / "inventory.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(equivalence_key(row["long_form"]), set()).add(row["field"])
    return found


def membership(pairs: Sequence[tuple[int, int]], shape: tuple[int, int]) -> csr_matrix:
    """``[N, M]`` with a one for each pair, however often it comes."""
    rows, columns = np.array(sorted(set(pairs))).T
    return csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)


def near(texts: pl.DataFrame, rows: Mapping[str, int], words: Mapping[str, int]) -> tuple[csr_matrix, csr_matrix]:
    """How close senses stand to other senses ``[S, S]`` and to words ``[S, W]``, summed over the texts.

    Args:
        texts: one row each, as it was typed first, with `text` and `mentions`.
        rows: the S senses' keys with their rows.
        words: the W words with theirs.
    """
    found: list[list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = [[], []]
    for text, mentions in texts.select("text", "mentions").iter_rows():
        keys = [(m["start"], rows.get(equivalence_key(m["long_form"]))) for m in mentions]
        senses = np.array([(start, row) for start, row in keys if row is not None], int).reshape(-1, 2)
        spans = np.array([(m["start"], m["end"]) for m in mentions], int).reshape(-1, 2)
        told = [
            (m.start(), words[m[0]])
            for m in re.finditer(WORD, lower(text))
            if m[0] in words and not ((spans[:, 0] <= m.start()) & (m.start() < spans[:, 1])).any()
        ]
        for kind, others in enumerate((senses, np.array(told, int).reshape(-1, 2))):
            weights = 1 / (1 + np.abs(senses[:, :1] - others[:, 0]) / HALF)
            if kind == 0:
                weights[senses[:, 1:] == others[:, 1]] = 0
            ours, theirs = np.nonzero(weights > LEAST)
            found[kind].append((senses[ours, 1], others[theirs, 1], weights[ours, theirs]))
    first, second = (
        csr_matrix((values, (ours, theirs)), shape=(len(rows), size))
        for (ours, theirs, values), size in (
            (map(np.concatenate, zip(*kind, strict=True)), size)
            for kind, size in zip(found, (len(rows), len(words)), strict=True)
        )
    )
    return first, second


def made(texts: pl.DataFrame, own: Sequence[bool], vectorizer: CountVectorizer, words: csr_matrix) -> Topics:
    """The topics of texts.

    Args:
        texts: one row each, with `text_id`, `mentions` of all its typings, and `first`, as it was typed first.
        own: for each, whether it was written for the reader.
        vectorizer: what counted the words.
        words: ``[T, W]``, which text has which words.
    """
    numbers = {text: n for n, text in enumerate(texts["text_id"])}
    marked, in_field = list(marks(texts)), fields()
    names = sorted({key for _, key in marked if key} | set(in_field) - {""})
    rows = {name: n for n, name in enumerate(names)}
    vocabulary = {word: n for n, word in enumerate(vectorizer.get_feature_names_out())}
    kinds = {name: n for n, name in enumerate(sorted(set().union(*in_field.values())))}
    met = membership([(numbers[text], rows[key]) for text, key in marked if key], (len(numbers), len(rows)))
    together = (met.T @ met).tolil()
    together.setdiag(0)
    fielded = [(rows[key], kinds[field]) for key, found in in_field.items() if key for field in found]
    of_field = membership(fielded, (len(rows), len(kinds)))
    close, close_words = near(texts.select("first").unnest("first"), rows, vocabulary)
    parts = [
        information(close),
        information(together.tocsr(), TEXT_WEIGHS),
        information(of_field),
        information((met.T @ words).tocsr(), WORDS_WEIGH) + information(close_words, WORDS_WEIGH),
    ]
    left, values, right = svds(hstack(parts).tocsr(), k=DIMENSIONS, random_state=0)
    order = np.argsort(-values)
    scale = np.sqrt(values[order])
    senses = length_1(left[:, order] * scale)
    of_words = length_1((right[order].T * scale)[-len(vocabulary) :])
    ours = np.flatnonzero(own)
    often, used = (np.asarray(part[ours].sum(0)).ravel() for part in (met, words))
    return Topics(
        senses=rows,
        words=vocabulary,
        sense_vectors=senses,
        word_vectors=of_words,
        usual_sense=(often @ senses / often.sum()).astype(np.float32),
        usual_word=(used @ of_words / used.sum()).astype(np.float32),
    )


def main() -> None:
    """Make them and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--write", type=Path, required=True)
    options = parser.parse_args()
    typed = pl.read_parquet(options.data / "notes.parquet").with_columns(
        text_id=pl.col("source") + ":" + pl.col("id").str.split("#").list.first()
    )
    texts = typed.group_by("text_id", maintain_order=True).agg(
        pl.struct("text", "mentions").first().alias("first"),
        pl.col("text").str.join(" "),
        pl.col("mentions").explode(),
        pl.col("source").first(),
    )
    vectorizer = CountVectorizer(
        token_pattern=WORD, min_df=LEAST_TEXTS, max_df=MOST_TEXTS, binary=True, stop_words="english"
    )
    words = vectorizer.fit_transform(texts["text"].to_list()).astype(float)
    own = [source == "reader" for source in texts["source"]]
    topics = made(texts, own, vectorizer, words)
    counts = Counter(source == "reader" for source in texts["source"])
    print(
        f"{len(texts):,} texts, {counts[True]:,} of them the reader's own: {len(topics.senses):,} senses, "
        f"{len(topics.words):,} words, {DIMENSIONS} dimensions"
    )
    topics.write(options.write)


if __name__ == "__main__":
    main()
