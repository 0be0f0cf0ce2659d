"""Streams of unpacked bytes: never past a bound, cut at the ends of lines."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from typing import Protocol

from ticklake.errors import InvalidData

__all__ = ["DAMAGE", "MOST_BYTES", "Bounded", "Readable", "whole_lines"]

MOST_BYTES = 64 * 2**30
"""Nothing is unpacked past this: the largest archives that are published are a tenth of it."""
LONGEST_LINE = 256 * 2**20
"""No line of a text of rows is longer: it would have to be held in memory as a whole."""
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, gzip.BadGzipFile, NotImplementedError, RuntimeError)
"""What damaged zips and gzips raise; the last two are zipfile's words for compressions and encryptions it lacks."""


class Readable(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """Return at most *size* bytes; none at the end."""


class Bounded:
    """A stream that refuses to give more than a number of bytes."""

    def __init__(self, stream: Readable, most: int) -> None:
        self._stream = stream
        self._most = self._left = most

    def read(self, size: int, /) -> bytes:
        """Return at most *size* bytes."""
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise InvalidData(f"a file unpacks to more than {self._most:,} bytes: no real one does")
        return data


def whole_lines(stream: Readable, chunk: int) -> Iterator[bytes]:
    """Yield the bytes of a stream in pieces of about *chunk* bytes, each of whole lines; the last may lack its newline.

    Raises
    ------
    InvalidData
        If a line is longer than memory should hold.
    """
    held: list[bytes] = []
    while text := stream.read(chunk):
        lines, mark, after = text.rpartition(b"\n")
        if mark:
            yield b"".join((*held, lines, mark))
            held = []
        held.append(after)
        if sum(map(len, held)) > LONGEST_LINE:
            raise InvalidData(f"a line has more than {LONGEST_LINE:,} bytes: it is no text of rows")
    rest = b"".join(held)
    if rest.strip():
        yield rest
