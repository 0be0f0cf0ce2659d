"""Rows out of recorded messages of exchanges: pure functions from one message to rows, and a table of which is which.

Only what is final and has a place in a kind is taken: trades, best quotes, price levels, closed bars. Orders of single
participants (L3), statistics of a day and instruments have none. Formats are those of the exchanges' public API documentation; Coinbase
reports the maker's side, everybody else here the taker's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ticklake.core.time import SECOND, decimal_to_ns, parse_time
from ticklake.sources.wire.rows import Row, levels, ms, trade

__all__ = ["Row", "read_message"]

_Sort = tuple[Callable[[Any], bool], Callable[[Any, int | None], Iterator[Row]]]
"""Whether a message is of a sort, and what reads it then."""
_TURNED = {"BUY": "sell", "SELL": "buy", "buy": "sell", "sell": "buy"}


def read_message(message: Any, heard: int | None) -> list[Row] | None:
    """Return the rows in one message of an exchange, or ``None`` if it is of a sort that no row of the table reads.

    Parameters
    ----------
    message
        Its JSON.
    heard
        When it was received, in nanoseconds, if that was recorded. It is the time of what has no other.
    """
    inner = message.get("data") if isinstance(message, dict) and "stream" in message else message
    for fits, read in _sorts_of(inner):
        if fits(inner):
            return list(read(inner, heard))
    return None


def _sorts_of(message: Any) -> Sequence[_Sort]:
    if isinstance(message, list):
        return _LISTS
    return _SORTS if isinstance(message, dict) else ()


def _taker(buyer_was_maker: bool) -> str:
    return "sell" if buyer_was_maker else "buy"


def _binance_trade(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    ident = message["a"] if message["e"] == "aggTrade" else message["t"]
    if message.get("X", "MARKET") in {"MARKET", ""}:
        side = _taker(message["m"])
        values = (ms(message["T"]), heard, str(ident), message["p"], message["q"], side)
        yield Row("trades", message["s"], values, space="agg" if message["e"] == "aggTrade" else "raw")


def _binance_depth(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    ts, sides = ms(message.get("T", message["E"])), {"bid": message["b"], "ask": message["a"]}
    yield from levels(message["s"], ts, heard, message["u"], sides, whole=False)


def _binance_snapshot(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    ts = ms(message["T"]) if "T" in message else heard
    sides = {"bid": message["bids"], "ask": message["asks"]}
    yield from levels("", ts, heard, message["lastUpdateId"], sides, whole=True)


def _binance_ticker(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    ts = ms(message["T"]) if "T" in message else heard
    best = (message["b"], message["B"], message["a"], message["A"])
    yield Row("quotes", message["s"], (ts, heard, message["u"], *best))


def _binance_kline(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    del heard
    bar = message["k"]
    if bar["x"]:
        prices = tuple(bar[name] for name in "ohlcv")
        yield Row("ohlcv", bar["s"], (ms(bar["t"]), *prices, bar["q"], bar["n"]), bar["i"])


def _hyperliquid(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    if message["channel"] == "trades":
        for one in message["data"]:
            side = {"B": "buy", "A": "sell"}[one["side"]]
            yield trade(one["coin"], ms(one["time"]), heard, one["px"], one["sz"], side, one["tid"])
        return
    book = message["data"]
    bids, asks = ([(level["px"], level["sz"], level["n"]) for level in side] for side in book["levels"])
    sides = {"bid": bids, "ask": asks}
    yield from levels(book["coin"], ms(book["time"]), heard, book["time"], sides, whole=True)


def _bybit(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    data = message["data"]
    if message["topic"].startswith("publicTrade."):
        for one in data:
            yield trade(one["s"], ms(one["T"]), heard, one["p"], one["v"], one["S"], one["i"])
        return
    sides, ts = {"bid": data["b"], "ask": data["a"]}, ms(message.get("cts", message["ts"]))
    yield from levels(data["s"], ts, heard, data["u"], sides, whole=message["type"] == "snapshot")


def _okx(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for one in message["data"]:
        yield trade(one["instId"], ms(one["ts"]), heard, one["px"], one["sz"], one["side"], one["tradeId"])


def _okx_ticker(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for one in message["data"]:
        best = (one["bidPx"], one["bidSz"], one["askPx"], one["askSz"])
        yield Row("quotes", one["instId"], (ms(one["ts"]), heard, None, *best))


def _kraken(message: Sequence[Any], heard: int | None) -> Iterator[Row]:
    for price, amount, time, side, *_ in message[1]:
        yield trade(message[3], decimal_to_ns(time, SECOND), heard, price, amount, side)


def _kraken_ticker(message: Sequence[Any], heard: int | None) -> Iterator[Row]:
    """Yield the best quote; its sides are (price, whole lots, amount), and it has no time of its own."""
    bid, ask = message[1]["b"], message[1]["a"]
    yield Row("quotes", message[3], (heard, heard, None, bid[0], bid[2], ask[0], ask[2]))


def _coinbase(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for event in message["events"]:
        for one in event.get("trades", ()):
            ts, side = parse_time(one["time"]), _TURNED.get(one["side"])
            yield trade(one["product_id"], ts, heard, one["price"], one["size"], side, one["trade_id"])


def _coinbase_ticker(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    ts = parse_time(message["timestamp"])
    for event in message["events"]:
        for one in event["tickers"]:
            best = (one["best_bid"], one["best_bid_quantity"], one["best_ask"], one["best_ask_quantity"])
            yield Row("quotes", one["product_id"], (ts, heard, None, *best))


def _coinbase_book(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    sides = {"bid": message["bids"], "ask": message["asks"]}
    ts = parse_time(message["captured_at"])
    yield from levels(message["product"], ts, heard, message["sequence"], sides, whole=True)


def _kucoin(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    one = message["data"]
    yield trade(one["symbol"], int(one["time"]), heard, one["price"], one["size"], one["side"], one["tradeId"])


def _kucoin_ticker(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    one = message["data"]
    best = (one["bestBid"], one["bestBidSize"], one["bestAsk"], one["bestAskSize"])
    native = message["topic"].partition(":")[2]
    yield Row("quotes", native, (ms(one["time"]), heard, int(one["sequence"]), *best))


def _gate(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    one = message["result"]
    ts = ms(one["create_time_ms"])
    yield trade(one["currency_pair"], ts, heard, one["price"], one["amount"], one["side"], one["id"])


def _cryptocom(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for one in message["result"]["data"]:
        yield trade(one["i"], ms(one["t"]), heard, one["p"], one["q"], one["s"], one["d"])


def _bitmex(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for one in message["data"]:
        ts = parse_time(one["timestamp"])
        yield trade(one["symbol"], ts, heard, one["price"], one["size"], one["side"], one["trdMatchID"])


def _bitmex_quote(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for one in message["data"]:
        best = (one.get("bidPrice"), one.get("bidSize"), one.get("askPrice"), one.get("askSize"))
        yield Row("quotes", one["symbol"], (parse_time(one["timestamp"]), heard, None, *best))


def _dydx(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for one in message["contents"]["trades"]:
        yield trade(message["id"], parse_time(one["createdAt"]), heard, one["price"], one["size"], one["side"])


def _upbit(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    quote, _, base = message["cd"].partition("-")
    yield trade(
        f"{base}-{quote}", ms(message["ttms"]), heard, message["tp"], message["tv"], message["ab"], message["sid"]
    )


def _htx(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    native = message["ch"].split(".")[1].upper()
    for one in message["tick"]["data"]:
        yield trade(native, ms(one["ts"]), heard, one["price"], one["amount"], one["direction"], one["tradeId"])


_LISTS: tuple[_Sort, ...] = (
    (lambda m: len(m) == 4 and m[2] == "trade", _kraken),
    (lambda m: len(m) == 4 and m[2] == "ticker" and "b" in m[1], _kraken_ticker),
)
"""The same for messages that are lists."""
_SORTS: tuple[_Sort, ...] = (
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
"""How a message is told, and what reads it: the first that fits."""
