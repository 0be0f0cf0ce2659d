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
from ticklake.sources.dukascopy.client import Door
from ticklake.sources.dukascopy.files import PAIRS, decode, path_of, points_of

__all__ = ["DukascopySource"]

LAG = HOUR
"""An hour's file is taken for published this long after the hour."""
SETTLED = DAY
"""What is not there so long after it should be will not come."""
FIRST = parse_time("2003-05-04T21:00")
"""The feed's oldest ticks."""
CLOSED = "not asked: the market is closed from Friday to Sunday, 17:00 New York time"
ABSENT = "the feed has no file for this hour"


class DukascopySource(Source):
    """Quotes of currency pairs and metals."""

    def __init__(self, options: SourceOptions) -> None:
        self.exchange = "dukascopy"
        self._door = Door(options)
        self._options = options

    async def now(self) -> int:
        """Return the feed's time: such that what is final ends with the newest hour that is published."""
        return (self._options.clock() - LAG) // HOUR * HOUR + FINAL_AFTER

    async def instruments(self) -> list[Instrument]:
        """Return the pairs whose scale is known; the feed itself has no list."""
        found = (Symbol(pair) for pair in sorted(PAIRS))
        return [
            Instrument(
                self.exchange,
                str(symbol),
                f"{symbol.base}{symbol.quote}",
                "spot",
                details={"base": symbol.base, "quote": symbol.quote, "tick_size": 1 / points_of(symbol)},
            )
            for symbol in found
        ]

    async def capability(self, dataset: Dataset, now: int) -> Capability:
        """Say what can be had: quotes since 2003."""
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
        """Yield a page a day. Weekends are not asked for; an hour that is absent is ``unavailable`` once it is settled."""
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
        await self._door.close()

    async def _day(self, dataset: Dataset, part: Span, closed: Sequence[Span]) -> Page:
        """Fetch the hours of a part of a day."""
        self._door.repeated.clear()
        hours = [Span(hour, hour + HOUR) for hour in range(part.start // HOUR * HOUR, part.end, HOUR)]
        asked = [hour for hour in hours if not any(s.start <= hour.start and hour.end <= s.end for s in closed)]
        answers = dict(zip(asked, await asyncio.gather(*(self._hour(dataset, hour) for hour in asked)), strict=True))
        covered = [self._covered(hour, answers.get(hour), asked=hour in answers) for hour in hours]
        found = [Covered(cut, one.found, one.reason) for one in covered if one and (cut := one.span.intersect(part))]
        frames = [frame for frame in answers.values() if frame is not None]
        empty = dataset.spec.empty().select(dataset.spec.names)
        rows = pl.concat([empty, *frames], how="diagonal")
        return Page(rows, tuple(found), len(asked), tuple(self._door.repeated))

    async def _hour(self, dataset: Dataset, hour: Span) -> pl.DataFrame | None:
        points = points_of(dataset.symbol)
        return await self._door.get(path_of(dataset.symbol, hour.start), lambda body: decode(body, hour.start, points))

    def _covered(self, hour: Span, answer: pl.DataFrame | None, *, asked: bool) -> Covered | None:
        """Say what is known of an hour now; nothing, if its file may still come."""
        if not asked:
            return Covered(hour, Found.DATA, CLOSED)
        if answer is not None:
            return Covered(hour)
        settled = hour.end + SETTLED <= self._options.clock()
        return Covered(hour, Found.UNAVAILABLE, ABSENT) if settled else None
