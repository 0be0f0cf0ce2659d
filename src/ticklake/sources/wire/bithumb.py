"""What Bithumb sends over its first API; the second has the form of Upbit's. Formats are those of its public API documentation.

Times without a zone are those of Seoul.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ticklake.core.time import HOUR, MS, US, decimal_to_ns, parse_time
from ticklake.sources.wire import upbit
from ticklake.sources.wire.reading import Mark, Reader
from ticklake.sources.wire.rows import BY_TIME, Row, levels, trade

__all__ = ["READERS"]

_AHEAD_OF_UTC = 9 * HOUR
_TAKER = {"1": "sell", "2": "buy"}
_DIGITS_OF_MS = 13


def _sort(name: str) -> Any:
    """Return a test for messages of one sort."""
    return lambda m: m["type"] == name and isinstance(m["content"], dict)


def _trades(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for entry in message["content"]["list"]:
        ts, side = parse_time(entry["contDtm"]) - _AHEAD_OF_UTC, _TAKER[str(entry["buySellGb"])]
        yield trade(entry["symbol"], ts, heard, entry["contPrice"], entry["contQty"], side)


def _time(value: Any) -> int:
    """Return a time as nanoseconds: of changes microseconds, of whole books milliseconds."""
    unit = MS if len(str(value)) <= _DIGITS_OF_MS else US
    return decimal_to_ns(value, unit)


def _changes(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    content = message["content"]
    ts = _time(content["datetime"])
    for entry in content["list"]:
        level = (entry["price"], entry["quantity"], int(entry["total"]))
        sides = {str(entry["orderType"]): [level]}
        yield from levels(entry["symbol"], ts, heard, ts, sides, whole=False, space=BY_TIME)


def _whole(message: Mapping[str, Any], heard: int | None) -> Iterator[Row | Mark]:
    content = message["content"]
    native, ts, sides = content["symbol"], _time(content["datetime"]), {"bid": content["bids"], "ask": content["asks"]}
    yield from levels(native, ts, heard, ts, sides, whole=True, space=BY_TIME)
    yield Mark("book", native, starts=True)


READERS: tuple[Reader, ...] = (
    Reader(_sort("transaction"), _trades),
    Reader(_sort("orderbookdepth"), _changes),
    Reader(_sort("orderbooksnapshot"), _whole),
    *upbit.books(finest=1),
    *upbit.READERS,
)
"""The readers of its messages. The first that fits reads the message."""
