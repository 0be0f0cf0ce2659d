"""What Kraken sends over both of its WebSocket APIs: lists (first) and objects (second). Formats are those of its public API documentation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ticklake.core.book_state import kept_depth
from ticklake.core.time import MINUTE, SECOND, decimal_to_ns
from ticklake.sources.wire.reading import Item, Mark, Memory, Reader
from ticklake.sources.wire.rows import Row, iso, level_rows, trade
from ticklake.sources.wire.states import best, closed, newest_time, timeframe_of

__all__ = ["READERS"]

_SIDES = {"b": "buy", "s": "sell"}


def _trades(message: Sequence[Any], heard: int | None) -> Iterator[Row]:
    for price, amount, time, side, *_ in message[1]:
        yield trade(message[3], decimal_to_ns(time, SECOND), heard, price, amount, _SIDES.get(side, side))


def _ticker(message: Sequence[Any], heard: int | None) -> Iterator[Row]:
    """Yield the best quote. Its sides are (price, whole lots, amount), and it has no time of its own."""
    bid, ask = message[1]["b"], message[1]["a"]
    yield Row("quotes", message[3], (heard, heard, None, bid[0], bid[2], ask[0], ask[2]))


def _spread(message: Sequence[Any], heard: int | None) -> Iterator[Row]:
    bid, ask, time, bid_amount, ask_amount = message[1][:5]
    sides = (*best(bid, bid_amount), *best(ask, ask_amount))
    yield Row("quotes", message[3], (decimal_to_ns(time, SECOND), heard, None, *sides))


def _old_bar(message: Sequence[Any], heard: int | None, memory: Memory) -> Iterator[Row]:
    """Yield the bar before this one, if this one is new. A bar names its end; nothing says whether it is over."""
    _, end, *prices, _, volume, trades = message[1][:9]
    minutes = int(message[2].partition("-")[2])
    values = (decimal_to_ns(end, SECOND) - minutes * MINUTE, *prices, volume, None, trades)
    yield from closed(memory, [Row("ohlcv", message[3], values, timeframe_of(minutes))], heard)


def _old_book(message: Sequence[Any], heard: int | None, memory: Memory) -> Iterator[Item]:
    """Yield the levels of a book, or of a change of it, whose sides may come in one object or in two.

    Levels have the time of their own last change. Those that come back into the depth have an old one, so the rows of a message get the
    newest time that the book ever had.
    """
    parts, channel, native = message[1:-2], message[-2], message[-1]
    whole = "as" in parts[0] or "bs" in parts[0]
    sides: dict[str, Sequence[Any]] = {"bid": (), "ask": ()}
    checksum = None
    for part in parts:
        for key, side_levels in part.items():
            if key == "c":
                checksum = int(side_levels)
            elif key in _BOOK_SIDES:
                sides[_BOOK_SIDES[key]] = side_levels
    times = [level[2] for side_levels in sides.values() for level in side_levels]
    newest = decimal_to_ns(max(times, key=float, default=0), SECOND)
    ts = newest_time(memory, ("time", channel, native), newest, heard)
    for side, side_levels in sides.items():
        yield level_rows(native, ts, heard, ts, side, side_levels, whole=whole, space="time")
    depth = int(channel.partition("-")[2] or 10)
    yield Mark("book", native, starts=whole, checksum=checksum, channel=channel, depth=depth)


_BOOK_SIDES = {"as": "ask", "bs": "bid", "a": "ask", "b": "bid"}


def _new_trades(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Row]:
    del memory
    for entry in message["data"]:
        ts = iso(entry["timestamp"])
        yield trade(entry["symbol"], ts, heard, entry["price"], entry["qty"], entry["side"], entry.get("trade_id"))


def _new_ticker(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Row]:
    del memory
    for entry in message["data"]:
        ts = heard
        if "timestamp" in entry:  # since 2025
            ts = iso(entry["timestamp"])
        sides = (*best(entry["bid"], entry["bid_qty"]), *best(entry["ask"], entry["ask_qty"]))
        yield Row("quotes", entry["symbol"], (ts, heard, None, *sides))


def _new_bars(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Row]:
    """Yield the bars of which a later one came: nothing in a bar says whether it is over."""
    bars = []
    for entry in message["data"]:
        prices = (entry["open"], entry["high"], entry["low"], entry["close"])
        values = (iso(entry["interval_begin"]), *prices, entry["volume"], None, entry["trades"])
        bars.append(Row("ohlcv", entry["symbol"], values, timeframe_of(int(entry["interval"]))))
    yield from closed(memory, bars, heard)


def _new_book(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Item]:
    whole = message["type"] == "snapshot"
    for entry in message["data"]:
        native = entry["symbol"]
        ts = 0
        if "timestamp" in entry:
            ts = iso(entry["timestamp"])
        elif heard is not None:  # snapshots had no time until 2025
            ts = heard
        ts = newest_time(memory, ("time", "book", native), ts, heard)
        bids, asks = entry.get("bids", ()), entry.get("asks", ())
        for side, side_levels in (("bid", bids), ("ask", asks)):
            pairs = [(level["price"], level["qty"]) for level in side_levels]
            yield level_rows(native, ts, heard, ts, side, pairs, whole=whole, space="time")
        if whole and ("depth", native) not in memory:
            # Used where the subscription was not heard.
            memory["depth", native] = kept_depth("kraken", max(len(bids), len(asks)))
        depth = memory.get(("depth", native))
        yield Mark("book", native, starts=whole, checksum=entry.get("checksum"), channel="book", depth=depth)


_NEW: dict[Any, Callable[[Mapping[str, Any], int | None, Memory], Iterator[Item]]] = {
    "book": _new_book,
    "trade": _new_trades,
    "ticker": _new_ticker,
    "ohlc": _new_bars,
}


def _new(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Item]:
    return _NEW[message["channel"]](message, heard, memory)


def _channel(message: Sequence[Any]) -> str:
    """Return the channel of a list, without its parameter; empty if it is none of Kraken."""
    if len(message) < 4 or not isinstance(message[-2], str) or not isinstance(message[-1], str):
        return ""
    return message[-2].partition("-")[0]


def _fits_ticker(message: Sequence[Any]) -> bool:
    return _channel(message) == "ticker" and isinstance(message[1], dict) and "b" in message[1]


READERS: tuple[Reader, ...] = (
    Reader(
        lambda m: m.get("channel") in _NEW and m.get("type") in {"snapshot", "update"} and "data" in m,
        _new,
        remembers=True,
    ),
    Reader(lambda m: _channel(m) == "book" and isinstance(m[1], dict), _old_book, form=list, remembers=True),
    Reader(lambda m: _channel(m) == "trade", _trades, form=list),
    Reader(_fits_ticker, _ticker, form=list),
    Reader(lambda m: _channel(m) == "spread", _spread, form=list),
    Reader(lambda m: _channel(m) == "ohlc", _old_bar, form=list, remembers=True),
)
"""The readers of its messages. The first that fits reads the message."""
