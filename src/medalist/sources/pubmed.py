"""PubMed abstracts as plain passages, from JSON Lines: `{"pmid", "sections": [...]}` or `{"id", "text"}`."""

from __future__ import annotations

from pathlib import Path

from ..passages import Passage, Quarantine, json_records


def read_abstracts(path: Path, quarantine: Quarantine) -> list[Passage]:
    """Read abstracts, all sections joined; nothing is marked yet.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: too many records are malformed (`TooManyBadRows`).
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    found: dict[str, Passage] = {}
    for line, record in json_records(path, quarantine):
        identifier = str(next((record[key] for key in ("pmid", "id") if record.get(key) not in (None, "")), ""))
        sections = record.get("sections") or [record.get("text")]
        if not identifier:
            quarantine.add(path, line, "no pmid or id", record)
        elif not isinstance(sections, list) or not all(isinstance(part, str) and part.strip() for part in sections):
            quarantine.add(path, line, "no text: neither sections nor text", record)
        elif identifier in found:
            quarantine.add(path, line, f"duplicate id {identifier!r}", record)
        else:
            found[identifier] = Passage(id=identifier, text=" ".join(sections), source=path.name.split(".")[0])
    quarantine.check()
    return list(found.values())
