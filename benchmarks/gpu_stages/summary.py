"""`summary.md`: what all stages left, as Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def summary(folder: Path, stages: Sequence[str]) -> str:
    """A table of the stages, then for each its tables and what stands in none."""
    found = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in (folder / f"{name}.json" for name in stages)
        if path.exists()
    ]
    rows = [
        (stage["stage"], stage["status"], f"{stage['seconds']:.0f}", len(stage["records"]), stage["error"] or "")
        for stage in found
    ]
    parts = ["# Medalist on a GPU", _table(("stage", "ended", "seconds", "records", "why"), rows)]
    for stage in found:
        parts.append(f"## {stage['stage']}")
        records: list[dict[str, Any]] = stage["records"]
        loose = [record for record in records if "table" not in record]
        if loose:
            parts.append("\n".join(f"- {record['name']}: {record['text']}" for record in loose))
        for title in dict.fromkeys(record["table"] for record in records if "table" in record):
            parts.append(f"### {title}\n\n" + _pivot([record for record in records if record.get("table") == title]))
    return "\n\n".join(parts) + "\n"


def _pivot(records: list[dict[str, Any]]) -> str:
    columns = list(dict.fromkeys(record["column"] for record in records))
    rows = list(dict.fromkeys(record["row"] for record in records))
    cells = {(record["row"], record["column"]): record["text"] for record in records}
    return _table(("", *columns), [(row, *(cells.get((row, column), "") for column in columns)) for row in rows])


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
