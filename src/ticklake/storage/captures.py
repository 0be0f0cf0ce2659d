"""Captures: messages as they were received, in a file of compressed frames that each end with their own count.

A file is a sequence of complete zstd frames; any program reads it as one zstd file of lines. Each line is a JSON object: ``t`` is ``header``
(with ``exchange`` and ``streams``; there may be several), ``recv`` (with ``conn``, ``ts``, seconds as text, ``data`` or ``b64``, and ``withheld`` if rows of a book in it were left out), ``note`` (with ``conn``, ``ts`` and ``note``: what happened besides messages), ``checksum``
(with ``crc32``, that of all lines before it in the frame; the first captures had none) or ``frame``
(the last line of a frame, with ``count``, the lines before it in the frame). Before each frame stands a skippable one (RFC 8878, 3.1.2) with the lengths of the frame,
compressed and not, as two little-endian integers of 8 bytes: so a reader knows where each frame ends, and has all of those before one that was cut short.
"""

from __future__ import annotations

import base64
import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from ticklake.core.time import SECOND, decimal_to_ns
from ticklake.errors import InvalidData

__all__ = ["CaptureFile", "CapturedMessage", "captured_messages", "captured_streams"]

_SKIPPABLE = struct.Struct("<IIQQ")
_SKIPPABLE_MAGIC = 0x184D2A5C
MOST_FRAME = 4 * 1024**3
"""A frame that claims more bytes than this is damaged: a commit comes long before."""
_CHECKSUM = b'{"t":"checksum","crc32":%d}'
_WITHOUT_CHECKSUM = (b'{"t":"header"', b'{"t":"recv"', b'{"t":"note"')
_END = b'{"t":"frame","count":%d}'
LEVEL = 3
"""How hard zstd tries: 8.6 times smaller, at a microsecond a message."""


@dataclass(frozen=True, slots=True)
class CapturedMessage:
    """A message as it was received over the connection of that number, at a time in nanoseconds UTC.

    ``note`` is what happened besides messages: then there is no ``data``. Of a message that ``is_withheld`` no rows of books were stored.
    """

    connection: str
    received_at: int
    data: bytes = b""
    note: Mapping[str, Any] | None = None
    is_withheld: bool = False


@dataclass
class CaptureFile:
    """A capture that is being written. Messages wait in memory until :meth:`flush` writes a frame.

    Raises
    ------
    OSError
        From :meth:`flush`, if the frame cannot be written: then its messages wait for the next call.
    """

    path: Path
    exchange: str
    _lines: list[bytes] = field(default_factory=list)

    def __enter__(self) -> CaptureFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()

    def name(self, streams: Sequence[Mapping[str, str]]) -> None:
        """Name streams whose messages follow, in a header."""
        header = {"t": "header", "exchange": self.exchange, "streams": list(map(dict, streams))}
        self._lines.append(f"{json.dumps(header, separators=(',', ':'))}\n".encode())

    def note(self, connection: str, at: int, note: Mapping[str, Any]) -> None:
        """Add what happened besides messages, as values that JSON has."""
        self._add("note", connection, at, f'"note":{json.dumps(note, separators=(",", ":"))}')

    def add(self, connection: str, received_at: int, data: bytes, *, is_withheld: bool = False) -> None:
        """Add a message, with a word if rows of a book in it were left out."""
        try:
            content = f'"data":{json.dumps(data.decode())}'
        except UnicodeDecodeError:
            content = f'"b64":"{base64.b64encode(data).decode()}"'
        if is_withheld:
            content += ',"withheld":true'
        self._add("recv", connection, received_at, content)

    def _add(self, kind: str, connection: str, at: int, content: str) -> None:
        # As text: a float has no nanoseconds in our century.
        seconds = f"{Decimal(at) / SECOND:f}"
        self._lines.append(f'{{"t":"{kind}","conn":"{connection}","ts":"{seconds}",{content}}}\n'.encode())

    def flush(self) -> None:
        """Write what waits as one frame that is complete on the disk when this returns."""
        if not self._lines:
            return
        # Another thread may add lines meanwhile.
        lines, self._lines = self._lines, []
        try:
            self._write(lines)
        except OSError:
            self._lines = lines + self._lines
            raise

    def _write(self, lines: Sequence[bytes]) -> None:
        import pyarrow as pa

        content = b"".join(lines)
        content += _CHECKSUM % zlib.crc32(content) + b"\n"
        content += _END % (len(lines) + 1) + b"\n"
        frame = pa.Codec("zstd", LEVEL).compress(content, asbytes=True)
        with self.path.open("ab") as file:
            whole = file.tell()
            try:
                file.write(_SKIPPABLE.pack(_SKIPPABLE_MAGIC, 16, len(frame), len(content)) + frame)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                # What follows half a frame could not be read.
                os.ftruncate(file.fileno(), whole)
                raise


def captured_streams(path: Path) -> tuple[str, list[Mapping[str, str]]]:
    """Return the exchange of a capture and all streams that it names: ``dataset``, and what tells its rows, ``kind``, ``native``, ``timeframe``.

    ``conn`` is the connection that carries it; captures of before 0.3 do not say.

    Raises
    ------
    InvalidData
        If it is no capture. One that is cut short is read as far as it goes.
    """
    exchange = ""
    streams: list[Mapping[str, str]] = []
    try:
        for line in _lines(path):
            if line.startswith(b'{"t":"header"'):
                header = json.loads(line)
                exchange = str(header["exchange"])
                streams += header["streams"]
    except InvalidData:
        if not exchange:
            raise
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidData(f"{path} is damaged: its header cannot be read ({error})") from error
    if not exchange:
        raise InvalidData(f"{path} is no capture of Ticklake: it names no exchange")
    return exchange, streams


def captured_messages(path: Path) -> Iterator[CapturedMessage]:
    """Yield the messages of a capture.

    Raises
    ------
    InvalidData
        After the messages of all whole frames, if the file is cut short or damaged.
    """
    for line in _lines(path):
        try:
            record = json.loads(line)
            if record["t"] not in {"recv", "note"}:
                continue
            message = _message(record)
        except (ValueError, KeyError, TypeError, ArithmeticError) as error:
            raise InvalidData(f"{path} is damaged: {line[:80]!r} is no message ({error})") from error
        yield message


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of whole frames, without those that end them."""
    with path.open("rb") as file:
        while content := _next_frame(file, path):
            *lines, end = content.splitlines()
            if end != _END % len(lines):
                raise InvalidData(f"{path} is damaged: a frame of {len(lines):,} lines ends with {end[:80]!r}")
            # Without a checksum the last one is a message. One whose own name is damaged must not pass for another sort of line.
            if lines and not lines[-1].startswith(_WITHOUT_CHECKSUM):
                _check(content, lines.pop(), path)
            yield from lines


def _check(content: bytes, checksum: bytes, path: Path) -> None:
    """Compare the lines of a frame with their checksum."""
    found = zlib.crc32(content[: content.rindex(checksum)])
    if checksum != _CHECKSUM % found:
        raise InvalidData(f"{path} is damaged: the lines of a frame have the CRC-32 {found}, not {checksum[:80]!r}")


def _next_frame(file: BinaryIO, path: Path) -> bytes:
    """Return the lines of the next frame; nothing at the end."""
    import pyarrow as pa

    head = file.read(_SKIPPABLE.size)
    if not head:
        return b""
    if len(head) < _SKIPPABLE.size:
        raise InvalidData(f"{path} is cut short inside the head of a frame")
    magic, length, packed, size = _SKIPPABLE.unpack(head)
    if (magic, length) != (_SKIPPABLE_MAGIC, 16):
        raise InvalidData(f"{path} is no capture of Ticklake: 'ticklake import' reads other recordings")
    left = path.stat().st_size - file.tell()
    if left < packed:
        raise InvalidData(f"{path} is cut short: of its last frame {left:,} of {packed:,} bytes are there")
    if size > MOST_FRAME:
        raise InvalidData(
            f"{path} is damaged: a frame of it has {size:,} bytes, and none is longer than {MOST_FRAME:,}"
        )
    frame = file.read(packed)
    try:
        return bytes(pa.Codec("zstd").decompress(frame, decompressed_size=size, asbytes=True))
    except OSError as error:
        raise InvalidData(f"{path} is damaged: {error}") from error


def _message(record: Mapping[str, Any]) -> CapturedMessage:
    data = str(record.get("data", "")).encode()
    if "b64" in record:
        data = base64.b64decode(record["b64"])
    at = decimal_to_ns(record["ts"], SECOND)
    return CapturedMessage(str(record["conn"]), at, data, record.get("note"), bool(record.get("withheld")))
