"""When a market was listed, from when on its history is served, and on which days it was traded: told by daily bars."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.span import Span
from ticklake.core.time import DAY
from ticklake.core.timeframe import Timeframe
from ticklake.errors import SourceError
from ticklake.sources.ccxt import id_paging, mapping, paging
from ticklake.sources.ccxt.calls import ExchangeCalls
from ticklake.sources.ccxt.exact_time import BEFORE_ALL
from ticklake.sources.ccxt.other_markets import other_markets
from ticklake.sources.ccxt.quirks import Quirks

__all__ = ["ListingSearch"]

_DAY = Timeframe(1, "d")
_WEEK = Timeframe(1, "w")
_MINUTE = Timeframe(1, "m")
_LISTING = 30 * DAY
"""A first row is a listing if another market is served from so long before it on."""
_TRADED = frozenset({"trades", "ohlcv"})


class ListingSearch:
    """Looks for the first rows of markets of one exchange.

    Parameters
    ----------
    now
        Returns the exchange's time.
    """

    def __init__(self, calls: ExchangeCalls, quirks: Quirks, now: Callable[[], Awaitable[int]]) -> None:
        self._calls = calls
        self._quirks = quirks
        self._now = now

    async def listed_at(self, dataset: Dataset) -> int | None:
        """Return the first day that has a bar, where the exchange shows that it keeps all; else the date that it announces."""
        if "ohlcv" in self._quirks.keeps:
            listed = await self._proven_listing(dataset)
            if listed is not None:
                return listed
        return await self._announced_listing(dataset)

    async def _proven_listing(self, dataset: Dataset) -> int | None:
        """Return the first day that has a bar, if the exchange shows that it keeps everything.

        Exchanges change without notice, so that one which is known to keep everything has to prove it: it serves days from the
        first week on, and the first trade of all on the first day, or another market from long before.
        """
        trade = await self._first_trade(dataset)
        has_others = bool(other_markets(await self._calls.markets(), str(dataset.symbol)))
        if trade is None and not has_others:
            # Nothing could prove a first day.
            return None
        _, first = await self._first_bars(dataset)
        if first is None:
            return None
        if trade is not None and first <= trade < first + DAY:
            return _MINUTE.floor(trade)
        if await self._serves_older_market(dataset, first):
            return first
        return None

    async def _announced_listing(self, dataset: Dataset) -> int | None:
        """Return the exchange's own date of a listing, unless it serves rows from before it.

        Markets are renamed and moved: such rows prove that the date is not the listing.
        """
        market = (await self._calls.markets()).get(str(dataset.symbol)) or {}
        created = mapping.created(market)
        if created is None or not self._calls.has_timeframe("1d"):
            return created
        daily = _bars_like(dataset, _DAY)
        first_day = _DAY.floor(created)
        page_before = Span(max(first_day - self._calls.page_bars(daily) * DAY, BEFORE_ALL), first_day)
        earlier = await self._first_bar(daily, page_before)
        if earlier is not None:
            return None
        return created

    async def first_served(self, dataset: Dataset) -> int | None:
        """Find the first day that has a bar, or the first week if none of its days has one."""
        week, day = await self._first_bars(dataset)
        if day is None:
            return week
        return day

    async def first_traded(self, dataset: Dataset, span: Span) -> int | None:
        """Find the first daily bar that lies in *span* wholly, where days are longer than the rows of the dataset."""
        if dataset.kind not in _TRADED or not self._calls.has_timeframe("1d"):
            return None
        if dataset.timeframe is not None and dataset.timeframe.length >= DAY:
            return None
        first, last = _DAY.ceil(span.start), _DAY.floor(span.end)
        if first >= last:
            return None
        return await self._first_bar(_bars_like(dataset, _DAY), Span(first, last))

    async def _first_bars(self, dataset: Dataset) -> tuple[int | None, int | None]:
        """Find the first week that has a bar, then the first day in it.

        Days are looked for in that week alone: a market may be silent for years later on.
        """
        if self._quirks.recent_bars or not self._calls.has_timeframe("1d"):
            return None, None
        coarse = _DAY
        if self._calls.has_timeframe("1w"):
            coarse = _WEEK
        bars = _bars_like(dataset, coarse)
        step = self._calls.page_bars(bars) * coarse.length
        end = await self._now()
        for start in range(coarse.floor(BEFORE_ALL), end, step):
            week = await self._first_bar(bars, Span(start, min(start + step, end)))
            if week is not None:
                days_of_week = Span(week, coarse.next(week, bars.anchor))
                return week, await self._first_bar(_bars_like(dataset, _DAY), days_of_week)
        return None, None

    async def _first_bar(self, bars: Dataset, window: Span) -> int | None:
        rows, _ = await paging.rows_of_window(self._calls.bars(bars), window)
        return _first_time(rows)

    async def _first_trade(self, dataset: Dataset) -> int | None:
        """Return the time of the very first trade, where trades are numbered from the beginning."""
        if self._quirks.trades != "id":
            return None
        rows = await paging.rows_or_refusal(self._calls.trades_from_id(dataset), 0)
        if isinstance(rows, SourceError):
            return None
        rows = id_paging.by_number(rows)
        if not id_paging.is_first(rows):
            return None
        return int(rows["ts"].to_physical()[0])

    async def _serves_older_market(self, dataset: Dataset, first: int) -> bool:
        """Whether days of another market are served from long before *first*."""
        daily = _bars_like(dataset, _DAY)
        end = first - _LISTING
        window = Span(end - self._calls.page_bars(daily) * DAY, end)
        rows = await self._calls.of_other_markets(daily, self._calls.bars)(window)
        return rows.height > 0


def _bars_like(dataset: Dataset, timeframe: Timeframe) -> Dataset:
    """Return the bars of the market of a dataset."""
    return Dataset(dataset.exchange, "ohlcv", dataset.symbol, timeframe)


def _first_time(rows: pl.DataFrame) -> int | None:
    if not rows.height:
        return None
    return int(rows["ts"].to_physical().min())  # type: ignore[arg-type]
