"""Prints a version's section of CHANGELOG.md, for a release's page: `python release/notes.py 0.1.0`."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def notes(version: str, changelog: str) -> str:
    """What the changelog says of a version, with each entry on one line, without the heading.

    Raises:
        ValueError: the changelog has no such version.
    """
    found = re.search(rf"^## {re.escape(version)}\b[^\n]*\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    if found is None:
        known = ", ".join(re.findall(r"^## (\S+)", changelog, re.MULTILINE))
        raise ValueError(f"CHANGELOG.md has no version {version}. It has {known}.")
    return re.sub(r"\n +", " ", found[1]).strip()


if __name__ == "__main__":
    try:
        print(notes(*sys.argv[1:2] or ["(none named)"], (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")))
    except ValueError as error:
        sys.exit(str(error))
