"""Calls that answer with trades and with settled rates of funding; see :mod:`~ticklake.sources.wire.answers` for the sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ticklake.core.time import MS, SECOND
from ticklake.sources.wire.call import Answer, Call, at, has, read_time, value_at
from ticklake.sources.wire.rows import Row

__all__ = ["FUNDING", "TRADES"]

_TAKER = {"buy": "buy", "sell": "sell", "b": "buy", "s": "sell"}
_MAKER = {"buy": "sell", "sell": "buy", "true": "sell", "false": "buy"}
"""The taker's side, if an exchange sends the maker's side, or whether the buyer was the maker."""


@dataclass(frozen=True, slots=True)
class _Trades:
    """The places of trades in the answer of a call.

    Parameters
    ----------
    rows
        The steps to the list of trades in the body.
    ts, price, amount, side
        The index or key of each in a trade. Without ``side`` the sign of the amount is the side.
    ids
        The places of the id; the first that exists is used. Each place has a numbering of its own, named in ``spaces``.
    unit
        What times count, in nanoseconds; 0 if they are ISO texts.
    sides
        The taker's side for each of the exchange's words.
    native, named_by
        The parameter, or the key in each trade, that names the market; or the steps to its name in the body.
    nested
        The key of the list in each entry, if trades come in groups.
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
    required = [trades.ts, trades.price, trades.amount]
    if trades.side is not None:
        required.append(trades.side)

    def fits(body: Any) -> bool:
        return _all_have(_entries(trades, body), required)

    return Call(tuple(exchanges.split()), path, "trades", fits, lambda answer: _read(trades, answer))


def _all_have(entries: Any, places: Sequence[int | str]) -> bool:
    return isinstance(entries, list) and all(has(entry, places) for entry in entries)


def _entries(trades: _Trades, body: Any) -> Any:
    """Return the list of trades in a body, taken out of their groups; ``None`` if a group has no list."""
    entries = at(body, *trades.rows)
    if not trades.nested or not isinstance(entries, list):
        return entries
    ungrouped: list[Any] = []
    for group in entries:
        group_trades = at(group, trades.nested)
        if not isinstance(group_trades, list):
            return None
        ungrouped += group_trades
    return ungrouped


def _read(trades: _Trades, answer: Answer) -> Iterator[Row]:
    market = answer.native(trades.native, trades.named_by)
    for trade in _entries(trades, answer.body):
        native = market
        if not native and isinstance(trade, dict):
            native = str(trade.get(trades.native) or "")
        ts = read_time(trade[trades.ts], trades.unit)
        ident, space = _ident(trades, trade)
        amount, side = _amount_and_side(trades, trade)
        yield Row("trades", native, (ts, answer.heard, ident, trade[trades.price], amount, side), space=space)


def _ident(trades: _Trades, trade: Any) -> tuple[str | None, str]:
    """Return the id of a trade as text, and the numbering that it belongs to."""
    for place, space in zip(trades.ids, trades.spaces, strict=True):
        ident = value_at(trade, place)
        if ident is not None:
            return str(ident), space
    return None, trades.spaces[0]


def _amount_and_side(trades: _Trades, trade: Any) -> tuple[Any, str | None]:
    amount = trade[trades.amount]
    if trades.side is not None:
        return amount, trades.sides.get(str(trade[trades.side]).lower())
    text = str(amount)
    if text.startswith("-"):
        return text.removeprefix("-"), "sell"
    return text, "buy"


def _funding(exchange: str, path: str, rows: tuple[str, ...], ts: str, rate: str, native: str, unit: int) -> Call:
    def fits(body: Any) -> bool:
        return _all_have(at(body, *rows), [ts, rate, native])

    def read(answer: Answer) -> Iterator[Row]:
        for entry in at(answer.body, *rows):
            time = read_time(entry[ts], unit)
            yield Row("funding", entry[native], (time, entry[rate], None, None, None, None))

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
