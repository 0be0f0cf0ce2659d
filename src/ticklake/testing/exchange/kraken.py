"""Kraken's REST protocol (spot) over a simulated market: pure, no sockets.

Paths and fields follow Kraken's public Spot REST API documentation. As there, OHLC serves the newest
720 bars whatever ``since`` says, and trades are paged by an exclusive nanosecond cursor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from ticklake.core.symbol import Symbol
from ticklake.core.time import SECOND, decimal_to_ns, format_time
from ticklake.core.timeframe import THURSDAY, Timeframe
from ticklake.testing.exchange.book import STEP, Books, Side, amount_text
from ticklake.testing.exchange.faults import Faults
from ticklake.testing.exchange.market import Market
from ticklake.testing.exchange.replies import Refusal, Reply, bursting, forming_and_late, integer, number, window

__all__ = ["AMOUNT_DECIMALS", "INTERVALS", "PRICE_DECIMALS", "RECENT_BARS", "KrakenProtocol"]

RECENT_BARS = 720
PRICE_DECIMALS = 5
AMOUNT_DECIMALS = 8
"""How many decimals prices and amounts of all pairs have; checksums of books depend on them."""

Query = Mapping[str, str]
Route = Callable[[Query, int, Faults], Any]
INTERVALS = {1: "1m", 5: "5m", 15: "15m", 30: "30m", 60: "1h", 240: "4h", 1440: "1d", 10080: "1w"}
_ASSETS = {"BTC": "XXBT", "ETH": "XETH", "XRP": "XXRP", "USD": "ZUSD", "EUR": "ZEUR"}


class KrakenProtocol:
    """Answers Kraken's public requests."""

    def __init__(self, market: Market, exchange: str = "kraken", books: Books | None = None) -> None:
        self._market = market
        self._books = books or Books(market)
        self._exchange = exchange
        self._pairs = {_native(symbol): symbol for symbol in market.symbols(exchange)}
        self._routes: dict[str, Route] = {
            "Time": self._time,
            "Assets": self._assets,
            "AssetPairs": self._asset_pairs,
            "OHLC": self._ohlc,
            "Trades": self._trades,
            "Depth": self._depth,
        }

    def answer(self, path: str, query: Query, now: int, faults: Faults) -> Reply:
        """Answer ``GET /{path}``; *now* is the exchange's time."""
        name = path.rpartition("/")[2]
        route = self._routes.get(name)
        if route is None or not path.startswith("0/public/"):
            return Reply({"error": ["EGeneral:Unknown method"]}, 404)
        try:
            result = route(query, now, faults)
        except Refusal as refusal:
            message = refusal.message
            if not message.startswith("E"):
                message = "EGeneral:Invalid arguments"
            return Reply({"error": [message]})
        return Reply({"error": [], "result": result}, rows=name in {"OHLC", "Trades", "Depth"})

    @staticmethod
    def error_body() -> object:
        """Return an error as Kraken writes it: with status 200."""
        return {"error": ["EService:Unavailable"]}

    @staticmethod
    def emptied(body: Any) -> Any:
        """Return the answer without its rows."""
        result = dict(body["result"])
        for key, value in result.items():
            if isinstance(value, list):
                result[key] = []
        return {"error": [], "result": result}

    @staticmethod
    def rows_of(body: Any) -> list[Any] | None:
        """Return the list of rows inside an answer, to be shuffled."""
        for value in body.get("result", {}).values():
            if isinstance(value, list):
                return value
        return None

    def _time(self, _query: Query, now: int, _faults: Faults) -> Any:
        return {"unixtime": now // SECOND, "rfc1123": format_time(now)}

    def _assets(self, _query: Query, _now: int, _faults: Faults) -> Any:
        names: set[str] = set()
        for symbol in self._pairs.values():
            names |= {symbol.base or "", symbol.quote or ""}
        names.discard("")
        return {_asset(name): _asset_info(name) for name in sorted(names)}

    def _asset_pairs(self, _query: Query, now: int, _faults: Faults) -> Any:
        listed = self._market.listed(self._exchange, now)
        return {name: _pair_info(symbol) for name, symbol in self._pairs.items() if symbol in listed}

    def _pair(self, query: Query, now: int) -> tuple[str, Symbol]:
        name = query.get("pair", "")
        if name not in self._pairs or not self._market.knows(self._pairs[name], now):
            raise Refusal("", "EQuery:Unknown asset pair")
        return name, self._pairs[name]

    def _ohlc(self, query: Query, now: int, faults: Faults) -> Any:
        name, symbol = self._pair(query, now)
        text = INTERVALS.get(integer(query, "interval", 1))
        if text is None:
            raise Refusal("", "EGeneral:Invalid arguments")
        timeframe = Timeframe.parse(text)
        rows = self._market.served(self._exchange, symbol, "ohlcv", timeframe, now=now)
        newest = window(rows, None, None, now, RECENT_BARS)
        shown = forming_and_late(newest, timeframe, now, faults)
        since = integer(query, "since", 0) * SECOND
        bars = [_bar(row) for row in shown.iter_rows() if row[0] > since]
        return {name: bars, "last": timeframe.floor(now, THURSDAY) // SECOND - timeframe.length // SECOND}

    def _trades(self, query: Query, now: int, faults: Faults) -> Any:
        name, symbol = self._pair(query, now)
        rows = bursting(self._market.served(self._exchange, symbol, "trades", now=now), faults)
        # A trade without a numeric id is numbered by its place.
        number_or_place = pl.coalesce(pl.col("id").cast(pl.Int64, strict=False), "n")
        rows = rows.with_row_index("n", offset=1).with_columns(n=number_or_place)
        limit = min(integer(query, "count", 1000), 1000)
        last = now
        start: int | None = None
        if "since" in query:
            since = _cursor(query["since"])
            last = since or now
            start = since + 1
        served = window(rows, start, None, now, limit)
        if served.height:
            last = served["ts"][-1]
        return {name: list(map(_trade, served.iter_rows(named=True))), "last": str(last)}

    def _depth(self, query: Query, now: int, faults: Faults) -> Any:
        """Answer with the book of which the streams carry the changes."""
        name, symbol = self._pair(query, now)
        book = self._books.book(self._exchange, symbol, faults)
        step = now // STEP
        if not book.is_open(step):
            raise Refusal("", "EGeneral:Temporary lockout")
        bids, asks = book.top(step, min(integer(query, "count", 100), 500))
        seconds = now // SECOND

        def levels(side: Side) -> list[list[Any]]:
            return [[book.price_text(index, PRICE_DECIMALS), amount_text(amount), seconds] for index, amount in side]

        return {name: {"asks": levels(asks), "bids": levels(bids)}}


def _asset(name: str) -> str:
    return _ASSETS.get(name, name)


def _asset_info(name: str) -> dict[str, Any]:
    return {
        "aclass": "currency",
        "altname": _alt(name),
        "decimals": 10,
        "display_decimals": 5,
        "status": "enabled",
    }


def _alt(name: str) -> str:
    return {"BTC": "XBT"}.get(name, name)


def _native(symbol: Symbol) -> str:
    return f"{_asset(symbol.base or '')}{_asset(symbol.quote or '')}"


def _cursor(text: str) -> int:
    """Read ``since``: seconds, or nanoseconds if it is too long for seconds."""
    if len(text) > 12:
        return int(text)
    return decimal_to_ns(text)


def _bar(row: tuple[Any, ...]) -> list[Any]:
    ts, *prices, volume, _, trades = row
    texts = list(map(number, prices))
    return [ts // SECOND, *texts, texts[-1], number(volume or 0.0), int(trades or 0)]


def _trade(row: Mapping[str, Any]) -> list[Any]:
    seconds = row["ts"] / SECOND
    side = {"buy": "b", "sell": "s"}.get(row["side"] or "", "b")
    return [number(row["price"]), number(row["amount"]), seconds, side, "m", "", row["n"]]


def _pair_info(symbol: Symbol) -> dict[str, Any]:
    base, quote = symbol.base or "", symbol.quote or ""
    return {
        "altname": f"{_alt(base)}{_alt(quote)}",
        "wsname": f"{_alt(base)}/{_alt(quote)}",
        "aclass_base": "currency",
        "base": _asset(base),
        "aclass_quote": "currency",
        "quote": _asset(quote),
        "pair_decimals": PRICE_DECIMALS,
        "lot_decimals": AMOUNT_DECIMALS,
        "lot_multiplier": 1,
        "fees": [[0, 0.26]],
        "fees_maker": [[0, 0.16]],
        "ordermin": "0.0001",
        "status": "online",
    }
