"""Binance's REST protocol (spot, USD-M and COIN-M futures) over a simulated market: pure, no sockets.

Paths and fields follow Binance's public API documentation for Spot, USD-M and COIN-M Futures market data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from ticklake.core.symbol import Symbol
from ticklake.core.time import HOUR, MS
from ticklake.core.timeframe import Timeframe
from ticklake.errors import UnknownTimeframe
from ticklake.testing.exchange.bars import contract_size
from ticklake.testing.exchange.book import STEP, Books, Side, amount_text, contracts_text
from ticklake.testing.exchange.faults import Faults
from ticklake.testing.exchange.market import Market
from ticklake.testing.exchange.replies import Refusal, Reply, bursting, forming_and_late, integer, number, window

__all__ = ["BinanceProtocol", "native_name"]

Query = Mapping[str, str]
Route = Callable[[str, Query, int, Faults], Any]
_PERPETUAL_END = 4_133_404_800_000


class BinanceProtocol:
    """Answers Binance's market-data requests for one of its sites (``binance``, ``binanceus``, ...)."""

    def __init__(self, market: Market, exchange: str, books: Books | None = None) -> None:
        self._market = market
        self._books = books or Books(market)
        self._exchange = exchange
        self._spot: dict[str, Symbol] = {}
        self._linear: dict[str, Symbol] = {}
        self._inverse: dict[str, Symbol] = {}
        for symbol in market.symbols(exchange):
            if symbol.market_type == "spot":
                self._spot[native_name(symbol)] = symbol
            elif symbol.market_type == "swap" and contract_size(symbol) is not None:
                self._inverse[native_name(symbol)] = symbol
            elif symbol.market_type == "swap":
                self._linear[native_name(symbol)] = symbol
        self._routes: dict[str, Route] = {
            "time": self._time,
            "exchangeInfo": self._exchange_info,
            "klines": lambda *call: self._klines("ohlcv", *call),
            "markPriceKlines": lambda *call: self._klines("mark_ohlcv", *call),
            "indexPriceKlines": lambda *call: self._klines("index_ohlcv", *call),
            "aggTrades": self._agg_trades,
            "depth": self._depth,
            "fundingRate": self._funding,
            "premiumIndex": self._premium_index,
            "openInterestHist": self._open_interest,
        }

    def answer(self, path: str, query: Query, now: int, faults: Faults) -> Reply:
        """Answer ``GET /{path}``; *now* is the exchange's time."""
        family, _, name = path.rpartition("/")
        route = self._routes.get(name)
        if route is None or family.split("/")[0] not in {"api", "fapi", "dapi", "futures"}:
            return Reply({"code": -1, "msg": f"unknown path {path}"}, 404)
        try:
            return Reply(route(family.split("/")[0], query, now, faults), rows=name not in {"time", "exchangeInfo"})
        except Refusal as refusal:
            return Reply({"code": refusal.code, "msg": refusal.message}, 400)

    @staticmethod
    def error_body() -> object:
        """Return an error as Binance writes it."""
        return {"code": -1001, "msg": "Internal error; unable to process your request. Please try again."}

    @staticmethod
    def emptied(_body: Any) -> Any:
        """Return the answer without its rows."""
        return []

    @staticmethod
    def rows_of(body: Any) -> list[Any] | None:
        """Return the list of rows inside an answer, to be shuffled."""
        if not isinstance(body, list):
            return None
        return body

    def _time(self, _family: str, _query: Query, now: int, _faults: Faults) -> Any:
        return {"serverTime": now // MS}

    def _exchange_info(self, family: str, _query: Query, now: int, _faults: Faults) -> Any:
        listed = self._market.listed(self._exchange, now)
        markets: list[dict[str, Any]] = []
        for name, symbol in self._symbols(family).items():
            if symbol in listed:
                markets.append(_info(name, symbol))
        return {"timezone": "UTC", "serverTime": now // MS, "rateLimits": [], "symbols": markets}

    def _symbols(self, family: str) -> dict[str, Symbol]:
        """Return the symbols of an API by Binance's names."""
        if family == "api":
            return self._spot
        if family == "dapi":
            return self._inverse
        return self._linear

    def _symbol(self, family: str, query: Query, now: int) -> Symbol:
        name = query.get("symbol") or query.get("pair") or ""
        symbol = self._symbols(family).get(name)
        if symbol is None and "pair" in query:
            # COIN-M's contracts of a pair share an index, and the history of their open interest is asked for by pair.
            symbol = self._inverse.get(f"{name}_PERP")
        if symbol is None or not self._market.knows(symbol, now):
            raise Refusal(-1121, "Invalid symbol.")
        return symbol

    def _klines(self, kind: str, family: str, query: Query, now: int, faults: Faults) -> Any:
        symbol = self._symbol(family, query, now)
        try:
            timeframe = Timeframe.parse(query.get("interval", ""))
        except UnknownTimeframe:
            raise Refusal(-1120, "Invalid interval.") from None
        rows = self._market.served(self._exchange, symbol, kind, timeframe, now=now)
        most = 1000
        if family != "api":
            most = 1500
        served = window(rows, _start(query), _end(query), now, _limit(query, 500, most))
        shown = forming_and_late(served, timeframe, now, faults)
        contract = None
        if kind == "ohlcv":
            contract = contract_size(symbol)
        return [_kline(row, timeframe, contract) for row in shown.iter_rows()]

    def _agg_trades(self, family: str, query: Query, now: int, faults: Faults) -> Any:
        symbol = self._symbol(family, query, now)
        rows = bursting(self._market.served(self._exchange, symbol, "trades", now=now), faults)
        limit = _limit(query, 500, 1000)
        if "fromId" in query:
            if "startTime" in query or "endTime" in query:
                raise Refusal(-1128, "Combination of optional parameters invalid.")
            past = _since_restart(window(rows, 0, None, now, rows.height))
            served = past.filter(pl.col("id").cast(pl.Int64) >= integer(query, "fromId", 0)).head(limit)
        else:
            start, end = _start(query), _end(query)
            if start is not None and end is not None and end - MS - start > HOUR:
                raise Refusal(-1127, "More than 1 hours between startTime and endTime.")
            served = window(rows, start, end, now, limit)
        return list(map(_agg_trade, served.iter_rows(named=True)))

    def _depth(self, family: str, query: Query, now: int, faults: Faults) -> Any:
        """Answer with the book of which the streams carry the changes."""
        symbol = self._symbol(family, query, now)
        book = self._books.book(self._exchange, symbol, faults)
        text = amount_text if contract_size(symbol) is None else contracts_text
        step = now // STEP
        if not book.is_open(step):
            raise Refusal(-1003, "No book yet.")
        bids, asks = book.top(step, _limit(query, 100, 5000))

        def levels(side: Side) -> list[list[str]]:
            return [[book.price_text(index), text(amount)] for index, amount in side]

        body: dict[str, Any] = {
            "lastUpdateId": book.snapshot_id(step),
            "bids": levels(bids),
            "asks": levels(asks),
        }
        if family != "api":
            body |= {"E": now // MS, "T": step * STEP // MS}
        if family == "dapi":
            body |= {"symbol": native_name(symbol), "pair": _pair(symbol)}
        return body

    def _funding(self, family: str, query: Query, now: int, _faults: Faults) -> Any:
        symbol = self._symbol(family, query, now)
        rows = self._market.rows(self._exchange, symbol, "funding")
        served = window(rows, _start(query), _end(query), now, _limit(query, 100, 1000))
        return [
            {
                "symbol": native_name(symbol),
                "fundingTime": row["ts"] // MS,
                "fundingRate": number(row["rate"]),
                "markPrice": _number_or_empty(row["mark_price"]),
            }
            for row in served.iter_rows(named=True)
        ]

    def _premium_index(self, family: str, query: Query, now: int, _faults: Faults) -> Any:
        """Answer with the next funding rate, as if it were known, or the last one if there is no next one."""
        symbol = self._symbol(family, query, now)
        rows = self._market.rows(self._exchange, symbol, "funding")
        rows = rows.with_columns(pl.col("ts").to_physical())
        row = rows.row(-1, named=True)
        following = rows.filter(pl.col("ts") > now)
        if following.height:
            row = following.row(0, named=True)
        price = number(row["mark_price"] or 0.0)
        index = {
            "symbol": native_name(symbol),
            "markPrice": price,
            "indexPrice": price,
            "lastFundingRate": number(row["rate"]),
            "nextFundingTime": row["ts"] // MS,
            "time": now // MS,
        }
        if family == "dapi":
            return [{**index, "pair": _pair(symbol)}]
        return index

    def _open_interest(self, family: str, query: Query, now: int, _faults: Faults) -> Any:
        symbol = self._symbol(family, query, now)
        start = _start(query)
        if start is not None and start < now - 30 * 24 * HOUR:
            raise Refusal(-1130, "parameter 'startTime' is invalid.")
        rows = self._market.rows(self._exchange, symbol, "open_interest")
        step = Timeframe.parse(query.get("period", "5m")).length
        grid = rows.filter(pl.col("ts").to_physical() % step == 0)
        served = window(grid, start, _end(query), now, _limit(query, 30, 500))
        names = {"symbol": native_name(symbol)}
        if contract_size(symbol) is not None:
            names = {"pair": _pair(symbol), "contractType": "PERPETUAL"}
        return [
            {
                **names,
                "sumOpenInterest": number(row["open_interest"]),
                "sumOpenInterestValue": number(row["open_interest_value"]),
                "timestamp": row["ts"] // MS,
            }
            for row in served.iter_rows(named=True)
        ]


def native_name(symbol: Symbol) -> str:
    """Return Binance's name of a market."""
    if contract_size(symbol) is not None:
        return f"{_pair(symbol)}_PERP"
    return _pair(symbol)


def _pair(symbol: Symbol) -> str:
    return f"{symbol.base}{symbol.quote}"


def _since_restart(trades: pl.DataFrame) -> pl.DataFrame:
    """Return the trades since their ids last restarted: a call by id finds only those."""
    restarts = (trades["id"].cast(pl.Int64).diff() < 0).arg_true()
    if not restarts.len():
        return trades
    return trades.slice(restarts[-1])


def _start(query: Query) -> int | None:
    if "startTime" not in query:
        return None
    return integer(query, "startTime", 0) * MS


def _end(query: Query) -> int | None:
    if "endTime" not in query:
        return None
    # Binance's end is inclusive.
    return (integer(query, "endTime", 0) + 1) * MS


def _limit(query: Query, default: int, most: int) -> int:
    return min(integer(query, "limit", default), most)


def _kline(row: tuple[Any, ...], timeframe: Timeframe, contract: float | None = None) -> list[Any]:
    ts, *prices, volume, quote_volume, trades = row
    if contract is not None:
        # COIN-M: contracts, and in the place of the quote currency the amount of the coin.
        volume, quote_volume = round((quote_volume or 0.0) / contract), volume
    close_time = timeframe.next(ts) // MS - 1
    volumes = [number(volume or 0.0), close_time, _number_or_empty(quote_volume), trades]
    return [ts // MS, *map(number, prices), *volumes, "0", "0", "0"]


def _number_or_empty(value: float | None) -> str:
    if value is None:
        return ""
    return number(value)


def _agg_trade(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "a": int(row["id"]),
        "p": number(row["price"]),
        "q": number(row["amount"]),
        "f": int(row["id"]),
        "l": int(row["id"]),
        "T": row["ts"] // MS,
        "m": row["side"] == "sell",
        "M": True,
    }


def _filters() -> list[dict[str, str]]:
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": "0.00000001",
            "maxPrice": "1000000",
            "tickSize": "0.00000001",
        },
        {"filterType": "LOT_SIZE", "minQty": "0.00000001", "maxQty": "9000000", "stepSize": "0.00000001"},
    ]


def _info(name: str, symbol: Symbol) -> dict[str, Any]:
    if symbol.market_type == "spot":
        return _spot_info(name, symbol)
    return _perpetual_info(name, symbol)


def _spot_info(name: str, symbol: Symbol) -> dict[str, Any]:
    return {
        "symbol": name,
        "status": "TRADING",
        "baseAsset": symbol.base,
        "baseAssetPrecision": 8,
        "quoteAsset": symbol.quote,
        "quotePrecision": 8,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": _filters(),
        "permissions": ["SPOT"],
    }


def _perpetual_info(name: str, symbol: Symbol) -> dict[str, Any]:
    info = _linear_info(name, symbol)
    contract = contract_size(symbol)
    if contract is not None:
        del info["status"]
        info |= {
            "pair": _pair(symbol),
            "contractStatus": "TRADING",
            "contractSize": round(contract),
            "quantityPrecision": 0,
        }
    return info


def _linear_info(name: str, symbol: Symbol) -> dict[str, Any]:
    return {
        "symbol": name,
        "pair": name,
        "contractType": "PERPETUAL",
        "deliveryDate": _PERPETUAL_END,
        "onboardDate": 0,
        "status": "TRADING",
        "baseAsset": symbol.base,
        "quoteAsset": symbol.quote,
        "marginAsset": symbol.settle,
        "pricePrecision": 8,
        "quantityPrecision": 8,
        "filters": _filters(),
    }
