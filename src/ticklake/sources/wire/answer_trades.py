"""Calls that answer with trades and with settled rates of funding; see :mod:`~ticklake.sources.wire.answers` for the sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ticklake.core.time import MS, SECOND, decimal_to_ns, parse_time
from ticklake.sources.wire.call import Answer, Call, at
from ticklake.sources.wire.rows import Row

__all__ = ["FUNDING", "TRADES"]

_TAKER = {"buy": "buy", "sell": "sell", "b": "buy", "s": "sell"}
_MAKER = {"buy": "sell", "sell": "buy", "true": "sell", "false": "buy"}
"""What the taker did, where the maker's side is written, or whether the buyer was the maker."""


@dataclass(frozen=True, slots=True)
class _Trades:
    """Where the trades of a call stand.

    Parameters
    ----------
    rows
        The steps to the list of trades in the body.
    ts, price, amount, side
        Where these stand in a trade: an index or a key. Without ``side`` the sign of the amount is the side.
    ids
        Where the id stands: the first that is there. An id of another place is of another numbering: ``spaces`` names it.
    unit
        What times count, in nanoseconds; 0 if they are ISO texts.
    sides
        The taker's side for each of their words.
    native, named_by
        The parameter that names the market, or the key in each trade, or the steps to it in the body.
    nested
        The key of the list in each entry, if trades stand in groups.
    """

    rows: tuple[str | int, ...]
    ts: int | str
    price: int | str
    amount: int | str
    side: int | str | None
    ids: tuple[int | str, ...] = ("id",)
    unit: int = MS
    sides: Mapping[str, str] = field(default_factory=lambda: _TAKER)
    native: str = "symbol"
    named_by: tuple[str | int, ...] = ()
    spaces: tuple[str, ...] = ("",)
    nested: str = ""


def _call(exchanges: str, path: str, trades: _Trades) -> Call:
    def fits(body: Any) -> bool:
        found = _listed(trades, body)
        needed = [place for place in (trades.ts, trades.price, trades.amount, trades.side) if place is not None]
        return isinstance(found, list) and all(_has(one, needed) for one in found)

    return Call(tuple(exchanges.split()), path, "trades", fits, lambda answer: _read(trades, answer))


def _has(one: Any, places: list[int | str]) -> bool:
    if isinstance(one, dict):
        return all(place in one for place in places)
    return isinstance(one, list) and all(isinstance(place, int) and place < len(one) for place in places)


def _listed(trades: _Trades, body: Any) -> Any:
    found = at(body, *trades.rows)
    if not trades.nested or not isinstance(found, list):
        return found
    groups = [at(one, trades.nested) for one in found]
    return [one for group in groups for one in group] if all(isinstance(group, list) for group in groups) else None


def _read(trades: _Trades, answer: Answer) -> Iterator[Row]:
    named = answer.query.get(trades.native) or (at(answer.body, *trades.named_by) if trades.named_by else "")
    for one in _listed(trades, answer.body):
        native = named or (str(one.get(trades.native) or "") if isinstance(one, dict) else "")
        ts = decimal_to_ns(one[trades.ts], trades.unit) if trades.unit else parse_time(one[trades.ts])
        ident, space = _ident(trades, one)
        side = _side(trades, one)
        amount = str(one[trades.amount]).removeprefix("-") if trades.side is None else one[trades.amount]
        yield Row("trades", native, (ts, answer.heard, ident, one[trades.price], amount, side), space=space)


def _ident(trades: _Trades, one: Any) -> tuple[str | None, str]:
    for number, place in enumerate(trades.ids):
        found = _value(one, place)
        if found is not None:
            return str(found), trades.spaces[number]
    return None, trades.spaces[0]


def _value(trade: Any, place: int | str) -> Any:
    """Return what stands at *place* of a trade, which is an object or a list; ``None`` if it has no such place."""
    if isinstance(trade, dict):
        return trade.get(place)
    return trade[int(place)] if int(place) < len(trade) else None


def _side(trades: _Trades, one: Any) -> str | None:
    if trades.side is None:
        return "sell" if str(one[trades.amount]).startswith("-") else "buy"
    return trades.sides.get(str(one[trades.side]).lower())


def _funding(exchange: str, path: str, rows: tuple[str, ...], ts: str, rate: str, native: str, unit: int) -> Call:
    def fits(body: Any) -> bool:
        found = at(body, *rows)
        return isinstance(found, list) and all(_has(one, [ts, rate, native]) for one in found)

    def read(answer: Answer) -> Iterator[Row]:
        for one in at(answer.body, *rows):
            time = decimal_to_ns(one[ts], unit) if unit else parse_time(one[ts])
            yield Row("funding", one[native], (time, one[rate], None, None, None, None))

    return Call((exchange,), path, "funding", fits, read)


_AGG = _Trades((), "T", "p", "q", "m", ("a",), sides=_MAKER, spaces=("agg",))
_RAW = _Trades((), "time", "price", "qty", "isBuyerMaker", sides=_MAKER, spaces=("raw",))
_BITMEX = _Trades((), "timestamp", "price", "size", "side", ("trdMatchID",), 0)
_HTX = _Trades(("data",), "ts", "price", "amount", "direction", ("trade-id", "id"), spaces=("", "long"), nested="data")
_COINBASE = _Trades(("trades",), "time", "price", "size", "side", ("trade_id",), 0, _MAKER, "product_id")
_GDAX = _Trades((), "time", "price", "size", "side", ("trade_id",), 0, _MAKER, "product")
_OKEX = _Trades((), "timestamp", "price", "size", "side", ("trade_id",), 0, native="instrument")
_KUCOIN = _Trades(("data",), "time", "price", "size", "side", ("sequence",), 1, spaces=("sequence",))
_GATE = _Trades((), "create_time_ms", "price", "amount", "side", native="currency_pair")
_OLD_GATE = _Trades(("data",), "timestamp", "rate", "amount", "type", ("tradeID",), SECOND)
_KRAKEN = _Trades(("result", "*"), 2, 0, 1, 3, (6,), SECOND, native="-", named_by=("result", "?"))
_BYBIT = _Trades(("result", "list"), "time", "price", "size", "side", ("execId",))
_OKX = _Trades(("data",), "ts", "px", "sz", "side", ("tradeId",), native="instId")
_DERIBIT = _Trades(
    ("result", "trades"), "timestamp", "price", "amount", "direction", ("trade_id",), native="instrument_name"
)
_OLD_DERIBIT = _Trades(("result",), "timeStamp", "price", "amount", "direction", ("tradeId",), native="instrument")

TRADES: tuple[Call, ...] = (
    _call("binance binanceus", r"^/(?P<part>api|fapi|dapi)/v\d/(?:historicalT|t)rades$", _RAW),
    _call("binance binanceus", r"^/(?P<part>api|fapi|dapi)/v\d/aggTrades$", _AGG),
    _call("kraken", r"^/0/public/Trades$", _KRAKEN),
    _call("bitfinex", r"^/v2/trades/(?P<symbol>t[\w:]+)/hist$", _Trades((), 1, 3, 2, None, (0,))),
    _call("bybit", r"^/v5/market/recent-trade$", _BYBIT),
    _call("okx", r"^/api/v5/market/(?:history-)?trades$", _OKX),
    _call("okx", r"^/api/(?:spot|swap|futures)/v3/instruments/(?P<instrument>[\w-]+)/trades$", _OKEX),
    _call("coinbase", r"/products/(?P<product_id>[\w-]+)/ticker$", _COINBASE),
    _call("coinbase", r"^/products/(?P<product>[\w-]+)/trades$", _GDAX),
    _call("kucoin", r"^/api/v1/market/histories$", _KUCOIN),
    _call("gate", r"^/api/v4/spot/trades$", _GATE),
    _call("gate", r"^/api2/1/tradeHistory/(?P<symbol>\w+)$", _OLD_GATE),
    _call("htx", r"^/market/history/trade$", _HTX),
    _call("bitmex", r"^/api/v1/trade$", _BITMEX),
    _call("deribit", r"^/api/v2/public/get_last_trades_by_\w+$", _DERIBIT),
    _call("deribit", r"^/api/v[12]/public/getlasttrades$", _OLD_DERIBIT),
)
"""Every call that answers with trades."""

FUNDING: tuple[Call, ...] = (
    _funding("binance", r"^/(?P<part>fapi|dapi)/v\d/fundingRate$", (), "fundingTime", "fundingRate", "symbol", MS),
    _funding("bybit", r"^/v5/market/funding/history$", ("result", "list"), "fundingRateTimestamp", "fundingRate", "symbol", MS),
    _funding("okx", r"^/api/v5/public/funding-rate-history$", ("data",), "fundingTime", "realizedRate", "instId", MS),
    _funding("bitmex", r"^/api/v1/funding$", (), "timestamp", "fundingRate", "symbol", 0),
)  # fmt: skip
"""Every call that answers with rates of funding; OKX writes the rate that was paid as ``realizedRate``."""
