"""What BitMEX sends. Formats are those of its public API documentation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ticklake.core.time import DAY, HOUR, MINUTE, parse_time
from ticklake.sources.wire.reading import Item, Mark, Memory, Reader
from ticklake.sources.wire.rows import Row, iso, levels, trade
from ticklake.sources.wire.states import merged

__all__ = ["READERS"]

_SIDES = {"Buy": "bid", "Sell": "ask"}
_NEW = frozenset({"insert", "partial"})
_MIDNIGHT = parse_time("2000-01-01")
"""BitMEX writes lengths of time as times of this day."""


def _time(entry: Mapping[str, Any], heard: int | None) -> int | None:
    """Return the time of an entry; those of books have one since 2022."""
    if entry.get("timestamp"):
        return iso(entry["timestamp"])
    return heard


def _trades(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Row]:
    del memory
    if message["action"] not in _NEW:
        return
    for entry in message["data"]:
        ts = iso(entry["timestamp"])
        yield trade(entry["symbol"], ts, heard, entry["price"], entry["size"], entry["side"], entry["trdMatchID"])


def _quotes(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Row]:
    del memory
    if message["action"] not in _NEW:
        return
    for entry in message["data"]:
        best = (entry.get("bidPrice"), entry.get("bidSize"), entry.get("askPrice"), entry.get("askSize"))
        yield Row("quotes", entry["symbol"], (iso(entry["timestamp"]), heard, None, *best))


def _levels(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Item]:
    """Yield the levels of books and of their changes. Changes named levels by their ids alone until 2022."""
    table, action = message["table"], message["action"]
    whole = action == "partial"
    natives: dict[str, None] = {}
    # All levels of a message get its newest time: a book has one.
    times = [iso(entry["timestamp"]) for entry in message["data"] if entry.get("timestamp")]
    ts = max(times, default=heard)
    for entry in message["data"]:
        native = entry["symbol"]
        key = (table, native, entry["id"])
        price = entry.get("price")
        if price is None:
            price = memory.get(key)
        else:
            memory[key] = price
        if price is None:  # a change before the book came: it is in the book
            continue
        size = entry.get("size", 0)
        if action == "delete":
            size = 0
            memory.pop(key, None)
        natives[native] = None
        yield Row("book", native, (ts, heard, ts, _SIDES[entry["side"]], price, size, None, whole), "", "time")
    if whole:
        # A market without any order has an empty book.
        native = message.get("filter", {}).get("symbol")
        if native:
            natives[native] = None
    for native in natives:
        yield Mark("book", native, starts=whole, channel=table)


def _ten_levels(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Item]:
    """Yield the ten best levels of each side, which every message has."""
    del memory
    for entry in message["data"]:
        native, ts = entry["symbol"], _time(entry, heard)
        if "bids" not in entry or "asks" not in entry:
            continue
        sides = {"bid": entry["bids"], "ask": entry["asks"]}
        yield from levels(native, ts, heard, ts, sides, whole=True, space="time")
        yield Mark("book", native, starts=True, channel="orderBook10")


def _funding(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Row]:
    del heard, memory
    if message["action"] not in _NEW:
        return
    for entry in message["data"]:
        interval = None
        if entry.get("fundingInterval"):
            interval = (iso(entry["fundingInterval"]) - _MIDNIGHT) or DAY
        values = (iso(entry["timestamp"]), entry["fundingRate"], None, None, None, interval)
        yield Row("funding", entry["symbol"], values)


def _liquidations(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Row]:
    """Yield orders that liquidate. They come without a time, and change until they are filled or given up."""
    del memory
    if message["action"] not in _NEW:
        return
    for entry in message["data"]:
        side = entry["side"].lower()
        values = (heard, heard, entry["orderID"], entry["price"], entry["leavesQty"], side)
        yield Row("liquidations", entry["symbol"], values)


def _instruments(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Row]:
    """Yield open interest and the rate that will be paid, where they changed."""
    for part in message["data"]:
        native = part["symbol"]
        whole = message["action"] in _NEW
        state = merged(memory, ("instrument", native), part, whole=whole)
        ts = _time(part, heard)
        if state is None or ts is None:
            continue
        if part.get("openInterest") is not None:
            yield Row("open_interest", native, (ts, part["openInterest"], None))
        if state.get("fundingRate") is not None and not _RATES.isdisjoint(part):
            next_ts = None
            if state.get("fundingTimestamp"):
                next_ts = iso(state["fundingTimestamp"])
            values = (ts, heard, state["fundingRate"], next_ts, state.get("markPrice"), None)
            yield Row("predicted_funding", native, values)


_RATES = frozenset({"fundingRate", "fundingTimestamp", "markPrice"})


def _bars(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Row]:
    """Yield bars, which are sent when they are over and named by their ends."""
    del heard, memory
    timeframe = message["table"].removeprefix("tradeBin")
    if message["action"] not in _NEW:
        return
    for entry in message["data"]:
        if entry.get("open") is None:  # no trade has ever been made
            continue
        start = iso(entry["timestamp"]) - _LENGTHS[timeframe]
        prices = (entry["open"], entry["high"], entry["low"], entry["close"])
        volumes = (entry.get("homeNotional"), entry.get("foreignNotional"), entry.get("trades"))
        yield Row("ohlcv", entry["symbol"], (start, *prices, *volumes), timeframe)


_LENGTHS = {"1m": MINUTE, "5m": 5 * MINUTE, "1h": HOUR, "1d": DAY}
_TABLES: dict[Any, Callable[[Mapping[str, Any], int | None, Memory], Iterator[Item]]] = {
    "trade": _trades,
    "quote": _quotes,
    "orderBookL2": _levels,
    "orderBookL2_25": _levels,
    "orderBook10": _ten_levels,
    "funding": _funding,
    "liquidation": _liquidations,
    "instrument": _instruments,
    **{f"tradeBin{timeframe}": _bars for timeframe in _LENGTHS},
}


def _read(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Item]:
    return _TABLES[message["table"]](message, heard, memory)


READERS: tuple[Reader, ...] = (
    Reader(lambda m: m.get("table") in _TABLES and "action" in m and "data" in m, _read, remembers=True),
)
"""The readers of its messages. The first that fits reads the message."""
