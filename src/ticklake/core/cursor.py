"""Cursors: where a page of rows ended, as a short text that the next request sends back."""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from dataclasses import dataclass
from hashlib import blake2b

from ticklake.errors import BadInput

__all__ = ["Cursor", "digest_of"]

_FIELDS = struct.Struct(">QIqQ8s")
_CHECK = struct.Struct(">I")


def digest_of(*parts: object) -> bytes:
    """Return what tells the request of a cursor from others."""
    return blake2b(repr(parts).encode(), digest_size=8).digest()


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page of rows ended.

    The next page begins at time *ts* of the dataset at *place*, after the first *skip* rows of that instant, in the same *version*: no
    row comes twice, and none is left out, however many rows share an instant and whoever writes meanwhile.
    """

    version: int
    place: int
    ts: int
    skip: int
    request: bytes

    def __str__(self) -> str:
        fields = _FIELDS.pack(self.version, self.place, self.ts, self.skip, self.request)
        # Against texts that were cut or mistyped.
        packed = fields + _CHECK.pack(zlib.crc32(fields))
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Read a cursor.

        Raises
        ------
        BadInput
            If it is none.
        """
        try:
            packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            fields, check = packed[: _FIELDS.size], _CHECK.unpack(packed[_FIELDS.size :])[0]
            cursor = cls(*_FIELDS.unpack(fields))
        except (binascii.Error, ValueError, struct.error):
            raise _no_cursor(text) from None
        if zlib.crc32(fields) != check:
            raise _no_cursor(text)
        return cursor

    def check(self, request: bytes) -> None:
        """Refuse to go on with a request of another digest.

        Raises
        ------
        BadInput
        """
        if self.request != request:
            raise BadInput(f"cursor={self} is that of another request: send it with the parameters that it came with")


def _no_cursor(text: str) -> BadInput:
    return BadInput(f"cursor={text[:80]!r} is none: send back what 'next' was, or leave it out")
