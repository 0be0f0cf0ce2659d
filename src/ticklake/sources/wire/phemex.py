"""What Phemex sends. Formats are those of its public API documentation.

Prices and amounts are whole numbers there, scaled by powers of ten: prices by 10^4 of contracts and by 10^8 of the spot market, whose names
begin with ``s``; amounts by 10^8 of the spot market, while those of contracts are counts of contracts. Of the contracts in USDT
(``_p`` channels) they are plain decimal text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from ticklake.sources.wire.reading import Mark, Reader
from ticklake.sources.wire.rows import Row, levels, trade

__all__ = ["READERS"]

_SPOT = re.compile(r"s[A-Z0-9]+")
_PRICE_OF_CONTRACT, _SCALE_OF_SPOT, _RATE = 4, 8, 8


def _has(*names: str) -> Any:
    """Return a test for messages that have the number of a market's stream, and data under these names."""
    return lambda m: {"sequence", "symbol", "type", *names} <= set(m) and isinstance(m["symbol"], str)


def _scaled(value: Any, digits: int) -> str:
    """Return a scaled whole number as the decimal text that it means."""
    return format(Decimal(str(value)).scaleb(-digits), "f")


def _price(native: str, value: Any) -> str:
    if _SPOT.fullmatch(native):
        return _scaled(value, _SCALE_OF_SPOT)
    return _scaled(value, _PRICE_OF_CONTRACT)


def _amount(native: str, value: Any) -> Any:
    if _SPOT.fullmatch(native):
        return _scaled(value, _SCALE_OF_SPOT)
    return value


def _trades(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    native = message["symbol"]
    for time, side, price, amount in message["trades"]:
        yield trade(native, int(time), heard, _price(native, price), _amount(native, amount), side)


def _plain_trades(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    native = message["symbol"]
    for time, side, price, amount in message["trades_p"]:
        yield trade(native, int(time), heard, price, amount, side)


def _book(message: Mapping[str, Any], heard: int | None) -> Iterator[Row | Mark]:
    native, book = message["symbol"], message["book"]
    sides = {
        side: [(_price(native, price), _amount(native, amount)) for price, amount in book.get(name) or ()]
        for side, name in (("bid", "bids"), ("ask", "asks"))
    }
    yield from _levels(message, heard, sides)


def _plain_book(message: Mapping[str, Any], heard: int | None) -> Iterator[Row | Mark]:
    book = message["orderbook_p"]
    yield from _levels(message, heard, {"bid": book.get("bids") or (), "ask": book.get("asks") or ()})


def _levels(message: Mapping[str, Any], heard: int | None, sides: Mapping[str, Any]) -> Iterator[Row | Mark]:
    native, number, whole = message["symbol"], int(message["sequence"]), message["type"] == "snapshot"
    yield from levels(native, int(message["timestamp"]), heard, number, sides, whole=whole)
    # Numbers grow, but not by one: a jump proves nothing.
    yield Mark("book", native, starts=whole)


def _bars(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    """Yield nothing: no message says that a bar is over."""
    del message, heard
    yield from ()


def _day(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    """Yield the open interest of a contract, and its coming funding rate; the rest sums up a day."""
    entry = message["market24h"]
    native, ts = entry["symbol"], int(entry["timestamp"] if "timestamp" in entry else message["timestamp"])
    if entry.get("openInterest") is not None:
        yield Row("open_interest", native, (ts, entry["openInterest"], None))
    if entry.get("fundingRate") is not None:
        mark = None
        if entry.get("markPrice") is not None:
            mark = _price(native, entry["markPrice"])
        values = (ts, heard, _scaled(entry["fundingRate"], _RATE), None, mark, None)
        yield Row("predicted_funding", native, values)


def _packed_day(message: Mapping[str, Any], heard: int | None) -> Iterator[Row]:
    """Yield the same of contracts in USDT, whose columns the message names."""
    ts = int(message["timestamp"])
    for values in message["data"]:
        entry = dict(zip(message["fields"], values, strict=True))
        native = entry["symbol"]
        if entry.get("openInterestRv") is not None:
            yield Row("open_interest", native, (ts, entry["openInterestRv"], None))
        if entry.get("fundingRateRr") is not None:
            rate, mark = entry["fundingRateRr"], entry.get("markRp", entry.get("markPriceRp"))
            yield Row("predicted_funding", native, (ts, heard, rate, None, mark, None))


READERS: tuple[Reader, ...] = (
    Reader(_has("trades"), _trades),
    Reader(_has("trades_p"), _plain_trades),
    Reader(lambda m: _has("book", "timestamp")(m) and isinstance(m["book"], dict), _book),
    Reader(lambda m: _has("orderbook_p", "timestamp")(m) and isinstance(m["orderbook_p"], dict), _plain_book),
    Reader(_has("kline"), _bars),
    Reader(_has("kline_p"), _bars),
    Reader(lambda m: "symbol" in m["market24h"], _day),
    Reader(lambda m: m["method"] == "perp_market24h_pack_p.update" and {"fields", "data"} <= set(m), _packed_day),
)
"""The readers of its messages. The first that fits reads the message."""
