"""Read rows from recorded messages of exchanges: a pure function per kind of message, and a table that finds it.

Rows are read of what is final and belongs to a kind: trades, best quotes, price levels, closed bars. Orders of single
participants (L3), statistics of a day and instruments do not. Formats are those of the exchanges' public API documentation; Coinbase
reports the maker's side, all other exchanges here the taker's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ticklake.core.time import SECOND, decimal_to_ns, parse_time
from ticklake.sources.wire.rows import Row, levels, ms, trade

__all__ = ["Row", "read_message"]

_Reader = tuple[Callable[[Any], bool], Callable[[Any, int | None], Iterator[Row]]]
"""A test whether a message is of some kind, and the function that reads such messages."""
_OTHER_SIDE = {"BUY": "sell", "SELL": "buy", "buy": "sell", "sell": "buy"}


def read_message(message: Any, heard: int | None) -> list[Row] | None:
    """Return the rows in one message of an exchange, or ``None`` if the tables have no reader for it.

    Parameters
    ----------
    message
        The parsed JSON.
    heard
        When it was received, in nanoseconds, if that was recorded. Rows without a time of their own get it.
    """
    if isinstance(message, dict) and "stream" in message:
        # Binance wraps the messages of combined streams.
        message = message.get("data")
    for fits, read in _readers_of(message):
        if fits(message):
            return list(read(message, heard))
    return None


def _readers_of(message: Any) -> Sequence[_Reader]:
    if isinstance(message, list):
        return _LIST_READERS
    if isinstance(message, dict):
        return _OBJECT_READERS
    return ()


def _binance_trade(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    # Futures also report trades of the insurance fund and of auto-deleveraging, which are not made in the order book.
    if message.get("X", "MARKET") not in {"MARKET", ""}:
        return
    if message["e"] == "aggTrade":
        ident, space = message["a"], "agg"
    else:
        ident, space = message["t"], "raw"
    side = "buy"
    if message["m"]:  # the buyer was the maker
        side = "sell"
    values = (ms(message["T"]), heard, str(ident), message["p"], message["q"], side)
    yield Row("trades", message["s"], values, space=space)


def _binance_depth(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    ts, sides = ms(message.get("T", message["E"])), {"bid": message["b"], "ask": message["a"]}
    yield from levels(message["s"], ts, heard, message["u"], sides, whole=False)


def _binance_time(message: Mapping[str, Any], heard: int | None) -> int | None:
    """Return the time of a message: Binance's futures send one, its spot markets do not."""
    if "T" in message:
        return ms(message["T"])
    return heard


def _binance_snapshot(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    sides = {"bid": message["bids"], "ask": message["asks"]}
    yield from levels("", _binance_time(message, heard), heard, message["lastUpdateId"], sides, whole=True)


def _binance_ticker(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    best = (message["b"], message["B"], message["a"], message["A"])
    yield Row("quotes", message["s"], (_binance_time(message, heard), heard, message["u"], *best))


def _binance_kline(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    del heard
    bar = message["k"]
    if bar["x"]:
        prices = tuple(bar[name] for name in "ohlcv")
        yield Row("ohlcv", bar["s"], (ms(bar["t"]), *prices, bar["q"], bar["n"]), bar["i"])


def _hyperliquid(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    if message["channel"] == "trades":
        for entry in message["data"]:
            side = {"B": "buy", "A": "sell"}[entry["side"]]
            yield trade(entry["coin"], ms(entry["time"]), heard, entry["px"], entry["sz"], side, entry["tid"])
        return
    book = message["data"]
    sides: dict[str, list[Any]] = {"bid": [], "ask": []}
    for side, side_levels in zip(sides, book["levels"], strict=True):
        for level in side_levels:
            sides[side].append((level["px"], level["sz"], level["n"]))
    yield from levels(book["coin"], ms(book["time"]), heard, book["time"], sides, whole=True)


def _bybit(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    data = message["data"]
    if message["topic"].startswith("publicTrade."):
        for entry in data:
            yield trade(entry["s"], ms(entry["T"]), heard, entry["p"], entry["v"], entry["S"], entry["i"])
        return
    sides, ts = {"bid": data["b"], "ask": data["a"]}, ms(message.get("cts", message["ts"]))
    yield from levels(data["s"], ts, heard, data["u"], sides, whole=message["type"] == "snapshot")


def _okx(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for entry in message["data"]:
        yield trade(entry["instId"], ms(entry["ts"]), heard, entry["px"], entry["sz"], entry["side"], entry["tradeId"])


def _okx_ticker(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for entry in message["data"]:
        best = (entry["bidPx"], entry["bidSz"], entry["askPx"], entry["askSz"])
        yield Row("quotes", entry["instId"], (ms(entry["ts"]), heard, None, *best))


def _kraken(message: Sequence[Any], heard: int | None) -> Iterator[Row]:
    for price, amount, time, side, *_ in message[1]:
        yield trade(message[3], decimal_to_ns(time, SECOND), heard, price, amount, side)


def _kraken_ticker(message: Sequence[Any], heard: int | None) -> Iterator[Row]:
    """Yield the best quote. Its sides are (price, whole lots, amount), and it has no time of its own."""
    bid, ask = message[1]["b"], message[1]["a"]
    yield Row("quotes", message[3], (heard, heard, None, bid[0], bid[2], ask[0], ask[2]))


def _coinbase(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for event in message["events"]:
        for entry in event.get("trades", ()):
            ts, side = parse_time(entry["time"]), _OTHER_SIDE.get(entry["side"])
            yield trade(entry["product_id"], ts, heard, entry["price"], entry["size"], side, entry["trade_id"])


def _coinbase_ticker(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    ts = parse_time(message["timestamp"])
    for event in message["events"]:
        for entry in event["tickers"]:
            best = (entry["best_bid"], entry["best_bid_quantity"], entry["best_ask"], entry["best_ask_quantity"])
            yield Row("quotes", entry["product_id"], (ts, heard, None, *best))


def _coinbase_book(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    sides = {"bid": message["bids"], "ask": message["asks"]}
    ts = parse_time(message["captured_at"])
    yield from levels(message["product"], ts, heard, message["sequence"], sides, whole=True)


def _kucoin(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    entry = message["data"]
    yield trade(
        entry["symbol"], int(entry["time"]), heard, entry["price"], entry["size"], entry["side"], entry["tradeId"]
    )


def _kucoin_ticker(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    entry = message["data"]
    best = (entry["bestBid"], entry["bestBidSize"], entry["bestAsk"], entry["bestAskSize"])
    native = message["topic"].partition(":")[2]
    yield Row("quotes", native, (ms(entry["time"]), heard, int(entry["sequence"]), *best))


def _gate(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    entry = message["result"]
    ts = ms(entry["create_time_ms"])
    yield trade(entry["currency_pair"], ts, heard, entry["price"], entry["amount"], entry["side"], entry["id"])


def _cryptocom(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for entry in message["result"]["data"]:
        yield trade(entry["i"], ms(entry["t"]), heard, entry["p"], entry["q"], entry["s"], entry["d"])


def _bitmex(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for entry in message["data"]:
        ts = parse_time(entry["timestamp"])
        yield trade(entry["symbol"], ts, heard, entry["price"], entry["size"], entry["side"], entry["trdMatchID"])


def _bitmex_quote(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for entry in message["data"]:
        best = (entry.get("bidPrice"), entry.get("bidSize"), entry.get("askPrice"), entry.get("askSize"))
        yield Row("quotes", entry["symbol"], (parse_time(entry["timestamp"]), heard, None, *best))


def _dydx(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for entry in message["contents"]["trades"]:
        yield trade(message["id"], parse_time(entry["createdAt"]), heard, entry["price"], entry["size"], entry["side"])


def _upbit(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    quote, _, base = message["cd"].partition("-")
    yield trade(
        f"{base}-{quote}", ms(message["ttms"]), heard, message["tp"], message["tv"], message["ab"], message["sid"]
    )


def _htx(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    native = message["ch"].split(".")[1].upper()
    for entry in message["tick"]["data"]:
        yield trade(
            native, ms(entry["ts"]), heard, entry["price"], entry["amount"], entry["direction"], entry["tradeId"]
        )


_LIST_READERS: tuple[_Reader, ...] = (
    (lambda m: len(m) == 4 and m[2] == "trade", _kraken),
    (lambda m: len(m) == 4 and m[2] == "ticker" and "b" in m[1], _kraken_ticker),
)
"""The readers of messages that are lists. The first that fits reads the message."""
_OBJECT_READERS: tuple[_Reader, ...] = (
    (lambda m: m.get("e") in {"aggTrade", "trade"}, _binance_trade),
    (lambda m: m.get("e") == "depthUpdate", _binance_depth),
    (lambda m: m.get("e") == "kline", _binance_kline),
    (lambda m: {"u", "s", "b", "B", "a", "A"} <= set(m), _binance_ticker),
    (lambda m: {"lastUpdateId", "bids", "asks"} <= set(m), _binance_snapshot),
    (lambda m: m.get("channel") in {"trades", "l2Book"} and "coin" in str(m.get("data"))[:20], _hyperliquid),
    (lambda m: str(m.get("topic")).startswith(("publicTrade.", "orderbook.")) and "data" in m, _bybit),
    (lambda m: str(m.get("topic")).startswith("/market/match:"), _kucoin),
    (lambda m: str(m.get("topic")).startswith("/market/ticker:") and "bestBid" in m.get("data", ()), _kucoin_ticker),
    (lambda m: isinstance(m.get("arg"), dict) and m["arg"].get("channel") == "trades" and "data" in m, _okx),
    (lambda m: isinstance(m.get("arg"), dict) and m["arg"].get("channel") == "tickers" and "data" in m, _okx_ticker),
    (lambda m: m.get("channel") == "market_trades", _coinbase),
    (lambda m: m.get("channel") == "ticker" and "best_bid" in str(m.get("events")), _coinbase_ticker),
    (lambda m: {"product", "captured_at", "sequence", "bids"} <= set(m), _coinbase_book),
    (lambda m: m.get("channel") == "spot.trades" and m.get("event") == "update", _gate),
    (lambda m: isinstance(m.get("result"), dict) and m["result"].get("channel") == "trade", _cryptocom),
    (lambda m: m.get("table") == "trade" and m.get("action") in {"insert", "partial"}, _bitmex),
    (lambda m: m.get("table") == "quote" and m.get("action") in {"insert", "partial"}, _bitmex_quote),
    (lambda m: m.get("channel") == "v3_trades" and isinstance(m.get("contents"), dict), _dydx),
    (lambda m: m.get("ty") == "trade", _upbit),
    (lambda m: str(m.get("ch")).endswith(".trade.detail") and "tick" in m, _htx),
)
"""The readers of messages that are objects. The first that fits reads the message."""
