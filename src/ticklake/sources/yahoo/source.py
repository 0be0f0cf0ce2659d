"""The Yahoo source: raw bars, splits and dividends of equities.

Yahoo adjusts prices, volumes and dividends for every split until now, and sends them as 32-bit floats. This module
reverses both, so that a row holds what was traded and paid on its day and a later split changes no row.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Callable
from typing import Any

import polars as pl

from ticklake.core.adjust import session_dates, shortest, split_divisors, unadjusted
from ticklake.core.coverage import Covered
from ticklake.core.crosscheck import rows_in
from ticklake.core.dataset import Dataset
from ticklake.core.instrument import Instrument
from ticklake.core.kinds import TIME
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span
from ticklake.core.symbol import Symbol
from ticklake.core.time import DAY, SECOND
from ticklake.errors import UnknownSymbol, UnknownTimeframe, Unsupported
from ticklake.sources.base import Capability, Page, Source
from ticklake.sources.yahoo.client import Client, History, Ticker
from ticklake.sources.yahoo.venues import LISTINGS, quote_of, ticker_of

__all__ = ["YahooSource"]

SERVED = ("ohlcv", "splits", "dividends")
_REACH: dict[str, tuple[int | None, int]] = {
    "1m": (29, 7),
    "2m": (59, 59),
    "5m": (59, 59),
    "15m": (59, 59),
    "1d": (None, 0),
}
"""How many days back Yahoo serves bars, and how many a call may span. Bars of an hour are left out: they begin at half past."""
_BEFORE = 10 * DAY
"""How much earlier than needed a request begins, so that it includes a session in spite of holidays."""


class YahooSource(Source):
    """One venue's equities through yfinance."""

    def __init__(self, exchange: str, client: Client, clock: Callable[[], int]) -> None:
        self.exchange = exchange
        self._client = client
        self._clock = clock
        self._tickers: dict[str, Ticker] = {}

    async def now(self) -> int:
        """Return this machine's time: Yahoo does not send its own."""
        return self._clock()

    async def instruments(self) -> list[Instrument]:
        """Refuse: Yahoo has no list.

        Raises
        ------
        Unsupported
        """
        example = f"AAPL/{LISTINGS[self.exchange].quote}"
        raise Unsupported(f"Yahoo does not list what {self.exchange} trades: name symbols, like {example}")

    async def capability(self, dataset: Dataset, now: int) -> Capability:
        """Return what can be fetched, or raise with what is possible."""
        if dataset.kind not in SERVED:
            raise self._unsupported(dataset)
        timeframe = "1d"
        if dataset.timeframe is not None:
            timeframe = str(dataset.timeframe)
        if timeframe not in _REACH:
            raise UnknownTimeframe(
                f"{self.exchange} has no {timeframe} bars on the grid: it serves {', '.join(_REACH)}; "
                "longer ones can be made with lake.resample"
            )
        await self._check_quote(dataset.symbol)
        days_back, days_per_call = _REACH[timeframe]
        if days_back is None:
            return Capability(20_000, 80 * 365 * DAY, 1.0)
        note = f"Yahoo serves {timeframe} bars of the last {days_back} days only"
        rows = days_per_call * 5 // 7 * 390 // int(timeframe[:-1])
        return Capability(rows, days_per_call * DAY, 1.0, now - days_back * DAY, note)

    async def listed_at(self, dataset: Dataset) -> int | None:
        """Return the date of the first trade that Yahoo knows."""
        ticker = await self._ticker(dataset.symbol)
        if ticker.first_trade is None:
            return None
        first = pl.Series([ticker.first_trade * SECOND], dtype=pl.Int64).cast(TIME)
        return int(session_dates(first, ticker.zone)[0])

    async def history(self, dataset: Dataset, span: Span) -> AsyncIterator[Page]:
        """Yield one page of days or events, or pages of minutes."""
        self._client.repeated.clear()
        if dataset.timeframe is None or dataset.timeframe.length == DAY:
            rows = await self._daily(dataset, span)
            yield Page(rows, (Covered(span),), 1, tuple(self._client.repeated))
            return
        _, days_per_call = _REACH[str(dataset.timeframe)]
        window = days_per_call * DAY
        splits = await self._splits(dataset.symbol, span)
        for start in range(span.start, span.end, window):
            part = Span(start, min(start + window, span.end))
            rows = await self._minutes(dataset, part, splits)
            yield Page(rows, (Covered(part),), 1, tuple(self._client.repeated))
            self._client.repeated.clear()

    async def book(self, dataset: Dataset, depth: int | None) -> Page:
        """Refuse: there are no books."""
        del depth
        raise self._unsupported(dataset)

    def provenance(self, dataset: Dataset) -> Provenance:
        """Return where rows come from."""
        note = "raw: Yahoo's adjustment for splits undone"
        if dataset.kind == "splits":
            note = ""
        return Provenance("yahoo", "v8/finance/chart", f"yfinance {self._client.version}", note=note)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _unsupported(self, dataset: Dataset) -> Unsupported:
        return Unsupported(f"{self.exchange} does not serve {dataset.kind}: Yahoo has {', '.join(SERVED)}")

    async def _ticker(self, symbol: Symbol) -> Ticker:
        name = ticker_of(self.exchange, symbol)
        if name not in self._tickers:
            self._tickers[name] = await self._client.ticker(name)
        return self._tickers[name]

    async def _check_quote(self, symbol: Symbol) -> None:
        """Refuse a symbol whose quote is not the currency of Yahoo's prices: they would be read wrongly."""
        ticker = await self._ticker(symbol)
        quote = quote_of(ticker.currency)
        if symbol.quote != quote:
            raise UnknownSymbol(f"{symbol} on {self.exchange} is priced in {quote}: write {symbol.base}/{quote}")

    async def _days_since(self, symbol: Symbol, start: int) -> History | None:
        """Return days and events from *start* until now: a split of any later day has changed the rows of *start*."""
        return await self._client.history(ticker_of(self.exchange, symbol), "1d", _datetime(start - _BEFORE))

    async def _daily(self, dataset: Dataset, span: Span) -> pl.DataFrame:
        history = await self._days_since(dataset.symbol, span.start)
        if history is None:
            return dataset.spec.empty().select(dataset.spec.names)
        days = _frame(history, daily=True)
        splits = _splits_of(history)
        if dataset.kind == "splits":
            return rows_in(splits, [span])
        if dataset.kind == "dividends":
            divisors = split_divisors(days["ts"].to_physical(), splits)
            dividends = days.with_columns(amount=days["dividend"] * divisors).filter(pl.col("amount") > 0)
            return rows_in(dividends.select("ts", shortest(pl.col("amount"))), [span])
        bars = _bars(days)
        divisors = split_divisors(bars["ts"].to_physical(), splits)
        return rows_in(unadjusted(bars, divisors), [span])

    async def _splits(self, symbol: Symbol, span: Span) -> pl.DataFrame:
        """Return the splits since *span* began, until now."""
        history = await self._days_since(symbol, span.start)
        if history is None:
            return _NO_SPLITS
        return _splits_of(history)

    async def _minutes(self, dataset: Dataset, part: Span, splits: pl.DataFrame) -> pl.DataFrame:
        name = ticker_of(self.exchange, dataset.symbol)
        history = await self._client.history(name, str(dataset.timeframe), _datetime(part.start), _datetime(part.end))
        if history is None:
            return dataset.spec.empty().select(dataset.spec.names)
        bars = _bars(_frame(history, daily=False))
        divisors = split_divisors(session_dates(bars["ts"], history.ticker.zone), splits)
        return rows_in(unadjusted(bars, divisors), [part])


_COLUMNS = {
    "Open": "open",
    "High": "high",
    "Low": "low",
    "Close": "close",
    "Volume": "volume",
    "Dividends": "dividend",
    "Stock Splits": "ratio",
}
_NO_SPLITS = pl.DataFrame(schema={"ts": TIME, "ratio": pl.Float64})


def _frame(history: History, *, daily: bool) -> pl.DataFrame:
    """Return yfinance's frame in Polars: ``ts`` and our names, sorted. The ``ts`` of a day is its date."""
    index: Any = history.frame.index
    # A day's index is midnight in the exchange's zone: its date must not move to the day before in UTC.
    moments = index.tz_localize(None).normalize() if daily else index.tz_convert("UTC").tz_localize(None)
    columns = [pl.Series("ts", moments.as_unit("ns").asi8, dtype=pl.Int64).cast(TIME)]
    for theirs, ours in _COLUMNS.items():
        numbers = history.frame[theirs].to_numpy().astype("float64")
        columns.append(pl.Series(ours, numbers, nan_to_null=True))
    return pl.DataFrame(columns).sort("ts")


def _bars(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that have prices: an event on a day without trading has none."""
    bars = frame.drop("dividend", "ratio")
    return bars.filter(pl.any_horizontal(pl.col("open", "high", "low", "close").is_not_null()))


def _splits_of(history: History) -> pl.DataFrame:
    frame = _frame(history, daily=True)
    return frame.filter(pl.col("ratio") > 0).select("ts", shortest(pl.col("ratio")))


def _datetime(ns: int) -> dt.datetime:
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=ns // SECOND)
