"""Decode the JSON of messages without losing digits, and unpack those that are compressed."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec

from ticklake.errors import InvalidData

__all__ = ["LARGEST", "decode", "gunzipped", "inflated"]

LARGEST = 64 * 2**20
"""No message is larger, in bytes: a whole book of all levels has some megabytes."""
_DECODER = msgspec.json.Decoder(float_hook=str)
_GZIP, _RAW_DEFLATE = 16 + zlib.MAX_WBITS, -zlib.MAX_WBITS


def decode(text: bytes | str) -> Any:
    """Return the JSON of a message. Numbers with a fraction stay text: Kraken's checksums need every digit, also zeros at the end.

    >>> decode('{"price": 0.10000000, "count": 1}')
    {'price': '0.10000000', 'count': 1}

    Raises
    ------
    InvalidData
        If it is no JSON.
    """
    try:
        return _DECODER.decode(text)
    except msgspec.DecodeError as error:
        raise InvalidData(f"a message is no JSON: {error}") from error


def gunzipped(data: bytes) -> bytes:
    """Return what was compressed by gzip.

    Raises
    ------
    InvalidData
        If it was not, is cut short, or is larger than any message: a megabyte may hold a gigabyte.
    """
    return _expanded(data, _GZIP)


def inflated(data: bytes) -> bytes:
    """Return what was compressed by deflate, without a header.

    Raises
    ------
    InvalidData
        As :func:`gunzipped` does.
    """
    return _expanded(data, _RAW_DEFLATE)


def _expanded(data: bytes, form: int) -> bytes:
    content = b""
    try:
        while data:
            stream = zlib.decompressobj(form)
            content += stream.decompress(data, LARGEST + 1 - len(content))
            if len(content) > LARGEST:
                raise InvalidData(f"a message has more than {LARGEST:,} bytes when it is unpacked")
            if not stream.eof:
                raise InvalidData("a compressed message is cut short")
            # Several members may follow one another in gzip alone.
            data = stream.unused_data if form == _GZIP else b""
    except zlib.error as error:
        raise InvalidData(f"a message cannot be unpacked: {error}") from error
    return content
