"""What Deribit (v2) sends. Formats are those of its public API documentation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ticklake.sources.wire.reading import Item, Mark, Memory, Reader
from ticklake.sources.wire.rows import Row, ms, trade
from ticklake.sources.wire.states import best, closed, merged, timeframe_of

__all__ = ["READERS"]

_OPPOSITE = {"buy": "sell", "sell": "buy"}


def _book(channel: str, book: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Item]:
    """Yield the levels of a book: (action, price, amount) in books and changes, (price, amount) in books of some levels."""
    del memory
    native, number, ts = book["instrument_name"], book["change_id"], ms(book["timestamp"])
    whole = book.get("type", "snapshot") == "snapshot"
    for side, side_levels in (("bid", book["bids"]), ("ask", book["asks"])):
        for level in side_levels:
            price, amount = level[-2], level[-1]
            if level[0] == "delete":
                amount = 0
            yield Row("book", native, (ts, heard, number, side, price, amount, None, whole))
    # Changes arrive at every interval, books of some levels are named otherwise: each channel is a book of its own.
    yield Mark("book", native, number, number, book.get("prev_change_id"), whole, channel=channel)


def _trades(channel: str, trades: list[Mapping[str, Any]], heard: int | None, memory: Memory) -> Iterator[Item]:
    """Yield trades, and those that ended a position by force as liquidations, too."""
    del channel, memory
    numbers: dict[str, list[int]] = {}
    for entry in trades:
        ts, side = ms(entry["timestamp"]), entry["direction"]
        native, ident = entry["instrument_name"], entry["trade_id"]
        price, amount = entry["price"], entry["amount"]
        numbers.setdefault(native, []).append(int(entry["trade_seq"]))
        yield trade(native, ts, heard, price, amount, side, ident)
        if entry.get("liquidation"):
            if entry["liquidation"] == "M":  # the maker was liquidated, not the taker, nor both
                side = _OPPOSITE.get(side)
            yield Row("liquidations", native, (ts, heard, str(ident), price, amount, side))
    for native, of_market in numbers.items():
        yield Mark("trades", native, min(of_market), max(of_market))


def _ticker(channel: str, part: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Row]:
    """Yield the best quote, the open interest, and the rate of a perpetual; the incremental channel sends only what changed."""
    whole = channel.startswith("ticker.") or part.get("type") == "snapshot"
    ticker = merged(memory, ("ticker", channel), part, whole=whole)
    if ticker is None:
        return
    native, ts = ticker["instrument_name"], ms(part["timestamp"])
    yield from _quote(channel, ticker, heard, memory)
    if ticker.get("open_interest") is not None and "open_interest" in part:
        yield Row("open_interest", native, (ts, ticker["open_interest"], None))
    if ticker.get("current_funding") is not None and not _FUNDING.isdisjoint(part):
        values = (ts, heard, ticker["current_funding"], None, ticker.get("mark_price"), None)
        yield Row("predicted_funding", native, values)


_FUNDING = frozenset({"current_funding", "mark_price"})


def _quote(channel: str, quote: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Row]:
    del channel, memory
    bid = best(quote.get("best_bid_price"), quote.get("best_bid_amount"))
    ask = best(quote.get("best_ask_price"), quote.get("best_ask_amount"))
    if bid != ask:  # a side without orders is nothing; options often have none at all
        yield Row("quotes", quote["instrument_name"], (ms(quote["timestamp"]), heard, None, *bid, *ask))


def _chart(channel: str, bar: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Row]:
    """Yield the bar before this one, if this one is new: nothing in a bar says whether it is over."""
    _, _, native, resolution = channel.split(".")
    timeframe = "1d"
    if resolution != "1D":
        timeframe = timeframe_of(int(resolution))
    prices = (bar["open"], bar["high"], bar["low"], bar["close"])
    values = (ms(bar["tick"]), *prices, bar["volume"], bar.get("cost"), None)
    yield from closed(memory, [Row("ohlcv", native, values, timeframe)], heard)


_CHANNELS: dict[str, Callable[..., Iterator[Item]]] = {
    "book": _book,
    "trades": _trades,
    "ticker": _ticker,
    "incremental_ticker": _ticker,
    "quote": _quote,
    "chart": _chart,
}


def _read(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Item]:
    parameters = message["params"]
    channel = parameters["channel"]
    return _CHANNELS[channel.partition(".")[0]](channel, parameters["data"], heard, memory)


def _fits(message: Mapping[str, Any]) -> bool:
    parameters = message.get("params")
    if message.get("method") != "subscription" or type(parameters) is not dict or "data" not in parameters:
        return False
    channel = parameters.get("channel")
    return type(channel) is str and channel.partition(".")[0] in _CHANNELS


READERS: tuple[Reader, ...] = (Reader(_fits, _read, remembers=True),)
"""The readers of its messages. The first that fits reads the message."""
