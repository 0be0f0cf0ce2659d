"""What Bitget sends over its first, second and third (unified) API. Formats are those of its public API documentation.

The part of the exchange is in the subscription: ``sp`` and ``mc`` (all perpetual contracts) in the first API. Amounts are in the base
currency.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ticklake.core.native_ids import Market
from ticklake.sources.wire.reading import Mark, Reader
from ticklake.sources.wire.rows import BY_TIME, Row, field, levels, ms, trade

__all__ = ["READERS"]

_PARTS: dict[str, Market] = {
    "SP": "spot",
    "SPOT": "spot",
    "USDT-FUTURES": "linear",
    "USDC-FUTURES": "linear",
    "COIN-FUTURES": "inverse",
}
_BOOKS = ("books", "books1", "books5", "books15", "books50")


def _channel(*names: str) -> Any:
    """Return a test for messages with data of these channels; the third API calls them topics."""

    def fits(message: Mapping[str, Any]) -> bool:
        argument = message["arg"]
        name = argument.get("channel") or argument.get("topic")
        return name in names and "instType" in argument and isinstance(message["data"], list)

    return fits


def _market_of(message: Mapping[str, Any]) -> tuple[str, Market]:
    """Return the name of the market of a message, and the part of the exchange."""
    argument = message["arg"]
    native = field(argument, "instId", "symbol")
    part = str(argument["instType"]).upper()
    if part == "MC":
        return native, "inverse" if native.endswith("USD") else "linear"
    return native, _PARTS[part]


def _trades(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    native, market = _market_of(message)
    for entry in message["data"]:
        ident = None
        if isinstance(entry, list):
            time, price, amount, side = entry[:4]
        elif "price" in entry:
            time, price, amount, side = entry["ts"], entry["price"], entry["size"], entry["side"]
            ident = entry.get("tradeId")
        else:
            time, price, amount, side, ident = entry["T"], entry["p"], entry["v"], entry["S"], entry["i"]
        yield trade(native, ms(time), heard, price, amount, side, ident, market=market)


def _value(entry: Mapping[str, Any], *names: str) -> Any:
    """Return the value at the first of several names that an entry has; ``None`` if it has none, or an empty one."""
    value = next((entry[name] for name in names if name in entry), None)
    if value == "":
        return None
    return value


def _ticker(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    """Yield the best quote, and of contracts the open interest and the coming funding rate."""
    native, market = _market_of(message)
    for entry in message["data"]:
        ts = ms(_value({**message, **entry}, "ts", "systemTime"))
        bid = (_value(entry, "bidPr", "bestBid", "bid1Price"), _value(entry, "bidSz", "bid1Size"))
        ask = (_value(entry, "askPr", "bestAsk", "ask1Price"), _value(entry, "askSz", "ask1Size"))
        if bid[0] is not None or ask[0] is not None:
            yield Row("quotes", native, (ts, heard, None, *bid, *ask), market=market)
        if market == "spot":
            continue
        held = _value(entry, "holdingAmount", "holding", "openInterest")
        if held is not None:
            yield Row("open_interest", native, (ts, held, None), market=market)
        rate = _value(entry, "fundingRate", "capitalRate")
        if rate is not None:
            due = _value(entry, "nextFundingTime", "nextSettleTime")
            due = ms(due) if due is not None and float(due) else None
            values = (ts, heard, rate, due, _value(entry, "markPrice", "marketPrice"), None)
            yield Row("predicted_funding", native, values, market=market)


def _book(message: Mapping[str, Any], heard: int | None) -> Iterator[Row | Mark]:
    """Yield a book: ``books`` sends changes after a whole one, the others the best levels anew each time."""
    native, market = _market_of(message)
    whole = message["action"] == "snapshot"
    for entry in message["data"]:
        ts, last = ms(entry["ts"]), None
        seq, space = ts, BY_TIME
        if entry.get("seq") is not None:
            last = seq = int(entry["seq"])
            space = ""
        sides = {"bid": _value(entry, "bids", "b") or (), "ask": _value(entry, "asks", "a") or ()}
        yield from levels(native, ts, heard, seq, sides, whole=whole, space=space, market=market)
        checksum = int(entry.get("checksum") or 0) or None
        # The second API's numbers grow by more than one: only with the number before them they prove anything.
        if entry.get("pseq") is None:
            yield Mark("book", native, starts=whole, checksum=checksum)
        else:
            yield Mark("book", native, last, last, int(entry["pseq"]), starts=whole, checksum=checksum)


def _bar(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    """Yield nothing: no message says that a bar is over."""
    del message, heard
    yield from ()


def _is_bar(message: Mapping[str, Any]) -> bool:
    argument = message["arg"]
    name = str(argument.get("channel") or argument["topic"])
    return (name == "kline" or name.startswith("candle")) and "instType" in argument and "data" in message


def _liquidations(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    """Yield the liquidations of all markets of a part, whose messages name the markets in their entries."""
    market = _PARTS[str(message["arg"]["instType"]).upper()]
    for entry in message["data"]:
        native, price, amount, side = entry["symbol"], entry["price"], entry["amount"], entry["side"]
        yield trade(native, ms(entry["ts"]), heard, price, amount, side, market=market, kind="liquidations")


READERS: tuple[Reader, ...] = (
    Reader(_channel("trade", "publicTrade"), _trades),
    Reader(_channel("ticker"), _ticker),
    Reader(_channel(*_BOOKS), _book),
    Reader(_is_bar, _bar),
    Reader(_channel("liquidation"), _liquidations),
)
"""The readers of its messages. The first that fits reads the message."""
