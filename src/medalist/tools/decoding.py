"""Decodes text whose encoding is not stated: a byte order mark decides, then UTF-8, then Windows-1252."""

from __future__ import annotations

import codecs

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks; that of UTF-32 begins like that of UTF-16, so it comes first."""


def marked_encoding(raw: bytes) -> str | None:
    """The encoding that a text's byte order mark names; None if it has none."""
    return next((name for mark, name in _MARKS if raw.startswith(mark)), None)


def check_encoding(name: str) -> None:
    """Refuse the name of an encoding that Python does not know, or that is not one of text ("base64").

    Raises:
        ValueError: it is none.
    """
    try:
        "".encode(name)
    except (LookupError, UnicodeError, ValueError):
        raise ValueError(f'Unknown encoding "{name}": try utf-8, cp1252, latin-1 or utf-16') from None


def decoded(raw: bytes, what: str, encoding: str | None = None) -> tuple[str, str]:
    """Decode a text; line ends stay as they are.

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
        except UnicodeError:  # UTF-16 and UTF-32 without a byte order mark, IDNA
            at = "it cannot be decoded"
    raise ValueError(f"{what} is not {' or '.join(tried)}: {at}. Name its encoding with --encoding.")
