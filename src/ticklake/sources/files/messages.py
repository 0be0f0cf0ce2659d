"""Rows out of recorded messages of exchanges: pure functions from one message to rows, and a table of which is which.

Only what is final and has a place in a kind is taken: trades, best quotes, price levels, closed bars. Orders of single
participants (L3), tickers and instruments have none. Formats are those of the exchanges' public API documentation; Coinbase
reports the maker's side, everybody else here the taker's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ticklake.core.time import MS, SECOND, decimal_to_ns, parse_time

__all__ = ["Row", "rows_of_message"]

_TURNED = {"BUY": "sell", "SELL": "buy", "buy": "sell", "sell": "buy"}


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its kind, the exchange's name of the market (empty if not told), values in the order of the kind's columns.

    ``space`` is the numbering that the id belongs to, where the exchange has several.
    """

    kind: str
    native: str
    values: tuple[Any, ...]
    timeframe: str = ""
    space: str = ""


def rows_of_message(message: Any, heard: int | None) -> Iterator[Row]:
    """Yield the rows in one message of an exchange; none if it is of another sort.

    Parameters
    ----------
    message
        Its JSON.
    heard
        When it was received, in nanoseconds, if that was recorded. It is the time of what has no other.
    """
    if isinstance(message, list):
        yield from _kraken(message)
        return
    if not isinstance(message, dict):
        return
    inner = message.get("data") if "stream" in message else message
    if isinstance(inner, dict):
        for fits, read in _SORTS:
            if fits(inner):
                yield from read(inner, heard)
                return


def _trade(native: str, ts: int, heard: int | None, price: Any, amount: Any, side: Any, ident: Any = None) -> Row:
    return Row("trades", native, (ts, heard, None if ident is None else str(ident), price, amount, side))


def _ms(value: Any) -> int:
    return decimal_to_ns(value, MS)


def _taker(buyer_was_maker: bool) -> str:
    return "sell" if buyer_was_maker else "buy"


def _levels(
    native: str,
    ts: int | None,
    heard: int | None,
    seq: Any,
    sides: Mapping[str, Sequence[Any]],
    *,
    whole: bool,
) -> Iterator[Row]:
    """Yield a row a level; a level is (price, amount) or (price, amount, count)."""
    for side, levels in sides.items():
        for level in levels:
            count = level[2] if len(level) > 2 else None
            yield Row("book", native, (ts, heard, seq, side, level[0], level[1], count, whole))


def _binance_trade(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    ident = message["a"] if message["e"] == "aggTrade" else message["t"]
    if message.get("X", "MARKET") in {"MARKET", ""}:
        side = _taker(message["m"])
        values = (_ms(message["T"]), heard, str(ident), message["p"], message["q"], side)
        yield Row("trades", message["s"], values, space="agg" if message["e"] == "aggTrade" else "raw")


def _binance_depth(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    ts, sides = _ms(message.get("T", message["E"])), {"bid": message["b"], "ask": message["a"]}
    yield from _levels(message["s"], ts, heard, message["u"], sides, whole=False)


def _binance_snapshot(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    ts = _ms(message["T"]) if "T" in message else heard
    sides = {"bid": message["bids"], "ask": message["asks"]}
    yield from _levels("", ts, heard, message["lastUpdateId"], sides, whole=True)


def _binance_ticker(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    ts = _ms(message["T"]) if "T" in message else heard
    best = (message["b"], message["B"], message["a"], message["A"])
    yield Row("quotes", message["s"], (ts, heard, message["u"], *best))


def _binance_kline(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    del heard
    bar = message["k"]
    if bar["x"]:
        prices = tuple(bar[name] for name in "ohlcv")
        yield Row("ohlcv", bar["s"], (_ms(bar["t"]), *prices, bar["q"], bar["n"]), bar["i"])


def _hyperliquid(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    if message["channel"] == "trades":
        for one in message["data"]:
            side = {"B": "buy", "A": "sell"}[one["side"]]
            yield _trade(one["coin"], _ms(one["time"]), heard, one["px"], one["sz"], side, one["tid"])
        return
    book = message["data"]
    bids, asks = ([(level["px"], level["sz"], level["n"]) for level in side] for side in book["levels"])
    sides = {"bid": bids, "ask": asks}
    yield from _levels(book["coin"], _ms(book["time"]), heard, book["time"], sides, whole=True)


def _bybit(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    data = message["data"]
    if message["topic"].startswith("publicTrade."):
        for one in data:
            yield _trade(one["s"], _ms(one["T"]), heard, one["p"], one["v"], one["S"], one["i"])
        return
    sides, ts = {"bid": data["b"], "ask": data["a"]}, _ms(message.get("cts", message["ts"]))
    yield from _levels(data["s"], ts, heard, data["u"], sides, whole=message["type"] == "snapshot")


def _okx(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for one in message["data"]:
        yield _trade(one["instId"], _ms(one["ts"]), heard, one["px"], one["sz"], one["side"], one["tradeId"])


def _kraken(message: Sequence[Any]) -> Iterator[Row]:
    if len(message) == 4 and message[2] == "trade":
        for price, amount, time, side, *_ in message[1]:
            yield _trade(message[3], decimal_to_ns(time, SECOND), None, price, amount, side)


def _coinbase(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for event in message["events"]:
        for one in event.get("trades", ()):
            ts, side = parse_time(one["time"]), _TURNED.get(one["side"])
            yield _trade(one["product_id"], ts, heard, one["price"], one["size"], side, one["trade_id"])


def _coinbase_book(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    sides = {"bid": message["bids"], "ask": message["asks"]}
    ts = parse_time(message["captured_at"])
    yield from _levels(message["product"], ts, heard, message["sequence"], sides, whole=True)


def _kucoin(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    one = message["data"]
    yield _trade(one["symbol"], int(one["time"]), heard, one["price"], one["size"], one["side"], one["tradeId"])


def _gate(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    one = message["result"]
    ts = _ms(one["create_time_ms"])
    yield _trade(one["currency_pair"], ts, heard, one["price"], one["amount"], one["side"], one["id"])


def _cryptocom(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for one in message["result"]["data"]:
        yield _trade(one["i"], _ms(one["t"]), heard, one["p"], one["q"], one["s"], one["d"])


def _bitmex(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for one in message["data"]:
        ts = parse_time(one["timestamp"])
        yield _trade(one["symbol"], ts, heard, one["price"], one["size"], one["side"], one["trdMatchID"])


def _dydx(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    for one in message["contents"]["trades"]:
        yield _trade(message["id"], parse_time(one["createdAt"]), heard, one["price"], one["size"], one["side"])


def _upbit(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    quote, _, base = message["cd"].partition("-")
    yield _trade(
        f"{base}-{quote}", _ms(message["ttms"]), heard, message["tp"], message["tv"], message["ab"], message["sid"]
    )


def _htx(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    native = message["ch"].split(".")[1].upper()
    for one in message["tick"]["data"]:
        yield _trade(native, _ms(one["ts"]), heard, one["price"], one["amount"], one["direction"], one["tradeId"])


_Fits = Callable[[Mapping[str, Any]], bool]
_Read = Callable[[Mapping[str, Any], int | None], Iterator[Row]]
_SORTS: tuple[tuple[_Fits, _Read], ...] = (
    (lambda m: m.get("e") in {"aggTrade", "trade"}, _binance_trade),
    (lambda m: m.get("e") == "depthUpdate", _binance_depth),
    (lambda m: m.get("e") == "kline", _binance_kline),
    (lambda m: {"u", "s", "b", "B", "a", "A"} <= set(m), _binance_ticker),
    (lambda m: {"lastUpdateId", "bids", "asks"} <= set(m), _binance_snapshot),
    (lambda m: m.get("channel") in {"trades", "l2Book"} and "coin" in str(m.get("data"))[:20], _hyperliquid),
    (lambda m: str(m.get("topic")).startswith(("publicTrade.", "orderbook.")) and "data" in m, _bybit),
    (lambda m: str(m.get("topic")).startswith("/market/match:"), _kucoin),
    (lambda m: isinstance(m.get("arg"), dict) and m["arg"].get("channel") == "trades" and "data" in m, _okx),
    (lambda m: m.get("channel") == "market_trades", _coinbase),
    (lambda m: {"product", "captured_at", "sequence", "bids"} <= set(m), _coinbase_book),
    (lambda m: m.get("channel") == "spot.trades" and m.get("event") == "update", _gate),
    (lambda m: isinstance(m.get("result"), dict) and m["result"].get("channel") == "trade", _cryptocom),
    (lambda m: m.get("table") == "trade" and m.get("action") in {"insert", "partial"}, _bitmex),
    (lambda m: m.get("channel") == "v3_trades" and isinstance(m.get("contents"), dict), _dydx),
    (lambda m: m.get("ty") == "trade", _upbit),
    (lambda m: str(m.get("ch")).endswith(".trade.detail") and "tick" in m, _htx),
)
"""How a message is told, and what reads it: the first that fits."""
