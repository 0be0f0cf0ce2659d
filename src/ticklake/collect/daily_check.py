"""A check of empty starts: if a source's daily bars show trades in a time without rows, it no longer serves that time."""

from __future__ import annotations

import asyncio

from ticklake.core.coverage import Covered, Found
from ticklake.core.dataset import Dataset
from ticklake.core.fetch_plan import FetchPlan
from ticklake.core.span import Span
from ticklake.core.time import DAY, format_time
from ticklake.engine.engine import Engine
from ticklake.sources.base import Source

__all__ = ["check_empty_start"]


async def check_empty_start(source: Source, engine: Engine, plan: FetchPlan) -> str | None:
    """Cover the time before a dataset's first row as ``unavailable`` if there were trades in it. Return the reason."""
    # An exchange may keep only recent history: its answer for older times is empty, as if nobody had traded.
    empty = await asyncio.to_thread(_empty_start, engine, plan)
    if empty is None:
        return None
    day = await source.first_traded(plan.dataset, empty)
    if day is None:
        return None
    reason = f"{source.exchange} traded on {format_time(day)[:10]} and serves nothing before {format_time(empty.end)}"
    await asyncio.to_thread(_cover_as_unavailable, engine, source, plan.dataset, empty, reason)
    return reason


def _empty_start(engine: Engine, plan: FetchPlan) -> Span | None:
    """Return the time before the first row, if it is a day or longer and some of it was just fetched."""
    if plan.want is None:
        return None
    row = engine.catalog.dataset(plan.dataset)
    end = plan.want.end
    if row is not None and row.rows and row.min_ts is not None:
        end = min(row.min_ts, end)
    if end - plan.want.start < DAY:
        return None
    empty = Span(plan.want.start, end)
    if not any(span.overlaps(empty) for span in plan.spans):
        return None
    return empty


def _cover_as_unavailable(engine: Engine, source: Source, dataset: Dataset, empty: Span, reason: str) -> None:
    covered = engine.catalog.coverage(dataset).within(empty)
    no_rows, origin = dataset.spec.empty(), source.provenance(dataset)
    for span in covered.spans(Found.DATA):
        # New coverage never replaces data, so it is deleted first. Nothing else takes coverage back (docs/adr/0015).
        engine.delete(dataset, span)
        engine.append(dataset, no_rows, origin, [Covered(span, Found.UNAVAILABLE, reason)])
