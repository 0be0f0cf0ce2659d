"""The ccxt source: any exchange ccxt knows, as pages."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

import ccxt
import polars as pl

from ticklake.core.dataset import BAR_KINDS, Dataset
from ticklake.core.evidence import CoverageWalk
from ticklake.core.instrument import Instrument
from ticklake.core.provenance import Provenance
from ticklake.core.questions import BarGrid, EventGrid
from ticklake.core.span import Span
from ticklake.core.time import DAY, HOUR, MINUTE, MS
from ticklake.core.timeframe import Timeframe
from ticklake.errors import BadResponse, Unsupported
from ticklake.sources.base import Capability, Page, Source
from ticklake.sources.ccxt import id_paging, limits, mapping, paging, trade_paging
from ticklake.sources.ccxt.calls import ANSWERS, OPEN_INTEREST, ExchangeCalls
from ticklake.sources.ccxt.capabilities import check_served, method_of
from ticklake.sources.ccxt.client import RETRIES, ExchangeClient, ExchangeOptions
from ticklake.sources.ccxt.cursor_paging import cursor_pages
from ticklake.sources.ccxt.exact_time import to_ns
from ticklake.sources.ccxt.listing import ListingSearch
from ticklake.sources.ccxt.polled import POLLED, PolledFeed
from ticklake.sources.ccxt.quirks import quirks_of
from ticklake.sources.ccxt.row_counts import Answer, counted_page, later_answers
from ticklake.sources.ccxt.trade_paging import WindowWalk
from ticklake.sources.live.base import Feed, Subscription
from ticklake.sources.live.feeds import live_feeds
from ticklake.sources.live.options import FeedOptions

__all__ = ["CcxtSource"]


class CcxtSource(Source):
    """One exchange through ccxt."""

    def __init__(
        self, exchange: str, options: ExchangeOptions | None = None, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self.exchange = exchange
        self._options = options or ExchangeOptions()
        self._client = ExchangeClient(exchange, self._options)
        self._quirks = quirks_of(exchange)
        self._clock = clock
        self._calls = ExchangeCalls(self._client, self._quirks)
        self._listing = ListingSearch(self._calls, self._quirks, self.now)
        self._hints: dict[Dataset, int] = {}

    def hint(self, dataset: Dataset, ts: int) -> None:
        """Remember a row that was served once: if it still is, silence after it is true."""
        self._hints[dataset] = ts

    async def now(self) -> int:
        """Return the exchange's time, or ours if it does not tell."""
        if not self._client.ccxt.has.get("fetchTime"):
            return self._clock()
        raw_time = await self._client.call("fetch_time")
        if raw_time is None:
            return self._clock()
        now = to_ns(raw_time)
        if now is None:
            raise BadResponse(f"{self.exchange} says that its time is {raw_time}, which is outside 1677..2262")
        return now

    async def instruments(self) -> list[Instrument]:
        """Return what the exchange lists."""
        markets = await self._calls.markets()
        mode = self._client.ccxt.precisionMode
        instruments = [mapping.instrument(self.exchange, market, mode) for market in markets.values()]
        return sorted(instruments, key=lambda instrument: instrument.symbol)

    async def recall(self, instrument: Instrument) -> None:
        """Put a market that is no longer listed back among ccxt's, under its native id."""
        markets = await self._calls.markets()
        if instrument.symbol in markets or not instrument.native_id:
            return
        exchange = self._client.ccxt
        restored = exchange.safe_market_structure(mapping.market(instrument))
        markets[instrument.symbol] = restored
        exchange.markets[instrument.symbol] = restored
        exchange.markets_by_id.setdefault(instrument.native_id, []).append(restored)

    async def capability(self, dataset: Dataset, now: int) -> Capability:
        """Return what can be fetched, or refuse with what is possible."""
        await self._check_served(dataset)
        pace = self._client.ccxt.rateLimit / 1000
        quirks = self._quirks
        if dataset.kind == "open_interest":
            length = (dataset.timeframe or OPEN_INTEREST).length
            rows = quirks.page_open_interest
            return Capability(rows, rows * length, pace, self._oldest_open_interest(now))
        if dataset.timeframe is not None:
            rows = self._calls.page_bars(dataset)
            served_bars = quirks.recent_bars or quirks.served_bars
            note = f"{self.exchange} serves the newest {served_bars} bars only" if served_bars else ""
            oldest = limits.served_since(quirks, dataset, now)
            return Capability(rows, rows * dataset.timeframe.length, pace, oldest, note)
        if dataset.kind == "funding":
            # Only an estimate: most contracts settle every eight hours.
            return Capability(quirks.page_events, quirks.page_events * 8 * HOUR, pace)
        note = ""
        served_from = None
        if quirks.trades == "recent":
            note = f"{self.exchange} serves the newest trades only"
        if dataset.kind == "trades" and quirks.trade_days is not None:
            note = f"{self.exchange} serves the trades of the last {quirks.trade_days} days only"
            served_from = now - quirks.trade_days * DAY
        return Capability(quirks.page_trades, quirks.trade_window, pace, served_from, note)

    async def listed_at(self, dataset: Dataset) -> int | None:
        """Return the first day that has a bar, where the exchange shows that it keeps all; else the date that it announces."""
        return await self._listing.listed_at(dataset)

    async def first_served(self, dataset: Dataset) -> int | None:
        """Find the first day that has a bar, or the first week if none of its days has one."""
        return await self._listing.first_served(dataset)

    async def first_traded(self, dataset: Dataset, span: Span) -> int | None:
        """Find the first daily bar that lies in *span* wholly, where days are longer than the rows of the dataset."""
        return await self._listing.first_traded(dataset, span)

    async def book(self, dataset: Dataset, depth: int | None) -> Page:
        """Return the book of now."""
        await self._check_served(dataset)
        raw = await self._client.call("fetch_order_book", str(dataset.symbol), depth)
        frame, clock = mapping.book(raw, self._clock())
        return self._snapshot(frame, clock, "book")

    async def predicted_funding(self, dataset: Dataset) -> Page:
        """Return the funding rate that is predicted now."""
        await self._check_served(dataset)
        raw = await self._client.call("fetch_funding_rate", str(dataset.symbol))
        frame, clock = mapping.predicted_funding(raw, self._clock())
        if not frame.height:
            raise BadResponse(f"{self.exchange} predicts no funding rate of {dataset.symbol}")
        return self._snapshot(frame, clock, "rate")

    async def feeds(self, subscriptions: Sequence[Subscription], *, capture: bool = False) -> list[Feed]:
        """Return live feeds: of Ticklake's own protocol where there is one, through ccxt otherwise; by calls where there is no stream."""
        options = FeedOptions(self._options.url, capture=capture, connect_timeout=self._options.timeout)
        instruments = await self.instruments()
        polled_kinds = POLLED.get(self.exchange, frozenset())
        streamed, polled = [], []
        for subscription in subscriptions:
            if subscription.dataset.kind in polled_kinds:
                await self._check_served(subscription.dataset)
                polled.append(subscription)
            else:
                streamed.append(subscription)
        feeds = live_feeds(self.exchange, streamed, instruments, options, self._client.pace)
        if polled:
            listed = {instrument.symbol: instrument for instrument in instruments}
            feeds.append(PolledFeed(self.exchange, polled, listed, self._calls.open_interest, self.now, options))
        return feeds

    def _snapshot(self, frame: pl.DataFrame, clock: str, name: str) -> Page:
        """Return the page of a call that brings what is true now; it covers nothing."""
        notes: tuple[str, ...] = ()
        if clock != "exchange":
            notes = (f"{self.exchange} gives its {name} no time: ts is this machine's",)
        return Page(frame, (), 1, notes, clock)

    def provenance(self, dataset: Dataset) -> Provenance:
        """Return where rows of *dataset* come from."""
        id_space = ""
        if dataset.kind == "trades":
            id_space = self._quirks.id_space
        return Provenance("ccxt", method_of(dataset.kind), f"ccxt {ccxt.__version__}", id_space=id_space)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _check_served(self, dataset: Dataset) -> None:
        check_served(self._client.ccxt, await self._calls.markets(), dataset)

    # History

    async def history(self, dataset: Dataset, span: Span) -> AsyncIterator[Page]:
        """Yield pages that cover *span*; their notes say which calls had to be repeated."""
        repeated: list[str] = []
        answers: list[Answer] = []
        RETRIES.set(repeated)
        ANSWERS.set(answers)
        async for page in self._pages(dataset, span):
            counted = counted_page(page, answers)
            yield replace(counted, notes=(*counted.notes, *repeated))
            # The calls add to these two lists: they are emptied, not replaced.
            repeated.clear()
            answers[:] = later_answers(answers, page)

    async def _pages(self, dataset: Dataset, span: Span) -> AsyncIterator[Page]:
        if dataset.kind == "trades":
            pages = self._trades(dataset, span)
        elif dataset.kind in BAR_KINDS:
            pages = self._bars(dataset, span)
        elif dataset.kind == "funding":
            pages = await self._funding(dataset, span)
        elif dataset.kind == "open_interest":
            pages = self._open_interest(dataset, span)
        else:
            raise Unsupported(f"{dataset.kind} has no history on {self.exchange}")
        async for page in pages:
            yield page

    async def _bars(self, dataset: Dataset, span: Span) -> AsyncIterator[Page]:
        """Yield bars; where calls may begin only so many bars before now, what is older is not asked for."""
        now = await self.now()
        quirks = self._quirks
        ask = self._calls.bars(dataset)
        newest = None
        if dataset.kind == "ohlcv":
            newest = self._calls.newest_trades_if_served(dataset)
        other = self._calls.of_other_markets(dataset, self._calls.bars)

        async def first_traded(silence: Span) -> int | None:
            return await self.first_traded(dataset, silence)

        def pages(part: Span) -> AsyncIterator[Page]:
            walk = CoverageWalk(
                part,
                BarGrid(dataset.timeframe or Timeframe(1, "d"), dataset.anchor),
                self._calls.page_bars(dataset),
                now,
                keeps_all="ohlcv" in quirks.keeps,
                keeps_rows=quirks.recent_bars,
                hint=self._hints.get(dataset),
                sends_end=quirks.until,
            )
            return paging.coverage_pages(walk, ask, newest, first_traded, other)

        # Exchanges that always answer with their newest bars refuse nothing: what they lack shows in the answer.
        oldest = None
        if quirks.served_bars:
            oldest = limits.served_since(quirks, dataset, now)
        reason = f"only the newest {quirks.served_bars or 0:,} bars are served"
        async for page in limits.since_served(pages, span, oldest, reason, mapping.bars([])):
            yield page

    def _trades(self, dataset: Dataset, span: Span) -> AsyncIterator[Page]:
        """Return the pages of trades by ids, by time or by windows, as the exchange takes them; else its newest page."""
        quirks = self._quirks
        newest = self._calls.newest_trades(dataset)
        if quirks.trades == "recent":
            return paging.newest_page(newest, span)
        if quirks.trades == "time":
            return self._trades_by_time(dataset, span)
        empty = mapping.trades([], quirks)
        walk = WindowWalk(self._calls.trades_of_window(dataset), quirks.trade_calls, quirks.page_trades)
        if quirks.trades == "id":
            return id_paging.id_pages(walk, self._calls.trades_from_id(dataset), newest, span, empty)

        def pages(part: Span) -> AsyncIterator[Page]:
            return trade_paging.trade_pages(walk, newest, part, empty)

        return self._served_trades(pages, span)

    def _trades_by_time(self, dataset: Dataset, span: Span) -> AsyncIterator[Page]:
        unit, overlap = MS, MS
        if self._quirks.since_param:
            unit, overlap = 1, 1000
        other = None
        if "trades" in self._quirks.keeps:
            other = self._calls.of_other_markets(dataset, self._trades_since)
        return cursor_pages(
            self._calls.trades_after(dataset), span, self._quirks.page_trades, unit, overlap, other=other
        )

    def _trades_since(self, dataset: Dataset) -> paging.AskSpan:
        """Return a function that asks for the trades from the start of a window on."""
        ask_after = self._calls.trades_after(dataset)

        async def ask(window: Span) -> pl.DataFrame:
            return await ask_after(window.start)

        return ask

    async def _served_trades(self, pages: Callable[[Span], AsyncIterator[Page]], span: Span) -> AsyncIterator[Page]:
        """Yield trades where calls for older ones are refused."""
        days = self._quirks.trade_days
        oldest = None
        if days is not None:
            # The oldest time that is served moves on while a run goes.
            oldest = await self.now() - days * DAY + HOUR
        reason = f"only the last {days} days are served"
        async for page in limits.since_served(pages, span, oldest, reason, mapping.trades([], self._quirks)):
            yield page

    async def _funding(self, dataset: Dataset, span: Span) -> AsyncIterator[Page]:
        quirks = self._quirks
        walk = CoverageWalk(
            span,
            # No exchange settles more often, so that a window never holds more rates than fit a call.
            EventGrid(HOUR),
            quirks.page_events - 2,
            await self.now(),
            keeps_all="funding" in quirks.keeps,
            hint=self._hints.get(dataset),
            sends_end=quirks.funding != "cursor",
        )
        other = self._calls.of_other_markets(dataset, self._calls.funding)
        return paging.coverage_pages(walk, self._calls.funding(dataset), other=other)

    async def _open_interest(self, dataset: Dataset, span: Span) -> AsyncIterator[Page]:
        oldest = self._oldest_open_interest(await self.now())
        reason = f"only the last {self._quirks.open_interest_days} days are served"
        grid = EventGrid((dataset.timeframe or OPEN_INTEREST).length)
        page_rows = self._quirks.page_open_interest - 1
        now = await self.now()
        ask = self._calls.open_interest(dataset)

        def pages(part: Span) -> AsyncIterator[Page]:
            walk = CoverageWalk(part, grid, page_rows, now, hint=self._hints.get(dataset))
            return paging.coverage_pages(walk, ask)

        async for page in limits.since_served(pages, span, oldest, reason, mapping.events("open_interest", [])):
            yield page

    def _oldest_open_interest(self, now: int) -> int | None:
        """Return the oldest open interest that is asked for, where only that of the last days is served."""
        days = self._quirks.open_interest_days
        if days is None:
            return None
        # The oldest time that is served moves on while a run goes.
        return now - days * DAY + 10 * MINUTE
