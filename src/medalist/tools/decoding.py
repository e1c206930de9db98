"""Decodes text whose encoding is not stated: a byte order mark decides, then UTF-8, then Windows-1252."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from .files import open_bytes, undamaged

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks. UTF-32-LE's starts with UTF-16-LE's, so it comes first."""


_UNMARKED = ((re.compile(rb"[\t -~]\0[\t -~]\0"), "utf-16-le"), (re.compile(rb"\0[\t -~]\0[\t -~]"), "utf-16-be"))
"""How UTF-16 without a byte order mark starts if its first two characters are ASCII."""


def marked_encoding(raw: bytes) -> str | None:
    """The encoding named by a text's byte order mark, or UTF-16 recognised without one; None if there is neither."""
    marked = next((name for mark, name in _MARKS if raw.startswith(mark)), None)
    return marked or next((name for begins, name in _UNMARKED if begins.match(raw)), None)


_ADVICE = "Save it as UTF-8, or, if it is a note, name its encoding with --encoding."


def check_encoding(name: str) -> None:
    """Refuse a name that Python does not know as an encoding, or that is not a text encoding ("base64").

    Raises:
        ValueError: it is not the name of a text encoding.
    """
    try:
        "".encode(name)
    except (LookupError, UnicodeError, ValueError):
        raise ValueError(f'Unknown encoding "{name}": try utf-8, cp1252, latin-1 or utf-16') from None


def decoded(raw: bytes, what: str, encoding: str | None = None) -> tuple[str, str]:
    """Decode a text; line endings are kept.

    Args:
        raw: its bytes.
        what: where they come from, for errors: a file's name, "standard input".
        encoding: any that Python knows; None: by the byte order mark, or else UTF-8, or else Windows-1252.

    Returns:
        The text, without its byte order mark, and the encoding used.

    Raises:
        ValueError: the encoding is unknown, or the bytes are not in it; the message does not quote them.
    """
    marked = marked_encoding(raw)
    tried = [encoding] if encoding else [marked] if marked else ["utf-8", "cp1252"]
    if encoding:
        check_encoding(encoding)
    for name in tried:
        try:
            return raw.decode(name), name
        except UnicodeDecodeError as error:
            at = f"see byte {error.start:,}"
            whole, damaged = _beyond_ascii(raw.decode("utf-8", "surrogateescape")) if name == "utf-8" else (0, 0)
            if 0 < damaged <= whole and not encoding:
                raise ValueError(f"{what} is UTF-8, but damaged: {at}. {_ADVICE}") from None
        except UnicodeError:  # UTF-16 and UTF-32 without a byte order mark, IDNA
            at = "it cannot be decoded"
    raise ValueError(f"{what} is not {' or '.join(tried)}: {at}. {_ADVICE}")


def encoding_of(path: Path, content: bytes | None = None) -> str:
    """The encoding of a table, found by decoding it piece by piece.

    UTF-8 with a few damaged bytes still counts as UTF-8: as Windows-1252, all its other letters would be wrong.

    Args:
        path: the file, plain or gzipped.
        content: the file's content, if it was read already, as for `files.open_bytes`.

    Raises:
        ValueError: the file has no byte order mark and is neither UTF-8 nor Windows-1252.
    """
    with undamaged(path), open_bytes(path, content) as file:
        marked = marked_encoding(file.read(4))
    for name in [marked] if marked else ["utf-8", "cp1252"]:
        decoder = codecs.getincrementaldecoder(name)("surrogateescape" if name.startswith("utf-8") else "strict")
        whole = damaged = 0
        try:
            with undamaged(path), open_bytes(path, content) as file:
                while piece := file.read(1 << 20):
                    letters, bytes_ = _beyond_ascii(decoder.decode(piece))
                    whole, damaged = whole + letters, damaged + bytes_
                damaged += len(decoder.decode(b"", final=True))
        except UnicodeDecodeError:
            continue
        if marked or damaged == 0 or whole >= damaged:
            return name
    raise ValueError(f"{path} is not {marked or 'utf-8 or cp1252'}. Name its encoding with --encoding.")


def _beyond_ascii(text: str) -> tuple[int, int]:
    """The number of non-ASCII characters in a text, and of bytes that could not be decoded, as Python escapes them."""
    if text.isascii():
        return 0, 0
    escaped = len(re.findall("[\udc80-\udcff]", text))
    return len(re.findall("[^\0-\x7f]", text)) - escaped, escaped
