"""Decides from names and content which files can contain notes, and reads a text or a pipe whole.

Files that are not plain text are refused here, with advice.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, get_args

from ..data.rows import JSON_LINES
from ..tools.decoding import decoded, marked_encoding
from ..tools.failures import megabytes
from ..tools.files import MOST_BYTES
from .options import TableFormat

TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", *JSON_LINES, ".parquet")
_DOCUMENTS = (".doc", ".docx", ".odt", ".pdf", ".ppt", ".pptx", ".rtf", ".xls", ".xlsx", ".zip")
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ")


def piped(file: IO[bytes], table_format: TableFormat) -> bytes:
    """The content of a table of notes from a pipe, read to its end and kept only in memory.

    Raises:
        ValueError: it is Parquet, which cannot be read sequentially, or larger than `tools.files.MOST_BYTES`.
    """
    if table_format == "parquet":
        raise ValueError("Parquet cannot be read from standard input or another pipe: name the file instead")
    content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"Standard input holds more than {megabytes(MOST_BYTES)}: name a file instead")
    return content


def format_of(path: Path) -> TableFormat:
    """The format of a table, from its name.

    Raises:
        ValueError: the name has no known extension.
    """
    formats: tuple[TableFormat, ...] = get_args(TableFormat)
    name = path.name.lower().replace(".ndjson", ".jsonl")
    for known in formats:
        if name.endswith(tuple(ending for ending in TABLES if known in ending)):
            return known
    raise ValueError(f"{path} has an unknown format. Known: {', '.join(TABLES)}, and a folder of .txt")


def names_file(argument: str) -> bool:
    """Whether an argument is meant as a file name, judging by its ending and lack of white space."""
    endings = (".txt", ".gguf", *TABLES, *_DOCUMENTS)
    return argument.lower().endswith(endings) and not any(map(str.isspace, argument))


def holds_many(path: Path) -> bool:
    """Whether a path is a table or folder of notes, not a single text."""
    return path.is_dir() or path.name.lower().endswith(TABLES)


def read_text(path: Path, encoding: str | None = None) -> tuple[str, str]:
    """The text of a file and its encoding, as for `tools.decoding.decoded`.

    Raises:
        ValueError: it is not plain text.
    """
    raw = path.read_bytes()
    if b"MSH|^" in raw[:9] or b'"resourceType"' in raw[:200]:
        raise ValueError(f"{path} is an HL7 message or a FHIR resource, not a note: save the text in it as .txt")
    if path.suffix.lower() == ".json" and raw.lstrip()[:1] in (b"{", b"["):
        raise ValueError(
            f"{path} is JSON, not a note: save the text as .txt, or notes as JSON Lines, one object a line (for a "
            f"list: jq -c '.[]' {path.name} > {path.stem}.jsonl)"
        )
    return plain_text(raw, str(path), encoding, document=path.suffix.lower() in _DOCUMENTS)


def plain_text(raw: bytes, what: str, encoding: str | None = None, *, document: bool = False) -> tuple[str, str]:
    """A text and its encoding, as for `tools.decoding.decoded`.

    Raises:
        ValueError: it is a document, compressed or otherwise not plain text.
    """
    if raw.startswith(_COMPRESSED):
        raise ValueError(f"{what} is compressed: unpack it first")
    document = document or raw.startswith((b"%PDF-", b"{\\rtf"))
    if document or (b"\0" in raw and not (encoding or marked_encoding(raw))):
        raise ValueError(
            f"{what} is not plain text: convert it first, for example to .txt with pandoc or pdftotext; or, if it is "
            "UTF-16, say so with --encoding utf-16-le"
        )
    return decoded(raw, what, encoding)
