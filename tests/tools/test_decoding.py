from __future__ import annotations

import codecs

import pytest

from medalist.tools.decoding import decoded

TEXT = "37 °C\r\non RA"


@pytest.mark.parametrize(
    ("raw", "used"),
    [
        (TEXT.encode(), "utf-8"),
        (codecs.BOM_UTF8 + TEXT.encode(), "utf-8-sig"),
        (TEXT.encode("cp1252"), "cp1252"),
        (TEXT.encode("utf-16"), "utf-16"),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), "utf-16"),
        (TEXT.encode("utf-32"), "utf-32"),
    ],
)
def test_a_byte_order_mark_decides_and_then_what_fits(raw, used):
    assert decoded(raw, "x") == (TEXT, used)


def test_a_named_encoding_is_the_only_one_tried():
    assert decoded("é".encode("mac_roman"), "x", "mac_roman") == ("é", "mac_roman")
    with pytest.raises(ValueError, match=r"^note.txt is not ascii: see byte 3\. Save it as UTF-8, or"):
        decoded("37 °C".encode(), "note.txt", "ascii")
    for name in ("klingon", "base64", "rot13", "utf\0", "undefined"):
        with pytest.raises(ValueError, match=r"^Unknown encoding "):
            decoded(b"x", "x", name)
    with pytest.raises(ValueError, match=r"^note.txt is not utf-16-le: see byte 2"):
        decoded(b"abc", "note.txt", "utf-16-le")


def test_what_fits_nothing_is_refused_without_being_quoted():
    with pytest.raises(ValueError, match=r"^Standard input is not utf-8 or cp1252: see byte 7") as error:
        decoded(b"secret \x81", "Standard input")
    assert "secret" not in str(error.value)
    assert error.value.__context__ is None
