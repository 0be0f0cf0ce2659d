"""What Gate sends, of its spot market and its futures (v4), and sent until 2021 (v3). Formats are those of its public API documentation.

Amounts of contracts are counts of contracts. Their sign is the side of the taker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ticklake.core.native_ids import Market
from ticklake.core.time import SECOND, decimal_to_ns
from ticklake.sources.wire.reading import Mark, Reader
from ticklake.sources.wire.rows import BY_TIME, Row, levels, ms, pairs, trade

__all__ = ["READERS"]


def _channel(*names: str) -> Any:
    """Return a test for messages with data of these channels."""
    return lambda m: m["channel"] in names and m["event"] in {"update", "all"} and "result" in m


def _market(native: str) -> Market:
    """Return in what a contract is settled: those on dollars in bitcoin."""
    if native.endswith("_USD"):
        return "inverse"
    return "linear"


def _entries(message: Mapping[str, Any]) -> list[Any]:
    """Return the entries of a message, whether it has one or a list of them."""
    result = message["result"]
    # In 2021 lists of tickers were in a list for some time.
    if isinstance(result, list) and result and isinstance(result[0], list):
        return [entry for entries in result for entry in entries]
    if isinstance(result, list):
        return result
    return [result]


def _trades(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for entry in _entries(message):
        ts = ms(entry["create_time_ms"])
        yield trade(entry["currency_pair"], ts, heard, entry["price"], entry["amount"], entry["side"], entry["id"])


def _signed(entry: Mapping[str, Any], name: str) -> tuple[str, str]:
    """Return the amount of an entry without its sign, and the side that the sign is."""
    text = str(entry[name])
    if text.startswith("-"):
        return text[1:], "sell"
    return text, "buy"


def _contract_trades(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for entry in _entries(message):
        amount, side = _signed(entry, "size")
        native, ident = entry["contract"], entry["id"]
        ts = _trade_time(entry)
        yield trade(native, ts, heard, entry["price"], amount, side, ident, market=_market(native))


def _trade_time(entry: Mapping[str, Any]) -> int:
    """Return when a trade was made; milliseconds came later."""
    if "create_time_ms" in entry:
        return ms(entry["create_time_ms"])
    return decimal_to_ns(entry["create_time"], SECOND)


def _liquidations(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for entry in _entries(message):
        amount, side = _signed(entry, "size")
        native, ts = entry["contract"], ms(entry["time_ms"] if "time_ms" in entry else entry["time"])
        yield trade(native, ts, heard, entry["price"], amount, side, market=_market(native), kind="liquidations")


def _quote(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    entry = message["result"]
    native, market = entry["s"], None
    if message["channel"].startswith("futures."):
        market = _market(native)
    best = (entry["b"], entry["B"], entry["a"], entry["A"])
    yield Row("quotes", native, (ms(entry["t"]), heard, int(entry["u"]), *best), market=market)


def _ticker(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    """Yield the best prices, whose amounts it does not send."""
    for entry in _entries(message):
        best = (entry["highest_bid"], None, entry["lowest_ask"], None)
        yield Row("quotes", entry["currency_pair"], (_time(message), heard, None, *best))


def _time(message: Mapping[str, Any]) -> int:
    """Return when a message was sent; milliseconds came later."""
    if "time_ms" in message:
        return ms(message["time_ms"])
    return decimal_to_ns(message["time"], SECOND)


def _contract_ticker(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    ts = _time(message)
    for entry in _entries(message):
        native = entry["contract"]
        market = _market(native)
        if entry.get("total_size") is not None:
            yield Row("open_interest", native, (ts, entry["total_size"], None), market=market)
        if entry.get("funding_rate") is not None:
            values = (ts, heard, entry["funding_rate"], None, entry.get("mark_price"), None)
            yield Row("predicted_funding", native, values, market=market)


def _changes(message: Mapping[str, Any], heard: int | None) -> Iterator[Row | Mark]:
    entry = message["result"]
    last, whole = int(entry["u"]), bool(entry.get("full"))
    native = _plain(entry["s"])
    bids, asks = entry.get("b") or (), entry.get("a") or ()
    yield from levels(native, ms(entry["t"]), heard, last, {"bid": bids, "ask": asks}, whole=whole)
    first = int(entry.get("U", last))
    yield Mark("book", native, first, last, starts=whole)


def _plain(native: str) -> str:
    """Return the market of ``ob.BTC_USDT.400``, as the channel of best levels calls it."""
    if native.startswith("ob."):
        return native.split(".")[1]
    return native


def _contract_changes(message: Mapping[str, Any], heard: int | None) -> Iterator[Row | Mark]:
    entry = message["result"]
    native, last, whole = _plain(entry["s"]), int(entry["u"]), bool(entry.get("full"))
    sides = {"bid": _levels(entry.get("b") or ()), "ask": _levels(entry.get("a") or ())}
    yield from levels(native, ms(entry["t"]), heard, last, sides, whole=whole, market=_market(native))
    yield Mark("book", native, int(entry.get("U", last)), last, starts=whole)


def _levels(entries: Any) -> list[Any]:
    """Return levels as pairs: the older channel sends objects."""
    if entries and isinstance(entries[0], dict):
        return pairs(entries, "p", "s")
    return list(entries)


def _whole(message: Mapping[str, Any], heard: int | None) -> Iterator[Row | Mark]:
    entry = message["result"]
    number, sides = int(entry["lastUpdateId"]), {"bid": entry["bids"], "ask": entry["asks"]}
    yield from levels(entry["s"], ms(entry["t"]), heard, number, sides, whole=True)
    yield Mark("book", entry["s"], number, number, starts=True)


_NAMES = {"bid": "bids", "ask": "asks"}


def _contract_whole(message: Mapping[str, Any], heard: int | None) -> Iterator[Row | Mark]:
    entry = message["result"]
    native, sides = entry["contract"], {side: pairs(entry[name], "p", "s") for side, name in _NAMES.items()}
    if "id" not in entry:  # before 2022
        ts = _time(message)
        yield from levels(native, ts, heard, ts, sides, whole=True, space=BY_TIME, market=_market(native))
        yield Mark("book", native, starts=True)
        return
    number = int(entry["id"])
    yield from levels(native, ms(entry["t"]), heard, number, sides, whole=True, market=_market(native))
    yield Mark("book", native, number, number, starts=True)


def _candle(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    """Yield the bars that are over, by the flag that Gate sends since 2022."""
    del heard
    for bar in _entries(message):
        if bar.get("w") is not True:
            continue
        timeframe, _, native = bar["n"].partition("_")
        ts = decimal_to_ns(bar["t"], SECOND)
        values: tuple[Any, ...] = (bar["o"], bar["h"], bar["l"], bar["c"])
        if message["channel"].startswith("spot."):
            yield Row("ohlcv", native, (ts, *values, bar["a"], bar["v"], None), timeframe)
        else:
            yield Row("ohlcv", native, (ts, *values, bar["v"], None, None), timeframe, market=_market(native))


def _method(*names: str) -> Any:
    """Return a test for messages of the third API."""
    return lambda m: m["method"] in names and isinstance(m["params"], list)


def _old_trades(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    native, entries = message["params"]
    for entry in entries:
        ts = decimal_to_ns(entry["time"], SECOND)
        yield trade(native, ts, heard, entry["price"], entry["amount"], entry["type"], entry["id"])


def _old_book(message: Mapping[str, Any], heard: int | None) -> Iterator[Row | Mark]:
    """Yield a book, or a change of it, which have neither time nor number."""
    whole, book, native = message["params"]
    sides = {"bid": book.get("bids") or (), "ask": book.get("asks") or ()}
    yield from levels(native, heard, heard, heard, sides, whole=whole is True, space=BY_TIME)
    yield Mark("book", native, starts=whole is True)


def _nothing(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    """Yield nothing: statistics of a day have no best prices, and no message says that a bar is over."""
    del message, heard
    yield from ()


READERS: tuple[Reader, ...] = (
    Reader(_channel("spot.trades", "spot.trades_v2"), _trades),
    Reader(_channel("futures.trades"), _contract_trades),
    Reader(_channel("futures.liquidates", "futures.public_liquidates"), _liquidations),
    Reader(_channel("spot.book_ticker", "futures.book_ticker"), _quote),
    Reader(_channel("spot.tickers"), _ticker),
    Reader(_channel("futures.tickers"), _contract_ticker),
    Reader(_channel("spot.order_book_update", "spot.obu"), _changes),
    Reader(_channel("futures.order_book_update", "futures.obu"), _contract_changes),
    Reader(_channel("spot.order_book"), _whole),
    Reader(lambda m: _channel("futures.order_book")(m) and isinstance(m["result"], dict), _contract_whole),
    Reader(
        lambda m: _channel("spot.candlesticks", "futures.candlesticks")(m) and "mark_" not in str(m["result"]), _candle
    ),
    Reader(_method("trades.update"), _old_trades),
    Reader(_method("depth.update"), _old_book),
    Reader(_method("ticker.update", "kline.update"), _nothing),
)
"""The readers of its messages. The first that fits reads the message."""
