"""Streams of unpacked bytes with a bound, cut at the ends of lines."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from typing import Protocol

from ticklake.errors import InvalidData

__all__ = ["DAMAGE", "MOST_BYTES", "Bounded", "Readable", "whole_lines"]

MOST_BYTES = 64 * 2**30
"""The most bytes that are unpacked from a file: the largest archives that are published are a tenth of it."""
LONGEST_LINE = 256 * 2**20
"""The longest line that is read, in bytes: a line must be held in memory as a whole."""
DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, gzip.BadGzipFile, NotImplementedError, RuntimeError)
"""The errors of damaged zip and gzip files. zipfile raises the last two for compressions and encryption that it does not support."""


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, size: int, /) -> bytes:
        """Return at most *size* bytes; none at the end."""


class Bounded:
    """A stream that raises if it would return more than *most* bytes."""

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
    """Yield the bytes of a stream in chunks of about *chunk* bytes that end with a line; the last may lack its newline.

    Raises
    ------
    InvalidData
        If a line is longer than memory should hold.
    """
    # The pieces of an unfinished line stay apart until it ends: joining them at every read would copy it each time.
    unfinished: list[bytes] = []
    while data := stream.read(chunk):
        lines, newline, rest = data.rpartition(b"\n")
        if newline:
            yield b"".join((*unfinished, lines, newline))
            unfinished = []
        unfinished.append(rest)
        if sum(map(len, unfinished)) > LONGEST_LINE:
            raise InvalidData(f"a line has more than {LONGEST_LINE:,} bytes: the file does not hold lines of rows")
    last_line = b"".join(unfinished)
    if last_line.strip():
        yield last_line
