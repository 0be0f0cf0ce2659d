"""What Binance sends, of its spot market, USD-M and COIN-M futures. Formats are those of its public API documentation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ticklake.sources.wire.reading import Item, Mark, Reader
from ticklake.sources.wire.rows import Row, level_rows, levels, ms, new_row

__all__ = ["READERS"]

_Read = Callable[[Mapping[str, Any], int | None], Iterable[Item]]


def _trade(message: Mapping[str, Any], heard: int | None) -> Iterable[Row]:
    # Futures also report trades of the insurance fund and of auto-deleveraging, which are not made in the order book.
    if message.get("X", "MARKET") not in {"MARKET", ""}:
        return ()
    if message["e"] == "aggTrade":
        ident, space = message["a"], "agg"
    else:
        ident, space = message["t"], "raw"
    side = "buy"
    if message["m"]:  # the buyer was the maker
        side = "sell"
    values = (ms(message["T"]), heard, str(ident), message["p"], message["q"], side)
    return (new_row(Row, ("trades", message["s"], values, "", space, None)),)


def _depth(message: Mapping[str, Any], heard: int | None) -> Iterator[Item]:
    native, last = message["s"], message["u"]
    ts = ms(message.get("T", message["E"]))
    yield level_rows(native, ts, heard, last, "bid", message["b"], whole=False)
    yield level_rows(native, ts, heard, last, "ask", message["a"], whole=False)
    yield Mark("book", native, message["U"], last, message.get("pu"))


def _top_of_futures(message: Mapping[str, Any], heard: int | None, channel: str) -> Iterator[Item]:
    """Yield the best levels, which futures send in the form of changes: only the name of the stream tells."""
    native, last = message["s"], message["u"]
    ts, sides = ms(message.get("T", message["E"])), {"bid": message["b"], "ask": message["a"]}
    yield from levels(native, ts, heard, last, sides, whole=True)
    yield Mark("book", native, last, last, starts=True, channel=channel)


def _time(message: Mapping[str, Any], heard: int | None) -> int | None:
    """Return the time of a message: Binance's futures send one, its spot markets do not."""
    if "T" in message:
        return ms(message["T"])
    return heard


def _snapshot(message: Mapping[str, Any], heard: int | None, stream: str = "") -> Iterator[Item]:
    """Yield a whole book: the best levels from a stream, or the answer to a call, which does not name its market."""
    native, _, channel = stream.partition("@")
    native = native.upper()
    sides, last = {"bid": message["bids"], "ask": message["asks"]}, message["lastUpdateId"]
    yield from levels(native, _time(message, heard), heard, last, sides, whole=True)
    yield Mark("book", native, last, last, starts=True, channel=channel, fetched=not stream)


def _ticker(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    best = (message["b"], message["B"], message["a"], message["A"])
    yield Row("quotes", message["s"], (_time(message, heard), heard, message["u"], *best))


def _kline(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    del heard
    bar = message["k"]
    if not bar["x"]:
        return
    native = bar["s"]
    # The volume of COIN-M futures counts contracts, and what others call the quote's volume is that of the coin.
    volume, quote_volume = bar["v"], bar["q"]
    if "USD_" in native:
        volume, quote_volume = quote_volume, None
    prices = (bar["o"], bar["h"], bar["l"], bar["c"])
    yield Row("ohlcv", native, (ms(bar["t"]), *prices, volume, quote_volume, bar["n"]), bar["i"])


def _price_bar(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    """Yield a bar of the mark price, or of the index price, which is named by its pair (COIN-M)."""
    del heard
    bar = message["k"]
    if bar["x"]:
        kind, native = _PRICE_BARS[message["e"]], bar.get("s") or message["ps"]
        if kind == "index_ohlcv":
            native = message["ps"]
        yield Row(kind, native, (ms(bar["t"]), bar["o"], bar["h"], bar["l"], bar["c"], None, None, None), bar["i"])


_PRICE_BARS = {"markPrice_kline": "mark_ohlcv", "indexPrice_kline": "index_ohlcv"}


def _mark_price(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    """Yield the rate that will be paid; delivery contracts have none."""
    if message.get("r"):
        next_ts = None
        if message.get("T"):
            next_ts = ms(message["T"])
        values = (ms(message["E"]), heard, message["r"], next_ts, message["p"], None)
        yield Row("predicted_funding", message["s"], values)


def _liquidation(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    order = message["o"]
    price, amount = order["ap"], order["z"]
    if float(amount) == 0:  # nothing is filled yet: the order as it was given
        price, amount = order["p"], order["q"]
    yield Row("liquidations", order["s"], (ms(order["T"]), heard, None, price, amount, order["S"].lower()))


_EVENTS: dict[Any, _Read] = {
    "depthUpdate": _depth,
    "bookTicker": _ticker,
    "trade": _trade,
    "aggTrade": _trade,
    "kline": _kline,
    "markPriceUpdate": _mark_price,
    "forceOrder": _liquidation,
    "markPrice_kline": _price_bar,
    "indexPrice_kline": _price_bar,
}


def _event(message: Mapping[str, Any], heard: int | None) -> Iterable[Item]:
    return _EVENTS[message["e"]](message, heard)


def _stream(message: Mapping[str, Any], heard: int | None) -> Iterable[Item]:
    """Read a message of a combined stream, which names the stream: ``btcusdt@depth20@100ms``."""
    data = message["data"]
    if type(data) is list:
        return _list(data, heard)
    event = data.get("e")
    if event == "depthUpdate" and _is_top(message["stream"]):
        return _top_of_futures(data, heard, message["stream"].partition("@")[2])
    if event is not None:
        return _EVENTS[event](data, heard)
    if "lastUpdateId" in data:
        return _snapshot(data, heard, message["stream"])
    return _ticker(data, heard)


def _list(messages: Sequence[Mapping[str, Any]], heard: int | None) -> Iterator[Item]:
    """Read the messages of streams of all markets, like ``!markPrice@arr``."""
    for message in messages:
        yield from _event(message, heard)


def _is_top(stream: str) -> bool:
    """Whether a stream has the best levels, like ``btcusdt@depth20@100ms``, not changes, like ``btcusdt@depth@100ms``."""
    return "@depth" in stream and stream.partition("@depth")[2][:1].isdigit()


def _fits_stream(message: Mapping[str, Any]) -> bool:
    if "stream" not in message:
        return False
    data = message.get("data")
    if type(data) is list:
        return _fits_list(data)
    if not isinstance(data, dict):
        return False
    event = data.get("e")
    if event is not None:
        return event in _EVENTS
    return "lastUpdateId" in data or ("B" in data and "A" in data and "u" in data)


def _fits_list(messages: Sequence[Any]) -> bool:
    return bool(messages) and all(isinstance(message, dict) and message.get("e") in _EVENTS for message in messages)


READERS: tuple[Reader, ...] = (
    Reader(_fits_stream, _stream),
    Reader(lambda m: m.get("e") in _EVENTS, _event),
    Reader(lambda m: "lastUpdateId" in m and "bids" in m and "asks" in m, _snapshot),
    Reader(lambda m: "u" in m and "B" in m and "A" in m and "b" in m, _ticker),
    Reader(_fits_list, _list, form=list),
)
"""The readers of its messages. The first that fits reads the message."""
