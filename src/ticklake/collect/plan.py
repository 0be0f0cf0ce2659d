"""Planning a backfill: which datasets, and what of each is missing."""

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

__all__ = ["Asked", "plan_dataset", "select_symbols"]

NOT_FINAL = "nothing of it is final yet"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a backfill was asked for: from *start* (the listing, if ``None``) to *end* (now, if ``None``).

    With *known*, a dataset without a start begins where the lake's own history of it begins. If spans are given as
    *again*, exactly those are asked for, whatever is known of them.
    """

    start: int | None = None
    end: int | None = None
    retry: bool = False
    known: bool = False
    again: tuple[Span, ...] = ()

    def begins(self, coverage: Coverage) -> int | None:
        """Return the start of the request for a dataset, if it is known without asking a source."""
        if self.start is not None:
            return self.start
        return _known_from(coverage) if self.known else None

    def final_part(self, dataset: Dataset, start: int, now: int) -> Span | None:
        """Return what is asked for from *start* on, in whole bars, as far as it is final at *now*."""
        final, frame = horizon(dataset, now), dataset.timeframe
        stop = final
        if self.end is not None:
            stop = min(self.end, final)
        if frame is not None:
            start, stop = frame.ceil(start, dataset.anchor), min(frame.ceil(stop, dataset.anchor), final)
        if start >= stop:
            return None
        return Span(start, stop)


async def plan_dataset(
    source: Source, engine: Engine, instruments: Instruments, dataset: Dataset, asked: Asked
) -> FetchPlan:
    """Plan one dataset from its coverage; refuses what the source cannot serve."""
    now = await source.now()
    capability = await source.capability(dataset, now)
    if asked.start is not None and asked.start > now:
        raise InvalidTime(
            f"start {format_time(asked.start)} lies in the future: {dataset.exchange} says it is {format_time(now)}"
        )
    if asked.again:
        return await _plan_again(source, capability, dataset, asked.again, now)
    coverage = await asyncio.to_thread(engine.catalog.coverage, dataset)
    known = await asyncio.to_thread(instruments.get, dataset.exchange, str(dataset.symbol))
    listed_at = None if known is None else known.listed_at
    if listed_at is None and _needs_listing(asked, coverage):
        listed_at = await _listed_at(source, instruments, dataset, now)
    if listed_at is not None and dataset.timeframe is not None:
        listed_at = dataset.timeframe.floor(listed_at, dataset.anchor)
    start = asked.begins(coverage)
    if start is None:
        start = listed_at or capability.served_from
    if start is None:
        start = await _first_served(source, instruments, dataset, now)
    if start is None:
        raise BadInput(f"when {dataset} begins cannot be found out: say --start")
    want = asked.final_part(dataset, start, now)
    if want is None:
        return FetchPlan(dataset, None, note=NOT_FINAL, now=now)
    gone_at, retry = _gone_at(dataset, known), asked.retry
    return await _planned(
        source, capability, dataset, want, coverage, now, listed_at=listed_at, delisted_at=gone_at, retry=retry
    )


async def _plan_again(
    source: Source, capability: Capability, dataset: Dataset, again: Sequence[Span], now: int
) -> FetchPlan:
    """Plan exactly the spans that are asked for, as far as they are final."""
    final = horizon(dataset, now)
    spans = [Span(span.start, min(span.end, final)) for span in again if span.start < final]
    if not spans:
        return FetchPlan(dataset, None, note=NOT_FINAL, now=now)
    want = Span(spans[0].start, spans[-1].end)
    rest = Coverage.of(Covered(span) for span in subtract(want, spans))
    return await _planned(source, capability, dataset, want, rest, now, recheck=False)


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
    found = await source.archives(dataset, plan.spans, now)
    return with_archives(plan, found.files, found.spans, capability.seconds_per_page)


async def select_symbols(source: Source, patterns: Sequence[str], quote: str | None = None) -> list[str]:
    """Expand ``BTC/*`` and the like over what the exchange lists; *quote* keeps active spot markets in it.

    The exchange's own ids (``BTCUSDT``) become unified symbols.

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
        # A source that lists nothing, like that of equities, takes names as they are.
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
        spot = [market for market in listed if market.market_type == "spot"]
        chosen += [market.symbol for market in spot if market.details.get("quote") == quote]
        if not chosen:
            raise UnknownSymbol(f"{source.exchange} lists no spot market in {quote!r}")
    return list(dict.fromkeys(chosen))


def _known_from(coverage: Coverage) -> int | None:
    """Return since when a dataset was fetched or asked for; an update does not fetch again what was deleted."""
    return next((piece.span.start for piece in coverage.pieces if piece.reason != DELETED), None)


def _needs_listing(asked: Asked, coverage: Coverage) -> bool:
    """Whether the request reaches back before everything that was looked at."""
    looked_at = coverage.looked_at
    if not looked_at or (asked.start is None and not asked.known):
        return True
    first = looked_at[0].span.start
    return asked.start is not None and asked.start < first


async def _listed_at(source: Source, instruments: Instruments, dataset: Dataset, now: int) -> int | None:
    """Return when the market was listed, and remember it; what the exchange cannot prove is asked once a day."""
    if await _searched_today(instruments, dataset, now) is not None:
        return None
    found = await source.listed_at(dataset)
    if found is not None:
        await asyncio.to_thread(instruments.remember_listing, dataset.exchange, str(dataset.symbol), found)
    else:
        await asyncio.to_thread(instruments.remember_search, str(dataset), now, None)
    return found


async def _first_served(source: Source, instruments: Instruments, dataset: Dataset, now: int) -> int | None:
    """Return about where what is served begins, to start there; it is asked once a day, and proves nothing."""
    search = await _searched_today(instruments, dataset, now)
    if search is not None and search[1] is not None:
        return search[1]
    found = await source.first_served(dataset)
    if found is not None:
        searched_at = now if search is None else search[0]
        await asyncio.to_thread(instruments.remember_search, str(dataset), searched_at, found)
    return found


async def _searched_today(instruments: Instruments, dataset: Dataset, now: int) -> tuple[int, int | None] | None:
    search = await asyncio.to_thread(instruments.last_search, str(dataset))
    if search is None or search[0] // DAY != now // DAY:
        return None
    return search


def _gone_at(dataset: Dataset, known: Instrument | None) -> int | None:
    """Return from when on there can be no rows, because the exchange no longer lists the market."""
    if known is None or known.delisted_at is None or known.valid_to is None:
        return None
    if dataset.timeframe is None:
        return known.valid_to
    return dataset.timeframe.ceil(known.valid_to, dataset.anchor)
