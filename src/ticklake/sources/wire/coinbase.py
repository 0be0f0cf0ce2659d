"""What Coinbase sends: Advanced Trade, and the Exchange API, once GDAX. Formats are those of its public API documentation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ticklake.core.time import SECOND
from ticklake.sources.wire.reading import Item, Mark, Memory, Reader
from ticklake.sources.wire.rows import Row, iso, level_rows, levels, trade
from ticklake.sources.wire.states import best, closed

__all__ = ["READERS"]

_OTHER_SIDE = {"BUY": "sell", "SELL": "buy", "buy": "sell", "sell": "buy"}
"""The taker's side by the maker's, which Coinbase reports."""
_BOOK_SIDES = {"buy": "bid", "sell": "ask"}

_Read = Callable[[Mapping[str, Any], int | None, Memory], Iterator[Item]]


def _trades(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Row]:
    del memory
    for event in message["events"]:
        for entry in event.get("trades", ()):
            ts, side = iso(entry["time"]), _OTHER_SIDE.get(entry["side"])
            yield trade(entry["product_id"], ts, heard, entry["price"], entry["size"], side, entry["trade_id"])


def _tickers(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Row]:
    del memory
    ts = iso(message["timestamp"])
    for event in message["events"]:
        for entry in event["tickers"]:
            bid = best(entry.get("best_bid"), entry.get("best_bid_quantity"))
            ask = best(entry.get("best_ask"), entry.get("best_ask_quantity"))
            if bid != ask:  # both are missing in older messages
                yield Row("quotes", entry["product_id"], (ts, heard, None, *bid, *ask))


def _levels(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Item]:
    """Yield the levels of books and of their changes. No number of the book is sent: the time of the message numbers it."""
    del memory
    ts = iso(message["timestamp"])
    for event in message["events"]:
        native, whole = event["product_id"], event["type"] == "snapshot"
        for word, side in (("bid", "bid"), ("offer", "ask")):
            pairs = [
                (level["price_level"], level["new_quantity"]) for level in event["updates"] if level["side"] == word
            ]
            yield level_rows(native, ts, heard, ts, side, pairs, whole=whole, space="time")
        yield Mark("book", native, starts=whole)


def _candles(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Row]:
    """Yield the bars of five minutes of which a later one came: nothing in a bar says whether it is over."""
    for event in message["events"]:
        bars = []
        for entry in event["candles"]:
            prices = (entry["open"], entry["high"], entry["low"], entry["close"])
            values = (int(entry["start"]) * SECOND, *prices, entry["volume"], None, None)
            bars.append(Row("ohlcv", entry["product_id"], values, "5m"))
        yield from closed(memory, bars, heard)


_CHANNELS: dict[Any, _Read] = {
    "l2_data": _levels,
    "market_trades": _trades,
    "ticker": _tickers,
    "ticker_batch": _tickers,
    "candles": _candles,
}


def _read(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Item]:
    """Read a message of Advanced Trade, which numbers all messages of a connection."""
    yield from _CHANNELS[message["channel"]](message, heard, memory)
    if "sequence_num" in message:
        yield from _number(message, heard)


def _number(message: Mapping[str, Any], heard: int | None) -> Iterator[Mark]:
    del heard
    number = message["sequence_num"]
    yield Mark("", "", number, number, starts=number == 0)


def _snapshot(message: Mapping[str, Any], heard: int | None) -> Iterator[Item]:
    sides = {"bid": message["bids"], "ask": message["asks"]}
    ts = heard
    if "time" in message:
        ts = iso(message["time"])
    yield from levels(message["product_id"], ts, heard, ts, sides, whole=True, space="time")
    yield Mark("book", message["product_id"], starts=True)


def _changes(message: Mapping[str, Any], heard: int | None) -> Iterator[Item]:
    native, ts = message["product_id"], heard
    if "time" in message:  # since 2018
        ts = iso(message["time"])
    for side, price, amount in message["changes"]:
        yield Row("book", native, (ts, heard, ts, _BOOK_SIDES[side], price, amount, None, False), "", "time")
    yield Mark("book", native)


def _match(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    ts, side = iso(message["time"]), _OTHER_SIDE.get(message["side"])
    yield trade(message["product_id"], ts, heard, message["price"], message["size"], side, message["trade_id"])


def _ticker(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    """Yield the best quote. Amounts came in 2022, and the first message after a subscription has no time."""
    ts = heard
    if "time" in message:
        ts = iso(message["time"])
    bid = best(message.get("best_bid"), message.get("best_bid_size"))
    ask = best(message.get("best_ask"), message.get("best_ask_size"))
    if bid != ask:
        yield Row("quotes", message["product_id"], (ts, heard, message.get("sequence"), *bid, *ask))


_TYPES: dict[Any, Callable[[Mapping[str, Any], int | None], Iterator[Item]]] = {
    "snapshot": _snapshot,
    "l2update": _changes,
    "match": _match,
    "last_match": _match,
    "ticker": _ticker,
}


def _read_typed(message: Mapping[str, Any], heard: int | None) -> Iterator[Item]:
    return _TYPES[message["type"]](message, heard)


def _book(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    sides = {"bid": message["bids"], "ask": message["asks"]}
    ts = iso(message["captured_at"])
    yield from levels(message["product"], ts, heard, message["sequence"], sides, whole=True)


READERS: tuple[Reader, ...] = (
    Reader(lambda m: m.get("channel") in _CHANNELS and "events" in m, _read, remembers=True),
    # Heartbeats and answers to subscriptions are numbered, too.
    Reader(lambda m: "sequence_num" in m and "channel" in m, _number, unread=True),
    Reader(lambda m: m.get("type") in _TYPES and "product_id" in m, _read_typed),
    Reader(lambda m: "captured_at" in m and "product" in m and "bids" in m, _book),
)
"""The readers of its messages. The first that fits reads the message."""
