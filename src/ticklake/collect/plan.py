"""Plan a backfill: which datasets it fetches, and which spans of each are missing."""

from __future__ import annotations

import asyncio
import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ticklake.catalog.instruments import Instruments
from ticklake.core.coverage import Coverage, Covered
from ticklake.core.dataset import Dataset
from ticklake.core.fetch_plan import FetchPlan, horizon, plan_fetch, with_archives
from ticklake.core.instrument import Instrument, unified
from ticklake.core.lookup import is_pattern, is_plain
from ticklake.core.span import Span, subtract
from ticklake.core.time import DAY, format_time
from ticklake.engine.delete import DELETED
from ticklake.engine.engine import Engine
from ticklake.errors import BadInput, InvalidTime, UnknownSymbol, Unsupported
from ticklake.sources.base import Capability, Source

__all__ = ["FetchScope", "plan_dataset", "select_symbols"]

NOT_FINAL = "nothing of it is final yet"


@dataclass(frozen=True, slots=True)
class FetchScope:
    """The time that a backfill fetches: from *start* (the listing, if ``None``) to *end* (now, if ``None``).

    With *known*, a dataset without a start begins where the lake's own history of it begins. If there are spans in
    *again*, exactly those are fetched, covered or not.
    """

    start: int | None = None
    end: int | None = None
    retry: bool = False
    known: bool = False
    again: tuple[Span, ...] = ()

    def begins(self, coverage: Coverage) -> int | None:
        """Return where a dataset begins, if that is known without asking a source."""
        if self.start is not None or not self.known:
            return self.start
        for piece in coverage.pieces:
            # An update does not fetch again what was deleted.
            if piece.reason != DELETED:
                return piece.span.start
        return None

    def final_part(self, dataset: Dataset, start: int, now: int) -> Span | None:
        """Return the span from *start* on, in whole bars, as far as it is final at *now*."""
        final, timeframe = horizon(dataset, now), dataset.timeframe
        end = final
        if self.end is not None:
            end = min(self.end, final)
        if timeframe is not None:
            start = timeframe.ceil(start, dataset.anchor)
            # Only whole bars can be fetched: a bar that is requested in part is requested whole.
            end = min(timeframe.ceil(end, dataset.anchor), final)
        if start >= end:
            return None
        return Span(start, end)


async def plan_dataset(
    source: Source, engine: Engine, instruments: Instruments, dataset: Dataset, scope: FetchScope
) -> FetchPlan:
    """Plan one dataset from its coverage. Raise if the source cannot serve it."""
    now = await source.now()
    capability = await source.capability(dataset, now)
    if scope.start is not None and scope.start > now:
        raise InvalidTime(
            f"start {format_time(scope.start)} lies in the future: {dataset.exchange} says it is {format_time(now)}"
        )
    if scope.again:
        return await _plan_again(source, capability, dataset, scope.again, now)
    coverage = await asyncio.to_thread(engine.catalog.coverage, dataset)
    instrument = await asyncio.to_thread(instruments.get, dataset.exchange, str(dataset.symbol))
    listed_at = None
    if instrument is not None:
        listed_at = instrument.listed_at
    # The search costs several calls: an update from known history does not need it.
    if listed_at is None and _needs_listing(scope, coverage):
        listed_at = await _listed_at(source, instruments, dataset, now)
    if listed_at is not None and dataset.timeframe is not None:
        # The bar that contains the listing counts as listed, so that a first week or month is whole (docs/adr/0003).
        listed_at = dataset.timeframe.floor(listed_at, dataset.anchor)
    start = scope.begins(coverage)
    if start is None:
        start = listed_at or capability.served_from
    if start is None:
        start = await _first_served(source, instruments, dataset, now)
    if start is None:
        raise BadInput(f"when {dataset} begins cannot be found out: say --start")
    want = scope.final_part(dataset, start, now)
    if want is None:
        return FetchPlan(dataset, None, note=NOT_FINAL, now=now)
    delisted_at, retry = _delisted_at(dataset, instrument), scope.retry
    return await _planned(
        source, capability, dataset, want, coverage, now, listed_at=listed_at, delisted_at=delisted_at, retry=retry
    )


async def _plan_again(
    source: Source, capability: Capability, dataset: Dataset, again: Sequence[Span], now: int
) -> FetchPlan:
    """Plan exactly the spans of *again*, as far as they are final."""
    final = horizon(dataset, now)
    spans = [Span(span.start, min(span.end, final)) for span in again if span.start < final]
    if not spans:
        return FetchPlan(dataset, None, note=NOT_FINAL, now=now)
    want = Span(spans[0].start, spans[-1].end)
    # Everything between the spans counts as covered, so that it is not fetched.
    between = Coverage.of(map(Covered, subtract(want, spans)))
    return await _planned(source, capability, dataset, want, between, now, recheck=False)


async def _planned(
    source: Source,
    capability: Capability,
    dataset: Dataset,
    want: Span,
    coverage: Coverage,
    now: int,
    *,
    recheck: bool = True,
    listed_at: int | None = None,
    **terms: Any,
) -> FetchPlan:
    plan = plan_fetch(
        dataset,
        want,
        coverage,
        listed_at=listed_at,
        served_from=capability.served_from,
        page_rows=capability.page_rows,
        page_span=capability.page_span,
        seconds_per_page=capability.seconds_per_page,
        at_head=recheck and want.end == horizon(dataset, now),
        now=now,
        note=capability.note,
        **terms,
    )
    archives = await source.archives(dataset, plan.spans, now)
    return with_archives(plan, archives.files, archives.spans, capability.seconds_per_page)


async def select_symbols(source: Source, patterns: Sequence[str], quote: str | None = None) -> list[str]:
    """Expand patterns such as ``BTC/*`` over the instruments that the exchange lists.

    *quote* adds all active spot markets in that quote. The exchange's own ids (``BTCUSDT``) become unified symbols.

    Raises
    ------
    UnknownSymbol
        If a pattern matches nothing, or an exchange's own name of a market may be several.
    """
    if quote is None and not any(is_pattern(text) or not is_plain(text) for text in patterns):
        return list(dict.fromkeys(patterns))
    try:
        listed = [instrument for instrument in await source.instruments() if instrument.active]
    except Unsupported:
        # A source without a list, like that of equities, takes names as they are.
        if quote is not None or any(map(is_pattern, patterns)):
            raise
        return list(dict.fromkeys(patterns))
    chosen: list[str] = []
    for pattern in patterns:
        if not is_pattern(pattern):
            chosen.append(unified(pattern, listed))
            continue
        matches = [market.symbol for market in listed if fnmatch.fnmatchcase(market.symbol, pattern)]
        if not matches:
            raise UnknownSymbol(f"{source.exchange} lists nothing like {pattern!r}: 'ticklake symbols' shows all")
        chosen += matches
    if quote is not None:
        for market in listed:
            if market.market_type == "spot" and market.details.get("quote") == quote:
                chosen.append(market.symbol)
        if not chosen:
            raise UnknownSymbol(f"{source.exchange} lists no spot market in {quote!r}")
    return list(dict.fromkeys(chosen))


def _needs_listing(scope: FetchScope, coverage: Coverage) -> bool:
    """Whether the request reaches back before everything that was fetched."""
    looked_at = coverage.looked_at
    if not looked_at or (scope.start is None and not scope.known):
        return True
    first = looked_at[0].span.start
    return scope.start is not None and scope.start < first


async def _listed_at(source: Source, instruments: Instruments, dataset: Dataset, now: int) -> int | None:
    """Ask the exchange when the market was listed, and store the answer. What it cannot prove is asked once a day."""
    if await _searched_today(instruments, dataset, now) is not None:
        return None
    listed_at = await source.listed_at(dataset)
    if listed_at is None:
        await asyncio.to_thread(instruments.remember_search, str(dataset), now, None)
        return None
    await asyncio.to_thread(instruments.remember_listing, dataset.exchange, str(dataset.symbol), listed_at)
    return listed_at


async def _first_served(source: Source, instruments: Instruments, dataset: Dataset, now: int) -> int | None:
    """Return about where the served rows begin, to start there. It is asked once a day, and proves nothing."""
    search = await _searched_today(instruments, dataset, now)
    if search is not None and search[1] is not None:
        return search[1]
    first_served = await source.first_served(dataset)
    if first_served is not None:
        searched_at = now if search is None else search[0]
        await asyncio.to_thread(instruments.remember_search, str(dataset), searched_at, first_served)
    return first_served


async def _searched_today(instruments: Instruments, dataset: Dataset, now: int) -> tuple[int, int | None] | None:
    search = await asyncio.to_thread(instruments.last_search, str(dataset))
    if search is None or search[0] // DAY != now // DAY:
        return None
    return search


def _delisted_at(dataset: Dataset, instrument: Instrument | None) -> int | None:
    """Return the time from which there can be no rows because the market is delisted."""
    # When the end was noticed, not when it was last listed: there may be trades in between.
    if instrument is None or instrument.delisted_at is None or instrument.valid_to is None:
        return None
    if dataset.timeframe is None:
        return instrument.valid_to
    return dataset.timeframe.ceil(instrument.valid_to, dataset.anchor)
