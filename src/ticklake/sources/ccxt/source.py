"""The ccxt source: any exchange ccxt knows, as pages."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import ccxt
import polars as pl

from ticklake.core.dataset import BAR_KINDS, Dataset
from ticklake.core.evidence import CoverageWalk
from ticklake.core.instrument import Instrument
from ticklake.core.kinds import TIME
from ticklake.core.provenance import Provenance
from ticklake.core.questions import BarGrid, EventGrid
from ticklake.core.span import Span
from ticklake.core.symbol import Symbol
from ticklake.core.time import DAY, HOUR, MINUTE, MS
from ticklake.core.timeframe import Timeframe
from ticklake.errors import AccessDenied, BadResponse, Banned, SourceError, Unsupported
from ticklake.sources.base import Capability, Page, Source
from ticklake.sources.ccxt import id_paging, limits, mapping, paging, trade_paging
from ticklake.sources.ccxt.capabilities import check_served, method_of
from ticklake.sources.ccxt.client import RETRIES, ExchangeClient, ExchangeOptions
from ticklake.sources.ccxt.cursor_paging import cursor_pages
from ticklake.sources.ccxt.exact_time import BEFORE_ALL, to_ns
from ticklake.sources.ccxt.other_markets import other_markets
from ticklake.sources.ccxt.quirks import quirks_of
from ticklake.sources.ccxt.row_counts import Answer, count_rows, counted_page, last_answer, later_answers
from ticklake.sources.ccxt.trade_paging import WindowWalk

__all__ = ["CcxtSource"]

OPEN_INTEREST = Timeframe(5, "m")
_ANSWERS: ContextVar[list[Answer] | None] = ContextVar("_ANSWERS", default=None)
"""What the calls brought since the last page of this task."""
_LISTING = 30 * DAY
"""A first row is a listing if another market is served from so long before it on."""
_TRADED = frozenset({"trades", "ohlcv"})


class CcxtSource(Source):
    """One exchange through ccxt."""

    def __init__(
        self, exchange: str, options: ExchangeOptions | None = None, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self.exchange = exchange
        self._client = ExchangeClient(exchange, options or ExchangeOptions())
        self._quirks = quirks_of(exchange)
        self._clock = clock
        client = self._client.ccxt
        client.parse_ohlcv = mapping.with_raw_columns(client.parse_ohlcv, self._quirks)
        count_rows(client)
        self._markets: dict[str, Any] | None = None
        self._hints: dict[Dataset, int] = {}

    def hint(self, dataset: Dataset, ts: int) -> None:
        """Remember a row that was served once: if it still is, silence after it is true."""
        self._hints[dataset] = ts

    async def now(self) -> int:
        """Return the exchange's time, or ours if it does not tell."""
        told = await self._client.call("fetch_time") if self._client.ccxt.has.get("fetchTime") else None
        if told is None:
            return self._clock()
        now = to_ns(told)
        if now is None:
            raise BadResponse(f"{self.exchange} says that its time is {told}, which is outside 1677..2262")
        return now

    async def instruments(self) -> list[Instrument]:
        """Return what the exchange lists."""
        markets = await self._load_markets()
        mode = self._client.ccxt.precisionMode
        return sorted((mapping.instrument(self.exchange, m, mode) for m in markets.values()), key=lambda i: i.symbol)

    async def capability(self, dataset: Dataset, now: int) -> Capability:
        """Say what can be had, or refuse with what is possible."""
        check_served(self._client.ccxt, await self._load_markets(), dataset)
        pace = self._client.ccxt.rateLimit / 1000
        if dataset.kind == "open_interest":
            rows, frame = self._quirks.page_open_interest, dataset.timeframe or OPEN_INTEREST
            return Capability(rows, rows * frame.length, pace, self._oldest(dataset, now))
        if dataset.timeframe is not None:
            rows, served = self._page_bars(dataset), self._quirks.recent_bars or self._quirks.served_bars
            note = f"{self.exchange} serves the newest {served} bars only" if served else ""
            return Capability(rows, rows * dataset.timeframe.length, pace, self._oldest(dataset, now), note)
        if dataset.kind == "funding":
            return Capability(self._quirks.page_events, self._quirks.page_events * 8 * 60 * MINUTE, pace)
        note = f"{self.exchange} serves the newest trades only" if self._quirks.trades == "recent" else ""
        days = self._quirks.trade_days if dataset.kind == "trades" else None
        note = f"{self.exchange} serves the trades of the last {days} days only" if days else note
        served_from = None if days is None else now - days * DAY
        return Capability(self._quirks.page_trades, self._quirks.trade_window, pace, served_from, note)

    async def listed_at(self, dataset: Dataset) -> int | None:
        """Return the first day that has a bar, where the exchange shows that it keeps all; else the date that it tells.

        Exchanges change without a word, so that one which is known to keep everything is not believed, either. It has to serve
        days from the first week on, and the first trade of all on the first day, or another market from before.
        """
        if "ohlcv" in self._quirks.keeps:
            trade = await self._first_trade(dataset)
            has_others = bool(other_markets(await self._load_markets(), str(dataset.symbol)))
            # Where nothing could prove a first day, it is not looked for.
            _, first = await self._first_bars(dataset) if trade is not None or has_others else (None, None)
            if first is not None and trade is not None and first <= trade < first + DAY:
                return Timeframe(1, "m").floor(trade)
            if first is not None and await self._serves_older(dataset, first):
                return first
        created = mapping.created((await self._load_markets()).get(str(dataset.symbol)) or {})
        if created is None or "1d" not in (self._client.ccxt.timeframes or {}):
            return created
        # Markets are renamed and moved: rows from before the date prove that it is not the listing.
        daily = Dataset(self.exchange, "ohlcv", dataset.symbol, Timeframe(1, "d"))
        first = Timeframe(1, "d").floor(created)
        earlier = await self._first_in(daily, Span(max(first - self._page_bars(daily) * DAY, BEFORE_ALL), first))
        return created if earlier is None else None

    async def first_served(self, dataset: Dataset) -> int | None:
        """Find the first day that has a bar, or the first week if there is none in it."""
        week, day = await self._first_bars(dataset)
        return week if day is None else day

    async def _first_bars(self, dataset: Dataset) -> tuple[int | None, int | None]:
        """Find the first week that has a bar, then the first day in it: a market may be silent for years later on."""
        if self._quirks.recent_bars or "1d" not in (self._client.ccxt.timeframes or {}):
            return None, None
        daily = Dataset(self.exchange, "ohlcv", dataset.symbol, Timeframe(1, "d"))
        coarse = Timeframe(1, "w") if "1w" in self._client.ccxt.timeframes else Timeframe(1, "d")
        bars = Dataset(self.exchange, "ohlcv", dataset.symbol, coarse)
        for window in await self._windows(bars, coarse):
            week = await self._first_in(bars, window)
            if week is not None:
                return week, await self._first_in(daily, Span(week, coarse.next(week, bars.anchor)))
        return None, None

    async def _first_trade(self, dataset: Dataset) -> int | None:
        """Return the time of the first trade that there ever was, where trades are numbered from the beginning."""
        if self._quirks.trades != "id":
            return None
        ask = self._trade_call(replace(dataset, kind="trades", timeframe=None))

        async def by_id(first: int) -> pl.DataFrame:
            return (await ask(None, {"fromId": first})).frame

        rows = await paging.rows_or_refusal(by_id, 0)
        if isinstance(rows, SourceError):
            return None
        rows = id_paging.by_number(rows)
        return int(rows["ts"].to_physical()[0]) if id_paging.is_first(rows) else None

    async def _serves_older(self, dataset: Dataset, first: int) -> bool:
        """Whether days of another market are served from long before *first*."""
        daily = Dataset(self.exchange, "ohlcv", dataset.symbol, Timeframe(1, "d"))
        end = first - _LISTING
        window = Span(end - self._page_bars(daily) * DAY, end)
        rows = await self._other_markets(daily, self._bars_of)(window)
        return rows.height > 0

    def _other_markets(self, dataset: Dataset, ask_of: Callable[[Dataset], paging.AskSpan]) -> paging.AskSpan:
        """Return what brings the rows of another market, of the first one that has any."""

        async def ask(span: Span) -> pl.DataFrame:
            # What is dropped of another market is no loss of this one.
            counted = _ANSWERS.set(None)
            try:
                for symbol in other_markets(await self._load_markets(), str(dataset.symbol)):
                    try:
                        rows, _ = await paging.rows_of_window(ask_of(replace(dataset, symbol=Symbol(symbol))), span)
                    except SourceError as error:
                        if error.retriable or isinstance(error, AccessDenied | Banned):
                            raise
                        continue
                    if rows.height:
                        return rows
            finally:
                _ANSWERS.reset(counted)
            return pl.DataFrame(schema={"ts": TIME})

        return ask

    async def recall(self, instrument: Instrument) -> None:
        """Put a market that is no longer listed back among ccxt's, under its native id."""
        markets = await self._load_markets()
        if instrument.symbol in markets or not instrument.native_id:
            return
        client, market = self._client.ccxt, mapping.market(instrument)
        restored = client.safe_market_structure(market)
        markets[instrument.symbol] = client.markets[instrument.symbol] = restored
        client.markets_by_id.setdefault(instrument.native_id, []).append(restored)

    async def first_traded(self, dataset: Dataset, span: Span) -> int | None:
        """Look for a daily bar that lies in *span* wholly, where days are longer than what is asked for."""
        frame, day = dataset.timeframe, Timeframe(1, "d")
        first, last = day.ceil(span.start), day.floor(span.end)
        served = "1d" in (self._client.ccxt.timeframes or {})
        if first >= last or not served or dataset.kind not in _TRADED or (frame and frame.length >= DAY):
            return None
        return await self._first_in(Dataset(self.exchange, "ohlcv", dataset.symbol, day), Span(first, last))

    async def history(self, dataset: Dataset, span: Span) -> AsyncIterator[Page]:
        """Yield pages that cover *span*; their notes say which calls had to be repeated."""
        repeated: list[str] = []
        answers: list[Answer] = []
        RETRIES.set(repeated)
        _ANSWERS.set(answers)
        async for page in self._pages(dataset, span):
            counted = counted_page(page, answers)
            yield replace(counted, notes=(*counted.notes, *repeated))
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
        now, quirks, ask = await self.now(), self._quirks, self._bars_of(dataset)
        grid, hint = BarGrid(dataset.timeframe or Timeframe(1, "d"), dataset.anchor), self._hints.get(dataset)
        newest = self._newest_trades(dataset) if dataset.kind == "ohlcv" else None

        def pages(part: Span) -> AsyncIterator[Page]:
            walk = CoverageWalk(
                part,
                grid,
                self._page_bars(dataset),
                now,
                keeps_all="ohlcv" in quirks.keeps,
                keeps_rows=quirks.recent_bars,
                hint=hint,
                sends_end=quirks.until,
            )
            others = self._other_markets(dataset, self._bars_of)
            return paging.coverage_pages(walk, ask, newest, lambda silence: self.first_traded(dataset, silence), others)

        oldest = limits.served_since(quirks, dataset, now) if quirks.served_bars else None
        reason = f"only the newest {quirks.served_bars or 0:,} bars are served"
        async for page in limits.since_served(pages, span, oldest, reason, mapping.bars([])):
            yield page

    def _newest_trades(self, dataset: Dataset) -> paging.AskNewest | None:
        """Return what brings the newest trades, as far as the exchange serves any: they tell whether its bars are late."""
        if not self._client.ccxt.has.get("fetchTrades"):
            return None

        async def newest() -> pl.DataFrame:
            try:
                rows = await self._client.call("fetch_trades", str(dataset.symbol), None, self._quirks.page_trades)
            except Banned:
                raise
            except SourceError:
                rows = []
            kept, _ = mapping.split_by_time("trades", rows, self._quirks)
            return mapping.trades(kept, self._quirks)

        return newest

    async def book(self, dataset: Dataset, depth: int | None) -> Page:
        """Return the book of now."""
        check_served(self._client.ccxt, await self._load_markets(), dataset)
        raw = await self._client.call("fetch_order_book", str(dataset.symbol), depth)
        frame, clock = mapping.book(raw, self._clock())
        notes = () if clock == "exchange" else (f"{self.exchange} gives its book no time: ts is this machine's",)
        return Page(frame, (), 1, notes, clock)

    async def predicted_funding(self, dataset: Dataset) -> Page:
        """Return the funding rate that is predicted now."""
        check_served(self._client.ccxt, await self._load_markets(), dataset)
        raw = await self._client.call("fetch_funding_rate", str(dataset.symbol))
        frame, clock = mapping.predicted_funding(raw, self._clock())
        if not frame.height:
            raise BadResponse(f"{self.exchange} predicts no funding rate of {dataset.symbol}")
        notes = () if clock == "exchange" else (f"{self.exchange} gives its rate no time: ts is this machine's",)
        return Page(frame, (), 1, notes, clock)

    def provenance(self, dataset: Dataset) -> Provenance:
        """Return where rows of *dataset* come from."""
        space = self._quirks.id_space if dataset.kind == "trades" else ""
        return Provenance("ccxt", method_of(dataset.kind), f"ccxt {ccxt.__version__}", id_space=space)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _page_bars(self, dataset: Dataset) -> int:
        return limits.page_bars(self._client.ccxt, self._quirks, self._market(dataset))

    def _market(self, dataset: Dataset) -> dict[str, Any]:
        """Return what ccxt keeps of a market; nothing, if it knows none."""
        market: dict[str, Any] = (self._client.ccxt.markets or {}).get(str(dataset.symbol)) or {}
        return market

    async def _load_markets(self) -> dict[str, Any]:
        if self._markets is None:
            self._markets = dict(await self._client.call("load_markets"))
        return self._markets

    def _oldest(self, dataset: Dataset, now: int) -> int | None:
        """Return the oldest instant that is still served, where that is known."""
        if dataset.kind == "open_interest":
            days = self._quirks.open_interest_days
            return None if days is None else now - days * DAY + 10 * MINUTE
        return limits.served_since(self._quirks, dataset, now)

    def _answered(self, kind: str, rows: list[Any]) -> Answer:
        """Return the answer of the call that just brought *rows*, and keep its counts for the page that it is part of."""
        kept, refused = mapping.split_by_time(kind, rows, self._quirks)
        if kind == "ohlcv":
            frame = mapping.bars(kept)
        elif kind == "trades":
            frame = mapping.trades(kept, self._quirks)
        else:
            frame = mapping.events(kind, kept)
        answer = last_answer(frame, refused)
        answers = _ANSWERS.get()
        if answers is not None:
            answers.append(answer)
        return answer

    def _bars_of(self, dataset: Dataset) -> paging.AskSpan:
        extra = {"mark_ohlcv": {"price": "mark"}, "index_ohlcv": {"price": "index"}}.get(dataset.kind, {})
        recent = self._quirks.recent_bars is not None
        limit = None if recent else self._page_bars(dataset)

        async def ask(span: Span) -> pl.DataFrame:
            params = {**extra, **({"until": span.end // MS - 1} if self._quirks.until else {})}
            rows = await self._client.call(
                "fetch_ohlcv", str(dataset.symbol), str(dataset.timeframe), span.start // MS, limit, params
            )
            frame = self._answered("ohlcv", rows).frame
            if recent:
                frame = frame.filter(frame["ts"].to_physical() >= span.start)
            return frame if dataset.kind == "ohlcv" else frame.with_columns(volume=None, quote_volume=None, trades=None)

        return ask

    def _trade_call(self, dataset: Dataset) -> Callable[[int | None, dict[str, Any]], Awaitable[Answer]]:
        """Return what asks for trades; those that come twice in one answer are taken once, if all have ids."""

        async def ask(since: int | None, params: dict[str, Any]) -> Answer:
            limit = self._quirks.page_trades
            rows = await self._client.call("fetch_trades", str(dataset.symbol), since, limit, params)
            answer = self._answered("trades", rows)
            if not _all_ids(answer.frame):
                return answer
            return replace(answer, frame=answer.frame.unique(["ts", "id"], keep="first", maintain_order=True))

        return ask

    def _trades_after(self, dataset: Dataset) -> paging.AskFrom:
        """Return what asks for the trades from a time on."""
        ask, name = self._trade_call(dataset), self._quirks.since_param

        async def after(cursor: int) -> pl.DataFrame:
            answer = await (ask(None, {name: str(cursor - 1)}) if name else ask(cursor // MS, {}))
            return answer.frame

        return after

    def _trades(self, dataset: Dataset, span: Span) -> AsyncIterator[Page]:
        quirks, limit, ask = self._quirks, self._quirks.page_trades, self._trade_call(dataset)
        empty = mapping.trades([], quirks)

        async def fetch(since: int | None, params: dict[str, Any]) -> pl.DataFrame:
            return (await ask(since, params)).frame

        async def ask_window(window: Span, exactly: bool) -> Answer:
            return await ask(*quirks.trade_calls.bounds(window, exactly=exactly))

        async def newest() -> pl.DataFrame:
            return await fetch(None, {})

        if quirks.trades == "id":
            return id_paging.id_pages(
                WindowWalk(ask_window, quirks.trade_calls, limit),
                lambda first: fetch(None, {"fromId": first}),
                newest,
                span,
                empty,
            )
        if quirks.trades == "time":
            unit, overlap = (1, 1000) if quirks.since_param else (MS, MS)
            return cursor_pages(
                self._trades_after(dataset), span, limit, unit, overlap, other=self._other_trades(dataset)
            )
        if quirks.trades == "window":
            return self._served_trades(
                lambda part: trade_paging.trade_pages(
                    WindowWalk(ask_window, quirks.trade_calls, limit), newest, part, empty
                ),
                span,
            )
        return paging.newest_page(newest, span)

    def _other_trades(self, dataset: Dataset) -> paging.AskSpan | None:
        """Return what brings trades of another market, where the exchange is known to keep them all."""

        def ask_of(other: Dataset) -> paging.AskSpan:
            after = self._trades_after(other)
            return lambda span: after(span.start)

        return self._other_markets(dataset, ask_of) if "trades" in self._quirks.keeps else None

    async def _served_trades(self, pages: Callable[[Span], AsyncIterator[Page]], span: Span) -> AsyncIterator[Page]:
        """Yield trades where calls for older ones are refused."""
        days = self._quirks.trade_days
        oldest = None if days is None else await self.now() - days * DAY + HOUR
        reason = f"only the last {days} days are served"
        async for page in limits.since_served(pages, span, oldest, reason, mapping.trades([], self._quirks)):
            yield page

    def _funding_of(self, dataset: Dataset) -> paging.AskSpan:
        quirks, symbol = self._quirks, str(dataset.symbol)
        page_number = quirks.funding_page
        if page_number is None and self._market(dataset).get("inverse"):
            page_number = quirks.inverse_funding_page

        async def numbered(page: int) -> pl.DataFrame:
            # With a start, ccxt would cut the older rows of a page.
            params = {str(page_number): page}
            rows = await self._client.call("fetch_funding_rate_history", symbol, None, quirks.page_events, params)
            return self._answered("funding", rows).frame

        if page_number is not None:
            return paging.numbered_pages(numbered)
        if quirks.funding_cursor is not None:
            return paging.linked_pages(self._linked_funding(symbol, *quirks.funding_cursor))

        async def ask(part: Span) -> pl.DataFrame:
            end = {} if quirks.funding == "cursor" else {quirks.funding_end: part.end // MS}
            start, limit = -(-part.start // MS), quirks.page_events
            rows = await self._client.call("fetch_funding_rate_history", symbol, start, limit, end)
            return self._answered("funding", rows).frame

        return ask

    def _linked_funding(self, symbol: str, parameter: str, field: str) -> paging.AskLinked:
        """Return what asks for funding rates by where a page begins, and tells where the next one does."""

        async def linked(cursor: str | None) -> tuple[pl.DataFrame, str | None]:
            params = {} if cursor is None else {parameter: cursor}
            limit = self._quirks.page_events
            rows = await self._client.call("fetch_funding_rate_history", symbol, None, limit, params)
            following = next((row["info"][field] for row in rows if row["info"].get(field)), None)
            return self._answered("funding", rows).frame, None if following is None else str(following)

        return linked

    async def _funding(self, dataset: Dataset, span: Span) -> AsyncIterator[Page]:
        quirks = self._quirks
        walk = CoverageWalk(
            span,
            EventGrid(HOUR),
            quirks.page_events - 2,
            await self.now(),
            keeps_all="funding" in quirks.keeps,
            hint=self._hints.get(dataset),
            sends_end=quirks.funding != "cursor",
        )
        others = self._other_markets(dataset, self._funding_of)
        return paging.coverage_pages(walk, self._funding_of(dataset), other=others)

    async def _open_interest(self, dataset: Dataset, span: Span) -> AsyncIterator[Page]:
        oldest, frame = self._oldest(dataset, await self.now()), dataset.timeframe or OPEN_INTEREST
        limit = self._quirks.page_open_interest
        reason = f"only the last {self._quirks.open_interest_days} days are served"

        async def ask(part: Span) -> pl.DataFrame:
            params = {"until": part.end // MS - 1}
            rows = await self._client.call(
                "fetch_open_interest_history",
                str(dataset.symbol),
                str(frame),
                part.start // MS,
                limit,
                params,
            )
            return self._answered("open_interest", rows).frame

        now, hint = await self.now(), self._hints.get(dataset)

        def pages(part: Span) -> AsyncIterator[Page]:
            return paging.coverage_pages(CoverageWalk(part, EventGrid(frame.length), limit - 1, now, hint=hint), ask)

        async for page in limits.since_served(pages, span, oldest, reason, mapping.events("open_interest", [])):
            yield page

    async def _windows(self, bars: Dataset, coarse: Timeframe) -> list[Span]:
        """Cut the time since before everything into windows of one page of *coarse* bars."""
        end, step = await self.now(), self._page_bars(bars) * coarse.length
        return [Span(start, min(start + step, end)) for start in range(coarse.floor(BEFORE_ALL), end, step)]

    async def _first_in(self, daily: Dataset, window: Span) -> int | None:
        rows, _ = await paging.rows_of_window(self._bars_of(daily), window)
        return int(rows["ts"].to_physical().min()) if rows.height else None  # type: ignore[arg-type]


def _all_ids(frame: pl.DataFrame) -> bool:
    return frame.height > 0 and frame["id"].null_count() == 0
