"""The Dukascopy source: ticks of currency pairs, hour by hour, as pages of a day."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import polars as pl

from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.fetch_plan import FINAL_AFTER
from ticklake.core.instrument import Instrument
from ticklake.core.provenance import Provenance
from ticklake.core.sessions import forex_closed
from ticklake.core.span import Span
from ticklake.core.symbol import Symbol
from ticklake.core.time import DAY, HOUR, parse_time
from ticklake.errors import Unsupported
from ticklake.sources.base import Capability, Page, Source, SourceOptions
from ticklake.sources.dukascopy.client import Client
from ticklake.sources.dukascopy.files import PAIRS, decode, path_of, points_of

__all__ = ["DukascopySource"]

LAG = HOUR
"""An hour's file counts as published this long after the hour."""
SETTLED = DAY
"""A file that is absent this long after its hour is not expected any more."""
FIRST = parse_time("2003-05-04T21:00")
"""The time of the feed's oldest ticks."""
CLOSED = "not asked: the market is closed from Friday to Sunday, 17:00 New York time"
ABSENT = "the feed has no file for this hour"


class DukascopySource(Source):
    """Quotes of currency pairs and metals."""

    def __init__(self, options: SourceOptions) -> None:
        self.exchange = "dukascopy"
        self._client = Client(options)
        self._options = options

    async def now(self) -> int:
        """Return the feed's time, chosen so that final data ends with the newest hour that is published."""
        return (self._options.clock() - LAG) // HOUR * HOUR + FINAL_AFTER

    async def instruments(self) -> list[Instrument]:
        """Return the pairs whose scale is known; the feed itself has no list."""
        instruments: list[Instrument] = []
        for pair in sorted(PAIRS):
            symbol = Symbol(pair)
            details = {"base": symbol.base, "quote": symbol.quote, "tick_size": 1 / points_of(symbol)}
            native_id = f"{symbol.base}{symbol.quote}"
            instruments.append(Instrument(self.exchange, pair, native_id, "spot", details=details))
        return instruments

    async def capability(self, dataset: Dataset, now: int) -> Capability:
        """Return what can be fetched: quotes since 2003."""
        del now
        if dataset.kind != "quotes":
            raise Unsupported(f"dukascopy does not serve {dataset.kind}: it serves quotes")
        points_of(dataset.symbol)
        return Capability(60_000, DAY, 2.0, FIRST)

    async def listed_at(self, dataset: Dataset) -> int | None:
        """Return ``None``: the feed does not say since when it has a pair."""
        del dataset
        return None

    async def history(self, dataset: Dataset, span: Span) -> AsyncIterator[Page]:
        """Yield a page per day. Weekends are not fetched; an hour whose file is absent for a day is ``unavailable``."""
        closed = forex_closed(span)
        for start in range(span.start // DAY * DAY, span.end, DAY):
            part = Span(start, start + DAY).intersect(span)
            if part is not None:
                yield await self._day(dataset, part, closed)

    async def book(self, dataset: Dataset, depth: int | None) -> Page:
        """Refuse: there are no books."""
        del depth
        raise Unsupported(f"dukascopy does not serve {dataset.kind}: it serves quotes")

    def provenance(self, dataset: Dataset) -> Provenance:
        """Return where the ticks come from."""
        del dataset
        return Provenance("dukascopy", "datafeed h_ticks.bi5")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _day(self, dataset: Dataset, part: Span, closed: Sequence[Span]) -> Page:
        """Fetch the hours of a part of a day."""
        self._client.repeated.clear()
        hours = [Span(start, start + HOUR) for start in range(part.start // HOUR * HOUR, part.end, HOUR)]
        open_hours = [hour for hour in hours if not _is_inside(hour, closed)]
        frames = await asyncio.gather(*(self._hour(dataset, hour) for hour in open_hours))
        by_hour = dict(zip(open_hours, frames, strict=True))
        all_rows = [dataset.spec.empty().select(dataset.spec.names)]
        covered: list[Covered] = []
        for hour in hours:
            inside = hour.intersect(part)
            frame = by_hour.get(hour)
            if frame is not None:
                all_rows.append(frame)
            if inside is None:
                continue
            if frame is not None:
                covered.append(Covered(inside))
            elif hour not in by_hour:
                # No hole: nobody trades then, and a hole would be asked for again by every repair.
                covered.append(Covered(inside, Found.DATA, CLOSED))
            # Of a younger one nothing is said: the feed may still bring it, and the next run asks again.
            elif hour.end + SETTLED <= self._options.clock():
                covered.append(Covered(inside, Found.UNAVAILABLE, ABSENT))
        rows = pl.concat(all_rows, how="diagonal")
        return Page(rows, tuple(covered), len(open_hours), tuple(self._client.repeated))

    async def _hour(self, dataset: Dataset, hour: Span) -> pl.DataFrame | None:
        points = points_of(dataset.symbol)
        path = path_of(dataset.symbol, hour.start)
        return await self._client.get(path, lambda body: decode(body, hour.start, points))


def _is_inside(hour: Span, closed: Sequence[Span]) -> bool:
    return any(stretch.start <= hour.start and hour.end <= stretch.end for stretch in closed)
