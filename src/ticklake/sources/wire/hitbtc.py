"""What HitBTC sends over its second and its third API. Formats are those of its public API documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ticklake.core.time import parse_time
from ticklake.sources.wire.reading import Mark, Reader
from ticklake.sources.wire.rows import Row, levels, ms, pairs, trade

__all__ = ["READERS"]

_PARTS = ("snapshot", "update", "data")
"""The names under which the third API has its data: what was before, what is new, and what is anew each time."""


def _channel(pattern: str) -> Any:
    """Return a test for messages with data of the third API's channels."""
    channel = re.compile(pattern)
    return lambda m: channel.fullmatch(m["ch"]) is not None and any(isinstance(m.get(name), dict) for name in _PARTS)


def _entries(message: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the markets of a message with what it says of each."""
    for name in _PARTS:
        yield from (message.get(name) or {}).items()


def _trades(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for native, entries in _entries(message):
        for entry in entries:
            yield trade(native, ms(entry["t"]), heard, entry["p"], entry["q"], entry["s"], entry["i"])


def _book(message: Mapping[str, Any], heard: int | None) -> Iterator[Row | Mark]:
    """Yield a book: ``orderbook/full`` sends changes after a whole one, the others the best levels anew each time."""
    whole = "update" not in message
    for native, entry in _entries(message):
        number, sides = int(entry["s"]), {"bid": entry.get("b") or (), "ask": entry.get("a") or ()}
        yield from levels(native, ms(entry["t"]), heard, number, sides, whole=whole)
        yield Mark("book", native, number, number, starts=whole)


def _ticker(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for native, entry in _entries(message):
        best = (entry["b"], entry["B"], entry["a"], entry["A"])
        if entry["b"] is not None or entry["a"] is not None:
            yield Row("quotes", native, (ms(entry["t"]), heard, None, *best))


def _bars(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    """Yield nothing: no message says that a bar is over."""
    del message, heard
    yield from ()


def _method(*names: str) -> Any:
    """Return a test for messages of the second API."""
    return lambda m: m["method"] in names and "symbol" in m["params"]


def _old_trades(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    native = message["params"]["symbol"]
    for entry in message["params"]["data"]:
        ts, price, amount = parse_time(entry["timestamp"]), entry["price"], entry["quantity"]
        yield trade(native, ts, heard, price, amount, entry["side"], entry["id"])


def _old_book(message: Mapping[str, Any], heard: int | None) -> Iterator[Row | Mark]:
    params = message["params"]
    native, number, whole = params["symbol"], int(params["sequence"]), message["method"] == "snapshotOrderbook"
    ts = parse_time(params["timestamp"]) if "timestamp" in params else heard
    sides = {"bid": pairs(params["bid"], "price", "size"), "ask": pairs(params["ask"], "price", "size")}
    yield from levels(native, ts, heard, number, sides, whole=whole)
    yield Mark("book", native, number, number, starts=whole)


def _old_ticker(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    """Yield the best prices, whose amounts it did not send."""
    params = message["params"]
    if params["bid"] is not None or params["ask"] is not None:
        best = (params["bid"], None, params["ask"], None)
        yield Row("quotes", params["symbol"], (parse_time(params["timestamp"]), heard, None, *best))


READERS: tuple[Reader, ...] = (
    Reader(_channel("trades"), _trades),
    Reader(_channel(r"orderbook/(?:full|D\d+/\d+ms)"), _book),
    Reader(_channel(r"(?:ticker(?:/price)?/\w+|orderbook/top/\d+ms)(?<!batch)"), _ticker),
    Reader(_channel(r"candles/\w+"), _bars),
    Reader(_method("snapshotTrades", "updateTrades"), _old_trades),
    Reader(_method("snapshotOrderbook", "updateOrderbook"), _old_book),
    Reader(lambda m: _method("ticker")(m) and "bid" in m["params"], _old_ticker),
    Reader(_method("snapshotCandles", "updateCandles"), _bars),
)
"""The readers of its messages. The first that fits reads the message."""
