"""What Bybit sends: v5, and the API of contracts until 2022. Formats are those of its public API documentation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ticklake.core.time import US, decimal_to_ns
from ticklake.sources.wire.reading import Item, Mark, Memory, Reader
from ticklake.sources.wire.rows import Row, iso, level_rows, ms, trade
from ticklake.sources.wire.states import best, merged, timeframe_of

__all__ = ["READERS"]

_LETTERS = {"D": "1d", "W": "1w", "M": "1M"}
_CLOSES = {"buy": "sell", "sell": "buy"}
"""The side of the order that ends a position: that of a long one is sold."""


def _trades(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Row]:
    del memory
    for entry in message["data"]:
        yield trade(entry["s"], ms(entry["T"]), heard, entry["p"], entry["v"], entry["S"], entry["i"])


def _book(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Item]:
    del memory
    data, whole = message["data"], message["type"] == "snapshot"
    native, number = data["s"], data["u"]
    ts = ms(message.get("cts", message["ts"]))
    yield level_rows(native, ts, heard, number, "bid", data["b"], whole=whole)
    yield level_rows(native, ts, heard, number, "ask", data["a"], whole=whole)
    channel = message["topic"].rpartition(".")[0]
    # 1 is the number of a whole book after the service began anew.
    yield Mark("book", native, number, number, starts=whole or number == 1, channel=channel)


def _tickers(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Row]:
    """Yield the kinds of which a field changed. Contracts send a whole ticker, then changes; spot markets send neither quotes nor rates."""
    part, ts = message["data"], ms(message["ts"])
    native = part["symbol"]
    ticker = merged(memory, ("ticker", message["topic"]), part, whole=message["type"] == "snapshot")
    if ticker is None:
        return
    if not _QUOTE.isdisjoint(part):
        bid = best(ticker.get("bid1Price"), ticker.get("bid1Size"))
        ask = best(ticker.get("ask1Price"), ticker.get("ask1Size"))
        yield Row("quotes", native, (ts, heard, message.get("cs"), *bid, *ask))
    if not _INTEREST.isdisjoint(part):
        interest, value = ticker.get("openInterest"), ticker.get("openInterestValue")
        yield Row("open_interest", native, (ts, interest or None, value or None))
    if not _FUNDING.isdisjoint(part) and ticker.get("fundingRate"):
        next_ts = None
        if ticker.get("nextFundingTime"):
            next_ts = ms(ticker["nextFundingTime"])
        values = (ts, heard, ticker["fundingRate"], next_ts, ticker.get("markPrice"), None)
        yield Row("predicted_funding", native, values)


_QUOTE = frozenset({"bid1Price", "bid1Size", "ask1Price", "ask1Size"})
_INTEREST = frozenset({"openInterest", "openInterestValue"})
_FUNDING = frozenset({"fundingRate", "nextFundingTime", "markPrice"})


def _bars(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Row]:
    """Yield the bars that are confirmed. Volumes of inverse contracts count dollars, their turnover counts coins."""
    del heard, memory
    native = message["topic"].rpartition(".")[2]
    for bar in message["data"]:
        if bar["confirm"] is not True:
            continue
        length = str(bar["interval"])
        timeframe = _LETTERS.get(length) or timeframe_of(int(length))
        volume, turnover = bar["volume"], bar["turnover"]
        if _is_inverse(native):
            volume, turnover = turnover, volume
        prices = (bar["open"], bar["high"], bar["low"], bar["close"])
        yield Row("ohlcv", native, (ms(bar["start"]), *prices, volume, turnover, None), timeframe)


def _is_inverse(native: str) -> bool:
    """Whether a name is one of an inverse contract: ``BTCUSD`` and ``BTCUSDH26``; the spot market prices nothing in USD."""
    base, _, rest = native.partition("USD")
    return bool(base) and (not rest or (len(rest) == 3 and rest[1:].isdigit()))


def _liquidations(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Row]:
    """Yield liquidations; Bybit names the side of the position, a lake the side of the order that closes it."""
    del memory
    entries = message["data"]
    if isinstance(entries, dict):  # the channel until 2025
        old = entries
        time, size = old.get("updatedTime", old.get("time")), old.get("size", old.get("qty"))
        entries = [{"T": time, "s": old["symbol"], "S": old["side"], "v": size, "p": old["price"]}]
    for entry in entries:
        side = _CLOSES.get(entry["S"].lower())
        yield Row("liquidations", entry["s"], (ms(entry["T"]), heard, None, entry["p"], entry["v"], side))


def _old_trades(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Row]:
    del memory
    for entry in message["data"]:
        entry = _snake(entry)
        # Until 2020 the time was told in whole seconds alone.
        ts = ms(entry["trade_time_ms"]) if "trade_time_ms" in entry else iso(entry["timestamp"])
        yield trade(entry["symbol"], ts, heard, entry["price"], entry["size"], entry["side"], entry["trade_id"])


def _snake(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an entry with the names that contracts in USDT have: those in USDC call them ``tradeId``."""
    return {_CAMEL.sub(r"_\g<0>", name).lower(): value for name, value in entry.items()}


_CAMEL = re.compile(r"(?<=[a-z])[A-Z]")


def _old_book(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Item]:
    """Yield the levels of a book, or those that were deleted, updated and inserted. Numbers ascend, and do not follow one another."""
    del memory
    message = _snake(message)
    data, whole = message["data"], message["type"] == "snapshot"
    native, seq = message["topic"].rpartition(".")[2], int(message["cross_seq"])
    ts = decimal_to_ns(message["timestamp_e6"], US)
    if whole:
        entries = data
        # Inverse contracts send the list itself, linear ones an object with it.
        if isinstance(data, dict):
            entries = _snake(data)["order_book"]
    else:
        entries = [*({**entry, "size": 0} for entry in data["delete"]), *data["update"], *data["insert"]]
    for entry in entries:
        side = _SIDES[entry["side"]]
        yield Row("book", native, (ts, heard, seq, side, entry["price"], entry["size"], None, whole))
    yield Mark("book", native, starts=whole, channel=message["topic"].rpartition(".")[0])


_SIDES = {"Buy": "bid", "Sell": "ask"}
_TOPICS: dict[str, Callable[[Mapping[str, Any], int | None, Memory], Iterator[Item]]] = {
    "publicTrade": _trades,
    "orderbook": _book,
    "tickers": _tickers,
    "kline": _bars,
    "allLiquidation": _liquidations,
    "liquidation": _liquidations,
    "trade": _old_trades,
    "orderBookL2_25": _old_book,
    "orderBook_200": _old_book,
}


def _read(message: Mapping[str, Any], heard: int | None, memory: Memory) -> Iterator[Item]:
    return _TOPICS[message["topic"].partition(".")[0]](message, heard, memory)


def _fits(message: Mapping[str, Any]) -> bool:
    topic = message.get("topic")
    return type(topic) is str and topic.partition(".")[0] in _TOPICS and "data" in message


READERS: tuple[Reader, ...] = (Reader(_fits, _read, remembers=True),)
"""The readers of its messages. The first that fits reads the message."""
