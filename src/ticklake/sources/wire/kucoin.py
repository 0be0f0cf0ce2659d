"""What KuCoin sends, of its spot market and its futures. Formats are those of its public API documentation.

A change of a book has a number of its own, and a snapshot from the REST API may end between the changes of one message: so each
change keeps its number. A price of 0 says that the number has moved on, and nothing else. A message "add" of candles says that a bar
has begun, and none says that one is over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ticklake.sources.wire.reading import Mark, Reader
from ticklake.sources.wire.rows import BY_TIME, Row, field, levels, ms, time_or, trade

__all__ = ["READERS"]

_SIDES = {"asks": "ask", "bids": "bid"}
_OF_ORDER = {"buy": "bid", "sell": "ask"}


def _topic(*names: str) -> Any:
    """Return a test for messages of these topics, which the market follows."""
    starts = tuple(f"{name}:" for name in names)
    return lambda m: m["topic"].startswith(starts) and isinstance(m["data"], dict)


def _native(message: Mapping[str, Any]) -> str:
    """Return the market after the topic; of all markets the subject names it."""
    native = str(message["topic"].partition(":")[2])
    if native == "all":
        return str(message["subject"])
    return native


def _trade(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    entry = message["data"]
    ts = int(field(entry, "ts", "time"))
    amount = field(entry, "matchSize", "size")
    yield trade(entry["symbol"], ts, heard, entry["price"], amount, entry["side"], entry["tradeId"])


def _ticker(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    entry = message["data"]
    best = (entry["bestBid"], entry["bestBidSize"], entry["bestAsk"], entry["bestAskSize"])
    yield Row("quotes", _native(message), (ms(entry["time"]), heard, int(entry["sequence"]), *best))


def _futures_ticker(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    entry = message["data"]
    best = (entry["bestBidPrice"], entry["bestBidSize"], entry["bestAskPrice"], entry["bestAskSize"])
    yield Row("quotes", entry["symbol"], (int(entry["ts"]), heard, int(entry["sequence"]), *best))


def _level1(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    entry = message["data"]
    best = (*entry["bids"][:2], *entry["asks"][:2])
    yield Row("quotes", _native(message), (ms(entry["timestamp"]), heard, None, *best))


def _changes(message: Mapping[str, Any], heard: int | None) -> Iterator[Row | Mark]:
    data, native = message["data"], _native(message)
    ts = time_or(data, "time", heard)
    for name, side in _SIDES.items():
        for price, amount, number in data["changes"][name]:
            if float(price):
                yield from levels(native, ts, heard, int(number), {side: [(price, amount)]}, whole=False)
    yield Mark("book", native, int(data["sequenceStart"]), int(data["sequenceEnd"]))


def _futures_change(message: Mapping[str, Any], heard: int | None) -> Iterator[Row | Mark]:
    data, native = message["data"], _native(message)
    price, side, amount = data["change"].split(",")
    number = int(data["sequence"])
    if float(price):
        sides = {_OF_ORDER[side]: [(price, amount)]}
        yield from levels(native, ms(data["timestamp"]), heard, number, sides, whole=False)
    yield Mark("book", native, number, number)


def _best_levels(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    """Yield the best 5 or 50 levels. Of the futures they have a number, of the spot market none."""
    data = message["data"]
    ts = ms(field(data, "timestamp", "ts"))
    seq, space = ts, BY_TIME
    if "sequence" in data:
        seq, space = int(data["sequence"]), ""
    sides = {side: data[name] for name, side in _SIDES.items()}
    yield from levels(_native(message), ts, heard, seq, sides, whole=True, space=space)


def _candles(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    del message, heard
    yield from ()


def _instrument(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    data = message["data"]
    if message["subject"] == "funding.rate":
        values = (ms(data["timestamp"]), heard, data["fundingRate"], None, None, None)
        yield Row("predicted_funding", _native(message), values)


READERS: tuple[Reader, ...] = (
    Reader(_topic("/market/match", "/contractMarket/execution"), _trade),
    Reader(lambda m: _topic("/market/ticker")(m) and "bestBid" in m["data"], _ticker),
    Reader(_topic("/contractMarket/ticker", "/contractMarket/tickerV2"), _futures_ticker),
    Reader(_topic("/spotMarket/level1"), _level1),
    Reader(_topic("/market/level2"), _changes),
    Reader(_topic("/contractMarket/level2"), _futures_change),
    Reader(
        _topic(
            *("/spotMarket/level2Depth5", "/spotMarket/level2Depth50"),
            *("/contractMarket/level2Depth5", "/contractMarket/level2Depth50"),
        ),
        _best_levels,
    ),
    Reader(_topic("/market/candles", "/contractMarket/limitCandle"), _candles),
    Reader(_topic("/contract/instrument"), _instrument),
)
"""The readers of its messages. The first that fits reads the message."""
