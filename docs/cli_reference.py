"""Writes docs/cli.md from --help, or with --check says whether it is up to date."""

import os
import sys
from pathlib import Path

os.environ |= {"COLUMNS": "80"}

from typer.testing import CliRunner

from medalist.cli.app import app, verbs

PAGE = Path(__file__).parent / "cli.md"
VERBS = verbs()


def reference() -> str:
    """The page: each verb's --help."""
    parts = ["# Command line\n\nWritten by `make docs` from `--help`; do not edit.\n"]
    for verb in ("", *VERBS):
        result = CliRunner().invoke(app, [*verb.split(), "--help"], prog_name="medalist", color=False)
        text = "\n".join(line.rstrip() for line in result.output.strip("\n").splitlines()).strip("\n")
        parts.append(f"## medalist {verb}".rstrip() + f"\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


if "--check" in sys.argv:
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != reference():
        sys.exit("docs/cli.md is stale: run `make docs` and commit it")
else:
    PAGE.write_text(reference(), encoding="utf-8")
