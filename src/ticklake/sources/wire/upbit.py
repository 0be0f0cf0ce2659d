"""What Upbit sends, with its short keys or its long ones; Bithumb's second API has the same form. Formats are those of its public API documentation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ticklake.core.time import MS, US, decimal_to_ns
from ticklake.sources.wire.reading import Mark, Memory, Reader
from ticklake.sources.wire.rows import BY_TIME, Row, levels, ms, pairs, trade
from ticklake.sources.wire.states import number_by_time

__all__ = ["READERS", "books"]


def _native(code: str) -> str:
    """Return a name with the quote first the other way round."""
    quote, _, base = code.partition("-")
    return f"{base}-{quote}"


def _short_trade(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    price, amount = message["tp"], message["tv"]
    yield trade(_native(message["cd"]), ms(message["ttms"]), heard, price, amount, message["ab"], message["sid"])


def _trade(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    ts, price, amount = ms(message["trade_timestamp"]), message["trade_price"], message["trade_volume"]
    yield trade(_native(message["code"]), ts, heard, price, amount, message["ask_bid"], message["sequential_id"])


def _short_book(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Row | Mark]:
    units = message["obu"]
    sides = {"bid": pairs(units, "bp", "bs"), "ask": pairs(units, "ap", "as")}
    yield from _whole(message["cd"], message["tms"], heard, sides, memory)


def _book(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Row | Mark]:
    units = message["orderbook_units"]
    sides = {"bid": pairs(units, "bid_price", "bid_size"), "ask": pairs(units, "ask_price", "ask_size")}
    yield from _whole(message["code"], message["timestamp"], heard, sides, memory)


def _time(value: Any) -> int:
    """Return the time of a book: milliseconds, and in 2023 microseconds for some days."""
    unit = MS if len(str(value)) <= _DIGITS_OF_MS else US
    return decimal_to_ns(value, unit)


_DIGITS_OF_MS = 13


def _whole(
    code: str, time: Any, heard: int | None, sides: Mapping[str, list[Any]], memory: Memory
) -> Iterator[Row | Mark]:
    """Yield the best levels, which every message has all anew; a price of 0 fills the place of a level that is not there."""
    ts, native = _time(time), _native(code)
    there = {side: [level for level in side_levels if float(level[0])] for side, side_levels in sides.items()}
    number = number_by_time(memory, native, ts, there)
    yield from levels(native, ts, heard, number, there, whole=True, space=BY_TIME)
    yield Mark("book", native, starts=True)


def _bar(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    """Yield nothing: no message says that a bar is over."""
    del message, heard
    yield from ()


def books(finest: int) -> tuple[Reader, ...]:
    """Return the readers of books, whose levels are summed up by a step of prices if ``level`` is more than the *finest*."""
    return (
        Reader(lambda m: m["ty"] == "orderbook" and float(m.get("lv") or 0) <= finest, _short_book, remembers=True),
        Reader(
            lambda m: m["type"] == "orderbook" and "code" in m and float(m.get("level") or 0) <= finest,
            _book,
            remembers=True,
        ),
    )


READERS: tuple[Reader, ...] = (
    Reader(lambda m: m["ty"] == "trade" and "cd" in m, _short_trade),
    Reader(lambda m: m["type"] == "trade" and "code" in m, _trade),
    *books(finest=0),
    Reader(lambda m: str(m.get("ty") or m["type"]).startswith("candle.") and ("cd" in m or "code" in m), _bar),
)
"""The readers of its messages. The first that fits reads the message."""
