"""Decode the JSON of messages without losing digits."""

from __future__ import annotations

from typing import Any

import msgspec

from ticklake.errors import InvalidData

__all__ = ["decode"]

_DECODER = msgspec.json.Decoder(float_hook=str)


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
