"""The Yahoo source: raw bars, splits and dividends of equities.

What Yahoo sends is adjusted for every split until now, prices, volumes and dividends alike, and goes through 32-bit
floats. Here that is undone: a row says what was traded and paid on its day, so that a later split changes no row.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Callable
from typing import Any

import polars as pl

from ticklake.core.adjust import session_dates, shortest, split_divisors, unadjusted
from ticklake.core.coverage import Covered
from ticklake.core.dataset import Dataset
from ticklake.core.instrument import Instrument
from ticklake.core.kinds import TIME
from ticklake.core.provenance import Provenance
from ticklake.core.span import Span
from ticklake.core.symbol import Symbol
from ticklake.core.time import DAY, SECOND
from ticklake.errors import UnknownSymbol, UnknownTimeframe, Unsupported
from ticklake.sources.base import Capability, Page, Source
from ticklake.sources.yahoo.client import About, Answer, Door
from ticklake.sources.yahoo.venues import LISTINGS, money, ticker_of

__all__ = ["YahooSource"]

SERVED = ("ohlcv", "splits", "dividends")
_REACH: dict[str, tuple[int | None, int]] = {
    "1m": (29, 7),
    "2m": (59, 59),
    "5m": (59, 59),
    "15m": (59, 59),
    "1d": (None, 0),
}
"""How many days back Yahoo serves bars, and how many a call may span. Its hours begin at half past: off any grid."""
_BEFORE = 10 * DAY
"""Asking so much earlier than needed meets a session for sure, holidays or not."""


class YahooSource(Source):
    """One venue's equities through yfinance."""

    def __init__(self, exchange: str, door: Door, clock: Callable[[], int]) -> None:
        self.exchange = exchange
        self._door = door
        self._clock = clock
        self._about: dict[str, About] = {}

    async def now(self) -> int:
        """Return our own time: Yahoo does not tell its."""
        return self._clock()

    async def instruments(self) -> list[Instrument]:
        """Refuse: Yahoo has no list.

        Raises
        ------
        Unsupported
        """
        raise Unsupported(f"Yahoo does not list what {self.exchange} trades: name symbols, like {self._example}")

    async def capability(self, dataset: Dataset, now: int) -> Capability:
        """Say what can be had, or refuse with what is possible."""
        if dataset.kind not in SERVED:
            raise Unsupported(f"{self.exchange} does not serve {dataset.kind}: Yahoo has {', '.join(SERVED)}")
        frame = "1d" if dataset.timeframe is None else str(dataset.timeframe)
        if frame not in _REACH:
            raise UnknownTimeframe(
                f"{self.exchange} has no {frame} bars on the grid: it serves {', '.join(_REACH)}; "
                "longer ones can be made with lake.resample"
            )
        await self._check_money(dataset.symbol)
        back, days = _REACH[frame]
        if back is None:
            return Capability(20_000, 80 * 365 * DAY, 1.0)
        note = f"Yahoo serves {frame} bars of the last {back} days only"
        rows = days * 5 // 7 * 390 // int(frame[:-1])
        return Capability(rows, days * DAY, 1.0, now - back * DAY, note)

    async def listed_at(self, dataset: Dataset) -> int | None:
        """Return the date of the first trade that Yahoo knows."""
        about = await self._of(dataset.symbol)
        if about.first_trade is None:
            return None
        first = pl.Series([about.first_trade * SECOND], dtype=pl.Int64).cast(TIME)
        return int(session_dates(first, about.zone)[0])

    async def history(self, dataset: Dataset, span: Span) -> AsyncIterator[Page]:
        """Yield one page of days or events, or pages of minutes."""
        self._door.repeated.clear()
        if dataset.timeframe is None or dataset.timeframe.length == DAY:
            rows = await self._daily(dataset, span)
            yield Page(rows, (Covered(span),), 1, tuple(self._door.repeated))
            return
        window = _REACH[str(dataset.timeframe)][1] * DAY
        splits = await self._splits(dataset.symbol, span)
        for start in range(span.start, span.end, window):
            part = Span(start, min(start + window, span.end))
            rows = await self._minutes(dataset, part, splits)
            yield Page(rows, (Covered(part),), 1, tuple(self._door.repeated))
            self._door.repeated.clear()

    async def book(self, dataset: Dataset, depth: int | None) -> Page:
        """Refuse: there are no books."""
        del depth
        raise Unsupported(f"{self.exchange} does not serve {dataset.kind}: Yahoo has {', '.join(SERVED)}")

    def provenance(self, dataset: Dataset) -> Provenance:
        """Return where rows come from."""
        note = "raw: Yahoo's adjustment for splits undone" if dataset.kind != "splits" else ""
        return Provenance("yahoo", "v8/finance/chart", f"yfinance {self._door.version}", note=note)

    async def close(self) -> None:
        """Close the connections."""
        await self._door.close()

    @property
    def _example(self) -> str:
        return f"AAPL/{LISTINGS[self.exchange].quote}"

    async def _of(self, symbol: Symbol) -> About:
        ticker = ticker_of(self.exchange, symbol)
        if ticker not in self._about:
            self._about[ticker] = await self._door.about(ticker)
        return self._about[ticker]

    async def _check_money(self, symbol: Symbol) -> None:
        """Refuse a symbol whose quote is not the money that Yahoo counts in: its prices would be wrong."""
        quote = money((await self._of(symbol)).currency)
        if symbol.quote != quote:
            raise UnknownSymbol(f"{symbol} on {self.exchange} is priced in {quote}: write {symbol.base}/{quote}")

    async def _daily(self, dataset: Dataset, span: Span) -> pl.DataFrame:
        answer = await self._door.history(ticker_of(self.exchange, dataset.symbol), "1d", _moment(span.start - _BEFORE))
        if answer is None:
            return dataset.spec.empty().select(dataset.spec.names)
        frame, splits = _frame(answer, daily=True), _splits(answer)
        if dataset.kind == "splits":
            return _inside(splits, span)
        if dataset.kind == "dividends":
            raw = frame.with_columns(amount=frame["dividend"] * split_divisors(frame["ts"].to_physical(), splits))
            return _inside(raw.filter(pl.col("amount") > 0).select("ts", shortest(pl.col("amount"))), span)
        bars = _bars(frame)
        return _inside(unadjusted(bars, split_divisors(bars["ts"].to_physical(), splits)), span)

    async def _splits(self, symbol: Symbol, span: Span) -> pl.DataFrame:
        """Return the splits since *span* began, until now."""
        answer = await self._door.history(ticker_of(self.exchange, symbol), "1d", _moment(span.start - _BEFORE))
        return _NO_SPLITS if answer is None else _splits(answer)

    async def _minutes(self, dataset: Dataset, part: Span, splits: pl.DataFrame) -> pl.DataFrame:
        ticker = ticker_of(self.exchange, dataset.symbol)
        answer = await self._door.history(ticker, str(dataset.timeframe), _moment(part.start), _moment(part.end))
        if answer is None:
            return dataset.spec.empty().select(dataset.spec.names)
        bars = _bars(_frame(answer, daily=False))
        divisors = split_divisors(session_dates(bars["ts"], answer.about.zone), splits)
        return _inside(unadjusted(bars, divisors), part)


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


def _frame(answer: Answer, *, daily: bool) -> pl.DataFrame:
    """Return yfinance's frame in Polars: ``ts`` and our names, sorted. Days are named by their date."""
    index: Any = answer.frame.index
    moments = index.tz_localize(None).normalize() if daily else index.tz_convert("UTC").tz_localize(None)
    columns = {
        ours: pl.Series(ours, answer.frame[theirs].to_numpy().astype("float64"), nan_to_null=True)
        for theirs, ours in _COLUMNS.items()
    }
    ts = pl.Series("ts", moments.as_unit("ns").asi8, dtype=pl.Int64).cast(TIME)
    return pl.DataFrame([ts, *columns.values()]).sort("ts")


def _bars(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that have prices: an event on a day without trading comes without."""
    priced = frame.drop("dividend", "ratio")
    return priced.filter(pl.any_horizontal(pl.col("open", "high", "low", "close").is_not_null()))


def _splits(answer: Answer) -> pl.DataFrame:
    frame = _frame(answer, daily=True)
    return frame.filter(pl.col("ratio") > 0).select("ts", shortest(pl.col("ratio")))


def _inside(rows: pl.DataFrame, span: Span) -> pl.DataFrame:
    ts = rows["ts"].to_physical()
    return rows.filter((ts >= span.start) & (ts < span.end))


def _moment(ns: int) -> dt.datetime:
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=ns // SECOND)
