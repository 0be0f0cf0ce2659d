"""The calls for rows of one exchange: from what page loops ask to ccxt's arguments, and from ccxt's rows to frames."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import polars as pl

from ticklake.core.dataset import Dataset
from ticklake.core.kinds import TIME
from ticklake.core.span import Span
from ticklake.core.symbol import Symbol
from ticklake.core.time import MS
from ticklake.core.timeframe import Timeframe
from ticklake.errors import Banned, SourceError
from ticklake.sources.ccxt import limits, mapping, paging
from ticklake.sources.ccxt.client import ExchangeClient
from ticklake.sources.ccxt.other_markets import other_markets
from ticklake.sources.ccxt.quirks import Quirks
from ticklake.sources.ccxt.row_counts import Answer, count_rows, last_answer

__all__ = ["ANSWERS", "OPEN_INTEREST", "AskTradePage", "ExchangeCalls"]

AskTradePage = Callable[[int | None, dict[str, Any]], Awaitable[Answer]]
"""Asks for a page of trades by ccxt's ``since``, in milliseconds, and ``params``."""
OPEN_INTEREST = Timeframe(5, "m")
"""The timeframe of open interest without one."""
ANSWERS: ContextVar[list[Answer] | None] = ContextVar("ANSWERS", default=None)
"""What the calls of this task brought since its last page."""
_PRICES: dict[str, dict[str, Any]] = {"mark_ohlcv": {"price": "mark"}, "index_ohlcv": {"price": "index"}}
"""What tells ccxt which price bars are made of."""


class ExchangeCalls:
    """Makes the functions that page loops ask through, each for one dataset.

    All calls count their rows: :data:`ANSWERS` gets the counts that belong to the next page.
    """

    def __init__(self, client: ExchangeClient, quirks: Quirks) -> None:
        self._client = client
        self._quirks = quirks
        self._markets: dict[str, Any] | None = None
        exchange = client.ccxt
        exchange.parse_ohlcv = mapping.with_raw_columns(exchange.parse_ohlcv, quirks)
        count_rows(exchange)

    # Markets

    async def markets(self) -> dict[str, Any]:
        """Return ccxt's markets by symbol; they are loaded once."""
        if self._markets is None:
            self._markets = dict(await self._client.call("load_markets"))
        return self._markets

    def market(self, dataset: Dataset) -> dict[str, Any]:
        """Return ccxt's market of a dataset; an empty one if ccxt knows none or has loaded none yet."""
        market: dict[str, Any] = (self._client.ccxt.markets or {}).get(str(dataset.symbol)) or {}
        return market

    def page_bars(self, dataset: Dataset) -> int:
        """Return how many bars of a dataset fit one call."""
        return limits.page_bars(self._client.ccxt, self._quirks, self.market(dataset))

    def has_timeframe(self, timeframe: str) -> bool:
        """Whether the exchange serves bars of a timeframe."""
        return timeframe in (self._client.ccxt.timeframes or {})

    # Bars

    def bars(self, dataset: Dataset) -> paging.AskSpan:
        """Return a function that asks for the bars of a window."""
        only_recent = self._quirks.recent_bars is not None
        limit = None if only_recent else self.page_bars(dataset)

        async def ask(span: Span) -> pl.DataFrame:
            params = dict(_PRICES.get(dataset.kind, {}))
            if self._quirks.until:
                # The end of a span is exclusive, that of a call is not.
                params["until"] = span.end // MS - 1
            rows = await self._client.call(
                "fetch_ohlcv", str(dataset.symbol), str(dataset.timeframe), span.start // MS, limit, params
            )
            frame = self._answer("ohlcv", rows).frame
            if only_recent:
                frame = frame.filter(frame["ts"].to_physical() >= span.start)
            if dataset.kind != "ohlcv":
                # Marks and indexes are not traded: what exchanges send in these columns has no meaning.
                frame = frame.with_columns(volume=None, quote_volume=None, trades=None)
            return frame

        return ask

    # Trades

    def trades(self, dataset: Dataset) -> AskTradePage:
        """Return a function that asks for trades; those that come twice in one answer are taken once, if all have ids."""

        async def ask(since: int | None, params: dict[str, Any]) -> Answer:
            limit = self._quirks.page_trades
            rows = await self._client.call("fetch_trades", str(dataset.symbol), since, limit, params)
            answer = self._answer("trades", rows)
            # Trades without ids that look alike may be several.
            if answer.frame["id"].null_count():
                return answer
            return replace(answer, frame=answer.frame.unique(["ts", "id"], keep="first", maintain_order=True))

        return ask

    def trades_of_window(self, dataset: Dataset) -> Callable[[Span, bool], Awaitable[Answer]]:
        """Return a function that asks for the trades of a window, exactly or from a little before on."""
        ask_page = self.trades(dataset)

        async def ask(window: Span, exactly: bool) -> Answer:
            since, params = self._quirks.trade_calls.bounds(window, exactly=exactly)
            return await ask_page(since, params)

        return ask

    def trades_after(self, dataset: Dataset) -> paging.AskFrom:
        """Return a function that asks for the trades from a time on."""
        ask_page = self.trades(dataset)
        name = self._quirks.since_param

        async def ask(cursor: int) -> pl.DataFrame:
            if name:
                # This cursor is exclusive.
                answer = await ask_page(None, {name: str(cursor - 1)})
            else:
                answer = await ask_page(cursor // MS, {})
            return answer.frame

        return ask

    def trades_from_id(self, dataset: Dataset) -> paging.AskFrom:
        """Return a function that asks for the trades from a number on."""
        ask_page = self.trades(dataset)

        async def ask(first: int) -> pl.DataFrame:
            return (await ask_page(None, {"fromId": first})).frame

        return ask

    def newest_trades(self, dataset: Dataset) -> paging.AskNewest:
        """Return a function that asks for the newest page of trades."""
        ask_page = self.trades(dataset)

        async def ask() -> pl.DataFrame:
            return (await ask_page(None, {})).frame

        return ask

    def newest_trades_if_served(self, dataset: Dataset) -> paging.AskNewest | None:
        """Return a function that asks for the newest trades to learn whether bars are late; ``None`` if there is no such call.

        It returns none if the call fails, and its rows count for no page of bars.
        """
        if not self._client.ccxt.has.get("fetchTrades"):
            return None

        async def ask() -> pl.DataFrame:
            try:
                rows = await self._client.call("fetch_trades", str(dataset.symbol), None, self._quirks.page_trades)
            except Banned:
                raise
            except SourceError:
                rows = []
            kept, _ = mapping.split_by_time("trades", rows, self._quirks)
            return mapping.trades(kept, self._quirks)

        return ask

    # Events

    def funding(self, dataset: Dataset) -> paging.AskSpan:
        """Return a function that asks for the funding rates of a window."""
        quirks = self._quirks
        page_parameter = quirks.funding_page
        if page_parameter is None and self.market(dataset).get("inverse"):
            page_parameter = quirks.inverse_funding_page
        if page_parameter is not None:
            return paging.numbered_pages(self._numbered_funding(dataset, page_parameter))
        if quirks.funding_cursor is not None:
            return paging.linked_pages(self._linked_funding(dataset, *quirks.funding_cursor))

        async def ask(window: Span) -> pl.DataFrame:
            params = {}
            if quirks.funding != "cursor":
                params[quirks.funding_end] = window.end // MS
            rows = await self._funding_rows(dataset, -(-window.start // MS), params)
            return self._answer("funding", rows).frame

        return ask

    def _numbered_funding(self, dataset: Dataset, parameter: str) -> paging.AskFrom:
        async def ask(number: int) -> pl.DataFrame:
            rows = await self._funding_rows(dataset, None, {parameter: number})
            return self._answer("funding", rows).frame

        return ask

    def _linked_funding(self, dataset: Dataset, parameter: str, field: str) -> paging.AskLinked:
        """Return a function that asks for the page that begins at a cursor; *field* of its rows holds the next cursor."""

        async def ask(cursor: str | None) -> tuple[pl.DataFrame, str | None]:
            params = {}
            if cursor is not None:
                params[parameter] = cursor
            rows = await self._funding_rows(dataset, None, params)
            return self._answer("funding", rows).frame, _first_value(rows, field)

        return ask

    async def _funding_rows(self, dataset: Dataset, start: int | None, params: dict[str, Any]) -> list[Any]:
        """Call for funding rates. No start goes with pages that take no times, as ccxt would cut their older rows."""
        symbol, limit = str(dataset.symbol), self._quirks.page_events
        rows: list[Any] = await self._client.call("fetch_funding_rate_history", symbol, start, limit, params)
        return rows

    def open_interest(self, dataset: Dataset) -> paging.AskSpan:
        """Return a function that asks for the open interest of a window."""
        timeframe = dataset.timeframe or OPEN_INTEREST
        limit = self._quirks.page_open_interest

        async def ask(window: Span) -> pl.DataFrame:
            params = {"until": window.end // MS - 1}
            rows = await self._client.call(
                "fetch_open_interest_history",
                str(dataset.symbol),
                str(timeframe),
                window.start // MS,
                limit,
                params,
            )
            return self._answer("open_interest", rows).frame

        return ask

    # Other markets

    def of_other_markets(self, dataset: Dataset, ask_of: Callable[[Dataset], paging.AskSpan]) -> paging.AskSpan:
        """Return a function that asks for the rows of other markets, until one has any in the window."""

        async def ask(window: Span) -> pl.DataFrame:
            async def rows_of(symbol: str) -> pl.DataFrame:
                ask_other = ask_of(replace(dataset, symbol=Symbol(symbol)))
                rows, _ = await paging.rows_of_window(ask_other, window)
                return rows

            with _uncounted():
                for symbol in other_markets(await self.markets(), str(dataset.symbol)):
                    rows = await paging.rows_or_refusal(rows_of, symbol)
                    if isinstance(rows, pl.DataFrame) and rows.height:
                        return rows
            return pl.DataFrame(schema={"ts": TIME})

        return ask

    def _answer(self, kind: str, rows: list[Any]) -> Answer:
        """Return the answer of the call that just brought *rows*, and keep its counts for the page that it is part of."""
        kept, refused = mapping.split_by_time(kind, rows, self._quirks)
        if kind == "ohlcv":
            frame = mapping.bars(kept)
        elif kind == "trades":
            frame = mapping.trades(kept, self._quirks)
        else:
            frame = mapping.events(kind, kept)
        answer = last_answer(frame, refused)
        answers = ANSWERS.get()
        if answers is not None:
            answers.append(answer)
        return answer


@contextmanager
def _uncounted() -> Iterator[None]:
    """Count no rows: what ccxt drops of another market is no loss of this one."""
    token = ANSWERS.set(None)
    try:
        yield
    finally:
        ANSWERS.reset(token)


def _first_value(rows: list[Any], field: str) -> str | None:
    """Return the first value of a field of the exchange's own rows."""
    for row in rows:
        if row["info"].get(field):
            return str(row["info"][field])
    return None
