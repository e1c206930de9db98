"""Reads one of MeDAL's tables as passages in memory; `corpora.medal` prepares tables that are too large for that."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..inventory import Inventory
from ..passages import Mention, Passage
from ..rows import Quarantine
from .medal_marks import Marker
from .medal_rows import SCHEMA, read_table
from .medal_tables import tables


def read_rows(path: Path, inventory: Inventory, quarantine: Quarantine) -> list[Passage]:
    """Read the passages of a table, one per (abstract, text): texts of an abstract may differ in their substitutions.

    Raises:
        ValueError: the file is damaged, or is not one of MeDAL's.
    """
    found = tables(path)
    if len(found) > 1:
        raise ValueError(f"{path} contains {len(found)} CSV files; unpack it and choose one")
    rows = pa.Table.from_batches(read_table(found[0], quarantine), SCHEMA)
    rows = rows.append_column("table", pa.repeat(pa.scalar(0), rows.num_rows))
    marked = Marker(inventory)(rows, [found[0].file], quarantine, Counter())
    mentions = [
        Mention(start=start, end=end, short_form=short_form, long_form=long_form)
        for start, end, (short_form, long_form) in zip(
            marked.start.tolist(), marked.end.tolist(), map(marked.meanings.__getitem__, marked.meaning), strict=True
        )
    ]
    bounds = np.searchsorted(marked.passage, np.arange(len(marked.ids) + 1)).tolist()
    # The source is not the file name, because an id identifies the same abstract in all of MeDAL's files.
    return [
        Passage(id=name, text=text, mentions=tuple(mentions[begin:end]), source="medal")
        for name, text, begin, end in zip(
            marked.ids.to_pylist(), marked.texts.to_pylist(), bounds, bounds[1:], strict=False
        )
    ]
