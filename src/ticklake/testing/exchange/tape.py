"""The trades of a symbol in columns, for streams and books: what happened after one instant and up to another."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import polars as pl

from ticklake.core.symbol import Symbol
from ticklake.core.timeframe import Timeframe
from ticklake.testing.exchange.faults import Faults
from ticklake.testing.exchange.market import Market
from ticklake.testing.exchange.replies import bursting, number

__all__ = ["Tape", "decimal_text"]


class Tape:
    """Trades in time order, as lists of equal length: ``ts``, ``ids``, ``prices``, ``amounts``, ``sides``.

    ``quotes`` are the times and prices from which a book is made: the trades, and the opens of bars where there are none.
    """

    def __init__(self, market: Market, exchange: str, symbol: Symbol, faults: Faults) -> None:
        # At time 0 only trades that are never served are left out.
        rows = bursting(market.served(exchange, symbol, "trades", now=0), faults)
        # A trade without a numeric id is numbered by its place, as in the answers to calls.
        number_or_place = pl.coalesce(pl.col("id").cast(pl.Int64, strict=False), "n")
        rows = rows.with_row_index("n", offset=1).with_columns(id=number_or_place)
        self.ts: list[int] = rows["ts"].to_physical().to_list()
        self.ids: list[int] = rows["id"].to_list()
        self.prices: list[float] = rows["price"].to_list()
        self.amounts: list[float] = rows["amount"].to_list()
        self.sides: list[str | None] = rows["side"].to_list()
        self.quotes: tuple[list[int], list[float]] = _quotes(market, exchange, symbol, self.ts, self.prices)

    def between(self, start: int, end: int) -> range:
        """Return the places of the trades after *start*, up to *end*."""
        return range(bisect_right(self.ts, start), bisect_right(self.ts, end))

    def since(self, start: int, end: int) -> range:
        """Return the places of the trades from *start* on, up to *end*."""
        return range(bisect_left(self.ts, start), bisect_right(self.ts, end))


def _quotes(
    market: Market, exchange: str, symbol: Symbol, ts: list[int], prices: list[float]
) -> tuple[list[int], list[float]]:
    bars = market.rows(exchange, symbol, "ohlcv", Timeframe(1, "m"))
    opened = bars["ts"].to_physical()
    if ts:
        before, after = bars.filter(opened < ts[0]), bars.filter(opened > ts[-1])
    else:
        before, after = bars, bars.clear()
    times = [*before["ts"].to_physical().to_list(), *ts, *after["ts"].to_physical().to_list()]
    return times, [*before["open"].to_list(), *prices, *after["open"].to_list()]


def decimal_text(value: float) -> str:
    """Write a number as :func:`~ticklake.testing.exchange.replies.number` does, several times as fast."""
    text = repr(float(value))
    if "e" in text:
        return number(value)
    return text
