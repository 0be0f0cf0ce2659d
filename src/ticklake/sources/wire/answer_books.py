"""Calls that answer with an order book; see :mod:`~ticklake.sources.wire.answers` for the sources."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ticklake.core.time import MS, SECOND, decimal_to_ns, parse_time
from ticklake.sources.wire.call import Answer, Call, at, lists_of
from ticklake.sources.wire.rows import Row, levels

__all__ = ["BOOKS"]

_SIDES = {"buy": "bid", "sell": "ask"}


@dataclass(frozen=True, slots=True)
class _Book:
    """Where the levels of a call stand.

    Parameters
    ----------
    book
        The steps to what has the two sides.
    bids, asks
        Their keys in it. Without them it is one list of levels: with a ``side`` each (BitMEX, Bybit's first API).
    level
        Where price, amount and number of orders stand in a level: indexes or keys.
    ts, unit
        The steps to the time in the body, and what it counts; 0 if it is an ISO text. Without one, the time of the answer is taken.
    seq
        The steps to the number of the last change that is in it. Without one the time numbers the book.
    native, named_by
        The parameter that names the market, or the steps to its name in the body.
    whole
        A parameter, the value with which the answer has all levels one by one, and the value that it has if it is not said. Others
        sum up several levels, list single orders, or leave out all but the best.
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
        found = _sides(book, body)
        return found is not None and all(_has(level, book.level) for listed in found.values() for level in listed)

    return Call(
        tuple(exchanges.split()),
        path,
        "book",
        fits,
        lambda answer: _read(book, answer),
        lambda answer: _problem(book, answer),
    )


def _has(level: Any, places: tuple[int | str, ...]) -> bool:
    if isinstance(level, dict):
        return all(place in level for place in places)
    return isinstance(level, list) and len(level) > max(int(place) for place in places)


def _sides(book: _Book, body: Any) -> dict[str, list[Any]] | None:
    found = at(body, *book.book)
    if not book.bids:
        return _sides_of_list(found)
    bids, asks = at(found, book.bids), at(found, book.asks)
    return {"bid": bids, "ask": asks} if isinstance(bids, list) and isinstance(asks, list) else None


def _sides_of_list(found: Any) -> dict[str, list[Any]] | None:
    if not isinstance(found, list):
        return None
    if lists_of(found, 3):  # Bitfinex: price, number of orders, amount, which is negative for asks
        turned = [[price, str(amount).removeprefix("-"), count] for price, count, amount, *_ in found]
        asks = [str(level[2]).startswith("-") for level in found]
    elif all(isinstance(one, dict) and str(one.get("side")).lower() in _SIDES for one in found):
        turned, asks = found, [one["side"].lower() == "sell" for one in found]
    else:
        return None
    return {
        "bid": [level for level, is_ask in zip(turned, asks, strict=True) if not is_ask],
        "ask": [level for level, is_ask in zip(turned, asks, strict=True) if is_ask],
    }


def _problem(book: _Book, answer: Answer) -> str:
    if book.whole is None or not answer.path:
        return ""
    name, wanted, default = book.whole
    value = answer.query.get(name, default)
    if value == wanted:
        return ""
    return f"books with {name}={value} are no list of the book's levels: they sum them up, list single orders, or the best alone"


def _read(book: _Book, answer: Answer) -> Iterator[Row]:
    sides = _sides(book, answer.body)
    assert sides is not None  # noqa: S101 - bodies that do not fit are not read
    ts = _time(book, answer)
    number = at(answer.body, *book.seq) if book.seq else None
    seq, space = (ts, "time") if number is None else (int(number), "")
    named = answer.query.get(book.native) or (at(answer.body, *book.named_by) if book.named_by else "") or ""
    plain = {side: [_level(level, book.level) for level in listed] for side, listed in sides.items()}
    yield from levels(named, ts, answer.heard, seq, plain, whole=True, space=space)


def _time(book: _Book, answer: Answer) -> int | None:
    """Return the time of the book by the answer's body, or when the answer was received if the body has none."""
    written = at(answer.body, *book.ts) if book.ts else None
    if written is None:
        return answer.heard
    return decimal_to_ns(written, book.unit) if book.unit else parse_time(written)


def _level(level: Any, places: tuple[int | str, ...]) -> list[Any]:
    return [level[place] for place in places]


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
    _call("gate", r"^/api2/1/orderBook/(?P<symbol>\w+)$", _Book(())),
    _call("htx", r"^/market/depth$", _HTX),
    _call("bitmex", r"^/api/v1/orderBook/L2$", _Book((), "", "", ("price", "size"), named_by=(0, "symbol"))),
    _call("deribit", r"^/api/v2/public/get_order_book$", _DERIBIT),
    _call("deribit", r"^/api/v[12]/public/getorderbook$", _OLD_DERIBIT),
)  # fmt: skip
"""Every call that answers with an order book."""
