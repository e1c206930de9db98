"""Checks the header of a GGUF file before a library reads it.

Libraries trust the header: a list declared to have 2**60 values keeps them busy forever, and a truncated file ends in a
traceback. The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import mmap
import struct
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gguf import GGUFReader

_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Value type -> size in bytes."""
_STRING, _ARRAY = 8, 9
_MOST_KEYS, _MOST_TENSORS, _MOST_DIMENSIONS, _MOST_WEIGHTS = 10_000, 100_000, 4, 2**40
_LONGEST_NAME = 65_535
_FORMS = {4: "<I", 5: "<i", 10: "<Q", 11: "<q"}
"""Integer type -> `struct` format."""
_MOST_OF = {
    b".block_count": 1000,
    b".context_length": 10**8,
    b".embedding_length": 10**8,
    b".feed_forward_length": 10**8,
    b".attention.head_count": 10**4,
    b".attention.head_count_kv": 10**4,
    b".expert_count": 10**4,
    b".vocab_size": 10**8,
}
"""End of a key -> maximum size: libraries allocate the layers, heads and positions that a header declares."""


def check_gguf_header(path: Path) -> None:
    """Refuse a file whose header is not GGUF's, or declares more than the file contains.

    Raises:
        ValueError: the file is not a GGUF file that a model can be read from; the message says why.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            _Header(content).check()
    except (struct.error, IndexError):
        reason = "its header ends too early"
    except ValueError as error:
        reason = "it is empty" if path.stat().st_size == 0 else str(error)
    else:
        return
    raise ValueError(f"{path} is no GGUF file that can be read ({reason}). Download it again.")


def open_gguf(path: Path) -> GGUFReader:
    """Open a GGUF file whose header has been checked.

    Raises:
        ValueError: the file is not a GGUF file that a model can be read from; the message says why.
    """
    from gguf import GGUFReader  # slow to import

    check_gguf_header(path)
    try:
        return GGUFReader(path)
    except (ValueError, LookupError, ArithmeticError, TypeError):
        reason = "its tensors are of an unknown type, or cut short"
        raise ValueError(f"{path} is no GGUF file that can be read ({reason}). Download it again.") from None


class _Header:
    """A position in the header, and how to read from there."""

    def __init__(self, content: mmap.mmap) -> None:
        self.content, self.at = content, 0

    def check(self) -> None:
        if self.content[:4] != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        self.at = 4
        version = self.number("<I")
        if version not in (2, 3):
            raise ValueError("its version is not 2 or 3, or its numbers are big-endian")
        tensors, keys = self.number("<Q"), self.number("<Q")
        if tensors > _MOST_TENSORS or keys > _MOST_KEYS:
            raise ValueError(f"it speaks of {tensors:,} tensors and {keys:,} keys")
        names: set[bytes] = set()
        for _ in range(keys):
            name = self.name(names)
            kind = self.number("<I")
            if name == b"general.alignment" and (kind != 4 or not struct.unpack_from("<I", self.content, self.at)[0]):
                raise ValueError("its alignment is not a positive number")
            if kind in _FORMS:
                self.size(name, *struct.unpack_from(_FORMS[kind], self.content, self.at))
            self.value(kind)
        names = set()
        places = {self.tensor(names) for _ in range(tensors)}
        if len(places) < tensors:
            raise ValueError("two tensors lie in one place")

    def size(self, name: bytes, value: int) -> None:
        """Refuse a size beyond that of any model."""
        most = next((most for end, most in _MOST_OF.items() if name.endswith(end)), None)
        if most is not None and not 0 <= value <= most:
            raise ValueError(f"its {name.decode()} is not a number from 0 to {most:,}")

    def number(self, form: str) -> int:
        """Read a number."""
        (value,) = struct.unpack_from(form, self.content, self.at)
        self.at += struct.calcsize(form)
        return int(value)

    def skip(self, size: int) -> None:
        """Skip bytes, which must exist."""
        self.at += size
        if self.at > len(self.content):
            raise ValueError("its header speaks of more than the file holds")

    def name(self, known: set[bytes]) -> bytes:
        """Read a name, which must be unique."""
        length = self.number("<Q")
        if length > _LONGEST_NAME:
            raise ValueError(f"a name has {length:,} bytes")
        name = self.content[self.at : self.at + length]
        self.skip(length)
        try:
            name.decode()
        except UnicodeDecodeError:
            raise ValueError("a name is not UTF-8") from None
        if name in known:
            raise ValueError("two keys or tensors have one name")
        known.add(name)
        return name

    def value(self, kind: int) -> None:
        """Skip a value: a number, a string, or a list of either."""
        if kind == _STRING:
            self.skip(self.number("<Q"))
        elif kind in _SIZES:
            self.skip(_SIZES[kind])
        elif kind == _ARRAY:
            kind, length = self.number("<I"), self.number("<Q")
            if kind == _STRING:
                if length > len(self.content) // 8:
                    raise ValueError("its header speaks of more than the file holds")
                for _ in range(length):
                    self.skip(self.number("<Q"))
            elif kind in _SIZES:
                self.skip(_SIZES[kind] * length)
            else:
                raise ValueError("it holds a list of lists")
        else:
            raise ValueError(f"type {kind:,} of a value is unknown")

    def tensor(self, known: set[bytes]) -> int:
        """Skip a tensor's name, shape and type, and return the offset of its weights."""
        self.name(known)
        dimensions = self.number("<I")
        if not 1 <= dimensions <= _MOST_DIMENSIONS:
            raise ValueError(f"a tensor has {dimensions:,} dimensions")
        shape = [self.number("<Q") for _ in range(dimensions)]
        if math.prod(shape) > _MOST_WEIGHTS:
            raise ValueError("a tensor has more weights than any model")
        self.number("<I")
        begin = self.number("<Q")
        if begin > len(self.content):
            raise ValueError("a tensor lies past its end")
        return begin
