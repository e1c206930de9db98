"""Chooses which revision of each PubMed abstract a corpus keeps, across all files; other steps work file by file."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from typing_extensions import TypedDict

from ..data.rows import QuarantinedRow
from ..tools.files import write_frame
from .accounts import Revisions
from .corpus import read_json, write_json

READ: dict[str, pl.DataType | type[pl.DataType]] = {
    "pmid": pl.String,
    "version": pl.Int32,
    "year": pl.Int32,
    "sections": pl.List(pl.String),
    "content": pl.UInt64,
}
"""The columns of a file's abstracts, in `read/`; `content` is the `content_key` of its sections."""


class ReadFile(TypedDict):
    """The result of reading a file, without its abstracts."""

    total: int
    """Number of records in the file."""
    bad: list[QuarantinedRow]
    deleted: list[str]


def choose(work: Path, files: int, read: list[ReadFile]) -> Revisions:
    """Choose the rows to keep, and write their numbers to `kept/`, one table per file.

    Kept are the last revision of each PMID that is not deleted later, if it has text, and the first of equal texts.

    Args:
        work: the work folder, with the abstracts of each file in `read/`.
        files: number of files.
        read: the result of reading each file.

    Returns:
        How many records were left out, and why.
    """
    folder = work / "kept"
    done = folder / "done.json"
    if done.exists():
        return read_json(done)  # type: ignore[no-any-return]  # written below
    tables = [
        pl.scan_parquet(work / "read" / f"{n:05}.parquet")
        .with_row_index("row")
        .select(
            pl.lit(n).cast(pl.Int32).alias("file"),
            "row",
            "pmid",
            "version",
            "content",
            pl.col("sections").list.len() > 0,
        )
        for n in range(files)
    ]
    found = pl.concat(tables).collect()
    deletions = [(pmid, number) for number, part in enumerate(read) for pmid in part["deleted"]]
    dropped = pl.DataFrame(deletions, schema={"pmid": pl.String, "gone": pl.Int32}, orient="row")
    alive = found.join(dropped.group_by("pmid").agg(pl.col("gone").max()), on="pmid", how="left").filter(
        pl.col("gone").is_null() | (pl.col("gone") < pl.col("file"))
    )
    last = alive.sort("version", "file", "row").unique("pmid", keep="last", maintain_order=True)
    with_text = last.filter("sections")
    kept = with_text.sort("file", "row").unique("content", keep="first", maintain_order=True)
    for number in range(files):
        write_frame(kept.filter(pl.col("file") == number).select("row").sort("row"), folder / f"{number:05}.parquet")
    counts: Revisions = {
        "revisions_replaced": found.height - found["pmid"].n_unique(),
        "deleted": found["pmid"].n_unique() - last.height,
        "without_text": last.height - with_text.height,
        "duplicates": with_text.height - kept.height,
    }
    write_json(counts, done)
    return counts
