"""Calls that answer with an order book; see :mod:`~ticklake.sources.wire.answers` for the sources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ticklake.core.time import MS, SECOND, US
from ticklake.sources.wire.call import Answer, Call, at, has, lists_of, read_time
from ticklake.sources.wire.rows import Row, levels

__all__ = ["BOOKS"]

_SIDES = {"buy": "bid", "sell": "ask"}


@dataclass(frozen=True, slots=True)
class _Book:
    """The places of levels in the answer of a call.

    Parameters
    ----------
    book
        The steps to the object that has the two sides.
    bids, asks
        Their keys in it. Empty if it is one list of levels with a ``side`` each (BitMEX, Bybit's first API).
    level
        The indexes or keys of price, amount and number of orders in a level.
    ts, unit
        The steps to the time in the body, and its unit; 0 if it is an ISO text. Without steps the time of the answer is used.
    seq
        The steps to the number of the last change that the book contains. Without steps the time numbers the book.
    native, named_by
        The parameter that names the market, or the steps to its name in the body.
    whole
        A parameter, the value with which the answer has each level, and the default value. With other values the answer sums up several
        levels, lists single orders, or has only the best levels.
    """

    book: tuple[str | int, ...]
    bids: str = "bids"
    asks: str = "asks"
    level: tuple[int | str, ...] = (0, 1)
    ts: tuple[str | int, ...] = ()
    unit: int = MS
    seq: tuple[str | int, ...] = ()
    native: str = "symbol"
    named_by: tuple[str | int, ...] = ()
    whole: tuple[str, str, str] | None = None


def _call(exchanges: str, path: str, book: _Book) -> Call:
    def fits(body: Any) -> bool:
        sides = _sides(book, body)
        if sides is None:
            return False
        return all(has(level, book.level) for levels in sides.values() for level in levels)

    return Call(
        tuple(exchanges.split()),
        path,
        "book",
        fits,
        lambda answer: _read(book, answer),
        lambda answer: _problem(book, answer),
    )


def _sides(book: _Book, body: Any) -> dict[str, list[Any]] | None:
    """Return the levels of both sides, or ``None`` if the body has no book."""
    sides = at(body, *book.book)
    if not book.bids:
        return _sides_of_list(sides)
    bids, asks = at(sides, book.bids), at(sides, book.asks)
    if not isinstance(bids, list) or not isinstance(asks, list):
        return None
    return {"bid": bids, "ask": asks}


def _sides_of_list(entries: Any) -> dict[str, list[Any]] | None:
    """Return the levels of both sides from one list of all levels, or ``None`` if it is no such list."""
    if not isinstance(entries, list):
        return None
    sides: dict[str, list[Any]] = {"bid": [], "ask": []}
    if lists_of(entries, 3):
        # Bitfinex: price, number of orders, amount, which is negative for asks
        for price, count, amount, *_ in entries:
            text = str(amount)
            size = text.removeprefix("-")
            side = "ask" if text.startswith("-") else "bid"
            sides[side].append([price, size, count])
        return sides
    for level in entries:
        word = str(level.get("side")).lower() if isinstance(level, dict) else ""
        if word not in _SIDES:
            return None
        sides[_SIDES[word]].append(level)
    return sides


def _problem(book: _Book, answer: Answer) -> str:
    if book.whole is None or not answer.path:
        return ""
    name, required, default = book.whole
    value = answer.query.get(name, default)
    if value == required:
        return ""
    return f"books with {name}={value} are no list of the book's levels: they sum them up, list single orders, or the best alone"


def _read(book: _Book, answer: Answer) -> Iterator[Row]:
    sides = _sides(book, answer.body)
    assert sides is not None  # noqa: S101 - bodies that do not fit are not read
    ts = _time(book, answer)
    seq, space = ts, "time"
    if book.seq:
        number = at(answer.body, *book.seq)
        if number is not None:
            seq, space = int(number), ""
    native = answer.native(book.native, book.named_by)
    ordered: dict[str, list[Any]] = {}
    for side, side_levels in sides.items():
        ordered[side] = [[level[place] for place in book.level] for level in side_levels]
    yield from levels(native, ts, answer.heard, seq, ordered, whole=True, space=space)


def _time(book: _Book, answer: Answer) -> int | None:
    """Return the time of the book in the body, or when the answer was received if the body has none."""
    if book.ts:
        written = at(answer.body, *book.ts)
        if written is not None:
            return read_time(written, book.unit)
    return answer.heard


_OKX = _Book(("data", 0), level=(0, 1, 3), ts=("data", 0, "ts"), native="instId")
_OKEX_SWAP = _Book((), level=(0, 1, 3), ts=("time",), unit=0, native="instrument")
_OKEX = _Book((), level=(0, 1, 2), ts=("timestamp",), unit=0, native="instrument")
_COINBASE = _Book(("pricebook",), level=("price", "size"), ts=("pricebook", "time"), unit=0, native="product_id", named_by=("pricebook", "product_id"))  # fmt: skip
_GDAX = _Book((), level=(0, 1, 2), ts=("time",), unit=0, seq=("sequence",), native="product", whole=("level", "2", "1"))
_BYBIT = _Book(("result",), "b", "a", ts=("result", "ts"), seq=("result", "u"), named_by=("result", "s"))
_OLD_BYBIT = _Book(
    ("result",), "", "", ("price", "size"), ts=("time_now",), unit=SECOND, named_by=("result", 0, "symbol")
)
_KUCOIN = _Book(("data",), ts=("data", "time"), seq=("data", "sequence"))
_HTX = _Book(("tick",), ts=("tick", "ts"), seq=("tick", "version"), whole=("type", "step0", "step0"))
_GATE_CONTRACT = _Book((), level=("p", "s"), ts=("current",), unit=SECOND, seq=("id",), native="contract")
_BITSTAMP = _Book((), ts=("microtimestamp",), unit=US, seq=("microtimestamp",), whole=("group", "1", "1"))
_DERIBIT = _Book(("result",), ts=("result", "timestamp"), seq=("result", "change_id"), native="instrument_name", named_by=("result", "instrument_name"))  # fmt: skip
_OLD_DERIBIT = _Book(("result",), level=("price", "amount"), ts=("result", "tstamp"), native="instrument", named_by=("result", "instrument"))  # fmt: skip

BOOKS: tuple[Call, ...] = (
    _call("binance binanceus", r"^/(?P<part>api|fapi|dapi)/v\d/depth$", _Book((), ts=("T",), seq=("lastUpdateId",))),
    _call("kraken", r"^/0/public/Depth$", _Book(("result", "*"), native="-", named_by=("result", "?"))),
    _call("bitfinex", r"^/v2/book/(?P<symbol>t[\w:]+)/(?P<precision>\w\d)$", _Book((), "", "", (0, 1, 2), whole=("precision", "P0", "P0"))),
    _call("bybit", r"^/v5/market/orderbook$", _BYBIT),
    _call("bybit", r"^/(?P<part>v2)/public/orderBook/L2$", _OLD_BYBIT),
    _call("okx", r"^/api/v5/market/books(?:-full)?$", _OKX),
    _call("okx", r"^/api/spot/v3/instruments/(?P<instrument>[\w-]+)/book$", _OKEX),
    _call("okx", r"^/api/(?:swap|futures)/v3/instruments/(?P<instrument>[\w-]+)/(?:depth|book)$", _OKEX_SWAP),
    _call("coinbase", r"/product_book$", _COINBASE),
    _call("coinbase", r"^/products/(?P<product>[\w-]+)/book$", _GDAX),
    _call("kucoin", r"^/api/v\d/market/orderbook/level2(?:_\d+)?$", _KUCOIN),
    _call("gate", r"^/api/v4/spot/order_book$", _Book((), ts=("current",), seq=("id",), native="currency_pair")),
    _call("gate", r"^/api/v4/(?:futures|delivery)/(?P<part>usdt|usd|btc)/order_book$", _GATE_CONTRACT),
    _call("gate", r"^/api2/1/orderBook/(?P<symbol>\w+)$", _Book(())),
    _call("htx", r"^/market/depth$", _HTX),
    _call("bitstamp", r"^/api/v2/order_book/(?P<symbol>[\w-]+)/?$", _BITSTAMP),
    _call("bitmex", r"^/api/v1/orderBook/L2$", _Book((), "", "", ("price", "size"), named_by=(0, "symbol"))),
    _call("deribit", r"^/api/v2/public/get_order_book$", _DERIBIT),
    _call("deribit", r"^/api/v[12]/public/getorderbook$", _OLD_DERIBIT),
)  # fmt: skip
"""Every call that answers with an order book."""
